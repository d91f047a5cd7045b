//! Queries over 1,600 series in memory: the evaluator without a store's costs.

use divan::Bencher;
use divan::counter::ItemsCount;
use model::{Labels, METRIC_NAME, Sample};
use promql::script::MemoryStore;
use promql::{Engine, EngineOptions, Value};
use tokio::runtime::{Builder, Runtime};
use vedette_benches::T0;

/// 100 hosts with 16 modes.
const HOSTS: usize = 100;
const MODES: usize = 16;
/// Ten minutes at 15 s.
const SAMPLES: i64 = 40;
const STEP: i64 = 15_000;

const RATE_SUM: &str = "sum by (mode) (rate(node_cpu_seconds_total[5m]))";
const TOPK: &str = "topk(10, node_cpu_seconds_total)";

fn main() {
    divan::main();
}

#[divan::bench]
fn instant_rate_and_sum(bencher: Bencher<'_, '_>) {
    instant(bencher, RATE_SUM);
}

#[divan::bench]
fn instant_topk(bencher: Bencher<'_, '_>) {
    instant(bencher, TOPK);
}

fn instant(bencher: Bencher<'_, '_>, query: &str) {
    let (store, engine, runtime) = prepare();
    let expr = promql::parse(query).expect("a valid query");
    let end = T0 + (SAMPLES - 1) * STEP;
    bencher.counter(ItemsCount::new(HOSTS * MODES)).bench_local(|| {
        let answer = runtime.block_on(engine.instant(&store, &expr, end)).expect("an answer");
        assert!(matches!(&answer.value, Value::Vector(vector) if !vector.is_empty()));
        answer
    });
}

/// Ten minutes in steps of 15 s.
#[divan::bench(sample_count = 20)]
fn range_rate_and_sum(bencher: Bencher<'_, '_>) {
    let (store, engine, runtime) = prepare();
    let expr = promql::parse(RATE_SUM).expect("a valid query");
    let end = T0 + (SAMPLES - 1) * STEP;
    bencher.counter(ItemsCount::new(HOSTS * MODES)).bench_local(|| {
        let answer = runtime.block_on(engine.range(&store, &expr, T0, end, STEP)).expect("an answer");
        assert!(matches!(&answer.value, Value::Matrix(matrix) if matrix.len() == MODES));
        answer
    });
}

fn prepare() -> (MemoryStore, Engine, Runtime) {
    let store = MemoryStore::new();
    for host in 0..HOSTS {
        for mode in 0..MODES {
            let labels = Labels::from_pairs([
                (METRIC_NAME, "node_cpu_seconds_total".to_owned()),
                ("instance", format!("host-{host}")),
                ("job", "node".to_owned()),
                ("mode", format!("mode-{mode}")),
            ]);
            for at in 0..SAMPLES {
                let value = (at * (host + mode + 1) as i64) as f64 / 100.0;
                store.append(&labels, Sample { timestamp: T0 + at * STEP, value });
            }
        }
    }
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    (store, Engine::new(EngineOptions::default()), runtime)
}
