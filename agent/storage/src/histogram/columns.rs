//! From a histogram to cells and back.

use model::histogram::{AnyHistogram, Buckets, Count, Histogram, ResetHint};
use model::{STALE_NAN_BITS, is_stale, stale_nan};

use super::part::{Counted, HistogramShape, Part};
use crate::append::Cell;
use crate::number::Number;

/// Integers from here on are no exact floats: what is above stands in a column of its own.
const LOW_BITS: u32 = 53;
const LOW: u64 = (1 << LOW_BITS) - 1;

/// A count as a row carries it.
pub(super) trait Carried: Count {
    fn low(self) -> Number;
    fn high(self) -> u64;
    /// The count of what was carried; none where that was nothing of the kind.
    fn joined(low: u64, high: u64) -> Option<Self>;
}

impl Carried for u64 {
    fn low(self) -> Number {
        Number::Decimal { mantissa: (self & LOW).cast_signed(), exponent: 0 }
    }

    fn high(self) -> u64 {
        self >> LOW_BITS
    }

    fn joined(low: u64, high: u64) -> Option<Self> {
        let (low, high) = (integer(low)?, integer(high)?);
        (low <= LOW && high < 1 << (Self::BITS - LOW_BITS)).then_some(low | (high << LOW_BITS))
    }
}

impl Carried for f64 {
    fn low(self) -> Number {
        Number::from_f64(self)
    }

    fn high(self) -> u64 {
        0
    }

    fn joined(low: u64, high: u64) -> Option<Self> {
        (high == 0).then_some(Self::from_bits(low))
    }
}

/// The integer that a float's bits say.
fn integer(bits: u64) -> Option<u64> {
    let float = f64::from_bits(bits);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
    let whole =
        (float.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&float)).then_some(float as u64)?;
    Some(whole)
}

/// Puts a histogram into cells, one for each part. `false`: it needs columns that are not there, or another
/// shape; what the cells hold then means nothing.
#[must_use]
pub fn fill<'p>(
    histogram: &AnyHistogram,
    parts: impl ExactSizeIterator<Item = &'p Part>,
    cells: &mut Vec<Cell>,
) -> bool {
    cells.clear();
    cells.reserve(parts.len());
    match histogram {
        AnyHistogram::Integer(histogram) => put(histogram, true, parts, cells),
        AnyHistogram::Float(histogram) => put(histogram, false, parts, cells),
    }
}

fn put<'p, C: Carried>(
    histogram: &Histogram<C>,
    integer: bool,
    parts: impl Iterator<Item = &'p Part>,
    cells: &mut Vec<Cell>,
) -> bool {
    let mut sides = Sides::new(histogram);
    let mut highs = Sides::new(histogram);
    let mut high_left = sides.highs(histogram);
    for part in parts {
        let cell = match part {
            Part::Sum(shape) => {
                if *shape.as_ref() != (HistogramShape { integer, schema: histogram.schema.clone() }) {
                    return false;
                }
                float(histogram.sum, true)
            }
            Part::Hint => match hint_number(histogram.reset_hint) {
                0 => Cell::Absent,
                number => Cell::Value(Number::Decimal { mantissa: number, exponent: 0 }),
            },
            Part::ZeroThreshold => float(histogram.zero_threshold, false),
            Part::Count(counted) => match sides.take(histogram, *counted) {
                Ok(count) => count.map_or(Cell::Absent, |count| Cell::Value(count.low())),
                Err(Missing) => return false,
            },
            // No column of a histogram.
            Part::Start => return false,
            Part::High(counted) => {
                let high = highs.skip_to(histogram, *counted).map_or(0, Carried::high);
                high_left -= usize::from(high > 0);
                match high {
                    0 => Cell::Absent,
                    high => Cell::Value(Number::Decimal { mantissa: high.cast_signed(), exponent: 0 }),
                }
            }
        };
        cells.push(cell);
    }
    sides.is_done() && high_left == 0
}

/// A float that is not written where it is zero, unless it is the sum.
fn float(value: f64, is_sum: bool) -> Cell {
    if is_sum && is_stale(value) {
        Cell::Stale
    } else if !is_sum && value.to_bits() == 0 {
        Cell::Absent
    } else {
        Cell::Value(Number::from_f64(value))
    }
}

/// A bucket has no column.
struct Missing;

/// Walks both sides' buckets in order of their columns.
struct Sides<'h, C: Count> {
    negative: std::iter::Peekable<model::histogram::Cells<'h, C>>,
    positive: std::iter::Peekable<model::histogram::Cells<'h, C>>,
}

impl<'h, C: Carried> Sides<'h, C> {
    fn new(histogram: &'h Histogram<C>) -> Self {
        Self {
            negative: histogram.negative.iter().peekable(),
            positive: histogram.positive.iter().peekable(),
        }
    }

