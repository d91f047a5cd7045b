//! Days: the windows of a past day that became one set of blocks answer as they did, alone and together with what
//! comes late; deletions, retention, snapshots and tools work on them; damage is told and never a value.

mod common;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::*;
use env::{Clock as _, SimulatedClock};
use model::{Labels, Matcher};
use proptest::prelude::*;
use storage::{Appender, Cell, Frame, FrameSink, FrameSource, LabelQuery, Querier, Select, TimeRange};
use vedette_tsdb::{Archive, Store, verify};

/// The first day that begins in the fill: before it is one window, after it another.
const DAY: i64 = T0 + WINDOW;
const WINDOWS: i64 = 14;
/// Between rows.
const STEP: i64 = 10 * 60_000;

fn cells(target: i64, row: i64, slots: i64) -> Vec<Cell> {
    let cell = |slot: i64| match (slot + row) % 11 {
        0 if slot % 5 == 1 => Cell::Absent,
        1 if slot % 7 == 2 => Cell::Stale,
        _ if slot % 3 == 0 => value(slot as f64),
        _ => value((slot * 31 + row * (target + 1)) as f64 / 8.0),
    };
    (0..slots).map(cell).collect()
}

/// Rows of three targets over some windows, the last of which ends before the day does; all of it sealed.
fn fill(store: &Store, clock: &Arc<SimulatedClock>, windows: i64) {
    for row in 0..windows * WINDOW / STEP {
        for target in 0..3i64 {
            let slots = [1, 70, 130][target as usize];
            if target == 2 && row > windows * WINDOW / STEP / 2 {
                continue;
            }
            let page = store.layout(layout(&target.to_string(), slots)).expect("layout");
            append(store, &page, T0 + row * STEP + target, &cells(target, row, slots as i64));
        }
        clock.advance(Duration::from_millis(STEP as u64));
        if row % (WINDOW / STEP) == 3 {
            store.flush().expect("flushes");
            store.maintain();
        }
    }
    clock.advance(Duration::from_millis(2 * WINDOW as u64));
    store.flush().expect("flushes");
    store.maintain();
}

fn files(dir: &Path) -> usize {
    sealed_blocks(dir).len()
}

#[test]
fn a_day_answers_as_its_windows_did() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), SimulatedClock::at(T0));
    let store = open(dir.path(), "n", &clock, 1);
    fill(&store, &clock, WINDOWS);
    let (before, windows) = (everything(&store), store.status().sealed_windows);
    let ranges = [
        (DAY + 5 * WINDOW + 1, DAY + 6 * WINDOW),
        (DAY - 1, DAY),
        (DAY + 3 * WINDOW + STEP, DAY + 20 * WINDOW),
        (T0, DAY + WINDOW / 2),
    ];
    let ask = |store: &Store| {
        let range = |&(start, end): &(i64, i64)| TimeRange { start, end };
        let parts: Vec<_> = ranges.iter().map(|one| select(store, vec![], range(one))).collect();
        let query = |one| LabelQuery { matcher_sets: vec![], range: range(one), limit: 1_000 };
        let series: Vec<_> =
            ranges.iter().map(|one| wait(store.series(query(one))).expect("answers").0).collect();
        (parts, series, store.status().sealed_samples)
    };
    let parts = ask(&store);
    store.close().expect("closes");
    drop(store);
    let told = Archive::open(dir.path(), None).expect("opens").analyze(&[], None, 5).expect("reads");
    let store = open(dir.path(), "n", &clock, 2);
    assert_eq!(files(dir.path()), 14);
    store.compact();
    assert_eq!(store.status().sealed_windows, windows);
    assert_eq!(store.status().sealed_days, 1);
    assert_eq!(everything(&store), before);
    assert_eq!(ask(&store), parts);
    assert_eq!(files(dir.path()), 3, "the day is one file, its windows have none");
    store.compact();
    store.maintain();
    assert_eq!(files(dir.path()), 3, "nothing is done twice");
    store.close().expect("closes");
    drop(store);
    let archive = Archive::open(dir.path(), None).expect("opens");
    let now = archive.analyze(&[], None, 5).expect("reads");
    assert_eq!(
        (now.series, now.sealed_samples, now.windows),
        (told.series, told.sealed_samples, told.windows)
    );
    let one = archive.analyze(&[Matcher::equal("instance", "1")], Some(DAY + 4 * WINDOW), 5).expect("reads");
    let window = TimeRange { start: DAY + 4 * WINDOW, end: DAY + 5 * WINDOW - 1 };
    let of_one = |(labels, samples): (&Labels, &Vec<(i64, u64)>)| {
        let inside = samples.iter().filter(|sample| window.contains(sample.0)).count();
        if labels.get("instance") == Some("1") { inside } else { 0 }
    };
    assert_eq!(one.sealed_samples, before.iter().map(of_one).sum::<usize>() as u64);
    let mut samples = 0;
    let read = archive.read::<storage::QueryError>(&[], TimeRange::ALL, 1_000, |set| {
        samples += set.series.iter().map(|series| series.samples.len()).sum::<usize>();
        Ok(())
    });
    assert!(read.expect("reads").gaps.is_empty());
    assert_eq!(samples, before.values().map(Vec::len).sum::<usize>());
    drop(archive);
    let mut faults = Vec::new();
    let checked = verify(dir.path(), &mut |fault| faults.push(fault.to_string())).expect("reads");
    assert_eq!((faults, checked.samples, checked.windows), (vec![], told.sealed_samples, windows));
    let store = open(dir.path(), "n", &clock, 3);
    assert_eq!((everything(&store), ask(&store)), (before, parts), "after a restart");
}

