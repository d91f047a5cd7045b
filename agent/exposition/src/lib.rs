//! Text 0.0.4 and OpenMetrics to and from the model.
//!
//! [`Parser`] walks a page line by line and borrows from it; a line's labels are only built when asked
//! for, so that a reader who has seen the text before need not. Knows nothing of HTTP.

mod error;
mod family;
mod line;
mod number;
mod parser;
mod writer;

pub use error::ParseError;
pub use family::belongs_to_family;
pub use line::{Exemplar, SeriesLine};
pub use number::{format_go_float, parse_float};
pub use parser::{Entry, Format, Parser, parse_after_value};
pub use writer::TextWriter;
