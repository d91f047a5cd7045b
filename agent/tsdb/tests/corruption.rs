//! A store's folder with anything wrong in it: it opens, gives no value that was not written, says what it
//! found, and goes on.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::*;
use env::{SeededRandom, SharedClock, SharedRandom, SimulatedClock};
use storage::{Appender, FrameSource, Gap, Querier, Select, TimeRange};
use vedette_tsdb::{Store, verify};

/// Damaged folders at CI size, and at the size that releases are judged by.
const CASES: [u64; 2] = [60, 1_500];
/// A page of a disk.
const PAGE: usize = 4096;

/// A folder with several segments, epochs and windows, and a stream that another node wrote; all that is in it.
fn folder(clock: &Arc<SimulatedClock>, dir: &Path) -> Samples {
    let other = tempfile::tempdir().expect("dir");
    let sender = open(other.path(), "m", clock, 7);
    let mut store = open(dir, "n", clock, 1);
    for n in 0..120i64 {
        clock.advance(std::time::Duration::from_secs(150));
        let timestamp = T0 + (n + 1) * 150_000;
        for (store, name) in [(&store, format!("n{}", n % 3)), (&sender, "m".to_owned())] {
            let page = store.layout(layout(&name, 12)).expect("layout");
            let cells: Vec<_> =
                (0..12).map(|slot| value((n * 100 + slot) as f64 / [1.0, 7.0][slot as usize % 2])).collect();
            append(store, &page, timestamp, &cells);
        }
        if n % 4 == 0 {
            store.flush().expect("flushes");
            sender.flush().expect("flushes");
        }
        match n % 40 {
            10 => store.record_gap(Gap { start: T0, end: T0 + n, why: "why".to_owned() }),
            20 => drop(store.renew_epoch(store.own_stream().external).expect("renews")),
            30 => {
                drop(store);
                store = open(dir, "n", clock, n as u64);
            }
            _ => store.maintain(),
        }
    }
    sender.flush().expect("flushes");
    for frame in introduce(&sender, &store, &sender.own_stream().id) {
        offer(&store, &frame);
    }
    store.close().expect("closes");
    everything(&store)
}

/// Every file of a store that holds anything, but its lock.
fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("lists") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            files(&path, out);
        } else if path.file_name().is_some_and(|name| name != "LOCK")
            && path.metadata().is_ok_and(|it| it.len() > 0)
        {
            out.push(path);
        }
    }
    out.sort();
}

/// What was done, and whether it may look like a life that ended earlier: then nothing tells of it.
struct Damage {
    what: String,
    silent: bool,
}

fn damage(dir: &Path, random: &SharedRandom) -> Damage {
    let below = |bound: usize| (random.next_u64() % bound.max(1) as u64) as usize;
    let mut all = Vec::new();
    files(dir, &mut all);
    let chosen = below(all.len());
    let (file, other) = (&all[chosen], &all[below(all.len())]);
    let name = file.strip_prefix(dir).expect("inside").display().to_string();
    let mut bytes = std::fs::read(file).expect("reads");
    let length = bytes.len();
    // Without the log's last segment it looks as if nothing had followed.
    let last = segments(dir).last() == Some(file);
    let at = below(length);
    let mut silent = false;
    let what = match below(11) {
        0..=2 => {
            for _ in 0..=below(3) {
                bytes[below(length)] ^= 1 << below(8);
            }
            "bits flipped"
        }
        3 => {
            let start = at / PAGE * PAGE;
            bytes[start..(start + PAGE).min(length)].fill(0);
            "a page zeroed"
        }
        4 => {
            bytes.truncate(at);
            // Between two records it looks as if nothing had followed.
            silent = last || is_between_records(file, at as u64);
            "cut off"
        }
        5 => {
            bytes.extend((0..below(500)).map(|_| random.next_u64() as u8));
            "garbage at its end"
        }
        6 => {
            // Of another version.
            bytes[4] = bytes[4].wrapping_add(1 + below(254) as u8);
            "another format version"
        }
        7 => {
            let theirs = std::fs::read(other).expect("reads");
            std::fs::write(other, &bytes).expect("writes");
            bytes = theirs;
            "swapped with another"
        }
        8 => {
            std::fs::remove_file(file).expect("removes");
            return Damage { what: format!("{name}: missing"), silent: last };
        }
        9 => {
            let (from, to) = (at, (at + below(PAGE)).min(length));
            bytes[from..to].iter_mut().for_each(|byte| *byte = random.next_u64() as u8);
            "a piece overwritten"
        }
        _ => {
            std::fs::remove_file(file).expect("removes");
            std::fs::create_dir(file).expect("makes");
            return Damage { what: format!("{name}: a folder in its place"), silent: false };
        }
    };
    std::fs::write(file, bytes).expect("writes");
    Damage { what: format!("{name}: {what}"), silent }
}

