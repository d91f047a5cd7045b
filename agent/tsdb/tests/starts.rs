//! Starts that are kept with samples: whatever becomes of the rows, they are told of the same samples, by whoever
//! holds those, and a store that has none pays nothing for them.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::{Clock as _, SimulatedClock};
use model::{Labels, Matcher, Metadata};
use proptest::prelude::*;
use storage::{
    Appender, Cell, FrameSink, FrameSource, Layout, LayoutRef, Number, Querier, Row, Select, Slot,
    StartSeries, StreamId, TimeRange, WindowSink, WindowSource,
};
use vedette_tsdb::{Store, verify};

type Starts = BTreeMap<Labels, Vec<(i64, i64)>>;

fn starts(store: &Store, matchers: Vec<Matcher>, range: TimeRange) -> Starts {
    let found = wait(store.starts(Select { matchers, range, samples_max: usize::MAX })).expect("answers");
    assert!(found.is_sorted_by(|one, two| one.labels < two.labels));
    found.into_iter().map(|StartSeries { labels, starts }| (labels, starts)).collect()
}

/// A target's counters: starts beside them in one row, or in a row of their own.
fn layouts(target: &str, counters: usize, apart: bool) -> Vec<Layout> {
    let labels = |at: usize| Labels::from_pairs([("__name__", format!("m{at}"))]);
    let numbers = (0..counters).map(|at| Slot::new(labels(at), Metadata::default()));
    let target = Labels::from_pairs([("instance", target)]);
    let starts = (0..counters).map(|at| Slot::of_starts(labels(at)));
    let rows: Vec<Vec<Slot>> = match apart {
        true => vec![numbers.collect(), starts.collect()],
        false => vec![numbers.zip(starts).flat_map(|(number, start)| [number, start]).collect()],
    };
    rows.into_iter().map(|slots| Layout::new(target.clone(), slots).expect("valid")).collect()
}

fn start_cell(start: Option<i64>) -> Cell {
    start.map_or(Cell::Absent, |mantissa| Cell::Value(Number::Decimal { mantissa, exponent: 0 }))
}

fn append(store: &Store, layout: &Layout, timestamp: i64, cells: &[Cell]) -> usize {
    loop {
        let layout: LayoutRef = store.layout(layout.clone()).expect("layout");
        match Appender::append(store, Row { layout: &layout, timestamp, cells }) {
            Err(storage::AppendError::Relayout) => {}
            outcome => return outcome.expect("appends").appended,
        }
    }
}

/// One row of a target: its samples, and when each counter began, as far as that is known.
fn scrape(store: &Store, layouts: &[Layout], timestamp: i64, row: &[(f64, Option<i64>)]) {
    let numbers = row.iter().map(|(number, _)| value(*number));
    let starts = row.iter().map(|(_, start)| start_cell(*start));
    let rows: Vec<Vec<Cell>> = match layouts.len() {
        1 => vec![numbers.zip(starts).flat_map(|(number, start)| [number, start]).collect()],
        _ => vec![numbers.collect(), starts.collect()],
    };
    for ((layout, cells), count) in layouts.iter().zip(rows).zip([row.len(), 0]) {
        assert_eq!(append(store, layout, timestamp, &cells), count, "starts are no samples");
    }
}

/// What was written.
#[derive(Default)]
struct Naive {
    samples: Samples,
    starts: Starts,
}

impl Naive {
    fn scrape(&mut self, layouts: &[Layout], timestamp: i64, row: &[(f64, Option<i64>)]) {
        for (at, (number, start)) in row.iter().enumerate() {
            let labels = layouts[0].series(if layouts.len() == 1 { 2 * at } else { at });
            self.samples.entry(labels.clone()).or_default().push((timestamp, number.to_bits()));
            if let Some(start) = start {
                self.starts.entry(labels).or_default().push((timestamp, *start));
            }
        }
    }

    fn within(&self, range: TimeRange) -> Starts {
        let mut part = self.starts.clone();
        part.values_mut().for_each(|starts| starts.retain(|(time, _)| range.contains(*time)));
        part.retain(|_, starts| !starts.is_empty());
        part
    }

