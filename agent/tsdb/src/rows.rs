//! The rows of one group in one window, in whatever order they come: each continues a run of earlier ones, or
//! begins one, which readers merge.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use storage::{Cell, Changes, TimeRange};

use crate::adopt::{Adopting, Whole};
use crate::codec::CodecError;
use crate::columns::OpenColumns;
use crate::kept::Drawer;
use crate::memory::{RowBytes, allocated, shared};
use crate::row::{self, RawRow, RowState};
use crate::run::{At, OpenRow, Run};
use crate::spill::Sealed;
use crate::tiling::Work;
use crate::view::{OpenView, View};
use crate::window::Origin;

/// Runs of the head's groups, at most: more rows out of order are left to the log.
const RUNS_MAX: usize = 256;
/// Rows of the head's groups that others may build on, at most.
const TAILS_MAX: usize = 16;
/// Bytes that a waiting row takes up besides its cells.
const WAITING_BYTES: usize = 128;

/// One group's rows.
#[derive(Debug)]
pub(crate) struct Rows {
    slots: usize,
    /// Where tiles go.
    drawer: Option<Drawer>,
    /// Nobody asks for more than it holds of them, and it must hold no more than so much.
    bounded: bool,
    /// Rows that no other row builds on yet; nearly always one.
    tails: Vec<Tail>,
    /// Numbers of received keyframes: nothing builds on the row before one.
    keyframes: BTreeSet<u64>,
    /// Rows without their base, by its number.
    waiting: BTreeMap<u64, Waiting>,
    /// By nothing in particular; nearly always one.
    runs: Vec<Run>,
    /// While the log is replayed: tiles that its rows may be.
    adopting: Option<Box<Adopting>>,
}

/// A row that others may build on, and its place in its stream.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    pub(crate) row: RowState,
    pub(crate) sequence: (u64, u32),
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    time: i64,
    cells: Box<[u8]>,
    range: TimeRange,
    origin: Origin,
}

/// A row of the own node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextRow<'a> {
    /// It must be one.
    pub(crate) keyframe: bool,
    /// Position in the frame's table.
    pub(crate) layout: usize,
    pub(crate) timestamp: i64,
    /// One a slot.
    pub(crate) cells: &'a [Cell],
    /// Where they may differ from the row before.
    pub(crate) changed: Option<Changes<'a>>,
}

/// What became of a row of the own node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) keyframe: bool,
    /// It can be read here; else the log has it alone.
    pub(crate) kept: bool,
    /// There are rows for another tile: see [`Rows::work`].
    pub(crate) closed: bool,
}

/// What taking rows came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Samples in, those that lose a conflict among them.
    pub(crate) samples: usize,
    /// Rows that are part of a tile that was there.
    pub(crate) adopted: usize,
    /// Rows that contradict their frame or the row they build on.
    pub(crate) bad_rows: u64,
    /// Rows that were dropped for want of memory: what the log has is the truth.
    pub(crate) dropped_rows: u64,
    /// There are rows for another tile: see [`Rows::work`].
    pub(crate) closed: bool,
}

