//! The log: segments of any bytes, records of any content in a store's log, frames that others send.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use env::{SeededRandom, SharedClock, SimulatedClock};
use log::{Log, LogOptions, SegmentReader, scan_segment};
use model::{Labels, Metadata};
use storage::{
    Appender, Cell, Epoch, Frame, FrameHash, FrameKey, FrameSink, FrameSource, Layout, Number, Querier,
    Receipt, Row, Select, Slot, StreamId, StreamInfo, TimeRange,
};
use tempfile::TempDir;
use tsdb::{Store, StoreOptions};

use crate::Input;

/// Start of a 2 h window.
const T0: i64 = 1_699_999_200_000;
const WINDOW: i64 = 7_200_000;

type Samples = BTreeMap<Labels, Vec<(i64, u64)>>;

/// A segment's bytes after its head. Every record that is found is read again at its place.
pub(crate) fn segment(bytes: &[u8]) {
    let dir = TempDir::new().expect("a folder");
    let log =
        |visit: &mut dyn FnMut(log::Record)| Log::open(LogOptions::new(dir.path()), visit).expect("opens").0;
    let mut first = log(&mut |_| {});
    first.append(1, b"head").expect("appends");
    first.sync().expect("syncs");
    drop(first);
    let path = dir.path().join("00000001.seg");
    let mut file = std::fs::read(&path).expect("reads");
    file.extend_from_slice(bytes);
    std::fs::write(&path, &file).expect("writes");
    let mut records = Vec::new();
    let damage = scan_segment(dir.path(), 1, &mut |record| records.push(record)).expect("reads");
    assert!(damage.bytes + damage.torn <= bytes.len() as u64, "more damage than bytes: {damage:?}");
    let reader = SegmentReader::open(dir.path(), 1).expect("opens");
    for record in &records {
        assert_eq!(reader.read(record.at.offset).as_ref().ok(), Some(record));
    }
    let mut again = Vec::new();
    drop(log(&mut |record| again.push(record)));
    assert_eq!(again, records);
}

/// Records whose checksums hold, whatever is in them: a kind, a length of 2 bytes, the payload.
pub(crate) fn records(bytes: &[u8]) {
    let dir = TempDir::new().expect("a folder");
    let mut log = Log::open(LogOptions::new(dir.path().join("log")), &mut |_| {}).expect("opens").0;
    let mut input = Input(bytes);
    while !input.0.is_empty() {
        let (kind, length) = (input.byte(), input.short());
        log.append(kind, input.take(length.into())).expect("appends");
    }
    log.sync().expect("syncs");
    drop(log);
    let first = read(dir.path());
    assert_eq!(read(dir.path()), first, "a second start finds something else");
}

fn read(dir: &Path) -> Samples {
    let store = open(dir);
    for info in store.streams() {
        store.frames(&info.id, 1, 1 << 20).expect("reads");
    }
    everything(&store)
}

/// Bodies of a stream's frames, as a sender may send them: two bytes that say the frame's times and layouts, a
/// length of 2 bytes, the body. What the head makes of those taken, a restart makes too.
pub(crate) fn frames(bytes: &[u8]) {
    let dir = TempDir::new().expect("a folder");
    let store = open(dir.path());
    let layouts = [layout("a", 3), layout("b", 9)];
    let stream = StreamId { agent: "m".into(), epoch: Epoch(7) };
    let info = StreamInfo { id: stream.clone(), minted_ms: T0, external: Labels::empty() };
    store.open_stream(info).expect("opens");
    for layout in &layouts {
        store.add_layout(layout.clone()).expect("adds");
    }
    let (mut prev, mut seq, mut taken) = (FrameHash::ROOT, 1, 0);
    let mut input = Input(bytes);
    while !input.0.is_empty() {
        let (times, table, length) = (input.byte(), input.byte(), input.short());
        // This window, the one before, and an old one, which is read from the log.
        let start = T0 - WINDOW * [0, 1, 9][usize::from(times) % 3];
        let range = TimeRange { start, end: start + i64::from(times) * 1000 };
        let ids = layouts.iter().cycle().skip(usize::from(table & 1)).take(usize::from(table >> 6));
        let body = Bytes::copy_from_slice(input.take(length.into()));
        let key = FrameKey { stream: stream.clone(), seq };
        let frame = Frame::new(key, prev, range, ids.map(Layout::id).collect(), body);
        let hash = frame.hash();
        if let Ok(Receipt::Appended(_)) = FrameSink::append(&*store, frame) {
            (prev, seq, taken) = (hash, seq + 1, taken + 1);
        }
    }
    assert_eq!(store.held(&stream).count(), taken);
    let before = everything(&store);
    drop(store);
    let again = open(dir.path());
    assert_eq!(again.held(&stream).count(), taken);
    assert_eq!(everything(&again), before, "a restart makes something else of the same frames");
}

