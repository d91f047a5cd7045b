//! Folders that the store wrote, read by the tools: what they hold comes out as the store answers it, nothing is
//! changed, and every damage is told with its place.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::*;
use env::SimulatedClock;
use model::Matcher;
use storage::{Appender, FrameSource, QueryError, TimeRange};
use vedette_tsdb::{Archive, Fault, Place, verify};

/// Two streams of the own node and one of another, over several windows: a row each two minutes, of which
/// the newest are in the log only.
fn folder(dir: &Path, rows: i64) -> Samples {
    let clock = SimulatedClock::at(T0);
    let other = tempfile::tempdir().expect("dir");
    let sender = open(other.path(), "m", &clock, 7);
    let mut store = open(dir, "n", &clock, 1);
    for n in 0..rows {
        clock.advance(std::time::Duration::from_secs(120));
        let timestamp = T0 + (n + 1) * 120_000;
        for (store, name) in [(&store, format!("n{}", n % 2)), (&sender, "m".to_owned())] {
            let page = store.layout(layout(&name, 70)).expect("layout");
            let cells: Vec<_> =
                (0..70).map(|slot| value((n * 104_729 * (slot + 3) % 1_000_003) as f64 / 7.0)).collect();
            append(store, &page, timestamp, &cells);
        }
        store.maintain();
        if n == rows / 2 {
            drop(store);
            store = open(dir, "n", &clock, 2);
        }
    }
    sender.flush().expect("flushes");
    for frame in introduce(&sender, &store, &sender.own_stream().id) {
        offer(&store, &frame);
    }
    store.close().expect("closes");
    everything(&store)
}

fn read(archive: &Archive, sets: &[Vec<Matcher>], range: TimeRange, samples_max: usize) -> (Samples, usize) {
    let (mut found, mut pieces) = (Samples::new(), 0);
    let give = |set: storage::SeriesSet| {
        pieces += 1;
        for series in set.series {
            let bits = series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits()));
            found.entry(series.labels).or_default().extend(bits);
        }
        Ok::<_, QueryError>(())
    };
    archive.read(sets, range, samples_max, give).expect("reads");
    (found, pieces)
}

fn faults(dir: &Path) -> Vec<Fault> {
    let mut found = Vec::new();
    let checked = verify(dir, &mut |fault| found.push(fault)).expect("reads");
    assert_eq!(checked.faults, found.len() as u64);
    found
}

/// All files with their bytes.
fn bytes(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("lists") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.extend(bytes(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).expect("reads"));
        }
    }
    found
}

#[test]
fn what_is_read_is_what_the_store_answers_and_nothing_changes() {
    let dir = common::folder();
    let written = self::folder(dir.path(), 220);
    let before = bytes(dir.path());
    let archive = Archive::open(dir.path(), Some("n")).expect("opens");
    let (all, pieces) = read(&archive, &[], TimeRange::ALL, usize::MAX);
    assert_eq!(all, written);
    assert_eq!(pieces, archive.windows().len());
    assert!(pieces >= 3, "several windows");
    // In small pieces it is the same.
    let (cut, more) = read(&archive, &[], TimeRange::ALL, 500);
    assert_eq!(cut, written);
    assert!(more > 3 * pieces, "{more} pieces");

    let range = TimeRange { start: T0 + WINDOW - 500_000, end: T0 + WINDOW + 500_000 };
    let sets = [vec![Matcher::equal("__name__", "m3")], vec![Matcher::equal("instance", "n0")]];
    let (some, _) = read(&archive, &sets, range, usize::MAX);
    let expected: Samples = written
        .iter()
        .filter(|(labels, _)| labels.metric_name() == "m3" || labels.value("instance") == "n0")
        .map(|(labels, samples)| {
            (labels.clone(), samples.iter().copied().filter(|at| range.contains(at.0)).collect())
        })
        .collect();
    assert_eq!(some, expected);
    let found = archive.analyze(&[], None, 3).expect("reads");
    let samples: usize = written.values().map(Vec::len).sum();
    assert_eq!(
        (found.series, found.sealed_samples + found.log_samples),
        (written.len() as u64, samples as u64)
    );
    assert!(found.sealed_samples > 0 && found.log_samples > 0, "{found:?}");
    let metric = &found.cardinality.series_by_metric;
    assert_eq!((metric.len(), &*metric[0].name, metric[0].value), (3, "m0", 3));
    let only =
        archive.analyze(&[Matcher::equal("instance", "n1")], Some(archive.windows()[0]), 3).expect("reads");
    assert_eq!((only.series, only.windows.len(), only.is_whole), (70, 1, false));
    assert_eq!(faults(dir.path()), []);
    drop(archive);
    assert_eq!(bytes(dir.path()), before, "nothing changes");
}

