//! All systems at once on the same fleet: processor time, memory and writes a sample.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use env::{SystemClock, Tasks};
use exposition::{Entry, Format, Parser};
use tempfile::TempDir;
use tokio::net::TcpListener;
use vedette_benches::fleet::{Fleet, Page, Plan, Server, prometheus_yml};

use crate::cost::{Cost, disk_use};
use crate::systems::{Running, System};
use crate::table::Table;

/// Series of every kind of page: what answers are judged by.
const JUDGED: [&str; 4] = [
    "node_cpu_seconds_total",
    "http_requests_total",
    "container_cpu_usage_seconds_total",
    "probe_duration_seconds",
];
/// Systems and we add in different orders: sums may differ by so much, relatively.
pub(crate) const TOLERANCE: f64 = 1e-9;
/// After so long a system should show what it has scraped.
const VISIBLE_MS: i64 = 3_000;
const MIB: f64 = 1_048_576.0;

/// Systems that scrape one fleet.
pub(crate) struct Scraped {
    pub(crate) running: Vec<Running>,
    server: Server,
    tasks: Tasks,
    _dir: TempDir,
}

/// What one system has used for so many samples.
pub(crate) struct Used {
    pub(crate) cost: Cost,
    pub(crate) samples: f64,
    pub(crate) disk: f64,
}

impl Scraped {
    /// Starts the fleet and the systems, and waits until they answer.
    pub(crate) async fn start(systems: &[(System, PathBuf)], plan: Plan, plain: bool) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, targets) = (listener.local_addr()?.to_string(), dir.path().join("targets.json"));
        let scrapes = prometheus_yml(&plan, &address, Some(&targets.display().to_string()));
        let server = Server::new(Fleet::new(plan), SystemClock::shared(), plain);
        let tasks = Tasks::new();
        tasks.spawn({
            let (server, tasks, targets) = (server.clone(), tasks.clone(), targets.clone());
            async move {
                tokio::select! {
                    served = server.serve(listener, Some(&targets)) => drop(served),
                    () = tasks.stopping() => {}
                }
            }
        });
        // Nobody starts without targets.
        while !targets.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let start =
            |(system, binary): &(System, PathBuf)| Running::start(*system, binary, dir.path(), &scrapes);
        let running = systems.iter().map(start).collect::<Result<Vec<_>>>()?;
        let mut scraped = Self { running, server, tasks, _dir: dir };
        for one in &mut scraped.running {
            one.ready().await?;
        }
        Ok(scraped)
    }

    /// Lets them run for `warm`, then gives what they use within `time`.
    pub(crate) async fn measure(&mut self, warm: Duration, time: Duration) -> Result<Vec<Used>> {
        tokio::time::sleep(warm).await;
        let before = self.used()?;
        tokio::time::sleep(time).await;
        let after = self.used()?;
        let since = |(after, before): (Used, Used)| Used {
            cost: after.cost.since(before.cost),
            samples: after.samples - before.samples,
            ..after
        };
        Ok(after.into_iter().zip(before).map(since).collect())
    }

    fn used(&mut self) -> Result<Vec<Used>> {
        let served = self.server.served();
        let of = |one: &mut Running| {
            let samples = served.get(one.system.reader()).map_or(0, |served| served.samples) as f64;
            Ok(Used { cost: one.cost()?, samples, disk: disk_use(one.data()) as f64 })
        };
        self.running.iter_mut().map(of).collect()
    }

    /// Series that the pages have now.
    pub(crate) fn series(&self) -> usize {
        let (fleet, slot) = (self.server.fleet(), self.server.slot());
        (0..fleet.plan().hosts).filter_map(|host| fleet.page(host, slot)).map(|page| page.series()).sum()
    }

    /// The last slot that has been over for `age_ms`, and its end in milliseconds.
    pub(crate) fn over(&self, age_ms: i64) -> Result<(u64, i64)> {
        let plan = self.server.fleet().plan();
        let next = plan.slot_at(SystemClock::shared().now_ms() - age_ms).unwrap_or(0);
        let slot = next.checked_sub(1).context("the time is too short for one slot")?;
        Ok((slot, plan.time_of(next) - 1))
    }

    /// Says how many hosts each system answers about as their pages were at the last slot.
    pub(crate) async fn judgement(&self) -> Result<String> {
        let (slot, at) = self.over(VISIBLE_MS)?;
        let fleet = self.server.fleet();
        // A page that was asked for at the very end of a slot may be the next one's, or its answer came too late.
        let around = slot.saturating_sub(1)..=slot + 1;
        let pages =
            |host: usize| around.clone().filter_map(|slot| fleet.page(host, slot)).collect::<Vec<_>>();
        let hosts: Vec<_> =
            (0..fleet.plan().hosts).map(|host| (fleet.plan().instance(host), pages(host))).collect();
        let mut out = Vec::new();
        for one in &self.running {
            let sums = one.sums(&format!("sum by (instance)({})", judged()), at).await?;
            let right = |(instance, pages): &&(String, Vec<Page>)| match sums.get(instance) {
                Some(sum) => pages.iter().any(|page| (sum / total(page) - 1.0).abs() < TOLERANCE),
                None => pages.len() < 3,
            };
            let right = hosts.iter().filter(right).count();
            out.push(format!("{} {right}", one.system.name()));
        }
        Ok(format!("Of {} hosts the last answers were right: {}.", hosts.len(), out.join(", ")))
    }

    /// What the generator itself has used, in seconds of a processor.
    pub(crate) fn generator() -> Result<f64> {
        Ok(Cost::of(std::process::id())?.cpu)
    }

    /// Ends the fleet; the systems end with this.
    pub(crate) async fn end(self) -> Result<()> {
        drop(self.running);
        Ok(self.tasks.shutdown(Duration::from_secs(10)).await?)
    }
}

