//! The format's messages, as far as they are small: families, metrics, labels, exemplars, times.

use std::borrow::Cow;

use model::{Label, MetricType};

use super::encoding::{Bytes, Field};
use crate::error::ProtobufError;
use crate::line::{Exemplar, ExemplarLabels};

type Result<T> = std::result::Result<T, ProtobufError>;

/// A family without its metrics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) help: &'a str,
    pub(super) unit: &'a str,
    pub(super) metric_type: MetricType,
    /// The whole message; its fields 4 are the metrics.
    pub(super) body: Bytes<'a>,
    pub(super) has_metrics: bool,
}

/// The field of a family that holds a metric.
pub(super) const METRIC: u64 = 4;

impl<'a> Family<'a> {
    pub(super) fn read(body: Bytes<'a>) -> Result<Self> {
        let metric_type = MetricType::Counter;
        let mut family = Self { name: "", help: "", unit: "", metric_type, body, has_metrics: false };
        for field in body.fields() {
            let field = field?;
            match field.number {
                1 => family.name = field.piece()?.text("the family's name")?,
                2 => family.help = field.piece()?.text("the help text")?,
                3 => family.metric_type = metric_type_of(&field)?,
                METRIC => {
                    field.piece()?;
                    family.has_metrics = true;
                }
                5 => family.unit = field.piece()?.text("the unit")?,
                _ => {}
            }
        }
        if family.has_metrics {
            family.check()?;
        }
        Ok(family)
    }

    fn check(&self) -> Result<()> {
        if self.name.is_empty() {
            return self.body.error("a metric family without a name");
        }
        let counter = self.metric_type == MetricType::Counter;
        let bare = self.name.strip_suffix("_total").filter(|_| counter).unwrap_or(self.name);
        let suffixed = bare.strip_suffix(self.unit).is_some_and(|front| front.ends_with('_'));
        if !self.unit.is_empty() && !suffixed {
            return self.body.error(format!("unit {:?} not a suffix of metric {:?}", self.unit, self.name));
        }
        Ok(())
    }
}

fn metric_type_of(field: &Field<'_>) -> Result<MetricType> {
    Ok(match field.signed32()? {
        0 => MetricType::Counter,
        1 => MetricType::Gauge,
        2 => MetricType::Summary,
        3 => MetricType::Unknown,
        4 => MetricType::Histogram,
        5 => MetricType::GaugeHistogram,
        other => return field.error(format!("unknown metric type {other}")),
    })
}

/// A metric, its value unread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric<'a> {
    pub(super) labels: Pairs<'a>,
    /// The message with the value; empty where none of the family's type is there, which says zero.
    pub(super) value: Bytes<'a>,
    /// Milliseconds since the Unix epoch. Zero says, as for Prometheus, that there is none.
    pub(super) timestamp: Option<i64>,
}

impl<'a> Metric<'a> {
    pub(super) fn read(body: Bytes<'a>, metric_type: MetricType) -> Result<Self> {
        let wanted = match metric_type {
            MetricType::Gauge => 2,
            MetricType::Counter => 3,
            MetricType::Summary => 4,
            MetricType::Histogram | MetricType::GaugeHistogram => 7,
            _ => 5,
        };
        let mut value = Bytes { bytes: &[], offset: body.offset };
        let mut timestamp = None;
        // Encoders write labels first; then these bytes name the series and nothing else.
        let (mut labels_end, mut labels_first) = (body.offset, true);
        for field in body.fields() {
            let field = field?;
            match field.number {
                1 => {
                    let (name, _) = pair(field.piece()?)?;
                    if name.is_empty() {
                        return field.error("a label without a name");
                    }
                    labels_first &= field.offset == labels_end;
                    let piece = field.piece()?;
                    labels_end = piece.offset + piece.bytes.len();
                }
                6 => timestamp = Some(field.signed()?).filter(|timestamp| *timestamp != 0),
                number if number == wanted => value = field.piece()?,
                _ => {}
            }
        }
        let labels = if labels_first {
            Bytes { bytes: &body.bytes[..labels_end - body.offset], offset: body.offset }
        } else {
            body
        };
        Ok(Self { labels: Pairs(labels), value, timestamp })
    }
}