    /// How many counts need a high column.
    fn highs(&self, histogram: &Histogram<C>) -> usize {
        let counts = histogram.negative.counts().iter().chain(histogram.positive.counts());
        let all = counts.chain([&histogram.count, &histogram.zero_count]);
        all.filter(|count| count.high() > 0).count()
    }

    /// The count of the next column.
    fn take(&mut self, histogram: &Histogram<C>, counted: Counted) -> Result<Option<C>, Missing> {
        let (side, index) = match counted {
            Counted::All => return Ok(Some(histogram.count)),
            Counted::Zero => {
                let zero = histogram.zero_count;
                return Ok((!zero.same(C::ZERO)).then_some(zero));
            }
            Counted::Negative(index) => (&mut self.negative, index),
            Counted::Positive(index) => (&mut self.positive, index),
        };
        match side.peek() {
            Some((at, _)) if *at < index => Err(Missing),
            Some((at, _)) if *at == index => Ok(side.next().map(|(_, count)| count)),
            _ => Ok(None),
        }
    }

    /// The count of a later column, whatever stands before it.
    fn skip_to(&mut self, histogram: &Histogram<C>, counted: Counted) -> Option<C> {
        let (side, index) = match counted {
            Counted::All => return Some(histogram.count),
            Counted::Zero => return Some(histogram.zero_count),
            Counted::Negative(index) => (&mut self.negative, index),
            Counted::Positive(index) => (&mut self.positive, index),
        };
        while side.next_if(|(at, _)| *at < index).is_some() {}
        side.next_if(|(at, _)| *at == index).map(|(_, count)| count)
    }

    fn is_done(&mut self) -> bool {
        self.negative.peek().is_none() && self.positive.peek().is_none()
    }
}

fn hint_number(hint: ResetHint) -> i64 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    }
}

fn hint(bits: u64) -> Option<ResetHint> {
    Some(match integer(bits)? {
        0 => ResetHint::Unknown,
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => return None,
    })
}

/// Puts histograms together again from their columns.
#[derive(Clone, Debug)]
pub struct Assembler<'p> {
    shape: &'p HistogramShape,
    parts: Vec<&'p Part>,
    /// For each part the column of its high bits.
    highs: Vec<Option<usize>>,
}

impl<'p> Assembler<'p> {
    /// For the columns of one histogram; none where the first is not a histogram's first.
    #[must_use]
    pub fn new(parts: Vec<&'p Part>) -> Option<Self> {
        let Some(Part::Sum(shape)) = parts.first() else { return None };
        let high_of = |part: &&&Part| match part {
            Part::Count(counted) => parts.iter().position(|other| **other == Part::High(*counted)),
            _ => None,
        };
        let has_highs = matches!(parts.last(), Some(Part::High(_)));
        let highs = parts.iter().map(|part| if has_highs { high_of(&part) } else { None }).collect();
        Some(Self { shape, highs, parts })
    }

    /// The histogram of a row: `bits` has those of each column's value, none where it is absent; a stale
    /// marker's are the stale NaN's. None where they make no valid histogram.
    #[must_use]
    pub fn assemble(&self, bits: &[Option<u64>]) -> Option<AnyHistogram> {
        let sum = (*bits.first()?)?;
        if sum == STALE_NAN_BITS {
            return Some(if self.shape.integer {
                AnyHistogram::Integer(Histogram { sum: stale_nan(), ..Histogram::default() })
            } else {
                AnyHistogram::Float(Histogram { sum: stale_nan(), ..Histogram::default() })
            });
        }
        let whole = if self.shape.integer {
            AnyHistogram::Integer(self.histogram(bits)?)
        } else {
            AnyHistogram::Float(self.histogram(bits)?)
        };
        Some(whole)
    }

    fn histogram<C: Carried>(&self, bits: &[Option<u64>]) -> Option<Histogram<C>> {
        let mut histogram = Histogram { schema: self.shape.schema.clone(), ..Histogram::default() };
        let (mut negative, mut positive) = (Vec::new(), Vec::new());
        for (at, (part, value)) in self.parts.iter().zip(bits).enumerate() {
            let Some(value) = *value else { continue };
            match part {
                Part::Sum(_) => histogram.sum = f64::from_bits(value),
                Part::Hint => histogram.reset_hint = hint(value)?,
                Part::ZeroThreshold => histogram.zero_threshold = f64::from_bits(value),
                Part::High(_) | Part::Start => {}
                Part::Count(counted) => {
                    let high = self.highs[at].and_then(|high| bits.get(high).copied().flatten());
                    let count = C::joined(value, high.unwrap_or(0))?;
                    match counted {
                        Counted::All => histogram.count = count,
                        Counted::Zero => histogram.zero_count = count,
                        Counted::Negative(index) => negative.push((*index, count)),
                        Counted::Positive(index) => positive.push((*index, count)),
                    }
                }
            }
        }
        histogram.negative = negative.into_iter().collect::<Buckets<C>>();
        histogram.positive = positive.into_iter().collect::<Buckets<C>>();
        Some(histogram)
    }
}
