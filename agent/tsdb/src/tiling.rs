//! Making tiles out of rows that are closed: whoever has the time does it, beside appends and queries, which see
//! the rows until the tile is there.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use storage::Cell;

use crate::codec::{CodecError, Tile, TileBuilder};
use crate::kept::{Description, Drawer};
use crate::memory::{allocated, shared};
use crate::row::RowState;
use crate::run::{At, OpenRow};
use crate::spill::Sealed;
use crate::store::Inner;
use crate::window::{SharedRows, WINDOW_MS};

/// How often rows that are followed by none are looked for: who had none in between is a candidate.
const IDLE_LOOK: Duration = Duration::from_secs(5 * 60);

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

    /// The rows as a tile; with the last of them where that is wanted.
    pub(crate) fn tile(&self, width: usize, wants_last: bool) -> Result<Made, CodecError> {
        let count = self.rows.len();
        let (mut samples, mut last) = (0, None);
        let mut builder = TileBuilder::default();
        builder.begin(&self.times)?;
        let moving = moving(self.rows.get(1..).unwrap_or_default(), width);
        // A part of a wide group at a time: its cells take up sixteen times what they say.
        for from in (0..width).step_by(COLUMNS_AT_ONCE) {
            let to = width.min(from + COLUMNS_AT_ONCE);
            let is_moving = |slot: usize| moving[slot / 8] & 1 << (slot % 8) != 0;
            let here: Vec<usize> = (from..to).filter(|slot| is_moving(*slot)).collect();
            let mut columns = vec![Cell::Absent; here.len() * count];
            let mut put = Ok(());
            let given = replay(&self.rows, width, None, |position, row| {
                for (column, &slot) in here.iter().enumerate() {
                    columns[column * count + position] = row.slots[slot].cell();
                }
                if position + 1 == count {
                    put = put_columns(&mut builder, row, from..to, &here, columns.chunks_exact(count));
                    let is_there = |slot: &usize| row.slots[*slot].cell() != Cell::Absent;
                    samples += (from..to).filter(|slot| !is_moving(*slot)).filter(is_there).count() * count;
                    last = (wants_last && to == width).then(|| row.clone());
                }
                true
            });
            if given < count {
                return Err(CodecError::new("a new tile", "an open row does not follow from the one before"));
            }
            put?;
            samples += columns.iter().filter(|cell| **cell != Cell::Absent).count();
        }
        Ok(Made { tile: builder.finish()?, samples: samples as u64, last })
    }
}

/// A new tile.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) tile: Tile,
    /// Cells that are not absent.
    samples: u64,
    /// Its last row, without number and time.
    last: Option<RowState>,
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
    /// where there is one: memory has no more of them from then on. Of a small one the file has a copy, for the next
    /// start.
    pub(crate) fn tiles(&self) -> Result<Vec<Arc<Sealed>>, CodecError> {
        let told = self.drawer.as_ref().filter(|drawer| drawer.is_named());
        let Made { tile, samples, last } = self.closed.tile(self.width, told.is_some())?;
        let mut tiles = self.small.clone();
        let rows = self.rows.len();
        if rows < self.join_at {
            if let (Some(drawer), Some(last)) = (told, &last) {
                let own = &self.rows[rows - self.closed.rows().len()..];
                drawer.note(&tile, &Description { rows: own, samples, last });
            }
            tiles.push(Arc::new(Sealed::Memory(tile)));
            return Ok(tiles);
        }
        tiles.push(Arc::new(Sealed::Memory(tile)));
        let times: Vec<i64> = self.rows.iter().map(|at| at.timestamp).collect();
        let mut builder = TileBuilder::default();
        builder.begin(&times)?;
        let (mut column, mut samples) = (Vec::with_capacity(rows), 0);
        // Those that are small are in memory, whatever the file has of them.
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
        let samples = samples as u64;
        let tile = builder.finish()?;
        let said = last.as_ref().map(|last| Description { rows: &self.rows, samples, last });
        let put = |drawer: &Drawer| drawer.take(tile.clone(), said.as_ref());
        Ok(vec![Arc::new(self.drawer.as_ref().map_or_else(|| Sealed::Memory(tile.clone()), put))])
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

impl Inner {
    /// Makes tiles of rows that are followed by none, of targets that are gone or labelled anew: memory has less of
    /// them then, and the next start need not replay them.
    pub(crate) fn tile_idle_rows(&self) {
        let now = self.clock.monotonic();
        {
            let mut looked = self.looked_for_idle.lock();
            if looked.is_some_and(|before| now.saturating_sub(before) < IDLE_LOOK) {
                return;
            }
            *looked = Some(now);
        }
        let now_ms = self.clock.now_ms();
        let windows: Vec<(bool, Vec<SharedRows>)> = {
            let state = self.state.read();
            let all = state.head.windows.iter();
            let is_past = |start: &i64| start.saturating_add(WINDOW_MS) <= now_ms;
            all.map(|(start, window)| (is_past(start), window.groups.values().map(Arc::clone).collect()))
                .collect()
        };
        for (is_past, groups) in windows {
            for rows in groups {
                let due = rows.lock().hand_over_idle(now_ms, is_past);
                if due {
                    make_tiles_of(&rows, TILE_ROWS);
                }
            }
        }
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
