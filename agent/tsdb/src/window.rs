//! The samples of one 2 h window: rows by group.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use model::STALE_NAN_BITS;
use parking_lot::Mutex;
use storage::{Cell, Frame, IntervalSet, Layout, LayoutId, StreamId};

use crate::adopt::Adopting;
use crate::group::GroupKey;
use crate::kept::{self, Drawer, KeptTiles};
use crate::row::{self, RowState};
use crate::rows::{Applied, Rows};
use crate::spill::SpillFile;
use crate::streams::StreamNo;

/// Length of a window: no frame straddles two.
pub(crate) const WINDOW_MS: i64 = 2 * 60 * 60 * 1000;

/// The start of the window that holds `timestamp`.
pub(crate) fn window_of(timestamp: i64) -> i64 {
    timestamp.div_euclid(WINDOW_MS).saturating_mul(WINDOW_MS)
}

/// Length of a day, which is twelve windows.
pub(crate) const DAY_MS: i64 = 12 * WINDOW_MS;

/// The start of the day, in UTC, that holds `timestamp`.
pub(crate) fn day_of(timestamp: i64) -> i64 {
    timestamp.div_euclid(DAY_MS).saturating_mul(DAY_MS)
}

/// The row that a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) seq: u64,
    pub(crate) row: u32,
}

/// Rows that a reader copies from while the writer waits for no longer than that.
pub(crate) type SharedRows = Arc<Mutex<Rows>>;

/// One window's samples.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) groups: HashMap<GroupKey, SharedRows>,
    /// Of the head: then its memory is bounded, and tiles go to the file, where there is one.
    head: Option<Option<Arc<SpillFile>>>,
    /// Of one that is being sealed from the log: where tiles go.
    file: Option<Arc<SpillFile>>,
    /// Frames of which it has every row, those that wait for their base among them.
    pub(crate) frames: HashMap<StreamNo, IntervalSet>,
    pub(crate) samples: usize,
    /// Rows were dropped for want of memory: what the log has is the truth.
    pub(crate) incomplete: bool,
    /// Rows of which tiles are to be made.
    pub(crate) closed: Vec<SharedRows>,
    /// While the log is replayed: tiles that were found.
    kept: KeptTiles,
}

impl Window {
    /// A window of the head, whose tiles go to a new file in `dir`.
    pub(crate) fn of_head(dir: &Path, start: i64) -> Self {
        Self { head: Some(usable(SpillFile::named(&kept::path(dir, start)), dir)), ..Self::default() }
    }

