//! A target whose devices come and go has another layout each time, which the log names by what it has in common with
//! one before: whatever of that is damaged, a start gives what was written or less, and says so.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::{SeededRandom, SharedClock, SimulatedClock};
use log::{Found, survey_segment};
use model::{Labels, Metadata};
use storage::{AppendError, Appender, Cell, FrameSource, Layout, Row, Slot};
use vedette_tsdb::{Store, StoreOptions, verify};

/// Series that a target has whatever devices there are, and those of each device.
const COMMON: usize = 20;
const OF_DEVICE: usize = 3;
/// Kinds of records.
const LAYOUT: u8 = 2;
const LIKE: u8 = 10;

fn page(target: usize, devices: &[u64]) -> Layout {
    let slot = |name: String, device: String| {
        let metadata = Metadata { help: format!("Help of {name}.").into(), ..Metadata::default() };
        Slot::new(Labels::from_pairs([("__name__", name), ("device", device)]), metadata)
    };
    let own = (0..COMMON).map(|at| slot(format!("metric_{at}"), String::new()));
    let device = |at: usize| {
        devices.iter().map(move |device| slot(format!("device_metric_{at}"), format!("veth{device}")))
    };
    let slots = own.chain((0..OF_DEVICE).flat_map(device)).collect();
    let target = Labels::from_pairs([("job", "node".to_owned()), ("instance", format!("host-{target}"))]);
    Layout::new(target, slots).expect("valid")
}

fn settings(dir: &Path) -> StoreOptions {
    let mut options = options(dir, "n");
    options.commit_interval = Duration::from_secs(3_600);
    options
}

/// Three targets, one of which has another device each minute; what they say.
fn live(store: &Store, clock: &Arc<SimulatedClock>, rows: u64) {
    let mut devices: Vec<Vec<u64>> = vec![vec![1, 2], vec![3], Vec::new()];
    for number in 0..rows {
        clock.advance(Duration::from_secs(15));
        if number % 4 == 0 {
            devices[0].push(100 + number);
        }
        if number % 8 == 7 {
            devices[0].remove(1);
        }
        if number % 40 == 0 {
            devices[2].push(number);
        }
        for (target, devices) in devices.iter().enumerate() {
            let page = page(target, devices);
            let cells: Vec<Cell> =
                (0..page.slots().len()).map(|slot| value((number * slot as u64 % 17) as f64)).collect();
            loop {
                let layout = store.layout(page.clone()).expect("layout");
                let timestamp = env::Clock::now_ms(&**clock);
                match Appender::append(store, Row { layout: &layout, timestamp, cells: &cells }) {
                    Err(AppendError::Relayout) => {}
                    outcome => break drop(outcome.expect("appends")),
                }
            }
        }
        if number % 10 == 0 {
            store.flush().expect("flushes");
        }
    }
    store.flush().expect("flushes");
}

/// The records of a segment that tell of layouts: kind, place and length.
fn layouts(dir: &Path, segment: u64) -> Vec<(u8, u64, u64)> {
    let (mut all, mut end) = (Vec::new(), 20);
    let log = dir.join("log");
    survey_segment(&log, segment, &mut |found| match found {
        Found::Record(record) => all.push((record.kind, record.at.offset)),
        Found::Damaged { .. } => panic!("damaged"),
    })
    .expect("reads");
    end = end.max(std::fs::metadata(log.join(format!("{segment:08}.seg"))).expect("there").len());
    let ends = all.iter().skip(1).map(|(_, offset)| *offset).chain([end]).collect::<Vec<_>>();
    let all = all.iter().zip(ends).map(|(&(kind, offset), end)| (kind, offset, end - offset));
    all.filter(|(kind, ..)| [LAYOUT, LIKE].contains(kind)).collect()
}

