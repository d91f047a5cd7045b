//! The 25 queries of the budget over HTTP, and what one asks for besides: how long each takes, and what it costs.

mod ask;
mod list;
mod load;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use env::{SystemClock, Tasks};
use vedette_benches::fleet::{Kind, Plan, duration};

use self::ask::{Asker, Points, differ, points};
use self::list::{METADATA, QUERIES, Query, When};
use self::load::{Data, Loaded, load};
use crate::systems::{Running, System};
use crate::table::Table;

const MIB: f64 = 1_048_576.0;
const DAY: Duration = Duration::from_secs(86_400);

/// What the suite of queries is told besides.
#[derive(Args, Clone, Debug)]
pub(crate) struct QueryFlags {
    /// How often each query is asked at least; short ones are asked for half a second.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Series that reach further back than the fleet [default: 50, in full 1,000].
    #[arg(long, value_name = "N")]
    month_series: Option<usize>,
    /// How far those reach back [default: 3d, in full 30d].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    month: Option<Duration>,
}

/// A query that is short is asked again until so much time has passed.
const ASKED_FOR: Duration = Duration::from_millis(500);
/// But not more often.
const RUNS_MAX: usize = 200;

/// What a query took at one system.
struct Took {
    milliseconds: f64,
    cpu: f64,
    /// The most that was resident, above what was before.
    peak: f64,
    body: bytes::Bytes,
}

/// Rows 8 to 12 of the budget, as a dashboard sees them.
pub(crate) async fn queries(
    systems: &[(System, PathBuf)],
    plan: &Plan,
    slots: u64,
    flags: &QueryFlags,
    full: bool,
) -> Result<Table> {
    let (dir, tasks) = (tempfile::tempdir()?, Tasks::new());
    let (series, days) = if full { (1_000, 30) } else { (50, 3) };
    let data = Data {
        plan: mixed(plan),
        slots,
        month_series: flags.month_series.unwrap_or(series),
        month_ms: flags.month.unwrap_or(DAY * days).as_millis() as i64,
    };
    let (mut loaded, samples) = load(systems, dir.path(), &data, &tasks).await?;
    let end = data.plan.time_of(slots);
    let mut askers = Vec::new();
    for one in &loaded {
        askers.push(Asker::connect(&one.running.url(), SystemClock::shared(), &tasks).await?);
    }
    let mut table = Table::new(systems.iter().map(|(system, _)| system.name()));
    let mut all: Vec<(String, Vec<Option<Took>>)> = Vec::new();
    for query in &QUERIES {
        let mut took = Vec::new();
        for (one, asker) in loaded.iter_mut().zip(&mut askers) {
            took.push(ask_query(one, asker, query, end, flags.runs, &mut table).await);
        }
        compare(query.name, systems, &took, &mut table);
        all.push((query.name.to_owned(), took));
    }
    for (name, path) in METADATA {
        let mut took = Vec::new();
        for (one, asker) in loaded.iter_mut().zip(&mut askers) {
            took.push(timed(&mut one.running, asker, path, flags.runs).await.ok());
        }
        all.push((name.to_owned(), took));
    }
    figures(&all, &mut table);
    for one in &loaded {
        let text = format!("{} took {:.1} million samples", one.running.system.name(), samples as f64 / 1e6);
        table.note(format!("{text} in {:.1} s on a processor.", one.cpu));
    }
    table.note(format!(
        "{} series reach back {} h; medians of at least {} runs, one system at a time, over one connection each.",
        data.month_series,
        data.month_ms / 3_600_000,
        flags.runs
    ));
    table.note(format!("Kinds of hosts, in turn: {:?}.", data.plan.kinds));
    table.note(
        "Answers differ where many counts are equal (13b: any of them are the first 20), and where Prometheus is older \
         than 3.0 in what lies between the bounds of a native bucket (16).",
    );
    for query in &QUERIES {
        table.note(format!("{}: {}", query.name, query.text));
    }
    drop((askers, loaded));
    tasks.shutdown(Duration::from_secs(10)).await?;
    Ok(table)
}

