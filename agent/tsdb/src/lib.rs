//! Head, log, sealed blocks, retention: the only local store.
//!
//! The head keeps the windows around now by group (a stream's layout): open rows as the log has them, older
//! ones as tiles, of which whole ones go to a file that nobody else sees. It is rebuilt from the log at
//! every start. Older windows are sealed into blocks, and what comes for them later is read from the log until it
//! is sealed too. The bytes are described in FORMAT.md.

mod archive;
mod ballast;
mod bytes;
pub mod codec;
mod delete;
mod exemplars;
mod forget;
mod found;
mod found_histograms;
mod group;
mod head;
mod late;
mod layouts;
mod metrics;
mod open;
mod options;
mod order;
mod outage;
mod own;
mod places;
mod query;
mod record;
mod record_layout;
mod retention;
mod row;
mod rows;
mod run;
mod seal;
mod sealed;
mod segments;
mod sink;
mod source;
mod spill;
mod state;
mod status;
mod steps;
mod store;
mod streams;
mod unshipped;
mod view;
mod window;
mod writer;

pub use archive::{Analysis, Archive, Checked, Fault, Place, verify};
pub use delete::AdminError;
pub use options::{OpenError, StoreOptions};
pub use status::{Cardinality, Count, Status};
pub use store::Store;