fn is_between_records(file: &Path, at: u64) -> bool {
    let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let is_segment = file.extension().is_some_and(|extension| extension == "seg");
    let (true, Ok(segment), Some(dir)) = (is_segment, name.parse(), file.parent()) else { return false };
    let mut starts = BTreeSet::new();
    log::scan_segment(dir, segment, &mut |record| starts.extend([record.at.offset])).expect("reads");
    // Before the first record there is nothing at all, which is told.
    starts.pop_first();
    starts.contains(&at)
}

/// Whether anything says that there was damage: a counter, or a gap that was not there.
fn is_told(registry: &telemetry::Registry, store: &Store) -> bool {
    let page = registry.encode_text();
    let names =
        ["vedette_log_corrupt", "vedette_log_torn", "vedette_log_missing", "vedette_tsdb_sealed_damage"];
    let counted = page.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
    let counted = counted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() > 0.0;
    let select = Select { matchers: Vec::new(), range: TimeRange::ALL, samples_max: usize::MAX };
    let gaps = wait(store.select(select)).expect("answers").coverage.gaps;
    counted || gaps.iter().any(|gap| gap.why != "why")
}

#[test]
fn whatever_is_damaged_nothing_is_invented_and_it_is_told() {
    let clock = SimulatedClock::at(T0);
    let whole = tempfile::tempdir().expect("dir");
    let written = folder(&clock, whole.path());
    assert!(segments(whole.path()).len() >= 4, "several segments");
    let soak = std::env::var_os("VEDETTE_SOAK").is_some();
    let (mut hurt, mut untouched) = (0, 0);
    let only: Option<u64> = std::env::var("VEDETTE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..CASES[usize::from(soak)], |seed| seed..seed + 1);
    for seed in seeds {
        let random = SeededRandom::shared(seed);
        let copy = tempfile::tempdir().expect("dir");
        copy_dir(whole.path(), copy.path());
        let mut damages = vec![damage(copy.path(), &random)];
        if seed % 4 == 0 {
            damages.push(damage(copy.path(), &random));
        }
        let what: Vec<&str> = damages.iter().map(|damage| &*damage.what).collect();
        let what = format!("seed {seed}, {what:?}");
        // Before the start, which may repair and set aside.
        let checked = verify(copy.path(), &mut |_| {});
        let is_verified = checked.map(|checked| checked.faults + checked.torn_bytes > 0);
        let registry = telemetry::Registry::new();
        let shared = Arc::clone(&clock) as SharedClock;
        let store = Store::open(options(copy.path(), "n"), shared, SeededRandom::shared(1_000), &registry);
        let store = store.unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = everything(&store);
        let mut lost = 0;
        for (labels, samples) in &found {
            let all: BTreeSet<_> = written.get(labels).into_iter().flatten().collect();
            assert!(
                samples.iter().all(|sample| all.contains(sample)),
                "{what}: {labels} has what nobody wrote"
            );
        }
        for (labels, samples) in &written {
            lost += samples.len() - found.get(labels).map_or(0, Vec::len);
        }
        if lost == 0 {
            untouched += 1;
        } else {
            hurt += 1;
            let silent = damages.iter().any(|damage| damage.silent);
            assert!(silent || is_told(&registry, &store), "{what}: {lost} samples lost without a word");
            let is_verified = is_verified.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(silent || is_verified, "{what}: {lost} samples lost, and verifying tells nothing");
        }
        for info in store.streams() {
            store.frames(&info.id, 1, usize::MAX).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        goes_on(&clock, &store, copy.path(), &what);
    }
    assert!(only.is_some() || hurt > 10 && untouched > 3, "{hurt} folders lost samples, {untouched} none");
    eprintln!("{hurt} folders lost samples, {untouched} none");
}

/// It takes rows, and a start after that finds them.
fn goes_on(clock: &Arc<SimulatedClock>, store: &Arc<Store>, dir: &Path, what: &str) {
    let page = store.layout(layout("after", 2)).expect("layout");
    let timestamp = env::Clock::now_ms(&**clock);
    assert_eq!(append(store, &page, timestamp, &[value(1.0), value(2.0)]).appended, 2, "{what}");
    store.flush().unwrap_or_else(|error| panic!("{what}: {error}"));
    let before = everything(store);
    let copy = tempfile::tempdir().expect("dir");
    copy_dir(dir, copy.path());
    let after = everything(&open(copy.path(), "n", clock, 1_001));
    let changed: Vec<_> = before
        .iter()
        .filter(|(labels, samples)| after.get(labels) != Some(samples))
        .map(|(labels, samples)| {
            format!("{labels}: {} of {}", after.get(labels).map_or(0, Vec::len), samples.len())
        })
        .collect();
    assert!(changed.is_empty() && after.len() == before.len(), "{what}: one more start: {changed:?}");
}
