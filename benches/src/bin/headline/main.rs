//! Ours beside Prometheus and VictoriaMetrics, in one run, on the same fleet of hosts.
//!
//! Each suite prints a table, whose first column is ours and whose others say how many times that they are, and
//! writes it under results/. Binaries: `VEDETTE_BENCH_AGENT` (default: beside this program),
//! `VEDETTE_BENCH_PROMETHEUS` and `VEDETTE_BENCH_VICTORIA` (default: Debian's, unpacked by `make setup-bench`).
//! All run with their default settings.

mod cost;
mod disk;
mod idle;
mod push;
mod queries;
mod recovery;
mod remote_write;
mod restart;
mod scraped;
mod systems;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use vedette_benches::fleet::{FleetFlags, Plan, duration};

use table::Table;

/// Ours beside Prometheus and VictoriaMetrics, in one run, on the same fleet of hosts.
#[derive(Parser)]
struct Cli {
    /// What is measured.
    suite: Suite,
    /// At the size that releases are judged by; hours, and a machine of its own.
    #[arg(long)]
    full: bool,
    /// How long is measured; of the fleet's own time for `disk`.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,
    /// The folder that results are written to.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    out: PathBuf,
    #[command(flatten)]
    fleet: FleetFlags,
    #[command(flatten)]
    queries: queries::QueryFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Processor time and bytes written, a sample.
    Scrape,
    /// Memory, a series.
    Memory,
    /// Bytes on disk, a sample.
    Disk,
    /// From kill -9 to the first right answer.
    Recovery,
    /// The same, ours alone, on a store that was written on a simulated clock.
    Restart,
    /// Processor time of taking remote write, a sample.
    RemoteWrite,
    /// An agent on one host.
    Idle,
    /// Queries over HTTP: how long each takes and what it costs.
    Queries,
}

/// How large a suite is unless flags say otherwise.
struct Size {
    hosts: usize,
    interval: Duration,
    time: Duration,
}

impl Suite {
    fn size(self, full: bool) -> Size {
        let (hosts, interval, time) = match (self, full) {
            (Self::Scrape, false) => (100, 1, 60),
            (Self::Scrape, true) => (100, 1, 900),
            (Self::Memory, false) => (100, 5, 180),
            (Self::Memory, true) => (500, 5, 3_000),
            (Self::Disk, false) => (20, 15, 4 * 3_600),
            (Self::Disk, true) => (100, 15, 26 * 3_600),
            (Self::Recovery, false) => (100, 5, 180),
            (Self::Recovery, true) => (1_700, 15, 9_000),
            (Self::Restart, false) => (100, 15, 9_000),
            (Self::Restart, true) => (1_700, 15, 9_000),
            (Self::RemoteWrite, false) => (100, 15, 1_200),
            (Self::RemoteWrite, true) => (500, 15, 3_600),
            (Self::Idle, false) => (1, 15, 300),
            (Self::Idle, true) => (1, 15, 3_600),
            (Self::Queries, false) => (10, 15, 7_200),
            (Self::Queries, true) => (92, 15, 21_600),
        };
        Size { hosts, interval: Duration::from_secs(interval), time: Duration::from_secs(time) }
    }

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[allow(clippy::print_stderr, reason = "why there are no figures")]
fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ran = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&cli)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "the figures are what was asked for")]
async fn run(cli: &Cli) -> Result<()> {
    let systems = systems::found()?;
    let size = cli.suite.size(cli.full);
    let (plan, time) = (cli.fleet.plan(size.hosts, size.interval), cli.time.unwrap_or(size.time));
    let table = measure(cli, &systems, plan.clone(), time).await?;
    let versions: Vec<_> =
        systems.iter().map(|(system, binary)| (system.name().to_owned(), system.version(binary))).collect();
    let fleet = format!(
        "fleet    {} hosts, every {} ms, {:?}, {:?}, churn {:?}, seed {}; measured {} s\n",
        plan.hosts,
        plan.interval_ms,
        plan.kinds,
        plan.profile,
        plan.churn,
        plan.seed,
        time.as_secs()
    );
    let text = format!("{}{fleet}\n{}", table::head(&cli.suite.name(), &versions), table.text());
    print!("{text}");
    println!("written to {}", table::keep(&cli.out, &cli.suite.name(), &text)?.display());
    Ok(())
}

async fn measure(
    cli: &Cli,
    systems: &[(systems::System, PathBuf)],
    mut plan: Plan,
    time: Duration,
) -> Result<Table> {
    match cli.suite {
        Suite::Scrape => scraped::scrape(systems, &plan, time / 3, time).await,
        Suite::Memory => scraped::memory(systems, &plan, time).await,
        Suite::Disk => {
            let slots = ending_now(cli, &mut plan, time);
            disk::disk(systems, &plan, slots).await
        }
        Suite::Recovery => recovery::recovery(systems, &plan, time).await,
        Suite::Restart => {
            let slots = ending_now(cli, &mut plan, time);
            restart::restart(systems, &plan, slots).await
        }
        Suite::RemoteWrite => {
            let slots = ending_now(cli, &mut plan, time);
            remote_write::remote_write(systems, &plan, slots).await
        }
        Suite::Idle => idle::idle(systems, time).await,
        Suite::Queries => {
            let slots = ending_now(cli, &mut plan, time);
            queries::queries(systems, &plan, slots, &cli.queries, cli.full).await
        }
    }
}

/// How many slots fit a time; the last one is of now: nobody refuses what lies in the past or the future.
fn ending_now(cli: &Cli, plan: &mut Plan, time: Duration) -> u64 {
    let slots = (time.as_millis() as u64 / plan.interval_ms as u64).max(1);
    if cli.fleet.origin.is_none() {
        plan.origin_ms -= slots as i64 * plan.interval_ms;
    }
    slots
}
