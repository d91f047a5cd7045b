//! A run: rows of one group in order of time, of which the older are sealed tiles and the rest changes.

use std::sync::Arc;

use storage::{Cell, TimeRange};

use crate::codec::{CodecError, Tile, TileBuilder};
use crate::row::RowState;
use crate::spill::{Sealed, SpillError, SpillFile};
use crate::window::cell_bits;

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

/// When a row was, and where it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) timestamp: i64,
    pub(crate) sequence: (u64, u32),
}

/// Rows in order of time, no two at one.
#[derive(Debug, Default)]
pub(crate) struct Run {
    rows: Vec<At>,
    /// Of the first rows, in order.
    tiles: Vec<Sealed>,
    /// The rest.
    open: Vec<OpenRow>,
    /// The number of the last row in its group.
    last_number: u64,
}

/// What leads from the row before to this one.
#[derive(Debug)]
pub(crate) struct OpenRow {
    /// Nothing before counts.
    pub(crate) reset: bool,
    pub(crate) changes: Box<[u8]>,
    /// Applied after `changes`, where a whole state had to be written down.
    pub(crate) more: Option<Box<[u8]>>,
}

impl Run {
    /// Its first and last row.
    pub(crate) fn ends(&self) -> Option<(&At, &At)> {
        Some((self.rows.first()?, self.rows.last()?))
    }

    /// Whether changes against the row of that number can follow.
    pub(crate) fn is_followed_by(&self, base: u64) -> bool {
        base == self.last_number && !self.open.is_empty()
    }

    /// Adds a row after its last; `number` is the row's in its group.
    pub(crate) fn push(
        &mut self,
        at: At,
        number: u64,
        row: OpenRow,
        width: usize,
        file: Option<&Arc<SpillFile>>,
    ) {
        self.open.push(row);
        self.rows.push(at);
        self.last_number = number;
        if self.open.len() >= OPEN_ROWS {
            self.seal(width, file);
        }
    }

    /// Appends each slot's samples of a range to its list. `slots` are in order.
    pub(crate) fn read(
        &self,
        width: usize,
        slots: &[u32],
        range: TimeRange,
        out: &mut [Vec<Point>],
    ) -> Result<(), SpillError> {
        let mut at = 0;
        for tile in &self.tiles {
            let rows = &self.rows[at..at + tile.rows()];
            at += tile.rows();
            let (from, to) = within(rows, range);
            if from < to {
                tile.cells(slots, |slot, cells| {
                    let points = rows[from..to].iter().zip(&cells[from..to]);
                    out[slot].extend(points.filter_map(|(at, &cell)| at.point(cell)));
                })?;
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
        Ok(())
    }

    /// Takes the slots out of `left` that have a sample in a range.
    pub(crate) fn strike_held(
        &self,
        width: usize,
        range: TimeRange,
        left: &mut Vec<u32>,
    ) -> Result<(), SpillError> {
        let mut at = 0;
        for tile in &self.tiles {
            let (from, to) = within(&self.rows[at..at + tile.rows()], range);
            at += tile.rows();
            if from < to {
                strike_held(tile, from, to, left)?;
            }
        }
        let (from, to) = within(&self.rows[at..], range);
        if from < to && !left.is_empty() {
            self.replay(width, |position, row| {
                if position >= from {
                    left.retain(|&slot| row.slots[slot as usize].cell() == Cell::Absent);
                }
                position + 1 < to
            });
        }
        Ok(())
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
    fn seal(&mut self, width: usize, file: Option<&Arc<SpillFile>>) {
        let sealed = self.sealed(width).and_then(|tile| {
            self.open.clear();
            self.tiles.push(Sealed::Memory(tile));
            self.join_tiles(width, file)
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

    /// Small tiles at the end as one, in the file where there is one: memory has no more of them from then on.
    fn join_tiles(&mut self, width: usize, file: Option<&Arc<SpillFile>>) -> Result<(), CodecError> {
        let small = |tile: &&Sealed| tile.rows() < TILE_ROWS;
        let first = self.tiles.len() - self.tiles.iter().rev().take_while(small).count();
        let rows: usize = self.tiles[first..].iter().map(Sealed::rows).sum();
        if rows < TILE_ROWS {
            return Ok(());
        }
        let start: usize = self.tiles[..first].iter().map(Sealed::rows).sum();
        let mut builder = TileBuilder::default();
        builder.begin(&self.timestamps(start..start + rows))?;
        let mut column = Vec::with_capacity(rows);
        for slot in 0..width {
            column.clear();
            for tile in &self.tiles[first..] {
                // Those that are small have not been put into the file.
                if let Sealed::Memory(tile) = tile {
                    tile.cells(slot, &mut column)?;
                }
            }
            builder.column(&column)?;
        }
        let joined = builder.finish()?;
        self.tiles.truncate(first);
        self.tiles.push(Sealed::new(joined, file));
        Ok(())
    }

    fn timestamps(&self, rows: std::ops::Range<usize>) -> Vec<i64> {
        self.rows[rows].iter().map(|at| at.timestamp).collect()
    }
}

/// The same for some rows of a tile: decoded only where a slot's last sample is after them.
fn strike_held(tile: &Sealed, from: usize, to: usize, left: &mut Vec<u32>) -> Result<(), SpillError> {
    let mut last = vec![None; left.len()];
    tile.last_rows(left, |at, row| last[at] = Some(row))?;
    let later: Vec<u32> = left
        .iter()
        .zip(&last)
        .filter(|(_, row)| row.is_some_and(|row| row >= to))
        .map(|(&slot, _)| slot)
        .collect();
    let mut held: Vec<u32> = Vec::new();
    tile.cells(&later, |at, cells| {
        if cells[from..to].iter().any(|cell| *cell != Cell::Absent) {
            held.push(later[at]);
        }
    })?;
    let mut last = last.into_iter();
    left.retain(|slot| {
        let row = last.next().flatten();
        let inside = row.is_some_and(|row| (from..to).contains(&row));
        !inside && held.binary_search(slot).is_err()
    });
    Ok(())
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
