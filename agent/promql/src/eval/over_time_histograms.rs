//! Sums and means of native histograms, over time or over series.

use model::FloatHistogram;
use model::histogram::{HistogramError, HistogramSum, ResetHint};

use super::window::Window;
use crate::annotation::Annotations;

/// A sum or mean of histograms that grows one by one.
#[derive(Clone, Debug)]
pub(super) struct Total {
    count: f64,
    /// The sum, or once that overflowed the mean itself.
    held: HistogramSum,
    mean: bool,
    incremental: bool,
    reset_seen: bool,
    no_reset_seen: bool,
    /// Whether custom bounds differed: only the common ones are left.
    pub(super) reconciled: bool,
}

impl Total {
    /// Begins with the first one.
    pub(super) fn new(first: &FloatHistogram, mean: bool) -> Self {
        let held = HistogramSum::new(first);
        let (reset_seen, no_reset_seen) = (false, false);
        let mut total =
            Self { count: 1.0, held, mean, incremental: false, reset_seen, no_reset_seen, reconciled: false };
        total.see(first);
        total
    }

    fn see(&mut self, one: &FloatHistogram) {
        self.reset_seen |= one.reset_hint == ResetHint::Reset;
        self.no_reset_seen |= one.reset_hint == ResetHint::NotReset;
    }

    /// Whether some said that a counter reset came before them, others that none did.
    pub(super) fn collided(&self) -> bool {
        self.reset_seen && self.no_reset_seen
    }

    /// Takes one more in.
    ///
    /// # Errors
    /// When it does not go together with those before.
    pub(super) fn add(&mut self, one: &FloatHistogram) -> Result<(), HistogramError> {
        self.see(one);
        self.count += 1.0;
        if !self.mean {
            self.reconciled |= self.held.add(one)?.bounds_reconciled;
            return Ok(());
        }
        if !self.incremental {
            let mut next = self.held.clone();
            self.reconciled |= next.add(one)?.bounds_reconciled;
            if !next.has_overflow() {
                self.held = next;
                return Ok(());
            }
            self.incremental = true;
            self.held.divide(self.count - 1.0);
        }
        self.held.multiply((self.count - 1.0) / self.count);
        let mut share = one.clone();
        share.divide(self.count);
        self.reconciled |= self.held.add(&share)?.bounds_reconciled;
        Ok(())
    }

    /// The sum or mean.
    pub(super) fn finish(mut self) -> FloatHistogram {
        if self.mean && !self.incremental {
            self.held.divide(self.count);
        }
        self.held.finish()
    }
}

/// `sum_over_time` and `avg_over_time`; none where the histograms do not go together.
pub(super) fn total(mean: bool, window: &Window<'_>, notes: &mut Annotations) -> Option<FloatHistogram> {
    let [(_, first), rest @ ..] = window.histograms else { return None };
    let mut total = Total::new(first, mean);
    let failed = rest.iter().any(|(_, one)| total.add(one).is_err());
    if total.collided() {
        notes.reset_collision("aggregation", window.pos);
    }
    if total.reconciled {
        notes.reconciled("aggregation", window.pos);
    }
    if failed {
        notes.mixed_schemas(window.labels.metric_name(), window.pos);
        return None;
    }
    Some(total.finish())
}
