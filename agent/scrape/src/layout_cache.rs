//! The layout cache: a target's page is nearly the same text each time.
//!
//! What does not change (comments, and lines up to their values) is kept as bytes, which targets of one shape
//! share; of each value its text and what it meant. A page is compared with that, block by block; where all
//! is as it was, nothing is parsed but values that changed. A block is what stands between one run of comments
//! and the next: as long as the comments are the same, a line means the same anywhere in its block.

use std::collections::HashMap;
use std::sync::Arc;

use exposition::{Format, parse_after_value};
use storage::{Cell, Changes, Number, RowMark};
use telemetry::Gauge;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::number;
use crate::page::{self, Place};
use crate::rows::Places;
use crate::shuffle;
use crate::texts::Texts;

/// How a target's pages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) format: Format,
    pub(crate) honor_timestamps: bool,
}

/// The layout of a target's last page.
#[derive(Debug)]
pub(crate) struct LayoutCache {
    pub(crate) reading: Reading,
    pub(crate) blocks: Vec<Block>,
    pub(crate) lines: Lines,
    /// What follows the last sample; `None` where lines cannot be told apart by their text.
    end: Option<Arc<[u8]>>,
    /// The row since which it is known what changed.
    since: Option<RowMark>,
    /// Its part of what all caches take up.
    counted: Option<Counted>,
}

/// Bytes that are part of a gauge as long as this lives.
#[derive(Debug)]
struct Counted(Gauge, i64);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec_by(self.1);
    }
}

/// Comments, and the lines up to the next ones.
#[derive(Debug)]
pub(crate) struct Block {
    /// The comments, then each line up to its value.
    pub(crate) text: Arc<[u8]>,
    pub(crate) comments: u32,
    pub(crate) lines: u32,
}

/// The lines with samples, in the page's order.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) known: Vec<Line>,
    pub(crate) cells: Vec<Cell>,
    /// A bit for each line whose cell may be another one than when this was cleared.
    changed: Vec<u64>,
    /// Exemplars of the page at hand, each with its line. Those that were there last time are left out.
    pub(crate) exemplars: Vec<(usize, model::Exemplar)>,
    /// Names the texts of the exemplars that were seen last, by line: most stay for many scrapes.
    seen_exemplars: HashMap<usize, u64>,
    /// For each line where it stood when the page was read whole; empty where nobody asks.
    pub(crate) origins: Vec<usize>,
    /// The lines' own times; empty where no line has one.
    pub(crate) times: Vec<Option<i64>>,
    pub(crate) places: Places,
}

/// Bytes of a value's text that are kept as they are.
const INLINE: usize = 16;
/// Says that a value's text is longer.
const HASHED: u8 = u8::MAX;

/// A line as it was last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// The value's text, then zeros; or the hash of a longer one.
    value: [u8; INLINE],
    value_len: u8,
    /// Whether the line has a time of its own that counts.
    timed: bool,
    /// Bytes up to the value.
    pub(crate) ahead: u32,
}

impl LayoutCache {
    /// Of a page that was parsed whole.
    pub(crate) fn new(
        page: &[u8],
        reading: Reading,
        read: page::Lines,
        places: Places,
        texts: &Texts,
    ) -> Self {
        let page::Lines { samples, exemplars, .. } = read;
        let lines = Lines {
            known: samples.iter().map(|line| Line::new(page, line)).collect(),
            cells: samples.iter().map(|line| Cell::Value(line.number)).collect(),
            changed: vec![0; samples.len().div_ceil(64)],
            exemplars,
            seen_exemplars: HashMap::new(),
            origins: Vec::new(),
            times: match samples.iter().any(|line| line.timestamp.is_some()) {
                true => samples.iter().map(|line| line.timestamp).collect(),
                false => Vec::new(),
            },
            places,
        };
        let (blocks, end) = blocks(page, &samples, texts).unzip();
        Self { reading, blocks: blocks.unwrap_or_default(), lines, end, since: None, counted: None }
    }

    /// Counts what it takes up now in a gauge, until it goes.
    pub(crate) fn count(&mut self, all: &Gauge) {
        let Lines { known, cells, changed, origins, times, places, .. } = &self.lines;
        let lists = size_of_val(&known[..])
            + size_of_val(&cells[..])
            + size_of_val(&changed[..])
            + size_of_val(&origins[..])
            + size_of_val(&times[..])
            + places.bytes()
            + self.blocks.capacity() * size_of::<Block>();
        // Texts that several have are counted once, about.
        let texts = self.blocks.iter().map(|block| block.text.len() / Arc::strong_count(&block.text));
        let bytes = i64::try_from(lists + texts.sum::<usize>()).unwrap_or(i64::MAX);
        all.inc_by(bytes);
        self.counted = Some(Counted(all.clone(), bytes));
    }

