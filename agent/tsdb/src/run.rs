//! A run: rows of one group in order of time, of which the older are sealed tiles and the rest changes.

use std::ops::Range;
use std::sync::Arc;

use storage::{Cell, TimeRange};

use crate::codec::CodecError;
use crate::columns::OpenColumns;
use crate::kept::Drawer;
use crate::memory::{RowBytes, allocated};
use crate::places::Places;
use crate::spill::Sealed;
use crate::tiling::{self, Closed, Work};
use crate::view::{OpenView, TileView, View};
use crate::window::cell_bits;

/// Rows that are kept as changes, at most, before they become a tile.
pub(crate) const OPEN_ROWS: usize = 32;
/// Where no row came for so many times as long as it took from one to the next, no more is to be expected.
const IDLE_SPACINGS: i64 = 8;
/// Times so many rows that wait to become tiles, at most: with more whoever appends makes one first.
const CLOSED_MAX: usize = 4;

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
    /// Those that come next, and become tiles when somebody has the time.
    closed: Vec<Arc<Closed>>,
    /// The rest.
    open: Vec<OpenRow>,
    /// Rows at the last look for those that are followed by none.
    looked_at: u32,
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

    /// Adds a row after its last; whether there are enough for a tile, which somebody else is to make. Without
    /// `later` it is made here.
    pub(crate) fn push(
        &mut self,
        at: At,
        row: OpenRow,
        width: usize,
        drawer: Option<&Drawer>,
        later: bool,
    ) -> bool {
        self.open.push(row);
        self.rows.push(at);
        if !self.hand_over(OPEN_ROWS) {
            return false;
        }
        while self.closed.len() > if later { CLOSED_MAX } else { 0 } {
            let Some(work) = self.work(width, drawer, tiling::TILE_ROWS) else { break };
            let made = work.tiles();
            self.put(&work, made);
        }
        later
    }

    /// Closes the open rows, if there are so many; nothing is added to them any more.
    pub(crate) fn hand_over(&mut self, rows: usize) -> bool {
        let due = !self.open.is_empty() && self.open.len() >= rows;
        if due {
            let before = self.rows.len() - self.open.len();
            let times = self.rows.range(before..self.rows.len()).map(|at| at.timestamp).collect();
            self.closed.push(Arc::new(Closed::new(std::mem::take(&mut self.open), times)));
        }
        due
    }

    /// Closes the open rows if none came since the last look, and none is to be expected: for long none came, as long
    /// as they came before, or the window is past.
    pub(crate) fn hand_over_idle(&mut self, now_ms: i64, is_past: bool) -> bool {
        let count = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let came = std::mem::replace(&mut self.looked_at, count) != count;
        let Some((first, last)) = self.ends().filter(|_| !came && !self.open.is_empty()) else {
            return false;
        };
        let spacing = last.timestamp.saturating_sub(first.timestamp) / i64::from(count.max(2) - 1);
        let waits = spacing.saturating_mul(IDLE_SPACINGS);
        let is_over = count > 1 && now_ms.saturating_sub(last.timestamp) > waits;
        (is_past || is_over) && self.hand_over(1)
    }

    /// The next tile to make, and small ones that it may be joined with once they have `join_at` rows together.
    pub(crate) fn work(&self, width: usize, drawer: Option<&Drawer>, join_at: usize) -> Option<Work> {
        let closed = self.closed.first().filter(|closed| !closed.has_failed())?;
        let small = |tile: &&Arc<Sealed>| tile.rows() < tiling::TILE_ROWS && tile.in_memory().is_some();
        let first = self.tiles.len() - self.tiles.iter().rev().take_while(small).count();
        let start: usize = self.tiles[..first].iter().map(|tile| tile.rows()).sum();
        let rows = self.tiles[first..].iter().map(|tile| tile.rows()).sum::<usize>() + closed.rows().len();
        Some(Work {
            width,
            drawer: drawer.cloned(),
            join_at,
            before: first,
            small: self.tiles[first..].to_vec(),
            closed: Arc::clone(closed),
            rows: self.rows.range(start..start + rows).collect(),
        })
    }

    /// Takes over a tile: its rows come after all that are here, which are tiles, too.
    pub(crate) fn adopt(&mut self, rows: &[At], tile: Arc<Sealed>) {
        rows.iter().for_each(|at| self.rows.push(*at));
        self.tiles.push(tile);
    }

    /// Puts what was made in the place of the rows that it was made of, if they are still there.
    pub(crate) fn put(&mut self, work: &Work, made: Result<Vec<Arc<Sealed>>, CodecError>) {
        let is_same = self.closed.first().is_some_and(|first| Arc::ptr_eq(first, &work.closed))
            && self.tiles.len() == work.before + work.small.len();
        match made {
            Ok(tiles) if is_same => {
                self.tiles.truncate(work.before);
                self.tiles.extend(tiles);
                self.closed.remove(0);
            }
            Ok(_) => {}
            Err(error) => {
                // The rows stay as they are: larger, and read just as well.
                work.closed.fail();
                tracing::warn!(%error, "rows of the head cannot be sealed");
            }
        }
    }

    /// Turns all rows into tiles: none is added afterwards.
    pub(crate) fn close(&mut self, width: usize) -> Result<(), CodecError> {
        self.hand_over(0);
        for closed in &self.closed {
            self.tiles.push(Arc::new(Sealed::Memory(closed.tile(width, false)?.tile)));
        }
        self.closed.clear();
        Ok(())
    }

    /// Adds what it takes up.
    pub(crate) fn add_bytes(&self, bytes: &mut RowBytes) {
        let open = |rows: &[OpenRow]| rows.iter().map(OpenRow::bytes).sum::<u64>();
        bytes.rows +=
            self.rows.bytes() + allocated(self.open.capacity() * size_of::<OpenRow>()) + open(&self.open);
        for closed in &self.closed {
            bytes.rows += closed.bytes() + open(closed.rows());
        }
        bytes.tiles += allocated(self.tiles.capacity() * size_of::<Arc<Sealed>>());
        bytes.tiles += self.tiles.iter().map(|tile| tile.bytes()).sum::<u64>();
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
        let open = std::iter::once(self.open.as_slice());
        for part in self.closed.iter().map(|closed| closed.rows()).chain(open) {
            let found = self.rows.within(at..at + part.len(), range);
            if !found.is_empty() {
                view.open.push(self.open_view(at, part, found, width, slots));
            }
            at += part.len();
        }
    }

    /// Some rows of those that are no tile yet, of which the first is at `at`.
    fn open_view(
        &self,
        at: usize,
        part: &[OpenRow],
        found: Range<usize>,
        width: usize,
        slots: &[u32],
    ) -> OpenView {
        let after_first = part.get(found.start - at + 1..found.end - at).unwrap_or_default();
        let moving = tiling::moving(after_first, width);
        let moves = slots.iter().map(|&slot| moving[slot as usize / 8] & 1 << (slot % 8) != 0);
        let mut columns = OpenColumns::new(moves, found.len());
        let wanted = (slots.len() < width).then(|| {
            let mut wanted = vec![0_u8; width.div_ceil(8)];
            slots.iter().for_each(|&slot| wanted[slot as usize / 8] |= 1 << (slot % 8));
            wanted
        });
        tiling::replay(part, width, wanted.as_deref(), |position, row| {
            if at + position >= found.start {
                columns.push(|column| row.slots[slots[column] as usize].cell());
            }
            at + position + 1 < found.end
        });
        let rows = self.rows.range(found.start..found.start + columns.rows()).collect();
        OpenView { rows, columns }
    }
}

