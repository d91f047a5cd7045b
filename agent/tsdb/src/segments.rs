//! What the segments hold: in memory a summary of each, and on demand the list of one's frames.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use log::{LogError, SegmentReader, scan_segment};
use parking_lot::Mutex;
use storage::{Frame, FrameError, FrameHash, FrameKey, IntervalSet, LayoutId, TimeRange};

use crate::memory::allocated;
use crate::record;
use crate::streams::StreamNo;
use crate::window::window_of;

/// Lists of frames that are kept for the next question.
const LISTS_KEPT: usize = 4;

/// What is known of a segment without reading it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segment {
    /// Last time of its rows; none without frames.
    pub(crate) newest: Option<i64>,
    /// The frames of each stream by the start of their window.
    pub(crate) windows: BTreeMap<i64, HashMap<StreamNo, IntervalSet>>,
    /// The frames of each stream.
    pub(crate) frames: HashMap<StreamNo, IntervalSet>,
    /// When each stream's layouts were used.
    pub(crate) layouts: HashMap<(StreamNo, LayoutId), TimeRange>,
}

impl Segment {
    /// First and last time of its rows, as far as it is known.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let first = self.layouts.values().map(|range| range.start).min();
        let newest = self.newest?;
        Some((first.unwrap_or(newest), newest))
    }

    pub(crate) fn add(&mut self, stream: StreamNo, seq: u64, range: TimeRange, layouts: &[LayoutId]) {
        self.frames.entry(stream).or_default().insert(seq);
        self.newest = self.newest.max(Some(range.end));
        self.windows.entry(window_of(range.start)).or_default().entry(stream).or_default().insert(seq);
        for &layout in layouts {
            self.layouts.entry((stream, layout)).and_modify(|old| *old = join(*old, range)).or_insert(range);
        }
    }
}

/// All segments by index.
pub(crate) type Segments = BTreeMap<u64, Segment>;

pub(crate) fn join(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange { start: a.start.min(b.start), end: a.end.max(b.end) }
}

/// A frame as a segment's list names it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) key: FrameKey,
    pub(crate) hash: FrameHash,
    pub(crate) range: TimeRange,
    pub(crate) offset: u64,
}

/// Reads the log's frames.
#[derive(Debug)]
pub(crate) struct FrameFiles {
    dir: PathBuf,
    lists: Mutex<Vec<(u64, Arc<Vec<Listed>>)>>,
}

impl FrameFiles {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, lists: Mutex::new(Vec::new()) }
    }

    /// The frames of a segment; `closed` ones are remembered. A segment that was removed has none.
    pub(crate) fn list(&self, segment: u64, closed: bool) -> Result<Arc<Vec<Listed>>, FrameError> {
        if let Some((_, list)) = self.lists.lock().iter().find(|(index, _)| *index == segment) {
            return Ok(Arc::clone(list));
        }
        let mut list = Vec::new();
        let scanned = scan_segment(&self.dir, segment, &mut |found| {
            if found.kind == record::FRAME
                && let Ok(head) = record::frame_head(&found.payload)
            {
                list.push(Listed {
                    key: head.key,
                    hash: head.hash,
                    range: head.range,
                    offset: found.at.offset,
                });
            }
        });
        match scanned {
            Err(error) if error.is_gone() => return Ok(Arc::default()),
            Err(error) => return Err(FrameError::Unavailable(error.to_string())),
            Ok(_) => {}
        }
        let list = Arc::new(list);
        if closed {
            let mut lists = self.lists.lock();
            lists.insert(0, (segment, Arc::clone(&list)));
            lists.truncate(LISTS_KEPT);
        }
        Ok(list)
    }

    /// Forgets what it knows of a segment that is removed.
    pub(crate) fn forget(&self, segment: u64) {
        self.lists.lock().retain(|(index, _)| *index != segment);
    }

    /// Forgets all lists: they are read again when somebody asks.
    pub(crate) fn forget_all(&self) {
        self.lists.lock().clear();
    }

    /// Bytes of the lists.
    pub(crate) fn bytes(&self) -> u64 {
        let lists = self.lists.lock();
        lists.iter().map(|(_, list)| allocated(list.capacity() * size_of::<Listed>())).sum()
    }

    /// A reader of frames that keeps the last segment open.
    pub(crate) fn reader(&self) -> FrameReader<'_> {
        FrameReader { files: self, open: None }
    }
}

/// Reads single frames.
pub(crate) struct FrameReader<'a> {
    files: &'a FrameFiles,
    open: Option<(u64, SegmentReader)>,
}

impl FrameReader<'_> {
    /// The frame at a place; none when it is damaged or its segment gone.
    ///
    /// # Errors
    /// When the segment is there and cannot be opened or read, as without file descriptors: that is no damage.
    pub(crate) fn read(&mut self, segment: u64, offset: u64) -> Result<Option<Frame>, FrameError> {
        let reader = match &mut self.open {
            Some((index, reader)) if *index == segment => reader,
            open => match SegmentReader::open(&self.files.dir, segment) {
                Ok(reader) => &mut open.insert((segment, reader)).1,
                Err(error) if error.is_gone() => return Ok(None),
                Err(error) => return Err(FrameError::Unavailable(error.to_string())),
            },
        };
        Ok(match reader.read(offset) {
            Ok(found) if found.kind == record::FRAME => record::frame(found.payload).ok(),
            Ok(_) => None,
            Err(error @ LogError::Corrupt { .. }) => {
                tracing::warn!(%error, "a frame cannot be read");
                None
            }
            Err(error) => return Err(FrameError::Unavailable(error.to_string())),
        })
    }
}
