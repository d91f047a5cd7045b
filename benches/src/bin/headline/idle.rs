//! What idle costs: the agent beside Prometheus and node_exporter, at the same time, on the same exporter.
//!
//! The agent runs twice: once doing exactly what Prometheus does, once watching the host by itself, which takes
//! node_exporter's place too.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::{Peer, Process, free_port, peer};

use crate::cost::Cost;
use crate::systems::{Running, System};
use crate::table::Table;

const INTERVAL: &str = "global: { scrape_interval: 15s }\n";

/// Row 16 of the budget: each program settles for the first half of the time and is measured over the second.
pub(crate) async fn idle(systems: &[(System, PathBuf)], time: Duration) -> Result<Table> {
    let dir = tempfile::tempdir()?;
    let exporter =
        peer(Peer::NodeExporter).context("node_exporter is missing: `make setup-bench` unpacks it")?;
    let port = free_port();
    let address = format!("--web.listen-address=127.0.0.1:{port}");
    let exporter = Process::start(&exporter, &[&address], &dir.path().join("node_exporter.log"))?;
    let same = format!(
        "{INTERVAL}scrape_configs:\n  - job_name: node\n    static_configs: [{{ targets: [\"127.0.0.1:{port}\"] }}]\n"
    );
    let mut running = Vec::new();
    for (system, binary) in systems {
        running.push(Running::start(*system, binary, dir.path(), &same)?);
    }
    let ours = systems.iter().find(|(system, _)| *system == System::Vedette).context("no agent")?;
    let alone = watching(&ours.1, dir.path())?;
    let mut costs = || {
        let mut costs = vec![Cost::of(alone.id())?, Cost::of(exporter.id())?];
        costs.extend(running.iter_mut().map(Running::cost).collect::<Result<Vec<_>>>()?);
        anyhow::Ok(costs)
    };
    tokio::time::sleep(time / 2).await;
    let before = costs()?;
    tokio::time::sleep(time / 2).await;
    let after = costs()?;

    let scraping = systems.iter().map(|(system, _)| format!("{} scrapes", system.name()));
    let names = ["Vedette by itself".to_owned(), "node_exporter".to_owned()].into_iter().chain(scraping);
    let mut table = Table::new(names);
    let each = |value: &dyn Fn(Cost) -> f64| {
        after.iter().zip(&before).map(|(after, before)| Some(value(after.since(*before)))).collect::<Vec<_>>()
    };
    let seconds = (time / 2).as_secs_f64();
    table.row("resident", "MiB", each(&|cost| cost.rss / 1_048_576.0));
    table.row("of it anonymous", "MiB", each(&|cost| cost.anon / 1_048_576.0));
    table.row("processor", "% of one", each(&|cost| cost.cpu / seconds * 100.0));
    table.row("handed to write calls", "bytes/s", each(&|cost| cost.written / seconds));
    Ok(table)
}

/// An agent that watches the host and scrapes nobody.
fn watching(binary: &Path, dir: &Path) -> Result<Process> {
    let config = dir.join("alone.yml");
    std::fs::write(&config, INTERVAL)?;
    let arguments = [
        "run".to_owned(),
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", dir.join("alone").display()),
        format!("--web.listen-address=127.0.0.1:{}", free_port()),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Process::start(binary, &arguments, &dir.join("alone.log"))
}