fn open_again(dir: &Path, clock: &Arc<SimulatedClock>, seed: u64) -> (Arc<Store>, telemetry::Registry) {
    let registry = telemetry::Registry::new();
    let shared = Arc::clone(clock) as SharedClock;
    let store = Store::open(settings(dir), shared, SeededRandom::shared(seed), &registry).expect("opens");
    (store, registry)
}

#[test]
fn what_layouts_have_in_common_is_written_once() {
    let clock = SimulatedClock::at(T0);
    let dir = folder();
    let (store, _) = open_again(dir.path(), &clock, 1);
    live(&store, &clock, 100);
    let written = everything(&store);
    drop(store);
    let records = layouts(dir.path(), 1);
    let whole: Vec<_> = records.iter().filter(|(kind, ..)| *kind == LAYOUT).collect();
    let longest = whole.iter().map(|(.., bytes)| *bytes).max().expect("there");
    let like: Vec<u64> =
        records.iter().filter(|(kind, ..)| *kind == LIKE).map(|(.., bytes)| *bytes).collect();
    assert!(whole.len() * 4 < like.len(), "{} and {}", whole.len(), like.len());
    assert!(like.iter().sum::<u64>() * 2 < longest * like.len() as u64, "{longest}: {like:?}");
    let (again, _) = open_again(dir.path(), &clock, 2);
    assert_eq!(everything(&again), written);
    // Each segment can be read by itself: the first is gone, and what the second has is there.
    live(&again, &clock, 40);
    let of_second = again.own_stream().id;
    let frames = again.frames(&of_second, 1, usize::MAX).expect("reads").len();
    drop(again);
    std::fs::remove_file(&segments(dir.path())[0]).expect("removes");
    let (alone, registry) = open_again(dir.path(), &clock, 3);
    assert_eq!(alone.frames(&of_second, 1, usize::MAX).expect("reads").len(), frames);
    assert!(registry.encode_text().contains("vedette_log_missing_segments_total 1"));
    let found = everything(&alone);
    assert!(found.values().map(Vec::len).sum::<usize>() > 40 * 3 * COMMON);
    assert!(found.iter().all(|(labels, samples)| {
        samples.iter().all(|one| one.0 < T0 + 100 * 15_000 || one.0 > T0 + 140 * 15_000 || labels.has("job"))
    }));
}

#[test]
fn a_damaged_layout_costs_those_that_are_like_it_and_is_told() {
    let clock = SimulatedClock::at(T0);
    let dir = folder();
    let (store, _) = open_again(dir.path(), &clock, 1);
    live(&store, &clock, 60);
    let written = everything(&store);
    drop(store);
    let all: usize = written.values().map(Vec::len).sum();
    let mut most = 0;
    for (at, &(_, offset, bytes)) in layouts(dir.path(), 1).iter().enumerate() {
        let copy = folder();
        copy_dir(dir.path(), copy.path());
        let path = segments(copy.path()).remove(0);
        let mut file = std::fs::read(&path).expect("reads");
        file[(offset + bytes / 2) as usize] ^= 0x10;
        std::fs::write(&path, file).expect("writes");
        assert!(verify(copy.path(), &mut |_| {}).expect("reads").faults > 0, "record {at}");
        let (hurt, registry) = open_again(copy.path(), &clock, 2);
        let found = everything(&hurt);
        for (labels, samples) in &found {
            let known: BTreeSet<_> = written.get(labels).into_iter().flatten().collect();
            assert!(samples.iter().all(|sample| known.contains(sample)), "record {at}: {labels}");
        }
        let left: usize = found.values().map(Vec::len).sum();
        // A frame is of use only with all of its layouts.
        assert!(left < all, "record {at}: {left} of {all}");
        let page = registry.encode_text();
        let told = page.lines().find(|line| line.starts_with("vedette_log_corrupt_records_total"));
        assert!(told.is_some_and(|line| !line.ends_with(" 0")), "record {at}: {told:?}");
        most = most.max(left);
    }
    assert!(most * 10 > all * 8, "the last layouts cost the last frames alone: {most} of {all}");
}
