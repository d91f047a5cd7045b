//! A store that is killed at every system call that changes its files, through a life of appends, windows,
//! epochs, retention and restarts: what was acknowledged is there, what is there was appended, and every
//! value still belongs to its series. Then the same with the end of the log torn off.
//!
//! The life is lived by this very program, started again under `strace`, which kills it at the n-th call.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{IoSlice, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::*;
use env::{SeededRandom, SimulatedClock};
use storage::{AppendError, Appender, Cell, Gap, Row};

/// Calls that change files.
const CALLS: &str = "write,pwrite64,pwritev,fdatasync,fsync,ftruncate,fallocate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat";
/// Rows of a life at CI size, and at the size that releases are judged by.
const ROWS: [i64; 2] = [40, 160];
const SLOTS: usize = 4;
const STEP: i64 = 20 * 60_000;

/// What the parent knows of a life.
#[derive(Debug, Default)]
struct Told {
    appended: i64,
    written: i64,
    durable: i64,
    /// Bytes of each segment that are safe.
    safe: BTreeMap<String, u64>,
}

/// Row `n` (from 1) is of target `n % 3`; its values say which series and row they are.
fn row(n: i64) -> (String, i64, Vec<Cell>) {
    let cells = (0..SLOTS as i64).map(|slot| value((n * 100 + (n % 3) * 10 + slot) as f64)).collect();
    ((n % 3).to_string(), T0 + n * STEP, cells)
}

fn all_rows(upto: i64) -> Samples {
    let mut samples = Samples::new();
    for n in 1..=upto {
        let (target, timestamp, cells) = row(n);
        for (slot, cell) in cells.iter().enumerate() {
            if let Cell::Value(number) = cell {
                let series = layout(&target, SLOTS).series(slot);
                samples.entry(series).or_default().push((timestamp, number.to_bits()));
            }
        }
    }
    samples
}

fn settings(dir: &Path, threads: bool) -> vedette_tsdb::StoreOptions {
    let mut options = options(dir, "n");
    options.retention_time = Duration::from_millis(STEP as u64 * 20);
    if threads {
        // Written soon, synced only when told to.
        options.commit_interval = Duration::from_millis(2);
        options.sync_interval = Duration::from_secs(3_600);
    } else {
        options.commit_interval = Duration::from_secs(3_600);
    }
    options
}

/// Not a test by itself: the life, told line by line to a file that is not the store's.
#[test]
fn a_life() {
    let (Some(dir), Some(tell)) =
        (std::env::var_os("VEDETTE_LIFE_DIR"), std::env::var_os("VEDETTE_LIFE_TELL"))
    else {
        return;
    };
    let threads = std::env::var_os("VEDETTE_LIFE_THREADS").is_some();
    let dir = PathBuf::from(dir);
    let mut out = File::options().create(true).append(true).open(tell).expect("opens");
    // `writev`, where the store's own calls are counted.
    let mut tell = |line: String| {
        out.write_vectored(&[IoSlice::new(line.as_bytes()), IoSlice::new(b"\n")]).map(drop).expect("tells");
    };
    let clock = SimulatedClock::at(T0);
    let mut store = open_with(settings(&dir, threads), &clock, 1);
    let rows = ROWS[usize::from(soak())];
    for n in 1..=rows {
        clock.advance(Duration::from_millis(STEP as u64));
        let (target, timestamp, cells) = row(n);
        tell(format!("appending {n}"));
        let mut commit = loop {
            let layout = store.layout(layout(&target, SLOTS)).expect("layout");
            match Appender::append(&*store, Row { layout: &layout, timestamp, cells: &cells }) {
                Err(AppendError::Relayout) => {}
                outcome => break outcome.expect("appends").commit,
            }
        };
        if threads {
            wait(commit.written()).expect("written");
            tell(format!("written {n}"));
        }
        if n % if threads { 5 } else { 2 } == 0 {
            store.flush().expect("flushes");
            safe(&dir).into_iter().chain([format!("durable {n}")]).for_each(&mut tell);
        }
        match n % 10 {
            3 => store.maintain(),
            5 => drop(storage::FrameSource::renew_epoch(&*store, store_labels()).expect("renews")),
            7 => store.record_gap(Gap { start: T0 + n, end: T0 + n + 1, why: "why".to_owned() }),
            // The writing thread's calls are counted from its start.
            9 if !threads => {
                store.close().expect("closes");
                drop(store);
                safe(&dir).into_iter().chain([format!("durable {n}")]).for_each(&mut tell);
                store = open_with(settings(&dir, threads), &clock, n as u64);
            }
            _ => {}
        }
    }
    store.close().expect("closes");
    tell(format!("durable {rows}"));
    tell("done".to_owned());
}