    /// The same at a start, which goes on with the tiles that are there; none where there are none.
    pub(crate) fn found(dir: &Path, start: i64) -> Option<Self> {
        let path = kept::path(dir, start);
        match kept::reopen(&path) {
            Ok((file, kept)) => Some(Self { head: Some(Some(file)), kept, ..Self::default() }),
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::warn!(%error, file = %path.display(), "tiles are made anew: their file cannot be read");
                }
                None
            }
        }
    }

    /// The log was replayed: tiles that were not taken over by now are not.
    pub(crate) fn end_adopting(&mut self, waiting_left: &mut usize) {
        self.kept = KeptTiles::new();
        let mut applied = Applied::default();
        for rows in self.groups.values() {
            rows.lock().end_adopting(waiting_left, &mut applied);
            if std::mem::take(&mut applied.closed) {
                self.closed.push(Arc::clone(rows));
            }
        }
        self.samples += applied.samples;
        self.incomplete |= applied.dropped_rows > 0;
    }

    /// A window that is put together to be sealed: it takes every row.
    pub(crate) fn for_sealing(dir: &Path) -> Self {
        Self { file: usable(SpillFile::new(dir), dir), ..Self::default() }
    }

    /// It has every row of a frame.
    pub(crate) fn took(&mut self, stream: StreamNo, seq: u64) {
        self.frames.entry(stream).or_default().insert(seq);
    }

    /// Whether it has neither rows nor frames.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.frames.is_empty()
    }

    /// Bytes of tiles that are in its file.
    pub(crate) fn spilled_bytes(&self) -> u64 {
        self.head.iter().flatten().map(|file| file.bytes()).sum()
    }

    /// The rows of a group.
    pub(crate) fn rows(&mut self, stream: StreamNo, id: &StreamId, layout: &Layout) -> SharedRows {
        let rows = self.groups.entry((stream, layout.id())).or_insert_with(|| {
            let slots = layout.slots().len();
            let owner = (id.clone(), layout.id());
            let found = self.kept.remove(&owner);
            let drawer = |file: &Arc<SpillFile>| Drawer { file: Arc::clone(file), owner };
            let mut rows = match &self.head {
                Some(file) => Rows::bounded(slots, file.as_ref().map(drawer)),
                None => Rows::unbounded(slots, self.file.as_ref().map(drawer)),
            };
            found.into_iter().for_each(|tiles| rows.begin_adopting(Adopting::new(tiles)));
            Arc::new(Mutex::new(rows))
        });
        Arc::clone(rows)
    }

    /// Applies a frame's rows, and those that waited for them, as far as a layout, at a place of the frame's table, is
    /// `wanted`. `waiting_left` is how many bytes more may wait; it is counted down.
    pub(crate) fn apply_frame(
        &mut self,
        stream: StreamNo,
        frame: &Frame,
        layouts: &[Arc<Layout>],
        waiting_left: &mut usize,
        wanted: impl Fn(usize, &Layout) -> bool,
    ) -> Applied {
        let mut applied = Applied::default();
        if layouts.is_empty() {
            // A note has no rows.
            return applied;
        }
        let mut groups: Vec<Option<SharedRows>> = vec![None; layouts.len()];
        for (position, raw) in (0..).zip(row::rows(frame.body())) {
            let known = raw.ok().and_then(|raw| Some((raw, layouts.get(raw.layout)?)));
            let Some((raw, layout)) = known else {
                applied.bad_rows += 1;
                continue;
            };
            if !wanted(raw.layout, layout) {
                continue;
            }
            let rows =
                groups[raw.layout].get_or_insert_with(|| self.rows(stream, &frame.key().stream, layout));
            let origin = Origin { seq: frame.key().seq, row: position };
            let mut held = rows.lock();
            if !held.adopt(&raw, frame, origin, waiting_left, &mut applied) {
                held.apply(&raw, frame.range(), origin, waiting_left, &mut applied);
            }
            drop(held);
            if std::mem::take(&mut applied.closed) {
                self.closed.push(Arc::clone(rows));
            }
        }
        self.samples += applied.samples;
        self.incomplete |= applied.dropped_rows > 0;
        applied
    }

    /// Bytes of rows that wait for the row they build on.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.groups.values().map(|rows| rows.lock().waiting_bytes()).sum()
    }

    /// First and last time of its rows.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let all = || self.groups.values().filter_map(|rows| rows.lock().times());
        Some((all().map(|times| times.0).min()?, all().map(|times| times.1).max()?))
    }
}

/// A file for tiles; without one they stay in memory.
fn usable(file: std::io::Result<Arc<SpillFile>>, dir: &Path) -> Option<Arc<SpillFile>> {
    if let Err(error) = &file {
        tracing::warn!(%error, dir = %dir.display(), "tiles stay in memory: no file can be made for them");
    }
    file.ok()
}

/// The bits of a sample, where the cell has one.
pub(crate) fn cell_bits(cell: Cell) -> Option<u64> {
    match cell {
        Cell::Absent => None,
        Cell::Stale => Some(STALE_NAN_BITS),
        Cell::Value(number) => Some(number.to_bits()),
    }
}

/// Decodes one stream's frames of one window in order of sequence, whole rows at a time.
#[derive(Debug, Default)]
pub(crate) struct WindowRows {
    tails: HashMap<LayoutId, RowState>,
}

impl WindowRows {
    /// The rows of the next frame; those whose base is missing are left out.
    pub(crate) fn decode(&mut self, frame: &Frame, layouts: &[Arc<Layout>]) -> Vec<(Arc<Layout>, RowState)> {
        let mut out = Vec::new();
        for raw in row::rows(frame.body()).map_while(Result::ok) {
            let Some(layout) = layouts.get(raw.layout) else { continue };
            let tail = self.tails.remove(&layout.id());
            let base = match raw.base {
                None => None,
                Some(number) => match tail.filter(|tail| tail.number == number) {
                    Some(tail) => Some(tail),
                    None => continue,
                },
            };
            let slots = layout.slots().len();
            if let Ok(row) = row::decode(base, raw.number, raw.time, raw.cells, slots) {
                self.tails.insert(layout.id(), row.clone());
                out.push((Arc::clone(layout), row));
            }
        }
        out
    }
}
