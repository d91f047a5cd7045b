//! Sums of many histograms that lose little to rounding.

use super::arithmetic::Merged;
use super::count::{Count, Kahan};
use super::error::HistogramError;
use super::{Buckets, FloatHistogram, Histogram, ResetHint};

/// A running sum of histograms, each number of it summed as Kahan and Neumaier do: what `sum`, `avg`
/// and their `_over_time` relatives add with.
#[derive(Clone, Debug)]
pub struct HistogramSum {
    /// Its own `sum` is unused: that one is compensated too.
    held: Histogram<Kahan>,
    sum: Kahan,
}

impl HistogramSum {
    /// The sum of one.
    #[must_use]
    pub fn new(first: &FloatHistogram) -> Self {
        Self { held: first.map(Kahan::new), sum: Kahan::new(first.sum) }
    }

    /// Adds one more, as [`FloatHistogram::add`] does.
    ///
    /// # Errors
    /// When only one of them has custom buckets; nothing is changed then.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Merged, HistogramError> {
        let merged = if self.held.zero_threshold == other.zero_threshold && self.held.schema == other.schema {
            self.held.absorb(other, Kahan::new)?
        } else {
            // Buckets of the other one are added up too.
            self.held.absorb(&other.map(Kahan::new), |count| count)?
        };
        self.sum = self.sum.plus(Kahan::new(other.sum));
        Ok(merged)
    }

    /// Multiplies the sum so far. A negative factor makes a gauge.
    pub fn multiply(&mut self, factor: f64) {
        self.held.each(|count| count.map(|part| part * factor));
        self.sum = self.sum.map(|part| part * factor);
        if factor < 0.0 {
            self.held.reset_hint = ResetHint::Gauge;
        }
    }

    /// Divides the sum so far. A negative divisor makes a gauge; zero leaves no buckets.
    pub fn divide(&mut self, divisor: f64) {
        let part = |count: Kahan| match divisor {
            // What was lost does not matter any more, and 0/0 would make all of it NaN.
            0.0 => Kahan::new(count.to_f64() / divisor),
            _ => count.map(|part| part / divisor),
        };
        if divisor == 0.0 {
            (self.held.positive, self.held.negative) = (Buckets::default(), Buckets::default());
        }
        self.held.each(part);
        self.sum = part(self.sum);
        if divisor < 0.0 {
            self.held.reset_hint = ResetHint::Gauge;
        }
    }

    /// Whether the sum or any count is infinite.
    #[must_use]
    pub fn has_overflow(&self) -> bool {
        let infinite = |number: &Kahan| number.sum.is_infinite();
        let mut counts = self.held.positive.counts().iter().chain(self.held.negative.counts());
        [self.sum, self.held.count, self.held.zero_count].iter().any(infinite) || counts.any(infinite)
    }

    /// The sum.
    #[must_use]
    pub fn finish(&self) -> FloatHistogram {
        FloatHistogram { sum: self.sum.to_f64(), ..self.held.to_float() }
    }
}
