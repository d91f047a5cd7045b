//! Scraping: who is asked when, and what becomes of the answers.
//!
//! A [`ScrapeManager`] holds a pool per job, a pool a loop per target. A loop asks at fixed moments of
//! absolute time, reads the page, and appends it as rows; what a page's lines mean is worked out once
//! and then recognised by their text. Knows the store only as an `Appender`.

mod config;
mod fetch;
mod labels;
mod manager;
mod metrics;
mod page;
mod pool;
mod schedule;
mod scrape_loop;
mod series;
mod sink;
mod status;
mod target;

pub use config::{Scheme, ScrapeConfig, ScrapeProtocol};
pub use manager::{ScrapeError, ScrapeIdentity, ScrapeManager};
pub use status::{ActiveTarget, DroppedTarget, Families, Health, TargetMetadata, TargetsSnapshot};