/// What arrives for a day that is one already is beside it, and becomes part of it once it is much.
#[test]
fn late_frames_for_a_day() {
    let (from, clock) = (tempfile::tempdir().expect("dir"), SimulatedClock::at(T0));
    let agent = open(from.path(), "n", &clock, 1);
    agent.keep_frames(|_| storage::IntervalSet::new());
    for row in 0..WINDOWS * WINDOW / STEP {
        for target in 0..2i64 {
            let page = agent.layout(layout(&target.to_string(), 5)).expect("layout");
            append(&agent, &page, T0 + row * STEP, &cells(target, row, 5));
        }
        agent.flush().expect("flushes");
        clock.advance(Duration::from_millis(STEP as u64));
    }
    let own = agent.own_stream().id;
    let (plain_dir, dir) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let plain = open(plain_dir.path(), "p", &SimulatedClock::at(T0), 2);
    let mut replica = open(dir.path(), "r", &clock, 3);
    let frames = introduce(&agent, &plain, &own);
    clock.advance(Duration::from_millis(14 * WINDOW as u64));
    let mut seen = (0, 0);
    // Backwards, too: then rows build on what is in the day already, and wait for it.
    for (round, part) in [0, 3, 1, 4, 2].into_iter().enumerate() {
        introduce(&agent, &replica, &own);
        // By their rows: how many frames those are in is the writer's own affair.
        let row = |frame: &Frame| (frame.range().start - T0) / STEP;
        for frame in frames.iter().filter(|frame| row(frame) % 5 == part) {
            offer(&plain, frame);
            offer(&replica, frame);
        }
        replica.flush().expect("flushes");
        let expected = everything(&plain);
        assert_eq!(everything(&replica), expected, "round {round}");
        clock.advance(Duration::from_millis(WINDOW as u64));
        replica.maintain();
        assert_eq!(everything(&replica), expected, "round {round}: sealed");
        seen.0 = files(dir.path()).max(seen.0);
        replica.compact();
        assert_eq!(everything(&replica), expected, "round {round}: together");
        assert!(replica.status().sealed_days >= 1);
        seen.1 = files(dir.path()).max(seen.1);
        if round % 2 == 1 {
            replica.close().expect("closes");
            drop(replica);
            replica = open(dir.path(), "r", &clock, 10 + round as u64);
            assert_eq!(everything(&replica), expected, "round {round}: again");
        }
        assert_eq!(replica.received(&own), plain.received(&own));
    }
    assert_eq!(
        everything(&replica),
        everything(&agent)
            .into_iter()
            .map(|(labels, samples)| {
                let mut builder = labels.to_builder();
                builder.set("agent", "n").set("site", "x");
                (builder.build(), samples)
            })
            .collect::<Samples>()
    );
    assert!(seen.0 > seen.1, "{seen:?}");
}

