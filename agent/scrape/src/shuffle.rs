//! Lines of a block that stand in another order than last time: found by their text, and put where they are now.

use std::collections::HashMap;
use std::ops::Range;

use exposition::{Entry, Format, Parser};

use crate::layout_cache::{Block, Lines, Reading};
use crate::texts::Texts;

/// Lines that are compared before all are looked through.
const NEAR: usize = 8;

/// Takes the lines of a block from `at` on, which is not where it was: what is left of the page after the
/// block. `None`: the page has other lines or comments there.
pub(crate) fn take_rest<'a>(
    lines: &mut Lines,
    block: &mut Block,
    range: Range<usize>,
    at: usize,
    page: &'a [u8],
    reading: Reading,
    texts: &Texts,
) -> Option<&'a [u8]> {
    let old = block.text.clone();
    let (old_comments, ahead) = old.split_at_checked(block.comments as usize)?;
    let (mut comments, mut rest) = (old_comments, page);
    if at == range.start {
        (comments, rest) = take_comments(old_comments, page, reading.format)?;
    }
    let mut aheads = Vec::with_capacity(range.len());
    let mut left = ahead;
    for line in &lines.known[range.clone()] {
        let (own, later) = left.split_at_checked(line.ahead as usize)?;
        aheads.push(own);
        left = later;
    }
    let first = at - range.start;
    let mut search = Search::new(&aheads, first, reading.format);
    let mut order = Vec::with_capacity(aheads.len() - first);
    for _ in first..aheads.len() {
        let found = search.next(rest)?;
        rest = lines.value(range.start + found, &rest[aheads[found].len()..], reading)?;
        order.push(found);
    }
    let mut text = comments.to_vec();
    (0..first).chain(order.iter().copied()).for_each(|line| text.extend_from_slice(aheads[line]));
    block.comments = u32::try_from(comments.len()).ok()?;
    block.text = texts.share(&text);
    lines.reorder(range.start, first, &order);
    Some(rest)
}

/// The page's comments before its next sample, and what follows, if they say what was said before.
fn take_comments<'a: 'c, 'c>(
    known: &'c [u8],
    page: &'a [u8],
    format: Format,
) -> Option<(&'c [u8], &'a [u8])> {
    if let Some(rest) = page.strip_prefix(known) {
        return Some((known, rest));
    }
    // The other format knows no comments that say nothing.
    if format == Format::OpenMetrics {
        return None;
    }
    let (comments, rest) = page.split_at(comments_len(page));
    let mut said = (Parser::new(known, format), Parser::new(comments, format));
    loop {
        match (said.0.next(), said.1.next()) {
            (None, None) => return Some((comments, rest)),
            (Some(Ok(one)), Some(Ok(two))) if says_the_same(&one, &two) => {}
            _ => return None,
        }
    }
}

/// Bytes up to the first line that is neither blank nor a comment.
fn comments_len(page: &[u8]) -> usize {
    let mut len = 0;
    for line in page.split_inclusive(|byte| *byte == b'\n') {
        let bare = line.trim_ascii_start();
        if !(bare.is_empty() || bare.starts_with(b"#")) {
            break;
        }
        len += line.len();
    }
    len
}

fn says_the_same(one: &Entry<'_>, two: &Entry<'_>) -> bool {
    match (one, two) {
        (Entry::Help { family, help }, Entry::Help { family: other, help: text }) => {
            (family, help) == (other, text)
        }
        (Entry::Type { family, metric_type }, Entry::Type { family: other, metric_type: kind }) => {
            (family, metric_type) == (other, kind)
        }
        _ => false,
    }
}

/// Finds lines by their text up to the value, each once.
struct Search<'a> {
    aheads: &'a [&'a [u8]],
    used: Vec<bool>,
    /// The line after the one that was found last.
    next: usize,
    format: Format,
    /// Made when a line was not near.
    by_text: Option<HashMap<&'a [u8], usize>>,
}

impl<'a> Search<'a> {
    fn new(aheads: &'a [&'a [u8]], first: usize, format: Format) -> Self {
        let used = (0..aheads.len()).map(|line| line < first).collect();
        Self { aheads, used, next: first, format, by_text: None }
    }

    /// The line with which the page goes on.
    fn next(&mut self, page: &[u8]) -> Option<usize> {
        let near = (self.next..self.aheads.len().min(self.next + NEAR))
            .chain((self.next.saturating_sub(NEAR)..self.next).rev());
        let fits = |line: &usize| !self.used[*line] && page.starts_with(self.aheads[*line]);
        let found = match near.clone().find(fits) {
            Some(line) => line,
            None => self.far(page)?,
        };
        self.used[found] = true;
        self.next = found + 1;
        Some(found)
    }

    fn far(&mut self, page: &[u8]) -> Option<usize> {
        let end = memchr::memchr(b'\n', page).map_or(page.len(), |end| end + 1);
        let Some(Ok(Entry::Series(line))) = Parser::new(&page[..end], self.format).next() else {
            return None;
        };
        let (aheads, used) = (self.aheads, &self.used);
        // Of equal lines the first wins; where that one is used up, the page is parsed in full.
        let by_text = self.by_text.get_or_insert_with(|| {
            (0..aheads.len()).rev().filter(|line| !used[*line]).map(|line| (aheads[line], line)).collect()
        });
        by_text.get(&page[..line.value_at]).copied().filter(|line| !self.used[*line])
    }
}

impl Lines {
    /// Puts the lines of a block that begins at `start` into another order, from its line `first` on; `order`
    /// counts from `start`.
    fn reorder(&mut self, start: usize, first: usize, order: &[usize]) {
        if order.iter().enumerate().all(|(at, line)| first + at == *line) {
            return;
        }
        let count = self.known.len();
        // Exemplars go with their lines; what was seen of them is seen anew.
        self.forget_exemplars();
        for (line, _) in &mut self.exemplars {
            if let Some(at) = line.checked_sub(start).and_then(|at| order.iter().position(|from| *from == at))
            {
                *line = start + first + at;
            }
        }
        permute(&mut self.known, start, first, order);
        permute(&mut self.cells, start, first, order);
        permute(self.places.listed(count), start, first, order);
        if !self.origins.is_empty() {
            permute(&mut self.origins, start, first, order);
        }
        if !self.times.is_empty() {
            permute(&mut self.times, start, first, order);
        }
    }
}

fn permute<T: Copy>(all: &mut [T], start: usize, first: usize, order: &[usize]) {
    let moved: Vec<T> = order.iter().map(|line| all[start + line]).collect();
    all[start + first..][..moved.len()].copy_from_slice(&moved);
}