/// Hosts and applications, unless kinds were named.
fn mixed(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    if plan.kinds == [Kind::NodeSmall] {
        plan.kinds = vec![Kind::NodeInterrupts; 10];
        plan.kinds[1] = Kind::Web;
    }
    plan
}

async fn ask_query(
    one: &mut Loaded,
    asker: &mut Asker,
    query: &Query,
    end_ms: i64,
    runs: usize,
    table: &mut Table,
) -> Option<Took> {
    if query.native && !one.native {
        return None;
    }
    let escaped = crate::systems::escape(query.text);
    let end = end_ms / 1_000;
    let path = match query.when {
        When::Instant => format!("/api/v1/query?query={escaped}&time={end}&nocache=1"),
        When::Range(span, step) => format!(
            "/api/v1/query_range?query={escaped}&start={}&end={end}&step={step}&nocache=1",
            end - span
        ),
    };
    let took = timed(&mut one.running, asker, &path, runs).await;
    took.map_err(|error| table.note(format!("{}, {}: {error:#}", one.running.system.name(), query.name))).ok()
}

/// Asks often enough; the first time is not measured.
async fn timed(running: &mut Running, asker: &mut Asker, path: &str, runs: usize) -> Result<Took> {
    let resident = running.cost()?.rss;
    running.forget_peak()?;
    let (body, first) = asker.get(path).await?;
    let peak = (running.peak()? - resident).max(0.0) / MIB;
    let often = (ASKED_FOR.as_secs_f64() / first.as_secs_f64().max(1e-6)) as usize;
    let runs = often.clamp(runs.max(1), RUNS_MAX);
    let before = running.cost()?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        times.push(asker.get(path).await?.1);
    }
    times.sort_unstable();
    let cpu = running.cost()?.since(before).cpu / runs as f64 * 1_000.0;
    Ok(Took { milliseconds: times[runs / 2].as_secs_f64() * 1_000.0, cpu, peak, body })
}

/// Says where ours and Prometheus' answers are not the same.
fn compare(name: &str, systems: &[(System, PathBuf)], took: &[Option<Took>], table: &mut Table) {
    let of = |wanted: System| -> Option<Points> {
        let at = systems.iter().position(|(system, _)| *system == wanted)?;
        points(&took[at].as_ref()?.body).ok()
    };
    let (Some(ours), Some(theirs)) = (of(System::Vedette), of(System::Prometheus)) else { return };
    let others = differ(&ours, &theirs);
    if others > 0 {
        table.note(format!("{name}: {others} of {} points are not as Prometheus has them.", theirs.len()));
    }
}

/// What is told of each query, its unit, and where it stands.
type Figure = (&'static str, &'static str, fn(&Took) -> f64);

fn figures(all: &[(String, Vec<Option<Took>>)], table: &mut Table) {
    let kinds: [Figure; 3] = [
        ("time", "ms", |took| took.milliseconds),
        ("CPU", "ms", |took| took.cpu),
        ("memory above idle, at most", "MiB", |took| took.peak),
    ];
    for (what, unit, figure) in kinds {
        for (name, took) in all {
            let values = took.iter().map(|took| took.as_ref().map(figure)).collect();
            table.row(format!("{name}: {what}"), unit, values);
        }
    }
    let columns = all.first().map_or(0, |(_, took)| took.len());
    let mean = |at: usize| {
        let logs: Vec<f64> = all
            .iter()
            .filter(|(_, took)| took.iter().all(Option::is_some))
            .filter_map(|(_, took)| Some(took[at].as_ref()?.milliseconds.max(1e-3).ln()))
            .collect();
        (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
    };
    table.row("all that everybody answers: geometric mean", "ms", (0..columns).map(mean).collect());
}
