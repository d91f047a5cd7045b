//! Prometheus's protobuf format: a stream of `io.prometheus.client.MetricFamily`, each after its length.
//!
//! Walks the bytes and borrows from them. A page becomes the entries that the text parsers give; classic
//! histograms and summaries become the series that a text page would hold. A family's metrics are read
//! one by one, so memory does not grow with the page: only a native histogram's buckets are collected,
//! and their number is bounded. Of a field that must come once but comes again, the last one counts.

mod encoding;
mod histogram;
mod messages;
mod parser;
mod series;

pub use histogram::NATIVE_BUCKETS_MAX;
pub use parser::{HistogramForms, ProtobufEntry, ProtobufParser};
pub use series::{ProtobufHistogram, ProtobufName, ProtobufSeries};

pub(crate) use messages::Pairs;
