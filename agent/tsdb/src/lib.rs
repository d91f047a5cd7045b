//! Head, log, segments, retention: the only local store.
//!
//! A plain head keeps the windows around now in memory, one list of points a series, rebuilt from
//! the log at every start; older windows are decoded from the log for each question. The bytes are
//! described in FORMAT.md.

mod bytes;
pub mod codec;
mod found;
mod group;
mod head;
mod layouts;
mod metrics;
mod open;
mod options;
mod order;
mod own;
mod query;
mod record;
mod retention;
mod row;
mod rows;
mod run;
mod segments;
mod sink;
mod source;
mod spill;
mod state;
mod status;
mod store;
mod streams;
mod view;
mod window;
mod writer;

pub use options::{OpenError, StoreOptions};
pub use status::{Cardinality, Count, Status};
pub use store::Store;
