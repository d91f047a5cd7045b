//! A store's folder with anything wrong in it: it opens, gives no value that was not written, says what it
//! found, and goes on.

mod common;
mod damages;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use common::*;
use damages::{damage, written};
use env::{SeededRandom, SharedClock, SimulatedClock};
use storage::{Appender, FrameSource, Querier, Select, TimeRange};
use vedette_tsdb::{Store, verify};

/// Damaged folders at CI size, and at the size that releases are judged by.
const CASES: [u64; 2] = [60, 1_500];
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
    let written = written(&clock, whole.path());
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
        let is_verified = checked.map(|checked| checked.faults + checked.torn_bytes + checked.cut_off > 0);
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
