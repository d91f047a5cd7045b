//! The store as its users see it: appending, restarting, older windows, retention, a second process.

mod common;

use std::time::Duration;

use common::*;
use env::SimulatedClock;
use model::{Labels, MatchOp, Matcher};
use storage::{
    AppendError, Appender, Cell, FrameSink, FrameSource, Gap, IntervalSet, LabelQuery, Querier, QueryError,
    Receipt, Row, Select, TimeRange,
};
use vedette_tsdb::OpenError;

#[test]
fn rows_are_there_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    let layout_ref = store.layout(layout("a", 3)).expect("layout");
    let mut last = None;
    for at in 0..200i64 {
        clock.advance(Duration::from_secs(15));
        let cells =
            [value(at as f64), value(0.1 * at as f64), if at % 3 == 0 { Cell::Stale } else { Cell::Absent }];
        last = Some(append(&store, &layout_ref, T0 + at * 15_000, &cells).commit);
    }
    let before = everything(&store);
    assert_eq!(before.values().map(Vec::len).sum::<usize>(), 200 + 200 + 67);
    let mut commit = last.expect("a row");
    wait(commit.durable()).expect("durable");
    // A crash: the files as they are.
    let crashed = tempfile::tempdir().expect("dir");
    copy_dir(dir.path(), crashed.path());
    let own = store.own_stream().id;
    let again = open(crashed.path(), "n", &clock, 2);
    assert_eq!(everything(&again), before);
    assert_ne!(again.own_stream().id.epoch, own.epoch);
    assert_eq!(again.held(&own), store.held(&own));
    assert_eq!(again.durable(&own), again.received(&own));
    store.close().expect("closes");
    assert!(matches!(
        Appender::append(&*store, Row { layout: &layout_ref, timestamp: T0, cells: &[] }),
        Err(AppendError::Unavailable(_))
    ));
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let _store = open(dir.path(), "n", &clock, 1);
    let again = vedette_tsdb::Store::open(
        options(dir.path(), "n"),
        clock,
        env::SeededRandom::shared(2),
        &telemetry::Registry::new(),
    );
    assert!(matches!(again, Err(OpenError::Locked(_))));
}

#[test]
fn samples_are_judged_as_prometheus_does() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0 + 3_600_000);
    let store = open(dir.path(), "n", &clock, 1);
    let page = store.layout(layout("a", 1)).expect("layout");
    let now = T0 + 3_600_000;
    let judge = |timestamp, cell| {
        let outcome = append(&store, &page, timestamp, &[cell]);
        (outcome.appended, outcome.duplicates, outcome.out_of_order, outcome.out_of_bounds)
    };
    assert_eq!(judge(now, value(1.0)), (1, 0, 0, 0));
    assert_eq!(judge(now, value(1.0)), (0, 0, 0, 0));
    assert_eq!(judge(now, value(2.0)), (0, 1, 0, 0));
    assert_eq!(judge(now - 1, value(1.0)), (0, 0, 1, 0));
    assert_eq!(judge(now + 600_001, value(1.0)), (0, 0, 0, 1));
    assert_eq!(judge(T0 - WINDOW - 1, value(1.0)), (0, 0, 0, 1));
    assert_eq!(judge(now + 600_000, value(3.0)), (1, 0, 0, 0));
    let series = Labels::from_pairs([("__name__", "m0"), ("instance", "a")]);
    let bits = |value: f64| value.to_bits();
    assert_eq!(everything(&store)[&series], [(now, bits(1.0)), (now + 600_000, bits(3.0))]);
    let wide = Row { layout: &page, timestamp: now, cells: &[] };
    assert!(matches!(Appender::append(&*store, wide), Err(AppendError::Width { cells: 0, slots: 1 })));
}

#[test]
fn older_windows_are_read_from_the_log() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    let mut expected = Vec::new();
    for at in 0..600i64 {
        // 600 minutes: five windows.
        let timestamp = T0 + at * 60_000;
        let page = store.layout(layout("a", 2)).expect("layout");
        append(&store, &page, timestamp, &[value(at as f64), value(7.0)]);
        expected.push((timestamp, (at as f64).to_bits()));
        clock.advance(Duration::from_secs(60));
        if at % 120 == 100 {
            store.flush().expect("flushes");
        }
    }
    let named = || vec![Matcher::equal("__name__", "m0")];
    let series = Labels::from_pairs([("__name__", "m0"), ("instance", "a")]);
    assert_eq!(select(&store, named(), TimeRange::ALL)[&series], expected);
    let range = TimeRange { start: T0 + 90 * 60_000, end: T0 + 400 * 60_000 };
    assert_eq!(select(&store, named(), range)[&series], expected[90..=400]);
    let limited = wait(store.select(Select { matchers: named(), range, samples_max: 310 }));
    assert!(matches!(limited, Err(QueryError::Limit(_))));
    assert!(wait(store.select(Select { matchers: named(), range, samples_max: 311 })).is_ok());
    store.flush().expect("flushes");
    // Frames go where the clock is when they are written, at most one window later.
    assert!((5..=6).contains(&segments(dir.path()).len()));
    drop(store);
    let store = open(dir.path(), "n", &clock, 2);
    assert_eq!(select(&store, named(), TimeRange::ALL)[&series], expected);
    let first_window = TimeRange { start: T0, end: T0 + 1 };
    let query = |limit| LabelQuery { matcher_sets: vec![], range: first_window, limit };
    assert_eq!(wait(store.series(query(9))).expect("answers").0.len(), 2);
    assert_eq!(wait(store.label_names(query(9))).expect("answers").0, ["__name__", "instance"]);
    let (values, coverage) = wait(store.label_values("__name__", query(1))).expect("answers");
    assert_eq!((values, coverage.warnings.len()), (vec!["m0".to_owned()], 1));
}

