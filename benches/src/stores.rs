//! Stores on a simulated clock in folders of their own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{SeededRandom, SharedClock, SimulatedClock};
use model::{Labels, Metadata};
use storage::{Appender, Cell, Layout, LayoutRef, Number, Row, Slot};
use telemetry::Registry;
use tempfile::TempDir;
use tsdb::{Store, StoreOptions};

use crate::page::Scrapes;

/// Where every benchmark's time begins: the start of a 2 h window, in milliseconds.
pub const T0: i64 = 1_699_999_200_000;
/// Between two scrapes.
const STEP: Duration = Duration::from_secs(15);

/// A store, and one target's scrapes that go into it.
pub struct Bench {
    /// The store.
    pub store: Arc<Store>,
    dir: TempDir,
    clock: Arc<SimulatedClock>,
    layout: LayoutRef,
    scrapes: Scrapes,
    at: i64,
}

impl Bench {
    /// An empty store.
    ///
    /// # Panics
    /// When the temporary folder takes no store.
    #[must_use]
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let clock = SimulatedClock::at(T0);
        let store = open(dir.path(), &clock, "bench");
        let layout = store.layout(Scrapes::layout("bench")).expect("a valid layout");
        Self { store, dir, clock, layout, scrapes: Scrapes::default(), at: T0 }
    }

    /// A store of another node on the same clock.
    #[must_use]
    pub fn twin(&self, dir: &Path) -> Arc<Store> {
        open(dir, &self.clock, "replica")
    }

    /// Appends the next scrape, 15 s after the last one.
    ///
    /// # Panics
    /// When the store does not take it whole.
    pub fn append(&mut self) {
        let cells = self.scrapes.next_cells();
        self.at += STEP.as_millis() as i64;
        self.clock.advance(STEP);
        let row = || Row { layout: &self.layout, timestamp: self.at, cells: &cells };
        let taken = match self.store.append(row()) {
            Ok(taken) => taken,
            Err(storage::AppendError::Relayout) => {
                self.layout = self.store.layout(Scrapes::layout("bench")).expect("a valid layout");
                let row = Row { layout: &self.layout, timestamp: self.at, cells: &cells };
                self.store.append(row).expect("the row is taken")
            }
            Err(error) => panic!("the row is refused: {error}"),
        };
        assert_eq!(taken.appended, cells.len(), "every sample is taken");
    }

    /// Closes the store and gives what reads it again.
    ///
    /// # Panics
    /// When the log cannot be written.
    pub fn close(self) -> impl Fn() -> Arc<Store> {
        self.store.close().expect("the log is written");
        drop(self.store);
        let (dir, clock) = (self.dir, self.clock);
        move || open(dir.path(), &clock, "bench")
    }
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

/// A store, and scrapes of many targets of the job `node` that go into it.
pub struct Hosts {
    /// The store.
    pub store: Arc<Store>,
    clock: Arc<SimulatedClock>,
    layouts: Vec<LayoutRef>,
    scrapes: Scrapes,
    at: i64,
    _dir: TempDir,
}

impl Hosts {
    /// An empty store.
    ///
    /// # Panics
    /// When the temporary folder takes no store.
    #[must_use]
    pub fn new(hosts: usize) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let clock = SimulatedClock::at(T0);
        let store = open(dir.path(), &clock, "bench");
        let layout = |host| store.layout(Scrapes::layout(&format!("host-{host}"))).expect("a valid layout");
        let layouts = (0..hosts).map(layout).collect();
        Self { store, clock, layouts, scrapes: Scrapes::default(), at: T0, _dir: dir }
    }

    /// Appends the next scrape of each host, 15 s after the last one. All of it lies in one window.
    ///
    /// # Panics
    /// When the store does not take it whole.
    pub fn append(&mut self) {
        let cells = self.scrapes.next_cells();
        self.at += STEP.as_millis() as i64;
        self.clock.advance(STEP);
        for layout in &self.layouts {
            let taken = self.store.append(Row { layout, timestamp: self.at, cells: &cells });
            assert_eq!(taken.expect("the row is taken").appended, cells.len(), "every sample is taken");
        }
    }
}

/// A store with a month of few series: ten network devices of each host, of which three never receive anything.
pub struct Devices {
    /// The store.
    pub store: Arc<Store>,
    /// The time of the last sample.
    pub end: i64,
    _dir: TempDir,
}

/// Series of a host.
const DEVICES: usize = 10;
/// Scrapes between two looks at what can be sealed, and at what days can be put together.
const BETWEEN_SEALS: usize = 60;
const BETWEEN_DAYS: usize = 5_760;

impl Devices {
    /// So many hosts and days, at 15 s.
    ///
    /// # Panics
    /// When the store does not take it whole.
    #[must_use]
    pub fn new(hosts: usize, days: usize) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let clock = SimulatedClock::at(T0);
        let options =
            StoreOptions { retention_time: Duration::ZERO, ..StoreOptions::new(dir.path(), "bench") };
        let shared = Arc::clone(&clock) as SharedClock;
        let store = Store::open(options, shared, SeededRandom::shared(1), &Registry::new());
        let store = store.expect("the store opens");
        let layout = |host| store.layout(Self::layout(host)).expect("a valid layout");
        let layouts: Vec<LayoutRef> = (0..hosts).map(layout).collect();
        let (mut end, mut bytes) = (T0, [0_u64; DEVICES]);
        for row in 0..days * BETWEEN_DAYS {
            end += STEP.as_millis() as i64;
            clock.advance(STEP);
            for (device, bytes) in bytes.iter_mut().enumerate().skip(3) {
                *bytes += (row as u64).wrapping_mul(2_654_435_761) % 97_003 * device as u64;
            }
            let cells = bytes.map(|bytes| Cell::Value(Number::from_f64(bytes as f64)));
            for layout in &layouts {
                let row = Row { layout, timestamp: end, cells: &cells };
                assert_eq!(store.append(row).expect("the row is taken").appended, DEVICES);
            }
            if row % BETWEEN_SEALS == 0 {
                store.maintain();
            }
            if row % BETWEEN_DAYS == 0 {
                store.compact();
            }
        }
        store.maintain();
        store.compact();
        Self { store, end, _dir: dir }
    }

    fn layout(host: usize) -> Layout {
        let target = Labels::from_pairs([("instance", format!("host-{host}")), ("job", "node".to_owned())]);
        let slot = |device| {
            let labels = [
                ("__name__", "node_network_receive_bytes_total".to_owned()),
                ("device", format!("eth{device}")),
            ];
            Slot::new(Labels::from_pairs(labels), Metadata::default())
        };
        Layout::new(target, (0..DEVICES).map(slot).collect::<Vec<_>>()).expect("a valid layout")
    }
}

fn open(dir: &Path, clock: &Arc<SimulatedClock>, node: &str) -> Arc<Store> {
    let clock = Arc::clone(clock) as SharedClock;
    Store::open(StoreOptions::new(dir, node), clock, SeededRandom::shared(1), &Registry::new())
        .expect("the store opens")
}
