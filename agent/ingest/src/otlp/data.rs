//! A request's content, whichever way it was encoded.

use model::Exemplar;

/// Messages, attributes and buckets that one request may have.
pub(super) const PARTS_MAX: usize = 1 << 20;
/// How deep values of attributes may be nested.
pub(super) const DEPTH_MAX: usize = 16;

/// Names and values; values are texts already.
pub(super) type Attributes = Vec<(String, String)>;

/// Metrics of one thing that was measured.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Resource {
    pub(super) attributes: Attributes,
    pub(super) scopes: Vec<Scope>,
}

/// Metrics that one library recorded.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scope {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) schema_url: String,
    pub(super) attributes: Attributes,
    pub(super) metrics: Vec<Metric>,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) unit: String,
    pub(super) kind: Kind,
    /// Whether a sum only grows.
    pub(super) monotonic: bool,
    pub(super) temporality: Temporality,
    pub(super) points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// A metric without data.
    #[default]
    Empty,
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

/// What points count from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Temporality {
    #[default]
    Unspecified,
    /// From the point before.
    Delta,
    /// From the start.
    Cumulative,
}

impl Temporality {
    pub(super) fn of(number: u64) -> Self {
        match number {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
}

/// One point; what its metric's kind has not is empty.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) attributes: Attributes,
    /// Nanoseconds since the Unix epoch; 0: not said.
    pub(super) start: u64,
    pub(super) time: u64,
    /// Whether there is no value: the series ends.
    pub(super) is_missing: bool,
    pub(super) value: f64,
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    /// Counts of a histogram's buckets, and the bounds between them.
    pub(super) counts: Vec<u64>,
    pub(super) bounds: Vec<f64>,
    /// Of an exponential histogram.
    pub(super) scale: i32,
    pub(super) zero_count: u64,
    pub(super) zero_threshold: f64,
    pub(super) positive: Side,
    pub(super) negative: Side,
    /// Of a summary: quantiles with their values.
    pub(super) quantiles: Vec<(f64, f64)>,
    pub(super) exemplars: Vec<Exemplar>,
}

/// Buckets of an exponential histogram, from the one at `offset`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Side {
    pub(super) offset: i32,
    pub(super) counts: Vec<u64>,
}

/// A request that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    #[error("cannot decode the request: {0}")]
    Malformed(String),
    #[error("over {PARTS_MAX} messages, attributes and buckets in one request: send smaller ones")]
    TooMany,
    #[error("a value of an attribute is nested deeper than {DEPTH_MAX} times")]
    TooDeep,
}

/// What is left of [`PARTS_MAX`].
#[derive(Debug)]
pub(super) struct Room(usize);

impl Room {
    pub(super) fn new() -> Self {
        Self(PARTS_MAX)
    }

    pub(super) fn take(&mut self) -> Result<(), ReadError> {
        self.0 = self.0.checked_sub(1).ok_or(ReadError::TooMany)?;
        Ok(())
    }
}

/// A value of an attribute as text: a text is itself, everything else is JSON.
pub(super) fn text_of(value: serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text,
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A number as an attribute's value.
pub(super) fn number_of(value: f64) -> serde_json::Value {
    let whole = value.fract() == 0.0 && value.abs() < 1e15;
    #[allow(clippy::cast_possible_truncation, reason = "the range was checked")]
    if whole {
        (value as i64).into()
    } else {
        serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Into::into)
    }
}

/// Lower-case hexadecimal, as traces are named.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Standard base64, as bytes are written in JSON.
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let whole = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let sign = ALPHABET[(whole >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { char::from(sign) } else { '=' });
        }
    }
    out
}
