//! Random lives of a replica that seals, against a store that gets the same frames and keeps all of them in its
//! log; and processes that are killed while they seal.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::SimulatedClock;
use model::{Labels, Matcher, Metadata};
use proptest::prelude::*;
use storage::{Appender, Cell, Frame, FrameSource, Layout, Slot, TimeRange};
use vedette_tsdb::Store;

/// What two agents write: rows of pages that share series, over two windows, some of them under another epoch.
#[derive(Clone, Debug)]
struct Written {
    agent: usize,
    page: usize,
    since: i64,
    cells: Vec<Cell>,
    flush: bool,
    renew: bool,
}

#[derive(Clone, Debug)]
enum Op {
    /// Offers frames, each named by its place among those that are left.
    Offer(Vec<prop::sample::Index>),
    /// Windows pass, and what is past is sealed.
    Turn(u64),
    Maintain,
    /// Days pass, and what is past is put together.
    Days(u64),
    Compact,
    Restart,
    /// The process dies and another starts on a copy of its files.
    Crash,
    /// Hides a name's samples from so many milliseconds after the start on, for so many.
    Delete(usize, i64, i64),
    /// Writes anew what deletions touch.
    Clean,
    /// A copy is made beside the store, and is one.
    Snapshot,
}

fn any_cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        5 => (0u8..6).prop_map(|number| value(f64::from(number) / 4.0)),
        1 => Just(Cell::Stale),
        1 => Just(Cell::Absent),
    ]
}

fn any_written() -> impl Strategy<Value = Written> {
    let cells = prop::collection::vec(any_cell(), 3);
    (0usize..2, 0usize..3, 0i64..400_000, cells, prop::bool::weighted(0.4), prop::bool::weighted(0.03))
        .prop_map(|(agent, page, since, cells, flush, renew)| Written {
            agent,
            page,
            since,
            cells,
            flush,
            renew,
        })
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::collection::vec(any::<prop::sample::Index>(), 1..12).prop_map(Op::Offer),
        4 => (1u64..3).prop_map(Op::Turn),
        1 => Just(Op::Maintain),
        1 => (0u64..2).prop_map(Op::Days),
        2 => Just(Op::Compact),
        1 => Just(Op::Restart),
        1 => Just(Op::Crash),
        1 => (0usize..5, 0i64..20_000_000, 0i64..5_000_000).prop_map(|(name, from, long)| Op::Delete(name, from, long)),
        1 => Just(Op::Clean),
        1 => Just(Op::Snapshot),
    ]
}

/// Two pages of one target that share a series, and one of another target.
fn page(which: usize) -> Layout {
    let slot = |name: &str| Slot::new(Labels::from_pairs([("__name__", name)]), Metadata::default());
    let names = [["a", "b", "c"], ["c", "d", "e"], ["a", "b", "c"]][which];
    let target = Labels::from_pairs([("instance", if which == 2 { "other" } else { "one" })]);
    Layout::new(target, names.map(slot).to_vec()).expect("valid")
}

fn write(agents: &[Arc<Store>], clock: &SimulatedClock, rows: &[Written]) {
    let mut now = T0;
    for row in rows {
        now += row.since;
        clock.advance(Duration::from_millis(row.since as u64));
        let store = &agents[row.agent];
        let page = store.layout(page(row.page)).expect("layout");
        append(store, &page, now, &row.cells);
        if row.flush {
            store.flush().expect("flushes");
        }
        if row.renew {
            let external = store.own_stream().external;
            store.renew_epoch(external).expect("renews");
        }
    }
    agents.iter().for_each(|store| store.flush().expect("flushes"));
}

