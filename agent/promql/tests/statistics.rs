//! What a query costs, in all and step by step, and who is told of its end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{Labels, Sample};
use vedette_promql::script::MemoryStore;
use vedette_promql::{
    Ended, Engine, EngineOptions, EvalError, Origin, PerStep, QueryLog, QueryOptions, QueryStats, parse,
};

/// One series, a sample every 10 seconds through 100.
fn store() -> MemoryStore {
    let store = MemoryStore::new();
    let labels = Labels::from_pairs([("__name__", "m")]);
    for second in (0..=100).step_by(10) {
        store.append(&labels, Sample::new(second * 1_000, second as f64));
    }
    store
}

/// Times in seconds; a step of 0 asks at the start only.
async fn cost(query: &str, (start, end, step): (i64, i64, i64)) -> (QueryStats, PerStep) {
    let engine = Engine::new(EngineOptions { per_step_stats: true, ..EngineOptions::default() });
    let expr = parse(query).expect(query);
    let options = QueryOptions { per_step_stats: true, ..QueryOptions::default() };
    let store = store();
    let answer = if step == 0 {
        engine.instant_with(&store, &expr, start * 1_000, options).await
    } else {
        engine.range_with(&store, &expr, start * 1_000, end * 1_000, step * 1_000, options).await
    };
    let answer = answer.expect(query);
    (answer.stats, answer.per_step.expect("counted step by step"))
}

#[tokio::test]
async fn samples_are_counted_by_step_as_prometheus_counts_them() {
    for (query, times, total, read) in [
        ("1", (100, 100, 0), &[0][..], &[0][..]),
        ("m", (100, 100, 0), &[1], &[11]),
        ("m", (0, 100, 50), &[1, 1, 1], &[1, 5, 5]),
        ("m + m", (0, 100, 50), &[2, 2, 2], &[2, 10, 10]),
        ("m[60s]", (100, 100, 0), &[6], &[6]),
        ("rate(m[60s])", (60, 100, 20), &[6, 6, 6], &[6, 2, 2]),
        ("rate(m[60s] @ 60)", (60, 100, 20), &[6, 6, 6], &[6, 0, 0]),
        ("rate(m[20s] offset 40s)", (60, 100, 20), &[2, 2, 2], &[2, 2, 2]),
        // Below a function its windows count, not what fills them.
        ("sum_over_time(m[60s:30s])", (100, 100, 0), &[2], &[10]),
        ("m[60s:30s]", (100, 100, 0), &[2], &[10]),
        ("gone", (0, 100, 50), &[0, 0, 0], &[0, 0, 0]),
    ] {
        let (stats, by_step) = cost(query, times).await;
        assert_eq!(by_step.total_samples, total, "{query}");
        assert_eq!(stats.total_samples, total.iter().sum::<u64>(), "{query}");
        assert_eq!(by_step.samples_read, read, "{query}");
        assert_eq!(stats.samples_read, read.iter().sum::<u64>(), "{query}");
    }
}

#[tokio::test]
async fn steps_are_counted_only_where_both_want_it() {
    let expr = parse("m").expect("a query");
    for (engine, query) in [(false, true), (true, false)] {
        let options = EngineOptions { per_step_stats: engine, ..EngineOptions::default() };
        let asked = QueryOptions { per_step_stats: query, ..QueryOptions::default() };
        let answer = Engine::new(options).instant_with(&store(), &expr, 0, asked).await.expect("an answer");
        assert_eq!(answer.per_step, None);
    }
}

/// What it was told, a line a query.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl QueryLog for Told {
    fn ended(&self, query: &Ended<'_>) {
        let Ended { expr, origin, start, end, step, stats, error } = query;
        let who = match origin {
            Some(Origin::Http { client, .. }) => client.as_str(),
            Some(Origin::RuleGroup { name, .. }) => name.as_str(),
            None => "nobody",
        };
        let how = error.map_or_else(|| stats.total_samples.to_string(), ToString::to_string);
        let waited = stats.queued.as_secs();
        let took = stats.took.as_secs();
        let line = format!("{expr} {start}-{end}/{step} of {who}: {how}, waited {waited} of {took} s");
        self.0.lock().expect("a lock").push(line);
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_is_told_of_every_end() {
    let told = Arc::new(Told::default());
    let options = EngineOptions { max_samples: 20, max_concurrent: 1, ..EngineOptions::default() };
    let engine = Engine::new(options).logging(Some(told.clone()));
    let store = store();
    let expr = parse("m").expect("a query");
    let rule = Origin::RuleGroup { file: "f".to_owned(), name: "g".to_owned() };
    let by_rule = QueryOptions { origin: Some(Arc::new(rule)), ..QueryOptions::default() };
    engine.instant_with(&store, &expr, 100_000, by_rule).await.expect("an answer");
    let large = parse("m + m + m").expect("a query");
    let failed = engine.range(&store, &large, 0, 100_000, 1_000).await;
    assert!(matches!(failed, Err(EvalError::TooManySamples(_))), "{failed:?}");

    // Somebody has the only slot: others wait until they give up, or until their asker leaves.
    let busy = never::Never::default();
    let mut first = Box::pin(engine.instant(&busy, &expr, 0));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while !busy.is_asked() {
        assert!(first.as_mut().poll(&mut context).is_pending());
    }
    let hurried = QueryOptions { timeout: Some(Duration::from_secs(3)), ..QueryOptions::default() };
    let waited = engine.instant_with(&store, &expr, 0, hurried).await;
    assert!(matches!(waited, Err(EvalError::Timeout("query queue"))), "{waited:?}");
    drop(first);
    assert_eq!(
        *told.0.lock().expect("a lock"),
        [
            "m 100000-100000/0 of g: 1, waited 0 of 0 s",
            "m + m + m 0-100000/1000 of nobody: query processing would load too many samples into memory in query \
             execution, waited 0 of 0 s",
            "m 0-0/0 of nobody: query timed out in query queue, waited 3 of 3 s",
            "m 0-0/0 of nobody: query was canceled in expression evaluation, waited 0 of 3 s",
        ]
    );
}

/// A source that never answers.
mod never {
    use std::sync::atomic::{AtomicBool, Ordering};

    use model::Labels;
    use storage::{BoxFuture, Coverage, LabelQuery, Querier, QueryError, Select, SeriesSet};

    #[derive(Default)]
    pub(super) struct Never(AtomicBool);

    impl Never {
        pub(super) fn is_asked(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Querier for Never {
        fn select(&self, _select: Select) -> BoxFuture<'_, Result<SeriesSet, QueryError>> {
            self.0.store(true, Ordering::SeqCst);
            Box::pin(std::future::pending())
        }

        fn series(&self, _: LabelQuery) -> BoxFuture<'_, Result<(Vec<Labels>, Coverage), QueryError>> {
            Box::pin(std::future::pending())
        }

        fn label_names(&self, _: LabelQuery) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
            Box::pin(std::future::pending())
        }

        fn label_values(
            &self,
            _name: &str,
            _: LabelQuery,
        ) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
            Box::pin(std::future::pending())
        }
    }
}
