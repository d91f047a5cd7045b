//! What no replica has yet outlives retention, up to a budget; what has to go all the same is a gap.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::SimulatedClock;
use parking_lot::Mutex;
use storage::{Appender, FrameSource, Gap, IntervalSet, Querier, Select, TimeRange};
use vedette_tsdb::{Store, StoreOptions};

/// A store that ships, and what it is told of.
struct Shipping {
    dir: tempfile::TempDir,
    clock: Arc<SimulatedClock>,
    store: Arc<Store>,
    /// Frames of the first stream that every replica has.
    shipped: Arc<Mutex<IntervalSet>>,
}

impl Shipping {
    fn new(settings: impl FnOnce(&mut StoreOptions)) -> Self {
        let (dir, clock) = (folder(), SimulatedClock::at(T0));
        let mut options = options(dir.path(), "n");
        options.retention_time = Duration::from_secs(4 * 3600);
        settings(&mut options);
        let store = open_with(options, &clock, 1);
        let shipped = Arc::new(Mutex::new(IntervalSet::new()));
        let (told, first) = (Arc::clone(&shipped), store.own_stream().id);
        store.ship_frames(move |id| if *id == first { told.lock().clone() } else { IntervalSet::new() });
        Self { dir, clock, store, shipped }
    }

    /// A row and a frame each window from this one to before that one; then the latter begins.
    fn fill(&self, from: i64, to: i64) {
        for window in from..to {
            let page = self.store.layout(layout("a", 40)).expect("layout");
            let cells: Vec<_> = (0..40).map(|slot| value((window * 77 + slot * slot) as f64)).collect();
            append(&self.store, &page, T0 + window * WINDOW, &cells);
            self.store.flush().expect("flushes");
            self.clock.advance(Duration::from_millis(WINDOW as u64));
            self.store.maintain();
        }
    }

    fn held(&self) -> IntervalSet {
        let streams = self.store.streams();
        let mut held = IntervalSet::new();
        streams.iter().for_each(|info| held.union(&self.store.held(&info.id)));
        held
    }

    fn gaps(&self) -> Vec<Gap> {
        let all = Select { matchers: vec![], range: TimeRange::ALL, samples_max: usize::MAX };
        wait(self.store.select(all)).expect("answers").coverage.gaps
    }
}

#[test]
fn what_no_replica_has_outlives_retention() {
    let ship = Shipping::new(|_| {});
    ship.fill(0, 8);
    assert_eq!(ship.held(), IntervalSet::from_iter([1..=8]));
    // Retention is that of answers all the same.
    let times: Vec<i64> = everything(&ship.store)[&layout("a", 40).series(0)].iter().map(|at| at.0).collect();
    assert_eq!(times, [T0 + 6 * WINDOW, T0 + 7 * WINDOW]);
    ship.shipped.lock().insert_range(1..=5);
    ship.store.maintain();
    assert_eq!(ship.held(), IntervalSet::from_iter([6..=8]));
    assert_eq!(ship.gaps(), []);
}

#[test]
fn what_outlives_retention_has_a_budget() {
    let ship = Shipping::new(|options| options.unshipped_bytes_max = 4_000);
    let first = ship.store.own_stream().id;
    ship.fill(0, 12);
    let held = ship.store.held(&first);
    assert!(held.first().is_some_and(|first| first > 1 && first < 10), "{held}");
    // The stream has a hole now: nobody waits for it, as another one goes on.
    assert_ne!(ship.store.own_stream().id, first);
}

/// Over the size that a store may have, what the replicas have goes first. Then the oldest goes, and is a gap from
/// then on, also after a restart.
#[test]
fn what_goes_for_its_size_is_a_gap() {
    let ship = Shipping::new(|options| {
        options.retention_time = Duration::ZERO;
        options.retention_size = 20_000;
    });
    ship.shipped.lock().insert_range(1..=4);
    ship.fill(0, 9);
    assert_eq!(ship.held(), IntervalSet::from_iter([5..=9]));
    assert_eq!(ship.gaps(), []);
    ship.fill(9, 30);
    let gaps = ship.gaps();
    assert_eq!(gaps.iter().map(|gap| gap.start).min(), Some(T0 + 4 * WINDOW));
    let shown = everything(&ship.store).remove(&layout("a", 40).series(0)).unwrap_or_default();
    for window in 4..30 {
        let at = T0 + window * WINDOW;
        let told = gaps.iter().any(|gap| (gap.start..=gap.end).contains(&at));
        assert!(told || shown.iter().any(|sample| sample.0 == at), "{window} is neither shown nor told");
    }
    let Shipping { dir, clock, store, .. } = ship;
    store.close().expect("closes");
    drop(store);
    let store = open(dir.path(), "n", &clock, 2);
    let all = Select { matchers: vec![], range: TimeRange::ALL, samples_max: usize::MAX };
    assert_eq!(wait(store.select(all)).expect("answers").coverage.gaps, gaps);
}
