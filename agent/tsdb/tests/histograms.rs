//! Native histograms in the store: what was appended comes back bit by bit, here, after a restart, and at another
//! store that was given the frames.

mod common;

use std::sync::Arc;

use common::{T0, WINDOW, append, copy_dir, introduce, offer, open, sealed_blocks, value, wait};
use env::SimulatedClock;
use model::histogram::{AnyHistogram, Histogram, Resolution, Schema};
use model::{HistogramSample, Labels, Matcher, Metadata};
use proptest::prelude::*;
use storage::{
    Appender as _, FrameSource as _, HistogramColumns, HistogramSeries, LabelQuery, Layout, Querier as _,
    Select, SeriesSet, Slot, TimeRange,
};
use vedette_tsdb::Store;

fn columns(name: &str) -> HistogramColumns {
    let target = Labels::from_pairs([("instance", "a")]);
    HistogramColumns::new(target, Labels::from_pairs([("__name__", name)]), Metadata::default())
}

fn integer(schema: i32, buckets: &[(i32, u64)]) -> AnyHistogram {
    AnyHistogram::Integer(Histogram {
        schema: Schema::Exponential(Resolution::new(schema).expect("a schema")),
        count: buckets.iter().map(|(_, count)| count).sum(),
        sum: 1.25,
        positive: buckets.iter().copied().collect(),
        ..Histogram::default()
    })
}

fn float(buckets: &[(i32, f64)]) -> AnyHistogram {
    AnyHistogram::Float(Histogram {
        schema: Schema::Custom([0.5, 1.0, 2.0].into()),
        count: 1.5,
        positive: buckets.iter().copied().collect(),
        ..Histogram::default()
    })
}

fn everything(store: &Store) -> SeriesSet {
    // Its batches say the same.
    common::select(store, Vec::new(), TimeRange::ALL);
    let select = Select { matchers: Vec::new(), range: TimeRange::ALL, samples_max: usize::MAX };
    wait(store.select(select)).expect("answers")
}

fn plain(series: &[HistogramSeries]) -> Vec<(String, Vec<(i64, AnyHistogram)>)> {
    let sample = |one: &HistogramSample| (one.timestamp - T0, (*one.histogram).clone());
    series
        .iter()
        .map(|series| (series.labels.to_string(), series.samples.iter().map(sample).collect()))
        .collect()
}

#[test]
fn a_series_may_change_its_kind_and_ends_once() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    let mut h = columns("h");
    assert_eq!(h.append(&*store, T0, &integer(2, &[(0, 1), (3, 5)])).expect("appends").appended, 1);
    assert_eq!(h.append(&*store, T0 + 10, &integer(1, &[(0, 6)])).expect("appends").appended, 1);
    let slot = Slot::new(Labels::from_pairs([("__name__", "h")]), Metadata::default());
    let numbers = Layout::new(Labels::from_pairs([("instance", "a")]), vec![slot]).expect("valid");
    let numbers = store.layout(numbers).expect("registers");
    assert_eq!(append(&store, &numbers, T0 + 20, &[value(7.0)]).appended, 1);
    assert_eq!(append(&store, &numbers, T0 + 5, &[value(7.0)]).out_of_order, 1, "one series, one order");
    let again = h.append(&*store, T0 + 20, &float(&[(0, 1.0)])).expect("appends");
    assert_eq!((again.duplicates, again.appended), (1, 0));
    assert_eq!(again.first_rejected.expect("named").to_string(), "h{instance=\"a\"}");
    assert_eq!(h.append(&*store, T0 + 30, &float(&[(0, 1.0), (3, 0.5)])).expect("appends").appended, 1);
    let same = h.append(&*store, T0 + 30, &float(&[(0, 1.0), (3, 0.5)])).expect("appends");
    assert_eq!((same.duplicates, same.appended, same.out_of_order), (0, 0, 0), "said twice");
    let other = h.append(&*store, T0 + 30, &float(&[(0, 1.0), (3, 0.25)])).expect("appends");
    assert_eq!((other.duplicates, other.appended), (1, 0), "one bucket is another");
    let late = h.append(&*store, T0 + 29, &float(&[(0, 1.0)])).expect("appends");
    assert_eq!((late.out_of_order, late.appended), (1, 0));
    assert_eq!(h.end(&*store, T0 + 40).expect("appends").expect("has begun").appended, 1);

    let expected = |found: &SeriesSet| {
        let [series] = &plain(&found.histograms)[..] else { panic!("one series: {found:?}") };
        assert_eq!(series.0, "h{instance=\"a\"}");
        assert_eq!(series.1.iter().map(|one| one.0).collect::<Vec<_>>(), [0, 10, 30, 40]);
        assert_eq!(series.1[0].1, integer(2, &[(0, 1), (3, 5)]));
        assert_eq!(series.1[1].1, integer(1, &[(0, 6)]));
        assert_eq!(series.1[2].1, float(&[(0, 1.0), (3, 0.5)]));
        assert!(series.1[3].1.is_stale());
        assert_eq!(found.series.len(), 1);
        assert_eq!(found.series[0].samples, [model::Sample::new(T0 + 20, 7.0)]);
    };
    expected(&everything(&store));
    assert_eq!(store.status().series, 1);
    let query = || LabelQuery { matcher_sets: Vec::new(), range: TimeRange::ALL, limit: 10 };
    assert_eq!(wait(store.series(query())).expect("answers").0.len(), 1);
    drop(store);
    // Out of the log, in the head and behind it.
    let store = open(dir.path(), "n", &clock, 2);
    expected(&everything(&store));
    clock.advance(std::time::Duration::from_millis(3 * WINDOW as u64));
    store.maintain();
    expected(&everything(&store));
}

