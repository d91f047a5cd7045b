//! Two zero buckets of different widths made one.
//!
//! Histograms whose zero buckets differ are compared and added with a zero bucket that holds both and
//! ends within no populated bucket of either.

use std::cmp::Ordering;

use super::Histogram;
use super::count::Count;

impl<C: Count> Histogram<C> {
    /// What the zero bucket would hold if it reached to `threshold` at least. It reaches further where
    /// `threshold` lies within a populated bucket; the width comes with the count. A smaller `threshold`
    /// changes nothing.
    pub(super) fn widened_zero(&self, mut threshold: f64) -> (C, f64) {
        // NaN is no width.
        if threshold.is_nan() || threshold <= self.zero_threshold {
            return (self.zero_count, self.zero_threshold);
        }
        // Each round but the last raises the threshold to the end of one more bucket.
        loop {
            let mut count = self.zero_count;
            let reach = threshold;
            for bucket in self.positive_buckets().take_while(|bucket| bucket.lower < reach) {
                count = count.plus(bucket.count);
                if bucket.upper > threshold && !bucket.count.is_zero() {
                    threshold = bucket.upper;
                    break;
                }
            }
            let (reach, mut raised) = (threshold, false);
            for bucket in self.negative_buckets().take_while(|bucket| bucket.upper > -reach) {
                count = count.plus(bucket.count);
                if bucket.lower < -threshold && !bucket.count.is_zero() {
                    (threshold, raised) = (-bucket.lower, true);
                    break;
                }
            }
            if !raised {
                return (count, threshold);
            }
        }
    }

    /// Widens the zero bucket to `threshold` at least; buckets that it takes in are gone afterwards.
    pub fn widen_zero(&mut self, threshold: f64) {
        if self.has_custom_buckets() || threshold <= self.zero_threshold {
            return;
        }
        let (count, threshold) = self.widened_zero(threshold);
        let positive = self.positive_buckets().take_while(|bucket| bucket.lower < threshold).count();
        let negative = self.negative_buckets().take_while(|bucket| bucket.upper > -threshold).count();
        self.positive = self.positive.without_first(positive);
        self.negative = self.negative.without_first(negative);
        (self.zero_count, self.zero_threshold) = (count, threshold);
        self.compact(0);
    }

    /// Widens the own zero bucket so that it suits `other` too; what the other's would then count.
    pub(super) fn reconcile_zero<D: Count>(&mut self, other: &Histogram<D>) -> D {
        let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
        // Every round widens one of them to the end of one of its buckets; NaN ends it.
        while threshold.partial_cmp(&self.zero_threshold).is_some_and(Ordering::is_ne) {
            if self.zero_threshold > threshold {
                (count, threshold) = other.widened_zero(self.zero_threshold);
            }
            if threshold > self.zero_threshold {
                self.widen_zero(threshold);
            }
        }
        count
    }
}
