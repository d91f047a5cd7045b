//! Targets and epochs that come and go: what nothing uses any more takes up neither disk nor memory, and a number that
//! was given once is never another group's.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use common::*;
use env::SimulatedClock;
use storage::{Appender, FrameSource};

/// Records of the family by kind, and the groups' numbers with their owners.
fn identity(dir: &Path) -> (BTreeMap<char, usize>, BTreeMap<u32, Vec<u8>>) {
    let names = ["default", "identity", "blocks"];
    let options = rocksdb::Options::default();
    let db = rocksdb::DB::open_cf_for_read_only(&options, dir.join("sealed"), names, false).expect("opens");
    let family = db.cf_handle("identity").expect("there");
    let (mut counts, mut groups) = (BTreeMap::new(), BTreeMap::new());
    for entry in db.iterator_cf(&family, rocksdb::IteratorMode::Start) {
        let (key, value) = entry.expect("reads");
        *counts.entry(char::from(key[0])).or_default() += 1;
        if key[0] == b'g' {
            groups.insert(u32::from_be_bytes(key[1..].try_into().expect("four bytes")), value.to_vec());
        }
    }
    (counts, groups)
}

#[test]
fn what_comes_and_goes_is_forgotten() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let mut settings = options(dir.path(), "n");
    settings.retention_time = Duration::from_secs(8 * 3600);
    let mut store = open_with(settings.clone(), &clock, 1);
    let mut given: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut early = BTreeMap::new();
    for window in 0..48i64 {
        // One target that stays, one of a new name, and one of a new page.
        for (target, slots) in [("stays", 3), (&*format!("t{window}"), 2), ("page", 4 + window as usize)] {
            let page = store.layout(layout(target, slots)).expect("layout");
            let cells: Vec<_> = (0..slots).map(|slot| value((slot as i64 * window) as f64)).collect();
            append(&store, &page, T0 + window * WINDOW, &cells);
        }
        store.flush().expect("flushes");
        clock.advance(Duration::from_millis(WINDOW as u64));
        store.maintain();
        match window % 4 {
            1 => drop(store.renew_epoch(store.own_stream().external).expect("renews")),
            3 => {
                let before = everything(&store);
                store.close().expect("closes");
                drop(store);
                store = open_with(settings.clone(), &clock, window as u64 + 2);
                assert_eq!(everything(&store), before);
            }
            _ => {}
        }
        if window < 2 {
            continue;
        }
        let (counts, groups) = identity(dir.path());
        for (number, owner) in groups {
            let known = given.entry(number).or_insert_with(|| owner.clone());
            assert_eq!(*known, owner, "a number that means another group now");
        }
        if window == 12 {
            early = counts;
        }
    }
    assert!(given.len() > 100, "{}", given.len());
    let (late, _) = identity(dir.path());
    for kind in ['g', 'n', 'l', 'h', 's'] {
        assert!(late[&kind] <= early[&kind] + 3, "{kind}: {early:?}, {late:?}");
    }
    // Two epochs in four windows: those of eight hours, of twice as long and a day after, and the present one.
    assert!(store.streams().len() <= 24, "{}", store.streams().len());
    let before = everything(&store);
    drop(store);
    let store = open_with(settings, &clock, 1_000);
    assert_eq!(everything(&store), before);
    assert!(store.streams().len() <= 24, "{}", store.streams().len());
}

/// After all of it went, and a restart, numbers go on where they were.
#[test]
fn numbers_go_on_where_nothing_is_left() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let mut settings = options(dir.path(), "n");
    settings.retention_time = Duration::from_secs(8 * 3600);
    let mut given: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for round in 0..3u64 {
        let store = open_with(settings.clone(), &clock, round);
        for window in 0..12i64 {
            // Targets that do not come again have the newest numbers, and go first.
            let once = format!("{round}.{window}");
            for target in ["rest", &*once].iter().take(if window < 3 { 2 } else { 1 }) {
                let page = store.layout(layout(target, 1)).expect("layout");
                append(&store, &page, env::Clock::now_ms(&*clock), &[value(1.0)]);
            }
            store.flush().expect("flushes");
            clock.advance(Duration::from_millis(WINDOW as u64));
            store.maintain();
            if !dir.path().join("sealed").is_dir() {
                continue;
            }
            let newest = given.last_key_value().map_or(0, |(number, _)| *number);
            let (_, groups) = identity(dir.path());
            assert!(groups.len() <= 8, "{groups:?}");
            for (number, owner) in groups {
                match given.get(&number) {
                    Some(known) => assert_eq!(*known, owner, "a number that means another group now"),
                    None => assert!(number > newest, "{number} comes after {newest}"),
                }
                given.insert(number, owner);
            }
        }
    }
    assert_eq!(given.len(), 12);
}
