//! Histograms and exemplars of a request: the same messages in both versions but for an exemplar's labels.

use model::histogram::CUSTOM_SCHEMA;
use model::histogram::{
    AnyHistogram, Buckets, Count, Histogram, HistogramError, ResetHint, Resolution, Schema, Span,
};

use super::message::DecodeError;
use super::protobuf::{Content, Field, Fields, Malformed};

/// Buckets, spans and bounds that one request may have.
pub(crate) const BUCKETS_MAX: usize = 1 << 21;

/// A histogram of a request: what is wrong with one that is none is said, and the others count.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Observed {
    /// Milliseconds since the Unix epoch.
    pub(crate) timestamp: i64,
    pub(crate) histogram: Result<AnyHistogram, String>,
}

/// A message as it stands there.
#[derive(Default)]
struct Raw {
    float: bool,
    count: (u64, f64),
    zero_count: (u64, f64),
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    negative: Side,
    positive: Side,
    reset_hint: u64,
    timestamp: i64,
    bounds: Vec<f64>,
}

#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// Reads a histogram; `room` is how many buckets, spans and bounds the request may still have.
pub(super) fn histogram(
    body: &[u8],
    range: (usize, usize),
    room: &mut usize,
) -> Result<Observed, DecodeError> {
    let mut raw = Raw::default();
    let mut fields = Fields::new(body, range);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => (raw.float, raw.count.0) = (false, field.varint()?),
            2 => (raw.float, raw.count.1) = (true, double(&field)?),
            3 => raw.sum = double(&field)?,
            4 => raw.schema = zigzag32(field.varint()?),
            5 => raw.zero_threshold = double(&field)?,
            6 => raw.zero_count.0 = field.varint()?,
            7 => raw.zero_count.1 = double(&field)?,
            8 => raw.negative.spans.push(span(body, field.range()?, room)?),
            9 => deltas(body, &field, &mut raw.negative.deltas, room)?,
            10 => doubles(body, &field, &mut raw.negative.counts, room)?,
            11 => raw.positive.spans.push(span(body, field.range()?, room)?),
            12 => deltas(body, &field, &mut raw.positive.deltas, room)?,
            13 => doubles(body, &field, &mut raw.positive.counts, room)?,
            14 => raw.reset_hint = field.varint()?,
            15 => raw.timestamp = field.varint()?.cast_signed(),
            16 => doubles(body, &field, &mut raw.bounds, room)?,
            _ => {}
        }
    }
    let timestamp = raw.timestamp;
    Ok(Observed { timestamp, histogram: raw.assembled() })
}

impl Raw {
    fn assembled(self) -> Result<AnyHistogram, String> {
        let histogram = if self.float {
            let sides = (self.positive.floats(), self.negative.floats());
            let (count, zero) = (self.count.1, self.zero_count.1);
            AnyHistogram::Float(self.of(count, zero, sides)?)
        } else {
            let sides = (self.positive.integers()?, self.negative.integers()?);
            let (count, zero) = (self.count.0, self.zero_count.0);
            AnyHistogram::Integer(self.of(count, zero, sides)?)
        };
        // The end of a series says nothing else.
        if !histogram.is_stale() {
            histogram.validate().map_err(|error| error.to_string())?;
        }
        Ok(histogram)
    }

    fn of<C: Count>(
        self,
        count: C,
        zero_count: C,
        (positive, negative): (Vec<C>, Vec<C>),
    ) -> Result<Histogram<C>, String> {
        let side = |spans: &[Span], counts, name| {
            Buckets::new(spans, counts).map_err(|error| error.on(name).to_string())
        };
        let mut positive = side(&self.positive.spans, positive, "positive")?;
        let mut negative = side(&self.negative.spans, negative, "negative")?;
        let mut number = self.schema;
        if (Resolution::FINEST + 1..=Resolution::FINEST_RESERVED).contains(&number) {
            let halvings = (number - Resolution::FINEST).unsigned_abs();
            (positive, negative) = (positive.coarsened(halvings), negative.coarsened(halvings));
            number = Resolution::FINEST;
        }
        let schema = match Resolution::new(number) {
            Some(resolution) if self.bounds.is_empty() => Schema::Exponential(resolution),
            Some(_) => return Err("custom bounds beside exponential buckets".to_owned()),
            None if number == CUSTOM_SCHEMA => Schema::Custom(self.bounds.into()),
            None => return Err(HistogramError::Schema(self.schema).to_string()),
        };
        let reset_hint = match self.reset_hint {
            1 => ResetHint::Reset,
            2 => ResetHint::NotReset,
            3 => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        };
        let (sum, zero_threshold) = (self.sum, self.zero_threshold);
        Ok(Histogram { reset_hint, schema, zero_threshold, zero_count, count, sum, positive, negative })
    }
}

impl Side {
    /// Integers are sent as differences from bucket to bucket.
    fn integers(&self) -> Result<Vec<u64>, String> {
        let mut last = 0_i64;
        let each = |(at, delta): (usize, &i64)| {
            last = last
                .checked_add(*delta)
                .filter(|count| *count >= 0)
                .ok_or_else(|| format!("bucket number {} has a negative or too large count", at + 1))?;
            Ok(last.unsigned_abs())
        };
        self.deltas.iter().enumerate().map(each).collect()
    }

    fn floats(&self) -> Vec<f64> {
        self.counts.clone()
    }
}

fn span(body: &[u8], range: (usize, usize), room: &mut usize) -> Result<Span, DecodeError> {
    take(room)?;
    let mut span = Span { offset: 0, length: 0 };
    let mut fields = Fields::new(body, range);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => span.offset = zigzag32(field.varint()?),
            2 => span.length = u32::try_from(field.varint()?).unwrap_or(u32::MAX),
            _ => {}
        }
    }
    Ok(span)
}

fn deltas(body: &[u8], field: &Field, out: &mut Vec<i64>, room: &mut usize) -> Result<(), DecodeError> {
    let zigzag = |value: u64| (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
    match field.content {
        Content::Varint(value) => {
            take(room)?;
            out.push(zigzag(value));
        }
        Content::Bytes(start, end) => {
            let mut list = Fields::new(body, (start, end));
            while let Some(value) = list.next_packed()? {
                take(room)?;
                out.push(zigzag(value));
            }
        }
        _ => return Err(field.wrong().into()),
    }
    Ok(())
}

fn doubles(body: &[u8], field: &Field, out: &mut Vec<f64>, room: &mut usize) -> Result<(), DecodeError> {
    match field.content {
        Content::Fixed64(bits) => {
            take(room)?;
            out.push(f64::from_bits(bits));
        }
        Content::Bytes(start, end) => {
            let (list, rest) = body[start..end].as_chunks::<8>();
            if !rest.is_empty() {
                return Err(Malformed { at: end, what: "the message ends inside a number" }.into());
            }
            for bytes in list {
                take(room)?;
                out.push(f64::from_le_bytes(*bytes));
            }
        }
        _ => return Err(field.wrong().into()),
    }
    Ok(())
}

fn double(field: &Field) -> Result<f64, Malformed> {
    field.bits().map(f64::from_bits)
}

fn take(room: &mut usize) -> Result<(), DecodeError> {
    *room = room.checked_sub(1).ok_or(DecodeError::TooMany { what: "buckets", max: BUCKETS_MAX })?;
    Ok(())
}

/// What protobuf does with a number that is wider than its field.
#[allow(clippy::cast_possible_truncation, reason = "that is what it does")]
fn zigzag32(value: u64) -> i32 {
    let value = value as u32;
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