#[test]
fn without_a_name_a_folder_of_one_node_shows_its_own_labels() {
    let dir = common::folder();
    let clock = SimulatedClock::at(T0);
    let store = open(dir.path(), "n", &clock, 1);
    let page = store.layout(layout("x", 2)).expect("layout");
    append(&store, &page, T0 + 1_000, &[value(1.0), value(2.0)]);
    assert!(
        matches!(Archive::open(dir.path(), None), Err(vedette_tsdb::OpenError::Locked(_))),
        "it is in use"
    );
    assert!(verify(dir.path(), &mut |_| {}).is_err(), "it is in use");
    store.flush().expect("flushes");
    store.snapshot("one", false).expect("snapshot");
    let written = everything(&store);
    let snapshot = Archive::open(&dir.path().join("snapshots/one"), None).expect("opens");
    assert_eq!(read(&snapshot, &[], TimeRange::ALL, usize::MAX).0, written);
    store.close().expect("closes");
    drop(store);
    let archive = Archive::open(dir.path(), None).expect("opens");
    let again = Archive::open(dir.path(), None).expect("several may read");
    assert_eq!(read(&again, &[], TimeRange::ALL, usize::MAX).0, written);
    drop((archive, again));
    let other = Archive::open(dir.path(), Some("somebody")).expect("opens");
    let (shipped, _) = read(&other, &[], TimeRange::ALL, usize::MAX);
    assert!(shipped.keys().all(|labels| labels.value("agent") == "n" && labels.value("site") == "x"));
    assert!(Archive::open(&dir.path().join("log"), None).is_err(), "no store");
}

/// Flips a bit of a file.
fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).expect("reads");
    bytes[at] ^= 4;
    std::fs::write(file, bytes).expect("writes");
}

#[test]
fn damage_of_the_log_is_told_with_its_place() {
    let whole = common::folder();
    self::folder(whole.path(), 150);
    let copy = || {
        let copy = common::folder();
        copy_dir(whole.path(), copy.path());
        copy
    };
    let number =
        |path: &Path| path.file_stem().and_then(|name| name.to_str()?.parse().ok()).expect("a number");
    // The first segment that has records of frames.
    let dir = copy();
    let segment = segments(dir.path()).pop().expect("a segment");
    let index: u64 = number(&segment);
    let mut frames = Vec::new();
    let log = segment.parent().expect("folder");
    log::scan_segment(log, index, &mut |record| {
        frames.extend((record.kind == 3).then_some(record.at.offset))
    })
    .expect("reads");
    let offset = frames[frames.len() / 2];
    flip(&segment, offset as usize + 30);
    let told = faults(dir.path());
    assert_eq!(
        told.first().map(|fault| &fault.place),
        Some(&Place::Bytes { segment: index, offset }),
        "{told:?}"
    );

    // A layout that no other segment has costs the frames that name it, which are told too.
    let dir = copy();
    for segment in segments(dir.path()) {
        let mut layouts = Vec::new();
        let log = segment.parent().expect("folder");
        log::scan_segment(log, number(&segment), &mut |record| {
            layouts.extend((record.kind == 2).then_some(record.at.offset));
        })
        .expect("reads");
        layouts.iter().for_each(|offset| flip(&segment, *offset as usize + 40));
    }
    let told = faults(dir.path());
    assert!(told.iter().any(|fault| fault.what.contains("cannot be used: 1 of its layouts")), "{told:?}");

    // A segment that is gone, between others.
    let dir = copy();
    let all = segments(dir.path());
    assert!(all.len() >= 3, "{all:?}");
    std::fs::remove_file(&all[1]).expect("removes");
    let expected = Place::Log(format!("{:08}.seg", number(&all[1])));
    assert!(faults(dir.path()).iter().any(|fault| fault.place == expected), "{:?}", faults(dir.path()));

    // What a kill leaves at the end is none.
    let dir = copy();
    let last = segments(dir.path()).pop().expect("a segment");
    let bytes = std::fs::read(&last).expect("reads");
    std::fs::write(&last, &bytes[..bytes.len() - 5]).expect("writes");
    let checked = verify(dir.path(), &mut |fault| panic!("{fault}")).expect("reads");
    assert!(checked.torn_bytes > 0);
}

