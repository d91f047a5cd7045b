//! Tiles that a start takes over: what it answers is what the log alone would give, whatever was appended in which
//! order, and whatever became of the tiles and of the log's end.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::{SeededRandom, SharedClock, SimulatedClock};
use proptest::prelude::*;
use storage::{AppendError, Appender, Cell, FrameSource, Row};
use telemetry::Registry;
use vedette_tsdb::{Store, StoreOptions};

const SLOTS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    /// So many rows of a target, so many seconds apart.
    Rows(usize, usize, u64),
    /// A row of a target in the past.
    Late(usize, i64),
    Pass(u64),
    Flush,
    Renew,
    Restart,
    Kill(Harm),
}

/// What happens to the folder before the next start.
#[derive(Clone, Debug)]
enum Harm {
    Nothing,
    /// A byte of the tiles changes.
    Flip(prop::sample::Index),
    /// The tiles end there.
    Cut(prop::sample::Index),
    /// The log's last segment ends there.
    CutLog(prop::sample::Index),
}

fn any_op() -> impl Strategy<Value = Op> {
    let index = any::<prop::sample::Index>;
    let harm = prop_oneof![
        2 => Just(Harm::Nothing),
        1 => index().prop_map(Harm::Flip),
        1 => index().prop_map(Harm::Cut),
        1 => index().prop_map(Harm::CutLog),
    ];
    prop_oneof![
        8 => (0..3usize, 1..300usize, 1..40u64).prop_map(|(target, rows, step)| Op::Rows(target, rows, step)),
        2 => (0..3usize, 0..3_000i64).prop_map(|(target, age)| Op::Late(target, age)),
        1 => (0..4_000u64).prop_map(Op::Pass),
        1 => Just(Op::Flush),
        1 => Just(Op::Renew),
        1 => Just(Op::Restart),
        3 => harm.prop_map(Op::Kill),
    ]
}

fn settings(dir: &Path) -> StoreOptions {
    let mut options = options(dir, "n");
    options.out_of_order_window = Duration::from_secs(3_600);
    // Only the test says when.
    options.commit_interval = Duration::from_secs(3_600);
    options
}

fn start(dir: &Path, clock: &Arc<SimulatedClock>, seed: u64) -> (Arc<Store>, Registry) {
    let registry = Registry::new();
    let shared = Arc::clone(clock) as SharedClock;
    let store = Store::open(settings(dir), shared, SeededRandom::shared(seed), &registry).expect("opens");
    (store, registry)
}

