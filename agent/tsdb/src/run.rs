//! A run: rows of one group in order of time, of which the older are sealed tiles and the rest changes.

use std::ops::Range;
use std::sync::Arc;

use storage::{Cell, TimeRange};

use crate::codec::{CodecError, Tile, TileBuilder};
use crate::columns::OpenColumns;
use crate::places::Places;
use crate::row::RowState;
use crate::spill::{Sealed, SpillFile};
use crate::view::{OpenView, TileView, View};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) timestamp: i64,
    pub(crate) sequence: (u64, u32),
}

/// Rows in order of time, no two at one.
#[derive(Debug, Default)]
pub(crate) struct Run {
    rows: Places,
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
    pub(crate) fn ends(&self) -> Option<(At, At)> {
        Some((self.rows.get(0)?, self.rows.last()?))
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
    pub(crate) fn tiles(&self) -> impl Iterator<Item = (Arc<Sealed>, Vec<At>)> {
        let mut start = 0;
        self.tiles.iter().map(move |tile| {
            let rows = self.rows.range(start..start + tile.rows()).collect();
            start += tile.rows();
            (Arc::clone(tile), rows)
        })
    }

    /// Adds its rows of a range to a view of some slots.
    pub(crate) fn view(&self, width: usize, slots: &[u32], range: TimeRange, view: &mut View) {
        let mut at = 0;
        for tile in &self.tiles {
            let found = self.rows.within(at..at + tile.rows(), range);
            if !found.is_empty() {
                let (from, rows) = (found.start - at, self.rows.range(found).collect());
                view.tiles.push(TileView { tile: Arc::clone(tile), from, rows });
            }
            at += tile.rows();
        }
        let found = self.rows.within(at..self.rows.len(), range);
        if !found.is_empty() {
            let moving = self.moving(width, found.start - at + 1..found.end - at);
            let moves = slots.iter().map(|&slot| is_set(&moving, slot as usize));
            let mut columns = OpenColumns::new(moves, found.len());
            self.replay(width, |position, row| {
                if at + position >= found.start {
                    columns.push(|column| row.slots[slots[column] as usize].cell());
                }
                at + position + 1 < found.end
            });
            let rows = self.rows.range(found.start..found.start + columns.rows()).collect();
            view.open.push(OpenView { rows, columns });
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
        let moving = self.moving(width, 1..rows);
        // A part of a wide group at a time: its cells take up sixteen times what they say.
        for from in (0..width).step_by(COLUMNS_AT_ONCE) {
            let to = width.min(from + COLUMNS_AT_ONCE);
            let here: Vec<usize> = (from..to).filter(|&slot| is_set(&moving, slot)).collect();
            let mut columns = vec![Cell::Absent; here.len() * rows];
            let mut put = Ok(());
            let given = self.replay(width, |position, row| {
                for (column, &slot) in here.iter().enumerate() {
                    columns[column * rows + position] = row.slots[slot].cell();
                }
                if position + 1 == rows {
                    put = put_columns(&mut builder, row, from..to, &here, columns.chunks_exact(rows));
                }
                true
            });
            if given < rows {
                return Err(CodecError::new("a new tile", "an open row does not follow from the one before"));
            }
            put?;
        }
        builder.finish()
    }

    /// The slots that one of some open rows may change, a bit each: most keep what the row before said.
    fn moving(&self, width: usize, rows: Range<usize>) -> Vec<u8> {
        let mut moving = vec![0; width.div_ceil(8)];
        for open in self.open.get(rows).unwrap_or_default() {
            // Changes begin with the bits of the slots that they change.
            match open.changes.get(..moving.len()).filter(|_| !open.reset) {
                Some(changed) => moving.iter_mut().zip(changed).for_each(|(all, changed)| *all |= changed),
                None => moving.fill(u8::MAX),
            }
        }
        moving
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
        // Those that are small have not been put into the file.
        let small: Vec<&Tile> = self.tiles[first..].iter().filter_map(|tile| tile.in_memory()).collect();
        for slot in 0..width {
            if let Some(cell) = constant(&small, slot)? {
                builder.constant(cell)?;
                continue;
            }
            column.clear();
            small.iter().try_for_each(|tile| tile.cells(slot, &mut column))?;
            builder.column(&column)?;
        }
        let joined = builder.finish()?;
        self.tiles.truncate(first);
        self.tiles.push(Arc::new(Sealed::new(joined, file)));
        Ok(())
    }

    fn timestamps(&self, rows: std::ops::Range<usize>) -> Vec<i64> {
        self.rows.range(rows).map(|at| at.timestamp).collect()
    }
}

impl At {
    pub(crate) fn point(self, cell: Cell) -> Option<Point> {
        let bits = cell_bits(cell)?;
        Some(Point { timestamp: self.timestamp, bits, sequence: self.sequence })
    }
}

/// Whether a slot's bit is set.
fn is_set(bits: &[u8], slot: usize) -> bool {
    bits.get(slot / 8).is_some_and(|byte| byte & 1 << (slot % 8) != 0)
}

/// Adds the columns of some slots: those of `moving` as they are given, the others as the last row has them.
fn put_columns<'a>(
    builder: &mut TileBuilder,
    last: &RowState,
    slots: Range<usize>,
    moving: &[usize],
    mut columns: impl Iterator<Item = &'a [Cell]>,
) -> Result<(), CodecError> {
    let mut moving = moving.iter().peekable();
    for slot in slots {
        match moving.next_if_eq(&&slot).and_then(|_| columns.next()) {
            Some(column) => builder.column(column)?,
            None => builder.constant(last.slots[slot].cell())?,
        }
    }
    Ok(())
}

/// The cell that a slot has in every row of some tiles, if it has one.
fn constant(tiles: &[&Tile], slot: usize) -> Result<Option<Cell>, CodecError> {
    let mut cell = None;
    for tile in tiles {
        let own = tile.constant(slot)?;
        if own.is_none() || (cell.is_some() && own != cell) {
            return Ok(None);
        }
        cell = own;
    }
    Ok(cell)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use storage::Number;

    use super::*;

    fn cell() -> impl Strategy<Value = Cell> {
        prop_oneof![
            Just(Cell::Absent),
            Just(Cell::Stale),
            (0..3i64, 0..2u8)
                .prop_map(|(mantissa, exponent)| Cell::Value(Number::Decimal { mantissa, exponent })),
            Just(Cell::Value(Number::Raw(f64::NAN.to_bits()))),
        ]
    }

    proptest! {
        /// Tiles of a run are those of its cells, column by column, whatever stayed as it was.
        #[test]
        fn tiles_are_those_of_the_cells(
            width in 1..20usize, changes in prop::collection::vec((0..130usize, 0..20usize, cell()), 0..30),
            rows in 1..140usize, keyframes in prop::collection::vec(0..140usize, 0..3),
        ) {
            let mut cells = vec![Cell::Absent; width];
            let (mut run, mut state, mut all) = (Run::default(), RowState::empty(width), Vec::new());
            for position in 0..rows {
                for (_, slot, cell) in changes.iter().filter(|(at, slot, _)| *at == position && *slot < width) {
                    cells[*slot] = *cell;
                }
                let keyframe = run.open.is_empty() || keyframes.contains(&position);
                let encoded = state.encode_next(keyframe, 0, position as i64, &cells, &mut Vec::new());
                let at = At { timestamp: position as i64, sequence: (1, position as u32) };
                run.push(at, OpenRow { reset: keyframe, changes: encoded.into(), more: None }, width, None);
                all.push(state.slots.iter().map(|slot| slot.cell()).collect::<Vec<_>>());
            }
            let mut start = 0;
            for tile in &run.tiles {
                let times: Vec<i64> = (start..start + tile.rows()).map(|row| row as i64).collect();
                let rows: Vec<&[Cell]> = all[start..start + tile.rows()].iter().map(Vec::as_slice).collect();
                let expected = TileBuilder::default().rows(&times, &rows).expect("a tile");
                let tile = tile.in_memory().expect("no file");
                // Joined ones name the same values, perhaps otherwise.
                prop_assert!(tile.rows() == TILE_ROWS || *tile == expected);
                for slot in 0..width {
                    let (mut own, mut whole) = (Vec::new(), Vec::new());
                    tile.cells(slot, &mut own).and_then(|()| expected.cells(slot, &mut whole)).expect("cells");
                    let bits = |cells: &[Cell]| cells.iter().map(|cell| cell_bits(*cell)).collect::<Vec<_>>();
                    prop_assert_eq!(bits(&own), bits(&whole));
                }
                start += tile.rows();
            }
            prop_assert_eq!(rows - start, run.open.len());
        }
    }
}
