//! What the benchmarks share: a page, rows of it, and stores. One benchmark per hot path, all in `benches/`.
//!
//! The page has the shape of a node_exporter's: 600 series, of which a quarter change from one scrape to the
//! next, nearly all of them short decimals. Everything is generated, so that runs compare.

mod node;
mod null;
mod page;
mod stores;

pub use node::{NODE_SERIES, NodePage};
pub use null::NullAppender;
pub use page::{SERIES, Scrapes, page};
pub use stores::{Bench, T0};