/// A selector of what answers are judged by.
pub(crate) fn judged() -> String {
    format!("{{job=\"fleet\",__name__=~\"{}\"}}", JUDGED.join("|"))
}

/// The sum of what answers are judged by on one page.
fn total(page: &Page) -> f64 {
    let lines = Parser::new(page.body(), Format::Text).filter_map(|entry| match entry {
        Ok(Entry::Series(line)) if JUDGED.contains(&line.name().as_ref()) => Some(line.value),
        _ => None,
    });
    lines.sum()
}

/// Rows 1 and 6 of the budget: processor time a million samples, plain and compressed; bytes written a sample.
pub(crate) async fn scrape(
    systems: &[(System, PathBuf)],
    plan: &Plan,
    warm: Duration,
    time: Duration,
) -> Result<Table> {
    let mut table = Table::new(systems.iter().map(|(system, _)| system.name()));
    for (what, plain) in [("plain pages", true), ("gzip pages", false)] {
        let mut scraped = Scraped::start(systems, plan.clone(), plain).await?;
        let own = Scraped::generator()?;
        let used = scraped.measure(warm, time).await?;
        let each = |value: fn(&Used) -> f64| used.iter().map(|one| Some(value(one))).collect::<Vec<_>>();
        table.row(
            format!("{what}: CPU per million samples"),
            "s",
            each(|one| one.cost.cpu / one.samples * 1e6),
        );
        table.row(format!("{what}: samples scraped"), "thousands", each(|one| one.samples / 1e3));
        table.row(
            format!("{what}: handed to write calls"),
            "bytes/sample",
            each(|one| one.cost.written / one.samples),
        );
        table.row(
            format!("{what}: to the device"),
            "bytes/sample",
            each(|one| one.cost.device / one.samples),
        );
        let own = (Scraped::generator()? - own) / (warm + time).as_secs_f64() * 100.0;
        table.note(format!(
            "{what}: {} The generator used {own:.1} % of a processor.",
            scraped.judgement().await?
        ));
        scraped.end().await?;
    }
    Ok(table)
}

/// What the parts of a program say may be off what the kernel says by so much.
const PARTS_OFF: f64 = 0.1;

/// What the parts of a program say that they take up, beside what the kernel says of the whole.
fn parts_note(name: &str, parts: &[(String, f64)], rss: f64, series: f64) -> String {
    let sum: f64 = parts.iter().map(|(_, bytes)| bytes).sum();
    let each: Vec<_> = parts.iter().map(|(part, bytes)| format!("{part} {:.0}", bytes / series)).collect();
    let (all, whole) = (sum / series, rss / series);
    let judged = if (sum / rss - 1.0).abs() <= PARTS_OFF { "" } else { ": MORE THAN 10 % OFF" };
    format!(
        "{name} says, in bytes a series: {}; in all {all:.0} of {whole:.0} ({:.0} %{judged}).",
        each.join(", "),
        sum / rss * 100.0
    )
}

/// Rows 2 and 6 of the budget: memory by active series, bytes written a sample.
pub(crate) async fn memory(systems: &[(System, PathBuf)], plan: &Plan, time: Duration) -> Result<Table> {
    let mut table = Table::new(systems.iter().map(|(system, _)| system.name()));
    let mut scraped = Scraped::start(systems, plan.clone(), false).await?;
    let used = scraped.measure(Duration::ZERO, time).await?;
    let series = scraped.series() as f64;
    let each = |value: &dyn Fn(&Used) -> f64| used.iter().map(|one| Some(value(one))).collect::<Vec<_>>();
    table.row("resident", "MiB", each(&|one| one.cost.rss / MIB));
    table.row("of it anonymous", "MiB", each(&|one| one.cost.anon / MIB));
    table.row("of it mapped from files", "MiB", each(&|one| one.cost.file / MIB));
    table.row("resident per series", "bytes", each(&|one| one.cost.rss / series));
    table.row("handed to write calls", "bytes/sample", each(&|one| one.cost.written / one.samples));
    table.row("to the device", "bytes/sample", each(&|one| one.cost.device / one.samples));
    table.row("on disk", "MiB", each(&|one| one.disk / MIB));
    table.note(format!("{series} series on the pages at the end. {}", scraped.judgement().await?));
    for (one, used) in scraped.running.iter().zip(&used) {
        let parts = one.memory_parts().await?;
        if !parts.is_empty() {
            table.note(parts_note(one.system.name(), &parts, used.cost.rss, series));
        }
    }
    scraped.end().await?;
    Ok(table)
}
