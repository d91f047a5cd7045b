//! The waist between what produces samples, what keeps them and what reads them.
//!
//! A few traits and the types they speak of. Knows `model`; never knows files, sockets or PromQL.
//! - [`Appender`] takes rows: all numbers of one target at one time.
//! - [`FrameSource`] gives the frames that a store holds; [`FrameSink`] takes frames from elsewhere, once each.
//! - [`WindowSource`] gives sealed windows, [`WindowSink`] takes them: what is behind the log.
//! - [`Querier`] gives series, as batches or plain, and with them says how complete they are ([`Coverage`]);
//!   [`ExemplarQuerier`] gives exemplars.

mod admit;
mod append;
mod batch;
mod batches;
mod budget;
mod conflict;
mod coverage;
mod error;
mod exemplar;
mod frame;
mod histogram;
mod interval;
mod layout;
mod number;
mod query;
mod start_columns;
mod stream;
mod summary;
mod window;

pub use admit::{Admitted, admit};
pub use append::{
    AppendOutcome, Appender, Cell, Changes, Commit, CommitSender, LayoutRef, Row, RowMark, commit_channel,
};
pub use batch::{Batch, ColumnSource, FloatColumn, Floats, Histograms, Present, SeriesGroup, Times};
pub use batches::Collected;
pub use budget::{Budget, Charge};
pub use conflict::{Rank, wins};
pub use coverage::{Coverage, Gap};
pub use error::{AppendError, FrameError, QueryError};
pub use exemplar::{ExemplarCounts, ExemplarQuerier, SeriesExemplars};
pub use frame::{Frame, FrameHash, FrameKey, FrameSink, FrameSource, Receipt};
pub use histogram::{Assembler, Counted, HistogramColumns, HistogramShape, Part, PartError, fill};
pub use interval::IntervalSet;
pub use layout::{Layout, LayoutId, ShapeId, Slot};
pub use number::Number;
pub use query::{
    BatchSelect, Batches, BoxFuture, HistogramSeries, LabelQuery, Querier, Select, SeriesSet, StartSeries,
    TimeRange, one_by_one,
};
pub use start_columns::StartColumns;
pub use stream::{Epoch, StreamId, StreamInfo};
pub use summary::Summary;
pub use window::{WindowCopy, WindowError, WindowGroup, WindowInfo, WindowSink, WindowSource, WindowValue};