#[test]
fn what_is_deleted_leaves_a_day() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), SimulatedClock::at(T0));
    let store = open(dir.path(), "n", &clock, 1);
    fill(&store, &clock, WINDOWS);
    let before = everything(&store);
    let range =
        |window: i64| TimeRange { start: DAY + window * WINDOW + 7, end: DAY + (window + 3) * WINDOW };
    let hide = |all: &Samples, instance: &str, range: TimeRange| -> Samples {
        let mut all = all.clone();
        for (labels, samples) in &mut all {
            samples.retain(|sample| labels.get("instance") != Some(instance) || !range.contains(sample.0));
        }
        all.retain(|_, samples| !samples.is_empty());
        all
    };
    // One before, which the day leaves out; one after, which is cleaned up.
    store.delete_series(vec![Matcher::equal("instance", "1")], range(2)).expect("deletes");
    let shown = hide(&before, "1", range(2));
    let full = store.status().sealed_samples;
    store.compact();
    assert_eq!(everything(&store), shown);
    let folded = store.status().sealed_samples;
    assert!(folded < full);
    store.delete_series(vec![Matcher::equal("instance", "2")], range(4)).expect("deletes");
    let shown = hide(&shown, "2", range(4));
    assert_eq!(everything(&store), shown);
    store.clean_tombstones().expect("cleans");
    assert_eq!(everything(&store), shown);
    assert_eq!((files(dir.path()), store.status().sealed_days), (3, 1));
    assert_eq!(store.status().sealed_samples, shown.values().map(Vec::len).sum::<usize>() as u64);
    // All of a day.
    store.delete_series(vec![Matcher::equal("site", "")], TimeRange::ALL).expect("deletes");
    store.clean_tombstones().expect("cleans");
    assert!(everything(&store).is_empty());
    assert_eq!(store.status().sealed_samples, 0);
    store.close().expect("closes");
    drop(store);
    assert!(everything(&open(dir.path(), "n", &clock, 2)).is_empty());
    assert_eq!(verify(dir.path(), &mut |fault| panic!("{fault}")).expect("reads").samples, 0);
}

#[test]
fn retention_drops_windows_of_a_day_and_its_file_with_the_last() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), SimulatedClock::at(T0));
    let mut options = options(dir.path(), "n");
    options.retention_time = Duration::from_millis(18 * WINDOW as u64);
    let store = open_with(options.clone(), &clock, 1);
    fill(&store, &clock, WINDOWS);
    store.compact();
    let before = everything(&store);
    assert_eq!(store.status().sealed_days, 1);
    let size = |file: &std::path::PathBuf| std::fs::metadata(file).expect("there").len();
    let day = sealed_blocks(dir.path()).into_iter().max_by_key(size).expect("the day's file");
    let page = store.layout(layout("now", 1)).expect("layout");
    let (mut left, mut steps) = (WINDOWS, 0);
    while left > 1 {
        steps += 1;
        assert!(steps < 3 * WINDOWS, "{left} windows stay");
        clock.advance(Duration::from_millis(WINDOW as u64));
        // Where nothing is written the clock is not believed.
        append(&store, &page, clock.now_ms(), &[value(1.0)]);
        store.flush().expect("flushes");
        store.maintain();
        store.compact();
        let mut found = everything(&store);
        found.retain(|labels, _| labels.get("instance") != Some("now"));
        let first = found.values().flatten().map(|sample| sample.0).min().expect("the last window is left");
        let now = WINDOWS - (first - T0) / WINDOW;
        assert!(now <= left);
        left = now;
        let mut shown = before.clone();
        shown
            .values_mut()
            .for_each(|samples| samples.retain(|sample| sample.0 >= T0 + (WINDOWS - left) * WINDOW));
        shown.retain(|_, samples| !samples.is_empty());
        assert_eq!(found, shown, "{left} windows are left");
        assert_eq!(day.exists(), left > 1, "{left} windows are left");
    }
    store.close().expect("closes");
}

