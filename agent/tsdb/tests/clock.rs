//! A clock that is wrong and set right: own samples at the time that it shows are always taken, stay, and ship; and
//! however far it jumps, nothing is dropped that is not old by a clock that runs as time does.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::{Clock as _, SimulatedClock};
use model::Labels;
use proptest::prelude::*;
use storage::{Appender, FrameSource, LayoutRef, Row};
use vedette_tsdb::Store;

#[derive(Clone, Debug)]
enum Op {
    /// Targets get a row each, at the time that the clock shows.
    Scrape(u8),
    /// Time passes, and what is due is done.
    Pass(u64),
    /// The clock is set by so much.
    Step(i64),
    Flush,
    Restart,
    /// The process dies and another starts on a copy of its files.
    Crash,
}

fn any_op() -> impl Strategy<Value = Op> {
    let step = prop_oneof![1_000i64..20_000_000, 3 * WINDOW..40 * WINDOW];
    prop_oneof![
        12 => (1u8..8).prop_map(Op::Scrape),
        4 => (1_000u64..9_000_000).prop_map(Op::Pass),
        2 => step.clone().prop_map(Op::Step),
        2 => step.prop_map(|by| Op::Step(-by)),
        1 => Just(Op::Flush),
        1 => Just(Op::Restart),
        1 => Just(Op::Crash),
    ]
}

/// Appends, with the layout asked for again where the store says so; how many samples were taken.
fn scrape(store: &Store, target: &str, timestamp: i64, number: f64) -> usize {
    let cells = [value(number), value(7.0)];
    loop {
        let page = store.layout(layout(target, 2)).expect("layout");
        match Appender::append(store, Row { layout: &page, timestamp, cells: &cells }) {
            Err(storage::AppendError::Relayout) => {}
            outcome => return outcome.expect("appends").appended,
        }
    }
}

/// What was written, the last of each time.
#[derive(Default)]
struct Naive(BTreeMap<Labels, BTreeMap<i64, u64>>);

impl Naive {
    fn scrape(&mut self, target: &str, timestamp: i64, number: f64) {
        for (slot, number) in [(0, number), (1, 7.0)] {
            let series = layout(target, 2).series(slot);
            self.0.entry(series).or_default().insert(timestamp, number.to_bits());
        }
    }

    fn samples(&self) -> Samples {
        let all = self.0.iter();
        all.map(|(labels, samples)| (labels.clone(), samples.iter().map(|(&t, &b)| (t, b)).collect()))
            .collect()
    }
}

/// A store that gets all frames of all streams and never seals.
fn replica(store: &Store) -> (tempfile::TempDir, Arc<Store>) {
    let dir = folder();
    let replica = open(dir.path(), "r", &SimulatedClock::at(T0), 1);
    store.flush().expect("flushes");
    for info in store.streams() {
        for frame in introduce(store, &replica, &info.id) {
            offer(&replica, &frame);
        }
    }
    (dir, replica)
}

