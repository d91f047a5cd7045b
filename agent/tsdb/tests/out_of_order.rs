//! Samples out of order against a naive model of what Prometheus says of each: taken, there already, a second value,
//! out of order, too old, out of bounds; with an out-of-order window and without.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::{Clock as _, SimulatedClock};
use model::Labels;
use proptest::prelude::*;
use storage::{Appender, Cell, FrameSource, TimeRange};
use vedette_tsdb::{Store, StoreOptions};

#[derive(Clone, Debug)]
enum Op {
    /// Target, age in seconds, cells.
    Append(usize, i64, [Option<u8>; 2]),
    /// The row at that place once more, with these cells.
    Again(prop::sample::Index, [Option<u8>; 2]),
    Pass(u64),
    Flush,
    Maintain,
    Renew,
    Crash,
}

fn any_op() -> impl Strategy<Value = Op> {
    let cells = || prop::array::uniform2(prop::option::weighted(0.8, 0u8..3));
    let age = prop_oneof![3 => Just(0i64), 3 => 0..4_000i64, 2 => 0..30_000i64];
    prop_oneof![
        12 => (0usize..3, age, cells()).prop_map(|(target, age, cells)| Op::Append(target, age, cells)),
        3 => (any::<prop::sample::Index>(), cells()).prop_map(|(at, cells)| Op::Again(at, cells)),
        4 => (0u64..4_000).prop_map(Op::Pass),
        1 => Just(Op::Flush),
        1 => Just(Op::Maintain),
        1 => Just(Op::Renew),
        1 => Just(Op::Crash),
    ]
}

/// Samples by series, and what was said of those that were offered.
struct Naive {
    window: i64,
    newest: Option<i64>,
    samples: BTreeMap<Labels, BTreeMap<i64, u64>>,
    /// Appended, out of order, duplicates, out of bounds, too old.
    said: [usize; 5],
}

impl Naive {
    fn append(&mut self, now: i64, target: usize, timestamp: i64, cells: &[Option<u8>; 2]) {
        // The head has the window of now, and the one before.
        let head = now.div_euclid(WINDOW) * WINDOW - WINDOW;
        let newest_of_all = self.newest.unwrap_or(now);
        for (slot, cell) in cells.iter().enumerate() {
            let Some(number) = cell else { continue };
            let bits = f64::from(*number).to_bits();
            let series = self.samples.entry(layout(&target.to_string(), 2).series(slot)).or_default();
            let newest = series.last_key_value().map(|(&time, &bits)| (time, bits));
            let judged = match newest {
                _ if timestamp >= head && newest.is_none_or(|newest| newest.0 < timestamp) => 0,
                Some((newest, known)) if timestamp >= head && newest == timestamp => {
                    if known == bits {
                        continue;
                    }
                    2
                }
                _ if self.window > 0 && timestamp < newest_of_all - self.window => 4,
                _ if self.window > 0 && series.contains_key(&timestamp) => continue,
                _ if self.window > 0 => 0,
                _ if timestamp < head => 3,
                _ => 1,
            };
            self.said[judged] += 1;
            if judged == 0 {
                series.insert(timestamp, bits);
                self.newest = self.newest.max(Some(timestamp));
            }
        }
    }

    fn samples(&self) -> Samples {
        let all = self.samples.iter().filter(|(_, samples)| !samples.is_empty());
        all.map(|(labels, samples)| (labels.clone(), samples.iter().map(|(&t, &b)| (t, b)).collect()))
            .collect()
    }
}

fn settings(dir: &Path, window: i64) -> StoreOptions {
    let mut options = options(dir, "n");
    options.out_of_order_window = Duration::from_secs(window.unsigned_abs());
    options
}

fn cells(said: &[Option<u8>; 2]) -> Vec<Cell> {
    said.iter().map(|cell| cell.map_or(Cell::Absent, |number| value(f64::from(number)))).collect()
}

/// Offers a row; what was said of it is added up.
fn offer_row(store: &Store, said: &mut [usize; 5], target: usize, timestamp: i64, row: &[Option<u8>; 2]) {
    let page = store.layout(layout(&target.to_string(), 2)).expect("layout");
    let outcome = append(store, &page, timestamp, &cells(row));
    let counts =
        [outcome.appended, outcome.out_of_order, outcome.duplicates, outcome.out_of_bounds, outcome.too_old];
    said.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
}