/// The end that a kill leaves is none either once another run has begun: nothing is missing that counted. A file that
/// was cut later is damage, and so is a last record that is whole and wrong.
#[test]
fn what_a_killed_run_left_is_no_damage_in_the_next() {
    let (dir, clock) = (common::folder(), SimulatedClock::at(T0));
    let mut kept = Vec::new();
    for run in 1..4i64 {
        let store = open(dir.path(), "n", &clock, run as u64);
        let page = store.layout(layout("a", 3)).expect("layout");
        for row in 0..9 {
            clock.advance(std::time::Duration::from_secs(60));
            append(&store, &page, T0 + (run * 9 + row) * 60_000, &[value((run + row) as f64); 3]);
            store.flush().expect("flushes");
        }
        store.close().expect("closes");
        drop(store);
        let last = segments(dir.path()).pop().expect("a segment");
        kept.push((std::fs::read(&last).expect("reads"), last));
    }
    let first = &kept[0];
    for cut in [3, 20, 40] {
        std::fs::write(&first.1, &first.0[..first.0.len() - cut]).expect("writes");
        let checked = verify(dir.path(), &mut |fault| panic!("{cut}: {fault}")).expect("reads");
        assert_eq!((checked.cut_off, checked.torn_bytes), (1, 0), "{cut}");
    }
    let mut bytes = first.0.clone();
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&first.1, &bytes).expect("writes");
    assert_eq!(faults(dir.path()).len(), 1, "a whole record that is wrong");
}

/// One run over several segments, the first of which is cut in the middle of a record.
#[test]
fn a_segment_that_was_cut_is_damage_where_its_run_went_on() {
    let dir = common::folder();
    self::folder(dir.path(), 150);
    let all = segments(dir.path());
    let mut found = 0;
    for segment in &all[..all.len() - 1] {
        let bytes = std::fs::read(segment).expect("reads");
        std::fs::write(segment, &bytes[..bytes.len() * 2 / 3]).expect("writes");
        found += usize::from(!faults(dir.path()).is_empty());
        std::fs::write(segment, &bytes).expect("writes");
    }
    // But for the one that the first run ended with.
    assert!(found >= all.len() - 2, "{found} of {}", all.len());
}

