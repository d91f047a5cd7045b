//! Frames that a replica took and whose segment is damaged: they count as received no more, so that they come again
//! from whoever has them; what is past retention never does.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::{SeededRandom, SharedClock, SimulatedClock};
use storage::{Appender, Frame, FrameSink, FrameSource, IntervalSet, Receipt, StreamId};
use vedette_tsdb::{Store, StoreOptions};

fn replica(dir: &Path) -> StoreOptions {
    StoreOptions { retention_time: Duration::from_secs(7 * 3600), ..options(dir, "r") }
}

/// An agent's frames of six windows at a replica that keeps three of them, as it was killed; and all frames.
fn filled(clock: &Arc<SimulatedClock>, dir: &Path) -> (StreamId, Vec<Frame>) {
    let at_agent = folder();
    let agent = open(at_agent.path(), "n", clock, 1);
    let store = open_with(replica(dir), clock, 2);
    store.keep_frames(|_| IntervalSet::new());
    let (own, mut all) = (agent.own_stream().id, Vec::new());
    for row in 0..6 * 24i64 {
        let page = agent.layout(layout("a", 3)).expect("layout");
        append(&agent, &page, T0 + row * 300_000, &[value(row as f64), value(7.0), value(row as f64 / 3.0)]);
        agent.flush().expect("flushes");
        if row == 0 {
            introduce(&agent, &store, &own);
        }
        let frames = agent.frames(&own, all.len() as u64 + 1, usize::MAX).expect("reads");
        frames.iter().for_each(|frame| assert!(matches!(offer(&store, frame), Receipt::Appended(_))));
        all.extend(frames);
        store.flush().expect("flushes");
        if row % 24 == 12 {
            store.maintain();
        }
        clock.advance(Duration::from_secs(300));
    }
    store.close().expect("closes");
    (own, all)
}

fn lost(dir: &Path, clock: &Arc<SimulatedClock>) -> (Arc<Store>, String) {
    let registry = telemetry::Registry::new();
    let shared = Arc::clone(clock) as SharedClock;
    let store = Store::open(replica(dir), shared, SeededRandom::shared(3), &registry).expect("opens");
    store.keep_frames(|_| IntervalSet::new());
    let page = registry.encode_text();
    let line = page.lines().find(|line| line.starts_with("vedette_log_lost_frames_total")).expect("counted");
    (store, line.rsplit(' ').next().expect("a number").to_owned())
}

type Hurt = fn(&Path);

#[test]
fn what_a_damaged_log_has_lost_is_taken_again() {
    let (dir, clock) = (folder(), SimulatedClock::at(T0));
    let (stream, frames) = filled(&clock, dir.path());
    let (whole, none) = lost(dir.path(), &clock);
    let (before, received) = (everything(&whole), whole.received(&stream));
    assert_eq!((none.as_str(), received.to_string()), ("0", format!("1..{}", frames.len())));
    assert!(whole.held(&stream).first() > Some(1), "the first are past retention");
    whole.close().expect("closes");
    drop(whole);
    // The last but two: of a window that is in memory, and there when segments were dropped last.
    let files = segments(dir.path());
    let holds = |file: &PathBuf| std::fs::metadata(file).expect("there").len() > 1_500;
    let chosen = files.iter().filter(|file| holds(file)).rev().nth(1).expect("several segments").clone();
    let hurts: [Hurt; 3] = [
        |file| std::fs::remove_file(file).expect("removes"),
        |file| {
            let length = std::fs::metadata(file).expect("there").len();
            let opened = std::fs::OpenOptions::new().write(true).open(file).expect("opens");
            opened.set_len(length / 3).expect("cuts");
        },
        |file| {
            let mut bytes = std::fs::read(file).expect("reads");
            let length = bytes.len();
            (1..20).for_each(|part| bytes[length * part / 20] ^= 0x10);
            std::fs::write(file, bytes).expect("writes");
        },
    ];
    for (which, hurt) in hurts.iter().enumerate() {
        let copy = folder();
        copy_dir(dir.path(), copy.path());
        hurt(&copy.path().join("log").join(chosen.file_name().expect("a name")));
        let (store, count) = lost(copy.path(), &clock);
        let gone = received.difference(&store.received(&stream));
        assert!(!gone.is_empty() && everything(&store) != before, "{which}: something is lost");
        assert_eq!(count, gone.count().to_string());
        assert!(gone.first() >= frames.len().checked_sub(48).map(|first| first as u64), "{which}: {gone}");
        introduce_layouts(&store, dir.path(), &clock);
        for frame in &frames {
            let taken = matches!(offer(&store, frame), Receipt::Appended(_));
            assert_eq!(taken, gone.contains(frame.key().seq), "{which}: frame {}", frame.key().seq);
        }
        store.flush().expect("flushes");
        assert_eq!(everything(&store), before, "{which}");
        store.close().expect("closes");
        drop(store);
        let (again, count) = lost(copy.path(), &clock);
        assert_eq!((count.as_str(), again.received(&stream)), ("0", received.clone()), "{which}");
        assert_eq!(everything(&again), before, "{which}");
    }
}

/// The layouts of the undamaged store.
fn introduce_layouts(to: &Store, whole: &Path, clock: &Arc<SimulatedClock>) {
    let copy = folder();
    copy_dir(whole, copy.path());
    let store = open_with(replica(copy.path()), clock, 9);
    for info in store.streams() {
        let frames = store.frames(&info.id, 1, usize::MAX).expect("reads");
        to.open_stream(info).expect("opens");
        for id in frames.iter().flat_map(|frame| to.unknown_layouts(frame.layouts())) {
            to.add_layout((*store.find_layout(id).expect("known")).clone()).expect("adds");
        }
    }
}
