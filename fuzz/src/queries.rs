//! Queries as anybody may send them: what is read is printed and read again as the same, and what is evaluated ends
//! within its limits, twice the same.

use std::sync::LazyLock;
use std::time::Duration;

use model::{Labels, Sample};
use promql::script::MemoryStore;
use promql::{Answer, Engine, EngineOptions, EvalError, Expr, Features};
use tokio::runtime::{Builder, Runtime};

use crate::Input;

/// Samples that a query may hold: few, so that each input is done with soon.
const SAMPLES_MAX: usize = 5_000;
/// Seconds between samples, and how many there are of each series.
const STEP: i64 = 15;
const COUNT: i64 = 40;

static STORE: LazyLock<MemoryStore> = LazyLock::new(|| {
    let store = MemoryStore::new();
    for (name, instance) in [("up", "a"), ("up", "b"), ("requests_total", "a"), ("requests_total", "b")] {
        let labels = Labels::from_pairs([("__name__", name), ("instance", instance), ("job", "node")]);
        for at in 0..COUNT {
            let value = if name == "up" { (at % 7 % 2) as f64 } else { (at % 25) as f64 * 1.5 };
            store.append(&labels, Sample::new(at * STEP * 1_000, value));
        }
    }
    for bound in ["0.1", "1", "+Inf"] {
        let labels = Labels::from_pairs([("__name__", "seconds_bucket"), ("le", bound)]);
        (0..COUNT).for_each(|at| store.append(&labels, Sample::new(at * STEP * 1_000, at as f64)));
    }
    store
});

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

fn parse(text: &str) -> Option<Expr> {
    // The whole language, also what has to be switched on.
    Features::ALL.enable();
    promql::parse(text).inspect_err(|error| assert!(!error.to_string().is_empty())).ok()
}

/// Lexer and parser: printing what was read gives a query that reads as the same.
pub(crate) fn language(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = promql::parse_metric_selector(&text);
    let _ = promql::parse_series(&text);
    let _ = promql::script::parse_series_line(&text);
    let Some(expr) = parse(&text) else { return };
    let printed = expr.to_string();
    for (how, written) in [("printed", printed.clone()), ("formatted", expr.pretty())] {
        // Redundant words make what is printed longer than what may be read.
        if written.len() > promql::QUERY_BYTES_MAX {
            continue;
        }
        match promql::parse(&written) {
            Ok(again) => assert_eq!(again.to_string(), printed, "{text:?} {how} as {written:?}"),
            Err(error) => panic!("{text:?} {how} as {written:?}, which is none: {error}"),
        }
    }
}

/// Evaluator: the first bytes say for what times, the rest is the query.
pub(crate) fn evaluation(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (kind, start, step, steps) = (input.byte(), input.short(), input.byte(), input.byte());
    let text = String::from_utf8_lossy(input.0);
    let Some(expr) = parse(&text) else { return };
    let options = EngineOptions {
        max_samples: SAMPLES_MAX,
        timeout: Duration::from_secs(60),
        delayed_name_removal: kind & 2 != 0,
        per_step_stats: kind & 4 != 0,
        ..EngineOptions::default()
    };
    let engine = Engine::new(options);
    let start = i64::from(start) * 100;
    let step = i64::from(step) * 500 + 1;
    let end = start + step * i64::from(steps);
    let ask = || {
        RUNTIME.block_on(async {
            if kind & 1 == 0 {
                engine.instant(&*STORE, &expr, start).await
            } else {
                engine.range(&*STORE, &expr, start, end, step).await
            }
        })
    };
    assert_eq!(told(ask()), told(ask()), "{text:?}");
}

fn told(answer: Result<Answer, EvalError>) -> String {
    match answer {
        Ok(answer) => {
            assert!(answer.stats.peak_samples <= SAMPLES_MAX as u64);
            format!("{:?} {:?} {:?}", answer.value, answer.histograms, answer.warnings)
        }
        Err(error) => error.to_string(),
    }
}

/// Queries that use what the language has.
const SEEDS: [&str; 24] = [
    "up",
    "up{instance=\"a\",job=~\"n.*\"} offset 1m @ 300",
    "{\"up\", instance!~'b|c'}",
    "sum by (job) (rate(requests_total[5m]))",
    "topk(2, requests_total) / on (instance) group_left (job) up",
    "histogram_quantile(0.9, sum by (le) (rate(seconds_bucket[2m])))",
    "max_over_time(deriv(requests_total[1m])[5m:30s] @ end() offset -1m)",
    "label_replace(up, \"x\", \"$1-${2}\", \"instance\", \"(.*)(.?)\")",
    "count_values without (job) (\"value\", up) > bool 1",
    "-1 ^ 2 * 3 % 4 atan2 5 - +1e3 or vector(0x1F)",
    "quantile(0.5, up) unless absent(gone{a=\"b\"})",
    "increase(requests_total[step() * 2 + 1m] anchored) and up",
    "rate(requests_total[5m] smoothed)",
    "up + on () fill_left (0) group_right () up",
    "sort_by_label(up, \"instance\")",
    "avg(up) by (job) # a comment\n",
    "limitk(1, up) or limit_ratio(-0.5, up)",
    "1h30m + 5",
    "\"a\\nb\\u00e9\\x41\"",
    "`raw \\ text`",
    "predict_linear(requests_total[10m], 3600) < Inf",
    "info(up, {version=~\".+\"})",
    "changes(up[1m])-resets(up[1m]) == NaN",
    "clamp(round(ln(requests_total), 0.1), 0, 10) != 3",
];

pub(crate) fn language_seeds() -> Vec<Vec<u8>> {
    SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}

pub(crate) fn evaluation_seeds() -> Vec<Vec<u8>> {
    let head = |kind: u8| [kind, 0x88, 0x13, 30, 9];
    let mut seeds = Vec::new();
    for (at, seed) in (0..).zip(SEEDS) {
        seeds.push([&head(at % 8)[..], seed.as_bytes()].concat());
    }
    seeds
}
