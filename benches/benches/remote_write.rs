//! Remote write requests: decompressed, decoded, their series found, and appended.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use env::{SeededRandom, SharedClock, SimulatedClock, Tasks};
use ingest::{Limits, RemoteWrite, Version};
use storage::{
    AppendError, AppendOutcome, Appender, Cell, CommitSender, Layout, LayoutRef, Row, commit_channel,
};
use telemetry::Registry;
use tempfile::TempDir;
use tsdb::{Store, StoreOptions};
use vedette_benches::{Sender, T0};

/// Series and scrapes of a request.
const SHAPES: [(usize, i64); 2] = [(500, 4), (10_000, 1)];

fn main() {
    divan::main();
}

/// Takes every row and keeps none: what is left is the receiver's own work.
struct Nowhere(CommitSender);

impl Appender for Nowhere {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        Ok(LayoutRef::new(Arc::new(layout), 1))
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        let appended = row.cells.iter().filter(|cell| **cell != Cell::Absent).count();
        Ok(AppendOutcome {
            appended,
            out_of_order: 0,
            duplicates: 0,
            out_of_bounds: 0,
            too_old: 0,
            first_rejected: None,
            commit: self.0.commit(1),
        })
    }
}

fn run(
    bencher: Bencher<'_, '_>,
    shape: (usize, i64),
    second: bool,
    appender: Arc<dyn Appender>,
    clock: &Arc<SimulatedClock>,
) {
    let (series, scrapes) = shape;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let receiver = runtime.block_on(async {
        let clock = Arc::clone(clock) as SharedClock;
        let (random, tasks) = (SeededRandom::shared(1), Tasks::new());
        RemoteWrite::new(appender, Limits::default(), clock, &random, &tasks, &Registry::new())
    });
    let version = if second { Version::V2 } else { Version::V1 };
    let mut sender = Sender::new(series, T0);
    let samples = series as u64 * scrapes.unsigned_abs();
    let mut next = || {
        clock.advance(std::time::Duration::from_secs(15 * scrapes.unsigned_abs()));
        sender.next_request(scrapes, second)
    };
    // Series are new once; senders repeat themselves for days.
    receiver.write(version, &next()).expect("taken");
    bencher.counter(ItemsCount::new(samples)).with_inputs(next).bench_local_values(|request| {
        assert_eq!(receiver.write(version, &request), Ok(samples));
    });
}

/// Version 1 to rows that nobody keeps.
#[divan::bench(args = SHAPES, sample_count = 100, sample_size = 1)]
fn version_1_to_rows(bencher: Bencher<'_, '_>, shape: (usize, i64)) {
    run(bencher, shape, false, Arc::new(Nowhere(commit_channel())), &SimulatedClock::at(T0));
}

/// Version 2 to rows that nobody keeps.
#[divan::bench(args = SHAPES, sample_count = 100, sample_size = 1)]
fn version_2_to_rows(bencher: Bencher<'_, '_>, shape: (usize, i64)) {
    run(bencher, shape, true, Arc::new(Nowhere(commit_channel())), &SimulatedClock::at(T0));
}

/// Version 1 into a store.
#[divan::bench(args = SHAPES, sample_count = 100, sample_size = 1)]
fn version_1_to_store(bencher: Bencher<'_, '_>, shape: (usize, i64)) {
    let (dir, clock) = (TempDir::new().expect("a folder"), SimulatedClock::at(T0));
    let shared = Arc::clone(&clock) as SharedClock;
    let store = Store::open(
        StoreOptions::new(dir.path(), "bench"),
        shared,
        SeededRandom::shared(1),
        &Registry::new(),
    );
    run(bencher, shape, false, store.expect("the store opens"), &clock);
}

/// Snappy alone, which nobody is spared.
#[divan::bench(args = SHAPES, sample_count = 100)]
fn snappy_alone(bencher: Bencher<'_, '_>, shape: (usize, i64)) {
    let request = Sender::new(shape.0, T0).next_request(shape.1, false);
    let mut out = vec![0; snap::raw::decompress_len(&request).expect("snappy")];
    let samples = shape.0 as u64 * shape.1.unsigned_abs();
    bencher
        .counter(ItemsCount::new(samples))
        .bench_local(|| snap::raw::Decoder::new().decompress(&request, &mut out).expect("snappy"));
}
