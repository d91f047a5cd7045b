//! Hours of the fleet in minutes: ours through the appender on a simulated clock, the peers by remote write, all in
//! order of time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use env::{SeededRandom, SharedClock, SimulatedClock, SystemClock, Tasks};
use storage::Appender;
use telemetry::Registry;
use tsdb::{Store, StoreOptions};
use vedette_benches::fleet::{Feed, Fleet, Plan, WriteRequests};

use crate::cost::{Cost, disk_use};
use crate::push::Push;
use crate::systems::{Running, System};
use crate::table::Table;

/// After the last sample a peer gets so long to cut a block.
const BLOCK: Duration = Duration::from_secs(120);

/// After so many scrapes days that may be put together are looked for.
const COMPACT: u64 = 480;

/// What a system made of the samples.
#[derive(Default)]
struct Kept {
    samples: usize,
    cpu: f64,
    bytes: u64,
    /// Bytes a sample in finished blocks alone, where there are such.
    block: Option<f64>,
}

/// Rows 3 (the peers' part) and 4 of the budget.
pub(crate) async fn disk(systems: &[(System, PathBuf)], plan: &Plan, slots: u64) -> Result<Table> {
    let mut table = Table::new(systems.iter().map(|(system, _)| system.name()));
    let mut kept = Vec::new();
    for (system, binary) in systems {
        let dir = tempfile::tempdir()?;
        kept.push(match system {
            System::Vedette => ours(dir.path(), plan, slots)?,
            System::Prometheus | System::Victoria => theirs(*system, binary, dir.path(), plan, slots).await?,
        });
    }
    let each = |value: &dyn Fn(&Kept) -> Option<f64>| kept.iter().map(value).collect::<Vec<_>>();
    table.row(
        "on disk, all of the folder",
        "bytes/sample",
        each(&|one| Some(one.bytes as f64 / one.samples as f64)),
    );
    table.row("in finished blocks", "bytes/sample", each(&|one| one.block));
    table.row("samples", "millions", each(&|one| Some(one.samples as f64 / 1e6)));
    table.row("CPU of taking them, per million", "s", each(&|one| Some(one.cpu / one.samples as f64 * 1e6)));
    table.note(
        "Ours is the store alone, with the making of the values; the peers take remote write 1 over HTTP.",
    );
    Ok(table)
}

fn ours(dir: &Path, plan: &Plan, slots: u64) -> Result<Kept> {
    let clock = SimulatedClock::at(plan.origin_ms);
    let options = StoreOptions { retention_time: Duration::ZERO, ..StoreOptions::new(dir, "bench") };
    let shared = Arc::clone(&clock) as SharedClock;
    let store = Store::open(options, shared, SeededRandom::shared(plan.seed), &Registry::new())?;
    let fleet = Fleet::new(plan.clone());
    let mut feed = Feed::new(&fleet, Arc::clone(&store) as Arc<dyn Appender>);
    let before = Cost::of(std::process::id())?;
    let mut samples = 0;
    for slot in 0..slots {
        clock.advance(Duration::from_millis(plan.interval_ms as u64));
        samples += feed.append(slot).with_context(|| format!("slot {slot}"))?;
        store.maintain();
        store.flush()?;
        if slot % COMPACT == 0 {
            store.compact();
        }
    }
    store.maintain();
    store.compact();
    store.close()?;
    let cpu = Cost::of(std::process::id())?.since(before).cpu;
    Ok(Kept { samples, cpu, bytes: disk_use(dir), block: None })
}

async fn theirs(system: System, binary: &Path, dir: &Path, plan: &Plan, slots: u64) -> Result<Kept> {
    let mut running = Running::start(system, binary, dir, "scrape_configs: []\n")?;
    running.ready().await?;
    let tasks = Tasks::new();
    let authority = running.url().trim_start_matches("http://").to_owned();
    let mut push = Push::connect(&authority, "/api/v1/write", &tasks).await?;
    let fleet = Fleet::new(plan.clone());
    let mut requests = WriteRequests::new(&fleet);
    let (before, mut samples) = (running.cost()?, 0);
    for (slot, host) in (0..slots).flat_map(|slot| (0..plan.hosts).map(move |host| (slot, host))) {
        let Some(body) = requests.request(host, slot) else { continue };
        push.send(body.body).await?;
        samples += body.samples;
    }
    let cpu = running.cost()?.since(before).cpu;
    let block = match system {
        System::Victoria => {
            // What is in memory goes to disk; parts are merged as they would be in time.
            testkit::get(&format!("{}/internal/force_flush", running.url())).await?;
            testkit::get(&format!("{}/internal/force_merge", running.url())).await?;
            settle(running.data()).await;
            None
        }
        System::Vedette | System::Prometheus => block(running.data()).await,
    };
    let kept = Kept { samples, cpu, bytes: disk_use(running.data()), block };
    drop(push);
    tasks.shutdown(Duration::from_secs(10)).await?;
    Ok(kept)
}

/// Waits until a folder's size has stayed the same for 5 seconds.
async fn settle(folder: &Path) {
    let clock = SystemClock::shared();
    let (begun, mut last) = (clock.monotonic(), 0);
    while clock.monotonic() - begun < BLOCK {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let now = disk_use(folder);
        if std::mem::replace(&mut last, now) == now {
            return;
        }
    }
}

/// Bytes a sample of the blocks that Prometheus has cut; it needs three hours of samples for the first.
async fn block(data: &Path) -> Option<f64> {
    let clock = SystemClock::shared();
    let begun = clock.monotonic();
    loop {
        let (mut bytes, mut samples) = (0, 0.0);
        for entry in std::fs::read_dir(data).ok()?.flatten() {
            let Ok(text) = std::fs::read_to_string(entry.path().join("meta.json")) else { continue };
            let meta: serde_json::Value = serde_json::from_str(&text).ok()?;
            samples += meta["stats"]["numSamples"].as_f64().unwrap_or(0.0);
            bytes += disk_use(&entry.path());
        }
        if samples > 0.0 {
            return Some(bytes as f64 / samples);
        }
        if clock.monotonic() - begun > BLOCK {
            return None;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
