//! What an exposition page says about a metric family.

use std::fmt;
use std::sync::Arc;

/// The type of a metric family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// Only grows, until a reset.
    Counter,
    /// Any value.
    Gauge,
    /// Cumulative buckets.
    Histogram,
    /// Buckets of a gauge.
    GaugeHistogram,
    /// Quantiles.
    Summary,
    /// Always one; its labels are the information.
    Info,
    /// One of several states.
    StateSet,
    /// Nothing was said.
    #[default]
    Unknown,
}

impl MetricType {
    /// The word that pages and the API use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Type, unit and help text of a metric family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// The family's type.
    pub metric_type: MetricType,
    /// The unit, empty where unknown.
    pub unit: Arc<str>,
    /// The help text, empty where unknown.
    pub help: Arc<str>,
}
