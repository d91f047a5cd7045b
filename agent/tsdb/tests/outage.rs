//! A disk that takes nothing for longer than memory lasts: what goes on, what goes, and who is told.

mod common;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use common::*;
use env::{SeededRandom, SimulatedClock};
use log::{Disk, SegmentFile, SystemDisk};
use storage::{Appender, Cell, FrameSink, FrameSource, LayoutRef, Querier, Row, Select, TimeRange};
use vedette_tsdb::{Store, StoreOptions};

/// A disk that refuses to make files, to write them, or to sync them, when told to.
#[derive(Clone, Default)]
struct Sick {
    /// Full as long as that file is there.
    ballast: Arc<Mutex<Option<PathBuf>>>,
    create: Arc<AtomicBool>,
    write: Arc<AtomicBool>,
    sync: Arc<AtomicBool>,
}

struct SickFile(Box<dyn SegmentFile>, Sick);

fn check(flag: &AtomicBool, why: io::ErrorKind) -> io::Result<()> {
    if flag.load(Ordering::SeqCst) { Err(why.into()) } else { Ok(()) }
}

impl Disk for Sick {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        check(&self.create, io::ErrorKind::ReadOnlyFilesystem)?;
        Ok(Box::new(SickFile(SystemDisk.create(path)?, self.clone())))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(dir)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }
}

impl SegmentFile for SickFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        check(&self.1.write, io::ErrorKind::StorageFull)?;
        if self.1.ballast.lock().is_ok_and(|file| file.as_ref().is_some_and(|file| file.exists())) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        check(&self.1.sync, io::ErrorKind::Other)?;
        self.0.sync()
    }
}

struct Life {
    disk: Sick,
    clock: Arc<SimulatedClock>,
    dir: tempfile::TempDir,
    registry: telemetry::Registry,
    store: Arc<Store>,
    page: LayoutRef,
    at: i64,
    written: Samples,
}

const MAX: usize = 20_000;

impl Life {
    fn new() -> Self {
        let (disk, clock) = (Sick::default(), SimulatedClock::at(T0));
        let dir = tempfile::tempdir().expect("dir");
        let registry = telemetry::Registry::new();
        let options =
            StoreOptions { disk: Arc::new(disk.clone()), waiting_bytes_max: MAX, ..options(dir.path(), "n") };
        let shared = Arc::clone(&clock) as env::SharedClock;
        let store = Store::open(options, shared, SeededRandom::shared(1), &registry).expect("opens");
        let page = store.layout(layout("a", 20)).expect("layout");
        Self { disk, clock, dir, registry, store, page, at: 0, written: Samples::new() }
    }

    fn cells(&self) -> Vec<Cell> {
        (0..20).map(|slot| value((self.at * 31 + slot * 7) as f64 / 10.0)).collect()
    }

    fn offer(&mut self, cells: &[Cell]) -> storage::AppendOutcome {
        let timestamp = T0 + self.at;
        let outcome = Appender::append(&*self.store, Row { layout: &self.page, timestamp, cells });
        outcome
            .or_else(|error| {
                assert!(matches!(error, storage::AppendError::Relayout), "{error}");
                self.page = self.store.layout(layout("a", 20))?;
                Appender::append(&*self.store, Row { layout: &self.page, timestamp, cells })
            })
            .expect("own rows are always taken")
    }

    /// Appends the next row, a millisecond after the last.
    fn row(&mut self) -> storage::AppendOutcome {
        self.at += 1;
        let cells = self.cells();
        for (slot, cell) in cells.iter().enumerate() {
            if let Cell::Value(number) = cell {
                let series = self.page.layout().series(slot);
                self.written.entry(series).or_default().push((T0 + self.at, number.to_bits()));
            }
        }
        self.offer(&cells)
    }

    fn metric(&self, name: &str) -> f64 {
        let page = self.registry.encode_text();
        let value = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
        page.lines().find_map(value).unwrap_or_else(|| panic!("{name} in\n{page}"))
    }
}

fn gaps(store: &Store) -> Vec<storage::Gap> {
    let select = Select { matchers: Vec::new(), range: TimeRange::ALL, samples_max: usize::MAX };
    wait(store.select(select)).expect("answers").coverage.gaps
}

fn times(samples: &Samples) -> BTreeSet<i64> {
    samples.values().flatten().map(|(at, _)| *at).collect()
}

