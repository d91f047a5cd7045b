//! Test scripts: series notation, an in-memory store, and a runner for promqltest's language.

mod at_times;
mod buckets;
mod command;
mod compare;
mod load;
mod run;
mod series;
mod store;
mod timed;

pub use run::{Failure, ScriptReport, run_script, run_script_with};
pub use series::{SERIES_VALUES_MAX, SeriesLine, SeriesValue, parse_series_line, parse_values};
pub use store::MemoryStore;
pub use timed::TimedLoad;

/// A text of a script that is none, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// The text is wrong.
    #[error("{0}")]
    Invalid(String),
}