/// How much of each segment is on the disk after a sync.
fn safe(dir: &Path) -> Vec<String> {
    let line = |file: &PathBuf| {
        let bytes = std::fs::metadata(file).expect("there").len();
        format!("safe {} {bytes}", file.file_name().expect("named").display())
    };
    segments(dir).iter().map(line).collect()
}

fn store_labels() -> model::Labels {
    model::Labels::from_pairs([("site", "x")])
}

/// The n-th call of a name that a thread makes.
type Point = (String, u64);

/// Lives a life under `strace`, killed at a point if one is given; what it told, and whether it came to its end.
#[allow(clippy::print_stderr, reason = "what the tracer says is wanted where it fails")]
fn live(folder: &Path, threads: bool, point: Option<&Point>) -> (bool, Told) {
    let tell = folder.join("told");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", &format!("trace={CALLS}"), "-o"]).arg(folder.join("calls"));
    if let Some((call, n)) = point {
        command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={n}")]);
    }
    command.arg(std::env::current_exe().expect("known"));
    command.args(["--exact", "a_life", "--nocapture", "--test-threads=1"]);
    command.env("VEDETTE_LIFE_DIR", folder.join("store")).env("VEDETTE_LIFE_TELL", &tell);
    if threads {
        command.env("VEDETTE_LIFE_THREADS", "1");
    }
    let complaints = folder.join("complaints");
    let stderr = File::options().create(true).append(true).open(&complaints).expect("opens");
    let status = command.stdout(Stdio::null()).stderr(stderr).status().expect("strace runs");
    let done = std::fs::read_to_string(&tell).unwrap_or_default().ends_with("done\n");
    // `strace` ends with 1 when it lost the sight of a thread that is being killed: it takes the life with it. Any
    // other end is a failure of the life itself.
    let killed = status.signal() == Some(9) || matches!(status.code(), Some(137 | 1));
    let complaints = || std::fs::read_to_string(&complaints).unwrap_or_default();
    assert!(done || killed, "{status}: {}", complaints());
    if status.code() == Some(1) {
        eprintln!("strace gave up at {point:?}: {}", complaints());
    }
    // Its last thread may be ending still.
    while File::open(folder.join("store/LOCK")).is_ok_and(|lock| lock.try_lock().is_err()) {
        std::thread::yield_now();
    }
    (done, read(&tell))
}

/// Every point of a life: of each call as many as one thread made.
fn points(threads: bool) -> Vec<Point> {
    let folder = tempfile::tempdir().expect("dir");
    assert!(live(folder.path(), threads, None).0, "a life that nobody kills");
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in std::fs::read_to_string(folder.path().join("calls")).expect("reads").lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        // What was interrupted was counted when it began.
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

fn read(tell: &Path) -> Told {
    let mut told = Told::default();
    for line in std::fs::read_to_string(tell).unwrap_or_default().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["appending", n] => told.appended = n.parse().expect("a number"),
            ["written", n] => told.written = n.parse().expect("a number"),
            ["durable", n] => told.durable = n.parse().expect("a number"),
            ["safe", name, bytes] => {
                told.safe.extend([(name.to_owned(), bytes.parse::<u64>().expect("a number"))])
            }
            _ => {}
        }
    }
    told
}

