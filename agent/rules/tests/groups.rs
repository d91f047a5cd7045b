//! Groups over a store in memory.

mod memory;

use std::sync::Arc;
use std::time::Duration;

use env::{SimulatedClock, SystemClock, Tasks};
use memory::Memory;
use model::{Labels, NameValidation};
use parking_lot::Mutex;
use promql::{Engine, EngineOptions};
use vedette_rules::{
    Alert, AlertSink, AlertState, GroupParts, GroupRunner, GroupSettings, Holder, Missing, NeverHold,
    Publisher, Rule, RuleGroup, RuleHealth, RuleManager, RuleParts, RulesConfig, RulesOptions,
    StorePublisher,
};

const MINUTE: i64 = 60_000;

#[derive(Default)]
struct Sent(Mutex<Vec<Alert>>);

impl AlertSink for Sent {
    fn send(&self, alerts: Vec<Alert>) {
        self.0.lock().extend(alerts);
    }
}

fn record(name: &str, expr: &str) -> RuleParts {
    RuleParts { record: name.to_owned(), expr: expr.to_owned(), ..RuleParts::default() }
}

fn alert(name: &str, expr: &str, hold_minutes: u64) -> RuleParts {
    let hold_for = Some(Duration::from_secs(hold_minutes * 60));
    RuleParts { alert: name.to_owned(), expr: expr.to_owned(), hold_for, ..RuleParts::default() }
}

fn group(rules: Vec<RuleParts>) -> RuleGroup {
    let checked = |parts| Rule::new(parts, &Labels::empty(), NameValidation::Utf8).expect("a rule");
    RuleGroup {
        file: "rules.yml".to_owned(),
        name: "g".to_owned(),
        interval: None,
        limit: 0,
        query_offset: None,
        labels: Labels::empty(),
        rules: rules.into_iter().map(checked).collect(),
    }
}

fn settings(restore: bool) -> GroupSettings {
    GroupSettings {
        interval: Duration::from_secs(60),
        query_offset: Duration::ZERO,
        external_labels: Labels::from_pairs([("site", "x")]),
        external_url: "http://host:9090/p".to_owned(),
        resend_delay: Duration::from_secs(60),
        outage_tolerance: Duration::from_secs(3600),
        for_grace_period: Duration::from_secs(600),
        hold_max: Duration::from_secs(3600),
        restore,
    }
}

fn runner(store: &Arc<Memory>, rules: Vec<RuleParts>, restore: bool) -> GroupRunner {
    let parts = GroupParts {
        engine: Arc::new(Engine::new(EngineOptions::default())),
        querier: store.clone(),
        clock: SystemClock::shared(),
        holder: Arc::new(NeverHold),
    };
    GroupRunner::new(group(rules), settings(restore), parts)
}

async fn run(runner: &GroupRunner, publisher: &StorePublisher, at_ms: i64) {
    let (evaluation, _) = runner.evaluate_at(at_ms).await;
    let published = publisher.publish(runner.key(), evaluation).await;
    assert_eq!(published.failed, []);
}

#[tokio::test]
async fn later_rules_see_earlier_ones_and_vanished_series_end() {
    let store = Memory::shared();
    let publisher = StorePublisher::new(store.clone(), Arc::new(Sent::default()));
    let group = runner(&store, vec![record("a:x", "x * 2"), record("b:x", "sum(a:x)")], false);
    store.put(&[("__name__", "x"), ("i", "1")], 0, 1.0);
    store.put(&[("__name__", "x"), ("i", "2")], 0, 2.0);
    run(&group, &publisher, 0).await;
    assert_eq!(store.at(&[("__name__", "a:x"), ("i", "2")], 0), Some(Some(4.0)));
    assert_eq!(store.at(&[("__name__", "b:x")], 0), Some(Some(6.0)), "the same evaluation's value");
    store.put(&[("__name__", "x"), ("i", "2")], MINUTE, model::stale_nan());
    run(&group, &publisher, MINUTE).await;
    assert_eq!(store.at(&[("__name__", "a:x"), ("i", "2")], MINUTE), Some(None), "a stale marker");
    assert_eq!(store.at(&[("__name__", "b:x")], MINUTE), Some(Some(2.0)));
    run(&group, &publisher, 2 * MINUTE).await;
    assert_eq!(store.at(&[("__name__", "a:x"), ("i", "2")], 2 * MINUTE), None, "told once");
}

