//! What the benchmarks share: a page, rows of it, stores, and a [`fleet`] of hosts. One benchmark per hot path,
//! all in `benches/`; `bin/` holds the fleet's server and the runs of ours beside the peers.
//!
//! The [`page()`] has the shape of a node_exporter's: 600 series, of which a quarter change from one scrape to the
//! next, nearly all of them short decimals. Everything is generated, so that runs compare.

mod columns;
pub mod fleet;
mod node;
mod null;
mod page;
mod stores;
mod wire;

pub use columns::columns;
pub use node::{NODE_SERIES, NodePage};
pub use null::NullAppender;
pub use page::{SERIES, Scrapes, page};
pub use stores::{Bench, Devices, Hosts, T0};
pub use wire::Sender;
