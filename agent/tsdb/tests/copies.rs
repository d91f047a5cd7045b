//! Sealed windows copied between stores: both end with what either has, each sample once and bit by bit, whatever
//! each had of a window; what is damaged on the way changes nothing; a restart forgets nothing.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::{Clock as _, SimulatedClock};
use proptest::prelude::*;
use storage::{
    Appender, Cell, Frame, FrameSink, FrameSource, IntervalSet, Querier as _, Select, StreamId, TimeRange,
    WindowError, WindowInfo, WindowSink, WindowSource,
};
use vedette_tsdb::Store;

/// An agent's frames of some windows, one each few minutes, with layouts that differ in width.
fn agent(clock: &Arc<SimulatedClock>, minutes: i64) -> (tempfile::TempDir, Arc<Store>) {
    let dir = folder();
    let store = open(dir.path(), "n", clock, 1);
    for minute in 0..minutes {
        for (target, slots) in [("a", 3), ("b", 70)] {
            let page = store.layout(layout(target, slots)).expect("layout");
            let cells: Vec<Cell> = (0..slots as i64)
                .map(|slot| match (slot + minute) % 13 {
                    0 => Cell::Absent,
                    1 if slot % 7 == 2 => Cell::Stale,
                    _ => value((slot * 31 + minute * minute) as f64 / 8.0),
                })
                .collect();
            append(&store, &page, T0 + minute * 60_000, &cells);
        }
        clock.advance(Duration::from_secs(60));
        if minute % 4 == 3 {
            store.flush().expect("flushes");
        }
    }
    store.flush().expect("flushes");
    (dir, store)
}

fn lacking(from: &Store, to: &Store) -> Vec<(StreamId, IntervalSet)> {
    let ids = from.streams().into_iter().map(|info| info.id);
    let all = ids.map(|id| {
        let lacking = from.received(&id).difference(&to.received(&id));
        (id, lacking)
    });
    all.filter(|(_, lacking)| !lacking.is_empty()).collect()
}

fn copy(from: &Store, to: &Store, info: &WindowInfo) -> Result<(), WindowError> {
    let mut copy = to.copy_window(info.clone())?;
    for &generation in &info.generations {
        for number in from.window_groups(info.start, generation, None)? {
            let (group, values) = from.window_group(info.start, generation, number)?;
            copy.take(generation, group, values)?;
        }
    }
    copy.finish()
}

/// Gives one store what the other has: sealed windows first, then frames of the log.
fn repair(from: &Store, to: &Store) -> usize {
    from.streams().into_iter().for_each(|info| to.open_stream(info).expect("opens"));
    let mut copied = 0;
    loop {
        let windows = from.windows_holding(&lacking(from, to), 2);
        if windows.is_empty() {
            break;
        }
        for info in windows {
            copy(from, to, &info).expect("copied");
            copied += 1;
        }
    }
    for (id, lacking) in lacking(from, to) {
        introduce(from, to, &id);
        for frame in from.frames(&id, 1, usize::MAX).expect("reads") {
            if lacking.contains(frame.key().seq) {
                offer(to, &frame);
            }
        }
    }
    to.flush().expect("flushes");
    copied
}

fn take(to: &Store, agent: &Store, frames: &[Frame], which: impl Fn(usize) -> bool) {
    introduce(agent, to, &agent.own_stream().id);
    frames.iter().enumerate().filter(|(at, _)| which(*at)).for_each(|(_, frame)| {
        offer(to, frame);
    });
    to.flush().expect("flushes");
}

