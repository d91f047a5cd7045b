//! What a column of a histogram holds.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use model::histogram::{BUCKET_INDEX_MAX, CUSTOM_SCHEMA, Resolution, Schema};

/// What all histograms of some columns have in common.
#[derive(Clone, Debug)]
pub struct HistogramShape {
    /// Whether they count in integers.
    pub integer: bool,
    /// Where their buckets lie.
    pub schema: Schema,
}

/// A count of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// All observations.
    All,
    /// The zero bucket.
    Zero,
    /// The bucket of that index below the zero bucket.
    Negative(i32),
    /// The bucket of that index above the zero bucket, or the custom bucket.
    Positive(i32),
}

/// What a column holds of a histogram.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The sum of observations. A histogram is there where this is; its other columns follow.
    Sum(Arc<HistogramShape>),
    /// The reset hint by its number; absent: unknown.
    Hint,
    /// The width of the zero bucket; absent: zero.
    ZeroThreshold,
    /// A count; absent: zero, or for a bucket that it is not there. Of integers the rest by 2^53.
    Count(Counted),
    /// Of an integer count what is above its lowest 53 bits; absent: zero.
    High(Counted),
    /// Of no histogram: when the counter of the samples with these labels began, milliseconds since the Unix epoch,
    /// beside each sample of a row or in a row of its own at the same time; absent: unknown. It begins no series.
    Start,
}

/// A part is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PartError(pub &'static str);

const SUM: u8 = 0;
const HINT: u8 = 1;
const ZERO_THRESHOLD: u8 = 2;
const ALL: u8 = 3;
const ZERO: u8 = 4;
const NEGATIVE: u8 = 5;
const POSITIVE: u8 = 6;
const START: u8 = 7;
/// Added to the code of a count.
const HIGH: u8 = 8;

impl HistogramShape {
    fn bits(&self) -> (bool, i32, &[f64]) {
        match &self.schema {
            Schema::Exponential(resolution) => (self.integer, resolution.number(), &[]),
            Schema::Custom(bounds) => (self.integer, CUSTOM_SCHEMA, bounds),
        }
    }

    /// Whether its counts are integers, the schema's number, and the bounds where those are custom.
    #[must_use]
    pub fn numbers(&self) -> (bool, i32, &[f64]) {
        self.bits()
    }

    /// The shape that [`Self::numbers`] describes.
    ///
    /// # Errors
    /// When there is no such schema, or bounds do not go with it.
    pub fn from_numbers(integer: bool, schema: i32, bounds: Vec<f64>) -> Result<Self, PartError> {
        let schema = match Resolution::new(schema) {
            Some(resolution) if bounds.is_empty() => Schema::Exponential(resolution),
            None if schema == CUSTOM_SCHEMA => Schema::Custom(bounds.into()),
            _ => return Err(PartError("no schema of a histogram")),
        };
        Ok(Self { integer, schema })
    }
}

/// Equal when the bits are.
impl PartialEq for HistogramShape {
    fn eq(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.bits(), other.bits());
        let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
        (mine.0, mine.1, mine.2.len()) == (theirs.0, theirs.1, theirs.2.len())
            && mine.2.iter().zip(theirs.2).all(same)
    }
}

impl Eq for HistogramShape {}

impl Hash for HistogramShape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (integer, schema, bounds) = self.bits();
        (integer, schema, bounds.len()).hash(state);
        bounds.iter().for_each(|bound| bound.to_bits().hash(state));
    }
}

impl Part {
    /// Whether it is no further column of the histogram before: it begins one, or holds starts.
    #[must_use]
    pub fn is_first(&self) -> bool {
        matches!(self, Self::Sum(_) | Self::Start)
    }

    /// Its number and, for buckets, the bucket's index: the columns of a histogram stand in this order.
    #[must_use]
    pub fn code(&self) -> (u8, i32) {
        match self {
            Self::Sum(_) => (SUM, 0),
            Self::Hint => (HINT, 0),
            Self::ZeroThreshold => (ZERO_THRESHOLD, 0),
            Self::Count(counted) => counted.code(),
            Self::Start => (START, 0),
            Self::High(counted) => {
                let (code, index) = counted.code();
                (code + HIGH, index)
            }
        }
    }

    /// Whether a part of that code has an index.
    #[must_use]
    pub fn is_indexed(code: u8) -> bool {
        matches!(code & !HIGH, NEGATIVE | POSITIVE)
    }

    /// The part of a code and index, but for that of the first column.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_code(code: u8, index: i32) -> Result<Self, PartError> {
        if index.unsigned_abs() > BUCKET_INDEX_MAX.unsigned_abs() {
            return Err(PartError("a bucket index out of range"));
        }
        if index != 0 && !Self::is_indexed(code) {
            return Err(PartError("an index where none is due"));
        }
        Ok(match code {
            HINT => Self::Hint,
            ZERO_THRESHOLD => Self::ZeroThreshold,
            START => Self::Start,
            _ => {
                let counted = match code & !HIGH {
                    ALL => Counted::All,
                    ZERO => Counted::Zero,
                    NEGATIVE => Counted::Negative(index),
                    POSITIVE => Counted::Positive(index),
                    _ => return Err(PartError("an unknown part of a histogram")),
                };
                if code & HIGH == 0 { Self::Count(counted) } else { Self::High(counted) }
            }
        })
    }

    /// Whether `next` may stand in the column after this one.
    #[must_use]
    pub fn is_followed_by(&self, next: &Self) -> bool {
        !matches!(self, Self::Start) && !next.is_first() && self.code() < next.code()
    }
}

impl Counted {
    fn code(self) -> (u8, i32) {
        match self {
            Self::All => (ALL, 0),
            Self::Zero => (ZERO, 0),
            Self::Negative(index) => (NEGATIVE, index),
            Self::Positive(index) => (POSITIVE, index),
        }
    }
}
