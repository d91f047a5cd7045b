//! Taking over tiles of an earlier process while the log is replayed: rows that a tile was made of are counted off
//! and not decoded. Where anything is not as the tile says, its rows are applied as all others.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use storage::{Frame, TimeRange};

use crate::kept::{KeptRow, KeptTile};
use crate::row::RawRow;
use crate::rows::{Applied, Rows};
use crate::run::At;
use crate::spill::Sealed;
use crate::window::Origin;

/// A group's tiles that have not been taken over yet.
#[derive(Debug)]
pub(crate) struct Adopting {
    tiles: VecDeque<KeptTile>,
    /// The rows of the first of them, as far as they have come.
    came: Vec<Came>,
    rows: Vec<At>,
    /// Number and time of the row before the next.
    last: Option<(u64, i64)>,
    /// The last row of what was taken over.
    tail: Option<KeptRow>,
}

/// A row that is perhaps a tile's.
#[derive(Debug)]
struct Came {
    number: u64,
    base: Option<u64>,
    time: i64,
    cells: Bytes,
    range: TimeRange,
    origin: Origin,
}

/// A tile all of whose rows have come.
pub(crate) struct Whole {
    pub(crate) tile: Arc<Sealed>,
    samples: u64,
    pub(crate) rows: Vec<At>,
    pub(crate) keyframes: Vec<u64>,
}

impl Adopting {
    pub(crate) fn new(tiles: VecDeque<KeptTile>) -> Self {
        Self { tiles, came: Vec::new(), rows: Vec::new(), last: None, tail: None }
    }

    /// Notes the next row, if it is one of the next tile's.
    fn take(&mut self, raw: &RawRow<'_>, frame: &Frame, origin: Origin) -> bool {
        let Some(tile) = self.tiles.front() else { return false };
        let sequence = (origin.seq, origin.row);
        let time = match (raw.base, self.last) {
            (None, _) => Some(raw.time),
            (Some(base), Some((number, time))) if base == number => time.checked_add(raw.time),
            _ => None,
        };
        let is_later = |time: &i64| self.last.is_none_or(|(_, before)| before < *time);
        let range = frame.range();
        let Some(time) = time.filter(is_later).filter(|time| range.contains(*time)) else { return false };
        if sequence < tile.first || sequence > tile.last || self.rows.len() >= tile.sealed.rows() {
            return false;
        }
        let cells = frame.body().slice_ref(raw.cells);
        self.came.push(Came { number: raw.number, base: raw.base, time: raw.time, cells, range, origin });
        self.rows.push(At { timestamp: time, sequence });
        self.last = Some((raw.number, time));
        true
    }

    /// Whether the last of the next tile's rows has come.
    fn is_due(&self) -> bool {
        let last = self.rows.last().map(|at| at.sequence);
        self.tiles.front().is_some_and(|tile| Some(tile.last) == last)
    }

    /// The next tile, if all of its rows have come and no others.
    fn whole(&mut self, width: usize) -> Option<Whole> {
        let number = self.came.last()?.number;
        let is_whole = |tile: &&KeptTile| tile.is_of(&self.rows, width);
        self.tiles.front().filter(is_whole)?;
        let tile = self.tiles.pop_front()?;
        self.tail = tile.last_row(&self.rows, number);
        let keyframes = self.came.drain(..).filter(|came| came.base.is_none()).map(|came| came.number);
        let keyframes = keyframes.collect();
        let KeptTile { sealed, samples, .. } = tile;
        Some(Whole { tile: sealed, samples, keyframes, rows: std::mem::take(&mut self.rows) })
    }
}

impl Rows {
    /// Counts a row off that a tile has which is taken over; `false`: it is to be applied.
    pub(crate) fn adopt(
        &mut self,
        raw: &RawRow<'_>,
        frame: &Frame,
        origin: Origin,
        left: &mut usize,
        applied: &mut Applied,
    ) -> bool {
        let width = self.width();
        let Some(adopting) = self.adopting() else { return false };
        if !adopting.take(raw, frame, origin) {
            self.end_adopting(left, applied);
            return false;
        }
        if adopting.is_due() {
            match adopting.whole(width) {
                Some(whole) => {
                    applied.adopted += whole.rows.len();
                    applied.samples += usize::try_from(whole.samples).unwrap_or(usize::MAX);
                    self.take_whole(whole);
                }
                None => self.end_adopting(left, applied),
            }
        }
        true
    }

    /// Applies what was counted off and belongs to no whole tile. No more tiles are taken over.
    pub(crate) fn end_adopting(&mut self, left: &mut usize, applied: &mut Applied) {
        let Some(mut adopting) = self.stop_adopting() else { return };
        if let Some(tail) = adopting.tail.take() {
            match tail.read(self.width()) {
                Some(tail) => self.take_last(tail),
                // What builds on it cannot be read here: what the log has is the truth.
                None => applied.dropped_rows += 1,
            }
        }
        for Came { number, base, time, cells, range, origin } in adopting.came {
            let raw = RawRow { layout: 0, number, base, time, cells: &cells };
            self.apply(&raw, range, origin, left, applied);
        }
    }
}
