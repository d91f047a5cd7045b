//! The memory budget as it is used up: caches, then rows, then new series are given up, and never those that are
//! there.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use env::{SeededRandom, SimulatedClock};
use storage::{AppendError, Appender, FrameSink, Layout, LayoutRef};
use vedette_tsdb::{Store, StoreOptions};

const MAX: u64 = 64 << 20;

struct Life {
    /// Bytes that others take up.
    others: Arc<AtomicU64>,
    registry: telemetry::Registry,
    store: Arc<Store>,
    dir: tempfile::TempDir,
}

impl Life {
    fn new() -> Self {
        Self::on(folder())
    }

    fn on(dir: tempfile::TempDir) -> Self {
        let (registry, others) = (telemetry::Registry::new(), Arc::new(AtomicU64::new(0)));
        let options = StoreOptions { memory_max: MAX, ..options(dir.path(), "n") };
        let clock = SimulatedClock::at(T0);
        let store = Store::open(options, clock, SeededRandom::shared(1), &registry).expect("opens");
        let told = Arc::clone(&others);
        store.count_memory("others", move || told.load(Ordering::SeqCst));
        Self { others, registry, store, dir }
    }

    /// Others take up so much of the budget, in hundredths.
    fn others(&self, hundredths: u64) {
        self.others.store(MAX / 100 * hundredths, Ordering::SeqCst);
        self.store.maintain();
    }

    fn metric(&self, name: &str) -> f64 {
        let page = self.registry.encode_text();
        let line = page.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
    }

    fn page(&self, instance: &str, slots: usize) -> LayoutRef {
        self.store.layout(layout(instance, slots)).expect("a layout")
    }

    fn refuses(&self, new: Layout) -> usize {
        match self.store.layout(new) {
            Err(AppendError::Memory { new, used, max }) => {
                assert!(used >= max && max == MAX);
                new
            }
            other => panic!("{other:?}"),
        }
    }

    /// A row of whole numbers that say when it was.
    fn row(&self, page: &LayoutRef, at: i64) {
        let cells: Vec<_> =
            (0..page.layout().slots().len() as i64).map(|slot| value((at * 7 + slot) as f64)).collect();
        assert_eq!(append(&self.store, page, T0 + at, &cells).appended, cells.len());
    }
}

#[test]
fn new_series_are_refused_and_those_that_are_there_go_on() {
    let life = Life::new();
    let page = life.page("a", 100);
    (0..50).for_each(|at| life.row(&page, at));
    life.others(101);
    assert_eq!(life.metric("vedette_memory_level"), 3.0);
    assert_eq!(life.refuses(layout("b", 40)), 40);
    assert_eq!(life.refuses(layout("a", 103)), 3, "those of the target that are new");
    assert_eq!(life.metric("vedette_memory_refused_series_total"), 43.0);
    let error = life.store.layout(layout("b", 40)).expect_err("refused").to_string();
    assert!(error.starts_with("memory limit exceeded (40 new series refused, "), "{error}");
    assert!(error.contains(&format!("limit: {MAX} bytes")), "{error}");
    // Fewer series of a target are none that is new, and small layouts have a tenth more.
    let fewer = life.page("a", 70);
    (50..60).for_each(|at| life.row(&page, at));
    (60..70).for_each(|at| life.row(&fewer, at));
    let report = life.page("report", 5);
    life.row(&report, 70);
    life.others(111);
    assert_eq!(life.refuses(layout("another", 5)), 5);
    (71..200).for_each(|at| life.row(&page, at));
    life.store.flush().expect("flushes");
    let all = everything(&life.store);
    assert_eq!(all.values().map(Vec::len).sum::<usize>(), 50 * 100 + 10 * 100 + 10 * 70 + 5 + 129 * 100);
    life.others(0);
    let new = life.page("b", 40);
    life.row(&new, 300);
    assert_eq!(everything(&life.store).len(), 100 + 5 + 40);
}

/// A layout that has both is refused, and what is known of it goes on in one of its own.
#[test]
fn after_a_start_known_series_go_on_beside_new_ones() {
    let Life { store, dir, .. } = {
        let life = Life::new();
        let page = life.page("a", 100);
        (0..50).for_each(|at| life.row(&page, at));
        life
    };
    store.close().expect("closes");
    drop(store);
    let life = Life::on(dir);
    life.others(101);
    let whole = layout("a", 103);
    let known = life.store.known(&whole);
    assert_eq!(known.iter().filter(|known| **known).count(), 100);
    let admitted = storage::admit(&*life.store, whole).expect("most are known");
    assert_eq!((admitted.refused, admitted.layout.layout().slots().len()), (3, 100));
    life.row(&admitted.layout, 50);
    let all = everything(&life.store);
    assert_eq!((all.len(), all.values().map(Vec::len).sum::<usize>()), (100, 51 * 100));
    assert_eq!(life.store.known(&layout("b", 2)), [false, false]);
}

/// Frames of others are taken whatever memory there is, and counted.
#[test]
fn frames_are_taken_at_the_limit_and_counted() {
    let life = Life::new();
    life.others(101);
    let count = || life.metric("vedette_memory_received_series_over_limit_total");
    life.store.add_layout(layout("theirs", 40)).expect("taken");
    assert_eq!(count(), 40.0);
    life.store.add_layout(layout("theirs", 40)).expect("taken");
    assert_eq!(count(), 40.0, "it is known");
    life.others(0);
    life.store.add_layout(layout("more", 40)).expect("taken");
    assert_eq!(count(), 40.0);
}

/// What begins between two counts is counted too.
#[test]
fn many_new_series_at_once_do_not_outrun_the_count() {
    let life = Life::new();
    life.others(50);
    let taken = (0..1_000).take_while(|at| life.store.layout(layout(&at.to_string(), 1_000)).is_ok()).count();
    assert!((20..500).contains(&taken), "{taken} pages of 1,000 series in {} bytes", MAX / 2);
}

#[test]
fn rows_become_tiles_early_and_say_the_same() {
    let life = Life::new();
    let pages: Vec<_> = ["a", "b"].map(|name| life.page(name, 200)).into();
    for at in 0..90 {
        pages.iter().for_each(|page| life.row(page, at));
        if at % 7 == 0 {
            life.store.flush().expect("flushes");
        }
    }
    life.store.flush().expect("flushes");
    life.store.maintain();
    let before = everything(&life.store);
    let part = |name: &str| life.metric(&format!("vedette_memory_part_bytes{{part=\"{name}\"}}"));
    let (rows, spilled) = (part("rows"), life.metric("vedette_tsdb_head_spilled_bytes"));
    assert_eq!(life.metric("vedette_memory_early_tiles_total"), 0.0);
    life.others(92);
    assert_eq!(life.metric("vedette_memory_early_tiles_total"), 2.0);
    life.others(92);
    assert!(part("rows") < rows, "{} of {rows}", part("rows"));
    // Before, it had copies alone.
    assert!(life.metric("vedette_tsdb_head_spilled_bytes") > spilled, "two thirds of a tile are in the file");
    assert_eq!(everything(&life.store), before);
    for at in 90..200 {
        pages.iter().for_each(|page| life.row(page, at));
        life.store.maintain();
    }
    let after = everything(&life.store);
    assert_eq!(after.values().map(Vec::len).sum::<usize>(), 2 * 200 * 200);
    for (labels, points) in before {
        assert_eq!(after[&labels][..90], points);
    }
}
