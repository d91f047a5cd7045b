//! What the process says about itself: the registry of its own metrics, and its log.
//!
//! Each part has a struct of metrics that its constructor registers; nothing is global. Counters are
//! registered without `_total`: both text formats add it.

mod classic;
mod logging;
mod process;
mod registry;

pub use logging::{LogError, LogFormat, LogLevel, LogOptions, init_logging};
pub use process::process_metrics;
pub use registry::Registry;

pub use prometheus_client as client;
pub use prometheus_client::collector::Collector;
pub use prometheus_client::encoding::DescriptorEncoder;
pub use prometheus_client::metrics::counter::{ConstCounter, Counter};
pub use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
pub use prometheus_client::metrics::histogram::{Histogram, exponential_buckets, linear_buckets};
pub use prometheus_client::metrics::info::Info;
pub use prometheus_client::registry::Metric;

/// Labels of one member of a [`Family`]: (name, value) pairs, always in the same order.
pub type LabelPairs = Vec<(String, String)>;

/// A counter of fractions, such as seconds.
pub type FloatCounter = Counter<f64, std::sync::atomic::AtomicU64>;

/// A gauge of fractions, such as a ratio or seconds.
pub type FloatGauge = Gauge<f64, std::sync::atomic::AtomicU64>;
