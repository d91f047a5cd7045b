//! Reading sealed windows: only the groups, blocks and columns that a question needs. What is damaged is left out,
//! told once, and named in the answer; it never gives a value.

use std::sync::Arc;

use parking_lot::RwLock;
use storage::TimeRange;

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
    store: &'a SealedStore,
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
    pub(crate) fn groups(&self, state: &RwLock<State>, range: TimeRange) -> Vec<Place> {
        let start = self.window.start;
        let mut places = Vec::new();
        for generation in &self.window.generations {
            let index = match self.store.index(start, generation) {
                Ok(index) => index,
                Err(error) => {
                    self.store.note_damage(
                        BlockKey::index(start, generation.number),
                        start,
                        &error.to_string(),
                    );
                    continue;
                }
            };
            for entry in &index.0 {
                if !range.overlaps(&TimeRange { start: entry.first, end: entry.last }) {
                    continue;
                }
                let group = self.store.group(entry.group, &state.read());
                match group {
                    Ok(group) => {
                        places.push(Place { group, generation: Arc::clone(generation), entry: *entry })
                    }
                    Err(error) => {
                        let key =
                            BlockKey { group: entry.group, ..BlockKey::first(start, generation.number) };
                        self.store.note_damage(key, start, &error.to_string());
                    }
                }
            }
        }
        places
    }

    /// Tells how many samples slots of a group, in order, have in the window: nothing is decompressed.
    pub(crate) fn counts(&self, place: &Place, slots: &[u32], mut give: impl FnMut(u32, u64)) {
        for part in 0..place.entry.parts {
            for wanted in slots.chunk_by(|a, b| a / COLUMNS == b / COLUMNS) {
                let Some(first) = wanted.first() else { continue };
                let sub = u16::try_from(first / COLUMNS).unwrap_or(super::keys::TAILS);
                let key = self.key(place, sub, part);
                let mut count = || -> Result<(), SealedError> {
                    let value = self.store.value(&key, name_of(&place.group, &key))?;
                    let block = Block::parse(&value)?;
                    for slot in wanted {
                        let summary = block.summaries().get((slot % COLUMNS) as usize);
                        let summary = summary.ok_or(SealedError::Malformed("a block of another size"))?;
                        give(*slot, u64::from(summary.count) + u64::from(summary.stale));
                    }
                    Ok(())
                };
                if let Err(error) = count() {
                    self.note(key, &error);
                }
            }
        }
    }

    fn key(&self, place: &Place, sub: u16, part: u16) -> BlockKey {
        let Generation { number, .. } = *place.generation;
        BlockKey { window: self.window.start, generation: number, group: place.entry.group, sub, part }
    }

    fn note(&self, key: BlockKey, error: &SealedError) {
        self.store.note_damage(key, self.window.start, &error.to_string());
    }
}

/// Columns of a block.
const COLUMNS: u32 = Block::COLUMNS_MAX as u32;

impl SealedStore {
    /// A group by its number.
    pub(crate) fn group(&self, number: u32, state: &State) -> Result<Arc<Group>, SealedError> {
        self.identity.group(&self.db, number, &state.streams, &state.layouts)
    }

    /// What rows of a group may build on that are not sealed yet, as the newest generation has it.
    pub(crate) fn tails(&self, window: &SealedWindow, group: &Arc<Group>) -> Vec<Tail> {
        let number = match self.identity.find(&self.db, group) {
            Ok(Some(number)) => number,
            Ok(None) => return Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "a group of sealed data cannot be looked up");
                return Vec::new();
            }
        };
        for generation in window.generations.iter().rev() {
            let found = self.index(window.start, generation);
            let entry = found.map(|index| index.find(number).copied());
            match entry {
                Ok(None) => continue,
                Ok(Some(entry)) if !entry.tails => return Vec::new(),
                Ok(Some(_)) => match self.tails_of(window.start, generation, number, group) {
                    Ok(tails) => return tails,
                    Err(error) => {
                        let first = BlockKey::first(window.start, generation.number);
                        let key = BlockKey { group: number, sub: super::keys::TAILS, ..first };
                        self.note_damage(key, window.start, &error.to_string());
                        return Vec::new();
                    }
                },
                Err(error) => {
                    let key = BlockKey::index(window.start, generation.number);
                    self.note_damage(key, window.start, &error.to_string());
                }
            }
        }
        Vec::new()
    }
}