fn introduce_all(agents: &[Arc<Store>], to: &Store) -> Vec<Frame> {
    agents
        .iter()
        .flat_map(|agent| agent.streams().into_iter().map(move |info| (agent, info)))
        .flat_map(|(agent, info)| introduce(agent, to, &info.id))
        .collect()
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_replica_that_seals_is_one_that_does_not(
        rows in prop::collection::vec(any_written(), 1..60), ops in prop::collection::vec(any_op(), 1..25),
    ) {
        let clock = SimulatedClock::at(T0);
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().expect("dir")).collect();
        let agents: Vec<_> = dirs.iter().zip(0..).map(|(dir, at)| open(dir.path(), &format!("agent-{at}"), &clock, at)).collect();
        write(&agents, &clock, &rows);
        // The other one's clock stands still: nothing of it is ever past.
        let (still, plain_dir) = (SimulatedClock::at(T0), tempfile::tempdir().expect("dir"));
        let plain = open(plain_dir.path(), "plain", &still, 7);
        let mut left = introduce_all(&agents, &plain);
        let mut dir = tempfile::tempdir().expect("dir");
        let mut store = open(dir.path(), "r", &clock, 8);
        let mut deleted: Vec<(String, i64, i64)> = Vec::new();
        let shown = |deleted: &[(String, i64, i64)]| {
            let mut all = everything(&plain);
            for (labels, samples) in &mut all {
                let of = |name: &str| labels.get("__name__") == Some(name);
                let hides = |at: i64| deleted.iter().any(|(name, from, to)| of(name) && (*from..=*to).contains(&at));
                samples.retain(|sample| !hides(sample.0));
            }
            all.retain(|_, samples| !samples.is_empty());
            all
        };
        for (op, seed) in ops.into_iter().zip(9..) {
            match op {
                Op::Offer(places) => for place in places {
                    if left.is_empty() {
                        break;
                    }
                    let frame = left.swap_remove(place.index(left.len()));
                    introduce_all(&agents, &store);
                    offer(&store, &frame);
                    offer(&plain, &frame);
                },
                Op::Turn(windows) => {
                    clock.advance(Duration::from_millis(windows * WINDOW as u64));
                    store.flush().expect("flushes");
                    store.maintain();
                }
                Op::Maintain => store.maintain(),
                Op::Days(days) => {
                    clock.advance(Duration::from_millis((12 * days + 1) * WINDOW as u64));
                    store.flush().expect("flushes");
                    store.maintain();
                    store.compact();
                }
                Op::Compact => store.compact(),
                Op::Delete(name, from, long) => {
                    let name = ["a", "b", "c", "d", "e"][name];
                    let range = TimeRange { start: T0 + from, end: T0 + from + long };
                    store.delete_series(vec![Matcher::equal("__name__", name)], range).expect("deletes");
                    deleted.push((name.to_owned(), range.start, range.end));
                }
                Op::Clean => store.clean_tombstones().expect("cleans"),
                Op::Snapshot => {
                    let name = format!("s{seed}");
                    store.snapshot(&name, false).expect("copies");
                    let copy = open(&dir.path().join("snapshots").join(name), "r", &clock, 1_000 + seed);
                    prop_assert_eq!(everything(&copy), shown(&deleted));
                }
                Op::Restart => {
                    store.close().expect("closes");
                    drop(store);
                    store = open(dir.path(), "r", &clock, seed);
                }
                Op::Crash => {
                    store.flush().expect("flushes");
                    let copy = tempfile::tempdir().expect("dir");
                    copy_dir(dir.path(), copy.path());
                    drop(store);
                    dir = copy;
                    store = open(dir.path(), "r", &clock, seed);
                }
            }
            prop_assert_eq!(everything(&store), shown(&deleted));
        }
    }
}

const DIR: &str = "VEDETTE_SEALS_IN";
const LATER: i64 = T0 + 8 * WINDOW;

/// The other process: seals what there is, again and again, until it is killed or done.
#[test]
fn seals_where_it_is_told() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = open(Path::new(&dir), "n", &SimulatedClock::at(LATER), std::process::id().into());
    store.maintain();
    store.close().expect("closes");
}

#[test]
fn a_process_that_is_killed_while_it_seals_loses_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    for minute in 0..6 * 120i64 {
        for target in 0..8i64 {
            let page = store.layout(layout(&target.to_string(), 40)).expect("layout");
            let cells: Vec<_> =
                (0..40i64).map(|slot| value((minute * (target + slot) % 97) as f64 / 4.0)).collect();
            append(&store, &page, T0 + minute * 60_000, &cells);
        }
        clock.advance(Duration::from_secs(60));
    }
    store.flush().expect("flushes");
    let before = everything(&store);
    let own = store.own_stream().id;
    let received = storage::FrameSink::received(&*store, &own);
    drop(store);
    let program = std::env::current_exe().expect("known");
    let (time, mut unfinished) = (env::SystemClock::shared(), 0);
    let mut patience = Duration::from_millis(4);
    for round in 0..40u64 {
        let mut child = Command::new(&program)
            .args(["--exact", "seals_where_it_is_told"])
            .env(DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        // Not a wait for anything: wherever the kill hits, the answer must be the same.
        let started = time.monotonic();
        patience = patience * 3 / 2;
        let ended = loop {
            match child.try_wait().expect("tells") {
                Some(status) => break Some(status),
                None if time.monotonic() - started > patience => break None,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        if ended.is_none() {
            unfinished += 1;
            child.kill().expect("kills");
            child.wait().expect("ends");
        }
        let store = open(dir.path(), "n", &SimulatedClock::at(LATER), 100 + round);
        assert_eq!(everything(&store), before, "round {round}");
        assert_eq!(storage::FrameSink::received(&*store, &own), received, "round {round}");
        if ended.is_some_and(|status| status.success()) {
            break;
        }
    }
    assert!(unfinished > 0, "no process was killed while it sealed");
}
