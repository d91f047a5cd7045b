//! Giving one window of a day to another store: its rows are taken out of the day's blocks, and written as the
//! window's own generation would be.

use storage::{TimeRange, WindowValue};

use super::day::{has_rows_in, window_in_day};
use super::error::SealedError;
use super::identity::name_of;
use super::index::{put_rows, put_tails};
use super::keys::{BlockKey, TAILS, TIMES};
use super::manifest::Generation;
use super::store::SealedStore;
use super::write::PART_ROWS;
use crate::codec::{Block, BlockBuilder, BlockReader};
use crate::group::Group;
use crate::run::At;
use crate::window::{WINDOW_MS, day_of};

/// A row of the window, and its part and place in the day.
type Placed = (At, u16, usize);

impl SealedStore {
    /// Numbers of the groups of a day that have rows in a window of it.
    pub(crate) fn groups_in_day(&self, window: i64, day: &Generation) -> Result<Vec<u32>, SealedError> {
        let start = day_of(window);
        let index = self.index(start, day)?;
        let inside = index.0.iter().filter(|entry| has_rows_in(entry, start, range_of(window)));
        Ok(inside.map(|entry| entry.group).collect())
    }

    /// What the window's generation would hold of a group.
    pub(crate) fn values_in_day(
        &self,
        window: i64,
        day: &Generation,
        group: &Group,
        number: u32,
    ) -> Result<Vec<WindowValue>, SealedError> {
        let start = day_of(window);
        let index = self.index(start, day)?;
        let entry = index.find(number).ok_or(SealedError::Malformed("a value of a group is missing"))?;
        let mut rows: Vec<Placed> = Vec::new();
        for part in 0..entry.parts {
            let all = self.rows_of(start, day, number, part, group)?.into_iter().enumerate();
            let inside = all.filter(|(_, at)| range_of(window).contains(at.timestamp));
            rows.extend(inside.map(|(place, at)| (at, part, place)));
        }
        let parts: Vec<&[Placed]> = rows.chunks(PART_ROWS).collect();
        // What takes it knows the window, and not the day.
        let key = BlockKey { window, generation: day.number, group: number, sub: 0, part: 0 };
        let from = BlockKey { group: number, ..BlockKey::first(start, day.number) };
        let mut values = Vec::new();
        let mut give = |sub: u16, part: u16, bytes: Vec<u8>| {
            let name = name_of(group, &BlockKey { sub, part, ..key });
            values.push(WindowValue { sub, part, name, bytes });
        };
        for sub in 0..group.slots().div_ceil(Block::COLUMNS_MAX) {
            let sub = u16::try_from(sub).map_err(|_| SealedError::Malformed("too many columns"))?;
            for (part, rows) in (0..).zip(&parts) {
                give(sub, part, self.block_of(BlockKey { sub, ..from }, group, rows)?);
            }
        }
        if entry.tails {
            let which = window_in_day(window);
            let all = self.day_tails(start, day, number, group)?.into_iter();
            if let Some((_, tails)) = all.into_iter().find(|(of, _)| *of == which) {
                give(TAILS, 0, put_tails(&tails));
            }
        }
        for (part, rows) in (0..).zip(&parts) {
            let rows: Vec<At> = rows.iter().map(|(at, ..)| *at).collect();
            give(TIMES, part, put_rows(&rows)?);
        }
        Ok(values)
    }

    /// Some columns of some rows of a day as a block of their own.
    fn block_of(&self, from: BlockKey, group: &Group, rows: &[Placed]) -> Result<Vec<u8>, SealedError> {
        let first = usize::from(from.sub) * Block::COLUMNS_MAX;
        let mut columns =
            vec![Vec::with_capacity(rows.len()); (group.slots() - first).min(Block::COLUMNS_MAX)];
        let (mut reader, mut cells) = (BlockReader::new()?, Vec::new());
        for run in rows.chunk_by(|(_, one, _), (_, two, _)| one == two) {
            let Some((_, part, _)) = run.first() else { continue };
            let key = BlockKey { part: *part, ..from };
            let value = self.value(&key, name_of(group, &key))?;
            let block = Block::parse(&value)?;
            let mut read = reader.open(&block)?;
            for (column, out) in columns.iter_mut().enumerate() {
                cells.clear();
                read.cells(column, &mut cells)?;
                for (.., place) in run {
                    out.push(*cells.get(*place).ok_or(SealedError::Malformed("a block of another size"))?);
                }
            }
        }
        let mut builder = BlockBuilder::new()?;
        for column in &columns {
            builder.column(column)?;
        }
        Ok(builder.finish()?)
    }
}

fn range_of(window: i64) -> TimeRange {
    TimeRange { start: window, end: window.saturating_add(WINDOW_MS - 1) }
}
