//! Reading: series, and what the index answers without samples, of 100 hosts with 600 series each.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use model::{MatchOp, Matcher};
use promql::{Engine, EngineOptions, Value};
use storage::{Batch, BatchSelect, Budget, FloatColumn, Floats, LabelQuery, Querier, Select, TimeRange};
use tokio::runtime::{Builder, Runtime};
use vedette_benches::{Hosts, SERIES, T0};

const HOSTS: usize = 100;
/// An hour and a quarter at 15 s.
const ROWS: usize = 300;
const END: i64 = T0 + ROWS as i64 * 15_000;
/// What an instant query looks back over.
const FIVE_MINUTES: TimeRange = TimeRange { start: END - 299_999, end: END };
const HOUR: TimeRange = TimeRange { start: END - 3_599_999, end: END };

fn main() {
    divan::main();
}

/// Series that pass, by what is asked: 1,600, 10,000 and 60,000.
const ASKED: [&str; 3] = ["1600", "10000", "60000"];

fn matchers(asked: &str) -> Vec<Matcher> {
    let name = |value: &str| Matcher::equal("__name__", value);
    match asked {
        // 16 of 160 units a host.
        "1600" => vec![name("node_systemd_unit_state"), regex("name", "name-[0-9]*3")],
        "10000" => vec![regex("__name__", "node_(disk|network_receive).*")],
        _ => vec![Matcher::equal("job", "node")],
    }
}

fn regex(name: &str, value: &str) -> Matcher {
    Matcher::new(name, MatchOp::Regex, value).expect("valid")
}

fn prepared() -> (Arc<tsdb::Store>, Hosts, Runtime) {
    let mut hosts = Hosts::new(HOSTS);
    (0..ROWS).for_each(|_| hosts.append());
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    (Arc::clone(&hosts.store), hosts, runtime)
}

#[divan::bench(args = ASKED, sample_count = 10, sample_size = 1)]
fn five_minutes_as_series(bencher: Bencher<'_, '_>, asked: &str) {
    series(bencher, asked, FIVE_MINUTES);
}

#[divan::bench(args = [ASKED[0], ASKED[1]], sample_count = 5, sample_size = 1)]
fn an_hour_as_series(bencher: Bencher<'_, '_>, asked: &str) {
    series(bencher, asked, HOUR);
}

fn series(bencher: Bencher<'_, '_>, asked: &str, range: TimeRange) {
    let (store, _hosts, runtime) = prepared();
    bencher.bench_local(|| {
        let select = Select { matchers: matchers(asked), range, samples_max: usize::MAX };
        runtime.block_on(store.select(select)).expect("an answer")
    });
}

#[divan::bench(args = ASKED, sample_count = 20, sample_size = 1)]
fn five_minutes_in_batches(bencher: Bencher<'_, '_>, asked: &str) {
    batches(bencher, asked, FIVE_MINUTES);
}

#[divan::bench(args = ASKED, sample_count = 10, sample_size = 1)]
fn an_hour_in_batches(bencher: Bencher<'_, '_>, asked: &str) {
    batches(bencher, asked, HOUR);
}

/// Every value is decoded and added up.
fn batches(bencher: Bencher<'_, '_>, asked: &str, range: TimeRange) {
    let (store, _hosts, runtime) = prepared();
    bencher.bench_local(|| {
        let mut sum = 0.0;
        each_batch(&store, &runtime, matchers(asked), range, |batch, scratch| {
            let rows = batch.rows();
            for column in 0..batch.columns() {
                match batch.floats(column, scratch).expect("decodes") {
                    FloatColumn::Constant(value) => sum += value * rows as f64,
                    other => other.for_each(rows, |_, value| sum += value),
                }
            }
        });
        sum
    });
}

/// `count({job="node"})` over batches: series whose newest sample is no stale marker.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn count_in_batches(bencher: Bencher<'_, '_>) {
    let (store, _hosts, runtime) = prepared();
    bencher.counter(ItemsCount::new(HOSTS * SERIES)).bench_local(|| {
        let (mut count, mut group, mut live) = (0, None, Vec::new());
        let counted = |live: &[bool]| live.iter().filter(|live| **live).count();
        each_batch(&store, &runtime, matchers("60000"), FIVE_MINUTES, |batch, scratch| {
            if !group.as_ref().is_some_and(|group| Arc::ptr_eq(group, &batch.group)) {
                count += counted(&live);
                live = vec![false; batch.group.len()];
                group = Some(Arc::clone(&batch.group));
            }
            for (column, series) in batch.series.iter().enumerate() {
                let newest = batch.last(column, scratch).expect("decodes");
                if let Some((_, value)) = newest {
                    live[*series as usize] = !model::is_stale(value);
                }
            }
        });
        assert_eq!(count + counted(&live), HOSTS * SERIES);
    });
}

fn each_batch(
    store: &tsdb::Store,
    runtime: &Runtime,
    matchers: Vec<Matcher>,
    range: TimeRange,
    mut visit: impl FnMut(&Batch, &mut Floats),
) {
    runtime.block_on(async {
        let asked = BatchSelect { matchers, range, budget: Budget::unlimited(), newest: false };
        let mut batches = store.batches(asked).await.expect("an answer");
        let mut scratch = Floats::default();
        while let Some(batch) = batches.next().await.expect("a batch") {
            visit(&batch, &mut scratch);
        }
    });
}

/// `count({job="node"})` as the query engine has it.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn count_by_the_engine(bencher: Bencher<'_, '_>) {
    let (store, _hosts, runtime) = prepared();
    let engine = Engine::new(EngineOptions::default());
    let expr = promql::parse("count({job=\"node\"})").expect("a valid query");
    bencher.counter(ItemsCount::new(HOSTS * SERIES)).bench_local(|| {
        let answer = runtime.block_on(engine.instant(&*store, &expr, END)).expect("an answer");
        let Value::Vector(vector) = &answer.value else { panic!("a vector") };
        assert_eq!(vector[0].value, (HOSTS * SERIES) as f64);
    });
}

fn asking(matchers: Vec<Matcher>) -> LabelQuery {
    LabelQuery { matcher_sets: vec![matchers], range: HOUR, limit: usize::MAX }
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn values_of_instance(bencher: Bencher<'_, '_>) {
    let (store, _hosts, runtime) = prepared();
    bencher.bench_local(|| {
        let asked = asking(vec![Matcher::equal("job", "node")]);
        let (values, _) = runtime.block_on(store.label_values("instance", asked)).expect("an answer");
        assert_eq!(values.len(), HOSTS);
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn values_of_a_slots_label_by_regex(bencher: Bencher<'_, '_>) {
    let (store, _hosts, runtime) = prepared();
    bencher.bench_local(|| {
        let asked =
            asking(vec![regex("__name__", "node_(network|disk)_.*bytes.*"), regex("instance", ".*7")]);
        runtime.block_on(store.label_values("device", asked)).expect("an answer")
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn all_series_of_a_metric(bencher: Bencher<'_, '_>) {
    let (store, _hosts, runtime) = prepared();
    bencher.bench_local(|| {
        let asked = asking(vec![Matcher::equal("__name__", "node_cpu_seconds_total")]);
        runtime.block_on(store.series(asked)).expect("an answer")
    });
}