#[test]
fn retention_drops_whole_segments_and_remembers_what_was_received() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let mut options = options(dir.path(), "n");
    options.retention_time = Duration::from_secs(4 * 3600);
    let store = open_with(options.clone(), &clock, 1);
    // Somebody needs all frames: nothing goes before its time.
    store.keep_frames(|_| IntervalSet::new());
    let gap = Gap { start: T0 + 9 * WINDOW, end: T0 + 9 * WINDOW + 5, why: "told".to_owned() };
    store.record_gap(gap.clone());
    for window in 0..6 {
        let page = store.layout(layout("a", 1)).expect("layout");
        append(&store, &page, T0 + window * WINDOW, &[value(window as f64)]);
        store.flush().expect("flushes");
        clock.advance(Duration::from_millis(WINDOW as u64));
    }
    let own = store.own_stream().id;
    store.maintain();
    let kept = everything(&store);
    // Now is T0 + 6 windows; what ended two windows ago is past retention.
    let times: Vec<i64> = kept.values().flatten().map(|sample| sample.0).collect();
    assert_eq!(times, [T0 + 4 * WINDOW, T0 + 5 * WINDOW]);
    assert_eq!(store.held(&own), IntervalSet::from_iter([5..=6]));
    drop(store);
    options.retention_size = 1;
    let store = open_with(options, &clock, 2);
    store.keep_frames(|_| IntervalSet::new());
    assert_eq!(store.received(&own), IntervalSet::from_iter([1..=6]));
    assert_eq!(everything(&store), kept);
    let page = store.layout(layout("a", 1)).expect("layout");
    append(&store, &page, T0 + 6 * WINDOW, &[value(6.0)]);
    store.flush().expect("flushes");
    store.maintain();
    assert_eq!((store.held(&own), segments(dir.path()).len()), (IntervalSet::new(), 1));
    let range = TimeRange { start: gap.start, end: gap.start };
    let answer = wait(store.select(Select { matchers: vec![], range, samples_max: 1 })).expect("answers");
    assert_eq!(answer.coverage.gaps, [gap]);
}

#[test]
fn a_new_epoch_asks_for_layouts_again_and_refiles() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    let page = store.layout(layout("a", 2)).expect("layout");
    for at in 0..10 {
        append(&store, &page, T0 + at, &[value(at as f64), value(1.5)]);
        store.flush().expect("flushes");
    }
    let old = store.own_stream().id;
    let before = everything(&store);
    let info = store.renew_epoch(Labels::from_pairs([("agent", "n")])).expect("renews");
    assert_eq!(store.own_stream(), info);
    let outdated = Row { layout: &page, timestamp: T0 + 10, cells: &[value(1.0), value(1.0)] };
    assert!(matches!(Appender::append(&*store, outdated), Err(AppendError::Relayout)));
    assert_eq!(store.refile(&old, 4).expect("refiles"), 6);
    store.flush().expect("flushes");
    assert_eq!(everything(&store), before);
    // Somebody who has the old stream up to 4 and the new one has everything.
    let other = tempfile::tempdir().expect("dir");
    let replica = open(other.path(), "r", &clock, 3);
    for frame in introduce(&store, &replica, &old).iter().take(4) {
        offer(&replica, frame);
    }
    for frame in introduce(&store, &replica, &info.id) {
        assert!(matches!(offer(&replica, &frame), Receipt::Appended(_)));
    }
    let count = |samples: &Samples| {
        samples.values().flatten().map(|sample| sample.0).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(count(&everything(&replica)), count(&before));
}

#[test]
fn status_counts_what_the_head_holds() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    for instance in ["a", "b"] {
        let page = store.layout(layout(instance, 3)).expect("layout");
        append(&store, &page, T0, &[value(1.0), value(2.0), Cell::Absent]);
    }
    let status = store.status();
    assert_eq!((status.series, status.samples, status.min_time), (6, 4, Some(T0)));
    let top = store.cardinality(1);
    assert_eq!((top.series_by_metric[0].name.as_str(), top.series_by_metric[0].value), ("m0", 2));
    assert_eq!((top.values_by_label[0].name.as_str(), top.values_by_label[0].value), ("__name__", 3));
    assert_eq!((top.series_by_pair[0].name.as_str(), top.series_by_pair[0].value), ("instance=a", 3));
    let regex = Matcher::new("instance", MatchOp::Regex, "a|c").expect("valid");
    assert_eq!(select(&store, vec![regex], TimeRange::ALL).len(), 2);
}
