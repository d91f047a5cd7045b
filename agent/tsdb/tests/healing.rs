//! Damaged blocks whose frames are still in the log: answers are whole, and the window is sealed anew. What only
//! cannot be read now is no damage.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::{Clock as _, SimulatedClock};
use model::Matcher;
use proptest::prelude::*;
use storage::{Appender, Cell, Gap, IntervalSet, LabelQuery, Querier, Select, TimeRange};
use vedette_tsdb::{Store, verify};

/// Three targets over two windows, a row each three minutes, sealed and all in the log still; everything in it.
fn filled(dir: &Path, clock: &Arc<SimulatedClock>) -> Samples {
    let store = open(dir, "n", clock, 1);
    store.keep_frames(|_| IntervalSet::new());
    for row in 0..84i64 {
        for (target, slots) in [("a", 3), ("b", 70), ("c", 130)] {
            let page = store.layout(layout(target, slots)).expect("layout");
            let cell = |slot: i64| match (slot + row) % 11 {
                0 => Cell::Absent,
                1 => Cell::Stale,
                _ => value((slot * 31 + row * 7) as f64 / 8.0),
            };
            let cells: Vec<Cell> = (0..slots as i64).map(cell).collect();
            append(&store, &page, T0 + row * 170_000, &cells);
        }
        clock.advance(Duration::from_secs(170));
        // Frames of a few rows, however fast they come.
        if row % 4 == 3 {
            store.flush().expect("flushes");
        }
    }
    clock.advance(Duration::from_millis(2 * WINDOW as u64));
    store.flush().expect("flushes");
    store.maintain();
    store.close().expect("closes");
    everything(&store)
}

fn gaps(store: &Store) -> Vec<Gap> {
    let select = Select { matchers: vec![], range: TimeRange::ALL, samples_max: usize::MAX };
    let labels = LabelQuery { matcher_sets: vec![], range: TimeRange::ALL, limit: 1_000 };
    let gaps = wait(store.select(select)).expect("answers").coverage.gaps;
    assert_eq!(wait(store.label_names(labels)).expect("answers").1.gaps, gaps);
    gaps
}

/// One file of blocks is changed: bytes, its length, or it goes.
fn hurt(file: &Path, how: u8, at: f64) {
    let mut bytes = std::fs::read(file).expect("reads");
    let at = (bytes.len() as f64 * at) as usize;
    match how {
        0 => return std::fs::remove_file(file).expect("removes"),
        1 => bytes.truncate(at),
        2 => bytes[at..].iter_mut().take(4_096).for_each(|byte| *byte = 0),
        _ => bytes[at] ^= how,
    }
    std::fs::write(file, bytes).expect("writes");
}

#[test]
fn what_is_damaged_in_blocks_comes_from_the_log_and_is_sealed_anew() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let before = filled(dir.path(), &clock);
    let files = sealed_blocks(dir.path());
    assert_eq!((files.len(), before.len()), (2, 203));
    let strategy = (prop::collection::vec((0..2usize, any::<u8>(), 0.0..1.0), 1..4), 0..240i64, 0..240i64);
    proptest!(cases(4), |((damages, from, to) in strategy)| {
        let copy = folder();
        copy_dir(dir.path(), copy.path());
        for (file, how, at) in damages {
            let file = copy.path().join("sealed").join(files[file].file_name().expect("a name"));
            if file.is_file() && how <= 1 || file.metadata().is_ok_and(|it| it.len() > 5_000) {
                hurt(&file, how, at);
            }
        }
        let store = open(copy.path(), "n", &clock, 2);
        store.keep_frames(|_| IntervalSet::new());
        prop_assert!(everything(&store) == before);
        let range = TimeRange { start: T0 + from * 120_000, end: T0 + to * 120_000 };
        let part = select(&store, vec![Matcher::equal("instance", "b")], range);
        for (labels, samples) in before.iter().filter(|(labels, _)| labels.value("instance") == "b") {
            let expected: Vec<_> = samples.iter().copied().filter(|at| range.contains(at.0)).collect();
            prop_assert_eq!(part.get(labels).cloned().unwrap_or_default(), expected);
        }
        prop_assert_eq!(gaps(&store), []);
        // Then the damage ends: without the log the blocks have it all.
        store.maintain();
        prop_assert!(everything(&store) == before);
        store.close().expect("closes");
        drop(store);
        let mut faults = Vec::new();
        verify(copy.path(), &mut |fault| faults.push(fault.to_string())).expect("reads");
        prop_assert_eq!(faults, Vec::<String>::new());
        for segment in segments(copy.path()) {
            std::fs::remove_file(segment).expect("removes");
        }
        let store = open(copy.path(), "n", &clock, 3);
        prop_assert!(everything(&store) == before);
    });
}

