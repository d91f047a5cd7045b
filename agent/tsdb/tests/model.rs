//! Random lives of a store against a naive model: appends, sealing, restarts, torn tails, flipped bits,
//! and disks that refuse.

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::*;
use env::SimulatedClock;
use log::{Disk, SegmentFile, SystemDisk};
use model::Labels;
use proptest::prelude::*;
use storage::{AppendError, Appender, Cell, FrameSource, Layout, Number, Row, Slot};

/// What a store should hold: the first value of each sample, none older than its series' newest.
#[derive(Clone, Default)]
struct Naive(BTreeMap<Labels, BTreeMap<i64, u64>>);

impl Naive {
    /// Takes a row; gives how many samples were appended.
    fn append(&mut self, target: usize, timestamp: i64, cells: &[Cell]) -> usize {
        let layout = page(target);
        let mut appended = 0;
        for (slot, cell) in cells.iter().enumerate() {
            let bits = match cell {
                Cell::Absent => continue,
                Cell::Stale => model::STALE_NAN_BITS,
                Cell::Value(number) => number.to_bits(),
            };
            let series = self.0.entry(layout.series(slot)).or_default();
            if series.last_key_value().is_none_or(|(&newest, _)| newest < timestamp) {
                series.insert(timestamp, bits);
                appended += 1;
            }
        }
        appended
    }

    fn samples(&self) -> Samples {
        let filled = self.0.iter().filter(|(_, samples)| !samples.is_empty());
        filled
            .map(|(labels, samples)| (labels.clone(), samples.iter().map(|(&t, &b)| (t, b)).collect()))
            .collect()
    }
}

/// The layouts of the model: three targets, another page of the first that has one of its series, one whose
/// series say themselves what the first's target says, and one without a target.
fn page(target: usize) -> Layout {
    let slot = |pairs: &[(&str, &str)]| Slot {
        labels: Labels::from_pairs(pairs.iter().copied()),
        metadata: std::sync::Arc::default(),
        part: None,
    };
    let own = |name, instance| slot(&[("__name__", name), ("instance", instance), ("kind", "own")]);
    let (target, slots) = match target {
        3 => (
            Labels::from_pairs([("instance", "0")]),
            vec![slot(&[("__name__", "n")]), slot(&[("__name__", "m1")]), slot(&[("__name__", "o")])],
        ),
        4 => (
            Labels::empty(),
            vec![
                slot(&[("__name__", "m2"), ("instance", "0")]),
                slot(&[("__name__", "m2"), ("instance", "1")]),
                own("r", "0"),
            ],
        ),
        5 => (
            Labels::from_pairs([("kind", "own")]),
            vec![
                slot(&[("__name__", "r"), ("instance", "0")]),
                slot(&[("__name__", "r")]),
                slot(&[("__name__", "s")]),
            ],
        ),
        plain => return layout(&plain.to_string(), 3),
    };
    Layout::new(target, slots).expect("valid")
}

#[derive(Clone, Debug)]
enum Op {
    /// Target, milliseconds since the last row (may be negative), cells.
    Append(usize, i64, Vec<Cell>),
    Wait(u64),
    /// So many windows pass, and what is past is sealed.
    Turn(u64),
    /// The clock is set back by so many milliseconds, and set right again at once.
    Stumble(u64),
    /// Rows go on under another epoch.
    Renew,
    Flush,
    Keyframes,
    Maintain,
    /// The process dies and another starts on its files.
    Crash,
    /// The same with the end of the last segment cut off or garbled.
    Torn(prop::sample::Index, bool),
}

fn any_cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        6 => (0u8..4).prop_map(|number| value(f64::from(number))),
        2 => (0u32..400).prop_map(|number| value(f64::from(number) / 100.0)),
        1 => any::<u64>().prop_map(|bits| Cell::Value(Number::from_f64(f64::from_bits(bits)))),
        1 => Just(Cell::Stale),
        2 => Just(Cell::Absent),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let cells = || prop::collection::vec(any_cell(), 3);
    prop_oneof![
        20 => (0usize..6, prop_oneof![4 => -2_000i64..60_000, 1 => Just(0i64)], cells()).prop_map(|(target, since, cells)| Op::Append(target, since, cells)),
        2 => (0u64..5_000_000).prop_map(Op::Wait),
        3 => (1u64..4).prop_map(Op::Turn),
        1 => (0u64..20_000_000).prop_map(Op::Stumble),
        1 => Just(Op::Renew),
        3 => Just(Op::Flush),
        1 => Just(Op::Keyframes),
        1 => Just(Op::Maintain),
        1 => Just(Op::Crash),
        1 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(at, cut)| Op::Torn(at, cut)),
    ]
}