#[tokio::test]
async fn alerts_are_written_sent_and_explained() {
    let store = Memory::shared();
    let sink = Arc::new(Sent::default());
    let publisher = StorePublisher::new(store.clone(), sink.clone());
    let mut parts = alert("Down", "x == 0", 1);
    parts.labels = vec![("severity".to_owned(), "page".to_owned())];
    let text = "{{ $labels.i }} is {{ $value }} at {{ $externalLabels.site }}, all {{ with query \"sum(x)\" }}{{ . | first | value }}{{ end }}";
    parts.annotations =
        vec![("summary".to_owned(), text.to_owned()), ("bad".to_owned(), "{{ $labels.i.j }}".to_owned())];
    let group = runner(&store, vec![parts], false);
    store.put(&[("__name__", "x"), ("i", "a")], 0, 0.0);
    store.put(&[("__name__", "x"), ("i", "b")], 0, 7.0);
    run(&group, &publisher, 0).await;
    assert!(sink.0.lock().is_empty(), "pending");
    run(&group, &publisher, MINUTE).await;
    let sent = sink.0.lock().clone();
    let [alert] = sent.as_slice() else { panic!("one alert: {sent:?}") };
    assert_eq!(alert.labels, Labels::from_pairs([("alertname", "Down"), ("i", "a"), ("severity", "page")]));
    assert_eq!(alert.annotations.get("summary"), Some("a is 0 at x, all 7"));
    assert!(
        alert.annotations.value("bad").starts_with(
            "<error expanding template: error executing template __alert_Down: template: __alert_Down:1:"
        ),
        "{}",
        alert.annotations
    );
    assert_eq!(alert.generator_url, "http://host:9090/p/graph?g0.expr=x+%3D%3D+0&g0.tab=1");
    assert_eq!((alert.starts_at_ms, alert.ends_at_ms), (MINUTE, 5 * MINUTE));
    assert_eq!(
        store.names_at(MINUTE),
        [
            r#"ALERTS{alertname="Down", alertstate="firing", i="a", severity="page"}"#,
            r#"ALERTS_FOR_STATE{alertname="Down", i="a", severity="page"}"#,
        ]
    );
    let pending = [
        ("__name__", "ALERTS"),
        ("alertname", "Down"),
        ("alertstate", "pending"),
        ("i", "a"),
        ("severity", "page"),
    ];
    assert_eq!(store.at(&pending, MINUTE), Some(None), "no longer pending");
    let status = group.status();
    assert_eq!(
        (status.rules[0].shown_state(), status.rules[0].status.health),
        (AlertState::Firing, RuleHealth::Ok)
    );
}

/// Series name their source in the label `from`; until minute 3 nothing that is missing is over.
struct From;

impl Holder for From {
    fn hold(&self, missing: &Missing<'_>) -> bool {
        assert_eq!(missing.sources.iter().collect::<Vec<_>>(), ["a", "b"], "at the last true evaluation");
        missing.at_ms < 3 * MINUTE
    }

    fn has_sources(&self) -> bool {
        true
    }

    fn source<'a>(&self, series: &'a Labels) -> Option<&'a str> {
        series.get("from")
    }
}

