//! Sealing: a window of the fleet from memory and from the log into blocks, and a start with many sealed windows.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use env::{SeededRandom, SharedClock, SimulatedClock};
use storage::{Appender, BoxFuture, Querier, Select, TimeRange};
use telemetry::Registry;
use tsdb::{Store, StoreOptions};
use vedette_benches::fleet::{Feed, Fleet, Kind, Plan, Profile};

const WINDOW_MS: i64 = 2 * 60 * 60 * 1000;
/// Start of a window.
const T0: i64 = 1_699_999_200_000;
const INTERVAL_MS: i64 = 15_000;

/// A day, and a window before and after it.
const DAY_WINDOWS: u64 = 14;

/// A week of windows.
const MANY: u64 = 84;

#[allow(clippy::print_stdout, reason = "sizes are what is asked for")]
fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, clock, samples) = filled(dir.path(), 20, 1);
    let log = store.status().bytes;
    clock.advance(Duration::from_millis(2 * WINDOW_MS as u64));
    store.maintain();
    let size = |ending: &str| {
        let files = files(&dir.path().join("sealed")).into_iter().filter(|(name, _)| name.ends_with(ending));
        files.map(|(_, bytes)| bytes).sum::<u64>()
    };
    println!(
        "{samples} samples: {:.3} bytes each in the log, {:.3} in blocks; {} bytes say once whose they are",
        log as f64 / samples as f64,
        size(".sst") as f64 / samples as f64,
        // They are in the database's log until there are more of them, and are compressed then.
        size(".log"),
    );
    drop(store);
    day();
    divan::main();
}

/// What a day's samples take up, alone and written altogether.
#[allow(clippy::print_stdout, reason = "sizes are what is asked for")]
fn day() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, clock, samples) = filled(dir.path(), 4, DAY_WINDOWS);
    clock.advance(Duration::from_millis(2 * WINDOW_MS as u64));
    store.maintain();
    let sst = || files(&dir.path().join("sealed")).into_iter().filter(|(name, _)| name.ends_with(".sst"));
    let windows = sst().map(|(_, bytes)| bytes).sum::<u64>() as f64 / samples as f64;
    store.compact();
    let day = sst().map(|(_, bytes)| bytes).max().unwrap_or(0);
    let of_day = samples as u64 * 12 / DAY_WINDOWS;
    println!(
        "{windows:.3} bytes each in blocks of {DAY_WINDOWS} windows, {:.3} in those of the day of 12 of them",
        day as f64 / of_day as f64
    );
}

fn files(dir: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(dir).expect("lists").map(|entry| entry.expect("entry"));
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry));
    named.map(|(name, entry)| (name, entry.metadata().expect("there").len())).collect()
}

fn open(dir: &Path, clock: &Arc<SimulatedClock>, seed: u64) -> Arc<Store> {
    let options = StoreOptions { retention_time: Duration::ZERO, ..StoreOptions::new(dir, "bench") };
    let clock = Arc::clone(clock) as SharedClock;
    Store::open(options, clock, SeededRandom::shared(seed), &Registry::new()).expect("opens")
}

/// A store with so many windows of so many hosts, each sealed once it is past, and how many samples it has.
fn filled(dir: &Path, hosts: usize, windows: u64) -> (Arc<Store>, Arc<SimulatedClock>, usize) {
    let clock = SimulatedClock::at(T0);
    let store = open(dir, &clock, 1);
    let plan = Plan {
        seed: 1,
        hosts,
        kinds: vec![Kind::NodeSmall],
        profile: Profile::Quiet,
        churn: Vec::new(),
        interval_ms: INTERVAL_MS,
        origin_ms: T0,
    };
    let fleet = Fleet::new(plan);
    let mut feed = Feed::new(&fleet, Arc::clone(&store) as Arc<dyn Appender>);
    let mut samples = 0;
    for window in 0..windows {
        for slot in 0..480 {
            clock.advance(Duration::from_millis(INTERVAL_MS as u64));
            samples += feed.append(window * 480 + slot).expect("taken");
        }
        store.flush().expect("the log is written");
        if windows > 1 {
            store.maintain();
        }
    }
    (store, clock, samples)
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn window_from_memory(bencher: Bencher<'_, '_>) {
    let samples = 20 * 594 * 480usize;
    let filled = || {
        let dir = tempfile::tempdir().expect("a folder");
        let (store, clock, _) = filled(dir.path(), 20, 1);
        clock.advance(Duration::from_millis(2 * WINDOW_MS as u64));
        (store, dir)
    };
    bencher.counter(ItemsCount::new(samples)).with_inputs(filled).bench_local_values(|(store, dir)| {
        store.maintain();
        (store, dir)
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn window_from_log(bencher: Bencher<'_, '_>) {
    let samples = 20 * 594 * 480usize;
    let filled = || {
        let dir = tempfile::tempdir().expect("a folder");
        let (store, clock, _) = filled(dir.path(), 20, 1);
        drop(store);
        clock.advance(Duration::from_millis(2 * WINDOW_MS as u64));
        (open(dir.path(), &clock, 2), dir)
    };
    bencher.counter(ItemsCount::new(samples)).with_inputs(filled).bench_local_values(|(store, dir)| {
        store.maintain();
        (store, dir)
    });
}

/// From a folder of a week to a store that answers.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn open_a_week(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, clock, _) = filled(dir.path(), 2, MANY);
    drop(store);
    bencher.bench_local(|| open(dir.path(), &clock, 2).close().expect("closes"));
}

/// One host's series of a week, of which a day is asked for.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn select_a_day_of_a_week(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _, _) = filled(dir.path(), 2, MANY);
    let matchers = vec![model::Matcher::equal("__name__", "node_cpu_seconds_total")];
    let range = TimeRange { start: T0 + 24 * WINDOW_MS, end: T0 + 36 * WINDOW_MS };
    let select = Select { matchers, range, samples_max: usize::MAX };
    let samples =
        |set: &storage::SeriesSet| set.series.iter().map(|series| series.samples.len()).sum::<usize>();
    let count = samples(&wait(store.select(select.clone())));
    bencher.counter(ItemsCount::new(count)).bench_local(|| wait(store.select(select.clone())));
}

fn wait<T>(future: BoxFuture<'_, Result<T, storage::QueryError>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future).expect("answers")
}
