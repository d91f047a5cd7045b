//! Whether a counter was reset between two histograms.

use super::Histogram;
use super::arithmetic::{common_bounds, rebin};
use super::buckets::Buckets;
use super::count::Count;
use super::schema::Schema;

impl<C: Count> Histogram<C> {
    /// Whether this histogram cannot have grown out of `previous`: any count fell or is gone, the schema
    /// became finer or of another kind, or the zero bucket shrank or now ends within a bucket that was
    /// populated. Where the hint knows, nothing is compared; the hint of a gauge knows nothing.
    #[must_use]
    pub fn is_reset_after(&self, previous: &Self) -> bool {
        use super::ResetHint as Hint;
        match self.reset_hint {
            Hint::Reset => return true,
            Hint::NotReset => return false,
            Hint::Unknown | Hint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        match (&self.schema, &previous.schema) {
            (Schema::Custom(mine), Schema::Custom(theirs)) if mine != theirs => {
                let common = common_bounds(mine, theirs);
                let counts = |side: &Buckets<C>, bounds: &[f64]| {
                    let mut counts = vec![C::ZERO; common.len() + 1];
                    rebin(side, bounds, &common, |at, count| counts[at] = counts[at].plus(count));
                    counts
                };
                let (now, before) = (counts(&self.positive, mine), counts(&previous.positive, theirs));
                now.iter().zip(&before).any(|(now, before)| now < before)
            }
            (Schema::Custom(_), Schema::Custom(_)) => fell(self.positive.iter(), previous.positive.iter()),
            (Schema::Exponential(mine), Schema::Exponential(theirs)) => {
                mine > theirs || self.is_exponential_reset_after(previous)
            }
            _ => true,
        }
    }

    fn is_exponential_reset_after(&self, previous: &Self) -> bool {
        if self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (zero, threshold) = previous.widened_zero(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < zero {
            return true;
        }
        let halvings = (previous.schema.number() - self.schema.number()).unsigned_abs();
        let side_fell = |mine: &Buckets<C>, theirs: &Buckets<C>| {
            let coarsened;
            let theirs = if halvings == 0 {
                theirs
            } else {
                coarsened = theirs.coarsened(halvings);
                &coarsened
            };
            // What the zero bucket holds was compared there.
            let within = |side: &Buckets<C>| self.buckets_within(side, self.zero_threshold);
            fell(mine.iter().skip(within(mine)), theirs.iter().skip(within(theirs)))
        };
        side_fell(&self.positive, &previous.positive) || side_fell(&self.negative, &previous.negative)
    }
}

/// Whether any bucket counts less than before; a bucket that is not there counts nothing.
fn fell<C: Count>(now: impl Iterator<Item = (i32, C)>, mut before: impl Iterator<Item = (i32, C)>) -> bool {
    let mut now = now.peekable();
    before.any(|(index, count)| {
        while now.next_if(|(at, _)| *at < index).is_some() {}
        match now.next_if(|(at, _)| *at == index) {
            Some((_, left)) => left < count,
            None => !count.is_zero(),
        }
    })
}