proptest! {
    #![proptest_config(cases(20))]

    #[test]
    fn late_samples_are_judged_as_prometheus_does(
        ops in prop::collection::vec(any_op(), 1..80),
        window in prop_oneof![Just(0i64), Just(1_800i64), Just(20_000i64)],
    ) {
        let clock = SimulatedClock::at(T0 + 20 * WINDOW);
        let mut dir = folder();
        let mut store = open_with(settings(dir.path(), window), &clock, 0);
        let mut naive =
            Naive { window: window * 1_000, newest: None, samples: BTreeMap::new(), said: [0; 5] };
        let (mut said, mut rows) = ([0; 5], Vec::new());
        for (op, at) in ops.into_iter().zip(1i64..) {
            let now = clock.now_ms();
            match op {
                Op::Append(target, age, row) => {
                    // No two rows have one time.
                    let timestamp = if age == 0 { now } else { now - age * 1_000 + at };
                    rows.push((target, timestamp));
                    naive.append(now, target, timestamp, &row);
                    offer_row(&store, &mut said, target, timestamp, &row);
                }
                Op::Again(which, row) => {
                    let head = now.div_euclid(WINDOW) * WINDOW - WINDOW;
                    rows.retain(|(_, timestamp)| *timestamp >= head);
                    if rows.is_empty() {
                        continue;
                    }
                    let (target, timestamp) = rows[which.index(rows.len())];
                    naive.append(now, target, timestamp, &row);
                    offer_row(&store, &mut said, target, timestamp, &row);
                }
                Op::Pass(seconds) => clock.advance(Duration::from_secs(seconds)),
                Op::Flush => store.flush().expect("flushes"),
                Op::Maintain => store.maintain(),
                Op::Renew => drop(store.renew_epoch(store.own_stream().external).expect("renews")),
                Op::Crash => {
                    store.flush().expect("flushes");
                    let copy = folder();
                    copy_dir(dir.path(), copy.path());
                    drop(store);
                    dir = copy;
                    store = open_with(settings(dir.path(), window), &clock, at as u64);
                }
            }
            prop_assert_eq!(said, naive.said, "after {}", at);
            prop_assert_eq!(everything(&store), naive.samples(), "after {}", at);
        }
    }
}

/// What comes late for windows that are sealed is shown at once, stays, ships, and is sealed in the end.
#[test]
fn late_samples_of_sealed_windows_are_one_with_the_others() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let registry = telemetry::Registry::new();
    let options = settings(dir.path(), 86_400);
    let shared = Arc::clone(&clock) as env::SharedClock;
    let store = Store::open(options, shared, env::SeededRandom::shared(1), &registry).expect("opens");
    let mut expected = Vec::new();
    for minute in (0..720i64).step_by(2) {
        let page = store.layout(layout("a", 1)).expect("layout");
        let at = T0 + minute * 60_000;
        assert_eq!(append(&store, &page, at, &[value(minute as f64)]).appended, 1);
        expected.push((at, (minute as f64).to_bits()));
        clock.advance(Duration::from_secs(120));
    }
    store.flush().expect("flushes");
    store.maintain();
    let sealed = store.status().sealed_windows;
    assert!(sealed >= 4);
    for minute in (1..720i64).step_by(60) {
        let page = store.layout(layout("a", 1)).expect("layout");
        let at = T0 + minute * 60_000;
        assert_eq!(append(&store, &page, at, &[value(minute as f64)]).appended, 1);
        expected.push((at, (minute as f64).to_bits()));
        let shown = select(&store, vec![], TimeRange { start: at, end: at });
        assert_eq!(shown.values().flatten().count(), 1, "at once");
    }
    expected.sort_unstable();
    let all = |store: &Store| everything(store).remove(&layout("a", 1).series(0)).expect("a series");
    assert_eq!(all(&store), expected);
    let text = registry.encode_text();
    assert!(text.contains("prometheus_tsdb_head_out_of_order_samples_appended_total 12"), "{text}");
    clock.advance(Duration::from_millis(2 * WINDOW as u64));
    store.maintain();
    assert_eq!(all(&store), expected);
    store.close().expect("closes");
    drop(store);
    let store = open_with(settings(dir.path(), 0), &clock, 2);
    assert_eq!(all(&store), expected);
    // It can be set while the store is open.
    let page = store.layout(layout("a", 1)).expect("layout");
    let old = T0 + 300 * 60_000 + 1;
    assert_eq!(append(&store, &page, old, &[value(1.0)]).out_of_bounds, 1);
    store.set_out_of_order_window(Duration::from_secs(86_400));
    assert!(store.takes_out_of_order());
    assert_eq!(append(&store, &page, old, &[value(1.0)]).appended, 1);
    assert_eq!(append(&store, &page, T0 - 86_400_000, &[value(1.0)]).too_old, 1);
}
