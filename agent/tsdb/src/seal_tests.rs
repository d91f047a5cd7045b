//! What is due to be sealed, and what is not read again and again.

use std::sync::Arc;
use std::time::Duration;

use env::{SeededRandom, SimulatedClock};
use model::{Labels, Metadata};
use storage::{Appender, Cell, Frame, FrameSink, FrameSource, Layout, Number, Row, Slot};

use super::*;
use crate::{Store, StoreOptions};

const T0: i64 = 1_699_999_200_000;

fn open(dir: &std::path::Path, node: &str, clock: &Arc<SimulatedClock>) -> Arc<Store> {
    let clock = Arc::clone(clock) as env::SharedClock;
    let random = SeededRandom::shared(node.len() as u64);
    Store::open(StoreOptions::new(dir, node), clock, random, &telemetry::Registry::new()).expect("opens")
}

fn page(instance: &str) -> Layout {
    let slot = Slot::new(Labels::from_pairs([("__name__", "m")]), Metadata::default());
    Layout::new(Labels::from_pairs([("instance", instance)]), vec![slot]).expect("valid")
}

fn scrape(store: &Store, instance: &str, timestamp: i64, number: f64) {
    let layout = store.layout(page(instance)).expect("layout");
    let cells = [Cell::Value(Number::from_f64(number))];
    let row = Row { layout: &layout, timestamp, cells: &cells };
    assert_eq!(Appender::append(store, row).expect("appends").appended, 1);
}

/// The frames of an agent, which a store is ready to take.
fn frames(agent: &Store, to: &Store) -> Vec<Frame> {
    let own = agent.own_stream();
    agent.flush().expect("flushes");
    to.open_stream(own.clone()).expect("opens");
    let frames = agent.frames(&own.id, 1, usize::MAX).expect("reads");
    for id in frames.iter().flat_map(|frame| frame.layouts()) {
        to.add_layout((*agent.find_layout(*id).expect("known")).clone()).expect("adds");
    }
    frames
}

fn offer(store: &Store, frame: &Frame) {
    FrameSink::append(store, frame.clone()).expect("takes");
    store.flush().expect("flushes");
}

/// A store whose clock stands five windows after what the agent writes, and the agent.
fn two() -> (tempfile::TempDir, Arc<Store>, Arc<Store>, Arc<SimulatedClock>) {
    let dir = tempfile::tempdir().expect("dir");
    let agent = open(&dir.path().join("a"), "agent", &SimulatedClock::at(T0));
    let clock = SimulatedClock::at(T0 + 5 * WINDOW_MS);
    let store = open(&dir.path().join("r"), "replica", &clock);
    (dir, agent, store, clock)
}

fn due(store: &Store) -> Vec<i64> {
    store.inner.due(&store.inner.sealing.lock()).0.into_keys().collect()
}

#[test]
fn a_window_that_gives_nothing_is_read_again_when_it_has_more_or_once_a_window() {
    let (_dir, agent, store, clock) = two();
    for row in 0..3 {
        scrape(&agent, "a", T0 + row, row as f64);
        agent.flush().expect("flushes");
    }
    let frames = frames(&agent, &store);
    // What it builds on is not there.
    offer(&store, &frames[2]);
    assert_eq!(due(&store), [T0]);
    store.maintain();
    assert_eq!(store.inner.metrics.unsealable.get(), 1);
    assert!(due(&store).is_empty());
    clock.advance(Duration::from_millis(WINDOW_MS as u64));
    store.inner.turn_if_due();
    assert_eq!(due(&store), [T0], "once in a window's time");
    store.maintain();
    assert!(due(&store).is_empty());
    offer(&store, &frames[1]);
    assert_eq!(due(&store), [T0], "it has more");
    store.maintain();
    offer(&store, &frames[0]);
    store.maintain();
    assert_eq!((store.inner.metrics.unsealable.get(), due(&store)), (0, vec![]));
    let sealed = store.inner.vault.window(T0).expect("sealed");
    assert_eq!(sealed.frames[&agent.own_stream().id], IntervalSet::from_iter([1..=3]));
}

/// A frame's rows of two targets: those of one are sealed while those of the other wait. They hold it up no more once
/// the others have what they waited for.
#[test]
fn rows_that_are_sealed_already_wait_for_nothing() {
    let (_dir, agent, store, clock) = two();
    let rows = [("b", 0), ("a", 1), ("a", 2), ("b", 2), ("a", 3)];
    for (at, (target, time)) in rows.iter().enumerate() {
        scrape(&agent, target, T0 + time, at as f64);
        if rows.get(at + 1).is_none_or(|(_, next)| next != time) {
            agent.flush().expect("flushes");
        }
    }
    let frames = frames(&agent, &store);
    assert_eq!(frames.len(), 4);
    [1, 2, 3].iter().for_each(|&at| offer(&store, &frames[at]));
    store.maintain();
    let own = agent.own_stream().id;
    let sealed = || store.inner.vault.window(T0).expect("sealed").frames[&own].clone();
    assert_eq!(sealed(), IntervalSet::from_iter([2..=2, 4..=4]), "the third waits for the first");
    offer(&store, &frames[0]);
    clock.advance(Duration::from_millis(WINDOW_MS as u64));
    store.maintain();
    assert_eq!(sealed(), IntervalSet::from_iter([1..=4]));
    assert!(due(&store).is_empty());
}