impl Rows {
    /// No rows of a group of so many slots, for one question: whatever comes is kept.
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            slots,
            drawer: None,
            bounded: false,
            tails: Vec::new(),
            keyframes: BTreeSet::new(),
            waiting: BTreeMap::new(),
            runs: Vec::new(),
            adopting: None,
        }
    }

    /// The same for the head; without a file all tiles stay in memory.
    pub(crate) fn bounded(slots: usize, drawer: Option<Drawer>) -> Self {
        Self { drawer, bounded: true, ..Self::new(slots) }
    }

    /// The same for sealing: whatever comes is kept, in the file where there is one.
    pub(crate) fn unbounded(slots: usize, drawer: Option<Drawer>) -> Self {
        Self { drawer, ..Self::new(slots) }
    }

    /// The first rows that come may be those of tiles that are there already.
    pub(crate) fn begin_adopting(&mut self, adopting: Adopting) {
        self.adopting = Some(Box::new(adopting));
    }

    pub(crate) fn adopting(&mut self) -> Option<&mut Adopting> {
        self.adopting.as_deref_mut()
    }

    pub(crate) fn stop_adopting(&mut self) -> Option<Box<Adopting>> {
        self.adopting.take()
    }

    /// Takes over a tile whose rows are the next ones; nothing but tiles is here.
    pub(crate) fn take_whole(&mut self, whole: Whole) {
        if self.runs.is_empty() {
            self.runs.push(Run::default());
        }
        self.runs[0].adopt(&whole.rows, whole.tile);
        self.keyframes.extend(whole.keyframes);
    }

    /// The last row of the tiles that were taken over: others may build on it.
    pub(crate) fn take_last(&mut self, last: Tail) {
        self.tails = vec![last];
    }

    pub(crate) fn width(&self) -> usize {
        self.slots
    }

    /// Turns all rows into tiles: none is added afterwards.
    pub(crate) fn close(&mut self) -> Result<(), CodecError> {
        self.runs.iter_mut().try_for_each(|run| run.close(self.slots))
    }

    /// All tiles, each with its rows.
    pub(crate) fn tiles(&self) -> impl Iterator<Item = (Arc<Sealed>, Vec<At>)> {
        self.runs.iter().flat_map(Run::tiles)
    }

    /// Rows that others may still build on.
    pub(crate) fn tails(&self) -> &[Tail] {
        &self.tails
    }

    /// Rows that are elsewhere, on which these may build.
    pub(crate) fn seed(&mut self, tails: Vec<Tail>) {
        self.tails.extend(tails);
    }

    /// Whether the row of that number was received and is a keyframe.
    pub(crate) fn has_keyframe(&self, number: u64) -> bool {
        self.keyframes.contains(&number)
    }

    /// Where rows without their base came from.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = Origin> {
        self.waiting.values().map(|waiting| waiting.origin)
    }

    /// Encodes the own node's next row, the one after number `before`, into a frame's body and keeps it. It is
    /// a keyframe where it must be one, or where the row before is not here.
    pub(crate) fn append(
        &mut self,
        before: u64,
        next: NextRow<'_>,
        origin: Origin,
        body: &mut Vec<u8>,
    ) -> Appended {
        let known = self.tails.pop();
        self.tails.clear();
        let base = known.as_ref().filter(|tail| !next.keyframe && tail.row.number == before && before > 0);
        let base = base.map(|tail| tail.sequence);
        let mut row = known.map_or_else(|| RowState::empty(self.slots), |tail| tail.row);
        row.number = before;
        let NextRow { layout, timestamp, cells, changed, .. } = next;
        let changes = row.encode_next(base.is_none(), layout, timestamp, cells, changed, body);
        let (kept, closed) = match self.keep(&row, base, changes, origin) {
            Some(closed) => (true, closed),
            None => (false, false),
        };
        self.tails.push(Tail { row, sequence: (origin.seq, origin.row) });
        Appended { keyframe: base.is_none(), kept, closed }
    }

    /// No more rows of the own node come before the next keyframe.
    pub(crate) fn end(&mut self) {
        self.tails.clear();
    }

    /// Takes a row of a frame and those that waited for it. `left` is how many bytes more may wait, and is
    /// counted down.
    pub(crate) fn apply(
        &mut self,
        raw: &RawRow<'_>,
        range: TimeRange,
        origin: Origin,
        left: &mut usize,
        applied: &mut Applied,
    ) {
        let mut next = Waiting { number: raw.number, time: raw.time, cells: raw.cells.into(), range, origin };
        let mut tail = match raw.base {
            None => {
                self.keyframes.insert(raw.number);
                self.tails.retain(|tail| tail.row.number.checked_add(1) != Some(raw.number));
                None
            }
            Some(number) => match self.tails.iter().rposition(|tail| tail.row.number == number) {
                Some(at) => Some(self.tails.remove(at)),
                None => {
                    applied.dropped_rows += u64::from(!self.park(number, next, left));
                    return;
                }
            },
        };
        // The row, then the one that waited for it, and so on.
        loop {
            let base = tail.as_ref().map(|tail| tail.sequence);
            let before = tail.map(|tail| tail.row);
            let row = row::decode(before, next.number, next.time, &next.cells, self.slots).ok();
            let Some(row) = row.filter(|row| next.range.contains(row.timestamp)) else {
                applied.bad_rows += 1;
                return;
            };
            let samples = row.present();
            match self.keep(&row, base, next.cells, next.origin) {
                Some(closed) => {
                    (applied.samples, applied.closed) = (applied.samples + samples, applied.closed | closed)
                }
                None => applied.dropped_rows += 1,
            }
            let sequence = (next.origin.seq, next.origin.row);
            let Some(waiting) = self.waiting.remove(&row.number) else {
                self.add_tail(Tail { row, sequence }, applied);
                return;
            };
            *left = left.saturating_add(waiting.bytes());
            tail = Some(Tail { row, sequence });
            next = waiting;
        }
    }

    /// Remembers a row that others may build on: none does where the next one is a keyframe.
    fn add_tail(&mut self, tail: Tail, applied: &mut Applied) {
        if tail.row.number.checked_add(1).is_some_and(|next| self.keyframes.contains(&next)) {
            return;
        }
        self.tails.push(tail);
        if self.bounded && self.tails.len() > TAILS_MAX {
            self.tails.remove(0);
            applied.dropped_rows += 1;
        }
    }

    /// What it takes up.
    pub(crate) fn bytes(&self) -> RowBytes {
        let slots = |tail: &Tail| allocated(tail.row.slots.capacity() * size_of::<row::Slot>());
        let own = shared(size_of::<parking_lot::Mutex<Self>>())
            + allocated(self.tails.capacity() * size_of::<Tail>())
            + allocated(self.runs.capacity() * size_of::<Run>())
            + self.tails.iter().map(slots).sum::<u64>()
            + self.waiting_bytes() as u64;
        let mut bytes = RowBytes { rows: own, tiles: 0 };
        for run in &self.runs {
            run.add_bytes(&mut bytes);
        }
        bytes
    }

    /// Bytes of rows that wait for the row they build on.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting.values().map(Waiting::bytes).sum()
    }

    /// First and last time of its rows.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let ends = || self.runs.iter().filter_map(Run::ends);
        let first = ends().map(|(first, _)| first.timestamp).min()?;
        let last = ends().map(|(_, last)| last.timestamp).max()?;
        Some((first, last))
    }

    /// The newest row alone, if it is in a range and has a sample of each of some slots; none where rows came out of
    /// order.
    pub(crate) fn newest(&self, slots: &[u32], range: TimeRange) -> Option<View> {
        let ([run], [Tail { row, sequence }]) = (self.runs.as_slice(), self.tails.as_slice()) else {
            return None;
        };
        let (_, last) = run.ends()?;
        let is_last = last.timestamp == row.timestamp && last.sequence == *sequence;
        let has = |slot: &u32| row.slots.get(*slot as usize).is_some_and(|slot| slot.cell() != Cell::Absent);
        if !is_last || !range.contains(last.timestamp) || !slots.iter().all(has) {
            return None;
        }
        let mut columns = OpenColumns::new(slots.iter().map(|_| false), 1);
        columns.push(|column| row.slots[slots[column] as usize].cell());
        let mut view = View::new(slots);
        view.open.push(OpenView { rows: vec![last], columns });
        Some(view)
    }

    /// What a reader needs of a range and of some slots, which are in order.
    pub(crate) fn view(&self, slots: &[u32], range: TimeRange) -> View {
        let mut view = View::new(slots);
        self.runs.iter().for_each(|run| run.view(self.slots, slots, range, &mut view));
        view.mixed = self.runs.len() > 1;
        view
    }

    /// Those of some slots, which are in order, that have no sample in a range.
    pub(crate) fn without(&self, slots: &[u32], range: TimeRange) -> Vec<u32> {
        let mut left = slots.to_vec();
        // Nearly always the newest row says so of all.
        for Tail { row, .. } in self.tails.iter().filter(|tail| range.contains(tail.row.timestamp)) {
            left.retain(|&slot| row.slots.get(slot as usize).is_none_or(|slot| slot.cell() == Cell::Absent));
        }
        if !left.is_empty() {
            let held = self.view(&left, range).held();
            left.retain(|slot| held.binary_search(slot).is_err());
        }
        left
    }

    /// Keeps a row until its base comes; `false` where there is no room for it.
    fn park(&mut self, base: u64, row: Waiting, left: &mut usize) -> bool {
        let Some(rest) = left.checked_sub(row.bytes()) else { return false };
        if let Entry::Vacant(entry) = self.waiting.entry(base) {
            *left = rest;
            entry.insert(row);
        }
        true
    }

    /// Keeps a row in the run that it continues; `base` is the place of the row that `changes` build on, none for
    /// a keyframe. `None` where there are too many runs; else whether there are rows for another tile.
    fn keep(
        &mut self,
        row: &RowState,
        base: Option<(u64, u32)>,
        changes: Box<[u8]>,
        origin: Origin,
    ) -> Option<bool> {
        let at = At { timestamp: row.timestamp, sequence: (origin.seq, origin.row) };
        let last = |run: &Run| run.ends().map(|(_, last)| last.timestamp);
        let fits = |run: &&mut Run| last(run).is_some_and(|before| before < row.timestamp);
        let full = self.bounded && self.runs.len() >= RUNS_MAX;
        let run = match self.runs.iter_mut().filter(fits).max_by_key(|run| last(run)) {
            Some(run) => run,
            None if full => return None,
            None => {
                self.runs.push(Run::default());
                let newest = self.runs.len() - 1;
                &mut self.runs[newest]
            }
        };
        let open = match base {
            None => OpenRow { reset: true, changes, more: None },
            Some(base) if run.is_followed_by(base) => OpenRow { reset: false, changes, more: None },
            Some(_) => {
                let [remembered, said] = row.snapshot();
                OpenRow { reset: true, changes: remembered, more: Some(said) }
            }
        };
        Some(run.push(at, open, self.slots, self.drawer.as_ref(), self.bounded))
    }

    /// The next tile to make of closed rows: without holding these rows, which readers see meanwhile. The head's
    /// are not made by whoever appends.
    pub(crate) fn work(&self, join_at: usize) -> Option<(usize, Work)> {
        let work =
            |(at, run): (usize, &Run)| Some((at, run.work(self.slots, self.drawer.as_ref(), join_at)?));
        self.runs.iter().enumerate().find_map(work)
    }

    /// Puts the tile where its rows are.
    pub(crate) fn put(&mut self, run: usize, work: &Work, made: Result<Vec<Arc<Sealed>>, CodecError>) {
        if let Some(run) = self.runs.get_mut(run) {
            run.put(work, made);
        }
    }

    /// Closes runs of open rows that have so many; whether there are any.
    pub(crate) fn hand_over(&mut self, rows: usize) -> bool {
        self.runs.iter_mut().fold(false, |any, run| run.hand_over(rows) | any)
    }

    /// The same for runs that are followed by no row.
    pub(crate) fn hand_over_idle(&mut self, now_ms: i64, is_past: bool) -> bool {
        self.runs.iter_mut().fold(false, |any, run| run.hand_over_idle(now_ms, is_past) | any)
    }
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.cells.len() + WAITING_BYTES
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
