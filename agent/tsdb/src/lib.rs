//! Head, log, sealed blocks, retention: the only local store.
//!
//! The head keeps the windows around now by group (a stream's layout): open rows as the log has them, older
//! ones as tiles, of which whole ones go to a file that nobody else sees. It is rebuilt from the log at
//! every start. Older windows are sealed into blocks, and what comes for them later is read from the log until it
//! is sealed too. The bytes are described in FORMAT.md.

mod adopt;
mod archive;
mod ballast;
mod batches;
mod bytes;
pub mod codec;
mod columns;
mod copies;
mod damaged;
mod days;
mod delete;
mod disk;
mod exemplars;
mod family;
mod forget;
mod give;
mod group;
mod head;
mod kept;
mod labels;
mod late;
mod layouts;
mod like;
mod lost;
mod memory;
mod merge;
mod metrics;
mod notes;
mod open;
mod options;
mod order;
mod outage;
mod own;
mod places;
mod query;
mod record;
mod record_layout;
mod replayed;
mod retention;
mod room;
mod row;
mod rows;
mod run;
mod scan;
mod seal;
mod sealed;
mod segment;
mod segments;
mod shape;
mod sink;
mod source;
mod spill;
mod state;
mod status;
mod steps;
mod store;
mod streams;
mod tiling;
mod unshipped;
mod view;
mod window;
mod writer;

pub use archive::{Analysis, Archive, Checked, Fault, Place, Repair, RepairError, repair, verify};
pub use delete::AdminError;
pub use disk::DiskLevel;
pub use options::{OpenError, StoreOptions};
pub use status::{Cardinality, Count, SealedPart, Status};
pub use store::Store;
