//! Reading sealed windows: only the groups, blocks and columns that a question needs. What is damaged is left out,
//! told once, and named in the answer; it never gives a value.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;
use storage::TimeRange;

use super::damage::twice;
use super::day::has_rows_in;
use super::error::SealedError;
use super::identity::name_of;
use super::index::Entry;
use super::keys::BlockKey;
use super::manifest::{Generation, SealedWindow};
use super::store::SealedStore;
use crate::codec::Block;
use crate::group::Group;
use crate::rows::Tail;
use crate::state::State;

/// Reads one window.
pub(crate) struct SealedReader<'a> {
    pub(super) store: &'a SealedStore,
    window: &'a SealedWindow,
}

/// A group of a window, and where it is.
pub(crate) struct Place {
    pub(crate) group: Arc<Group>,
    pub(super) generation: Arc<Generation>,
    pub(super) entry: Entry,
}

impl<'a> SealedReader<'a> {
    pub(crate) fn new(store: &'a SealedStore, window: &'a SealedWindow) -> Self {
        Self { store, window }
    }

    /// The groups that have rows in a range, some several times: once for each generation.
    /// The state is held for one group at a time: the writer waits for no more.
    pub(crate) fn groups(&self, state: &RwLock<State>, range: TimeRange) -> Result<Vec<Place>, SealedError> {
        let start = self.window.start;
        let mut places = Vec::new();
        for generation in &self.window.generations {
            let index = match twice(|| self.store.index(start, generation)) {
                Ok(index) => index,
                Err(error) => {
                    self.store.note(BlockKey::index(start, generation.number), "", error)?;
                    continue;
                }
            };
            for entry in &index.0 {
                if !range.overlaps(&TimeRange { start: entry.first, end: entry.last })
                    || (generation.is_day() && !has_rows_in(entry, start, range))
                {
                    continue;
                }
                match twice(|| self.store.group(entry.group, &state.read())) {
                    Ok(group) => {
                        places.push(Place { group, generation: Arc::clone(generation), entry: *entry })
                    }
                    Err(error) => {
                        let key =
                            BlockKey { group: entry.group, ..BlockKey::first(start, generation.number) };
                        self.store.note(key, "", error)?;
                    }
                }
            }
        }
        Ok(places)
    }

    /// Tells how many samples slots of a group, in order, have in the window: nothing is decompressed.
    pub(crate) fn counts(
        &self,
        place: &Place,
        slots: &[u32],
        mut give: impl FnMut(u32, u64),
    ) -> Result<(), SealedError> {
        for part in 0..place.entry.parts {
            for wanted in slots.chunk_by(|a, b| a / COLUMNS == b / COLUMNS) {
                let Some(first) = wanted.first() else { continue };
                let sub = u16::try_from(first / COLUMNS).unwrap_or(super::keys::TAILS);
                let key = self.key(place, sub, part);
                let count = || -> Result<Vec<u64>, SealedError> {
                    let value = self.store.value(&key, name_of(&place.group, &key))?;
                    let block = Block::parse(&value)?;
                    let held = |slot: &u32| {
                        let summary = block.summaries().get((slot % COLUMNS) as usize)?;
                        Some(u64::from(summary.count) + u64::from(summary.stale))
                    };
                    let counts: Option<Vec<u64>> = wanted.iter().map(held).collect();
                    counts.ok_or(SealedError::Malformed("a block of another size"))
                };
                match twice(count) {
                    Ok(counts) => wanted.iter().zip(counts).for_each(|(slot, count)| give(*slot, count)),
                    Err(error) => self.note(place, key, error)?,
                }
            }
        }
        Ok(())
    }

    pub(super) fn key(&self, place: &Place, sub: u16, part: u16) -> BlockKey {
        let Generation { number, .. } = *place.generation;
        let first = BlockKey::first(self.window.start, number);
        BlockKey { group: place.entry.group, sub, part, ..first }
    }

    pub(super) fn note(&self, place: &Place, key: BlockKey, error: SealedError) -> Result<(), SealedError> {
        self.store.note(key, &place.group.info().id.agent, error)
    }
}

/// Columns of a block.
pub(super) const COLUMNS: u32 = Block::COLUMNS_MAX as u32;

impl SealedStore {
    /// A group by its number.
    pub(crate) fn group(&self, number: u32, state: &State) -> Result<Arc<Group>, SealedError> {
        self.identity.group(&self.db, number, &state.streams, &state.layouts)
    }

    /// Where the rows of a group that a window's blocks have came from.
    pub(crate) fn sequences(
        &self,
        window: &SealedWindow,
        group: &Arc<Group>,
    ) -> Result<HashSet<(u64, u32)>, SealedError> {
        let mut found = HashSet::new();
        let Some(number) = self.identity.find(&self.db, group)? else { return Ok(found) };
        for generation in window.generations.iter().chain(&window.day) {
            let index = self.index(window.start, generation)?;
            let parts = index.find(number).map_or(0, |entry| entry.parts);
            for part in 0..parts {
                let rows = self.rows_of(window.start, generation, number, part, group)?;
                found.extend(rows.iter().map(|at| at.sequence));
            }
        }
        Ok(found)
    }

    /// What rows of a group may build on that are not sealed yet, as the newest generation has it.
    pub(crate) fn tails(&self, window: &SealedWindow, group: &Arc<Group>) -> Result<Vec<Tail>, SealedError> {
        let start = window.start;
        let number = match twice(|| self.identity.find(&self.db, group)) {
            Ok(Some(number)) => number,
            Ok(None) => return Ok(Vec::new()),
            Err(error) => {
                self.note(BlockKey::first(start, 0), &group.info().id.agent, error)?;
                return Ok(Vec::new());
            }
        };
        for generation in window.generations.iter().rev() {
            let index = match twice(|| self.index(start, generation)) {
                Ok(index) => index,
                Err(error) => {
                    self.note(BlockKey::index(start, generation.number), "", error)?;
                    continue;
                }
            };
            match index.find(number) {
                None => continue,
                Some(entry) if !entry.tails => return Ok(Vec::new()),
                Some(_) => {}
            }
            return match twice(|| self.tails_of(start, generation, number, group)) {
                Ok(tails) => Ok(tails),
                Err(error) => {
                    let first = BlockKey::first(start, generation.number);
                    let key = BlockKey { group: number, sub: super::keys::TAILS, ..first };
                    self.note(key, &group.info().id.agent, error)?;
                    Ok(Vec::new())
                }
            };
        }
        self.tails_in_day(window, number, group)
    }
}
