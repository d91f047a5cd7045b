//! What a reading of the host gives: samples with their families' types and help.

use model::MetricType;

/// One sample of a reading.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSample {
    /// Metric name.
    pub name: String,
    /// Own labels.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
    /// The family's type.
    pub metric_type: MetricType,
    /// The family's help text.
    pub help: &'static str,
}

/// One reading, in a stable order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The samples.
    pub samples: Vec<HostSample>,
}

impl Page {
    /// Adds a sample of a counter.
    pub(crate) fn counter(
        &mut self,
        name: impl Into<String>,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        self.add(MetricType::Counter, name.into(), help, labels, value);
    }

    /// Adds a sample of a gauge.
    pub(crate) fn gauge(
        &mut self,
        name: impl Into<String>,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        self.add(MetricType::Gauge, name.into(), help, labels, value);
    }

    fn add(
        &mut self,
        metric_type: MetricType,
        name: String,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.samples.push(HostSample { name, labels, value, metric_type, help });
    }
}