/// Name and value of a label, empty where they are missing.
fn pair(body: Bytes<'_>) -> Result<(&str, &str)> {
    let (mut name, mut value) = ("", "");
    for field in body.fields() {
        let field = field?;
        match field.number {
            1 => name = field.piece()?.text("a label's name")?,
            2 => value = field.piece()?.text("a label's value")?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// A message whose fields 1 are labels; they were read once, without error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairs<'a>(Bytes<'a>);

impl<'a> Pairs<'a> {
    /// The labels in order of the page.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fields = self.0.fields().filter_map(std::result::Result::ok);
        fields.filter(|field| field.number == 1).filter_map(|field| pair(field.piece().ok()?).ok())
    }

    pub(crate) fn collect(self) -> Vec<Label> {
        self.iter().map(|(name, value)| Label { name: name.into(), value: value.into() }).collect()
    }
}

/// Milliseconds since the Unix epoch; what is beyond them is cut off.
pub(super) fn time(body: Bytes<'_>) -> Result<i64> {
    let (mut seconds, mut nanos) = (0_i64, 0_i32);
    for field in body.fields() {
        let field = field?;
        match field.number {
            1 => seconds = field.signed()?,
            2 => nanos = field.signed32()?,
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(i64::from(nanos / 1_000_000)))
}

pub(super) fn exemplar(body: Bytes<'_>) -> Result<Exemplar<'_>> {
    let (mut value, mut timestamp) = (0.0, None);
    for field in body.fields() {
        let field = field?;
        match field.number {
            1 => {
                pair(field.piece()?)?;
            }
            2 => value = field.double()?,
            3 => timestamp = Some(time(field.piece()?)?),
            _ => {}
        }
    }
    Ok(Exemplar { labels: ExemplarLabels::Pairs(Pairs(body)), value, timestamp })
}

/// A counter's, gauge's or untyped metric's value; the exemplar and the creation time of a counter.
#[derive(Clone, Debug, Default)]
pub(super) struct Simple<'a> {
    pub(super) value: f64,
    pub(super) exemplar: Option<Exemplar<'a>>,
    pub(super) created: Option<i64>,
}

impl<'a> Simple<'a> {
    pub(super) fn read(body: Bytes<'a>, counter: bool) -> Result<Self> {
        let mut simple = Self::default();
        for field in body.fields() {
            let field = field?;
            match field.number {
                1 => simple.value = field.double()?,
                2 if counter => simple.exemplar = Some(exemplar(field.piece()?)?),
                3 if counter => simple.created = Some(time(field.piece()?)?),
                _ => {}
            }
        }
        Ok(simple)
    }
}

/// A bucket of a classic histogram, or a quantile of a summary.
#[derive(Clone, Debug)]
pub(super) struct Part<'a> {
    pub(super) bound: f64,
    pub(super) value: f64,
    pub(super) exemplar: Option<Exemplar<'a>>,
}

impl<'a> Part<'a> {
    pub(super) fn bucket(body: Bytes<'a>) -> Result<Self> {
        let (mut count, mut count_float) = (0, 0.0);
        let mut part = Self { bound: 0.0, value: 0.0, exemplar: None };
        for field in body.fields() {
            let field = field?;
            match field.number {
                1 => count = field.integer()?,
                2 => part.bound = field.double()?,
                3 => part.exemplar = Some(exemplar(field.piece()?)?),
                4 => count_float = field.double()?,
                _ => {}
            }
        }
        part.value = float_or(count_float, count);
        Ok(part)
    }

    pub(super) fn quantile(body: Bytes<'a>) -> Result<Self> {
        let mut part = Self { bound: 0.0, value: 0.0, exemplar: None };
        for field in body.fields() {
            let field = field?;
            match field.number {
                1 => part.bound = field.double()?,
                2 => part.value = field.double()?,
                _ => {}
            }
        }
        Ok(part)
    }
}

/// A count that may be written as a float or, where that is zero, as an integer.
#[allow(clippy::cast_precision_loss, reason = "samples are floats")]
pub(super) fn float_or(float: f64, integer: u64) -> f64 {
    if float == 0.0 { integer as f64 } else { float }
}

/// What an entry's name is made of, without building it where it is the family's.
pub(super) fn joined<'a>(family: &'a str, suffix: &str) -> Cow<'a, str> {
    if suffix.is_empty() { Cow::Borrowed(family) } else { Cow::Owned(format!("{family}{suffix}")) }
}
