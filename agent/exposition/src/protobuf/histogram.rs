//! The format's histograms: classic, native, or both in one message.

use model::histogram::{AnyHistogram, Buckets, Count, Histogram, HistogramError, Resolution, Schema, Span};

use super::encoding::{Bytes, Field};
use super::messages::{Part, exemplar, float_or, time};
use crate::error::ProtobufError;
use crate::line::Exemplar;

type Result<T> = std::result::Result<T, ProtobufError>;

/// Spans, and buckets, that one side of a native histogram may have. Instrumentation keeps to some
/// hundreds; all floats at the finest schema need eight times as many.
pub const NATIVE_BUCKETS_MAX: usize = 1 << 16;

/// Where a summary or a histogram keeps its quantiles or classic buckets.
pub(super) const PART: u64 = 3;
/// Where a native histogram keeps its exemplars.
const EXEMPLAR: u64 = 16;

/// A histogram's or summary's numbers, without its buckets or quantiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers<'a> {
    pub(super) body: Bytes<'a>,
    count: u64,
    count_float: f64,
    pub(super) sum: f64,
    pub(super) created: Option<i64>,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    has_spans: bool,
    pub(super) has_parts: bool,
}

impl<'a> Numbers<'a> {
    fn empty(body: Bytes<'a>) -> Self {
        Self {
            body,
            count: 0,
            count_float: 0.0,
            sum: 0.0,
            created: None,
            schema: 0,
            zero_threshold: 0.0,
            zero_count: 0,
            zero_count_float: 0.0,
            has_spans: false,
            has_parts: false,
        }
    }

    pub(super) fn of_summary(body: Bytes<'a>) -> Result<Self> {
        let mut numbers = Self::empty(body);
        for field in body.fields() {
            let field = field?;
            match field.number {
                1 => numbers.count = field.integer()?,
                2 => numbers.sum = field.double()?,
                PART => numbers.has_parts = true,
                4 => numbers.created = Some(time(field.piece()?)?),
                _ => {}
            }
        }
        Ok(numbers)
    }

    pub(super) fn of_histogram(body: Bytes<'a>) -> Result<Self> {
        let mut numbers = Self::empty(body);
        for field in body.fields() {
            let field = field?;
            match field.number {
                1 => numbers.count = field.integer()?,
                2 => numbers.sum = field.double()?,
                PART => numbers.has_parts = true,
                4 => numbers.count_float = field.double()?,
                5 => numbers.schema = field.zigzag32()?,
                6 => numbers.zero_threshold = field.double()?,
                7 => numbers.zero_count = field.integer()?,
                8 => numbers.zero_count_float = field.double()?,
                9 | 12 => numbers.has_spans = true,
                15 => numbers.created = Some(time(field.piece()?)?),
                _ => {}
            }
        }
        Ok(numbers)
    }

    /// All observations.
    pub(super) fn total(&self) -> f64 {
        float_or(self.count_float, self.count)
    }

    /// Whether it is a native histogram: it has spans or a zero bucket. One that has seen nothing yet
    /// and has a zero bucket without width says so by an empty span.
    pub(super) fn is_native(&self) -> bool {
        self.has_spans || self.zero_threshold > 0.0 || self.zero_count > 0 || self.zero_count_float > 0.0
    }

    /// The native histogram, compact and valid.
    pub(super) fn native(&self) -> Result<AnyHistogram> {
        let (positive, negative) =
            (Side { span: 12, delta: 13, count: 14 }, Side { span: 9, delta: 10, count: 11 });
        for field in self.body.fields() {
            let field = field?;
            // The exemplars are read on demand.
            match field.number {
                PART => {
                    Part::bucket(field.piece()?)?;
                }
                EXEMPLAR => {
                    exemplar(field.piece()?)?;
                }
                _ => {}
            }
        }
        if self.count_float > 0.0 || self.zero_count_float > 0.0 {
            let sides = (positive.floats(self.body)?, negative.floats(self.body)?);
            self.assembled(self.count_float, self.zero_count_float, sides).map(AnyHistogram::Float)
        } else {
            let sides = (positive.integers(self.body)?, negative.integers(self.body)?);
            self.assembled(self.count, self.zero_count, sides).map(AnyHistogram::Integer)
        }
    }

