//! The rows of one group in one window: runs in order of time, each of sealed tiles and a few open rows.
//!
//! Open rows stay as their changes, as the log has them; at [`OPEN_ROWS`] they become a tile whose columns
//! can be read one by one, and at [`TILE_ROWS`] small tiles become one. Rows that come late begin a run of
//! their own, which readers merge.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use storage::{Cell, TimeRange};

use crate::codec::{CodecError, Tile, TileBuilder};
use crate::row::{self, RawRow, RowState};
use crate::window::{Origin, cell_bits};

/// Rows that are kept as changes, at most.
const OPEN_ROWS: usize = 32;
/// Rows of a tile, at most.
const TILE_ROWS: usize = 128;

/// A sample, and the row that it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) timestamp: i64,
    pub(crate) bits: u64,
    /// The frame's number in its stream, then the row's place in the frame.
    pub(crate) sequence: (u64, u32),
}

/// One group's rows.
#[derive(Debug)]
pub(crate) struct Rows {
    slots: usize,
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

/// When a row was, and where it came from.
#[derive(Clone, Copy, Debug)]
struct At {
    timestamp: i64,
    sequence: (u64, u32),
}

/// Rows in order of time, no two at one.
#[derive(Debug)]
struct Run {
    rows: Vec<At>,
    /// Of the first rows, in order.
    tiles: Vec<Tile>,
    /// The rest.
    open: Vec<OpenRow>,
    /// The number of the last row in its group.
    last_number: u64,
}

/// What leads from the row before to this one.
#[derive(Debug)]
struct OpenRow {
    /// Nothing before counts.
    reset: bool,
    changes: Box<[u8]>,
    /// Applied after `changes`, where a whole state had to be written down.
    more: Option<Box<[u8]>>,
}

impl Rows {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, tails: Vec::new(), waiting: BTreeMap::new(), runs: Vec::new() }
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
        let first = self.runs.iter().filter_map(|run| run.rows.first()).map(|at| at.timestamp).min()?;
        let last = self.runs.iter().filter_map(|run| run.rows.last()).map(|at| at.timestamp).max()?;
        Some((first, last))
    }

    /// Appends each slot's samples of a range to its list, in order of time; of one time in order of sequence.
    pub(crate) fn read(&self, slots: &[u32], range: TimeRange, out: &mut [Vec<Point>]) {
        for run in &self.runs {
            run.read(self.slots, slots, range, out);
        }
        if self.runs.len() > 1 {
            for points in out {
                points.sort_by_key(|point| (point.timestamp, point.sequence));
            }
        }
    }

    /// Those of some slots that have a sample in a range.
    pub(crate) fn held(&self, slots: &[u32], range: TimeRange) -> Vec<u32> {
        let mut points = vec![Vec::new(); slots.len()];
        self.read(slots, range, &mut points);
        slots.iter().zip(points).filter(|(_, points)| !points.is_empty()).map(|(&slot, _)| slot).collect()
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
        let before = |run: &&mut Run| run.rows.last().is_some_and(|last| last.timestamp < row.timestamp);
        let latest =
            self.runs.iter_mut().filter(before).max_by_key(|run| run.rows.last().map(|at| at.timestamp));
        let run = match latest {
            Some(run) => run,
            None => {
                self.runs.push(Run { rows: Vec::new(), tiles: Vec::new(), open: Vec::new(), last_number: 0 });
                let last = self.runs.len() - 1;
                &mut self.runs[last]
            }
        };
        let open = match base {
            None => OpenRow { reset: true, changes, more: None },
            Some(base) if base == run.last_number && !run.open.is_empty() => {
                OpenRow { reset: false, changes, more: None }
            }
            Some(_) => {
                let [remembered, said] = row.snapshot();
                OpenRow { reset: true, changes: remembered.into(), more: Some(said.into()) }
            }
        };
        run.open.push(open);
        run.rows.push(at);
        run.last_number = row.number;
        if run.open.len() >= OPEN_ROWS {
            run.seal(self.slots);
        }
    }
}

