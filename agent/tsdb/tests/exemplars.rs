//! Exemplars: what a restart has again, and what a log that takes nothing does to them.

mod common;

use common::{T0, append, layout, open, value};
use env::SimulatedClock;
use model::{Exemplar, Labels, Matcher};
use storage::{Appender as _, ExemplarQuerier as _, SeriesExemplars, TimeRange};

fn exemplar(timestamp: i64, value: f64) -> Exemplar {
    Exemplar { labels: Labels::from_pairs([("trace_id", "t")]), value, timestamp: Some(timestamp) }
}

#[test]
fn exemplars_survive_the_process() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let series = |at: usize| Labels::from_pairs([("__name__", format!("m{at}")), ("instance", "a".into())]);
    let all = [vec![Matcher::equal("instance", "a")]];
    let before = {
        let store = open(dir.path(), "n", &clock, 1);
        let known = store.layout(layout("a", 2)).expect("registers");
        append(&store, &known, T0, &[value(1.0), value(2.0)]);
        for at in 0..300 {
            let counts = store.append_exemplars(&series(at % 2), &[exemplar(T0 + at as i64, at as f64)]);
            assert_eq!(counts.appended, 1);
        }
        let late = store.append_exemplars(&series(0), &[exemplar(T0, 1.0), exemplar(T0 + 300, f64::NAN)]);
        assert_eq!((late.out_of_order, late.appended), (1, 1));
        store.exemplars(&all, TimeRange::ALL)
    };
    let counts: Vec<usize> = before.iter().map(|SeriesExemplars { exemplars, .. }| exemplars.len()).collect();
    assert_eq!(counts, [151, 150]);
    let store = open(dir.path(), "n", &clock, 2);
    assert_eq!(store.exemplars(&all, TimeRange::ALL), before);
    let inside = store.exemplars(&all, TimeRange { start: T0 + 3, end: T0 + 4 });
    assert_eq!(inside.iter().map(|series| series.exemplars.len()).sum::<usize>(), 2);
    store.set_exemplars_max(1);
    assert_eq!(store.exemplars(&all, TimeRange::ALL).len(), 1);
    store.set_exemplars_max(0);
    assert_eq!(store.append_exemplars(&series(0), &[exemplar(T0 + 999, 1.0)]).refused, 1);
    store.close().expect("closes");
    assert_eq!(store.append_exemplars(&series(0), &[exemplar(T0 + 999, 1.0)]).refused, 1);
}
