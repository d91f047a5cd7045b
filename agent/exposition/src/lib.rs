//! Text 0.0.4, OpenMetrics and Prometheus's protobuf to and from the model.
//!
//! [`Parser`] walks a page line by line and borrows from it; a line's labels are only built when asked
//! for, so that a reader who has seen the text before need not. [`ProtobufParser`] does the same for
//! protobuf, where pages may hold native histograms. Knows nothing of HTTP.

mod error;
mod family;
mod line;
mod number;
mod parser;
mod protobuf;
mod writer;

pub use crate::protobuf::{
    HistogramForms, NATIVE_BUCKETS_MAX, ProtobufEntry, ProtobufHistogram, ProtobufName, ProtobufParser,
    ProtobufSeries,
};
pub use error::{ParseError, ProtobufError};
pub use family::belongs_to_family;
pub use line::{Exemplar, SeriesLine};
pub use model::format_go_float;
pub use number::parse_float;
pub use parser::{AfterValue, Entry, Format, Parser, parse_after_value};
pub use writer::TextWriter;
