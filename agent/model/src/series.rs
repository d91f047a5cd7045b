//! A series with its samples.

use crate::labels::Labels;
use crate::sample::Sample;

/// A label set and its samples in order of time, no two at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// What names the series.
    pub labels: Labels,
    /// The samples, oldest first; stale markers are among them.
    pub samples: Vec<Sample>,
}
