//! Scrape manager, pools, loops, limits, staleness.

mod config;

pub use config::{Scheme, ScrapeConfig, ScrapeProtocol};