    fn assembled<C: Count>(
        &self,
        count: C,
        zero_count: C,
        (mut positive, mut negative): (Buckets<C>, Buckets<C>),
    ) -> Result<Histogram<C>> {
        let mut schema = self.schema;
        if (Resolution::FINEST + 1..=Resolution::FINEST_RESERVED).contains(&schema) {
            let halvings = (schema - Resolution::FINEST).unsigned_abs();
            (positive, negative) = (positive.coarsened(halvings), negative.coarsened(halvings));
            schema = Resolution::FINEST;
        }
        let Some(resolution) = Resolution::new(schema) else {
            return self.body.error(HistogramError::Schema(schema).to_string());
        };
        let mut histogram = Histogram {
            schema: Schema::Exponential(resolution),
            zero_threshold: self.zero_threshold,
            zero_count,
            count,
            sum: self.sum,
            positive,
            negative,
            ..Histogram::default()
        };
        histogram.compact(0);
        match histogram.validate() {
            Ok(()) => Ok(histogram),
            Err(error) => self.body.error(error.to_string()),
        }
    }

    /// The exemplars of a native histogram: its own or, where it has none, its classic buckets'. Only
    /// those with a time.
    pub(super) fn exemplars(body: Bytes<'a>) -> impl Iterator<Item = Exemplar<'a>> {
        let own = body.fields().flatten().any(|field| field.number == EXEMPLAR);
        let read = move |field: Field<'a>| match field.number {
            EXEMPLAR if own => exemplar(field.piece().ok()?).ok(),
            PART if !own => Part::bucket(field.piece().ok()?).ok()?.exemplar,
            _ => None,
        };
        body.fields().flatten().filter_map(read).filter(|exemplar| exemplar.timestamp.is_some())
    }
}

/// The fields that hold one side of a native histogram.
#[derive(Clone, Copy)]
struct Side {
    span: u64,
    delta: u64,
    count: u64,
}

impl Side {
    fn spans(self, body: Bytes<'_>) -> Result<Vec<Span>> {
        let mut spans = Vec::new();
        for field in body.fields() {
            let field = field?;
            if field.number == self.span {
                room(&field, spans.len())?;
                spans.push(span(field.piece()?)?);
            }
        }
        Ok(spans)
    }

    /// Integers are written as differences from bucket to bucket.
    fn integers(self, body: Bytes<'_>) -> Result<Buckets<u64>> {
        let (mut counts, mut last) = (Vec::new(), 0_i64);
        for field in body.fields() {
            let field = field?;
            if field.number != self.delta {
                continue;
            }
            field.deltas(|delta| {
                room(&field, counts.len())?;
                match last
                    .checked_add(delta)
                    .and_then(|count| u64::try_from(count).ok().map(|some| (count, some)))
                {
                    Some((count, some)) => {
                        last = count;
                        counts.push(some);
                        Ok(())
                    }
                    None => field.error(format!(
                        "bucket number {} has a negative or too large count",
                        counts.len() + 1
                    )),
                }
            })?;
        }
        self.buckets(body, counts)
    }

    fn floats(self, body: Bytes<'_>) -> Result<Buckets<f64>> {
        let mut counts = Vec::new();
        for field in body.fields() {
            let field = field?;
            if field.number == self.count {
                field.doubles(|count| {
                    room(&field, counts.len())?;
                    counts.push(count);
                    Ok(())
                })?;
            }
        }
        self.buckets(body, counts)
    }

    fn buckets<C: Count>(self, body: Bytes<'_>, counts: Vec<C>) -> Result<Buckets<C>> {
        let side = if self.span == 12 { "positive" } else { "negative" };
        let made = Buckets::new(&self.spans(body)?, counts);
        made.or_else(|error| body.error(error.on(side).to_string()))
    }
}

fn room(field: &Field<'_>, held: usize) -> Result<()> {
    if held < NATIVE_BUCKETS_MAX {
        Ok(())
    } else {
        field.error(format!("a native histogram with more than {NATIVE_BUCKETS_MAX} spans or buckets"))
    }
}

fn span(body: Bytes<'_>) -> Result<Span> {
    let mut span = Span { offset: 0, length: 0 };
    for field in body.fields() {
        let field = field?;
        match field.number {
            1 => span.offset = field.zigzag32()?,
            2 => span.length = field.unsigned32()?,
            _ => {}
        }
    }
    Ok(span)
}
