//! Sealed windows: they answer as the log did, alone and together with frames that come late; they survive a kill
//! anywhere, and damage is told and never a value.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::{Clock as _, SimulatedClock};
use model::{Labels, Matcher};
use storage::{Appender, Cell, FrameSink, FrameSource, LabelQuery, Querier, Receipt, Select, TimeRange};
use vedette_tsdb::Store;

/// Rows of several targets over some windows, one a minute; the clock ends two windows later.
fn fill(store: &Store, clock: &Arc<SimulatedClock>, windows: i64) {
    for minute in 0..windows * 120 {
        let timestamp = T0 + minute * 60_000;
        for target in 0..3i64 {
            let slots = [1, 70, 130][target as usize];
            let page = store.layout(layout(&target.to_string(), slots)).expect("layout");
            let cells: Vec<Cell> = (0..slots as i64)
                .map(|slot| match (slot + minute) % 11 {
                    0 if slot % 5 == 1 => Cell::Absent,
                    1 if slot % 7 == 2 => Cell::Stale,
                    _ => value((slot * 31 + minute * (target + 1)) as f64 / 8.0),
                })
                .collect();
            append(store, &page, timestamp, &cells);
        }
        clock.advance(Duration::from_secs(60));
    }
    clock.advance(Duration::from_millis(2 * WINDOW as u64));
    store.flush().expect("flushes");
}

fn crash(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("dir");
    copy_dir(dir, copy.path());
    copy
}

#[test]
fn sealed_windows_answer_as_the_log_did() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    fill(&store, &clock, 3);
    let before = everything(&store);
    assert_eq!(before.len(), 201);
    let some = TimeRange { start: T0 + 50 * 60_000, end: T0 + 200 * 60_000 };
    let named = || vec![Matcher::equal("__name__", "m69"), Matcher::equal("instance", "2")];
    let part = select(&store, named(), some);
    assert_eq!(part.len(), 1);
    let (received, files) = (store.received(&store.own_stream().id), segments(dir.path()).len());
    store.maintain();
    assert_eq!(sealed_blocks(dir.path()).len(), 3);
    assert!(segments(dir.path()).len() < files, "what is sealed leaves the log");
    assert_eq!(everything(&store), before);
    assert_eq!(select(&store, named(), some), part);
    assert_eq!(store.received(&store.own_stream().id), received);
    let query = LabelQuery { matcher_sets: vec![], range: some, limit: 500 };
    assert_eq!(wait(store.series(query.clone())).expect("answers").0.len(), 201);
    assert_eq!(wait(store.label_names(query)).expect("answers").0, ["__name__", "instance"]);
    // Own samples of a sealed window are out of bounds, as in Prometheus.
    let page = store.layout(layout("0", 1)).expect("layout");
    assert_eq!(append(&store, &page, T0 + 5, &[value(1.0)]).out_of_bounds, 1);
    let own = store.own_stream().id;
    let copy = crash(dir.path());
    for dir in [copy.path(), dir.path()] {
        if dir != copy.path() {
            store.close().expect("closes");
        }
        let again = if dir == copy.path() { open(dir, "n", &clock, 2) } else { continue };
        assert_eq!(everything(&again), before);
        assert_eq!(again.received(&own), received);
        again.maintain();
        assert_eq!(sealed_blocks(dir).len(), 3, "nothing is sealed twice");
        assert_eq!(everything(&again), before);
    }
}

#[test]
fn frames_stay_in_the_log_for_those_who_need_them() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    let released = Arc::new(parking_lot::Mutex::new(storage::IntervalSet::new()));
    let told = Arc::clone(&released);
    store.keep_frames(move |_| told.lock().clone());
    fill(&store, &clock, 2);
    let own = store.own_stream().id;
    let (held, before) = (store.held(&own), everything(&store));
    store.maintain();
    assert_eq!(store.held(&own), held);
    assert_eq!(everything(&store), before);
    let (Some(first), Some(last)) = (held.first(), held.last()) else { panic!("frames") };
    released.lock().insert_range(first..=last);
    store.maintain();
    assert!(store.held(&own).count() < held.count());
    assert_eq!(everything(&store), before);
}

