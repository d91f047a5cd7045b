//! The same samples for all systems, through remote write in order of time: a month of few series, then hours of many.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use env::{SystemClock, Tasks};
use vedette_benches::fleet::{Fleet, Month, Plan, WriteBody, WriteRequests, native_request};

use crate::cost::Cost;
use crate::push::Push;
use crate::systems::{Running, System};

/// Rows of a request of the month, while nothing else is sent.
const ROWS: usize = 40;
/// The processor time of a second below which a system has settled.
const IDLE: f64 = 0.05;
/// Longest wait for that.
const SETTLE: Duration = Duration::from_secs(300);

/// What is loaded.
pub(super) struct Data {
    /// Hours of many series.
    pub(super) plan: Plan,
    pub(super) slots: u64,
    /// Series that reach further back, and how far before the others begin, in milliseconds.
    pub(super) month_series: usize,
    pub(super) month_ms: i64,
}

/// A system that is being loaded.
pub(super) struct Loaded {
    pub(super) running: Running,
    push: Push,
    /// Whether it has taken every native histogram.
    pub(super) native: bool,
    /// Seconds on a processor for all samples.
    pub(super) cpu: f64,
}

/// What each system is told besides: to keep a month, and to evaluate for as long as it takes.
fn arguments(system: System) -> &'static [&'static str] {
    match system {
        System::Vedette => &["--storage.tsdb.retention.time=60d", "--query.timeout=10m"],
        System::Prometheus => &[
            "--storage.tsdb.retention.time=60d",
            "--query.timeout=10m",
            "--enable-feature=native-histograms",
        ],
        System::Victoria => &["-retentionPeriod=3", "-search.maxQueryDuration=10m"],
    }
}

/// Prometheus takes what is older than two hours as long as it has nothing newer; ours has to be told.
fn config(system: System) -> &'static str {
    match system {
        System::Vedette => "scrape_configs: []\nstorage: { tsdb: { out_of_order_time_window: 60d } }\n",
        System::Prometheus | System::Victoria => "scrape_configs: []\n",
    }
}

impl Loaded {
    async fn start(
        system: System,
        binary: &std::path::Path,
        dir: &std::path::Path,
        tasks: &Tasks,
    ) -> Result<Self> {
        let mut running = Running::start_with(system, binary, dir, config(system), arguments(system))?;
        running.ready().await?;
        let authority = running.url().trim_start_matches("http://").to_owned();
        let push = Push::connect(&authority, "/api/v1/write", tasks).await?;
        Ok(Self { running, push, native: system != System::Victoria, cpu: 0.0 })
    }

    async fn send(&mut self, body: &WriteBody) -> Result<()> {
        self.push.send(body.body.clone()).await.context(self.running.system.name())
    }
}

/// Starts all systems and sends them everything. Gives them and how many samples there were.
pub(super) async fn load(
    systems: &[(System, PathBuf)],
    dir: &std::path::Path,
    data: &Data,
    tasks: &Tasks,
) -> Result<(Vec<Loaded>, usize)> {
    let mut loaded = Vec::new();
    for (system, binary) in systems {
        loaded.push(Loaded::start(*system, binary, dir, tasks).await?);
    }
    let before: Vec<Cost> = loaded.iter_mut().map(|one| one.running.cost()).collect::<Result<_>>()?;
    let mut samples = month(&mut loaded, data).await?;
    samples += hours(&mut loaded, data).await?;
    for (one, before) in loaded.iter_mut().zip(before) {
        settle(&mut one.running).await?;
        one.cpu = one.running.cost()?.since(before).cpu;
    }
    Ok((loaded, samples))
}

/// The month up to where the others begin.
async fn month(loaded: &mut [Loaded], data: &Data) -> Result<usize> {
    let Plan { interval_ms, origin_ms, seed, .. } = data.plan;
    let mut month = Month::new(data.month_series, interval_ms, seed);
    let rows = (data.month_ms / interval_ms) as usize;
    let (mut row, mut samples) = (0, 0);
    while row < rows {
        let count = ROWS.min(rows - row);
        let from = origin_ms - (rows - row) as i64 * interval_ms;
        for host in 0..month.hosts() {
            let body = month.request(host, from, count);
            samples += body.samples;
            for one in loaded.iter_mut() {
                one.send(&body).await?;
            }
        }
        row += count;
    }
    Ok(samples)
}

/// The hours of the fleet.
async fn hours(loaded: &mut [Loaded], data: &Data) -> Result<usize> {
    let fleet = Fleet::new(data.plan.clone());
    let mut requests = WriteRequests::new(&fleet).as_scraped();
    let mut samples = 0;
    for (slot, host) in (0..data.slots).flat_map(|slot| (0..data.plan.hosts).map(move |host| (slot, host))) {
        if let Some(body) = requests.request(host, slot) {
            samples += body.samples;
            for one in loaded.iter_mut() {
                one.send(&body).await?;
            }
        }
        let Some(body) = native_request(&data.plan, host, slot) else { continue };
        for one in loaded.iter_mut().filter(|one| one.native) {
            one.native = one.send(&body).await.is_ok();
        }
    }
    Ok(samples)
}

/// Waits until a system does nothing any more: what it does after it has taken samples is part of taking them.
async fn settle(running: &mut Running) -> Result<()> {
    if running.system == System::Victoria {
        testkit::get(&format!("{}/internal/force_flush", running.url())).await?;
    }
    let clock = SystemClock::shared();
    let begun = clock.monotonic();
    while clock.monotonic() - begun < SETTLE {
        let before = running.cost()?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        if running.cost()?.since(before).cpu < 2.0 * IDLE {
            break;
        }
    }
    Ok(())
}
