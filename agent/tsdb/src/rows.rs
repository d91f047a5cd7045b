//! The rows of one group in one window, in whatever order they come: each continues a run of earlier ones, or
//! begins one, which readers merge.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use storage::{Cell, TimeRange};

use crate::row::{self, RawRow, RowState};
use crate::run::{At, OpenRow, Point, Run};
use crate::spill::{SpillError, SpillFile};
use crate::window::Origin;

/// One group's rows.
#[derive(Debug)]
pub(crate) struct Rows {
    slots: usize,
    /// Where tiles go.
    file: Option<Arc<SpillFile>>,
    /// Rows that no other row builds on yet; nearly always one.
    tails: Vec<RowState>,
    /// Rows without their base, by its number.
    waiting: BTreeMap<u64, Waiting>,
    /// By nothing in particular; nearly always one.
    runs: Vec<Run>,
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
}

/// What taking rows came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Samples in, those that lose a conflict among them.
    pub(crate) samples: usize,
    /// Rows that contradict their frame or the row they build on.
    pub(crate) bad_rows: u64,
    /// Rows that were dropped for want of memory: what the log has is the truth.
    pub(crate) dropped_rows: u64,
}

impl Rows {
    /// No rows of a group of so many slots; without a file all tiles stay in memory.
    pub(crate) fn new(slots: usize, file: Option<Arc<SpillFile>>) -> Self {
        Self { slots, file, tails: Vec::new(), waiting: BTreeMap::new(), runs: Vec::new() }
    }

    /// Encodes the own node's next row, the one after number `before`, into a frame's body and keeps it. It is
    /// a keyframe where it must be one, or where the row before is not here.
    pub(crate) fn append(
        &mut self,
        before: u64,
        next: NextRow<'_>,
        origin: Origin,
        body: &mut Vec<u8>,
    ) -> bool {
        let mut row = self.tails.pop().unwrap_or_else(|| RowState::empty(self.slots));
        self.tails.clear();
        let keyframe = next.keyframe || row.number != before || before == 0;
        row.number = before;
        let changes = row.encode_next(keyframe, next.layout, next.timestamp, next.cells, body);
        self.keep(&row, (!keyframe).then_some(before), changes.into(), origin);
        self.tails.push(row);
        keyframe
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
        let mut state = match raw.base {
            None => None,
            Some(number) => match self.tails.iter().position(|tail| tail.number == number) {
                Some(at) => Some(self.tails.swap_remove(at)),
                None => {
                    applied.dropped_rows += u64::from(!self.park(number, next, left));
                    return;
                }
            },
        };
        // The row, then the one that waited for it, and so on.
        loop {
            let base = state.as_ref().map(|state| state.number);
            let row = row::decode(state, next.number, next.time, &next.cells, self.slots).ok();
            let Some(row) = row.filter(|row| next.range.contains(row.timestamp)) else {
                applied.bad_rows += 1;
                return;
            };
            applied.samples += row.slots.iter().filter(|slot| slot.cell() != Cell::Absent).count();
            self.keep(&row, base, next.cells, next.origin);
            let Some(waiting) = self.waiting.remove(&row.number) else {
                self.tails.push(row);
                return;
            };
            *left = left.saturating_add(waiting.cells.len());
            (next, state) = (waiting, Some(row));
        }
    }

    /// Bytes of rows that wait for the row they build on.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting.values().map(|row| row.cells.len()).sum()
    }

    /// First and last time of its rows.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let ends = || self.runs.iter().filter_map(Run::ends);
        let first = ends().map(|(first, _)| first.timestamp).min()?;
        let last = ends().map(|(_, last)| last.timestamp).max()?;
        Some((first, last))
    }

    /// Appends each slot's samples of a range to its list, in order of time; of one time in order of sequence.
    /// `slots` are in order.
    pub(crate) fn read(
        &self,
        slots: &[u32],
        range: TimeRange,
        out: &mut [Vec<Point>],
    ) -> Result<(), SpillError> {
        self.runs.iter().try_for_each(|run| run.read(self.slots, slots, range, out))?;
        if self.runs.len() > 1 {
            for points in out {
                points.sort_by_key(|point| (point.timestamp, point.sequence));
            }
        }
        Ok(())
    }

    /// Those of some slots, which are in order, that may have a sample in a range.
    pub(crate) fn held(&self, slots: &[u32], range: TimeRange) -> Vec<u32> {
        let mut left = slots.to_vec();
        if self.runs.iter().try_for_each(|run| run.strike_held(self.slots, range, &mut left)).is_err() {
            return slots.to_vec();
        }
        let mut missing = left.into_iter().peekable();
        slots.iter().copied().filter(|slot| missing.next_if_eq(slot).is_none()).collect()
    }

    /// Keeps a row until its base comes; `false` where there is no room for it.
    fn park(&mut self, base: u64, row: Waiting, left: &mut usize) -> bool {
        let Some(rest) = left.checked_sub(row.cells.len()) else { return false };
        if let Entry::Vacant(entry) = self.waiting.entry(base) {
            *left = rest;
            entry.insert(row);
        }
        true
    }

    /// Keeps a row in the run that it continues; `base` is the row that `changes` build on, none for a keyframe.
    fn keep(&mut self, row: &RowState, base: Option<u64>, changes: Box<[u8]>, origin: Origin) {
        let at = At { timestamp: row.timestamp, sequence: (origin.seq, origin.row) };
        let last = |run: &Run| run.ends().map(|(_, last)| last.timestamp);
        let fits = |run: &&mut Run| last(run).is_some_and(|before| before < row.timestamp);
        let run = match self.runs.iter_mut().filter(fits).max_by_key(|run| last(run)) {
            Some(run) => run,
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
                OpenRow { reset: true, changes: remembered.into(), more: Some(said.into()) }
            }
        };
        run.push(at, row.number, open, self.slots, self.file.as_ref());
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
