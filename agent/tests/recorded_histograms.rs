//! A rule's native histograms in the real store: written, read, ended, and there again after a start.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{SeededRandom, SimulatedClock, SystemClock};
use model::{AnyHistogram, FloatHistogram, Labels, METRIC_NAME, MatchOp, Matcher, Metadata, NameValidation};
use promql::{Engine, EngineOptions};
use rules::{
    Alert, AlertSink, GroupParts, GroupRunner, GroupSettings, NeverHold, Publisher as _, Rule, RuleGroup,
    RuleParts, StorePublisher,
};
use storage::{HistogramColumns, HistogramSeries, Querier as _, Select, TimeRange};
use tsdb::{Store, StoreOptions};

/// Start of a window of two hours.
const T0: i64 = 1_699_999_200_000;
const MINUTE: i64 = 60_000;

struct Nobody;

impl AlertSink for Nobody {
    fn send(&self, _alerts: Vec<Alert>) {}
}

fn open(dir: &Path, seed: u64) -> Arc<Store> {
    let clock = SimulatedClock::at(T0 + 10 * MINUTE);
    Store::open(StoreOptions::new(dir, "n"), clock, SeededRandom::shared(seed), &telemetry::Registry::new())
        .expect("opens")
}

fn group() -> RuleGroup {
    let parts = RuleParts { record: "a:h".to_owned(), expr: "h * 2".to_owned(), ..RuleParts::default() };
    RuleGroup {
        file: "rules.yml".to_owned(),
        name: "g".to_owned(),
        interval: None,
        limit: 0,
        query_offset: None,
        labels: Labels::empty(),
        rules: vec![Rule::new(parts, &Labels::empty(), NameValidation::Utf8).expect("a rule")],
    }
}

fn settings() -> GroupSettings {
    let span = Duration::from_secs(60);
    GroupSettings {
        interval: span,
        query_offset: Duration::ZERO,
        external_labels: Labels::empty(),
        external_url: String::new(),
        resend_delay: span,
        outage_tolerance: span,
        for_grace_period: span,
        hold_max: span,
        restore: false,
    }
}

async fn recorded(store: &Store) -> Vec<HistogramSeries> {
    let matcher = Matcher::new(METRIC_NAME, MatchOp::Equal, "a:h").expect("a matcher");
    let select = Select { matchers: vec![matcher], range: TimeRange::ALL, samples_max: 100 };
    let set = store.select(select).await.expect("an answer");
    assert!(set.series.is_empty(), "no numbers, not even at the end");
    set.histograms
}

#[tokio::test]
async fn what_a_rule_records_is_there_as_histograms() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path(), 1);
    let labels = Labels::from_pairs([(METRIC_NAME, "h"), ("i", "1")]);
    let mut columns = HistogramColumns::new(Labels::empty(), labels, Metadata::default());
    let one = FloatHistogram::from_notation("{{schema:0 count:4 sum:6 buckets:[1 3]}}").expect("a histogram");
    let parts = GroupParts {
        engine: Arc::new(Engine::new(EngineOptions::default())),
        querier: store.clone(),
        clock: SystemClock::shared(),
        holder: Arc::new(NeverHold),
    };
    let runner = GroupRunner::new(group(), settings(), parts);
    let publisher = StorePublisher::new(store.clone(), Arc::new(Nobody));
    for (minute, histogram) in [(1, one.clone()), (2, one.clone()), (3, FloatHistogram::stale())] {
        let at = T0 + minute * MINUTE;
        columns.append(&*store, at, &AnyHistogram::Float(histogram)).expect("appends");
        let (evaluation, counts) = runner.evaluate_at(at).await;
        assert_eq!(counts.failed, 0);
        assert_eq!(publisher.publish(runner.key(), evaluation).await.failed, []);
    }
    let check = |found: Vec<HistogramSeries>| {
        let [series] = &found[..] else { panic!("one series: {found:?}") };
        assert_eq!(series.labels.to_string(), "a:h{i=\"1\"}");
        let counts: Vec<Option<f64>> = series
            .samples
            .iter()
            .map(|sample| (!sample.histogram.is_stale()).then(|| sample.histogram.to_float().count))
            .collect();
        assert_eq!(counts, [Some(8.0), Some(8.0), None]);
    };
    check(recorded(&store).await);
    drop((runner, publisher));
    store.close().expect("closes");
    drop(store);
    check(recorded(&open(dir.path(), 2)).await);
}