/// Copies the files of a running store, as a kill leaves them.
fn crash(from: &Path) -> tempfile::TempDir {
    let dir = folder();
    copy_dir(from, dir.path());
    dir
}

/// Every series of `part` is, sample for sample, in `whole`.
fn is_part(part: &Samples, whole: &Samples) -> bool {
    part.iter().all(|(labels, samples)| {
        let all: BTreeSet<_> = whole.get(labels).into_iter().flatten().collect();
        samples.iter().all(|sample| all.contains(sample))
    })
}

proptest! {
    #![proptest_config(cases_or(48, 10_000))]

    #[test]
    fn a_store_is_the_naive_model(ops in prop::collection::vec(any_op(), 1..120)) {
        let clock = SimulatedClock::at(T0);
        let mut dir = folder();
        let mut store = open(dir.path(), "n", &clock, 0);
        let mut naive = Naive::default();
        let mut now = T0;
        for (at, op) in ops.into_iter().enumerate() {
            match op {
                Op::Append(target, since, cells) => {
                    let timestamp = now + since;
                    if since > 0 {
                        now = timestamp;
                        clock.advance(Duration::from_millis(since as u64));
                    }
                    let page = store.layout(page(target)).expect("layout");
                    let outcome = append(&store, &page, timestamp, &cells);
                    prop_assert_eq!(outcome.appended, naive.append(target, timestamp, &cells));
                }
                Op::Wait(ms) => {
                    now += ms as i64;
                    clock.advance(Duration::from_millis(ms));
                }
                Op::Turn(windows) => {
                    now += windows as i64 * WINDOW;
                    clock.advance(Duration::from_millis(windows * WINDOW as u64));
                    store.flush().expect("flushes");
                    store.maintain();
                }
                Op::Stumble(ms) => {
                    clock.step(-(ms as i64));
                    store.maintain();
                    clock.step(ms as i64);
                    store.maintain();
                }
                Op::Renew => {
                    let external = store.own_stream().external;
                    store.renew_epoch(external).expect("renews");
                }
                Op::Flush => store.flush().expect("flushes"),
                Op::Keyframes => store.request_keyframes(),
                Op::Maintain => store.maintain(),
                Op::Crash => {
                    store.flush().expect("flushes");
                    let copy = crash(dir.path());
                    drop(store);
                    dir = copy;
                    store = open(dir.path(), "n", &clock, at as u64 + 1);
                }
                Op::Torn(place, cut) => {
                    store.flush().expect("flushes");
                    let copy = crash(dir.path());
                    drop(store);
                    dir = copy;
                    if let Some(last) = segments(dir.path()).last() {
                        let mut bytes = std::fs::read(last).expect("reads");
                        let place = place.index(bytes.len());
                        if cut { bytes.truncate(place) } else { bytes[place..].fill(0) }
                        std::fs::write(last, bytes).expect("writes");
                    }
                    store = open(dir.path(), "n", &clock, at as u64 + 1);
                    let found = everything(&store);
                    prop_assert!(is_part(&found, &naive.samples()));
                    naive = Naive(found.into_iter().map(|(labels, samples)| (labels, samples.into_iter().collect())).collect());
                }
            }
        }
        prop_assert_eq!(everything(&store), naive.samples());
    }

    /// A flipped bit costs its frame and what builds on it: at most the rows up to the next keyframe.
    #[test]
    fn a_flipped_bit_costs_at_most_64_rows_of_its_groups(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..3), late: bool,
    ) {
        let clock = SimulatedClock::at(T0);
        let dir = tempfile::tempdir().expect("dir");
        let store = open(dir.path(), "n", &clock, 0);
        let mut naive = Naive::default();
        let mut preamble = 0;
        for row in 0..400i64 {
            let timestamp = T0 + row * 10_000;
            let cells = [value(row as f64), value((row / 7) as f64), value(0.25 * row as f64)];
            for target in 0..2 {
                let page = store.layout(layout(&target.to_string(), 3)).expect("layout");
                naive.append(target, timestamp, &cells);
                prop_assert_eq!(append(&store, &page, timestamp, &cells).appended, 3);
            }
            clock.advance(Duration::from_secs(10));
            store.flush().expect("flushes");
            if row == 0 {
                preamble = std::fs::metadata(&segments(dir.path())[0]).expect("there").len() as usize;
            }
        }
        let copy = crash(dir.path());
        let file = segments(copy.path()).remove(0);
        let mut bytes = std::fs::read(&file).expect("reads");
        for (at, bit) in &flips {
            // Behind the records that say what the layouts are: without those nothing can be read.
            let at = preamble + at.index(bytes.len() - preamble);
            bytes[at] ^= 1 << bit;
        }
        std::fs::write(&file, bytes).expect("writes");
        if late {
            clock.advance(Duration::from_secs(6 * 3600));
        }
        let damaged = open(copy.path(), "n", &clock, 1);
        let (found, written) = (everything(&damaged), naive.samples());
        prop_assert!(is_part(&found, &written));
        for (labels, samples) in &written {
            let kept = found.get(labels).map_or(0, Vec::len);
            prop_assert!(samples.len() - kept <= 64 * flips.len(), "{labels} lost {}", samples.len() - kept);
        }
        let own = store.own_stream().id;
        prop_assert!(damaged.held(&own).count() >= 400 - flips.len() as u64);
    }
}