#[tokio::test]
async fn an_alert_knows_whose_series_made_it_true() {
    let store = Memory::shared();
    let publisher = StorePublisher::new(store.clone(), Arc::new(Sent::default()));
    let parts = GroupParts {
        engine: Arc::new(Engine::new(EngineOptions::default())),
        querier: store.clone(),
        clock: SystemClock::shared(),
        holder: Arc::new(From),
    };
    // The first rule reads another source than the second.
    let rules = vec![record("y:sum", "sum(y)"), alert("Sum", "sum(x) > 2", 0)];
    let group = GroupRunner::new(group(rules), settings(false), parts);
    store.put(&[("__name__", "y"), ("from", "c")], 0, 1.0);
    store.put(&[("__name__", "x"), ("from", "a")], 0, 1.0);
    store.put(&[("__name__", "x"), ("from", "b")], 0, 2.0);
    let mut active = Vec::new();
    for minute in 0..4 {
        if minute == 1 {
            store.put(&[("__name__", "x"), ("from", "b")], MINUTE, model::stale_nan());
        }
        run(&group, &publisher, minute * MINUTE).await;
        active.push(group.status().rules[1].alerts.len());
    }
    assert_eq!(active, [1, 1, 1, 0]);
}

/// After a restart at minute 30, when the alert had been active for `before` minutes at minute 20: since
/// when it counts as active, in minutes.
async fn restored(hold_minutes: u64, before: i64) -> i64 {
    let store = Memory::shared();
    let publisher = StorePublisher::new(store.clone(), Arc::new(Sent::default()));
    #[allow(clippy::cast_precision_loss, reason = "small")]
    let since = ((20 - before) * 60) as f64;
    store.put(&[("__name__", "ALERTS_FOR_STATE"), ("alertname", "A"), ("i", "a")], 20 * MINUTE, since);
    let group = runner(&store, vec![alert("A", "x == 0", hold_minutes)], true);
    for minute in [29, 30] {
        store.put(&[("__name__", "x"), ("i", "a")], minute * MINUTE, 0.0);
        run(&group, &publisher, minute * MINUTE).await;
        assert!(
            store.names_at(minute * MINUTE).iter().all(|name| !name.starts_with("ALERTS{")),
            "not before the restore"
        );
    }
    group.status().rules[0].alerts[0].active_at_ms / MINUTE
}

#[tokio::test]
async fn a_restart_does_not_forget_how_long_an_alert_was_active() {
    for (hold, before, active_since) in [
        // It was firing.
        (15, 18, 2),
        // It waits on; the outage of ten minutes does not count.
        (30, 15, 15),
        // Less than the grace period was left.
        (15, 10, 25),
        // A short `for` starts again, unless it was firing.
        (5, 3, 29),
        (5, 8, 12),
    ] {
        assert_eq!(restored(hold, before).await, active_since, "for {hold}, active for {before}");
    }
}

#[tokio::test]
async fn a_changed_group_keeps_its_alerts_and_ends_what_is_gone() {
    let store = Memory::shared();
    let publisher = StorePublisher::new(store.clone(), Arc::new(Sent::default()));
    store.put(&[("__name__", "x"), ("i", "a")], 0, 0.0);
    let old = runner(&store, vec![alert("A", "x == 0", 0), record("gone", "x")], false);
    run(&old, &publisher, 0).await;
    let new = runner(&store, vec![record("new", "x"), alert("A", "x == 0", 0)], false);
    new.inherit(&old).await;
    run(&new, &publisher, MINUTE).await;
    assert_eq!(new.status().rules[1].alerts[0].active_at_ms, 0);
    assert_eq!(store.at(&[("__name__", "gone"), ("i", "a")], MINUTE), Some(None));
    let evaluation = new.retire(2 * MINUTE).await;
    publisher.publish(new.key(), evaluation).await;
    assert_eq!(store.at(&[("__name__", "new"), ("i", "a")], 2 * MINUTE), Some(None));
}

#[tokio::test]
async fn a_rule_that_fails_says_why_and_the_next_goes_on() {
    let store = Memory::shared();
    let publisher = StorePublisher::new(store.clone(), Arc::new(Sent::default()));
    store.put(&[("__name__", "x"), ("i", "a")], 0, 1.0);
    store.put(&[("__name__", "y"), ("i", "a")], 0, 1.0);
    let group = runner(
        &store,
        vec![
            record("bad", "label_replace({__name__=~\"x|y\"}, \"i\", \"z\", \"\", \"\")"),
            record("good", "x"),
        ],
        false,
    );
    run(&group, &publisher, 0).await;
    let status = group.status();
    assert_eq!(status.rules[0].status.health, RuleHealth::Err);
    assert!(status.rules[0].status.last_error.contains("labelset"), "{}", status.rules[0].status.last_error);
    assert_eq!(store.at(&[("__name__", "good"), ("i", "a")], 0), Some(Some(1.0)));
}

