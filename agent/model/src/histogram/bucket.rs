//! Buckets with their bounds, in order of value.

use std::fmt;

use super::count::Count;
use super::schema::Schema;
use super::{Buckets, Histogram};
use crate::float::format_go_float;

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket<C> {
    /// Where it begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
    /// Whether an observation of `lower` is in it.
    pub lower_inclusive: bool,
    /// Whether an observation of `upper` is in it.
    pub upper_inclusive: bool,
    /// Observations in it.
    pub count: C,
    /// Its index on its side; 0 for the zero bucket.
    pub index: i32,
}

/// In mathematical notation, as Prometheus prints it: `(1,2]:3`.
impl<C: Count> fmt::Display for Bucket<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.lower_inclusive { '[' } else { '(' };
        let close = if self.upper_inclusive { ']' } else { ')' };
        let (lower, upper) = (format_go_float(self.lower), format_go_float(self.upper));
        write!(f, "{open}{lower},{upper}{close}:{}", self.count.text())
    }
}

impl<C: Count> Histogram<C> {
    /// The zero bucket.
    #[must_use]
    pub fn zero_bucket(&self) -> Bucket<C> {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        }
    }

    /// The positive buckets by rising value, empty ones among them. From the back: by falling value.
    pub fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket<C>> {
        self.positive.iter().map(|(index, count)| self.positive_bucket(index, count))
    }

    /// The negative buckets by falling value, away from zero. From the back: by rising value.
    pub fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket<C>> {
        self.negative.iter().map(|(index, count)| self.negative_bucket(index, count))
    }

    /// All buckets by rising value: the negative ones, the zero bucket where it counts anything, the
    /// positive ones. A bucket that reaches into the zero bucket ends or begins at the zero threshold.
    /// From the back: by falling value.
    pub fn all_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket<C>> {
        let zero = (!self.has_custom_buckets() && self.zero_count.to_f64() > 0.0).then(|| self.zero_bucket());
        let negative = self.negative_buckets().rev().map(|bucket| self.clipped(bucket));
        negative.chain(zero).chain(self.positive_buckets().map(|bucket| self.clipped(bucket)))
    }

    fn positive_bucket(&self, index: i32, count: C) -> Bucket<C> {
        let (lower, upper) = (self.schema.bound(index - 1), self.schema.bound(index));
        let (lower_inclusive, upper_inclusive) = match self.schema {
            Schema::Exponential(_) => (lower < 0.0, upper > 0.0),
            Schema::Custom(_) => (index == 0, true),
        };
        Bucket { lower, upper, lower_inclusive, upper_inclusive, count, index }
    }

    fn negative_bucket(&self, index: i32, count: C) -> Bucket<C> {
        let (lower, upper) = (-self.schema.bound(index), -self.schema.bound(index - 1));
        Bucket { lower, upper, lower_inclusive: lower < 0.0, upper_inclusive: upper > 0.0, count, index }
    }

    fn clipped(&self, mut bucket: Bucket<C>) -> Bucket<C> {
        let threshold = self.zero_threshold;
        if bucket.upper < 0.0 && bucket.upper > -threshold {
            bucket.upper = -threshold;
        } else if bucket.lower > 0.0 && bucket.lower < threshold {
            bucket.lower = threshold;
        }
        bucket
    }

    /// How many buckets of a side, from its beginning, end at or below `threshold` (in absolute values).
    pub(super) fn buckets_within<D: Count>(&self, side: &Buckets<D>, threshold: f64) -> usize {
        if self.has_custom_buckets() || threshold <= 0.0 {
            return 0;
        }
        side.iter().take_while(|(index, _)| self.schema.bound(*index) <= threshold).count()
    }
}

/// As Prometheus prints a histogram: `{count:4, sum:5, [-0.5,0.5]:1, (1,2]:3}`; empty buckets are left out.
impl<C: Count> fmt::Display for Histogram<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", self.count.text(), format_go_float(self.sum))?;
        let zero = (!self.zero_count.is_zero()).then(|| self.zero_bucket());
        let below = self.negative_buckets().rev();
        for bucket in
            below.chain(zero).chain(self.positive_buckets()).filter(|bucket| !bucket.count.is_zero())
        {
            write!(f, ", {bucket}")?;
        }
        f.write_str("}")
    }
}
