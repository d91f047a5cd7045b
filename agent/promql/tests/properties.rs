//! The parser and the evaluator against naive models.

use model::{Labels, Sample};
use proptest::prelude::*;
use vedette_promql::script::{MemoryStore, parse_series_line, run_script};
use vedette_promql::{
    Answer, Engine, EngineOptions, EvalError, Expr, Features, ParseError, Value, parse_metric_selector,
    parse_with,
};

fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_with(query, Features::ALL)
}

/// The tree without its places in the text.
fn shape(query: &str) -> String {
    let tree = format!("{:?}", parse(query).expect(query));
    let mut out = String::new();
    let mut rest = tree.as_str();
    while let Some(at) = rest.find("PosRange {") {
        out.push_str(&rest[..at]);
        let end = rest[at..].find('}').expect("closed");
        rest = &rest[at + end + 1..];
    }
    sorted_matchers(&(out + rest))
}

/// The tree with its matchers in the order in which they are printed.
fn sorted_matchers(tree: &str) -> String {
    let mut parts = tree.split("matchers: [");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (list, rest) = part.split_once("], offset_ms").expect("a list");
        let mut matchers: Vec<&str> = list.split(", ").collect();
        matchers.sort_unstable();
        out.push_str(&format!("matchers: [{}], offset_ms{rest}", matchers.join(", ")));
    }
    out
}

/// Printing a query and reading it again gives the same tree and the same text.
fn round_trip(query: &str) {
    let printed = parse(query).expect(query).to_string();
    assert_eq!(shape(query), shape(&printed), "{query} prints as {printed}");
    assert_eq!(parse(&printed).expect(&printed).to_string(), printed);
}

