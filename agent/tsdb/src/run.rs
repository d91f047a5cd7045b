//! A run: rows of one group in order of time, of which the older are sealed tiles and the rest changes.

use std::sync::Arc;

use storage::{Cell, TimeRange};

use crate::codec::{CodecError, Tile, TileBuilder};
use crate::row::RowState;
use crate::spill::{Sealed, SpillFile};
use crate::view::{TileView, View};
use crate::window::cell_bits;

/// Rows that are kept as changes, at most.
const OPEN_ROWS: usize = 32;
/// Rows of a tile, at most.
const TILE_ROWS: usize = 128;

/// Columns that are put into a tile at a time.
const COLUMNS_AT_ONCE: usize = 1 << 14;

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
    tiles: Vec<Arc<Sealed>>,
    /// The rest.
    open: Vec<OpenRow>,
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

    /// Whether changes against that row can follow.
    pub(crate) fn is_followed_by(&self, base: (u64, u32)) -> bool {
        !self.open.is_empty() && self.rows.last().is_some_and(|last| last.sequence == base)
    }

    /// Adds a row after its last.
    pub(crate) fn push(&mut self, at: At, row: OpenRow, width: usize, file: Option<&Arc<SpillFile>>) {
        self.open.push(row);
        self.rows.push(at);
        if self.open.len() >= OPEN_ROWS {
            self.seal(width, file);
        }
    }

    /// Turns all rows into tiles: none is added afterwards.
    pub(crate) fn close(&mut self, width: usize) -> Result<(), CodecError> {
        if !self.open.is_empty() {
            let tile = self.sealed(width)?;
            self.open.clear();
            self.tiles.push(Arc::new(Sealed::Memory(tile)));
        }
        Ok(())
    }

    /// Its tiles, each with its rows.
    pub(crate) fn tiles(&self) -> impl Iterator<Item = (Arc<Sealed>, &[At])> {
        let mut start = 0;
        self.tiles.iter().map(move |tile| {
            let rows = &self.rows[start..start + tile.rows()];
            start += tile.rows();
            (Arc::clone(tile), rows)
        })
    }

    /// Adds its rows of a range to a view of some slots.
    pub(crate) fn view(&self, width: usize, slots: &[u32], range: TimeRange, view: &mut View) {
        let mut at = 0;
        for tile in &self.tiles {
            let rows = &self.rows[at..at + tile.rows()];
            at += tile.rows();
            let (from, to) = within(rows, range);
            if from < to {
                view.tiles.push(TileView { tile: Arc::clone(tile), from, rows: rows[from..to].to_vec() });
            }
        }
        let rows = &self.rows[at..];
        let (from, to) = within(rows, range);
        if from < to {
            self.replay(width, |position, row| {
                if position >= from {
                    for (&slot, out) in slots.iter().zip(view.open.iter_mut()) {
                        out.extend(rows[position].point(row.slots[slot as usize].cell()));
                    }
                }
                position + 1 < to
            });
        }
    }

    /// Gives every open row in order, until told to stop; how many were given.
    fn replay(&self, width: usize, mut visit: impl FnMut(usize, &RowState) -> bool) -> usize {
        let mut row = RowState::empty(width);
        for (position, open) in self.open.iter().enumerate() {
            if open.reset {
                row.reset();
            }
            // They were applied once already, when the row was taken.
            let more = open.more.as_deref();
            let applied = row.apply(&open.changes).and_then(|()| more.map_or(Ok(()), |more| row.apply(more)));
            if applied.is_err() {
                return position;
            }
            if !visit(position, &row) {
                return position + 1;
            }
        }
        self.open.len()
    }

    /// Turns the open rows into a tile, and small tiles into one.
    fn seal(&mut self, width: usize, file: Option<&Arc<SpillFile>>) {
        let sealed = self.sealed(width).and_then(|tile| {
            self.open.clear();
            self.tiles.push(Arc::new(Sealed::Memory(tile)));
            self.join_tiles(width, file)
        });
        if let Err(error) = sealed {
            // The rows stay as they are: larger, and read just as well.
            tracing::warn!(%error, "rows of the head cannot be sealed");
        }
    }

    fn sealed(&self, width: usize) -> Result<Tile, CodecError> {
        let rows = self.open.len();
        let mut builder = TileBuilder::default();
        builder.begin(&self.timestamps(self.rows.len() - rows..self.rows.len()))?;
        // A part of a wide group at a time: its cells take up sixteen times what they say.
        for from in (0..width).step_by(COLUMNS_AT_ONCE) {
            let to = width.min(from + COLUMNS_AT_ONCE);
            let mut columns = vec![Cell::Absent; (to - from) * rows];
            let given = self.replay(width, |position, row| {
                for (column, state) in row.slots[from..to].iter().enumerate() {
                    columns[column * rows + position] = state.cell();
                }
                true
            });
            if given < rows {
                return Err(CodecError::new("a new tile", "an open row does not follow from the one before"));
            }
            columns.chunks_exact(rows).try_for_each(|column| builder.column(column))?;
        }
        builder.finish()
    }

    /// Small tiles at the end as one, in the file where there is one: memory has no more of them from then on.
    fn join_tiles(&mut self, width: usize, file: Option<&Arc<SpillFile>>) -> Result<(), CodecError> {
        let small = |tile: &&Arc<Sealed>| tile.rows() < TILE_ROWS;
        let first = self.tiles.len() - self.tiles.iter().rev().take_while(small).count();
        let rows: usize = self.tiles[first..].iter().map(|tile| tile.rows()).sum();
        if rows < TILE_ROWS {
            return Ok(());
        }
        let start: usize = self.tiles[..first].iter().map(|tile| tile.rows()).sum();
        let mut builder = TileBuilder::default();
        builder.begin(&self.timestamps(start..start + rows))?;
        let mut column = Vec::with_capacity(rows);
        for slot in 0..width {
            column.clear();
            for tile in &self.tiles[first..] {
                // Those that are small have not been put into the file.
                if let Sealed::Memory(tile) = &**tile {
                    tile.cells(slot, &mut column)?;
                }
            }
            builder.column(&column)?;
        }
        let joined = builder.finish()?;
        self.tiles.truncate(first);
        self.tiles.push(Arc::new(Sealed::new(joined, file)));
        Ok(())
    }

    fn timestamps(&self, rows: std::ops::Range<usize>) -> Vec<i64> {
        self.rows[rows].iter().map(|at| at.timestamp).collect()
    }
}

impl At {
    pub(crate) fn point(self, cell: Cell) -> Option<Point> {
        let bits = cell_bits(cell)?;
        Some(Point { timestamp: self.timestamp, bits, sequence: self.sequence })
    }
}

/// The positions of the rows of a range.
fn within(rows: &[At], range: TimeRange) -> (usize, usize) {
    let from = rows.partition_point(|at| at.timestamp < range.start);
    (from, rows.partition_point(|at| at.timestamp <= range.end))
}