    /// As another store shows the agent's.
    fn outside(&self) -> Starts {
        let shown = |labels: &Labels| {
            let mut shown = labels.to_builder();
            shown.set("agent", "n").set("site", "x");
            shown.build()
        };
        self.starts.iter().map(|(labels, starts)| (shown(labels), starts.clone())).collect()
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Both targets, so many times; a bit for each counter that begins anew before it.
    Scrape(u8, u8),
    Flush,
    Maintain,
    /// Hours pass.
    Pass(u64),
    Restart,
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1..40u8, any::<u8>()).prop_map(|(times, begins)| Op::Scrape(times, begins)),
        2 => Just(Op::Flush),
        2 => Just(Op::Maintain),
        2 => (1..5u64).prop_map(Op::Pass),
        1 => Just(Op::Restart),
    ]
}

const COUNTERS: usize = 5;

/// A life of a store; what is true of it is asked now and then.
fn live(dir: &std::path::Path, clock: &Arc<SimulatedClock>, ops: Vec<Op>, seed: u64) -> (Arc<Store>, Naive) {
    let mut store = open(dir, "n", clock, seed);
    store.keep_frames(|_| storage::IntervalSet::new());
    let targets = [layouts("a", COUNTERS, false), layouts("b", COUNTERS, true)];
    let (mut naive, mut began) = (Naive::default(), [[T0 - 77; COUNTERS]; 2]);
    for (op, number) in ops.into_iter().zip(1u64..) {
        match op {
            Op::Scrape(times, begins) => {
                for time in 0..times {
                    clock.advance(Duration::from_secs(15));
                    let now = clock.now_ms();
                    for (target, began) in targets.iter().zip(&mut began) {
                        let row: Vec<_> = (0..COUNTERS)
                            .map(|at| {
                                if time == 0 && begins & 1 << at != 0 {
                                    began[at] = now - 1 - at as i64;
                                }
                                // The last counter never says when it began, another one now and then.
                                let says = at + 1 < COUNTERS && (at != 2 || time % 3 == 0);
                                (number as f64 + f64::from(time), says.then_some(began[at]))
                            })
                            .collect();
                        naive.scrape(target, now, &row);
                        scrape(&store, target, now, &row);
                    }
                }
            }
            Op::Flush => store.flush().expect("flushes"),
            Op::Maintain => store.maintain(),
            Op::Pass(hours) => {
                clock.advance(Duration::from_secs(hours * 3_600));
                store.maintain();
            }
            Op::Restart => {
                drop(store);
                store = open(dir, "n", clock, seed + number);
                store.keep_frames(|_| storage::IntervalSet::new());
            }
        }
        assert_eq!(starts(&store, Vec::new(), TimeRange::ALL), naive.starts);
    }
    (store, naive)
}

proptest! {
    #![proptest_config(cases_or(8, 200))]

    #[test]
    fn starts_are_those_that_came_with_the_samples(
        ops in prop::collection::vec(any_op(), 1..24), seed in 1..1_000u64, from in 0..100u32, to in 0..100u32,
    ) {
        let (dir, clock) = (folder(), SimulatedClock::at(T0));
        let (store, naive) = live(dir.path(), &clock, ops, seed);
        // Samples are what they are without them, and so is each list.
        prop_assert_eq!(everything(&store), naive.samples.clone());
        let span = clock.now_ms() - T0;
        let range = TimeRange { start: T0 + span * i64::from(from) / 100, end: T0 + span * i64::from(to) / 100 };
        prop_assert_eq!(starts(&store, Vec::new(), range), naive.within(range));
        let one = vec![Matcher::equal("__name__", "m1"), Matcher::equal("instance", "b")];
        let found = starts(&store, one, TimeRange::ALL);
        let expected = naive.starts.iter().filter(|(labels, _)| labels.value("__name__") == "m1" && labels.value("instance") == "b");
        prop_assert_eq!(found, expected.map(|(labels, starts)| (labels.clone(), starts.clone())).collect::<Starts>());
        // A replica that takes the frames tells the same, then and once all is sealed there.
        let at_replica = folder();
        let replica = open(at_replica.path(), "r", &clock, 1);
        store.flush().expect("flushes");
        for info in store.streams() {
            for frame in introduce(&store, &replica, &info.id) {
                offer(&replica, &frame);
            }
        }
        prop_assert_eq!(starts(&replica, Vec::new(), TimeRange::ALL), naive.outside());
        clock.advance(Duration::from_secs(5 * 3_600));
        for store in [&store, &replica] {
            store.flush().expect("flushes");
            store.maintain();
        }
        prop_assert_eq!(starts(&replica, Vec::new(), TimeRange::ALL), naive.outside());
        prop_assert_eq!(starts(&store, Vec::new(), TimeRange::ALL), naive.starts.clone());
        store.close().expect("closes");
        drop(store);
        verify(dir.path(), &mut |fault| panic!("{fault}")).expect("reads");
    }
}