/// Queries that type-check, built from the inside out.
fn vectors() -> impl Strategy<Value = String> {
    let selector = prop_oneof![
        Just("up".to_owned()),
        Just("a:b{x=\"1\",y!=\"\",z=~\"p|q\",w!~\".*\"}".to_owned()),
        Just("{\"odd name\", 'k k'=\"é\\n\"}".to_owned()),
        Just("sum offset -5m".to_owned()),
        Just("up @ 12.5 offset 1h30m".to_owned()),
        Just("rate(up[5m] @ start())".to_owned()),
        Just("rate(up[5m + step() * -2 ^ (1h / 3)] anchored @ 1 offset -(min_of(range(), 2)))".to_owned()),
        Just("up smoothed offset step()".to_owned()),
        Just("info(up, {a='b'})".to_owned()),
    ];
    selector.prop_recursive(4, 24, 3, |inner| {
        let op = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "^", "atan2", "==", "> bool", "<=", "</", ">/",
        ]);
        let set = prop::sample::select(vec!["and", "or", "unless"]);
        let matching = prop::sample::select(vec![
            "",
            "on (a)",
            "ignoring (a, b) group_left (c)",
            "on () group_right ()",
            "fill (1)",
            "on (a) group_left (b) fill_right (-Inf) fill_left (2.5)",
        ]);
        let call =
            prop::sample::select(vec!["abs", "sum", "sum by (a, \"b c\") ", "topk without () ", "ceil"]);
        prop_oneof![
            (inner.clone(), op, matching, inner.clone())
                .prop_map(|(a, op, on, b)| format!("{a} {op} {on} {b}")),
            (inner.clone(), set, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (call, inner.clone()).prop_map(|(call, a)| {
                if call.starts_with("topk") { format!("{call}(2, {a})") } else { format!("{call}({a})") }
            }),
            inner.clone().prop_map(|a| format!("-({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("max_over_time(({a})[1h:5m] offset 1m)")),
            inner.prop_map(|a| format!("label_replace({a}, 'x', \"$1\\\"\", `y`, \"(.*)\")")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printing_is_undone_by_reading(query in vectors()) {
        round_trip(&query);
    }

    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _ = parse(&text);
        let _ = parse_metric_selector(&text);
        let _ = parse_series_line(&text);
        let _ = run_script("random", &text);
    }

    #[test]
    fn no_mix_of_tokens_panics(tokens in prop::collection::vec(prop::sample::select(vec![
        "up", "sum", "by", "(", ")", "{", "}", "[", "]", "5m", ":", "@", "offset", "-", "+", "^", "1", "\"a\"", ",",
        "=", "=~", "and", "on", "group_left", "bool", "==", "start", "rate", "inf", "without", "#", "\n", "`", "é",
    ]), 0..24)) {
        for glue in ["", " "] {
            let text = tokens.join(glue);
            if let Ok(expr) = parse(&text) {
                round_trip(&text);
                let _ = ask(&MemoryStore::new(), &expr.to_string(), 0);
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn ask(store: &MemoryStore, query: &str, time: i64) -> Result<Answer, EvalError> {
    let engine = Engine::new(EngineOptions::default());
    let expr = parse(query).expect(query);
    runtime().block_on(engine.instant(store, &expr, time))
}

/// The only value that a query gives.
fn value(store: &MemoryStore, query: &str, time: i64) -> Option<f64> {
    match ask(store, query, time).expect(query).value {
        Value::Vector(samples) => samples.first().map(|sample| sample.value),
        other => panic!("{query} gave {other:?}"),
    }
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-9 * (a.abs() + b.abs()).max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn sums_and_means_are_those_of_arithmetic(values in prop::collection::vec(-1e6..1e6f64, 1..20)) {
        let store = MemoryStore::new();
        for (at, value) in values.iter().enumerate() {
            let labels = Labels::from_pairs([("__name__", "m".to_owned()), ("i", at.to_string())]);
            store.append(&labels, Sample::new(1000, *value));
        }
        let sum: f64 = values.iter().sum();
        let mean = sum / values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        for (query, wanted) in [
            ("sum(m)", sum),
            ("avg(m)", mean),
            ("count(m)", values.len() as f64),
            ("min(m)", values.iter().copied().fold(f64::INFINITY, f64::min)),
            ("max(m)", values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        ] {
            let got = value(&store, query, 1000).expect(query);
            prop_assert!(close(got, wanted), "{} gave {}, not {}", query, got, wanted);
        }
        let variance = value(&store, "stdvar(m)", 1000).expect("a value");
        prop_assert!((variance - squares / values.len() as f64).abs() <= 1e-6 * (1.0 + variance.abs()));
    }

    /// Samples in the middle of the window, gaps at both ends: the written definition, step by step.
    #[test]
    fn rates_follow_the_definition(
        gaps in prop::collection::vec((1..40_000i64, 0..1000i64), 2..30),
        before in 0..60_000i64,
        after in 0..60_000i64,
    ) {
        let store = MemoryStore::new();
        let labels = Labels::from_pairs([("__name__", "m_total")]);
        let (mut time, mut samples) = (1_000_000, Vec::new());
        for (gap, value) in gaps {
            time += gap;
            samples.push((time, value as f64));
            store.append(&labels, Sample::new(time, value as f64));
        }
        let (first, last) = (samples[0], samples[samples.len() - 1]);
        let (start, end) = (first.0 - before - 1, last.0 + after);
        let query = format!("increase(m_total[{}ms])", end - start);
        let got = value(&store, &query, end).expect("two samples");

        let mut increase = 0.0;
        for pair in samples.windows(2) {
            increase += if pair[1].1 < pair[0].1 { pair[1].1 } else { pair[1].1 - pair[0].1 };
        }
        let seconds = |millis: i64| millis as f64 / 1000.0;
        let covered = seconds(last.0 - first.0);
        let gap = covered / (samples.len() - 1) as f64;
        let side = |distance: f64| if distance < 1.1 * gap { distance } else { gap / 2.0 };
        let mut left = side(seconds(first.0 - start));
        if increase > 0.0 {
            left = left.min(covered * first.1 / increase);
        }
        let wanted = increase * (covered + left + side(seconds(end - last.0))) / covered;
        prop_assert!(close(got, wanted), "{} gave {}, not {}", query, got, wanted);
    }

    /// A window holds what is after its start and through its end.
    #[test]
    fn windows_are_open_on_the_left(
        times in prop::collection::btree_set(0..200i64, 1..50),
        end in 0..250i64,
        range in 1..100i64,
    ) {
        let store = MemoryStore::new();
        for time in &times {
            store.append(&Labels::from_pairs([("__name__", "m")]), Sample::new(*time, 1.0));
        }
        let inside = times.iter().filter(|time| **time > end - range && **time <= end).count();
        let got = value(&store, &format!("count_over_time(m[{range}ms])"), end);
        prop_assert_eq!(got, (inside > 0).then_some(inside as f64));
    }
}

#[test]
fn limits_end_a_query_with_an_error() {
    let store = MemoryStore::new();
    for at in 0..100 {
        store.append(
            &Labels::from_pairs([("__name__", "m".to_owned()), ("i", at.to_string())]),
            Sample::new(0, 1.0),
        );
    }
    let engine = Engine::new(EngineOptions { max_samples: 50, ..EngineOptions::default() });
    let ask = |query: &str| runtime().block_on(engine.instant(&store, &parse(query).expect(query), 0));
    for query in ["sum(m)", "vector(1)[1y:1ms]", "count_over_time(m[5m])"] {
        let error = ask(query).expect_err(query).to_string();
        assert_eq!(error, "query processing would load too many samples into memory in query execution");
    }
    assert!(ask("m{i=\"1\"}").is_ok());

    let patient =
        Engine::new(EngineOptions { timeout: std::time::Duration::ZERO, ..EngineOptions::default() });
    let slow = parse("sum_over_time(vector(1)[1d:100ms])").expect("a query");
    let error = runtime().block_on(patient.instant(&store, &slow, 0)).expect_err("too slow").to_string();
    assert_eq!(error, "query timed out in expression evaluation");
}

#[test]
fn a_closed_engine_cancels() {
    let (store, engine) = (MemoryStore::new(), Engine::new(EngineOptions::default()));
    engine.close();
    let answer = runtime().block_on(engine.instant(&store, &parse("1").expect("a query"), 0));
    assert_eq!(answer.expect_err("closed").to_string(), "query was canceled in query queue");
}

/// What a worker's stack of 2 MiB has to hold.
#[test]
fn the_deepest_query_runs_on_a_small_stack() {
    let (mut query, mut levels) = (String::new(), 0);
    let mut next = "vector(1)".to_owned();
    while parse(&next).is_ok() {
        query = next;
        next = match levels % 3 {
            0 => format!("abs({query} + 0)"),
            1 => format!("sum(-(({query})))"),
            _ => format!("max_over_time({query}[1m:1m])"),
        };
        levels += 1;
    }
    assert!(levels > 30);
    let run = move || ask(&MemoryStore::new(), &query, 0).map(|answer| answer.value);
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run).expect("a thread");
    assert!(
        matches!(thread.join().expect("no overflow").expect("a value"), Value::Vector(samples) if samples.len() == 1)
    );
}

#[test]
fn deep_and_long_queries_are_refused_or_run_but_never_overflow() {
    let nested = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(parse(&nested).is_err());
    let chain = vec!["1"; 2000].join(" + ");
    let store = MemoryStore::new();
    assert!(
        matches!(ask(&store, &chain, 0).expect("a sum").value, Value::Scalar(sample) if sample.value == 2000.0)
    );
    assert_eq!(parse(&chain).expect("a sum").to_string(), chain);
    assert!(parse(&vec!["a"; 4000].join(" or ")).is_err());
    assert!(parse(&"-".repeat(5000)).is_err());
    assert!(parse(&"^1".repeat(3000)[1..]).is_err());
}
