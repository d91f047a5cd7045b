//! Frames that arrive late for a window in front of a file that is damaged, and whose own frames have left the log:
//! they are sealed all the same. What can be read of the damaged file is kept, the rest is a gap.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::{Clock as _, SeededRandom, SharedClock, SimulatedClock};
use storage::{Appender, Cell, Frame, FrameSource, Querier, Receipt, Select, TimeRange};
use vedette_tsdb::{Store, verify};

/// Samples that come late: 20 rows of two targets.
const LATE: usize = 20 * 2 * 130;

/// Frames of four windows, of targets with many columns; what they hold, and whose they are.
fn frames(clock: &Arc<SimulatedClock>) -> (tempfile::TempDir, Arc<Store>, Vec<Frame>) {
    let dir = folder();
    let agent = open(dir.path(), "n", clock, 1);
    agent.keep_frames(|_| storage::IntervalSet::new());
    for row in 0..4 * 40i64 {
        for target in ["a", "b"] {
            let page = agent.layout(layout(target, 130)).expect("layout");
            let cell = |slot: i64| value((slot * 104_729 + row * row * (slot % 13)) as f64 / 7.0);
            let cells: Vec<Cell> = (0..130).map(cell).collect();
            append(&agent, &page, T0 + row * 180_000, &cells);
        }
        agent.flush().expect("flushes");
        clock.advance(Duration::from_secs(180));
    }
    let own = agent.own_stream().id;
    let frames = agent.frames(&own, 1, usize::MAX).expect("reads");
    (dir, agent, frames)
}

fn opened(dir: &Path, clock: &Arc<SimulatedClock>, registry: &telemetry::Registry) -> Arc<Store> {
    let shared = Arc::clone(clock) as SharedClock;
    Store::open(options(dir, "r"), shared, SeededRandom::shared(3), registry).expect("opens")
}

/// The file of blocks at a place, in order of what they hold.
fn file_behind(dir: &Path, place: usize) -> PathBuf {
    let (dir, names) = (dir.join("sealed"), ["default", "identity", "blocks"]);
    let db =
        rocksdb::DB::open_cf_for_read_only(&rocksdb::Options::default(), &dir, names, false).expect("opens");
    let mut files = db.live_files().expect("lists");
    files.retain(|file| file.column_family_name == "blocks");
    files.sort_by(|one, other| one.start_key.cmp(&other.start_key));
    dir.join(files[place].name.trim_start_matches('/'))
}

fn count(samples: &Samples, range: TimeRange) -> usize {
    samples.values().flatten().filter(|(time, _)| range.contains(*time)).count()
}

fn window(number: i64) -> TimeRange {
    TimeRange { start: T0 + number * WINDOW, end: T0 + (number + 1) * WINDOW - 1 }
}

/// A replica's folder with all but what comes late, sealed, and gone from its log; and what it answered.
fn filled(dir: &Path, clock: &Arc<SimulatedClock>, agent: &Store, soon: &[&Frame], as_days: bool) -> Samples {
    let replica = opened(dir, clock, &telemetry::Registry::new());
    introduce(agent, &replica, &agent.own_stream().id);
    for frame in soon {
        offer(&replica, frame);
    }
    replica.flush().expect("flushes");
    clock.advance(Duration::from_millis(24 * WINDOW as u64));
    replica.maintain();
    if as_days {
        replica.compact();
    }
    replica.close().expect("closes");
    drop(replica);
    // A start begins another segment: those before it, of which all is sealed, go.
    let registry = telemetry::Registry::new();
    let replica = opened(dir, clock, &registry);
    let page = replica.layout(layout("own", 1)).expect("layout");
    append(&replica, &page, clock.now_ms(), &[value(1.0)]);
    replica.flush().expect("flushes");
    replica.maintain();
    assert!(metric(&registry, "vedette_log_trimmed_segments_total") > 0);
    let all = everything(&replica);
    replica.close().expect("closes");
    all
}

fn metric(registry: &telemetry::Registry, name: &str) -> u64 {
    let page = registry.encode_text();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.expect("a counter")
}

/// Changes the file of blocks behind the first one: at its end nothing of it can be read.
fn hurt(dir: &Path, at_end: bool) {
    let file = file_behind(dir, 1);
    let mut bytes = std::fs::read(&file).expect("reads");
    let from = if at_end { bytes.len() - 3_000 } else { 0 };
    bytes[from..][..3_000].iter_mut().for_each(|byte| *byte = !*byte);
    std::fs::write(&file, bytes).expect("writes");
}

#[test]
fn late_frames_are_sealed_in_front_of_a_damaged_file() {
    let late_range = TimeRange { start: T0 + WINDOW / 2, end: T0 + WINDOW - 1 };
    for (as_days, at_end) in [(false, true), (false, false), (true, true), (true, false)] {
        let (dir, clock) = (folder(), SimulatedClock::at(T0));
        let (_agent_dir, agent, frames) = frames(&clock);
        // Of the first window the second half comes late.
        let is_late = |frame: &&Frame| late_range.contains(frame.range().start);
        let (late, soon): (Vec<&Frame>, Vec<&Frame>) = frames.iter().partition(is_late);
        let before = filled(dir.path(), &clock, &agent, &soon, as_days);
        hurt(dir.path(), at_end);

        let registry = telemetry::Registry::new();
        let replica = opened(dir.path(), &clock, &registry);
        introduce(&agent, &replica, &agent.own_stream().id);
        for frame in late {
            assert!(matches!(offer(&replica, frame), Receipt::Appended(_)));
        }
        replica.flush().expect("flushes");
        replica.maintain();
        assert_eq!(metric(&registry, "vedette_tsdb_seal_failures_total"), 0, "{as_days} {at_end}");
        assert!(metric(&registry, "vedette_tsdb_seals_salvaged_total") >= 1);
        let found = everything(&replica);
        assert_eq!(count(&found, late_range), LATE, "all that came late");
        // What could be read is there still, and never another value.
        for (labels, samples) in &found {
            let mut others = samples.iter().filter(|sample| !late_range.contains(sample.0));
            assert!(others.all(|sample| before[labels].contains(sample)), "{labels}");
        }
        let is_readable = !(as_days && at_end);
        let all = TimeRange::ALL;
        assert!(!is_readable || count(&found, all) > count(&before, all) / 2, "{as_days} {at_end}");
        for number in 1..4 {
            let is_hurt = as_days || count(&found, window(number)) < count(&before, window(number));
            let select = Select { matchers: Vec::new(), range: window(number), samples_max: usize::MAX };
            let gaps = wait(replica.select(select)).expect("answers").coverage.gaps;
            assert_eq!(!gaps.is_empty(), is_hurt, "{as_days}, window {number}: {gaps:?}");
        }
        replica.maintain();
        replica.close().expect("closes");
        drop(replica);
        // The damage has ended, and without the log the blocks have the late frames.
        verify(dir.path(), &mut |fault| panic!("{fault}")).expect("reads");
        segments(dir.path()).iter().for_each(|segment| std::fs::remove_file(segment).expect("removes"));
        let replica = opened(dir.path(), &clock, &telemetry::Registry::new());
        assert_eq!(count(&everything(&replica), late_range), LATE);
    }
}