impl OpenRow {
    fn bytes(&self) -> u64 {
        allocated(self.changes.len()) + allocated(self.more.as_ref().map_or(0, |more| more.len()))
    }
}

impl At {
    pub(crate) fn point(self, cell: Cell) -> Option<Point> {
        let bits = cell_bits(cell)?;
        Some(Point { timestamp: self.timestamp, bits, sequence: self.sequence })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use storage::Number;

    use super::*;
    use crate::codec::TileBuilder;
    use crate::row::RowState;
    use crate::tiling::TILE_ROWS;

    fn cell() -> impl Strategy<Value = Cell> {
        prop_oneof![
            Just(Cell::Absent),
            Just(Cell::Stale),
            (0..3i64, 0..2u8)
                .prop_map(|(mantissa, exponent)| Cell::Value(Number::Decimal { mantissa, exponent })),
            Just(Cell::Value(Number::Raw(f64::NAN.to_bits()))),
        ]
    }

    /// What a reader gets of each column.
    fn points(run: &Run, width: usize) -> Vec<Vec<(i64, u64)>> {
        let slots: Vec<u32> = (0..width as u32).collect();
        let mut view = View::new(&slots);
        run.view(width, &slots, TimeRange::ALL, &mut view);
        let points = view.points().expect("reads");
        let pair = |point: &Point| (point.timestamp, point.bits);
        points.iter().map(|column| column.iter().map(pair).collect()).collect()
    }

    fn naive(rows: &[Vec<Cell>]) -> Vec<Vec<(i64, u64)>> {
        let column = |slot: usize| {
            let cells =
                rows.iter().enumerate().filter_map(|(at, row)| Some((at as i64, cell_bits(row[slot])?)));
            cells.collect()
        };
        (0..rows[0].len()).map(column).collect()
    }

    proptest! {
        /// Tiles of a run are those of its cells, column by column, whatever stayed as it was; whether they are
        /// made at once, or later by others who may come too late, readers see the same.
        #[test]
        fn tiles_are_those_of_the_cells(
            width in 1..20usize, changes in prop::collection::vec((0..130usize, 0..20usize, cell()), 0..30),
            rows in 1..140usize, keyframes in prop::collection::vec(0..140usize, 0..3), later: bool,
            works in prop::collection::vec((0..250usize, 0..40usize), 0..6),
        ) {
            let mut cells = vec![Cell::Absent; width];
            let (mut run, mut state, mut all) = (Run::default(), RowState::empty(width), Vec::new());
            let mut begun = Vec::new();
            for position in 0..rows {
                for (_, slot, cell) in changes.iter().filter(|(at, slot, _)| *at == position && *slot < width) {
                    cells[*slot] = *cell;
                }
                let keyframe = run.open.is_empty() || keyframes.contains(&position);
                let encoded = state.encode_next(keyframe, 0, position as i64, &cells, None, &mut Vec::new());
                let at = At { timestamp: position as i64, sequence: (1, position as u32) };
                run.push(at, OpenRow { reset: keyframe, changes: encoded, more: None }, width, None, later);
                all.push(state.slots.iter().map(|slot| slot.cell()).collect::<Vec<_>>());
                begun.extend(works.iter().filter(|(at, _)| *at == position).filter_map(|(at, takes)| {
                    Some((at + takes, run.work(width, None, TILE_ROWS)?))
                }));
                for (_, work) in begun.extract_if(.., |(done, _)| *done == position) {
                    let made = work.tiles();
                    run.put(&work, made);
                }
                if position % 13 == 0 {
                    prop_assert_eq!(points(&run, width), naive(&all));
                }
            }
            while let Some(work) = run.work(width, None, TILE_ROWS) {
                let made = work.tiles();
                run.put(&work, made);
            }
            prop_assert_eq!(points(&run, width), naive(&all));
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
