//! Making tiles out of rows that are closed: whoever has the time does it, beside appends and queries, which see
//! the rows until the tile is there.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use storage::Cell;

use crate::codec::{CodecError, Tile, TileBuilder};
use crate::kept::{Description, Drawer};
use crate::memory::{allocated, shared};
use crate::row::RowState;
use crate::run::{At, OpenRow};
use crate::spill::Sealed;
use crate::store::Inner;
use crate::window::SharedRows;

/// Rows of a tile, at most.
pub(crate) const TILE_ROWS: usize = 128;

/// Columns that are put into a tile at a time.
const COLUMNS_AT_ONCE: usize = 1 << 14;

/// Rows in order of time to which none is added any more. Nothing before counts for them.
#[derive(Debug)]
pub(crate) struct Closed {
    rows: Vec<OpenRow>,
    times: Vec<i64>,
    /// No tile can be made of them.
    failed: AtomicBool,
}

/// A tile to be made.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) width: usize,
    pub(crate) drawer: Option<Drawer>,
    /// Tiles are joined, and go into the file, that have so many rows together.
    pub(crate) join_at: usize,
    /// Tiles that stay.
    pub(crate) before: usize,
    /// Those behind them, in memory.
    pub(crate) small: Vec<Arc<Sealed>>,
    pub(crate) closed: Arc<Closed>,
    /// The rows of all those, in order of time.
    pub(crate) rows: Vec<At>,
}

impl Closed {
    pub(crate) fn new(rows: Vec<OpenRow>, times: Vec<i64>) -> Self {
        Self { rows, times, failed: AtomicBool::new(false) }
    }

    /// What it takes up besides what its rows say.
    pub(crate) fn bytes(&self) -> u64 {
        shared(size_of::<Self>())
            + allocated(self.rows.capacity() * size_of::<OpenRow>())
            + allocated(self.times.capacity() * size_of::<i64>())
    }

    pub(crate) fn rows(&self) -> &[OpenRow] {
        &self.rows
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// The last row, without its number and time.
    fn last(&self, width: usize) -> Option<RowState> {
        let (mut row, count) = (None, self.rows.len());
        replay(&self.rows, width, None, |position, at| {
            if position + 1 == count {
                row = Some(at.clone());
            }
            true
        });
        row
    }

    /// The rows as a tile.
    pub(crate) fn tile(&self, width: usize) -> Result<Tile, CodecError> {
        let count = self.rows.len();
        let mut builder = TileBuilder::default();
        builder.begin(&self.times)?;
        let moving = moving(self.rows.get(1..).unwrap_or_default(), width);
        // A part of a wide group at a time: its cells take up sixteen times what they say.
        for from in (0..width).step_by(COLUMNS_AT_ONCE) {
            let to = width.min(from + COLUMNS_AT_ONCE);
            let here: Vec<usize> =
                (from..to).filter(|slot| moving[slot / 8] & 1 << (slot % 8) != 0).collect();
            let mut columns = vec![Cell::Absent; here.len() * count];
            let mut put = Ok(());
            let given = replay(&self.rows, width, None, |position, row| {
                for (column, &slot) in here.iter().enumerate() {
                    columns[column * count + position] = row.slots[slot].cell();
                }
                if position + 1 == count {
                    put = put_columns(&mut builder, row, from..to, &here, columns.chunks_exact(count));
                }
                true
            });
            if given < count {
                return Err(CodecError::new("a new tile", "an open row does not follow from the one before"));
            }
            put?;
        }
        builder.finish()
    }
}

/// The slots that one of some rows may change, a bit each: most keep what the row before said.
pub(crate) fn moving(rows: &[OpenRow], width: usize) -> Vec<u8> {
    let mut moving = vec![0; width.div_ceil(8)];
    for open in rows {
        // Changes begin with the bits of the slots that they change.
        match open.changes.get(..moving.len()).filter(|_| !open.reset) {
            Some(changed) => moving.iter_mut().zip(changed).for_each(|(all, changed)| *all |= changed),
            None => moving.fill(u8::MAX),
        }
    }
    moving
}

impl Work {
    /// What stands in the place of the small tiles and the rows: these and a new one, or all as one in the file,
    /// where there is one: memory has no more of them from then on.
    pub(crate) fn tiles(&self) -> Result<Vec<Arc<Sealed>>, CodecError> {
        let new = Arc::new(Sealed::Memory(self.closed.tile(self.width)?));
        let mut tiles = self.small.clone();
        tiles.push(new);
        let rows: usize = tiles.iter().map(|tile| tile.rows()).sum();
        if rows < self.join_at {
            return Ok(tiles);
        }
        let times: Vec<i64> = self.rows.iter().map(|at| at.timestamp).collect();
        let mut builder = TileBuilder::default();
        builder.begin(&times)?;
        let (mut column, mut samples) = (Vec::with_capacity(rows), 0);
        // Those that are small have not been put into the file.
        let small: Vec<&Tile> = tiles.iter().filter_map(|tile| tile.in_memory()).collect();
        for slot in 0..self.width {
            if let Some(cell) = constant(&small, slot)? {
                builder.constant(cell)?;
                samples += if cell == Cell::Absent { 0 } else { rows };
                continue;
            }
            column.clear();
            small.iter().try_for_each(|tile| tile.cells(slot, &mut column))?;
            builder.column(&column)?;
            samples += column.iter().filter(|cell| **cell != Cell::Absent).count();
        }
        Ok(vec![Arc::new(self.put_away(builder.finish()?, samples as u64))])
    }

    fn put_away(&self, tile: Tile, samples: u64) -> Sealed {
        let Some(drawer) = &self.drawer else { return Sealed::Memory(tile) };
        let last = if drawer.is_named() { self.closed.last(self.width) } else { None };
        let said = last.as_ref().map(|last| Description { rows: &self.rows, samples, last });
        drawer.take(tile, said.as_ref())
    }
}

/// Gives every row in order, until told to stop; how many were given.
pub(crate) fn replay(
    rows: &[OpenRow],
    width: usize,
    wanted: Option<&[u8]>,
    mut visit: impl FnMut(usize, &RowState) -> bool,
) -> usize {
    let mut row = RowState::empty(width);
    for (position, open) in rows.iter().enumerate() {
        if open.reset {
            row.reset();
        }
        // They were applied once already, when the row was taken.
        let mut apply = |changes: &[u8]| match wanted {
            Some(wanted) => row.apply_to(changes, wanted),
            None => row.apply(changes),
        };
        let more = open.more.as_deref();
        let applied = apply(&open.changes).and_then(|()| more.map_or(Ok(()), apply));
        if applied.is_err() {
            return position;
        }
        if !visit(position, &row) {
            return position + 1;
        }
    }
    rows.len()
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

impl Inner {
    /// Makes the tiles that are due in the head. Rows are held only while they are looked at and while the tile
    /// takes their place, and the state only for the list.
    pub(crate) fn make_tiles(&self) {
        let closed: Vec<SharedRows> = {
            let mut state = self.state.write();
            state.head.windows.values_mut().flat_map(|window| std::mem::take(&mut window.closed)).collect()
        };
        closed.iter().for_each(|rows| make_tiles_of(rows, TILE_ROWS));
    }
}

/// Makes the tiles that are due of some rows.
pub(crate) fn make_tiles_of(rows: &SharedRows, join_at: usize) {
    loop {
        let work = rows.lock().work(join_at);
        let Some((run, work)) = work else { return };
        let made = work.tiles();
        rows.lock().put(run, &work, made);
    }
}
