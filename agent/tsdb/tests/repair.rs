//! Damaged folders, repaired: verifying finds nothing any more, the store opens, what is there was written, and what is
//! missing is named.

mod common;
mod damages;

use std::collections::BTreeSet;
use std::path::Path;

use common::*;
use damages::{damage, files, written};
use env::{SeededRandom, SimulatedClock};
use storage::{Appender, Querier, Select, TimeRange};
use vedette_tsdb::{OpenError, RepairError, repair, verify};

/// Damaged folders at CI size, and at the size that releases are judged by.
const CASES: [u64; 2] = [8, 600];

fn faults(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    verify(dir, &mut |fault| found.push(fault.to_string())).expect("reads");
    found
}

fn bytes(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    files(dir, &mut all);
    all.into_iter().map(|file| (file.clone(), std::fs::read(file).expect("reads"))).collect()
}

#[test]
fn whatever_is_damaged_after_a_repair_it_is_whole_or_a_named_gap() {
    let clock = SimulatedClock::at(T0);
    let whole = folder();
    let written = written(&clock, whole.path());
    let total = written.values().map(Vec::len).sum::<usize>();
    let soak = std::env::var_os("VEDETTE_SOAK").is_some();
    let only: Option<u64> = std::env::var("VEDETTE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..CASES[usize::from(soak)], |seed| seed..seed + 1);
    let (mut repaired, mut kept) = (0, 0);
    for seed in seeds {
        let random = SeededRandom::shared(seed + 10_000);
        let copy = folder();
        copy_dir(whole.path(), copy.path());
        let damages: Vec<_> = (0..=seed % 3).map(|_| damage(copy.path(), &random)).collect();
        let what: Vec<&str> = damages.iter().map(|damage| &*damage.what).collect();
        let what = format!("seed {seed}, {what:?}");
        let (before, was) = (faults(copy.path()), bytes(copy.path()));
        let mut said = Vec::new();
        let dry = repair(copy.path(), true, &mut |line| said.push(line)).expect("plans");
        assert_eq!((dry.found, said.len()), (before.len() as u64, before.len()), "{what}");
        assert!(bytes(copy.path()) == was, "{what}: planning changes nothing");
        let done = repair(copy.path(), false, &mut |line| said.push(line));
        let done = done.unwrap_or_else(|error| panic!("{what}: {error}; {said:#?}"));
        assert_eq!((done.found, done.left), (before.len() as u64, 0), "{what}: {said:#?}");
        assert_eq!(faults(copy.path()), Vec::<String>::new(), "{what}: {said:#?}");
        let again = repair(copy.path(), false, &mut |_| {}).expect("repairs");
        assert_eq!((again.found, again.left), (0, 0), "{what}");
        let store = open(copy.path(), "n", &clock, 1_000);
        let found = everything(&store);
        for (labels, samples) in &found {
            let all: BTreeSet<_> = written.get(labels).into_iter().flatten().collect();
            assert!(samples.iter().all(|sample| all.contains(sample)), "{what}: {labels}: nobody wrote that");
        }
        let select = Select { matchers: Vec::new(), range: TimeRange::ALL, samples_max: usize::MAX };
        let gaps = wait(store.select(select)).expect("answers").coverage.gaps;
        let silent = damages.iter().any(|damage| damage.silent) || before.is_empty();
        for (labels, samples) in &written {
            let here: BTreeSet<_> = found.get(labels).into_iter().flatten().collect();
            for sample in samples.iter().filter(|sample| !here.contains(sample)) {
                let named = gaps.iter().any(|gap| (gap.start..=gap.end).contains(&sample.0));
                assert!(silent || named, "{what}: {labels} at {} is missing: {gaps:?} {said:#?}", sample.0);
            }
        }
        repaired += u64::from(!before.is_empty());
        kept += found.values().map(Vec::len).sum::<usize>() * 100 / total;
        let page = store.layout(layout("after", 2)).expect("layout");
        let now = env::Clock::now_ms(&*clock);
        assert_eq!(append(&store, &page, now, &[value(1.0), value(2.0)]).appended, 2, "{what}");
    }
    eprintln!("{repaired} folders were damaged, {kept} hundredths kept in all");
    assert!(only.is_some() || repaired > 3, "{repaired} folders were damaged");
}

#[test]
fn a_folder_in_use_is_left_alone_and_a_whole_one_as_it_is() {
    let clock = SimulatedClock::at(T0);
    let dir = folder();
    written(&clock, dir.path());
    let store = open(dir.path(), "n", &clock, 1);
    let refused = repair(dir.path(), false, &mut |_| {}).expect_err("in use");
    assert!(matches!(refused, RepairError::Open(OpenError::Locked(_))), "{refused}");
    drop(store);
    let was = bytes(dir.path());
    let done = repair(dir.path(), false, &mut |line| panic!("{line}")).expect("nothing to do");
    assert_eq!((done.found, done.left, done.segments), (0, 0, 0));
    assert!(bytes(dir.path()) == was);
    assert!(repair(&dir.path().join("nowhere"), false, &mut |_| {}).is_err());
}