#[tokio::test]
async fn the_grid_is_fixed_by_the_groups_name() {
    let group = runner(&Memory::shared(), vec![record("a", "1")], false);
    let first = group.next_time(1_700_000_000_000);
    assert!(first > 1_700_000_000_000 && first <= 1_700_000_060_000);
    assert_eq!((group.next_time(first - 1), group.next_time(first)), (first, first + MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_manager_runs_groups_and_leaves_unchanged_ones_alone() {
    let store = Memory::shared();
    let clock = SimulatedClock::at(1_700_000_000_000);
    let tasks = Tasks::new();
    let manager = RuleManager::new(
        RulesOptions::default(),
        Arc::new(Engine::new(EngineOptions::default())),
        store.clone(),
        store.clone(),
        Arc::new(Sent::default()),
        clock.clone(),
        tasks.clone(),
        &telemetry::Registry::new(),
    );
    let config = |rules| RulesConfig {
        groups: vec![group(rules)],
        evaluation_interval: Duration::from_secs(60),
        query_offset: Duration::ZERO,
        external_labels: Labels::empty(),
    };
    manager.apply(config(vec![record("a", "1")])).await;
    let evaluated = || manager.groups()[0].last_evaluation_ms;
    assert_eq!(evaluated(), None);
    for _ in 0..40 {
        clock.advance(Duration::from_secs(5));
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let first = evaluated().expect("evaluated");
    assert_eq!(store.at(&[("__name__", "a")], first), Some(Some(1.0)));
    manager.apply(config(vec![record("a", "1")])).await;
    assert_eq!(evaluated(), Some(first), "an unchanged group keeps its state");
    tasks.shutdown(Duration::from_secs(5)).await.expect("it stops");
}

#[tokio::test]
async fn a_rule_records_native_histograms_and_later_rules_see_them() {
    let source = Arc::new(promql::script::MemoryStore::new());
    source.load(MINUTE, "h{i=\"1\"} {{schema:0 count:4 sum:6 buckets:[1 3]}} stale").expect("a line");
    let parts = GroupParts {
        engine: Arc::new(Engine::new(EngineOptions::default())),
        querier: source,
        clock: SystemClock::shared(),
        holder: Arc::new(NeverHold),
    };
    let rules = vec![record("a:h", "h * 2"), record("b:n", "histogram_count(a:h)"), alert("H", "a:h", 0)];
    let group = GroupRunner::new(group(rules), settings(false), parts);
    let (evaluation, counts) = group.evaluate_at(0).await;
    assert_eq!(counts.failed, 0);
    let [(labels, histogram)] = &evaluation.rules[0].histograms[..] else { panic!("one histogram") };
    assert_eq!(labels.to_string(), "a:h{i=\"1\"}");
    assert_eq!(histogram.to_float().count, 8.0);
    assert_eq!(evaluation.rules[1].samples.len(), 1);
    assert_eq!(evaluation.rules[2].alerts.len(), 1, "a histogram is an element too");

    let store = Memory::shared();
    let publisher = StorePublisher::new(store.clone(), Arc::new(Sent::default()));
    let published = publisher.publish(group.key(), evaluation).await;
    assert_eq!(published.failed, []);
    assert!(store.names_at(0).contains(&"a:h{i=\"1\"}".to_owned()));
    run(&group, &publisher, MINUTE).await;
    assert_eq!(store.at(&[("__name__", "a:h"), ("i", "1")], MINUTE), Some(None), "the series ends");
    assert_eq!(store.at(&[("__name__", "b:n"), ("i", "1")], MINUTE), Some(None));
}