impl Run {
    fn read(&self, width: usize, slots: &[u32], range: TimeRange, out: &mut [Vec<Point>]) {
        let mut at = 0;
        let mut cells = Vec::new();
        for tile in &self.tiles {
            let rows = &self.rows[at..at + tile.rows()];
            at += tile.rows();
            let (from, to) = within(rows, range);
            if from >= to {
                continue;
            }
            for (&slot, out) in slots.iter().zip(out.iter_mut()) {
                cells.clear();
                // What was encoded here decodes.
                if tile.cells(slot as usize, &mut cells).is_err() {
                    continue;
                }
                let points = rows[from..to].iter().zip(&cells[from..to]);
                out.extend(points.filter_map(|(at, &cell)| at.point(cell)));
            }
        }
        let rows = &self.rows[at..];
        let (from, to) = within(rows, range);
        if from < to {
            self.replay(width, |position, row| {
                if (from..to).contains(&position) {
                    for (&slot, out) in slots.iter().zip(out.iter_mut()) {
                        out.extend(rows[position].point(row.slots[slot as usize].cell()));
                    }
                }
                position + 1 < to
            });
        }
    }

    /// Gives every open row in order, until told to stop.
    fn replay(&self, width: usize, mut visit: impl FnMut(usize, &RowState) -> bool) {
        let mut row = RowState::empty(width);
        for (position, open) in self.open.iter().enumerate() {
            if open.reset {
                row.reset();
            }
            // They were applied once already, when the row was taken.
            let more = open.more.as_deref();
            let applied = row.apply(&open.changes).and_then(|()| more.map_or(Ok(()), |more| row.apply(more)));
            if applied.is_err() || !visit(position, &row) {
                return;
            }
        }
    }

    /// Turns the open rows into a tile, and small tiles into one.
    fn seal(&mut self, width: usize) {
        let sealed = self.sealed(width).and_then(|tile| {
            self.open.clear();
            self.tiles.push(tile);
            self.join_tiles(width)
        });
        if let Err(error) = sealed {
            // The rows stay as they are: larger, and read just as well.
            tracing::warn!(%error, "rows of the head cannot be sealed");
        }
    }

    fn sealed(&self, width: usize) -> Result<Tile, CodecError> {
        let rows = self.open.len();
        let mut columns = vec![Cell::Absent; width * rows];
        self.replay(width, |position, row| {
            for (slot, state) in row.slots.iter().enumerate() {
                columns[slot * rows + position] = state.cell();
            }
            true
        });
        let mut builder = TileBuilder::default();
        builder.begin(&self.timestamps(self.rows.len() - rows..self.rows.len()))?;
        columns.chunks_exact(rows).try_for_each(|column| builder.column(column))?;
        builder.finish()
    }

    fn join_tiles(&mut self, width: usize) -> Result<(), CodecError> {
        let small = self.tiles.iter().rev().take_while(|tile| tile.rows() < TILE_ROWS).count();
        let first = self.tiles.len() - small;
        let rows: usize = self.tiles[first..].iter().map(Tile::rows).sum();
        if rows < TILE_ROWS {
            return Ok(());
        }
        let start: usize = self.tiles[..first].iter().map(Tile::rows).sum();
        let mut builder = TileBuilder::default();
        builder.begin(&self.timestamps(start..start + rows))?;
        let mut column = Vec::with_capacity(rows);
        for slot in 0..width {
            column.clear();
            for tile in &self.tiles[first..] {
                tile.cells(slot, &mut column)?;
            }
            builder.column(&column)?;
        }
        let joined = builder.finish()?;
        self.tiles.truncate(first);
        self.tiles.push(joined);
        Ok(())
    }

    fn timestamps(&self, rows: std::ops::Range<usize>) -> Vec<i64> {
        self.rows[rows].iter().map(|at| at.timestamp).collect()
    }
}

impl At {
    fn point(self, cell: Cell) -> Option<Point> {
        let bits = cell_bits(cell)?;
        Some(Point { timestamp: self.timestamp, bits, sequence: self.sequence })
    }
}

/// The positions of the rows of a range.
fn within(rows: &[At], range: TimeRange) -> (usize, usize) {
    let from = rows.partition_point(|at| at.timestamp < range.start);
    (from, rows.partition_point(|at| at.timestamp <= range.end))
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
