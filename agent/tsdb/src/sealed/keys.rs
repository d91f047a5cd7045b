//! Keys of sealed data in RocksDB (FORMAT.md). Numbers are big-endian, so that a window's, a generation's and a
//! group's keys each lie side by side, in the order in which they are written.

use crate::window::{WINDOW_MS, day_of};

/// Stands for a generation's index, which is no group's.
pub(crate) const INDEX: u32 = u32::MAX;
/// Set in the number of a generation that holds a day: its keys begin with the day's first window.
pub(crate) const DAY: u32 = 1 << 31;
/// From here on sub-blocks are summaries: of columns from 64 × what is above it on.
pub(crate) const SUMMARIES: u16 = 1 << 15;
/// Stands for the rows that others may still build on.
pub(crate) const TAILS: u16 = u16::MAX - 1;
/// Stands for when the rows were, and where they came from.
pub(crate) const TIMES: u16 = u16::MAX;

/// Names one value of the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockKey {
    /// Start of the window.
    pub(crate) window: i64,
    pub(crate) generation: u32,
    pub(crate) group: u32,
    /// Columns from 64 × this on, or [`TAILS`] or [`TIMES`].
    pub(crate) sub: u16,
    /// Which of the row parts of a group that has many.
    pub(crate) part: u16,
}

impl BlockKey {
    pub(crate) const LEN: usize = 20;

    /// The first of a generation's keys; of one that holds a day `window` may be any window of it.
    pub(crate) fn first(window: i64, generation: u32) -> Self {
        let window = if generation & DAY == 0 { window } else { day_of(window) };
        Self { window, generation, group: 0, sub: 0, part: 0 }
    }

    /// The key of a generation's index, its last.
    pub(crate) fn index(window: i64, generation: u32) -> Self {
        Self { group: INDEX, ..Self::first(window, generation) }
    }

    /// Whether it names a value of a day.
    pub(crate) fn is_day(&self) -> bool {
        self.generation & DAY != 0
    }

    pub(crate) fn bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&window_key(self.window));
        out[8..12].copy_from_slice(&self.generation.to_be_bytes());
        out[12..16].copy_from_slice(&self.group.to_be_bytes());
        out[16..18].copy_from_slice(&self.sub.to_be_bytes());
        out[18..].copy_from_slice(&self.part.to_be_bytes());
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        Some(Self {
            window: window_start(&bytes[..8])?,
            generation: word(8),
            group: word(12),
            sub: half(16),
            part: half(18),
        })
    }
}

/// A window's number, in an order that is that of time.
pub(crate) fn window_key(start: i64) -> [u8; 8] {
    (start.div_euclid(WINDOW_MS) ^ i64::MIN).to_be_bytes()
}

/// The start of the window of a key.
pub(crate) fn window_start(key: &[u8]) -> Option<i64> {
    let number = i64::from_be_bytes(key.try_into().ok()?) ^ i64::MIN;
    number.checked_mul(WINDOW_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = BlockKey> {
        (-1_000i64..1_000, any::<u32>(), any::<u32>(), any::<u16>(), any::<u16>()).prop_map(
            |(window, generation, group, sub, part)| BlockKey {
                window: window * WINDOW_MS,
                generation,
                group,
                sub,
                part,
            },
        )
    }

    proptest! {
        #[test]
        fn keys_come_back_and_keep_their_order(a in any_key(), b in any_key()) {
            prop_assert_eq!(BlockKey::read(&a.bytes()), Some(a));
            prop_assert_eq!(a.bytes().cmp(&b.bytes()), a.cmp(&b));
            let last = BlockKey { part: u16::MAX, sub: u16::MAX, group: INDEX, ..a };
            prop_assert!(BlockKey::first(a.window, a.generation) <= a && a <= last);
        }
    }
}
