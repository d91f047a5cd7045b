//! A run: rows of one group in order of time, of which the older are sealed tiles and the rest changes.

use storage::{Cell, TimeRange};

use crate::codec::{CodecError, Tile, TileBuilder};
use crate::row::RowState;
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
    tiles: Vec<Tile>,
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
    pub(crate) fn push(&mut self, at: At, number: u64, row: OpenRow, width: usize) {
        self.open.push(row);
        self.rows.push(at);
        self.last_number = number;
        if self.open.len() >= OPEN_ROWS {
            self.seal(width);
        }
    }

    pub(crate) fn read(&self, width: usize, slots: &[u32], range: TimeRange, out: &mut [Vec<Point>]) {
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

    /// Takes the slots out of `left` that have a sample in a range.
    pub(crate) fn strike_held(&self, width: usize, range: TimeRange, left: &mut Vec<u32>) {
        let mut at = 0;
        for tile in &self.tiles {
            let (from, to) = within(&self.rows[at..at + tile.rows()], range);
            at += tile.rows();
            if from < to {
                left.retain(|&slot| !holds(tile, slot, from, to));
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

/// Whether a tile's slot has a sample in some of its rows; decoded only where its last one is after them.
fn holds(tile: &Tile, slot: u32, from: usize, to: usize) -> bool {
    match tile.last(slot as usize) {
        Ok(Some((row, _))) if row < to => row >= from,
        Ok(Some(_)) => {
            let mut cells = Vec::new();
            tile.cells(slot as usize, &mut cells).is_ok()
                && cells[from..to].iter().any(|cell| *cell != Cell::Absent)
        }
        _ => false,
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
