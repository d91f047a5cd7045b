//! `check service-discovery`: what a job finds, and what relabelling makes of it.

use std::path::Path;

use anyhow::Result;
use config::Config;
use discovery::{Discovery, DiscoveryMetrics};
use env::Tasks;
use model::Labels;
use scrape::{Resolved, resolve};
use serde_json::{Map, Value};
use telemetry::Registry;

use super::failed;

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "promtool's words")]
pub(super) fn check(file: &Path, name: &str) -> Result<()> {
    let loaded = match Config::load(file) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprintln!("Cannot load config {errors}");
            return Err(failed(1));
        }
    };
    let Some(job) = loaded.scrape_configs.iter().find(|job| job.job_name == name) else {
        eprintln!("Job {name} not found. Select one of:");
        for job in &loaded.scrape_configs {
            eprintln!("\t{}", job.job_name);
        }
        return Err(failed(1));
    };
    for place in loaded.unsupported() {
        eprintln!("WARNING: {place}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let groups = runtime.block_on(async {
        let tasks = Tasks::new();
        // The first list is whole: static targets and files are read before it is given.
        let discovery =
            Discovery::start(&job.discovery, &tasks, &DiscoveryMetrics::new(&Registry::new())).await;
        let groups = discovery.groups().borrow().clone();
        tasks.stop();
        groups
    });
    let found: Vec<Value> = groups.iter().flat_map(|group| resolve(job, group)).map(shown).collect();
    println!("{}", serde_json::to_string_pretty(&found)?);
    Ok(())
}

fn shown(target: Resolved) -> Value {
    let labels = |labels: &Labels| -> Map<String, Value> {
        labels.pairs().map(|(name, value)| (name.to_owned(), value.into())).collect()
    };
    let mut out = Map::new();
    out.insert("discoveredLabels".to_owned(), labels(&target.discovered).into());
    out.insert("labels".to_owned(), labels(&target.labels).into());
    if let Some(error) = target.error {
        out.insert("error".to_owned(), error.into());
    }
    out.into()
}
