//! Native histograms: what they hold, and what can be done with two of them.
//!
//! One shape, two kinds of counts: instrumentation counts in integers and the store keeps them exactly
//! ([`IntegerHistogram`]); PromQL needs fractions and negative numbers ([`FloatHistogram`]). Counts are
//! those of each bucket; the differences that wires and chunks use are theirs to undo. Semantics are
//! those of Prometheus 3 (`model/histogram`).

mod arithmetic;
mod bounds;
mod bucket;
mod buckets;
mod count;
mod error;
mod notation;
mod reset;
mod schema;
mod sum;
mod validate;
mod zero;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub use arithmetic::Merged;
pub use bucket::Bucket;
pub use buckets::{BUCKET_INDEX_MAX, Buckets, Cells, Span};
pub use count::Count;
pub use error::HistogramError;
pub use notation::NotationError;
pub use schema::{CUSTOM_SCHEMA, Resolution, Schema};
pub use sum::HistogramSum;

use crate::sample::{is_stale, stale_nan};

/// What is known about a counter reset between a histogram and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResetHint {
    /// Nothing: both must be compared.
    #[default]
    Unknown,
    /// There was one.
    Reset,
    /// There was none.
    NotReset,
    /// The histogram is a gauge, which has no resets.
    Gauge,
}

/// A histogram with sparse buckets.
///
/// Made of parts that each hold what they promise; [`validate`](Self::validate) checks that they go
/// together. Nothing here panics on a histogram that is not valid.
#[derive(Clone, Debug)]
pub struct Histogram<C = f64> {
    /// Whether a counter reset came before it.
    pub reset_hint: ResetHint,
    /// Where its buckets lie.
    pub schema: Schema,
    /// The zero bucket reaches from minus this to this, both included. Zero with custom buckets.
    pub zero_threshold: f64,
    /// Observations in the zero bucket. Zero with custom buckets.
    pub zero_count: C,
    /// All observations, NaN among them.
    pub count: C,
    /// The sum of all observations, or the stale marker.
    pub sum: f64,
    /// Buckets above the zero bucket; all buckets where they are custom.
    pub positive: Buckets<C>,
    /// Buckets below the zero bucket; index and bounds are those of the positive bucket's mirror image.
    pub negative: Buckets<C>,
}

/// What PromQL computes with.
pub type FloatHistogram = Histogram<f64>;
/// What instrumentation counts with.
pub type IntegerHistogram = Histogram<u64>;

impl<C: Count> Default for Histogram<C> {
    fn default() -> Self {
        Self {
            reset_hint: ResetHint::default(),
            schema: Schema::default(),
            zero_threshold: 0.0,
            zero_count: C::ZERO,
            count: C::ZERO,
            sum: 0.0,
            positive: Buckets::default(),
            negative: Buckets::default(),
        }
    }
}

impl<C: Count> Histogram<C> {
    /// The histogram that marks the end of a series.
    #[must_use]
    pub fn stale() -> Self {
        Self { sum: stale_nan(), ..Self::default() }
    }

    /// Whether this marks the end of a series.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Whether the buckets' bounds are its own ones.
    #[must_use]
    pub fn has_custom_buckets(&self) -> bool {
        matches!(self.schema, Schema::Custom(_))
    }

    /// Buckets there are, empty ones among them, without the zero bucket.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.positive.len() + self.negative.len()
    }

    /// [`Buckets::compact`] on both sides.
    pub fn compact(&mut self, max_empty: u8) {
        self.positive.compact(max_empty);
        self.negative.compact(max_empty);
    }

    /// The same data, bit by bit, whatever the hint says: what Prometheus calls equal.
    #[must_use]
    pub fn same_data(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.count.same(other.count)
            && self.sum.to_bits() == other.sum.to_bits()
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.same(other.zero_count)
            && self.negative.same(&other.negative)
            && self.positive.same(&other.positive)
    }

    /// Makes the buckets as coarse as schema `to`.
    ///
    /// # Errors
    /// When the buckets are custom, or finer ones are asked for.
    pub fn reduce_resolution(&mut self, to: Resolution) -> Result<(), HistogramError> {
        let from = self.schema.number();
        match self.schema {
            Schema::Exponential(own) if to <= own => {
                let halvings = (own.number() - to.number()).unsigned_abs();
                if halvings > 0 {
                    self.positive = self.positive.coarsened(halvings);
                    self.negative = self.negative.coarsened(halvings);
                    self.schema = Schema::Exponential(to);
                }
                Ok(())
            }
            _ => Err(HistogramError::CannotReduce { from, to: to.number() }),
        }
    }

    /// The same histogram with other counts.
    #[must_use]
    pub fn map<D>(&self, mut each: impl FnMut(C) -> D) -> Histogram<D> {
        Histogram {
            reset_hint: self.reset_hint,
            schema: self.schema.clone(),
            zero_threshold: self.zero_threshold,
            zero_count: each(self.zero_count),
            count: each(self.count),
            sum: self.sum,
            positive: self.positive.map(&mut each),
            negative: self.negative.map(&mut each),
        }
    }

    /// The histogram in floats: each count becomes the nearest one.
    #[must_use]
    pub fn to_float(&self) -> FloatHistogram {
        self.map(Count::to_f64)
    }
}

/// Equal when hint and data are; a NaN sum equals the same NaN.
impl<C: Count> PartialEq for Histogram<C> {
    fn eq(&self, other: &Self) -> bool {
        self.reset_hint == other.reset_hint && self.same_data(other)
    }
}

/// A histogram as it was measured: most are of integers, gauges may be of floats.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyHistogram {
    /// Counted in integers.
    Integer(IntegerHistogram),
    /// Counted in floats.
    Float(FloatHistogram),
}

impl AnyHistogram {
    /// Whether this marks the end of a series.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Integer(histogram) => histogram.is_stale(),
            Self::Float(histogram) => histogram.is_stale(),
        }
    }

    /// [`Histogram::validate`].
    ///
    /// # Errors
    /// When it is not valid; the error names what is wrong.
    pub fn validate(&self) -> Result<(), HistogramError> {
        match self {
            Self::Integer(histogram) => histogram.validate(),
            Self::Float(histogram) => histogram.validate(),
        }
    }

    /// Where its buckets lie.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        match self {
            Self::Integer(histogram) => &histogram.schema,
            Self::Float(histogram) => &histogram.schema,
        }
    }

    /// Buckets there are, without the zero bucket.
    #[must_use]
    pub fn buckets(&self) -> usize {
        match self {
            Self::Integer(histogram) => histogram.buckets(),
            Self::Float(histogram) => histogram.buckets(),
        }
    }

    /// [`Histogram::reduce_resolution`].
    ///
    /// # Errors
    /// When the buckets are custom, or finer ones are asked for.
    pub fn reduce_resolution(&mut self, to: Resolution) -> Result<(), HistogramError> {
        match self {
            Self::Integer(histogram) => histogram.reduce_resolution(to),
            Self::Float(histogram) => histogram.reduce_resolution(to),
        }
    }

    /// What PromQL computes with.
    #[must_use]
    pub fn to_float(&self) -> FloatHistogram {
        match self {
            Self::Integer(histogram) => histogram.to_float(),
            Self::Float(histogram) => histogram.clone(),
        }
    }
}