/// A disk that takes no writes, or whose next sync fails, when told to.
#[derive(Clone, Default)]
struct Faulty {
    full: Arc<AtomicBool>,
    sync: Arc<AtomicBool>,
}

struct FaultyFile(Box<dyn SegmentFile>, Faulty);

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FaultyFile(SystemDisk.create(path)?, self.clone())))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(dir)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }
}

impl SegmentFile for FaultyFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.1.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        if self.1.sync.swap(false, Ordering::SeqCst) { Err(io::Error::other("EIO")) } else { self.0.sync() }
    }
}

#[test]
fn a_full_disk_holds_nothing_up_and_recovers() {
    let clock = SimulatedClock::at(T0);
    let dir = tempfile::tempdir().expect("dir");
    let disk = Faulty::default();
    let mut options = options(dir.path(), "n");
    options.disk = Arc::new(disk.clone());
    let store = open_with(options, &clock, 1);
    let page = store.layout(layout("a", 20)).expect("layout");
    let mut naive = Naive::default();
    let mut row = |at: i64| {
        let cells: Vec<_> = (0..20).map(|slot| value((at * 31 + slot * 7) as f64 / 10.0)).collect();
        let row = Row { layout: &page, timestamp: T0 + at, cells: &cells };
        let outcome = Appender::append(&*store, row)?;
        for (slot, cell) in cells.iter().enumerate() {
            if let Cell::Value(number) = cell {
                naive.0.entry(layout("a", 20).series(slot)).or_default().insert(T0 + at, number.to_bits());
            }
        }
        Ok::<_, AppendError>(outcome.commit)
    };
    wait(row(0).expect("taken").durable()).expect("durable");
    disk.full.store(true, Ordering::SeqCst);
    let mut at = 1;
    let mut first = row(at).expect("taken");
    assert!(wait(first.written()).is_err());
    for _ in 0..500 {
        at += 1;
        row(at).expect("taken");
    }
    let id = store.own_stream().id;
    let _ = store.flush();
    // What is in memory can be shipped.
    assert!(store.held(&id).count() > 1);
    disk.full.store(false, Ordering::SeqCst);
    store.flush().expect("there is room again");
    wait(first.durable()).expect("durable");
    row(at + 1).expect("taken again");
    assert_eq!(everything(&store), naive.samples());
    drop(store);
    assert_eq!(everything(&open(dir.path(), "n", &clock, 2)), naive.samples());
}

#[test]
fn a_failed_sync_loses_nothing() {
    let clock = SimulatedClock::at(T0);
    let dir = tempfile::tempdir().expect("dir");
    let disk = Faulty::default();
    let mut options = options(dir.path(), "n");
    options.disk = Arc::new(disk.clone());
    let store = open_with(options, &clock, 1);
    let page = store.layout(layout("a", 1)).expect("layout");
    append(&store, &page, T0, &[value(1.0)]);
    store.flush().expect("flushes");
    disk.sync.store(true, Ordering::SeqCst);
    let mut commit = append(&store, &page, T0 + 1, &[value(2.0)]).commit;
    store.flush().expect("a new segment takes it");
    wait(commit.durable()).expect("durable");
    append(&store, &page, T0 + 2, &[value(3.0)]);
    store.flush().expect("flushes");
    let before = everything(&store);
    let own = store.own_stream().id;
    let frames = store.frames(&own, 1, usize::MAX).expect("reads");
    assert_eq!(frames.len(), 3);
    // The first segment is gone with the disk's bad part: the second can be read alone.
    let copy = crash(dir.path());
    std::fs::remove_file(&segments(copy.path())[0]).expect("removes");
    let again = open(copy.path(), "n", &clock, 2);
    assert_eq!(again.frames(&own, 1, usize::MAX).expect("reads"), frames[1..]);
    drop(store);
    assert_eq!(everything(&open(dir.path(), "n", &clock, 3)), before);
    let layouts: HashMap<_, _> = frames[0].layouts().iter().map(|&id| (id, again.find_layout(id))).collect();
    assert!(layouts.values().all(Option::is_some));
}
