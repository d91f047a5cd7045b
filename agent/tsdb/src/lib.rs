//! Head, log, segments, retention: the only local store.
//!
//! The head keeps the windows around now by group (a stream's layout): open rows as the log has them, older
//! ones as tiles, of which whole ones go to a file that nobody else sees. It is rebuilt from the log at
//! every start; older windows are put together from the log for each question. The bytes are described in
//! FORMAT.md.

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
mod places;
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
