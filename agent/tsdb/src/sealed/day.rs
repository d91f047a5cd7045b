//! Days: the windows of a day that is past, rewritten as one generation. What differs from a window's generation is
//! here: summaries stand beside the blocks, one for each window, and tails and indexes tell the windows apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use storage::{Cell, TimeRange};

use super::damage::twice;
use super::error::SealedError;
use super::identity::name_of;
use super::index::{Entry, put_day_tails, read_day_tails};
use super::keys::{BlockKey, SUMMARIES, TAILS};
use super::manifest::{Generation, SealedWindow};
use super::read::{COLUMNS, Place, SealedReader};
use super::store::{SealedStore, Vault};
use super::write::{Old, Row};
use crate::codec::{Stretch, Summaries, decode_summaries, encode_summaries};
use crate::group::Group;
use crate::rows::Tail;
use crate::window::{DAY_MS, WINDOW_MS, day_of};

/// Which of its day's windows the one at a time is.
pub(crate) fn window_in_day(timestamp: i64) -> u8 {
    (timestamp.rem_euclid(DAY_MS) / WINDOW_MS) as u8
}

/// Whether a group of a day that starts at `day` has rows in a window that a range touches.
pub(super) fn has_rows_in(entry: &Entry, day: i64, range: TimeRange) -> bool {
    (0..12).filter(|which| entry.windows & 1 << which != 0).any(|which| {
        let start = day.saturating_add(which * WINDOW_MS);
        range.overlaps(&TimeRange { start, end: start.saturating_add(WINDOW_MS - 1) })
    })
}

/// A group of a day while it is written.
pub(super) struct Day {
    /// Of each part, which windows its rows are of.
    stretches: Vec<Vec<Stretch>>,
    summaries: Vec<(BlockKey, Vec<u8>)>,
}

impl Day {
    pub(super) fn new(start: i64, parts: &[&[Row]]) -> Self {
        let which = |row: &Row| window_in_day(row.0.wrapping_sub(start));
        let stretches = |part: &&[Row]| {
            let runs = part.chunk_by(|a, b| which(a) == which(b));
            runs.filter_map(|run| Some(Stretch { window: which(run.first()?), rows: run.len() })).collect()
        };
        Self { stretches: parts.iter().map(stretches).collect(), summaries: Vec::new() }
    }

    /// Takes the summaries of a block's columns.
    pub(super) fn summarise(&mut self, block: BlockKey, columns: &[Vec<Cell>]) -> Result<(), SealedError> {
        let stretches = self.stretches.get(usize::from(block.part)).map_or(&[][..], Vec::as_slice);
        let key = BlockKey { sub: SUMMARIES + block.sub, ..block };
        self.summaries.push((key, encode_summaries(stretches, columns)?));
        Ok(())
    }

    /// Gives what stands behind the blocks, in order of key.
    pub(super) fn summaries(&mut self) -> Vec<(BlockKey, Vec<u8>)> {
        std::mem::take(&mut self.summaries)
    }

    /// The windows that the group has rows in.
    pub(super) fn windows(&self) -> u16 {
        self.stretches.iter().flatten().fold(0, |all, stretch| all | 1 << stretch.window)
    }
}

impl SealedStore {
    /// All generations that the manifest names, each once with the start of its window or day.
    pub(crate) fn generations(&self) -> Vec<(i64, Arc<Generation>)> {
        let windows = self.windows.read();
        let mut days = BTreeSet::new();
        let mut all = Vec::new();
        for window in windows.values() {
            if let Some(day) = window.day.as_ref().filter(|day| days.insert(day.number)) {
                all.push((day_of(window.start), Arc::clone(day)));
            }
            all.extend(window.generations.iter().map(|one| (window.start, Arc::clone(one))));
        }
        all
    }

    /// Puts a day in the place of the generations that it was made of, synced, all of its windows at once; whether
    /// that could be. Windows that are gone meanwhile stay gone; where one was rewritten meanwhile the day is of no
    /// use, and goes.
    pub(crate) fn switch(
        &self,
        start: i64,
        day: Option<&Arc<Generation>>,
        folded: &[(i64, Arc<Generation>)],
    ) -> Result<bool, SealedError> {
        let _one = self.changing.lock();
        let known: BTreeSet<u32> = folded.iter().map(|(_, generation)| generation.number).collect();
        let mut windows = Vec::new();
        let mut is_whole = true;
        for window in self.windows().iter().filter(|window| day_of(window.start) == start) {
            let here: BTreeSet<u32> =
                window.generations.iter().chain(&window.day).map(|generation| generation.number).collect();
            let of_window = folded.iter().filter(|(of, one)| *of == window.start && !one.is_day());
            is_whole &= of_window.clone().all(|(_, generation)| here.contains(&generation.number));
            let old_day = window.day.as_ref();
            is_whole &= old_day.is_none_or(|old| known.contains(&old.number));
            if old_day.is_none() && of_window.clone().next().is_none() {
                continue;
            }
            let mut changed = (**window).clone();
            changed.generations.retain(|generation| !known.contains(&generation.number));
            changed.day = day.cloned();
            windows.push(changed);
        }
        if !is_whole || windows.is_empty() {
            if let Some(day) = day {
                self.delete_files(start, day.number);
            }
            return Ok(false);
        }
        self.publish_all(windows)?;
        Ok(true)
    }

