//! The fleet as scrape configurations name it.

use model::Labels;
use serde_json::{Value, json};

use super::plan::Plan;

/// The labels of a host's target at a slot, besides `job`.
fn labels(plan: &Plan, host: usize, slot: u64) -> [(&'static str, String); 3] {
    [
        ("instance", plan.instance(host)),
        ("kind", plan.kind(host).name().to_owned()),
        ("rollout", format!("r{}", plan.rollout(host, slot))),
    ]
}

/// The labels that a scraper gives to every series of a host at a slot.
pub(super) fn target(plan: &Plan, host: usize, slot: u64) -> Labels {
    let job = std::iter::once(("job", "fleet".to_owned()));
    Labels::from_pairs(labels(plan, host, slot).into_iter().chain(job))
}

/// All hosts as a file of `file_sd_configs`, for a server at `address` (`host:port`).
#[must_use]
pub fn targets_json(plan: &Plan, address: &str, slot: u64) -> Value {
    let group = |host: usize| {
        let mut group =
            json!({ "targets": [address], "labels": { "__metrics_path__": format!("/h/{host}/metrics") } });
        for (name, value) in labels(plan, host, slot) {
            group["labels"][name] = value.into();
        }
        group
    };
    (0..plan.hosts).map(group).collect()
}

/// A `prometheus.yml` for all hosts: with their targets in a file, or listed as they are at slot 0.
#[must_use]
pub fn prometheus_yml(plan: &Plan, address: &str, targets_file: Option<&str>) -> String {
    let interval = plan.interval_ms;
    let head = format!(
        "global:\n  scrape_interval: {interval}ms\n  scrape_timeout: {interval}ms\nscrape_configs:\n  - job_name: fleet\n"
    );
    match targets_file {
        Some(file) => format!("{head}    file_sd_configs:\n      - files: [{file:?}]\n"),
        // JSON is YAML.
        None => format!("{head}    static_configs: {}\n", targets_json(plan, address, 0)),
    }
}