/// How many rows the start took over.
fn adopted(registry: &Registry) -> u64 {
    let page = registry.encode_text();
    let line = page.lines().find(|line| line.starts_with("vedette_tsdb_head_adopted_rows_total"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("it is counted")
}

fn put(store: &Store, target: usize, timestamp: i64, number: u64) {
    let cells: Vec<Cell> = (0..SLOTS as u64)
        .map(|slot| match (number + slot) % 11 {
            0 => Cell::Absent,
            1 => Cell::Stale,
            2 => value(0.1 + 0.2),
            _ if slot == 0 => value(7.0),
            _ => value((number * slot) as f64 / 8.0),
        })
        .collect();
    loop {
        let layout = store.layout(layout(&target.to_string(), SLOTS)).expect("layout");
        match Appender::append(store, Row { layout: &layout, timestamp, cells: &cells }) {
            Err(AppendError::Relayout) => {}
            outcome => return drop(outcome.expect("appends")),
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("head")).into_iter().flatten();
    entries.map(|entry| entry.expect("entry").path()).collect()
}

fn hurt(dir: &Path, harm: &Harm) {
    let (all, index) = match harm {
        Harm::Nothing => return,
        Harm::Flip(index) | Harm::Cut(index) => (files(dir), index),
        Harm::CutLog(index) => (segments(dir).pop().into_iter().collect(), index),
    };
    for path in all {
        let mut bytes = fs::read(&path).expect("reads");
        if bytes.is_empty() {
            continue;
        }
        let at = index.index(bytes.len());
        match harm {
            Harm::Flip(_) => bytes[at] ^= 0x20,
            _ => bytes.truncate(at),
        }
        fs::write(&path, bytes).expect("writes");
    }
}

/// The same folder without tiles gives the same answers.
fn check_without(dir: &Path, store: &Store, clock: &Arc<SimulatedClock>) {
    let copy = folder();
    copy_dir(dir, copy.path());
    fs::remove_dir_all(copy.path().join("head"))
        .or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
        .expect("removes");
    let (without, registry) = start(copy.path(), clock, 77);
    assert_eq!(adopted(&registry), 0);
    assert_eq!(everything(store), everything(&without));
    without.close().expect("closes");
}

proptest! {
    #![proptest_config(cases_or(24, 600))]

    #[test]
    fn a_start_with_tiles_is_one_without(ops in prop::collection::vec(any_op(), 1..30)) {
        let clock = SimulatedClock::at(T0 + 600_000);
        let mut dir = folder();
        let (mut store, _) = start(dir.path(), &clock, 1);
        let mut number = 0;
        for (at, op) in ops.into_iter().enumerate() {
            let seed = at as u64 + 2;
            match op {
                Op::Rows(target, rows, step) => {
                    for _ in 0..rows {
                        clock.advance(Duration::from_secs(step));
                        number += 1;
                        put(&store, target, env::Clock::now_ms(&*clock), number);
                    }
                }
                Op::Late(target, age) => {
                    number += 1;
                    put(&store, target, env::Clock::now_ms(&*clock) - age * 1_000, number);
                }
                Op::Pass(seconds) => {
                    clock.advance(Duration::from_secs(seconds));
                    store.maintain();
                }
                Op::Flush => store.flush().expect("flushes"),
                Op::Renew => drop(FrameSource::renew_epoch(&*store, model::Labels::empty()).expect("renews")),
                Op::Restart => {
                    store.close().expect("closes");
                    let before = everything(&store);
                    drop(store);
                    store = start(dir.path(), &clock, seed).0;
                    prop_assert_eq!(everything(&store), before);
                    check_without(dir.path(), &store, &clock);
                }
                Op::Kill(harm) => {
                    let killed = folder();
                    copy_dir(dir.path(), killed.path());
                    hurt(killed.path(), &harm);
                    drop(store);
                    dir = killed;
                    store = start(dir.path(), &clock, seed).0;
                    check_without(dir.path(), &store, &clock);
                }
            }
        }
    }
}

/// What was made into tiles is taken over, start after start, also of those of 32 rows that are in memory; the rest is
/// replayed.
#[test]
fn tiles_are_taken_over_again_and_again() {
    let clock = SimulatedClock::at(T0);
    let dir = folder();
    let (mut expected, mut number) = (0, 0);
    for life in 0..4 {
        let (store, registry) = start(dir.path(), &clock, life + 1);
        assert_eq!(adopted(&registry), expected);
        // A start begins another stream.
        for _ in 0..300 {
            clock.advance(Duration::from_secs(5));
            number += 1;
            (0..2).for_each(|target| put(&store, target, env::Clock::now_ms(&*clock), number));
        }
        store.flush().expect("flushes");
        expected += 2 * 288;
        assert!(everything(&store).values().map(Vec::len).sum::<usize>() > 0);
        // Killed: nothing is closed in order.
        let killed = folder();
        copy_dir(dir.path(), killed.path());
        let (again, registry) = start(killed.path(), &clock, 100 + life);
        assert_eq!(adopted(&registry), expected);
        assert_eq!(everything(&again), everything(&store));
        again.close().expect("closes");
        store.close().expect("closes");
    }
}

/// The last rows of a target that is gone are no whole tile for ever: they are taken over, too. Those of one that goes
/// on are not cut short.
#[test]
fn the_last_rows_of_what_is_gone_are_taken_over() {
    let clock = SimulatedClock::at(T0);
    let dir = folder();
    let (store, _) = start(dir.path(), &clock, 1);
    for number in 1..=400 {
        clock.advance(Duration::from_secs(10));
        if number <= 40 {
            put(&store, 0, env::Clock::now_ms(&*clock), number);
        }
        put(&store, 1, env::Clock::now_ms(&*clock), number);
        // One row a minute: it never has 32.
        if number % 6 == 0 && number < 60 {
            put(&store, 2, env::Clock::now_ms(&*clock), number);
        }
        store.maintain();
        store.flush().expect("flushes");
    }
    let killed = folder();
    copy_dir(dir.path(), killed.path());
    let (again, registry) = start(killed.path(), &clock, 2);
    assert_eq!(adopted(&registry), 40 + 384 + 9);
    assert_eq!(everything(&again), everything(&store));
    again.close().expect("closes");
    // All rows of a window that is past are.
    for _ in 0..4 {
        clock.advance(Duration::from_millis(WINDOW as u64 / 3));
        store.maintain();
    }
    let killed = folder();
    copy_dir(dir.path(), killed.path());
    let (again, registry) = start(killed.path(), &clock, 3);
    assert_eq!(adopted(&registry), 40 + 400 + 9);
    assert_eq!(everything(&again), everything(&store));
    again.close().expect("closes");
    store.close().expect("closes");
}

/// Files of windows that are not in memory any more go.
#[test]
fn tiles_go_with_their_window() {
    let clock = SimulatedClock::at(T0);
    let dir = folder();
    let (store, _) = start(dir.path(), &clock, 1);
    let name = |window: i64| dir.path().join("head").join(format!("{window}.tiles"));
    for window in 0..4 {
        for row in 0..200 {
            put(&store, 0, T0 + window * WINDOW + row * 1_000, row as u64);
        }
        store.flush().expect("flushes");
        assert!(name(T0 + window * WINDOW).exists());
        clock.advance(Duration::from_millis(WINDOW as u64));
        store.maintain();
        assert!(!name(T0 + (window - 1) * WINDOW).exists(), "window {window}");
    }
    store.close().expect("closes");
    drop(store);
    clock.advance(Duration::from_millis(3 * WINDOW as u64));
    start(dir.path(), &clock, 2).0.close().expect("closes");
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}