#[test]
fn damage_of_sealed_windows_is_told_with_its_place() {
    let whole = common::folder();
    self::folder(whole.path(), 220);
    let generations = sealed_blocks(whole.path()).len();
    assert!(generations >= 2);
    let mut places = Vec::new();
    for file in 0..generations {
        let length = std::fs::metadata(&sealed_blocks(whole.path())[file]).expect("file").len() as usize;
        for at in (0..length).step_by(length / 9) {
            let copy = common::folder();
            copy_dir(whole.path(), copy.path());
            // Of the blocks; RocksDB's own tables at the end are read too.
            flip(&sealed_blocks(copy.path())[file], at.min(length - 1));
            let told = faults(copy.path());
            // Bytes that say nothing that is read, as statistics, are the only ones that may change unseen.
            places.extend(told.iter().map(|fault| fault.place.clone()));
            assert!(!told.is_empty() || at * 20 > length * 19, "byte {at} of {length} is not told");
            let clean = faults(whole.path());
            assert_eq!(clean, []);
        }
        let copy = common::folder();
        copy_dir(whole.path(), copy.path());
        std::fs::remove_file(&sealed_blocks(copy.path())[file]).expect("removes");
        let told = faults(copy.path());
        assert!(!told.is_empty(), "a file that is gone");
        let archive = Archive::open(copy.path(), Some("n"));
        let _ = archive.map(|archive| read(&archive, &[], TimeRange::ALL, usize::MAX));
    }
    let blocks = |place: &&Place| matches!(place, Place::Block { .. });
    assert!(places.iter().filter(blocks).count() > 0, "{places:?}");
}

/// Two values that changed their places are whole, and belong to something else.
#[test]
fn values_under_anothers_key_are_told() {
    let dir = common::folder();
    self::folder(dir.path(), 220);
    let mut windows = std::collections::BTreeSet::new();
    {
        let names = ["default", "identity", "blocks"];
        let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), dir.path().join("sealed"), names)
            .expect("opens");
        let family = db.cf_handle("blocks").expect("blocks");
        let all: Vec<_> = db
            .iterator_cf(&family, rocksdb::IteratorMode::Start)
            .map(|entry| entry.expect("reads"))
            .collect();
        // Of the first group the first two sub-blocks.
        for (at, with) in [(0, 1), (1, 0)] {
            db.put_cf(&family, &all[at].0, &all[with].1).expect("writes");
        }
        windows.extend(all.iter().map(|(key, _)| key[..8].to_vec()));
    }
    let told = faults(dir.path());
    let told: Vec<_> = told.iter().map(|fault| (&fault.place, &*fault.what)).collect();
    assert!(windows.len() >= 2);
    assert!(
        matches!(
            told[..],
            [
                (Place::Block { group: 1, sub: 0, part: 0, .. }, "it belongs to something else"),
                (Place::Block { group: 1, sub: 1, part: 0, .. }, "it belongs to something else"),
            ]
        ),
        "{told:?}"
    );
}

#[test]
fn a_folder_from_long_ago_is_read() {
    // The tools need no clock: a folder from long ago reads as well.
    let dir = common::folder();
    let clock: Arc<SimulatedClock> = SimulatedClock::at(1_000);
    let store = open(dir.path(), "n", &clock, 1);
    let page = store.layout(layout("old", 1)).expect("layout");
    append(&store, &page, 1_000, &[value(4.0)]);
    let written = everything(&store);
    store.close().expect("closes");
    drop(store);
    let archive = Archive::open(dir.path(), None).expect("opens");
    assert_eq!(read(&archive, &[], TimeRange::ALL, usize::MAX).0, written);
}

#[test]
fn a_sealed_window_that_is_gone_is_told() {
    let dir = common::folder();
    self::folder(dir.path(), 220);
    {
        let names = ["default", "identity", "blocks"];
        let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), dir.path().join("sealed"), names)
            .expect("opens");
        let mut record = vec![b'w'];
        record.extend((T0.div_euclid(WINDOW) ^ i64::MIN).to_be_bytes());
        assert!(db.get(&record).expect("reads").is_some());
        db.delete(&record).expect("deletes");
    }
    let places: Vec<_> = faults(dir.path()).into_iter().map(|fault| fault.place).collect();
    assert_eq!(places, [Place::Window { window: T0, generation: 0 }]);
}
