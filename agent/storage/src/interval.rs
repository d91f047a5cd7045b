//! Sets of sequence numbers as sorted ranges.

use std::fmt;
use std::ops::RangeInclusive;

/// A set of sequence numbers; in practice one to three ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IntervalSet {
    /// Sorted, disjoint, not touching.
    ranges: Vec<(u64, u64)>,
}

impl IntervalSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one number; `false` when it was there.
    pub fn insert(&mut self, seq: u64) -> bool {
        if self.contains(seq) {
            return false;
        }
        self.insert_range(seq..=seq);
        true
    }

    /// Adds a range; an empty one changes nothing.
    pub fn insert_range(&mut self, range: RangeInclusive<u64>) {
        let (mut first, mut last) = range.into_inner();
        if first > last {
            return;
        }
        // Every range that overlaps or touches is swallowed.
        let from = self.ranges.partition_point(|&(_, end)| end.saturating_add(1) < first);
        let to = self.ranges.partition_point(|&(start, _)| start <= last.saturating_add(1));
        if from < to {
            first = first.min(self.ranges[from].0);
            last = last.max(self.ranges[to - 1].1);
        }
        self.ranges.splice(from..to, [(first, last)]);
    }

    /// Adds every number of `other`.
    pub fn union(&mut self, other: &Self) {
        for range in other.ranges() {
            self.insert_range(range);
        }
    }

    /// Whether the number is in the set.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end < seq);
        self.ranges.get(at).is_some_and(|&(start, _)| start <= seq)
    }

    /// The ranges in order.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = RangeInclusive<u64>> + '_ {
        self.ranges.iter().map(|&(first, last)| first..=last)
    }

    /// What `self` has and `other` lacks.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut out = Self::new();
        for &(first, last) in &self.ranges {
            // `next` is the first number not yet decided; none once the range is used up.
            let mut next = Some(first);
            for &(start, end) in other.ranges.iter().filter(|&&(start, end)| end >= first && start <= last) {
                if let Some(from) = next.filter(|&from| from < start) {
                    out.insert_range(from..=start - 1);
                }
                next = end.checked_add(1);
            }
            if let Some(from) = next {
                out.insert_range(from..=last);
            }
        }
        out
    }

    /// The smallest number of the set.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.ranges.first().map(|&(first, _)| first)
    }

    /// The greatest number of the set.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last().map(|&(_, last)| last)
    }

    /// How many numbers there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().fold(0, |sum, &(first, last)| sum.saturating_add((last - first).saturating_add(1)))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl FromIterator<RangeInclusive<u64>> for IntervalSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        for range in ranges {
            set.insert_range(range);
        }
        set
    }
}

impl fmt::Display for IntervalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{first}..{last}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn numbers(set: &IntervalSet) -> BTreeSet<u64> {
        set.ranges().flatten().collect()
    }

    #[test]
    fn the_greatest_number_is_no_exception() {
        let mut set = IntervalSet::from_iter([u64::MAX..=u64::MAX, 0..=0]);
        assert!(!set.insert(u64::MAX) && set.contains(u64::MAX) && set.count() == 2);
        assert!(set.difference(&set.clone()).is_empty());
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set(a in prop::collection::vec((0u64..60, 0u64..9), 0..20), b in prop::collection::vec((0u64..60, 0u64..9), 0..20)) {
            let make = |pairs: &[(u64, u64)]| IntervalSet::from_iter(pairs.iter().map(|&(from, len)| from..=from + len));
            let (left, right) = (make(&a), make(&b));
            let (model_left, model_right) = (numbers(&left), numbers(&right));
            prop_assert_eq!(left.count(), model_left.len() as u64);
            prop_assert_eq!(numbers(&left.difference(&right)), &model_left - &model_right);
            let mut union = left.clone();
            union.union(&right);
            prop_assert_eq!(numbers(&union), &model_left | &model_right);
            let ranges: Vec<_> = union.ranges.windows(2).map(|pair| pair[1].0 > pair[0].1 + 1).collect();
            prop_assert!(ranges.into_iter().all(|apart| apart));
        }
    }
}