#[test]
fn an_empty_twin_gets_windows_that_left_the_log() {
    let clock = SimulatedClock::at(T0);
    let (_dir, agent) = agent(&clock, 500);
    let frames = agent.frames(&agent.own_stream().id, 1, usize::MAX).expect("reads");
    let (dir_a, dir_b) = (folder(), folder());
    let a = open(dir_a.path(), "a", &clock, 2);
    take(&a, &agent, &frames, |_| true);
    let before = everything(&a);
    clock.advance(Duration::from_millis(4 * WINDOW as u64));
    a.maintain();
    let own = agent.own_stream().id;
    let b = open(dir_b.path(), "b", &clock, 3);
    // The segment that is open goes with the next one.
    let page = a.layout(layout("own", 1)).expect("layout");
    append(&a, &page, clock.now_ms(), &[value(1.0)]);
    a.flush().expect("flushes");
    a.maintain();
    assert!(a.held(&own).is_empty(), "the log was trimmed");
    assert_eq!(repair(&a, &b), 5);
    let named = |samples: Samples| -> Samples {
        samples.into_iter().filter(|(labels, _)| labels.get("instance") != Some("own")).collect()
    };
    assert_eq!(named(everything(&b)), before);
    assert_eq!(b.received(&own), a.received(&own));
    assert_eq!(b.durable(&own), a.received(&own));
    assert!(matches!(
        FrameSink::append(&*b, frames[7].clone()),
        Ok(storage::Receipt::NeedLayout(_) | storage::Receipt::Duplicate(_))
    ));
    b.close().expect("closes");
    drop(b);
    let b = open(dir_b.path(), "b", &clock, 4);
    assert_eq!(named(everything(&b)), before);
    assert_eq!(b.received(&own), a.received(&own));
    assert!(b.windows_holding(&lacking(&a, &b), 1).is_empty());
    // Retention takes the windows and not the knowledge that they were received.
    let copy = folder();
    copy_dir(dir_b.path(), copy.path());
    let mut short = options(copy.path(), "b");
    short.retention_time = Duration::from_secs(60);
    let b = open_with(short.clone(), &clock, 5);
    b.maintain();
    assert!(named(everything(&b)).is_empty());
    // Where the twin has it still, an answer says so.
    let gaps = |store: &Store| {
        let select =
            Select { matchers: Vec::new(), range: TimeRange { start: T0, end: i64::MAX }, samples_max: 9 };
        wait(store.select(select)).expect("answers").coverage.gaps
    };
    assert!(gaps(&b).is_empty());
    b.twin_floor(b.floor_ms() - WINDOW);
    assert!(gaps(&b).is_empty());
    b.twin_floor(T0);
    assert_eq!((gaps(&b)[0].start, gaps(&b).len()), (T0, 1), "{:?}", gaps(&b));
    let again = folder();
    copy_dir(copy.path(), again.path());
    short.dir = again.path().to_owned();
    let b = open_with(short, &clock, 6);
    assert_eq!(b.received(&own), a.received(&own));
}

/// Windows of a day that was put together are given one by one, with what came late for them; what takes them may
/// have put its own day together, and lack some of it.
#[test]
fn windows_of_a_day_are_copied_one_by_one() {
    let clock = SimulatedClock::at(T0);
    // From within one day to within the next but one: the one between is whole.
    let (_dir, agent) = agent(&clock, 44 * 60);
    let own = agent.own_stream().id;
    let frames = agent.frames(&own, 1, usize::MAX).expect("reads");
    let (dir_a, dir_b, dir_c, dir_w) = (folder(), folder(), folder(), folder());
    let dirs = [(&dir_a, "a"), (&dir_b, "b"), (&dir_c, "c"), (&dir_w, "w")];
    let [a, b, c, whole] = dirs.map(|(dir, name)| open(dir.path(), name, &clock, 2));
    take(&whole, &agent, &frames, |_| true);
    let before = everything(&whole);
    let lacks = |at: usize| at % 97 == 5;
    take(&a, &agent, &frames, |at| at % 61 != 7);
    take(&b, &agent, &frames, |at| !lacks(at));
    // Rows that wait for what is lacking hold a day up for so long.
    clock.advance(Duration::from_millis(40 * WINDOW as u64));
    for store in [&a, &b] {
        store.maintain();
        store.compact();
        assert!(store.status().sealed_days >= 1);
    }
    // What comes late stands beside the day.
    take(&a, &agent, &frames, |_| true);
    clock.advance(Duration::from_millis(WINDOW as u64));
    a.maintain();
    assert!(everything(&a) == before);
    assert!(repair(&a, &c) >= 12);
    assert!(everything(&c) == before);
    assert!(repair(&a, &b) > 0);
    assert!(everything(&b) == before);
    for (store, dir, name) in [(b, &dir_b, "b"), (c, &dir_c, "c")] {
        // Put together again, and after a restart, it is the same.
        store.compact();
        assert!(everything(&store) == before);
        store.close().expect("closes");
        drop(store);
        let store = open(dir.path(), name, &clock, 9);
        assert!(everything(&store) == before);
        assert_eq!(store.received(&own), a.received(&own));
    }
}