/// A replica gets every other frame late, in both orders, restarts between, and agrees with its twin.
#[test]
fn late_frames_become_generations_and_are_folded() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), SimulatedClock::at(T0));
    let agent = open(dir.path(), "n", &clock, 1);
    for minute in 0..100i64 {
        for target in ["a", "b"] {
            let page = agent.layout(layout(target, 3)).expect("layout");
            let cells =
                [value(minute as f64), value(7.0), if minute % 9 == 0 { Cell::Stale } else { Cell::Absent }];
            append(&agent, &page, T0 + minute * 60_000, &cells);
        }
        clock.advance(Duration::from_secs(60));
        agent.flush().expect("flushes");
    }
    let own = agent.own_stream().id;
    let twin = tempfile::tempdir().expect("dir");
    let whole = open(twin.path(), "t", &clock, 2);
    let frames = introduce(&agent, &whole, &own);
    assert!(frames.len() >= 100);
    frames.iter().for_each(|frame| assert!(matches!(offer(&whole, frame), Receipt::Appended(_))));
    let expected = everything(&whole);
    for backwards in [false, true] {
        let dir = tempfile::tempdir().expect("dir");
        let mut replica = open(dir.path(), "r", &clock, 3);
        introduce(&agent, &replica, &own);
        clock.advance(Duration::from_millis(4 * WINDOW as u64));
        let mut generations = 0;
        for round in 0..5usize {
            let mut batch: Vec<_> = frames.iter().skip(round).step_by(5).collect();
            if backwards {
                batch.reverse();
            }
            batch.iter().for_each(|frame| {
                offer(&replica, frame);
            });
            replica.flush().expect("flushes");
            let log = everything(&replica);
            clock.advance(Duration::from_millis(WINDOW as u64));
            replica.maintain();
            assert_eq!(everything(&replica), log, "round {round}");
            generations = generations.max(sealed_blocks(dir.path()).len());
            if round % 2 == 1 {
                replica.close().expect("closes");
                drop(replica);
                replica = open(dir.path(), "r", &clock, 10 + round as u64);
                assert_eq!(everything(&replica), log, "after a restart");
            }
        }
        assert_eq!(everything(&replica), expected);
        assert!(generations > 1, "late frames were sealed apart");
        assert!(sealed_blocks(dir.path()).len() <= 3, "and folded");
        assert_eq!(replica.received(&own), whole.received(&own));
        // Everything is in blocks now, and goes from the log with the segment that was open.
        let page = replica.layout(layout("own", 1)).expect("layout");
        clock.advance(Duration::from_millis(WINDOW as u64));
        append(&replica, &page, clock.now_ms(), &[value(1.0)]);
        replica.flush().expect("flushes");
        replica.maintain();
        assert_eq!(select(&replica, vec![Matcher::equal("instance", "own")], TimeRange::ALL).len(), 1);
        assert!(replica.held(&own).is_empty());
        // Its layouts went with the log: whoever offers a frame again is asked for them first.
        introduce(&agent, &replica, &own);
        assert!(matches!(offer(&replica, &frames[0]), Receipt::Duplicate(_)));
    }
}

/// What a kill leaves before the manifest names a window is not shown and does not stay.
#[test]
fn a_file_that_no_manifest_names_is_dropped() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    store.keep_frames(|_| storage::IntervalSet::new());
    fill(&store, &clock, 2);
    let before = everything(&store);
    store.maintain();
    // The state after every file was taken in, with the manifest of before: its window is not in it.
    store.close().expect("closes");
    drop(store);
    forget_manifest(&dir.path().join("sealed"));
    let store = open(dir.path(), "n", &clock, 2);
    assert_eq!(sealed_blocks(dir.path()).len(), 0);
    assert_eq!(everything(&store), before, "the log has it");
    store.maintain();
    assert_eq!(sealed_blocks(dir.path()).len(), 2);
    assert_eq!(everything(&store), before);
}

/// Empties the manifest, as if it had never been written.
fn forget_manifest(dir: &Path) {
    let names = ["default", "identity", "blocks"];
    let options = rocksdb::Options::default();
    let db = rocksdb::DB::open_cf(&options, dir, names).expect("opens");
    let family = db.cf_handle("default").expect("there");
    let keys: Vec<_> =
        db.iterator_cf(&family, rocksdb::IteratorMode::Start).map(|entry| entry.expect("reads").0).collect();
    assert!(!keys.is_empty());
    keys.iter().for_each(|key| db.delete_cf(&family, key).expect("deletes"));
}