/// Without the labels that only others see.
fn bare(samples: Samples) -> Samples {
    let without = |labels: &Labels| {
        Labels::from_pairs(labels.pairs().filter(|(name, _)| !["agent", "site"].contains(name)))
    };
    samples.iter().map(|(labels, samples)| (without(labels), samples.clone())).collect()
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn every_own_sample_is_taken_whatever_the_clock_does(ops in prop::collection::vec(any_op(), 1..40)) {
        let clock = SimulatedClock::at(T0 + 50 * WINDOW);
        let mut dir = folder();
        let settings = |dir: &std::path::Path| {
            let mut options = options(dir, "n");
            options.retention_time = Duration::ZERO;
            options
        };
        let mut store = open_with(settings(dir.path()), &clock, 0);
        store.keep_frames(|_| storage::IntervalSet::new());
        let mut naive = Naive::default();
        for (op, seed) in ops.into_iter().zip(1..) {
            match op {
                Op::Scrape(targets) => {
                    // In whole seconds, so that times come again once the clock is set back.
                    clock.advance(Duration::from_secs(1));
                    let now = clock.now_ms() / 1_000 * 1_000;
                    for target in 0..2u8 {
                        if targets & 1 << target != 0 {
                            let (target, number) = (target.to_string(), seed as f64);
                            naive.scrape(&target, now, number);
                            prop_assert_eq!(scrape(&store, &target, now, number), 2, "at {}", now);
                        }
                    }
                    prop_assert_eq!(everything(&store), naive.samples());
                }
                Op::Pass(ms) => {
                    clock.advance(Duration::from_millis(ms));
                    store.maintain();
                }
                Op::Step(by) => clock.step(by),
                Op::Flush => store.flush().expect("flushes"),
                Op::Restart | Op::Crash => {
                    if matches!(op, Op::Crash) {
                        store.flush().expect("flushes");
                        let copy = folder();
                        copy_dir(dir.path(), copy.path());
                        drop(store);
                        dir = copy;
                    } else {
                        drop(store);
                    }
                    store = open_with(settings(dir.path()), &clock, seed);
                    store.keep_frames(|_| storage::IntervalSet::new());
                    prop_assert_eq!(everything(&store), naive.samples());
                }
            }
        }
        let (_dir, replica) = replica(&store);
        prop_assert_eq!(bare(everything(&replica)), naive.samples());
    }
}

/// A row a minute for so long, with what is due done in between.
fn run(store: &Store, clock: &SimulatedClock, minutes: i64) -> Vec<i64> {
    let mut times = Vec::new();
    for minute in 0..minutes {
        clock.advance(Duration::from_secs(60));
        assert_eq!(scrape(store, "a", clock.now_ms(), minute as f64), 2, "{minute}");
        times.push(clock.now_ms());
        if minute % 20 == 0 {
            store.flush().expect("flushes");
            store.maintain();
        }
    }
    store.flush().expect("flushes");
    store.maintain();
    times
}

fn times(store: &Store) -> Vec<i64> {
    everything(store).values().next().into_iter().flatten().map(|sample| sample.0).collect()
}

/// The clock is four hours ahead for as long, and set right: samples are taken at once, and are those of one store
/// after restarts.
#[test]
fn a_clock_that_was_ahead_holds_nothing_up() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let mut store = open(dir.path(), "n", &clock, 1);
    let mut all = run(&store, &clock, 60);
    clock.step(2 * WINDOW);
    all.extend(run(&store, &clock, 300));
    clock.step(-2 * WINDOW);
    all.extend(run(&store, &clock, 30));
    store.close().expect("closes");
    drop(store);
    store = open(dir.path(), "n", &clock, 2);
    all.extend(run(&store, &clock, 400));
    all.sort_unstable();
    all.dedup();
    assert_eq!(times(&store), all);
    let status = store.status();
    assert!(status.sealed_windows >= 4, "{status:?}");
}

/// However far ahead the clock jumps, what is not old by the time that passes stays, and what is past retention
/// goes once the clock is right.
#[test]
fn a_jump_deletes_nothing() {
    for jump in [3 * WINDOW, 20 * WINDOW, 700_000 * WINDOW] {
        let (dir, clock) = (folder(), SimulatedClock::at(T0));
        let mut settings = options(dir.path(), "n");
        settings.retention_time = Duration::from_secs(24 * 3600);
        let mut store = open_with(settings.clone(), &clock, 1);
        let before = run(&store, &clock, 12 * 60);
        clock.step(jump);
        store.maintain();
        let ahead = run(&store, &clock, 4 * 60);
        store.close().expect("closes");
        drop(store);
        store = open_with(settings.clone(), &clock, 2);
        store.maintain();
        let first = times(&store).first().copied();
        assert_eq!(first, before.first().copied(), "after a start in a wrong time, {jump}");
        clock.step(-jump);
        store.maintain();
        let mut all = [before, ahead, run(&store, &clock, 2 * 60)].concat();
        all.sort_unstable();
        assert_eq!(times(&store), all, "{jump}");
        // 24 hours after the first rows two windows are past.
        run(&store, &clock, 11 * 60);
        let left = times(&store).first().copied();
        assert!(left.is_some_and(|left| (T0 + 2 * WINDOW..T0 + 4 * WINDOW).contains(&left)), "{left:?}");
    }
}

