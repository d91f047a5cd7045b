//! The field's nouns: labels, matchers, samples, native histograms, exemplars, metadata, durations, relabelling.
//!
//! Knows nothing but text and numbers: no I/O, no async, no serde, no wire format.

mod any_sample;
mod duration;
mod exemplar;
mod float;
pub mod histogram;
mod labels;
mod literals;
mod matcher;
mod metadata;
mod re2;
mod regex;
pub mod relabel;
mod sample;
mod series;

pub use any_sample::{AnySample, HistogramSample};
pub use duration::{DurationError, format_duration, parse_duration};
pub use exemplar::{EXEMPLAR_CHARACTERS_MAX, Exemplar};
pub use float::{format_float, format_go_float};
pub use histogram::{AnyHistogram, FloatHistogram, Histogram, HistogramError, IntegerHistogram};
pub use labels::{
    BUCKET_LABEL, INSTANCE, JOB, Label, Labels, LabelsBuilder, METRIC_NAME, is_valid_legacy_label_name,
    is_valid_legacy_metric_name,
};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{Metadata, MetricType};
pub use regex::{AnchoredRegex, RegexError};
pub use relabel::{NameValidation, RelabelAction, RelabelConfig, RelabelError, RelabelParts};
pub use sample::{STALE_NAN_BITS, Sample, is_stale, stale_nan};
pub use series::Series;
