//! What is wrong with a histogram.

use super::buckets::BUCKET_INDEX_MAX;
use super::schema::{CUSTOM_SCHEMA, Resolution};

/// A histogram that cannot be, or two that do not go together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HistogramError {
    /// No such schema.
    #[error(
        "invalid schema {0}: must be between {min} and {max} for exponential buckets, or {CUSTOM_SCHEMA} for custom buckets",
        min = Resolution::COARSEST, max = Resolution::FINEST
    )]
    Schema(i32),
    /// A span goes backwards.
    #[error("span number {span} has the negative offset {offset}")]
    NegativeOffset {
        /// Counted from 1.
        span: usize,
        /// Its offset.
        offset: i32,
    },
    /// A bucket's index is too large.
    #[error("span number {span} has a bucket index beyond {BUCKET_INDEX_MAX}")]
    IndexRange {
        /// Counted from 1.
        span: usize,
    },
    /// Spans and counts are not equally many.
    #[error("spans need {needed} buckets, have {found} buckets")]
    SpansMismatch {
        /// Buckets by the spans.
        needed: u64,
        /// Buckets that were given.
        found: usize,
    },
    /// A bucket counts less than nothing.
    #[error("bucket number {bucket} has observation count of {count}, which is negative")]
    NegativeBucket {
        /// Counted from 1.
        bucket: usize,
        /// Its count.
        count: String,
    },
    /// The zero bucket counts less than nothing.
    #[error("zero bucket has observation count of {0}, which is negative")]
    NegativeZeroCount(f64),
    /// Less than nothing was observed.
    #[error("observation count is {0}, which is negative")]
    NegativeCount(f64),
    /// The width of the zero bucket is no width.
    #[error("zero threshold is {0}: must be zero or a positive number")]
    ZeroThreshold(f64),
    /// Some observations are in no bucket although none of them was NaN.
    #[error("{buckets} observations found in buckets, but the count is {count}")]
    CountMismatch {
        /// The sum of all buckets.
        buckets: String,
        /// The count.
        count: String,
    },
    /// Custom bounds must rise.
    #[error("custom bounds must rise: {next} follows {bound}")]
    BoundsOrder {
        /// A bound.
        bound: f64,
        /// The one after it.
        next: f64,
    },
    /// A custom bound is NaN, or infinity is written out.
    #[error("custom bound {0}: must be a number below +Inf, whose bucket is always there")]
    Bound(f64),
    /// There are buckets beyond the last bound.
    #[error("{bounds} custom bounds are too few for a bucket with index {index}")]
    TooFewBounds {
        /// How many bounds there are.
        bounds: usize,
        /// The bucket's index.
        index: i32,
    },
    /// A histogram with custom buckets has something that only exponential ones have.
    #[error("custom buckets: must not have a {0}")]
    NotCustom(&'static str),
    /// One has custom buckets, the other exponential ones.
    #[error("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")]
    MixedSchemas,
    /// A schema can only become coarser.
    #[error("cannot reduce resolution from schema {from} to {to}")]
    CannotReduce {
        /// The histogram's schema.
        from: i32,
        /// The wanted one.
        to: i32,
    },
    /// What is wrong with one side's buckets.
    #[error("{side} side: {error}")]
    Side {
        /// `positive` or `negative`.
        side: &'static str,
        /// What is wrong there.
        error: Box<HistogramError>,
    },
}

impl HistogramError {
    /// The same error, of the side `positive` or `negative`.
    #[must_use]
    pub fn on(self, side: &'static str) -> Self {
        Self::Side { side, error: Box::new(self) }
    }
}
