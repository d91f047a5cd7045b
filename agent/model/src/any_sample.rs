//! Samples that may be histograms.

use std::sync::Arc;

use crate::histogram::AnyHistogram;
use crate::sample::{Sample, is_stale};

/// A histogram at a time. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSample {
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The histogram.
    pub histogram: Arc<AnyHistogram>,
}

/// A sample of a series that may hold both kinds. Where only floats can be, [`Sample`] is the type: it
/// is copied, and never looks whether it is a histogram.
#[derive(Clone, Debug, PartialEq)]
pub enum AnySample {
    /// A number.
    Float(Sample),
    /// A histogram.
    Histogram(HistogramSample),
}

impl AnySample {
    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        match self {
            Self::Float(sample) => sample.timestamp,
            Self::Histogram(sample) => sample.timestamp,
        }
    }

    /// Whether it marks the end of a series.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Float(sample) => is_stale(sample.value),
            Self::Histogram(sample) => sample.histogram.is_stale(),
        }
    }
}

impl From<Sample> for AnySample {
    fn from(sample: Sample) -> Self {
        Self::Float(sample)
    }
}

impl From<HistogramSample> for AnySample {
    fn from(sample: HistogramSample) -> Self {
        Self::Histogram(sample)
    }
}
