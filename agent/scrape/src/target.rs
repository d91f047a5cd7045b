//! A target that is scraped, as its loop and its readers share it.

use std::sync::Arc;
use std::time::Duration;

use model::Labels;
use parking_lot::Mutex;

use crate::labels::Found;
use crate::status::{ActiveTarget, Families, Health, TargetMetadata};

/// What identifies a target within a job: series labels and URL.
pub(crate) type Key = (Labels, String);

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) found: Found,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Set when discovery says something else of a target that stays the same.
    discovered: Option<Labels>,
    error: String,
    last_scrape: Option<i64>,
    took: Duration,
    health: Health,
    families: Arc<Families>,
}

impl Target {
    pub(crate) fn new(found: Found) -> Arc<Self> {
        Arc::new(Self { found, state: Mutex::default() })
    }

    pub(crate) fn rediscovered(&self, labels: Labels) {
        self.state.lock().discovered = Some(labels);
    }

    /// Notes how a scrape went.
    pub(crate) fn scraped(&self, at: i64, took: Duration, outcome: Result<Arc<Families>, String>) {
        let mut state = self.state.lock();
        (state.last_scrape, state.took) = (Some(at), took);
        match outcome {
            Ok(families) => {
                state.error.clear();
                state.health = Health::Up;
                state.families = families;
            }
            Err(error) => {
                state.error = error;
                state.health = Health::Down;
            }
        }
    }

    pub(crate) fn shown(&self, job: &str, host: &str) -> ActiveTarget {
        let state = self.state.lock();
        ActiveTarget {
            discovered_labels: state.discovered.as_ref().unwrap_or(&self.found.discovered).clone(),
            labels: self.found.labels.clone(),
            scrape_pool: job.to_owned(),
            scrape_url: self.found.url.clone(),
            global_url: global_url(&self.found.url, host),
            last_error: state.error.clone(),
            last_scrape: state.last_scrape,
            last_scrape_duration: state.took,
            health: state.health,
            scrape_interval: self.found.interval,
            scrape_timeout: self.found.timeout,
        }
    }

    pub(crate) fn metadata(&self) -> TargetMetadata {
        TargetMetadata {
            target: self.found.labels.clone(),
            families: Arc::clone(&self.state.lock().families),
        }
    }
}

/// A loopback address becomes the host's name, as far as others can use it.
fn global_url(url: &str, host: &str) -> String {
    for loopback in ["127.0.0.1", "localhost", "[::1]"] {
        let Some((scheme, rest)) = url.split_once("://") else { continue };
        if let Some(after) = rest.strip_prefix(loopback)
            && matches!(after.as_bytes().first(), None | Some(b':' | b'/' | b'?'))
        {
            return format!("{scheme}://{host}{after}");
        }
    }
    url.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_becomes_the_hosts_name() {
        for (url, shown) in [
            ("http://localhost:9090/metrics", "http://me:9090/metrics"),
            ("https://127.0.0.1/m", "https://me/m"),
            ("http://[::1]:1/", "http://me:1/"),
            ("http://localhost.example:1/", "http://localhost.example:1/"),
        ] {
            assert_eq!(global_url(url, "me"), shown);
        }
    }
}
