//! What a reader takes of a group's rows while it holds them: sealed tiles to read afterwards, and the samples
//! of open rows. The writer waits for no more than that.

use std::sync::Arc;

use storage::Cell;

use crate::columns::OpenColumns;
use crate::run::{At, Point};
use crate::spill::{Sealed, SpillError};

/// A group's rows of a range, as far as some slots are concerned.
#[derive(Debug)]
pub(crate) struct View {
    slots: Vec<u32>,
    pub(crate) tiles: Vec<TileView>,
    /// One a run that has some.
    pub(crate) open: Vec<OpenView>,
    /// Rows are not in order of time from one tile to the next, and to the open ones.
    pub(crate) mixed: bool,
}

/// Some rows of a tile.
#[derive(Debug)]
pub(crate) struct TileView {
    pub(crate) tile: Arc<Sealed>,
    /// Position of the first.
    pub(crate) from: usize,
    pub(crate) rows: Vec<At>,
}

/// Open rows, copied.
#[derive(Debug)]
pub(crate) struct OpenView {
    pub(crate) rows: Vec<At>,
    /// One a slot.
    pub(crate) columns: OpenColumns,
}

impl View {
    /// Nothing yet of slots, which are in order.
    pub(crate) fn new(slots: &[u32]) -> Self {
        Self { slots: slots.to_vec(), tiles: Vec::new(), open: Vec::new(), mixed: false }
    }

    /// Each slot's samples in order of time; of one time in order of sequence.
    pub(crate) fn points(self) -> Result<Vec<Vec<Point>>, SpillError> {
        let mut out = vec![Vec::new(); self.slots.len()];
        for TileView { tile, from, rows } in &self.tiles {
            tile.cells(&self.slots, |slot, cells| {
                let points = rows.iter().zip(&cells[*from..]);
                out[slot].extend(points.filter_map(|(at, &cell)| at.point(cell)));
            })?;
        }
        for (slot, out) in out.iter_mut().enumerate() {
            self.open.iter().for_each(|open| open.columns.points(slot, &open.rows, out));
            if self.mixed {
                out.sort_by_key(|point| (point.timestamp, point.sequence));
            }
        }
        Ok(out)
    }

    /// The slots that have a sample; where a tile cannot be read, all of them.
    pub(crate) fn held(self) -> Vec<u32> {
        let is_open = |slot: usize| self.open.iter().any(|open| open.columns.has_any(slot));
        let all = self.slots.iter().enumerate();
        let mut left: Vec<u32> = all.filter(|(at, _)| !is_open(*at)).map(|(_, &slot)| slot).collect();
        if self.tiles.iter().try_for_each(|tile| tile.strike_held(&mut left)).is_err() {
            return self.slots;
        }
        let mut missing = left.into_iter().peekable();
        self.slots.into_iter().filter(|slot| missing.next_if_eq(slot).is_none()).collect()
    }
}

impl TileView {
    /// Takes the slots out of `left` that have a sample here: decoded only where a slot's last one is later.
    fn strike_held(&self, left: &mut Vec<u32>) -> Result<(), SpillError> {
        let (from, to) = (self.from, self.from + self.rows.len());
        let mut last = vec![None; left.len()];
        self.tile.last_rows(left, |at, row| last[at] = Some(row))?;
        let is_later = |row: &Option<usize>| row.is_some_and(|row| row >= to);
        let later: Vec<u32> =
            left.iter().zip(&last).filter(|(_, row)| is_later(row)).map(|(&slot, _)| slot).collect();
        let mut held: Vec<u32> = Vec::new();
        self.tile.cells(&later, |at, cells| {
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
}
