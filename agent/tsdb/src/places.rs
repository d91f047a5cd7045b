//! When a run's rows were and where they came from, in few bytes: each target has one such entry a scrape.

use std::ops::Range;

use storage::TimeRange;

use crate::memory::allocated;
use crate::run::At;

/// Rows in order of time.
#[derive(Debug)]
pub(crate) enum Places {
    /// As distances from the first row, as long as they are small: within a window and a stream they are.
    Near { first: At, rest: Vec<Near> },
    /// As they are.
    Far(Vec<At>),
}

/// Distances from a run's first row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near {
    time: u32,
    seq: u32,
    row: u32,
}

impl Default for Places {
    fn default() -> Self {
        Self::Far(Vec::new())
    }
}

impl Places {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Near { rest, .. } => rest.len() + 1,
            Self::Far(all) => all.len(),
        }
    }

    /// What it takes up.
    pub(crate) fn bytes(&self) -> u64 {
        allocated(match self {
            Self::Near { rest, .. } => rest.capacity() * size_of::<Near>(),
            Self::Far(all) => all.capacity() * size_of::<At>(),
        })
    }

    /// The row at a position.
    pub(crate) fn get(&self, position: usize) -> Option<At> {
        match self {
            Self::Far(all) => all.get(position).copied(),
            Self::Near { first, .. } if position == 0 => Some(*first),
            Self::Near { first, rest } => rest.get(position - 1).map(|near| near.after(first)),
        }
    }

    pub(crate) fn last(&self) -> Option<At> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The rows at some positions.
    pub(crate) fn range(&self, positions: Range<usize>) -> impl Iterator<Item = At> + '_ {
        positions.filter_map(|position| self.get(position))
    }

    /// Adds a row after the last.
    pub(crate) fn push(&mut self, at: At) {
        match self {
            Self::Far(all) if all.is_empty() => *self = Self::Near { first: at, rest: Vec::new() },
            Self::Far(all) => all.push(at),
            Self::Near { first, rest } => match Near::new(first, at) {
                Some(near) => {
                    // By a quarter at a time and not doubled: there are as many lists as groups.
                    if rest.len() == rest.capacity() {
                        rest.reserve_exact(rest.len() / 4 + 16);
                    }
                    rest.push(near);
                }
                None => {
                    let mut all: Vec<At> = self.range(0..self.len()).collect();
                    all.push(at);
                    *self = Self::Far(all);
                }
            },
        }
    }

    /// The positions, among some, of the rows of a range of time.
    pub(crate) fn within(&self, positions: Range<usize>, range: TimeRange) -> Range<usize> {
        let before = |limit: &dyn Fn(i64) -> bool| {
            let (mut low, mut high) = (positions.start, positions.end);
            while low < high {
                let middle = low + (high - low) / 2;
                let is_before = self.get(middle).is_some_and(|at| limit(at.timestamp));
                if is_before { low = middle + 1 } else { high = middle }
            }
            low
        };
        before(&|time| time < range.start)..before(&|time| time <= range.end)
    }
}

impl Near {
    fn new(first: &At, at: At) -> Option<Self> {
        let time = at.timestamp.checked_sub(first.timestamp)?;
        let seq = at.sequence.0.checked_sub(first.sequence.0)?;
        Some(Self { time: time.try_into().ok()?, seq: seq.try_into().ok()?, row: at.sequence.1 })
    }

    fn after(&self, first: &At) -> At {
        let sequence = (first.sequence.0 + u64::from(self.seq), self.row);
        At { timestamp: first.timestamp + i64::from(self.time), sequence }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn distance() -> impl Strategy<Value = u64> {
        prop_oneof![8 => 1..20_000u64, 1 => Just(u64::from(u32::MAX)), 1 => 1..1u64 << 40]
    }

    proptest! {
        /// However they are kept, they are what was put in.
        #[test]
        fn rows_come_back(
            first in (-1i64 << 50..1 << 50, any::<u64>()),
            rest in prop::collection::vec((distance(), distance(), any::<bool>(), any::<u32>()), 0..40),
            from in 0..45usize, to in 0..45usize, range in (0..50usize, 0..50usize), off in -1..2i64,
        ) {
            let mut all = vec![At { timestamp: first.0, sequence: (first.1, 7) }];
            for (time, seq, back, row) in rest {
                let last = all[all.len() - 1];
                let seq = if back { last.sequence.0.wrapping_sub(seq) } else { last.sequence.0.wrapping_add(seq) };
                all.push(At { timestamp: last.timestamp + time as i64, sequence: (seq, row) });
            }
            let mut places = Places::default();
            prop_assert_eq!((places.len(), places.last().is_none()), (0, true));
            for (position, at) in all.iter().enumerate() {
                places.push(*at);
                prop_assert_eq!((places.len(), places.last()), (position + 1, Some(*at)));
            }
            let (to, from) = (to.min(all.len()), from.min(to).min(all.len()));
            prop_assert_eq!(places.range(from..to).collect::<Vec<_>>(), &all[from..to]);
            prop_assert_eq!(places.get(all.len()), None);
            let time = |position: usize| all[position.min(all.len() - 1)].timestamp + off;
            let range = TimeRange { start: time(range.0), end: time(range.1) };
            let found = places.within(from..to, range);
            let naive = |limit: &dyn Fn(i64) -> bool| from + all[from..to].iter().filter(|at| limit(at.timestamp)).count();
            prop_assert_eq!(found, naive(&|time| time < range.start)..naive(&|time| time <= range.end));
        }
    }
}