#[test]
fn retention_by_size_drops_a_day_at_once() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), SimulatedClock::at(T0));
    let store = open(dir.path(), "n", &clock, 1);
    fill(&store, &clock, WINDOWS);
    store.compact();
    let bytes = store.status().bytes;
    store.close().expect("closes");
    drop(store);
    let mut options = options(dir.path(), "n");
    // A byte too many: the window before the day goes; then the day.
    for (size, windows) in [(bytes, 13), (bytes / 3, 1)] {
        options.retention_size = size - 1;
        let store = open_with(options.clone(), &clock, 2);
        store.maintain();
        assert_eq!(store.status().sealed_windows, windows);
        assert_eq!(store.status().sealed_days, u64::from(windows > 1));
        let first = everything(&store).values().flatten().map(|sample| sample.0).min();
        assert_eq!(
            first.map(|first| first / WINDOW),
            Some((T0 + (WINDOWS - windows as i64) * WINDOW) / WINDOW)
        );
        store.close().expect("closes");
    }
    assert_eq!(files(dir.path()), 1);
}

#[test]
fn a_snapshot_has_the_day() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), SimulatedClock::at(T0));
    let store = open(dir.path(), "n", &clock, 1);
    fill(&store, &clock, WINDOWS);
    store.compact();
    let before = everything(&store);
    store.snapshot("s", true).expect("copies");
    store.delete_series(vec![Matcher::equal("site", "")], TimeRange::ALL).expect("deletes");
    store.clean_tombstones().expect("cleans");
    let copy = open(&dir.path().join("snapshots/s"), "n", &clock, 2);
    assert_eq!((everything(&copy), copy.status().sealed_days), (before, 1));
}

/// Says how much room there is.
#[derive(Debug)]
struct Room(AtomicU64);

impl env::DiskSpace for Room {
    fn space(&self, _: &Path) -> io::Result<env::Space> {
        Ok(env::Space { free_bytes: self.0.load(Ordering::SeqCst), total_bytes: u64::MAX })
    }
}

#[test]
fn nothing_is_put_together_without_room_for_a_copy_or_once_it_is_to_stop() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), SimulatedClock::at(T0));
    let room = Arc::new(Room(AtomicU64::new(64 << 20)));
    let mut options = options(dir.path(), "n");
    options.space = Arc::clone(&room) as Arc<dyn env::DiskSpace>;
    let store = open_with(options, &clock, 1);
    fill(&store, &clock, WINDOWS);
    store.compact();
    assert_eq!((store.status().sealed_days, files(dir.path())), (0, 14));
    room.0.store(1 << 30, Ordering::SeqCst);
    store.stop_compacting();
    store.compact();
    assert_eq!((store.status().sealed_days, files(dir.path())), (0, 14));
    let before = everything(&store);
    store.close().expect("closes");
    drop(store);
    let store = open(dir.path(), "n", &clock, 2);
    store.compact();
    assert_eq!((store.status().sealed_days, everything(&store)), (1, before));
}

/// Whatever byte of a day's file is wrong: what is missing is told, and nothing is shown that nobody wrote.
#[test]
fn damage_of_a_day_is_told_and_gives_no_value() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), SimulatedClock::at(T0));
    let store = open(dir.path(), "n", &clock, 1);
    fill(&store, &clock, WINDOWS);
    store.compact();
    let before = everything(&store);
    store.close().expect("closes");
    drop(store);
    let size = |file: &std::path::PathBuf| std::fs::metadata(file).expect("there").len();
    let file = sealed_blocks(dir.path()).into_iter().max_by_key(size).expect("a file");
    let whole = std::fs::read(&file).expect("reads");
    let mut told = 0;
    for step in 0..16 {
        let copy = tempfile::tempdir().expect("dir");
        copy_dir(dir.path(), copy.path());
        let file = copy.path().join("sealed").join(file.file_name().expect("a name"));
        let mut bytes = whole.clone();
        bytes[whole.len() * step / 16 + 40] ^= 0x40;
        std::fs::write(&file, bytes).expect("writes");
        let mut faults = 0;
        verify(copy.path(), &mut |_| faults += 1).expect("reads");
        let store = open(copy.path(), "n", &clock, 2);
        let set =
            wait(store.select(Select { matchers: vec![], range: TimeRange::ALL, samples_max: usize::MAX }))
                .expect("answers");
        let mut lost = 0;
        for (labels, samples) in &before {
            let found = set.series.iter().find(|series| series.labels == *labels);
            let found = found.map_or(&[][..], |series| &series.samples);
            let is_known = |one: &model::Sample| samples.contains(&(one.timestamp, one.value.to_bits()));
            assert!(found.iter().all(is_known), "a value that nobody wrote");
            lost += samples.len() - found.len();
        }
        assert_eq!(lost > 0, !set.coverage.gaps.is_empty(), "step {step}: {lost} lost");
        assert!(lost == 0 || faults > 0, "step {step}");
        told += usize::from(lost > 0);
        store.maintain();
        store.compact();
        // The log does not go below what is damaged, and nothing is rewritten without it.
        assert_eq!(store.status().sealed_days, 1);
    }
    assert!(told > 8, "{told}");
}