/// A clock that began long ago, as on a machine without a battery, keeps nothing from going once it is right.
#[test]
fn a_clock_that_was_behind_is_believed_in_the_end() {
    let (dir, clock) = (folder(), SimulatedClock::at(10 * WINDOW));
    let mut settings = options(dir.path(), "n");
    settings.retention_time = Duration::from_secs(24 * 3600);
    let store = open_with(settings, &clock, 1);
    run(&store, &clock, 60);
    clock.step(T0);
    run(&store, &clock, 10 * 60);
    assert!(times(&store).first().is_some_and(|first| *first > T0));
}

#[test]
fn a_layout_of_before_is_asked_for_again() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let store = open(dir.path(), "n", &clock, 1);
    let page: LayoutRef = store.layout(layout("a", 1)).expect("layout");
    let own = store.own_stream();
    append(&store, &page, T0, &[value(1.0)]);
    clock.step(-1_000);
    let row = Row { layout: &page, timestamp: T0 - 1_000, cells: &[value(2.0)] };
    assert!(matches!(Appender::append(&*store, row), Err(storage::AppendError::Relayout)));
    let now = store.own_stream();
    assert!(now.id < own.id, "of two samples of one time its one counts");
    assert!(now.minted_ms > own.minted_ms, "and it is the newer one all the same");
    // For less than a second there is no other stream.
    clock.step(-999);
    store.maintain();
    assert_eq!(store.own_stream(), now);
}

/// Series with several samples a second: a clock that is set back a little, however often, costs none of them, and
/// what was refused before is refused still.
#[test]
fn a_small_step_back_costs_no_sample() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let mut store = open(dir.path(), "n", &clock, 1);
    let page = store.layout(layout("a", 2)).expect("layout");
    let append = |store: &Store, page: &LayoutRef, timestamp: i64, number: f64| {
        let row = Row { layout: page, timestamp, cells: &[value(number), value(7.0)] };
        Appender::append(store, row).expect("appends")
    };
    let (mut all, own) = (BTreeMap::new(), store.own_stream());
    for row in 0..400i64 {
        let step = [(3, -999), (5, -13), (6, -700), (14, -57)].iter().find(|(at, _)| row % 40 == *at);
        let step = step.map_or(0, |(_, by)| *by);
        clock.advance(Duration::from_millis(97));
        let before = clock.now_ms();
        clock.step(step);
        // A scrape may have begun before.
        let now = if row % 2 == 0 { before } else { clock.now_ms() };
        let taken = append(&store, &page, now, row as f64);
        assert_eq!(
            (taken.appended, taken.out_of_order),
            (if all.contains_key(&now) { 0 } else { 2 }, 0),
            "{row}"
        );
        all.entry(now).or_insert(row as f64);
        if row % 50 == 0 {
            store.flush().expect("flushes");
        }
    }
    assert_eq!(store.own_stream(), own);
    let expected: Vec<(i64, u64)> = all.iter().map(|(time, number)| (*time, number.to_bits())).collect();
    let first = |store: &Store| everything(store).into_iter().next().expect("a series").1;
    assert_eq!(first(&store), expected);
    let old = append(&store, &page, T0 - 5_000, 1.0);
    assert_eq!((old.appended, old.out_of_order), (0, 2), "that time does not come again");
    store.close().expect("closes");
    drop(store);
    store = open(dir.path(), "n", &clock, 2);
    assert_eq!(first(&store), expected);
}