fn open(dir: &Path) -> Arc<Store> {
    let clock = SimulatedClock::at(T0 + 60_000) as SharedClock;
    let options = StoreOptions::new(dir, "n");
    Store::open(options, clock, SeededRandom::shared(3), &telemetry::Registry::new()).expect("opens")
}

/// Beyond the sixth slot they hold starts of the first ones.
fn layout(instance: &str, slots: usize) -> Layout {
    let labels = |at| Labels::from_pairs([("__name__", format!("m{at}"))]);
    let slot = |at| match at {
        6.. => Slot::of_starts(labels(at - 6)),
        _ => Slot::new(labels(at), Metadata::default()),
    };
    Layout::new(Labels::from_pairs([("instance", instance)]), (0..slots).map(slot).collect()).expect("valid")
}

fn everything(store: &Store) -> Samples {
    let select = Select { matchers: Vec::new(), range: TimeRange::ALL, samples_max: usize::MAX };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let set = runtime.block_on(store.select(select.clone())).expect("answers");
    let bits = |sample: &model::Sample| (sample.timestamp, sample.value.to_bits());
    let series = set.series.iter();
    let samples = series.map(|series| (series.labels.clone(), series.samples.iter().map(bits).collect()));
    let starts = runtime.block_on(store.starts(select)).expect("answers").into_iter().map(|series| {
        let mut labels = series.labels.to_builder();
        labels.set("what", "starts");
        let starts = series.starts.into_iter().map(|(time, start)| (time, start.cast_unsigned()));
        (labels.build(), starts.collect())
    });
    samples.chain(starts).collect()
}

/// A store that has written frames of two layouts, under two epochs.
fn sample(with: impl FnOnce(&Store, &Path)) {
    let dir = TempDir::new().expect("a folder");
    let store = open(dir.path());
    for round in 0..2 {
        let pages = [layout("a", 3), layout("b", 9)].map(|page| store.layout(page).expect("takes"));
        for row in 0..5 {
            for page in &pages {
                let number = |slot: i64| Number::from_f64((row * 31 + slot) as f64 / 10.0);
                let cells: Vec<_> = (0..page.layout().slots().len() as i64)
                    .map(|slot| if (slot + row) % 4 == 3 { Cell::Stale } else { Cell::Value(number(slot)) })
                    .collect();
                let timestamp = T0 + (round * 5 + row) * 5_000;
                Appender::append(&*store, Row { layout: page, timestamp, cells: &cells }).expect("takes");
            }
            store.flush().expect("flushes");
        }
        store.record_gap(storage::Gap { start: T0, end: T0 + 1, why: "why".to_owned() });
        store.renew_epoch(Labels::from_pairs([("site", "x")])).expect("renews");
    }
    store.close().expect("closes");
    with(&store, &dir.path().join("log"));
}

pub(crate) fn segment_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new()];
    sample(|_, log| {
        let bytes = std::fs::read(log.join("00000001.seg")).expect("reads");
        seeds.push(bytes[20..].to_vec());
        seeds.push(bytes);
    });
    seeds
}

pub(crate) fn record_seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    sample(|_, log| {
        scan_segment(log, 1, &mut |record| {
            let length = u16::try_from(record.payload.len()).expect("small").to_le_bytes();
            all.push([&[record.kind], &length[..], &record.payload].concat());
        })
        .map(drop)
        .expect("reads");
    });
    vec![all.concat(), all[..all.len() / 2].concat(), all.iter().rev().flatten().copied().collect()]
}

pub(crate) fn frame_seeds() -> Vec<Vec<u8>> {
    let mut seed = Vec::new();
    sample(|store, _| {
        let own = store.streams().into_iter().next().expect("one").id;
        for frame in store.frames(&own, 1, usize::MAX).expect("reads") {
            let length = u16::try_from(frame.body().len()).expect("small").to_le_bytes();
            seed.extend([&[60, 2 << 6], &length[..], frame.body()].concat());
        }
    });
    let old = seed.iter().map(|byte| if *byte == 60 { 62 } else { *byte }).collect();
    vec![seed, old]
}