    /// Takes the values of a page with the same lines, those of a block in any order; `None`: it has others,
    /// or is no good page. What was taken by then stays, which does no harm: each value goes with its text.
    pub(crate) fn take(&mut self, page: &[u8], texts: &Texts) -> Option<()> {
        let end = self.end.as_ref()?;
        self.lines.exemplars.clear();
        let (mut rest, mut line) = (page, 0);
        for block in &mut self.blocks {
            let range = line..line + block.lines as usize;
            line = range.end;
            let (taken, at) = self.lines.in_order(block, range.clone(), rest, self.reading)?;
            rest = taken;
            if at < range.end {
                rest = shuffle::take_rest(&mut self.lines, block, range, at, rest, self.reading, texts)?;
            }
        }
        (*rest == **end).then_some(())
    }

    /// Each line's place, cell and own time.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (Place, Cell, Option<i64>)> + '_ {
        let Lines { cells, times, places, .. } = &self.lines;
        cells
            .iter()
            .enumerate()
            .map(|(line, cell)| (places.of(line), *cell, times.get(line).copied().flatten()))
    }

    /// The row that all lines make in their order, if they do, and where it may differ from the last one.
    pub(crate) fn row(&self) -> Option<(&[Cell], Option<Changes<'_>>)> {
        let Lines { cells, changed, times, places, .. } = &self.lines;
        let simple = times.is_empty() && matches!(places, Places::InOrder);
        simple.then(|| (&cells[..], self.since.map(|since| Changes { since, slots: changed })))
    }

    /// Takes note that this row was appended.
    pub(crate) fn appended(&mut self, mark: Option<RowMark>) {
        self.since = mark;
        self.lines.changed.fill(0);
    }
}

/// The blocks of a page, and what follows the last one.
fn blocks(page: &[u8], samples: &[page::Line], texts: &Texts) -> Option<(Vec<Block>, Arc<[u8]>)> {
    let (mut blocks, mut text, mut end) = (Vec::new(), Vec::new(), 0);
    let mut open = (0, 0);
    let close = |blocks: &mut Vec<Block>, text: &mut Vec<u8>, (comments, lines): (u32, u32)| {
        if lines > 0 {
            blocks.push(Block { text: texts.share(text), comments, lines });
        }
        text.clear();
    };
    for line in samples {
        let comments = &page[end..line.at];
        if !comments.is_empty() {
            close(&mut blocks, &mut text, open);
            open = (length(comments)?, 0);
            text.extend_from_slice(comments);
        }
        let ahead = &page[line.at..line.value_at];
        length(ahead)?;
        // Whatever follows these is a value; after a bare name it could be more of the name.
        if !matches!(ahead.last(), Some(b' ' | b'\t' | b'}')) {
            return None;
        }
        text.extend_from_slice(ahead);
        open.1 = u32::checked_add(open.1, 1)?;
        end = line.end;
    }
    close(&mut blocks, &mut text, open);
    blocks.shrink_to_fit();
    Some((blocks, texts.share(&page[end..])))
}