/// What a step appends: a series, whether it counts in integers, buckets.
type Step = (usize, bool, Vec<(i32, u64)>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let buckets = prop::collection::btree_map(-10..30i32, 0..9u64, 0..6);
    let step = (0..2usize, any::<bool>(), buckets.prop_map(|buckets| buckets.into_iter().collect()));
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(common::cases(12))]
    #[test]
    fn histograms_come_back_everywhere(steps in steps()) {
        let (dir, other) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let clock = SimulatedClock::at(T0);
        let store = open(dir.path(), "n", &clock, 1);
        let mut all = [columns("h0"), columns("h1")];
        let mut expected = vec![Vec::new(), Vec::new()];
        for (at, (series, is_integer, buckets)) in (0i64..).zip(&steps) {
            let histogram = if *is_integer {
                integer(3, buckets)
            } else {
                float(&buckets.iter().map(|(at, n)| (*at, *n as f64 / 4.0)).collect::<Vec<_>>())
            };
            all[*series].append(&*store, T0 + at, &histogram).expect("appends");
            expected[*series].push((at, histogram));
        }
        let shown: Vec<_> = plain(&everything(&store).histograms).into_iter().map(|series| series.1).collect();
        expected.retain(|samples| !samples.is_empty());
        prop_assert_eq!(&shown, &expected);
        store.flush().expect("writes");
        let replica = open(other.path(), "r", &clock, 2);
        let stream = store.own_stream().id;
        for frame in introduce(&store, &replica, &stream) {
            offer(&replica, &frame);
        }
        let set = wait(replica.select(Select {
            matchers: vec![Matcher::equal("agent", "n")], range: TimeRange::ALL, samples_max: usize::MAX,
        })).expect("answers");
        let shown: Vec<_> = plain(&set.histograms).into_iter().map(|series| series.1).collect();
        prop_assert_eq!(&shown, &expected);
        drop((store, replica));
        let store: Arc<Store> = open(dir.path(), "n", &clock, 3);
        let shown: Vec<_> = plain(&everything(&store).histograms).into_iter().map(|series| series.1).collect();
        prop_assert_eq!(&shown, &expected);
        clock.advance(std::time::Duration::from_millis(4 * WINDOW as u64));
        store.maintain();
        prop_assert!(dir.path().join("sealed").is_dir());
        let shown: Vec<_> = plain(&everything(&store).histograms).into_iter().map(|series| series.1).collect();
        prop_assert_eq!(&shown, &expected);
        store.delete_series(vec![Matcher::equal("__name__", "h0")], TimeRange::ALL).expect("deletes");
        let left = plain(&everything(&store).histograms);
        prop_assert!(left.iter().all(|series| series.0 != "h0{instance=\"a\"}"), "deleted");
    }
}

/// Wide enough for several blocks: a histogram of which one is damaged is left out, whole.
#[test]
fn damage_to_a_column_gives_no_other_histogram() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    let mut h = columns("h");
    for at in 0..100u64 {
        let buckets: Vec<_> =
            (0..150i32).map(|bucket| (bucket, u64::from(bucket.unsigned_abs()) * 7 + at)).collect();
        h.append(&*store, T0 + at as i64, &integer(3, &buckets)).expect("appends");
    }
    clock.advance(std::time::Duration::from_millis(4 * WINDOW as u64));
    store.maintain();
    let before = plain(&everything(&store).histograms).remove(0).1;
    assert_eq!(before.len(), 100);
    store.close().expect("closes");
    drop(store);
    let file = sealed_blocks(dir.path()).remove(0);
    let whole = std::fs::read(&file).expect("reads");
    let mut lost = 0;
    for step in 0..40 {
        let copy = tempfile::tempdir().expect("dir");
        copy_dir(dir.path(), copy.path());
        let mut bytes = whole.clone();
        bytes[whole.len() * step / 40] ^= 0x10;
        let damaged = copy.path().join("sealed").join(file.file_name().expect("a name"));
        std::fs::write(damaged, bytes).expect("writes");
        // The log would answer for what is damaged.
        for segment in std::fs::read_dir(copy.path().join("log")).expect("lists") {
            std::fs::remove_file(segment.expect("a segment").path()).expect("removes");
        }
        let store = open(copy.path(), "n", &SimulatedClock::at(T0 + 4 * WINDOW), 2);
        let found = plain(&everything(&store).histograms);
        let found = found.first().map(|series| series.1.as_slice()).unwrap_or_default();
        assert!(found.iter().all(|sample| before.contains(sample)), "step {step}: one that nobody wrote");
        lost += usize::from(found.len() < before.len());
    }
    assert!(lost > 10, "only {lost} damages were met");
}