/// Each way of failing, for longer than memory lasts.
#[test]
fn memory_is_bounded_and_no_epoch_has_a_hole() {
    for way in ["create", "write", "sync"] {
        let mut life = Life::new();
        if way != "create" {
            wait(life.row().commit.durable()).expect("durable");
        }
        let flags = [("create", &life.disk.create), ("write", &life.disk.write), ("sync", &life.disk.sync)];
        let flag = Arc::clone(flags.iter().find(|(name, _)| *name == way).expect("known").1);
        flag.store(true, Ordering::SeqCst);
        let mut first = life.row().commit;
        assert!(wait(first.durable()).is_err(), "{way}");
        for _ in 0..3_000 {
            life.row();
            let _ = life.store.flush();
            assert!(life.metric("vedette_log_waiting_bytes") < (MAX * 3 / 2) as f64, "{way}");
        }
        assert_eq!(life.metric("vedette_log_failing"), 1.0);
        let (frames, rows) =
            (life.metric("vedette_log_shed_frames_total"), life.metric("vedette_log_shed_rows_total"));
        assert!(rows >= 1_000.0 && frames >= 1_000.0, "{way}: {frames} frames, {rows} rows");
        // Everything can be asked for, and what is in memory can be shipped.
        assert_eq!(everything(&life.store), life.written, "{way}");
        let shipped: usize = life
            .store
            .streams()
            .iter()
            .map(|info| life.store.frames(&info.id, 1, usize::MAX).expect("reads").len())
            .sum();
        assert!(shipped > 50, "{way}: {shipped}");
        flag.store(false, Ordering::SeqCst);
        let last = life.row();
        life.store.flush().expect("there is room again");
        wait(last.commit.clone().durable()).expect("durable");
        assert_eq!(life.metric("vedette_log_failing"), 0.0);
        assert_eq!(everything(&life.store), life.written, "{way}");
        // After a restart the rows that were dropped are missing, the others are there, and a gap says so.
        let told = gaps(&life.store);
        drop(life.store);
        let again = open(life.dir.path(), "n", &life.clock, 2);
        let found = everything(&again);
        let missing: BTreeSet<i64> = times(&life.written).difference(&times(&found)).copied().collect();
        assert_eq!(missing.len() as f64, rows, "{way}");
        let gaps = gaps(&again);
        let [gap] = &gaps[..] else { panic!("{way}: {gaps:?}") };
        assert!(missing.iter().all(|at| (gap.start..=gap.end).contains(at)), "{way}: {gap:?}");
        assert_eq!(told, gaps, "{way}");
        for info in again.streams() {
            let held = again.held(&info.id);
            assert_eq!(held.ranges().count(), 1, "{way}: an epoch with a hole: {held:?}");
            assert_eq!(held.first(), Some(1), "{way}");
        }
    }
}

/// A sender that hears of a failure sends again: what it sends is there already, but not in the log.
#[test]
fn what_is_said_again_is_as_safe_as_what_was_said_first() {
    let mut life = Life::new();
    wait(life.row().commit.durable()).expect("durable");
    life.disk.write.store(true, Ordering::SeqCst);
    assert!(wait(life.row().commit.written()).is_err());
    let cells = life.cells();
    let again = life.offer(&cells);
    assert_eq!(again.appended, 0);
    assert!(wait(again.commit.clone().written()).is_err());
    life.disk.write.store(false, Ordering::SeqCst);
    life.store.flush().expect("there is room again");
    wait(again.commit.clone().durable()).expect("durable");
}

/// What a replica receives is its sender's to keep: it is refused, its own rows are not.
#[test]
fn frames_of_others_are_refused_when_memory_is_full() {
    let clock = SimulatedClock::at(T0);
    let other = tempfile::tempdir().expect("dir");
    let sender = open(other.path(), "m", &clock, 5);
    let page = sender.layout(layout("b", 50)).expect("layout");
    for row in 0..400 {
        let cells: Vec<_> = (0..50).map(|slot| value((row * 131 + slot * 7) as f64 / 10.0)).collect();
        append(&sender, &page, T0 + row, &cells);
        sender.flush().expect("flushes");
    }
    let mut life = Life::new();
    let frames = introduce(&sender, &life.store, &sender.own_stream().id);
    life.disk.create.store(true, Ordering::SeqCst);
    let _ = life.row();
    assert!(life.store.flush().is_err());
    let took = frames.iter().take_while(|frame| FrameSink::append(&*life.store, (*frame).clone()).is_ok());
    let took = took.count();
    assert!(took > 10 && took < frames.len(), "{took} of {}", frames.len());
    for _ in 0..500 {
        life.row();
    }
    life.disk.create.store(false, Ordering::SeqCst);
    life.store.flush().expect("there is room again");
    for frame in &frames {
        offer(&life.store, frame);
        life.store.flush().expect("flushes");
    }
    let held = life.store.held(&sender.own_stream().id);
    assert_eq!(held.count(), frames.len() as u64);
}

/// A disk that the log itself has filled: what is past retention goes, for which there is room.
#[test]
fn a_disk_that_is_full_of_what_is_past_retention_recovers() {
    let (disk, clock) = (Sick::default(), SimulatedClock::at(T0));
    let dir = tempfile::tempdir().expect("dir");
    let hour = std::time::Duration::from_secs(3600);
    let options =
        StoreOptions { disk: Arc::new(disk.clone()), retention_time: hour * 4, ..options(dir.path(), "n") };
    let store = open_with(options, &clock, 1);
    store.maintain();
    let ballast = dir.path().join("ballast");
    assert!(ballast.exists(), "room is kept");
    let mut timestamp = T0;
    let mut row = || {
        timestamp += 1_800_000;
        clock.advance(hour / 2);
        let page = store.layout(layout("a", 1)).expect("layout");
        append(&store, &page, timestamp, &[value(1.0)]).commit
    };
    for _ in 0..8 {
        wait(row().durable()).expect("durable");
    }
    *disk.ballast.lock().expect("locks") = Some(ballast.clone());
    let mut last = row();
    for _ in 0..12 {
        last = row();
        assert!(store.flush().is_err(), "the disk is full");
    }
    let before = segments(dir.path());
    store.maintain();
    assert!(!segments(dir.path()).contains(&before[0]), "the first segment is past retention");
    store.flush().expect("there is room again");
    wait(last.durable()).expect("durable");
    *disk.ballast.lock().expect("locks") = None;
    store.maintain();
    assert!(ballast.exists(), "room is kept again");
}