impl Lines {
    /// Takes the lines of a block as long as they stand where they stood: what is left of the page, and the
    /// line that is not there. `None`: a value is none.
    fn in_order<'a>(
        &mut self,
        block: &Block,
        lines: std::ops::Range<usize>,
        page: &'a [u8],
        reading: Reading,
    ) -> Option<(&'a [u8], usize)> {
        let (mut rest, mut text) = (page, &*block.text);
        let mut comments = block.comments as usize;
        for at in lines.clone() {
            let line = &self.known[at];
            let (ahead, later) = text.split_at_checked(comments + line.ahead as usize)?;
            let Some(value) = rest.strip_prefix(ahead) else { return Some((rest, at)) };
            rest = match line.unchanged(value) {
                Some(next) => next,
                None => match self.plain_value(at, value) {
                    Some(next) => next,
                    None => self.value(at, value, reading)?,
                },
            };
            (text, comments) = (later, 0);
        }
        Some((rest, lines.end))
    }

    /// Takes a line's value where it is a plain number that the line ends with, as nearly all are: what is left of
    /// the page after the line.
    fn plain_value<'a>(&mut self, at: usize, page: &'a [u8]) -> Option<&'a [u8]> {
        let line = self.known.get_mut(at).filter(|line| !line.timed)?;
        let (number, length) = number::of_line(page)?;
        line.remember(&page[..length]);
        self.put(at, number);
        Some(&page[length + 1..])
    }

    fn put(&mut self, at: usize, number: Number) {
        self.cells[at] = Cell::Value(number);
        self.changed[at / 64] |= 1 << (at % 64);
    }

    /// Takes a line's value and what follows it: what is left of the page after the line.
    pub(crate) fn value<'a>(&mut self, at: usize, page: &'a [u8], reading: Reading) -> Option<&'a [u8]> {
        let ended = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n');
        let (text, after) = page.split_at(page.iter().position(ended).unwrap_or(page.len()));
        let (after, next) = match memchr::memchr(b'\n', after) {
            Some(end) => (&after[..end], &after[end + 1..]),
            // Only the other format's last line may lack its end.
            None if reading.format == Format::OpenMetrics => return None,
            None => (after, &[][..]),
        };
        let (text, time) = if after.is_empty() {
            let bare = if reading.format == Format::Text { text.strip_suffix(b"\r") } else { None };
            (bare.unwrap_or(text), None)
        } else {
            let (time, exemplar) = parse_after_value(after, reading.format).ok()?;
            if exemplar.is_some() {
                self.exemplar(at, after, exemplar.as_ref());
            }
            (text, time)
        };
        let time = time.filter(|_| reading.honor_timestamps);
        let line = &mut self.known[at];
        if time.is_some() != line.timed {
            return None;
        }
        if let Some(known) = self.times.get_mut(at) {
            *known = time;
        }
        if !line.is(text) {
            let number = number::parse(text)?;
            line.remember(text);
            self.put(at, number);
        }
        Some(next)
    }
}

impl Lines {
    /// From now on it is known where each line stood at first.
    pub(crate) fn track_origins(&mut self) {
        self.origins = (0..self.known.len()).collect();
    }

    /// Exemplars are no longer known by their line.
    pub(crate) fn forget_exemplars(&mut self) {
        self.seen_exemplars.clear();
    }

    /// Takes a line's exemplar, unless the line had just this one.
    fn exemplar(&mut self, at: usize, text: &[u8], exemplar: Option<&exposition::Exemplar<'_>>) {
        let hash = xxh3_64(text);
        if self.seen_exemplars.insert(at, hash) != Some(hash) {
            self.exemplars.extend(page::exemplar(exemplar, at));
        }
    }
}

impl Line {
    fn new(page: &[u8], line: &page::Line) -> Self {
        let (value, value_len) = fingerprint(&page[line.value_at..line.value_at + line.value_len]);
        // A page with a longer line is not compared.
        let ahead = u32::try_from(line.value_at - line.at).unwrap_or(u32::MAX);
        Self { value, value_len, timed: line.timestamp.is_some(), ahead }
    }

    /// The rest of the page, if it begins with the value that the line had, and nothing follows it.
    fn unchanged<'a>(&self, page: &'a [u8]) -> Option<&'a [u8]> {
        let len = usize::from(self.value_len);
        if self.timed || len > INLINE || page.get(len) != Some(&b'\n') {
            return None;
        }
        (head(page, len) == u128::from_le_bytes(self.value)).then_some(&page[len + 1..])
    }

    fn is(&self, text: &[u8]) -> bool {
        let (value, len) = fingerprint(text);
        self.value_len == len && self.value == value
    }

    fn remember(&mut self, text: &[u8]) {
        (self.value, self.value_len) = fingerprint(text);
    }
}

/// The first bytes of a page, at most 16, as a number.
fn head(page: &[u8], len: usize) -> u128 {
    if let Some(bytes) = page.first_chunk::<INLINE>()
        && len <= INLINE
    {
        let unused = 8 * (INLINE - len);
        let all = u128::from_le_bytes(*bytes);
        return if len == 0 { 0 } else { all << unused >> unused };
    }
    let mut bytes = [0; INLINE];
    let len = len.min(page.len()).min(INLINE);
    bytes[..len].copy_from_slice(&page[..len]);
    u128::from_le_bytes(bytes)
}

fn fingerprint(text: &[u8]) -> ([u8; INLINE], u8) {
    match u8::try_from(text.len()) {
        Ok(len) if text.len() <= INLINE => (head(text, text.len()).to_le_bytes(), len),
        _ => (xxh3_128(text).to_le_bytes(), HASHED),
    }
}

fn length(text: &[u8]) -> Option<u32> {
    u32::try_from(text.len()).ok()
}

#[cfg(test)]
#[path = "layout_cache_tests.rs"]
mod tests;
