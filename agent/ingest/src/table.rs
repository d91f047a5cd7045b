//! Series by the hash of their labels, found mostly without looking: requests repeat one another's order.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A series' place in the table. A number is given again after its series was forgotten.
pub(crate) type SeriesId = u32;
const NONE: SeriesId = SeriesId::MAX;

/// One pushed series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    key: u128,
    /// The series that came after this one last time.
    next: SeriesId,
    /// Position of its layout.
    pub(crate) layout: u32,
    /// Its column there.
    pub(crate) slot: u16,
    /// Digits after the point that its last fraction had.
    pub(crate) decimals: u8,
    /// When it last had a sample, in seconds of the monotonic clock.
    pub(crate) seen: u32,
    /// Its newest sample's time; [`UNKNOWN`]: only the store knows.
    pub(crate) last: i64,
    /// Its newest sample.
    pub(crate) bits: u64,
    /// Names what was last said of its family along with it.
    pub(crate) said: u64,
    /// What it costs, as [`SeriesTable::bytes`] counts.
    bytes: u32,
}

/// Stands for a time that this table does not know.
pub(crate) const UNKNOWN: i64 = i64::MIN;
/// What a series costs beside its labels.
const OVERHEAD: usize = 256;

/// All pushed series.
#[derive(Debug)]
pub(crate) struct SeriesTable {
    entries: Vec<Known>,
    free: Vec<SeriesId>,
    /// By the low half of the key.
    by_key: HashMap<u64, SeriesId, BuildHasherDefault<Identity>>,
    /// The series found last.
    cursor: SeriesId,
    bytes: usize,
    /// Series that were where they were expected, and those that were not.
    pub(crate) predicted: u64,
    pub(crate) searched: u64,
}

impl SeriesTable {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::default(),
            cursor: NONE,
            bytes: 0,
            predicted: 0,
            searched: 0,
        }
    }

    /// A new request begins: nothing is expected of its first series.
    pub(crate) fn begin(&mut self) {
        self.cursor = NONE;
    }

    /// The series of a key: the one that came next last time, else the one that the map knows.
    #[inline]
    pub(crate) fn find(&mut self, key: u128) -> Option<SeriesId> {
        if let Some(last) = self.entries.get(self.cursor as usize)
            && let Some(expected) = self.entries.get(last.next as usize)
            && expected.key == key
        {
            self.predicted += 1;
            self.cursor = last.next;
            return Some(self.cursor);
        }
        self.search(key)
    }

    fn search(&mut self, key: u128) -> Option<SeriesId> {
        self.searched += 1;
        let id = *self.by_key.get(&low(key))?;
        if self.entries[id as usize].key != key {
            return None;
        }
        self.follow(id);
        Some(id)
    }

    /// Remembers that `id` came after the one before.
    fn follow(&mut self, id: SeriesId) {
        if let Some(last) = self.entries.get_mut(self.cursor as usize) {
            last.next = id;
        }
        self.cursor = id;
    }

    /// Adds a series; it has no place yet.
    pub(crate) fn insert(&mut self, key: u128, label_bytes: usize, seen: u32) -> SeriesId {
        let bytes = label_bytes.saturating_add(OVERHEAD);
        let known = Known {
            key,
            next: NONE,
            layout: u32::MAX,
            slot: 0,
            decimals: 0,
            seen,
            last: UNKNOWN,
            bits: 0,
            said: 0,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = known;
                id
            }
            None => {
                self.entries.push(known);
                SeriesId::try_from(self.entries.len() - 1).unwrap_or(NONE)
            }
        };
        self.bytes += known.bytes as usize;
        self.by_key.insert(low(key), id);
        self.follow(id);
        id
    }

    /// Forgets a series.
    pub(crate) fn remove(&mut self, id: SeriesId) {
        let known = &mut self.entries[id as usize];
        self.bytes -= known.bytes as usize;
        if self.by_key.get(&low(known.key)) == Some(&id) {
            self.by_key.remove(&low(known.key));
        }
        (known.key, known.layout, known.next) = (0, u32::MAX, NONE);
        self.free.push(id);
        if self.cursor == id {
            self.cursor = NONE;
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: SeriesId) -> &Known {
        &self.entries[id as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: SeriesId) -> &mut Known {
        &mut self.entries[id as usize]
    }

    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// About how many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[allow(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
fn low(key: u128) -> u64 {
    key as u64
}

/// A key is a hash already.
#[derive(Clone, Copy, Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_order_is_predicted_and_another_one_is_found() {
        let mut table = SeriesTable::new();
        let ids: Vec<_> = (1..=5).map(|key| table.insert(key, 10, 0)).collect();
        for keys in [vec![1, 2, 3, 4, 5], vec![3, 4, 5, 1], vec![5, 3, 1]] {
            table.begin();
            for key in keys {
                assert_eq!(table.find(key), Some(ids[key as usize - 1]));
            }
        }
        // Each request's first, and where the order was another one for the first time.
        assert_eq!((table.predicted, table.searched), (4 + 2, 1 + 2 + 3));
        assert_eq!(table.find(9), None);
    }

    #[test]
    fn what_is_forgotten_is_not_found_and_its_number_used_again() {
        let mut table = SeriesTable::new();
        let first = table.insert(1, 10, 0);
        let second = table.insert(2, 20, 0);
        table.remove(first);
        assert_eq!((table.find(1), table.len(), table.bytes()), (None, 1, 20 + OVERHEAD));
        assert_eq!(table.insert(3, 0, 0), first);
        assert_eq!((table.find(3), table.find(2)), (Some(first), Some(second)));
    }
}
