//! Queries over the store in memory, of hosts with 600 series each, and over a month of a thousand series: those of the
//! budget (rows 8 to 13), and most of them series by series too.

use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use promql::{Answer, Engine, EngineOptions, Value};
use tokio::runtime::{Builder, Runtime};
use vedette_benches::{Devices, Hosts, SERIES, T0};

const HOSTS: usize = 100;
const STEP: i64 = 15_000;
/// An hour and a quarter, and seven hours, at 15 s.
const FEW_ROWS: usize = 300;
const MANY_ROWS: usize = 1_680;
const ROWS_BETWEEN_SEALS: usize = 60;

/// Row 8: 16 of 160 units a host, which 1,600 series are.
const RATE_SUM: &str = "sum by (instance) (rate(node_systemd_unit_state{name=~\"name-[0-9]*3\"}[5m]))";
/// Row 9: 10,000 series.
const RATE_SUM_BY: &str = "sum by (instance) (rate(node_cpu_seconds_total{mode=~\"mode-[0-9]{1,2}\"}[5m]))";
/// The same by what slots tell.
const RATE_SUM_BY_MODE: &str = "sum by (mode) (rate(node_cpu_seconds_total{mode=~\"mode-[0-9]{1,2}\"}[5m]))";
/// Row 11: 6,600 series.
const TOPK: &str = "topk(10, {__name__=~\"node_network_receive_bytes_total|node_cpu_seconds_total\",device=~\"|device-.*\",mode=~\"|mode-[0-5]\"})";
/// Row 12: 60,000 series.
const COUNT: &str = "count({job=\"node\"})";

/// Row 10: 1,000 series over 30 days, as one window and as windows of an hour.
const MONTH: &str = "sum by (instance) (increase(node_network_receive_bytes_total[30d]))";
const MONTH_BY_HOUR: &str = "sum by (instance) (increase(node_network_receive_bytes_total[1h]))";
/// Row 13: an alert's expression over 10,000 series.
const RULE: &str = "avg by (instance) (rate(node_cpu_seconds_total{mode=~\"mode-[0-9]{1,2}\"}[5m])) > 0";
/// A join of 10,000 series with one of each host.
const JOIN: &str = "rate(node_cpu_seconds_total{mode=~\"mode-[0-9]{1,2}\"}[5m]) * on (instance) group_left () node_memory_bytes{kind=\"kind-1\"}";

fn main() {
    divan::main();
}

#[divan::bench(args = [true, false], sample_count = 20)]
fn instant_rule(bencher: Bencher<'_, '_>, columns: bool) {
    instant(bencher, RULE, 10_000, columns);
}

#[divan::bench(args = [true, false], sample_count = 20)]
fn instant_join(bencher: Bencher<'_, '_>, columns: bool) {
    instant(bencher, JOIN, 10_000, columns);
}

#[divan::bench(args = [MONTH, MONTH_BY_HOUR], sample_count = 5)]
fn thirty_days_of_increase(bencher: Bencher<'_, '_>, query: &str) {
    let devices = Devices::new(100, 30);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    let (engine, expr) = (Engine::new(EngineOptions::default()), promql::parse(query).expect("a query"));
    let ask = || {
        let (store, end) = (&*devices.store, devices.end);
        runtime.block_on(async {
            if query == MONTH {
                return engine.instant(store, &expr, end).await.expect("an answer");
            }
            engine.range(store, &expr, end - 30 * 86_400_000, end, 3_600_000).await.expect("an answer")
        })
    };
    told(query, ask);
    bencher.counter(ItemsCount::new(1_000_usize)).bench_local(ask);
}

#[divan::bench(args = [true, false])]
fn instant_rate_and_sum(bencher: Bencher<'_, '_>, columns: bool) {
    instant(bencher, RATE_SUM, 1_600, columns);
}

#[divan::bench(args = [true, false], sample_count = 40)]
fn instant_topk(bencher: Bencher<'_, '_>, columns: bool) {
    instant(bencher, TOPK, 6_600, columns);
}

#[divan::bench(args = [true, false], sample_count = 40)]
fn instant_count(bencher: Bencher<'_, '_>, columns: bool) {
    instant(bencher, COUNT, HOSTS * SERIES, columns);
}

#[divan::bench(args = [true, false], sample_count = 10)]
fn six_hours_of_rate_and_sum(bencher: Bencher<'_, '_>, columns: bool) {
    range(bencher, RATE_SUM_BY, columns);
}

#[divan::bench(args = [true, false], sample_count = 10)]
fn six_hours_of_rate_and_sum_by_mode(bencher: Bencher<'_, '_>, columns: bool) {
    range(bencher, RATE_SUM_BY_MODE, columns);
}

fn instant(bencher: Bencher<'_, '_>, query: &str, series: usize, columns: bool) {
    let bench = Prepared::new(FEW_ROWS, columns);
    let expr = promql::parse(query).expect("a valid query");
    told(query, || bench.instant(&expr));
    bencher.counter(ItemsCount::new(series)).bench_local(|| bench.instant(&expr));
}

/// In steps of a minute.
fn range(bencher: Bencher<'_, '_>, query: &str, columns: bool) {
    let bench = Prepared::new(MANY_ROWS, columns);
    let expr = promql::parse(query).expect("a valid query");
    let ask = || {
        let start = bench.end - 6 * 3_600_000;
        let asked = bench.engine.range(&*bench.store, &expr, start, bench.end, 60_000);
        let answer = bench.runtime.block_on(asked).expect("an answer");
        assert!(matches!(&answer.value, Value::Matrix(matrix) if !matrix.is_empty()));
        answer
    };
    told(query, ask);
    bencher.counter(ItemsCount::new(10_000_usize)).bench_local(ask);
}

/// A store with scrapes of all hosts, and an engine.
struct Prepared {
    store: Arc<tsdb::Store>,
    engine: Engine,
    runtime: Runtime,
    end: i64,
    _hosts: Hosts,
}

impl Prepared {
    fn new(rows: usize, columns: bool) -> Self {
        let mut hosts = Hosts::new(HOSTS);
        for row in 0..rows {
            hosts.append();
            // Windows that are past are sealed.
            if row % ROWS_BETWEEN_SEALS == 0 {
                hosts.store.maintain();
            }
        }
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
        let options = EngineOptions { series_by_series: !columns, ..EngineOptions::default() };
        let end = T0 + rows as i64 * STEP;
        let store = Arc::clone(&hosts.store);
        Self { store, engine: Engine::new(options), runtime, end, _hosts: hosts }
    }

    fn instant(&self, expr: &promql::Expr) -> Answer {
        let answer =
            self.runtime.block_on(self.engine.instant(&*self.store, expr, self.end)).expect("an answer");
        assert!(matches!(&answer.value, Value::Vector(vector) if !vector.is_empty()));
        answer
    }
}

#[expect(clippy::print_stdout, reason = "figures are for who runs it")]
/// Prints the median of the process' own time: others may keep the machine busy.
fn told(query: &str, ask: impl Fn() -> Answer) {
    let mut times: Vec<Duration> = (0..9)
        .map(|_| {
            let before = cpu();
            let answer = ask();
            let took = cpu() - before;
            drop(answer);
            took
        })
        .collect();
    times.sort_unstable();
    println!("{:?} CPU (median of 9): {query}", times[4]);
}

/// CPU time of the process so far.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
