//! Whether a histogram's parts go together.

use super::count::Count;
use super::error::HistogramError;
use super::schema::Schema;
use super::{Buckets, Histogram};

impl<C: Count> Histogram<C> {
    /// Checks bounds, signs and, for integers, that the buckets add up to the count. (NaN observations
    /// are in no bucket: with a NaN sum the count may be larger. Sums of floats round, so those are not
    /// compared.)
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), HistogramError> {
        match &self.schema {
            Schema::Custom(bounds) => self.check_custom(bounds)?,
            Schema::Exponential(_) => {
                if !(self.zero_threshold >= 0.0 && self.zero_threshold.is_finite()) {
                    return Err(HistogramError::ZeroThreshold(self.zero_threshold));
                }
                check_side(&self.negative).map_err(|error| error.on("negative"))?;
                if self.zero_count < C::ZERO {
                    return Err(HistogramError::NegativeZeroCount(self.zero_count.to_f64()));
                }
            }
        }
        if self.count < C::ZERO {
            return Err(HistogramError::NegativeCount(self.count.to_f64()));
        }
        check_side(&self.positive).map_err(|error| error.on("positive"))?;
        if C::EXACT { self.check_sum() } else { Ok(()) }
    }

    fn check_sum(&self) -> Result<(), HistogramError> {
        let both = self.negative.counts().iter().chain(self.positive.counts());
        let buckets = both.fold(self.zero_count, |sum, count| sum.plus(*count));
        let fits = if self.sum.is_nan() { buckets <= self.count } else { buckets == self.count };
        if fits {
            Ok(())
        } else {
            Err(HistogramError::CountMismatch { buckets: buckets.text(), count: self.count.text() })
        }
    }

    fn check_custom(&self, bounds: &[f64]) -> Result<(), HistogramError> {
        if let Some(bound) = bounds.iter().find(|bound| bound.is_nan() || **bound == f64::INFINITY) {
            return Err(HistogramError::Bound(*bound));
        }
        if let Some(pair) = bounds.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(HistogramError::BoundsOrder { bound: pair[0], next: pair[1] });
        }
        let (first, last) = (self.positive.iter().next(), self.positive.iter().next_back());
        if let Some((index, _)) = first.filter(|(index, _)| *index < 0) {
            return Err(HistogramError::NegativeOffset { span: 1, offset: index }.on("positive"));
        }
        if let Some((index, _)) = last
            && usize::try_from(index).is_ok_and(|index| index > bounds.len())
        {
            return Err(HistogramError::TooFewBounds { bounds: bounds.len(), index });
        }
        if !self.zero_count.is_zero() {
            return Err(HistogramError::NotCustom("zero count"));
        }
        if self.zero_threshold != 0.0 {
            return Err(HistogramError::NotCustom("zero threshold"));
        }
        if !self.negative.is_empty() {
            return Err(HistogramError::NotCustom("negative bucket"));
        }
        Ok(())
    }
}

fn check_side<C: Count>(side: &Buckets<C>) -> Result<(), HistogramError> {
    match side.counts().iter().position(|count| *count < C::ZERO) {
        Some(at) => Err(HistogramError::NegativeBucket { bucket: at + 1, count: side.counts()[at].text() }),
        None => Ok(()),
    }
}
