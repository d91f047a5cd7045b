//! Scraping: who is asked when, and what becomes of the answers.
//!
//! A [`ScrapeManager`] holds a pool per job, a pool a loop per target. A loop asks at fixed moments of
//! absolute time, reads the page, and appends it as rows; what a page's lines mean is worked out once
//! and then recognised by their text (the layout cache). Knows the store only as an `Appender`.

mod buffers;
mod config;
mod failure_log;
mod fetch;
mod gunzip;
mod histograms;
mod known;
mod labels;
mod layout_cache;
mod limits;
mod manager;
mod metrics;
mod native;
mod nhcb;
mod number;
mod page;
mod page_appender;
mod pool;
mod protobuf_page;
mod rows;
mod schedule;
mod scrape_loop;
mod series;
mod shuffle;
mod sink;
mod starts;
mod status;
mod target;
mod texts;

pub use config::{Scheme, ScrapeConfig, ScrapeProtocol};
pub use labels::{Resolved, resolve};
pub use manager::{ScrapeError, ScrapeIdentity, ScrapeManager};
pub use page_appender::PageAppender;
pub use status::{ActiveTarget, DroppedTarget, Families, Health, TargetMetadata, TargetsSnapshot};