#[test]
fn what_is_wrong_on_the_way_changes_nothing() {
    let clock = SimulatedClock::at(T0);
    let (_dir, agent) = agent(&clock, 60);
    clock.advance(Duration::from_millis(4 * WINDOW as u64));
    let before = everything(&agent);
    agent.maintain();
    let dir = folder();
    let b = open(dir.path(), "n", &clock, 2);
    agent.streams().into_iter().for_each(|info| b.open_stream(info).expect("opens"));
    let wanted = lacking(&agent, &b);
    let info = agent.windows_holding(&wanted, 9).remove(0);
    let generation = info.generations[0];
    let numbers = agent.window_groups(info.start, generation, None).expect("there");
    assert_eq!(agent.window_groups(info.start, generation, Some(numbers[0])).expect("there"), numbers[1..]);
    let whole = agent.window_group(info.start, generation, numbers[1]).expect("there");
    for value in 0..whole.1.len() {
        for bit in [3, 200, whole.1[value].bytes.len() * 8 - 1] {
            let (group, mut values) = whole.clone();
            values[value].bytes[bit / 8] ^= 1 << (bit % 8);
            let mut copy = b.copy_window(info.clone()).expect("begins");
            let taken = copy.take(generation, group, values);
            assert!(matches!(taken, Err(WindowError::Damaged { .. })), "value {value}, bit {bit}");
        }
        let (group, mut values) = whole.clone();
        values.remove(value);
        let mut copy = b.copy_window(info.clone()).expect("begins");
        assert!(copy.take(generation, group, values).is_err() || whole.1[value].sub == u16::MAX - 1);
    }
    // Another group's values, or another generation's, are not these.
    let (other, _) = agent.window_group(info.start, generation, numbers[0]).expect("there");
    let mut copy = b.copy_window(info.clone()).expect("begins");
    assert!(copy.take(generation, other, whole.1.clone()).is_err());
    assert!(copy.take(generation + 1, whole.0.clone(), whole.1.clone()).is_err());
    drop(copy);
    assert!(matches!(agent.window_group(info.start, 77, 1), Err(WindowError::Changed(_))));
    assert!(everything(&b).is_empty() && lacking(&agent, &b) == wanted);
    // A window that is in memory, or none, is not taken.
    assert!(!b.takes_window(clock.now_ms() / WINDOW * WINDOW) && !b.takes_window(info.start + 1));
    repair(&agent, &b);
    assert_eq!(everything(&b), before);
}

proptest! {
    #![proptest_config(cases_or(6, 300))]

    /// Each of two replicas gets any frames in any order, seals between, restarts and repairs the other: both end with
    /// what a store has that got all of them.
    #[test]
    fn twins_that_hold_parts_of_windows_become_equal(
        whose in prop::collection::vec(0..4u8, 55),
        shuffle in any::<u64>(),
        rounds in 1..4usize,
        early in any::<bool>(),
    ) {
        let clock = SimulatedClock::at(T0);
        let (_dir, agent) = agent(&clock, 220);
        let frames = agent.frames(&agent.own_stream().id, 1, usize::MAX).expect("reads");
        let dirs = [folder(), folder(), folder()];
        let [a, mut b, whole] = [0, 1, 2].map(|at| open(dirs[at].path(), ["a", "b", "w"][at], &clock, 2 + at as u64));
        let mut order: Vec<usize> = (0..frames.len()).collect();
        order.sort_by_key(|at| (*at as u64 + 1).wrapping_mul(shuffle | 1).rotate_left(17));
        if !early {
            clock.advance(Duration::from_millis(4 * WINDOW as u64));
        }
        let of = |at: usize| whose.get(at).copied().unwrap_or(3);
        take(&whole, &agent, &frames, |at| of(at) > 0);
        for round in 0..rounds {
            for (store, bit) in [(&a, 1u8), (&b, 2)] {
                introduce(&agent, store, &agent.own_stream().id);
                for &at in order.iter().skip(round).step_by(rounds).filter(|at| of(**at) & bit > 0) {
                    offer(store, &frames[at]);
                }
                store.flush().expect("flushes");
            }
            clock.advance(Duration::from_millis(2 * WINDOW as u64));
            a.maintain();
            b.maintain();
            if round == 0 && shuffle % 2 == 0 {
                repair(&b, &a);
            }
        }
        repair(&a, &b);
        b.close().expect("closes");
        drop(b);
        b = open(dirs[1].path(), "b", &clock, 9);
        repair(&b, &a);
        let expected = everything(&whole);
        let own = agent.own_stream().id;
        for round in 0..2 {
            prop_assert_eq!(&everything(&a), &expected, "a, round {}", round);
            prop_assert_eq!(&everything(&b), &expected, "b, round {}", round);
            prop_assert_eq!(a.received(&own), whole.received(&own));
            prop_assert_eq!(b.received(&own), whole.received(&own));
            clock.advance(Duration::from_millis(2 * WINDOW as u64));
            a.maintain();
            b.maintain();
        }
    }
}

