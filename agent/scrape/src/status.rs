//! What scraping shows of itself to readers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, Metadata};

/// How a target's last scrape went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// It was not scraped yet.
    #[default]
    Unknown,
    /// It worked.
    Up,
    /// It failed.
    Down,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// A target that is scraped.
#[derive(Clone, Debug)]
pub struct ActiveTarget {
    /// What discovery knew, before relabelling.
    pub discovered_labels: Labels,
    /// The labels of its series.
    pub labels: Labels,
    /// The job's name.
    pub scrape_pool: String,
    /// The URL that is asked.
    pub scrape_url: String,
    /// The same as others reach it: a loopback address becomes this host's name.
    pub global_url: String,
    /// Why the last scrape failed, empty when it did not.
    pub last_error: String,
    /// When the last scrape began, milliseconds since the Unix epoch.
    pub last_scrape: Option<i64>,
    /// How long it took.
    pub last_scrape_duration: Duration,
    /// How it went.
    pub health: Health,
    /// Time between scrapes.
    pub scrape_interval: Duration,
    /// Patience for one scrape.
    pub scrape_timeout: Duration,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug)]
pub struct DroppedTarget {
    /// What discovery knew, before relabelling.
    pub discovered_labels: Labels,
    /// The job's name.
    pub scrape_pool: String,
}

/// Every target at one moment.
#[derive(Clone, Debug, Default)]
pub struct TargetsSnapshot {
    /// Those that are scraped, by job, then in the order of their labels.
    pub active: Vec<ActiveTarget>,
    /// Those that are not, as many as are kept.
    pub dropped: Vec<DroppedTarget>,
    /// How many were dropped, by job.
    pub dropped_counts: BTreeMap<String, u64>,
}

/// What a page says of its families, by name.
pub type Families = BTreeMap<Arc<str>, Metadata>;

/// What one target's last good page said of its families.
#[derive(Clone, Debug)]
pub struct TargetMetadata {
    /// The labels of the target's series.
    pub target: Labels,
    /// The families by name.
    pub families: Arc<Families>,
}
