//! A disk that fills up: the oldest windows go one by one and the newest day stays; on the last steps nothing is
//! sealed and the log is short; with room again all goes on without a restart.

mod common;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::*;
use env::{Clock as _, DiskSpace, SeededRandom, SimulatedClock, Space};
use storage::{Appender, FrameSink, FrameSource, IntervalSet, Querier, Select, TimeRange};
use vedette_tsdb::{DiskLevel, Store, StoreOptions};

const RESERVE: u64 = 1_000;
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// A file system that has as much room as it is told.
#[derive(Debug)]
struct Told(AtomicU64);

impl DiskSpace for Told {
    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(Space { free_bytes: self.0.load(Ordering::SeqCst), total_bytes: u64::MAX })
    }
}

struct Life {
    disk: Arc<Told>,
    clock: Arc<SimulatedClock>,
    dir: tempfile::TempDir,
    registry: telemetry::Registry,
    store: Arc<Store>,
}

impl Life {
    fn new() -> Self {
        let (disk, clock, dir) = (Arc::new(Told(AtomicU64::new(RESERVE))), SimulatedClock::at(T0), folder());
        let registry = telemetry::Registry::new();
        let store = open_at(dir.path(), &disk, &clock, &registry, 1);
        Self { disk, clock, dir, registry, store }
    }

    /// Some rows of a target each ten minutes, and what is due at the end of each.
    fn live(&self, windows: i64) {
        for _ in 0..windows * 12 {
            self.row();
            self.store.flush().expect("flushes");
            self.clock.advance(Duration::from_secs(600));
            self.store.maintain();
        }
    }

    fn row(&self) {
        let now = self.clock.now_ms();
        let page = self.store.layout(layout("a", 3)).expect("layout");
        append(&self.store, &page, now, &[value(now as f64), value(7.0), value((now / MINUTE % 13) as f64)]);
    }

    /// So much room, and what the store makes of it.
    fn free(&self, bytes: u64) -> DiskLevel {
        self.disk.0.store(bytes, Ordering::SeqCst);
        self.store.maintain();
        self.store.disk_level()
    }

    fn minute(&self) {
        self.clock.advance(Duration::from_secs(60));
        self.store.maintain();
    }