/// Gives a store what another has: sealed windows first, then what is left in the log.
fn repair(from: &Store, to: &Store) {
    let lacking = |id: &StreamId| from.received(id).difference(&to.received(id));
    from.streams().into_iter().for_each(|info| to.open_stream(info).expect("opens"));
    loop {
        let all = from.streams().into_iter().map(|info| (lacking(&info.id), info.id));
        let all: Vec<_> =
            all.filter(|(frames, _)| !frames.is_empty()).map(|(frames, id)| (id, frames)).collect();
        let windows = from.windows_holding(&all, 2);
        if windows.is_empty() {
            break;
        }
        for info in windows {
            let mut copy = to.copy_window(info.clone()).expect("begins");
            for &generation in &info.generations {
                for number in from.window_groups(info.start, generation, None).expect("reads") {
                    let (group, values) = from.window_group(info.start, generation, number).expect("reads");
                    copy.take(generation, group, values).expect("taken");
                }
            }
            copy.finish().expect("copied");
        }
    }
    for info in from.streams() {
        let left = lacking(&info.id);
        for frame in introduce(from, to, &info.id) {
            if left.contains(frame.key().seq) {
                offer(to, &frame);
            }
        }
    }
    to.flush().expect("flushes");
}

/// Two days: each becomes one file, and a twin that has nothing copies it.
#[test]
fn days_and_their_copies_have_them() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let store = open(dir.path(), "n", &clock, 1);
    let targets = [layouts("a", COUNTERS, false), layouts("b", COUNTERS, true)];
    let mut naive = Naive::default();
    for row in 0..50 * 6i64 {
        clock.advance(Duration::from_secs(600));
        for target in &targets {
            let began = |at: usize| (at > 0).then_some(T0 + row / 37 * 1_000 + at as i64);
            let row: Vec<_> = (0..COUNTERS).map(|at| (row as f64, began(at))).collect();
            naive.scrape(target, clock.now_ms(), &row);
            scrape(&store, target, clock.now_ms(), &row);
        }
        if row % 12 == 0 {
            store.flush().expect("flushes");
            store.maintain();
        }
    }
    clock.advance(Duration::from_secs(3 * 3_600));
    store.flush().expect("flushes");
    store.maintain();
    store.compact();
    assert!(store.status().sealed_days >= 1, "{:?}", store.status());
    assert_eq!(starts(&store, Vec::new(), TimeRange::ALL), naive.starts);
    let at_twin = folder();
    let twin = open(at_twin.path(), "r", &clock, 1);
    repair(&store, &twin);
    assert_eq!(starts(&twin, Vec::new(), TimeRange::ALL), naive.outside());
    let whole = TimeRange { start: T0 + 3 * WINDOW + 1, end: T0 + 9 * WINDOW };
    assert_eq!(starts(&store, Vec::new(), whole), naive.within(whole), "a part of a day");
    // What is deleted has no start either.
    let matchers = vec![Matcher::equal("__name__", "m2")];
    store.delete_series(matchers, whole).expect("deletes");
    naive.starts.iter_mut().filter(|(labels, _)| labels.value("__name__") == "m2").for_each(|(_, starts)| {
        starts.retain(|(time, _)| !whole.contains(*time));
    });
    assert_eq!(starts(&store, Vec::new(), TimeRange::ALL), naive.starts);
}