#[test]
fn damage_is_told_and_gives_no_value() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    fill(&store, &clock, 2);
    store.maintain();
    let before = everything(&store);
    store.close().expect("closes");
    drop(store);
    let file = sealed_blocks(dir.path()).remove(0);
    let whole = std::fs::read(&file).expect("reads");
    for step in 0..24 {
        let copy = crash(dir.path());
        let file = copy.path().join("sealed").join(file.file_name().expect("a name"));
        let mut bytes = whole.clone();
        match step {
            0 => bytes.truncate(whole.len() / 2),
            1 => bytes.clear(),
            _ => bytes[whole.len() * (step - 2) / 22] ^= 0x40,
        }
        std::fs::write(&file, bytes).expect("writes");
        if step == 2 {
            std::fs::remove_file(&file).expect("removes");
        }
        let clock = SimulatedClock::at(T0 + 4 * WINDOW);
        let store = open(copy.path(), "n", &clock, 2);
        let set =
            wait(store.select(Select { matchers: vec![], range: TimeRange::ALL, samples_max: usize::MAX }))
                .expect("answers");
        let mut lost = 0;
        for (labels, samples) in &before {
            let found = set.series.iter().find(|series| series.labels == *labels);
            let found: Vec<_> = found
                .into_iter()
                .flat_map(|series| {
                    series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits()))
                })
                .collect();
            assert!(found.iter().all(|sample| samples.contains(sample)), "a value that nobody wrote");
            lost += samples.len() - found.len();
        }
        assert_eq!(
            lost > 0,
            !set.coverage.gaps.is_empty(),
            "step {step}: {lost} lost, {:?}",
            set.coverage.gaps
        );
        // It goes on: new windows are sealed beside the damaged one.
        store.maintain();
        let page = store.layout(layout("0", 1)).expect("layout");
        append(&store, &page, T0 + 4 * WINDOW + 1, &[value(1.0)]);
        clock.advance(Duration::from_millis(2 * WINDOW as u64));
        store.maintain();
        clock.advance(Duration::from_millis(2 * WINDOW as u64));
        store.maintain();
        let range = TimeRange { start: T0 + 4 * WINDOW, end: i64::MAX };
        assert_eq!(select(&store, vec![], range).len(), 1, "step {step}");
    }
}

#[test]
fn a_database_that_cannot_be_opened_is_set_aside() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    fill(&store, &clock, 1);
    store.maintain();
    let own = store.own_stream().id;
    let received = store.received(&own);
    store.close().expect("closes");
    drop(store);
    for entry in std::fs::read_dir(dir.path().join("sealed")).expect("lists") {
        let path = entry.expect("entry").path();
        if path.is_file() {
            std::fs::write(&path, b"nothing of this").expect("writes");
        }
    }
    let store = open(dir.path(), "n", &clock, 2);
    let set = wait(store.select(Select { matchers: vec![], range: TimeRange::ALL, samples_max: 10 }))
        .expect("answers");
    assert!(!set.coverage.gaps.is_empty());
    assert_eq!(store.received(&own), received, "the log's checkpoint tells what was taken");
}

#[test]
fn retention_drops_sealed_windows_by_time_and_size() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let mut options = options(dir.path(), "n");
    options.retention_time = Duration::from_secs(7 * 3600);
    let store = open_with(options.clone(), &clock, 1);
    fill(&store, &clock, 3);
    store.maintain();
    // Now is five windows after the start: the first ended four windows ago.
    assert_eq!(sealed_blocks(dir.path()).len(), 2);
    let times = |store: &Store| everything(store).values().flatten().map(|sample| sample.0).min();
    assert!(times(&store).is_some_and(|first| first == T0 + WINDOW));
    store.close().expect("closes");
    drop(store);
    options.retention_size = std::fs::metadata(&sealed_blocks(dir.path())[1]).expect("there").len() + 4_000;
    let store = open_with(options, &clock, 2);
    assert!(times(&store).is_some_and(|first| first == T0 + WINDOW));
    store.maintain();
    assert_eq!(sealed_blocks(dir.path()).len(), 1);
    assert!(times(&store).is_some_and(|first| first == T0 + 2 * WINDOW));
    let labels = Labels::from_pairs([("__name__", "m0"), ("instance", "0")]);
    assert_eq!(everything(&store)[&labels].len(), 120);
}

