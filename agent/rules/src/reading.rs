//! What an expression gives for one series: a number or a native histogram.

use std::sync::Arc;

use model::{AnyHistogram, Labels};
use promql::{Answer, Value};

/// One series' value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reading {
    /// A number.
    Number(f64),
    /// A native histogram.
    Histogram(Arc<AnyHistogram>),
}

impl Reading {
    /// The number; a histogram counts as 0, as in Prometheus's alerts.
    pub(crate) fn number(&self) -> f64 {
        match self {
            Self::Number(value) => *value,
            Self::Histogram(_) => 0.0,
        }
    }

    /// As templates see it: a histogram as Prometheus writes one.
    pub(crate) fn shown(&self) -> template::Value {
        match self {
            Self::Number(value) => template::Value::Float(*value),
            Self::Histogram(histogram) => template::Value::text(histogram.to_float().to_string()),
        }
    }
}

/// A result as rules take it: a number alone counts as an element without labels.
pub(crate) fn readings(answer: Answer) -> Result<Vec<(Labels, Reading)>, String> {
    let mut found = match answer.value {
        Value::Scalar(sample) => vec![(Labels::empty(), Reading::Number(sample.value))],
        Value::Vector(samples) => {
            samples.into_iter().map(|sample| (sample.labels, Reading::Number(sample.value))).collect()
        }
        _ => return Err("rule result is not a vector or scalar".to_owned()),
    };
    for mut series in answer.histograms {
        if let Some(sample) = series.samples.pop() {
            found.push((series.labels, Reading::Histogram(sample.histogram)));
        }
    }
    Ok(found)
}
