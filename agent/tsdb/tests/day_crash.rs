//! A process that is killed at any call by which it changes files while it puts a day together: what was there is
//! there, as windows or as a day, and the day can be put together afterwards.
//!
//! The process is this very program, started again under `strace`, which kills it at the n-th call.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::*;
use env::SimulatedClock;
use storage::Appender as _;
use vedette_tsdb::{Store, verify};

/// Calls that change files.
const CALLS: &str = "write,pwrite64,fdatasync,fsync,ftruncate,fallocate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat";
const DIR: &str = "VEDETTE_COMPACTS_IN";
const WINDOWS: i64 = 14;
const STEP: i64 = 20 * 60_000;
/// Points at CI size, about.
const POINTS: usize = 10;

fn reopen(dir: &Path, seed: u64) -> std::sync::Arc<Store> {
    open(dir, "n", &SimulatedClock::at(T0 + (WINDOWS + 3) * WINDOW), seed)
}

/// Not a test by itself: what is killed.
#[test]
fn puts_days_together_where_it_is_told() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let store = reopen(&dir, std::process::id().into());
    store.compact();
    store.close().expect("closes");
}

/// Runs it, killed at a point if one is given; whether it came to its end.
fn run(dir: &Path, calls: &Path, point: Option<&(String, u64)>) -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", &format!("trace={CALLS}"), "-o"]).arg(calls);
    if let Some((call, n)) = point {
        command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={n}")]);
    }
    command.arg(std::env::current_exe().expect("known"));
    command.args(["--exact", "puts_days_together_where_it_is_told", "--test-threads=1"]).env(DIR, dir);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("strace runs");
    // Its last thread may be ending still.
    while std::fs::File::open(dir.join("LOCK")).is_ok_and(|lock| lock.try_lock().is_err()) {
        std::thread::yield_now();
    }
    status.success()
}

/// Of each call as many points as one thread made of it.
fn points(calls: &Path) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in std::fs::read_to_string(calls).expect("reads").lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Some((call, _)) = call.trim().split_once('(') else { continue };
        *counts.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
    }
    let mut most: BTreeMap<String, u64> = BTreeMap::new();
    for ((call, _), count) in counts {
        let known = most.entry(call).or_default();
        *known = count.max(*known);
    }
    most.into_iter().flat_map(|(call, count)| (1..=count).map(move |n| (call.clone(), n))).collect()
}

#[test]
#[allow(clippy::print_stderr, reason = "a run shows how far it went")]
fn killed_at_any_call_it_has_windows_or_the_day() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("CI").is_none(), "strace is missing: .ci/setup.sh test installs it");
        eprintln!("skipped: strace is missing");
        return;
    }
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let store = open(dir.path(), "n", &clock, 1);
    for row in 0..WINDOWS * WINDOW / STEP {
        for target in 0..3 {
            let page = store.layout(layout(&target.to_string(), 70)).expect("layout");
            let cells: Vec<_> = (0..70).map(|slot| value((row * (slot + target)) as f64 / 4.0)).collect();
            append(&store, &page, T0 + row * STEP, &cells);
        }
        clock.advance(Duration::from_millis(STEP as u64));
    }
    clock.advance(Duration::from_millis(3 * WINDOW as u64));
    store.maintain();
    let before = everything(&store);
    store.close().expect("closes");
    drop(store);
    let (whole, calls) = (folder(), dir.path().join("calls"));
    copy_dir(dir.path(), whole.path());
    assert!(run(whole.path(), &calls, None), "nobody kills it");
    let all = points(&calls);
    let step = if std::env::var_os("VEDETTE_SOAK").is_some() { 1 } else { all.len().div_ceil(POINTS) };
    let (mut killed, mut days) = (0, [0; 2]);
    for (seed, point) in (0..).zip(all.iter().step_by(step)) {
        let copy = folder();
        copy_dir(dir.path(), copy.path());
        killed += usize::from(!run(copy.path(), &calls, Some(point)));
        verify(copy.path(), &mut |fault| panic!("{point:?}: {fault}")).expect("reads");
        let store = reopen(copy.path(), 1_000 + seed);
        assert_eq!(everything(&store), before, "{point:?}");
        days[store.status().sealed_days as usize] += 1;
        store.compact();
        assert_eq!(
            (everything(&store), store.status().sealed_days),
            (before.clone(), 1),
            "{point:?}: afterwards"
        );
        store.maintain();
        assert_eq!(sealed_blocks(copy.path()).len(), 3, "{point:?}: nothing of before stays");
    }
    eprintln!("killed {killed} times, of {} points: {days:?} before and after the switch", all.len());
    assert!(killed * 2 > all.len() / step && days[0] > 0, "{killed} of {}", all.len());
}