/// The log has lost some of the frames: what is left of both is shown, and the gap is named.
#[test]
fn where_the_log_has_a_part_only_that_is_shown_with_a_gap() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let before = filled(dir.path(), &clock);
    let copy = folder();
    copy_dir(dir.path(), copy.path());
    hurt(&sealed_blocks(copy.path())[0], 0, 0.0);
    let first = segments(copy.path()).remove(0);
    let length = std::fs::metadata(&first).expect("there").len();
    let file = std::fs::OpenOptions::new().write(true).open(&first).expect("opens");
    file.set_len(length / 2).expect("cuts");
    let store = open(copy.path(), "n", &clock, 2);
    store.keep_frames(|_| IntervalSet::new());
    for _ in 0..3 {
        let found = everything(&store);
        let count = |samples: &Samples| samples.values().map(Vec::len).sum::<usize>();
        let (found_now, all) = (count(&found), count(&before));
        assert!(found_now > all / 2 && found_now < all, "{found_now} of {all}");
        assert!(found.iter().all(|(labels, samples)| samples.iter().all(|at| before[labels].contains(at))));
        assert_eq!(gaps(&store).iter().filter(|gap| gap.start == T0).count(), 1, "{:?}", gaps(&store));
        store.maintain();
    }
}

/// A file that cannot be opened for another reason than being gone: the question fails, and the next one may not.
#[test]
fn what_cannot_be_read_now_is_no_damage() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let before = filled(dir.path(), &clock);
    for segment in segments(dir.path()) {
        std::fs::remove_file(segment).expect("removes");
    }
    let file = sealed_blocks(dir.path()).remove(0);
    let aside = file.with_extension("aside");
    std::fs::rename(&file, &aside).expect("renames");
    std::os::unix::fs::symlink(&file, &file).expect("links to itself");
    let store = open(dir.path(), "n", &clock, 2);
    let select = || Select { matchers: vec![], range: TimeRange::ALL, samples_max: usize::MAX };
    let error = wait(store.select(select())).expect_err("it cannot be read");
    assert!(error.to_string().contains("symbolic links"), "{error}");
    let labels = LabelQuery { matcher_sets: vec![], range: TimeRange::ALL, limit: 1_000 };
    assert!(wait(store.series(labels)).is_err());
    std::fs::rename(&aside, &file).expect("renames");
    assert!(everything(&store) == before, "a disk that answers again");
    assert_eq!(gaps(&store), []);
    assert!(clock.now_ms() > T0);
}

/// Damage that nobody has read yet is known once the store is open.
#[test]
fn a_file_that_is_gone_is_known_at_the_start() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    filled(dir.path(), &clock);
    for (how, at) in [(0, 0.0), (1, 0.9)] {
        let copy = folder();
        copy_dir(dir.path(), copy.path());
        hurt(&sealed_blocks(copy.path())[1], how, at);
        let registry = telemetry::Registry::new();
        let shared = Arc::clone(&clock) as env::SharedClock;
        let options = options(copy.path(), "n");
        let store = Store::open(options, shared, env::SeededRandom::shared(1), &registry).expect("opens");
        let page = registry.encode_text();
        assert!(page.contains("vedette_tsdb_sealed_damage_total 1\n"), "{page}");
        drop(store);
    }
}
