//! Reading segments: from start to end over whatever damage there is, and single records.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::LogError;
use crate::record::{HEAD, Location, MAGIC, Record, SEGMENT_HEAD, decode_head, decode_payload, segment_head};

/// Bytes read from the file at once.
const CHUNK: usize = 256 << 10;

/// Bytes of one segment that are no record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Stretches of damaged bytes.
    pub regions: u64,
    /// Damaged bytes, those at the segment's end not among them.
    pub bytes: u64,
    /// Bytes after the last intact record: a write that was cut off, or damage.
    pub torn: u64,
}

/// What opening a log found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments.
    pub segments: u64,
    /// Numbers between the first and the last segment that have no file, or an empty one: files that are gone,
    /// or that could not be made in their time.
    pub missing: u64,
    /// Intact records.
    pub records: u64,
    /// Damage inside segments, and at the ends of all but the last.
    pub corrupt_regions: u64,
    /// Bytes of such damage.
    pub corrupt_bytes: u64,
    /// Bytes at the last segment's end that are no whole record.
    pub torn_bytes: u64,
}

/// What stands in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An intact record.
    Record(Record),
    /// Bytes that are none, up to the next intact record or the end.
    Damaged {
        /// Where they start.
        offset: u64,
        /// How many.
        bytes: u64,
        /// No intact record follows.
        at_end: bool,
        /// They are the beginning of a record that ends behind the file's end: as a write that was cut off leaves it.
        cut_off: bool,
    },
}

/// Gives everything that stands in a segment, in order, damage with its place.
///
/// # Errors
/// When the file cannot be opened or read; damage is no error.
pub fn survey_segment(dir: &Path, segment: u64, visit: &mut dyn FnMut(Found)) -> Result<(), LogError> {
    let path = segment_path(dir, segment);
    let file = File::open(&path).map_err(LogError::io("opening", &path))?;
    survey(file, segment, visit).map_err(LogError::io("reading", &path))
}

/// Gives every intact record of a segment, in order. Damage is stepped over.
///
/// # Errors
/// When the file cannot be opened or read; damage is no error.
pub fn scan_segment(dir: &Path, segment: u64, visit: &mut dyn FnMut(Record)) -> Result<Damage, LogError> {
    let mut damage = Damage::default();
    survey_segment(dir, segment, &mut |found| match found {
        Found::Record(record) => visit(record),
        Found::Damaged { bytes, at_end: true, .. } => damage.torn = bytes,
        Found::Damaged { bytes, at_end: false, .. } => {
            damage.regions += 1;
            damage.bytes += bytes;
        }
    })?;
    Ok(damage)
}

/// The file of a segment.
pub(crate) fn segment_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:08}.seg"))
}

/// Reads single records of one segment; stays valid when the segment is removed.
#[derive(Debug)]
pub struct SegmentReader {
    file: File,
    path: PathBuf,
    segment: u64,
}

impl SegmentReader {
    /// Opens segment `segment` of the log in `dir`.
    ///
    /// # Errors
    /// When the file cannot be opened: [`LogError::is_gone`] tells that the segment was removed.
    pub fn open(dir: &Path, segment: u64) -> Result<Self, LogError> {
        let path = segment_path(dir, segment);
        let file = File::open(&path).map_err(LogError::io("opening", &path))?;
        Ok(Self { file, path, segment })
    }

    /// The record at `offset`.
    ///
    /// # Errors
    /// When reading fails or the bytes there are no intact record.
    pub fn read(&self, offset: u64) -> Result<Record, LogError> {
        let corrupt = |what| LogError::Corrupt { path: self.path.clone(), offset, what };
        let exact = |bytes: &mut [u8], at| {
            self.file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => corrupt("the file ends inside the record"),
                _ => LogError::Io { what: "reading", path: self.path.clone(), source: error },
            })
        };
        let mut head = [0; HEAD];
        exact(&mut head, offset)?;
        let head = decode_head(&head).ok_or_else(|| corrupt("no record starts here"))?;
        let mut stored = vec![0; head.length];
        exact(&mut stored, offset + HEAD as u64)?;
        let payload = decode_payload(&head, &stored).map_err(corrupt)?;
        Ok(Record { at: Location { segment: self.segment, offset }, kind: head.kind, payload })
    }
}

fn survey(file: impl Read, segment: u64, visit: &mut dyn FnMut(Found)) -> io::Result<()> {
    let mut window = Window { file, bytes: Vec::new(), start: 0, offset: 0 };
    // Damaged bytes since the last intact record, and whether a record that was cut off is all of them.
    let (mut bad, mut cut_off) = (0, false);
    if window.fill(SEGMENT_HEAD)? && window.bytes()[..SEGMENT_HEAD] == segment_head(segment)[..] {
        window.skip(SEGMENT_HEAD);
    }
    while window.fill(1)? {
        match next(&mut window, segment)? {
            Step::Record(record, length) => {
                if bad > 0 {
                    visit(Found::Damaged {
                        offset: window.offset - bad,
                        bytes: bad,
                        at_end: false,
                        cut_off: false,
                    });
                }
                bad = 0;
                visit(Found::Record(record));
                window.skip(length);
            }
            Step::Damaged(length) => {
                cut_off = false;
                bad += length as u64;
                window.skip(length);
            }
            Step::CutOff(length) => {
                cut_off = bad == 0;
                bad += length as u64;
                window.skip(length);
            }
        }
    }
    if bad > 0 {
        visit(Found::Damaged { offset: window.offset - bad, bytes: bad, at_end: true, cut_off });
    }
    Ok(())
}

enum Step {
    Record(Record, usize),
    Damaged(usize),
    /// The rest of the file is the beginning of a record.
    CutOff(usize),
}

/// What starts at the window's first byte.
fn next<R: Read>(window: &mut Window<R>, segment: u64) -> io::Result<Step> {
    if window.fill(HEAD)?
        && let Some(head) = decode_head(window.bytes())
    {
        let whole = HEAD + head.length;
        if !window.fill(whole)? {
            // Cut off; whatever else is there would lie inside this record's payload.
            return Ok(Step::CutOff(window.bytes().len()));
        }
        let at = Location { segment, offset: window.offset };
        return Ok(match decode_payload(&head, &window.bytes()[HEAD..whole]) {
            Ok(payload) => Step::Record(Record { at, kind: head.kind, payload }, whole),
            Err(_) => Step::Damaged(whole),
        });
    }
    let left = window.bytes();
    if left.len() < HEAD && left.iter().zip(&MAGIC).all(|(byte, magic)| byte == magic) {
        return Ok(Step::CutOff(left.len()));
    }
    let rest = &left[1..];
    // Where no magic follows, its first bytes may still lie at the end of what was read.
    let skipped =
        memchr::memmem::find(rest, &MAGIC).unwrap_or_else(|| rest.len().saturating_sub(MAGIC.len() - 1));
    Ok(Step::Damaged(1 + skipped))
}

/// The part of a file that is in memory.
struct Window<R> {
    file: R,
    bytes: Vec<u8>,
    /// Where the unread part of `bytes` starts.
    start: usize,
    /// Where that is in the file.
    offset: u64,
}

impl<R: Read> Window<R> {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn skip(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }

    /// Whether at least `count` unread bytes are there, after reading more.
    fn fill(&mut self, count: usize) -> io::Result<bool> {
        if self.bytes().len() >= count {
            return Ok(true);
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        while self.bytes.len() < count {
            let want = CHUNK.max(count - self.bytes.len()) as u64;
            let read = self.file.by_ref().take(want).read_to_end(&mut self.bytes)?;
            if read == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
