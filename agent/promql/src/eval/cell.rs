//! One value of a series: a number or a native histogram.

use std::sync::Arc;

use model::{AnyHistogram, FloatHistogram, HistogramSample};

/// Bytes of a bucket against those of a number's sample: how much more a histogram holds.
const BUCKETS_PER_SAMPLE: usize = 2;

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

impl Cell {
    /// The number, where it is one.
    pub(crate) fn float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Histogram(_) => None,
        }
    }

    /// The histogram, where it is one.
    pub(crate) fn histogram(&self) -> Option<&Arc<FloatHistogram>> {
        match self {
            Self::Float(_) => None,
            Self::Histogram(histogram) => Some(histogram),
        }
    }

    /// Samples that it counts as, beyond the first.
    pub(crate) fn extra(&self) -> usize {
        self.histogram().map_or(0, |histogram| 5 + histogram.buckets() / BUCKETS_PER_SAMPLE)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<FloatHistogram> for Cell {
    fn from(histogram: FloatHistogram) -> Self {
        Self::Histogram(Arc::new(histogram))
    }
}

/// A histogram at a time, as answers hold it.
pub(crate) fn histogram_sample(timestamp: i64, histogram: &FloatHistogram) -> HistogramSample {
    HistogramSample { timestamp, histogram: Arc::new(AnyHistogram::Float(histogram.clone())) }
}
