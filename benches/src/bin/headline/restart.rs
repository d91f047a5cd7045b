//! From `kill -9` to the first right answer, ours alone, on a store that was written on a simulated clock: hours of
//! scrapes in minutes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use env::{SeededRandom, SharedClock, SimulatedClock};
use storage::Appender;
use telemetry::Registry;
use tsdb::{Store, StoreOptions};
use vedette_benches::fleet::{Feed, Fleet, Plan};

use crate::cost::disk_use;
use crate::recovery::kill;
use crate::systems::{NODE, Running, System};
use crate::table::Table;

/// How often it is killed.
const KILLS: usize = 3;
const MIB: f64 = 1_048_576.0;

/// Row 7 of the budget, without the hours that scraping takes.
pub(crate) async fn restart(systems: &[(System, PathBuf)], plan: &Plan, slots: u64) -> Result<Table> {
    let ours = systems.iter().find(|(system, _)| *system == System::Vedette).context("no agent")?;
    let dir = tempfile::tempdir()?;
    let samples = fill(&Running::data_in(ours.0, dir.path()), plan, slots)?;
    let mut table = Table::new((1..=KILLS).map(|number| format!("kill {number}")));
    let mut running = Running::start(ours.0, &ours.1, dir.path(), "scrape_configs: []\n")?;
    running.ready().await?;
    let disk = disk_use(running.data()) as f64;
    let last = plan.time_of(slots - 1);
    let (mut took, mut lost, mut cpu, mut rss) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..KILLS {
        let (seconds, missing) = kill(&mut running, last).await?;
        let cost = running.cost()?;
        took.push(seconds);
        lost.push(Some(missing));
        cpu.push(Some(cost.cpu));
        rss.push(Some(cost.rss / MIB));
    }
    table.row("kill -9 to the first right answer", "s", took);
    table.row("lost of the judged series", "samples", lost);
    table.row("CPU of it, the questions after it too", "s", cpu);
    table.row("resident then", "MiB", rss);
    table.note(format!(
        "{:.1} million samples of {} hosts, {:.0} MiB on disk; ours alone.",
        samples as f64 / 1e6,
        plan.hosts,
        disk / MIB
    ));
    Ok(table)
}

/// Writes a store as an agent would have.
fn fill(dir: &Path, plan: &Plan, slots: u64) -> Result<usize> {
    let clock = SimulatedClock::at(plan.origin_ms);
    let shared = Arc::clone(&clock) as SharedClock;
    let store =
        Store::open(StoreOptions::new(dir, NODE), shared, SeededRandom::shared(plan.seed), &Registry::new())?;
    let fleet = Fleet::new(plan.clone());
    let mut feed = Feed::new(&fleet, Arc::clone(&store) as Arc<dyn Appender>);
    let mut samples = 0;
    for slot in 0..slots {
        clock.advance(Duration::from_millis(plan.interval_ms as u64));
        samples += feed.append(slot).with_context(|| format!("slot {slot}"))?;
        store.maintain();
        store.flush()?;
    }
    store.close()?;
    Ok(samples)
}
