//! Folders with anything wrong in them.

#![allow(dead_code, reason = "every test file uses a part")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{SharedRandom, SimulatedClock};
use storage::{Appender, FrameSource, Gap};

use crate::common::*;

/// A page of a disk.
const PAGE: usize = 4096;

/// A folder with several segments, epochs and windows, and a stream that another node wrote; all that is in it.
pub(crate) fn written(clock: &Arc<SimulatedClock>, dir: &Path) -> Samples {
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
pub(crate) fn files(dir: &Path, out: &mut Vec<PathBuf>) {
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
pub(crate) struct Damage {
    pub(crate) what: String,
    pub(crate) silent: bool,
}

pub(crate) fn damage(dir: &Path, random: &SharedRandom) -> Damage {
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