/// Whatever becomes of the windows while a question is answered, the answer is whole.
#[test]
fn answers_are_whole_while_a_day_is_put_together_and_cleaned() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), SimulatedClock::at(T0));
    let store = open(dir.path(), "n", &clock, 1);
    fill(&store, &clock, WINDOWS);
    store.delete_series(vec![Matcher::equal("__name__", "m0")], TimeRange::ALL).expect("deletes");
    let before = everything(&store);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answers = 0;
            while !done.load(Ordering::SeqCst) || answers == 0 {
                assert_eq!(everything(&store), before);
                answers += 1;
            }
        });
        let cleaning = scope.spawn(|| store.clean_tombstones().expect("cleans"));
        store.compact();
        cleaning.join().expect("cleans");
        store.compact();
        done.store(true, Ordering::SeqCst);
        asking.join().expect("answers");
    });
    assert_eq!((store.status().sealed_days, everything(&store)), (1, before));
    store.maintain();
    assert_eq!(files(dir.path()), 3, "nothing of what was given up stays");
}

proptest! {
    #![proptest_config(cases(6))]

    /// Against a store that keeps all of it in its log: any rows, in any order, put together at any time.
    #[test]
    fn a_day_is_its_windows(
        rows in prop::collection::vec((0i64..30, 0i64..WINDOW, 0usize..3, prop::collection::vec(any_cell(), 3)), 1..40),
        split in 1usize..6, seed: u64,
    ) {
        let (from, dirs) = (tempfile::tempdir().expect("dir"), [(); 2].map(|()| tempfile::tempdir().expect("dir")));
        let clock = SimulatedClock::at(T0);
        let agent = open(from.path(), "n", &clock, seed);
        let mut rows = rows;
        rows.sort_by_key(|(window, at, ..)| (*window, *at));
        for (window, at, page, cells) in &rows {
            let time = T0 + window * WINDOW + at;
            clock.step(time - clock.now_ms());
            let page = agent.layout(layout(&page.to_string(), 3)).expect("layout");
            append(&agent, &page, time, cells);
            agent.flush().expect("flushes");
        }
        let own = agent.own_stream().id;
        let plain = open(dirs[0].path(), "p", &SimulatedClock::at(T0), 2);
        clock.step(T0 + 33 * WINDOW - clock.now_ms());
        let replica = open(dirs[1].path(), "r", &clock, 3);
        let mut frames = introduce(&agent, &plain, &own);
        let random = env::SeededRandom::shared(seed);
        frames.sort_by_cached_key(|_| random.next_u64());
        for batch in frames.chunks(frames.len().div_ceil(split).max(1)) {
            introduce(&agent, &replica, &own);
            for frame in batch {
                offer(&plain, frame);
                offer(&replica, frame);
            }
            replica.flush().expect("flushes");
            clock.advance(Duration::from_millis(WINDOW as u64));
            replica.maintain();
            replica.compact();
            prop_assert_eq!(everything(&replica), everything(&plain));
        }
        replica.close().expect("closes");
        drop(replica);
        verify(dirs[1].path(), &mut |fault| panic!("{fault}")).expect("reads");
    }
}

fn any_cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        4 => (0u8..6).prop_map(|number| value(f64::from(number) / 4.0)),
        1 => any::<u64>().prop_map(|bits| value(f64::from_bits(bits))),
        1 => Just(Cell::Stale),
        1 => Just(Cell::Absent),
    ]
}
