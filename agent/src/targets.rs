//! What is scraped, as the API shows it.

use std::sync::Arc;

use api::{ActiveTarget, DroppedTarget, TargetHealth, TargetMetadata, TargetStatus, Targets};
use model::format_duration;
use scrape::{Health, ScrapeManager};

/// Shows a scrape manager to the API.
pub struct ShownTargets(pub Arc<ScrapeManager>);

impl TargetStatus for ShownTargets {
    fn scrape_pools(&self) -> Vec<String> {
        self.0.jobs()
    }

    fn targets(&self) -> Targets {
        let snapshot = self.0.targets();
        Targets {
            active: snapshot.active.into_iter().map(active).collect(),
            dropped: snapshot.dropped.into_iter().map(dropped).collect(),
            dropped_counts: snapshot.dropped_counts,
        }
    }

    fn metadata(&self) -> Vec<TargetMetadata> {
        let one = |page: scrape::TargetMetadata| {
            let target = page.target;
            let families = page.families;
            families
                .iter()
                .map(|(metric, metadata)| TargetMetadata {
                    target: target.clone(),
                    metric: metric.to_string(),
                    metadata: metadata.clone(),
                })
                .collect::<Vec<_>>()
        };
        self.0.metadata().into_iter().flat_map(one).collect()
    }
}

fn active(target: scrape::ActiveTarget) -> ActiveTarget {
    ActiveTarget {
        discovered_labels: target.discovered_labels,
        labels: target.labels,
        scrape_pool: target.scrape_pool,
        scrape_url: target.scrape_url,
        global_url: target.global_url,
        last_error: target.last_error,
        last_scrape: target.last_scrape,
        last_scrape_duration: target.last_scrape_duration.as_secs_f64(),
        health: match target.health {
            Health::Unknown => TargetHealth::Unknown,
            Health::Up => TargetHealth::Up,
            Health::Down => TargetHealth::Down,
        },
        scrape_interval: format_duration(target.scrape_interval),
        scrape_timeout: format_duration(target.scrape_timeout),
    }
}

fn dropped(target: scrape::DroppedTarget) -> DroppedTarget {
    DroppedTarget { discovered_labels: target.discovered_labels, scrape_pool: target.scrape_pool }
}