/// Blocks that are damaged make way for those of a twin that has at least the same frames.
#[test]
fn a_copied_window_takes_the_place_of_a_damaged_one() {
    let clock = SimulatedClock::at(T0);
    let (_dir, agent) = agent(&clock, 100);
    let frames = agent.frames(&agent.own_stream().id, 1, usize::MAX).expect("reads");
    let dirs = [folder(), folder()];
    let [a, b] = [0, 1].map(|at| open(dirs[at].path(), ["a", "b"][at], &clock, 2 + at as u64));
    for store in [&a, &b] {
        take(store, &agent, &frames, |_| true);
    }
    let before = everything(&a);
    clock.advance(Duration::from_millis(4 * WINDOW as u64));
    for store in [&a, &b] {
        store.maintain();
    }
    b.close().expect("closes");
    drop(b);
    for file in sealed_blocks(dirs[1].path()) {
        let mut bytes = std::fs::read(&file).expect("reads");
        let at = bytes.len() / 3;
        bytes[at..at + 64].iter_mut().for_each(|byte| *byte ^= 0x55);
        std::fs::write(&file, bytes).expect("writes");
    }
    // The log of before is gone, too.
    for segment in segments(dirs[1].path()) {
        std::fs::remove_file(segment).expect("removes");
    }
    let mut b = open(dirs[1].path(), "b", &clock, 9);
    let gaps = |store: &Store| {
        let select = Select { matchers: Vec::new(), range: TimeRange::ALL, samples_max: usize::MAX };
        let gaps = wait(store.select(select)).expect("answers").coverage.gaps;
        gaps.into_iter().filter(|gap| gap.why.contains("sealed data")).count()
    };
    assert!(everything(&b) != before && gaps(&b) > 0);
    let all: Vec<_> = a.streams().into_iter().map(|info| (info.id.clone(), a.received(&info.id))).collect();
    for info in a.windows_holding(&all, 9) {
        copy(&a, &b, &info).expect("copied");
    }
    for life in 10..12 {
        assert_eq!(everything(&b), before);
        assert_eq!(gaps(&b), 0);
        b.close().expect("closes");
        drop(b);
        b = open(dirs[1].path(), "b", &clock, life);
    }
}

/// A store with a tail keeps its windows in the log for so long, and no longer.
#[test]
fn a_tail_of_the_log_stays_behind_what_is_sealed() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let mut tailed = options(dir.path(), "a");
    tailed.log_tail = Duration::from_millis(3 * WINDOW as u64);
    let store = open_with(tailed, &clock, 2);
    let own = store.own_stream().id;
    for window in 0..9i64 {
        for minute in (0..120).step_by(20) {
            let page = store.layout(layout("own", 1)).expect("layout");
            append(&store, &page, T0 + window * WINDOW + minute * 60_000, &[value(minute as f64)]);
            store.flush().expect("flushes");
            clock.advance(Duration::from_secs(20 * 60));
        }
        let before = everything(&store);
        store.maintain();
        let oldest = store.frames(&own, 1, 1).expect("reads")[0].range().start;
        // Those that ended within the last three windows' time are there.
        assert_eq!(oldest, T0 + (window - 2).max(0) * WINDOW, "window {window}");
        assert_eq!(everything(&store), before);
    }
    assert_eq!(store.status().sealed_windows, 8);
}
