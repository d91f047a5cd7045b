//! Sums, differences and multiples of histograms.

use std::sync::Arc;

use super::count::Count;
use super::error::HistogramError;
use super::schema::{Resolution, Schema};
use super::{Buckets, FloatHistogram, Histogram, ResetHint};

/// What had to be smoothed over when two histograms were put together. PromQL tells its reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// One said that a counter reset came before it, the other that none did; nothing is known now.
    pub hints_collided: bool,
    /// Their custom bounds differed: only the common ones are left.
    pub bounds_reconciled: bool,
}

impl FloatHistogram {
    /// Adds another histogram, with the coarser schema and the wider zero bucket of both; of different
    /// custom bounds those stay that both have. There may be empty buckets afterwards.
    ///
    /// # Errors
    /// When only one of them has custom buckets; nothing is changed then.
    pub fn add(&mut self, other: &Self) -> Result<Merged, HistogramError> {
        let merged = self.absorb(other, |count| count)?;
        self.sum += other.sum;
        Ok(merged)
    }

    /// Subtracts another histogram, as [`add`](Self::add) adds it. The hint becomes what it becomes
    /// there; for PromQL's `-` the caller makes the result a gauge.
    ///
    /// # Errors
    /// When only one of them has custom buckets; nothing is changed then.
    pub fn subtract(&mut self, other: &Self) -> Result<Merged, HistogramError> {
        let merged = self.absorb(other, |count: f64| -count)?;
        self.sum -= other.sum;
        Ok(merged)
    }

    /// Multiplies all counts and the sum. A negative factor makes a gauge.
    pub fn multiply(&mut self, factor: f64) {
        self.each(|count| count * factor);
        self.sum *= factor;
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum. A negative divisor makes a gauge; zero leaves no buckets.
    pub fn divide(&mut self, divisor: f64) {
        if divisor == 0.0 {
            (self.positive, self.negative) = (Buckets::default(), Buckets::default());
        }
        self.each(|count| count / divisor);
        self.sum /= divisor;
        if divisor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Whether the sum or any count is infinite.
    #[must_use]
    pub fn has_overflow(&self) -> bool {
        let mut counts = self.positive.counts().iter().chain(self.negative.counts());
        [self.sum, self.count, self.zero_count].iter().any(|number| number.is_infinite())
            || counts.any(|count| count.is_infinite())
    }
}

impl<C: Count> Histogram<C> {
    /// Changes each count in place.
    pub(super) fn each(&mut self, change: impl Fn(C) -> C) {
        (self.count, self.zero_count) = (change(self.count), change(self.zero_count));
        self.positive.each(&change);
        self.negative.each(&change);
    }

    /// Adds what `from` makes of the other's counts. The sum of observations is left to the caller.
    pub(super) fn absorb<D: Count>(
        &mut self,
        other: &Histogram<D>,
        from: impl Fn(D) -> C,
    ) -> Result<Merged, HistogramError> {
        let mut merged = Merged::default();
        match (&self.schema, &other.schema) {
            (Schema::Custom(mine), Schema::Custom(theirs)) if mine != theirs => {
                merged.bounds_reconciled = true;
                let common = common_bounds(mine, theirs);
                let mut counts = vec![C::ZERO; common.len() + 1];
                rebin(&self.positive, mine, &common, |at, count| counts[at] = counts[at].plus(count));
                rebin(&other.positive, theirs, &common, |at, count| {
                    counts[at] = counts[at].plus(from(count))
                });
                self.positive = dense(counts);
                self.schema = Schema::Custom(common);
            }
            (Schema::Custom(_), Schema::Custom(_)) => self.positive.absorb(&other.positive, 0, &from),
            (Schema::Exponential(mine), Schema::Exponential(theirs)) => {
                let coarser = *mine.min(theirs);
                self.absorb_exponential(other, coarser, &from)?;
            }
            _ => return Err(HistogramError::MixedSchemas),
        }
        self.count = self.count.plus(from(other.count));
        merged.hints_collided = self.join_hint(other.reset_hint);
        Ok(merged)
    }

    fn absorb_exponential<D: Count>(
        &mut self,
        other: &Histogram<D>,
        coarser: Resolution,
        from: &impl Fn(D) -> C,
    ) -> Result<(), HistogramError> {
        let zero = self.reconcile_zero(other);
        self.zero_count = self.zero_count.plus(from(zero));
        self.reduce_resolution(coarser)?;
        let halvings = (other.schema.number() - coarser.number()).unsigned_abs();
        let threshold = self.zero_threshold;
        for (mine, theirs) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
            // The zero bucket has them. They go before the schemas meet, or a coarser bucket that
            // reaches into the zero bucket would count them again.
            let skipped = other.buckets_within(theirs, threshold);
            if halvings == 0 {
                mine.absorb(theirs, skipped, from);
            } else {
                mine.absorb(&theirs.without_first(skipped).coarsened(halvings), 0, from);
            }
        }
        Ok(())
    }

    /// The hint of both together; whether they contradict each other.
    fn join_hint(&mut self, other: ResetHint) -> bool {
        let (joined, collided) = match (self.reset_hint, other) {
            (mine, theirs) if mine == theirs => (mine, false),
            (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => (ResetHint::Gauge, false),
            (ResetHint::Unknown, _) | (_, ResetHint::Unknown) => (ResetHint::Unknown, false),
            _ => (ResetHint::Unknown, true),
        };
        self.reset_hint = joined;
        collided
    }
}

/// The bounds that both have.
pub(super) fn common_bounds(one: &[f64], two: &[f64]) -> Arc<[f64]> {
    let mut rest = two.iter().copied().peekable();
    one.iter()
        .copied()
        .filter(|bound| {
            while rest.next_if(|other| other < bound).is_some() {}
            rest.peek() == Some(bound)
        })
        .collect()
}

/// Gives each custom bucket's count to the first of `fewer` bounds at or above its own, or to infinity.
pub(super) fn rebin<C: Count>(
    buckets: &Buckets<C>,
    bounds: &[f64],
    fewer: &[f64],
    mut give: impl FnMut(usize, C),
) {
    for (index, count) in buckets.iter() {
        let at = match usize::try_from(index).ok().and_then(|index| bounds.get(index)) {
            Some(end) => fewer.partition_point(|bound| bound < end),
            None => fewer.len(),
        };
        give(at, count);
    }
}

/// Buckets from index 0 on, without the empty ones.
fn dense<C: Count>(counts: Vec<C>) -> Buckets<C> {
    let indexes = 0..super::BUCKET_INDEX_MAX;
    indexes.zip(counts).filter(|(_, count)| !count.is_zero()).collect()
}