    /// The tails of a group by window as the generations of a day leave them: of each window the newest one's count.
    pub(super) fn tails_of_day(
        &self,
        number: u32,
        group: &Group,
        old: &[Old],
    ) -> Result<Option<Vec<u8>>, SealedError> {
        let mut found: BTreeMap<u8, Vec<Tail>> = BTreeMap::new();
        for Old { start, generation, entry } in old {
            if generation.is_day() {
                if entry.tails {
                    found.extend(self.day_tails(*start, generation, number, group)?);
                }
                continue;
            }
            let tails =
                if entry.tails { self.tails_of(*start, generation, number, group)? } else { Vec::new() };
            found.insert(window_in_day(*start), tails);
        }
        let found: Vec<_> = found.into_iter().filter(|(_, tails)| !tails.is_empty()).collect();
        Ok((!found.is_empty()).then(|| put_day_tails(&found)))
    }

    /// Each window's rows that others may still build on, where it has any.
    pub(super) fn day_tails(
        &self,
        start: i64,
        day: &Generation,
        number: u32,
        group: &Group,
    ) -> Result<Vec<(u8, Vec<Tail>)>, SealedError> {
        let key = BlockKey { sub: TAILS, group: number, ..BlockKey::first(start, day.number) };
        Ok(read_day_tails(&self.value(&key, name_of(group, &key))?, group.slots())?)
    }

    /// Those of one window, out of its day.
    pub(super) fn tails_in_day(
        &self,
        window: &SealedWindow,
        number: u32,
        group: &Group,
    ) -> Result<Vec<Tail>, SealedError> {
        let Some(day) = &window.day else { return Ok(Vec::new()) };
        let find = || match self.index(window.start, day)?.find(number) {
            Some(entry) if entry.tails => self.day_tails(window.start, day, number, group),
            _ => Ok(Vec::new()),
        };
        match twice(find) {
            Ok(mut found) => {
                let which = window_in_day(window.start);
                let at = found.iter().position(|(window, _)| *window == which);
                Ok(at.map(|at| found.swap_remove(at).1).unwrap_or_default())
            }
            Err(error) => {
                let first = BlockKey::first(window.start, day.number);
                let key = BlockKey { group: number, sub: TAILS, ..first };
                self.note(key, &group.info().id.agent, error)?;
                Ok(Vec::new())
            }
        }
    }

    /// What the columns of a block of a day are in figures, window by window.
    pub(super) fn summaries_of(&self, block: &BlockKey, group: &Group) -> Result<Summaries, SealedError> {
        let key = BlockKey { sub: SUMMARIES + block.sub, ..*block };
        Ok(decode_summaries(&self.value(&key, name_of(group, &key))?)?)
    }
}

impl Vault {
    /// All generations, each once with the start of its window or day.
    pub(crate) fn generations(&self) -> Vec<(i64, Arc<Generation>)> {
        self.get().map(|store| store.generations()).unwrap_or_default()
    }

    /// Starts of the days that are one.
    pub(crate) fn days(&self) -> BTreeSet<i64> {
        self.generations().iter().filter(|(_, one)| one.is_day()).map(|(start, _)| *start).collect()
    }
}

impl SealedReader<'_> {
    /// Tells how many samples slots of a group of a day, in order, have in one of its windows.
    pub(crate) fn counts_in_window(
        &self,
        place: &Place,
        slots: &[u32],
        window: i64,
        mut give: impl FnMut(u32, u64),
    ) -> Result<(), SealedError> {
        let which = window_in_day(window);
        for part in 0..place.entry.parts {
            for wanted in slots.chunk_by(|a, b| a / COLUMNS == b / COLUMNS) {
                let Some(first) = wanted.first() else { continue };
                let sub = u16::try_from(first / COLUMNS).unwrap_or(TAILS - SUMMARIES);
                let key = self.key(place, sub, part);
                let found = match twice(|| self.store.summaries_of(&key, &place.group)) {
                    Ok(found) => found,
                    Err(error) => {
                        self.note(place, BlockKey { sub: SUMMARIES + sub, ..key }, error)?;
                        continue;
                    }
                };
                let Some(at) = found.stretches.iter().position(|stretch| stretch.window == which) else {
                    continue;
                };
                for slot in wanted {
                    let column = found.columns.get((slot % COLUMNS) as usize);
                    let summary = column.and_then(|column| column.get(at));
                    give(*slot, summary.map_or(0, |one| u64::from(one.count) + u64::from(one.stale)));
                }
            }
        }
        Ok(())
    }
}