    fn metric(&self, name: &str) -> f64 {
        let page = self.registry.encode_text();
        let line = page.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Starts of the windows that have samples.
    fn windows(&self) -> Vec<i64> {
        windows(&everything(&self.store))
    }
}

fn open_at(
    dir: &Path,
    disk: &Arc<Told>,
    clock: &Arc<SimulatedClock>,
    registry: &telemetry::Registry,
    seed: u64,
) -> Arc<Store> {
    let space = Arc::clone(disk) as Arc<dyn DiskSpace>;
    let options = StoreOptions { disk_reserve: Some(RESERVE), space, ..options(dir, "n") };
    let clock = Arc::clone(clock) as env::SharedClock;
    Store::open(options, clock, SeededRandom::shared(seed), registry).expect("opens")
}

fn windows(samples: &Samples) -> Vec<i64> {
    let times = samples.values().flatten().map(|(time, _)| time.div_euclid(WINDOW) * WINDOW);
    times.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// What answers say is missing.
fn gaps(store: &Store) -> Vec<(i64, i64)> {
    let select = Select { matchers: Vec::new(), range: TimeRange::ALL, samples_max: usize::MAX };
    let set = wait(store.select(select)).expect("answers");
    set.coverage.gaps.iter().map(|gap| (gap.start, gap.end)).collect()
}

#[test]
fn the_oldest_windows_go_one_a_minute_and_the_newest_day_stays() {
    let life = Life::new();
    life.live(20);
    let before = everything(&life.store);
    let all = windows(&before);
    assert_eq!(all.len(), 20);
    assert_eq!(life.free(RESERVE), DiskLevel::Ample);
    assert_eq!(life.windows(), all);

    assert_eq!(life.free(RESERVE - 1), DiskLevel::Low);
    assert_eq!(life.windows(), all[1..], "one at once");
    life.store.maintain();
    assert_eq!(life.windows(), all[1..], "the next one in a minute");
    life.minute();
    assert_eq!(life.windows(), all[2..]);
    assert_eq!(life.metric("vedette_tsdb_disk_retentions_total"), 2.0);
    assert_eq!(life.metric("vedette_tsdb_disk_level"), 1.0);
    // A little more room does not end it, a quarter more does.
    assert_eq!(life.free(RESERVE + 100), DiskLevel::Low);
    assert_eq!(life.free(RESERVE * 5 / 4), DiskLevel::Ample);
    life.minute();
    assert_eq!(life.windows(), all[2..]);

    life.free(RESERVE / 2);
    for _ in 0..20 {
        life.minute();
    }
    let day = life.clock.now_ms() - DAY;
    let kept: Vec<i64> = all.iter().copied().filter(|start| start + WINDOW > day).collect();
    assert!(kept.len() > 10 && kept.len() < 14, "{}", kept.len());
    assert_eq!(life.windows(), kept);
    let rest: Samples = before
        .into_iter()
        .map(|(labels, points)| (labels, points.into_iter().filter(|(time, _)| *time >= kept[0]).collect()))
        .collect();
    assert_eq!(everything(&life.store), rest, "what stays answers as before");
    assert_eq!(gaps(&life.store), [], "retention came earlier, no more than that");
    assert!(life.disk_after_restart() == rest);
}

impl Life {
    /// What the same folder answers to another process.
    fn disk_after_restart(&self) -> Samples {
        let copy = folder();
        copy_dir(self.dir.path(), copy.path());
        let again = open_at(copy.path(), &self.disk, &self.clock, &telemetry::Registry::new(), 2);
        assert_eq!(gaps(&again), gaps(&self.store), "nothing is missed that is not known to be gone");
        everything(&again)
    }
}

#[test]
fn what_others_have_goes_first_and_what_nobody_has_is_told() {
    let life = Life::new();
    let released = Arc::new(parking_lot::Mutex::new(IntervalSet::new()));
    let told = Arc::clone(&released);
    life.store.keep_frames(move |_| told.lock().clone());
    life.live(16);
    let own = life.store.own_stream().id;
    let all = life.windows();
    // The oldest two windows have not been shipped, everything else has.
    let frames = life.store.frames(&own, 1, usize::MAX).expect("reads");
    let first = frames.iter().find(|frame| frame.range().start >= all[2]).expect("there").key().seq;
    let last = frames.last().expect("there").key().seq;
    released.lock().insert_range(first..=last);

    assert_eq!(life.free(RESERVE - 1), DiskLevel::Low);
    let mut expected = all.clone();
    expected.remove(2);
    assert_eq!(life.windows(), expected, "the oldest one that others have");
    assert_eq!(gaps(&life.store), [(all[2], all[3] - 1)]);
    assert_eq!(windows(&life.disk_after_restart()), expected);
    // What was not shipped is still there to be.
    assert_eq!(life.store.held(&own).first(), Some(1));
    for _ in 0..20 {
        life.minute();
    }
    let day = life.clock.now_ms() - DAY;
    let kept: Vec<i64> = all.iter().copied().filter(|start| start + WINDOW > day).collect();
    assert_eq!(life.windows(), kept, "in the end these too");
    assert_eq!(gaps(&life.store), [(all[0], kept[0] - 1)]);
    assert_eq!(windows(&life.disk_after_restart()), kept);
    assert_eq!(life.store.received(&own).first(), Some(1), "it goes on knowing that it had them");
}

#[test]
fn without_room_nothing_is_sealed_and_the_log_stays_short() {
    let life = Life::new();
    life.live(2);
    let sealed = life.metric("vedette_tsdb_seals_total");
    let mut whole = everything(&life.store);
    assert_eq!(life.free(RESERVE / 5 - 1), DiskLevel::Critical);
    life.live(1);
    let before = everything(&life.store);
    let third = before.iter().map(|(labels, points)| (labels.clone(), points[points.len() - 12..].to_vec()));
    third.for_each(|(labels, points)| whole.entry(labels).or_default().extend(points));
    assert_eq!(life.metric("vedette_tsdb_seals_total"), sealed, "no window is sealed");
    // A segment each ten minutes, and those that are older than half an hour have gone.
    let kept = segments(life.dir.path()).len();
    assert!((3..=6).contains(&kept), "{kept} segments");
    assert!(life.metric("vedette_tsdb_disk_retentions_total") > 5.0);
    // What the head has is answered from memory, whatever became of the log; the window that left the head and
    // waits to be sealed is not.
    let all = windows(&whole);
    assert_eq!(windows(&before), [all[0], all[2]]);
    assert_eq!(before.values().next().expect("a series").len(), 24);
    let now = life.clock.now_ms();
    let gone = gaps(&life.store);
    assert_eq!(gone.len(), 1);
    assert!(gone[0].1 < now - 30 * MINUTE && gone[0].1 > now - 60 * MINUTE, "{gone:?} at {now}");

    // Another process has the newest rows, and tells of the others.
    let after = life.disk_after_restart();
    let newest: BTreeMap<_, _> = after.iter().map(|(labels, points)| (labels, points.last())).collect();
    for (labels, points) in &before {
        assert_eq!(newest[labels], points.last());
    }

    // With room again windows are sealed: of what memory has nothing is lost.
    assert_eq!(life.free(RESERVE * 2), DiskLevel::Ample);
    assert!(life.metric("vedette_tsdb_seals_total") > sealed);
    assert_eq!(everything(&life.store), whole);
    let dropped = life.metric("vedette_tsdb_disk_retentions_total");
    life.live(2);
    assert_eq!(life.metric("vedette_tsdb_disk_retentions_total"), dropped);
    assert_eq!(everything(&life.store).values().next().expect("a series").len(), 60);
}

#[test]
fn rewrites_stop_before_sealing_does() {
    let life = Life::new();
    for (free, rewrite, seal) in
        [(1_000, true, true), (700, true, true), (499, false, true), (199, false, false), (2_000, true, true)]
    {
        let level = life.free(free);
        assert_eq!((level.may_rewrite(), level.may_seal()), (rewrite, seal), "{free}");
    }
}

/// A small file system of its own, gone when it is dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    /// None where this process may not mount.
    fn new() -> Option<Self> {
        let dir = folder();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=40m", "tmpfs"]).arg(dir.path());
        let mounted = mount.stderr(std::process::Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(dir))
    }

    /// Leaves so many KiB free, whatever that takes.
    fn leave(&self, kib: u64) {
        let others = self.0.path().join("others");
        let _ = std::fs::remove_file(&others);
        let free = env::SystemDisk.space(self.0.path()).expect("its room").free_bytes;
        let zeros = vec![0; usize::try_from(free.saturating_sub(kib << 10)).expect("fits")];
        std::fs::write(&others, zeros).expect("room for it");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_real_file_system_leads_down_the_ladder_and_up_again() {
    let Some(disk) = Mounted::new() else {
        eprintln!("skipped: this process may not mount a tmpfs");
        return;
    };
    let clock = SimulatedClock::at(T0);
    let options = StoreOptions { disk_reserve: None, ..options(&disk.0.path().join("store"), "n") };
    let store = open_with(options, &clock, 1);
    let mut row = 0;
    let mut lives = |level| {
        store.maintain();
        assert_eq!(store.disk_level(), level);
        row += 1;
        let page = store.layout(layout("a", 2)).expect("layout");
        append(&store, &page, T0 + row, &[value(row as f64), value(1.0)]);
        assert_eq!(everything(&store).values().map(Vec::len).sum::<usize>() as i64, 2 * row);
        let written = store.flush();
        clock.advance(Duration::from_secs(60));
        written.is_ok()
    };
    // Of 40 MiB a tenth is asked for; the store keeps room of its own for the day that nothing is left.
    assert!(lives(DiskLevel::Ample));
    for (left, level) in [(3_900, DiskLevel::Low), (1_900, DiskLevel::Tight), (700, DiskLevel::Critical)] {
        disk.leave(left);
        assert!(lives(level), "{left} KiB are enough for a row");
    }
    disk.leave(0);
    // Whether the row still finds room in a page that the log has already, or waits in memory.
    lives(DiskLevel::Critical);
    for (left, level) in [(1_500, DiskLevel::Tight), (4_000, DiskLevel::Low), (9_000, DiskLevel::Ample)] {
        disk.leave(left);
        assert!(lives(level), "{left} KiB: rows are written again");
    }
}