/// What a start finds is part of what was appended, and has rows 1 to `owed`, but for those past retention.
fn check(dir: &Path, told: &Told, owed: i64, what: &str) {
    let now = T0 + told.appended.max(1) * STEP;
    let clock = SimulatedClock::at(now);
    let store = open_with(settings(dir, false), &clock, 1_000);
    let found = everything(&store);
    let appended = all_rows(told.appended);
    for (labels, samples) in &found {
        let all: BTreeSet<_> = appended.get(labels).into_iter().flatten().collect();
        assert!(samples.iter().all(|sample| all.contains(sample)), "{what}: {labels} has {samples:?}");
    }
    for (labels, samples) in all_rows(owed) {
        let kept: BTreeSet<_> = found.get(&labels).into_iter().flatten().copied().collect();
        let floor = now - STEP * 20;
        let lost: Vec<_> =
            samples.iter().filter(|sample| sample.0 >= floor && !kept.contains(sample)).collect();
        assert!(lost.is_empty(), "{what}: {labels} lost {lost:?}, {told:?}");
    }
    // It goes on: another row is taken and is there after one more start.
    let (target, timestamp, cells) = row(told.appended + 1);
    clock.advance(Duration::from_millis(STEP as u64));
    let page = store.layout(layout(&target, SLOTS)).expect("layout");
    append(&store, &page, timestamp, &cells);
    store.flush().expect("flushes");
    let before = everything(&store);
    drop(store);
    assert_eq!(everything(&open_with(settings(dir, false), &clock, 1_001)), before, "{what}: one more start");
}

/// Tears off, or garbles, what is not safe of each segment.
fn tear(dir: &Path, told: &Told, seed: u64) {
    let random = SeededRandom::shared(seed);
    for file in segments(dir) {
        let name = file.file_name().expect("named").display().to_string();
        let safe = told.safe.get(&name).copied().unwrap_or(0) as usize;
        let mut bytes = std::fs::read(&file).expect("reads");
        if bytes.len() <= safe {
            continue;
        }
        let at = safe + (random.next_u64() % (bytes.len() - safe) as u64) as usize;
        match random.next_u64() % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at..].fill(0),
            _ => bytes[at..].iter_mut().for_each(|byte| *byte = random.next_u64() as u8),
        }
        std::fs::write(&file, bytes).expect("writes");
    }
}

fn soak() -> bool {
    std::env::var_os("VEDETTE_SOAK").is_some()
}

#[allow(clippy::print_stderr, reason = "a run shows how far it went")]
fn walk(threads: bool) {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("CI").is_none(), "strace is missing: .ci/setup.sh test installs it");
        eprintln!("skipped: strace is missing");
        return;
    }
    let all = points(threads);
    let calls: BTreeSet<&str> = all.iter().map(|(call, _)| call.as_str()).collect();
    assert!(
        calls.contains("pwrite64") && calls.contains("fdatasync") && calls.contains("unlink"),
        "{calls:?}"
    );
    // At CI size the first of each call, where a folder and a segment are made, and some of the others.
    let chosen = |(_, n): &&Point| soak() || *n <= 2 || n % 18 == 0;
    let mut killed = 0;
    let chosen: Vec<&Point> = all.iter().filter(chosen).collect();
    for (seed, point) in (0..).zip(&chosen) {
        let folder = tempfile::tempdir().expect("dir");
        let (done, told) = live(folder.path(), threads, Some(point));
        let store = folder.path().join("store");
        std::fs::create_dir_all(&store).expect("dir");
        let copy = tempfile::tempdir().expect("dir");
        copy_dir(&store, copy.path());
        check(&store, &told, told.written.max(told.durable), &format!("killed at {point:?}"));
        if done {
            continue;
        }
        killed += 1;
        if copy.path().join("log").exists() {
            tear(copy.path(), &told, seed);
            check(copy.path(), &told, told.durable, &format!("killed at {point:?} and torn"));
        }
    }
    eprintln!("killed {killed} times, of {} calls: {calls:?}", all.len());
    assert!(killed * 2 > chosen.len(), "{killed} of {} points were reached", chosen.len());
}

/// Written by whoever flushes, then by the writing thread. One after the other: a program that is being started
/// holds the locks of this one for a moment.
#[test]
fn killed_at_any_call_it_has_what_was_acknowledged() {
    for threads in [false, true] {
        walk(threads);
    }
}