#[test]
fn what_is_deleted_is_hidden_for_good_and_leaves_the_disk() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let mut store = open(dir.path(), "n", &clock, 1);
    fill(&store, &clock, 3);
    let before = everything(&store);
    let matchers = || {
        vec![
            Matcher::equal("instance", "2"),
            Matcher::new("__name__", model::MatchOp::Regex, "m1.*").expect("valid"),
        ]
    };
    let range = TimeRange { start: T0 + 60 * 60_000, end: T0 + 200 * 60_000 };
    let expected: Samples = before
        .iter()
        .map(|(labels, samples)| {
            let touched = matchers().iter().all(|matcher| matcher.matches_labels(labels));
            let shown = samples.iter().filter(|sample| !touched || !range.contains(sample.0));
            (labels.clone(), shown.copied().collect())
        })
        .collect();
    assert_ne!(expected, before);
    store.delete_series(matchers(), range).expect("deletes");
    assert_eq!(everything(&store), expected, "from the log");
    // An end that is not told is now: what is written later is shown.
    store.delete_series(vec![Matcher::equal("instance", "later")], TimeRange::ALL).expect("deletes");
    let page = store.layout(layout("later", 1)).expect("layout");
    append(&store, &page, clock.now_ms() + 1, &[value(1.0)]);
    assert_eq!(select(&store, vec![Matcher::equal("instance", "later")], TimeRange::ALL).len(), 1);
    let shown = everything(&store);
    for round in 0..2 {
        if round == 1 {
            store.maintain();
            assert_eq!(everything(&store), shown, "sealed");
        }
        store.close().expect("closes");
        drop(store);
        store = open(dir.path(), "n", &clock, 2 + round);
        assert_eq!(everything(&store), shown, "after a restart");
    }
    // One that comes after sealing, cleaned up.
    store.delete_series(vec![Matcher::equal("instance", "1")], TimeRange::ALL).expect("deletes");
    let mut rest = shown.clone();
    rest.retain(|labels, _| labels.get("instance") != Some("1"));
    assert_eq!(everything(&store), rest);
    let size = || {
        sealed_blocks(dir.path())
            .iter()
            .map(|file| std::fs::metadata(file).expect("there").len())
            .sum::<u64>()
    };
    let full = (store.status().sealed_samples, size());
    store.clean_tombstones().expect("cleans");
    assert_eq!(everything(&store), rest);
    // Of the rest, one sample is not sealed yet.
    let kept = rest.values().map(Vec::len).sum::<usize>() as u64 - 1;
    assert!(kept < full.0 && size() < full.1);
    assert_eq!(store.status().sealed_samples, kept);
}

#[test]
fn a_snapshot_is_a_store() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    fill(&store, &clock, 2);
    store.maintain();
    let page = store.layout(layout("late", 1)).expect("layout");
    append(&store, &page, clock.now_ms(), &[value(1.0)]);
    let before = everything(&store);
    store.snapshot("first", false).expect("copies");
    store.snapshot("sealed", true).expect("copies");
    assert!(store.snapshot("first", false).is_err(), "it is there already");
    assert!(store.snapshot("../x", false).is_err());
    append(&store, &page, clock.now_ms() + 1, &[value(2.0)]);
    clock.advance(Duration::from_millis(3 * WINDOW as u64));
    store.maintain();
    let copy = open(&dir.path().join("snapshots/first"), "n", &clock, 2);
    assert_eq!(everything(&copy), before);
    let copy = open(&dir.path().join("snapshots/sealed"), "n", &clock, 3);
    let mut sealed = before;
    sealed.retain(|labels, _| labels.get("instance") != Some("late"));
    assert_eq!(everything(&copy), sealed);
}

/// Whatever is sealed and leaves the log while a question is answered, the answer is whole.
#[test]
fn answers_are_whole_while_windows_are_sealed() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    fill(&store, &clock, 4);
    let before = everything(&store);
    let done = std::sync::atomic::AtomicBool::new(false);
    let answers = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answers = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) || answers == 0 {
                assert_eq!(everything(&store), before);
                answers += 1;
            }
            answers
        });
        store.maintain();
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        asking.join().expect("answers")
    });
    assert!(answers > 0 && store.status().sealed_windows == 4);
    assert_eq!(everything(&store), before);
}
