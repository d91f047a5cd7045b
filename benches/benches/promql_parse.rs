//! Text of a query to its tree.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

const SIMPLE: &str = r#"up{job="node"} == 0"#;
const COMPLEX: &str = r#"
    histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket{job=~"api|web", code!~"5.."}[5m] offset 1h)))
      > on (job) group_left (team)
    (1.5 * avg_over_time(job:latency:p99{env="prod"}[1d:5m]) + ignoring (le) max without (instance) (slo_seconds))
    unless on (job) (ALERTS{alertname="Maintenance", alertstate="firing"} == 1)
"#;

fn main() {
    divan::main();
}

#[divan::bench]
fn simple(bencher: Bencher<'_, '_>) {
    parse(bencher, SIMPLE);
}

#[divan::bench]
fn complex(bencher: Bencher<'_, '_>) {
    parse(bencher, COMPLEX);
}

fn parse(bencher: Bencher<'_, '_>, query: &'static str) {
    bencher
        .counter(ItemsCount::new(1_usize))
        .counter(BytesCount::of_str(query))
        .bench(|| promql::parse(divan::black_box(query)).expect("a valid query"));
}
