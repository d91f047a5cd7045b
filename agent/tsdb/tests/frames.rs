//! Frames between stores: any order, any number of times, copies of a machine, and twins that agree.

mod common;

use std::time::Duration;

use common::*;
use env::SimulatedClock;
use model::Labels;
use proptest::prelude::*;
use storage::{
    Appender, Frame, FrameError, FrameHash, FrameKey, FrameSink, FrameSource, IntervalSet, Receipt, StreamId,
    StreamInfo, TimeRange,
};

/// Two agents that share a series now and then, each with two epochs, over three windows.
fn agents(
    clock: &std::sync::Arc<SimulatedClock>,
    dirs: &[tempfile::TempDir],
    rows: usize,
) -> Vec<std::sync::Arc<vedette_tsdb::Store>> {
    let stores: Vec<_> = dirs
        .iter()
        .enumerate()
        .map(|(at, dir)| open(dir.path(), &format!("agent-{at}"), clock, at as u64))
        .collect();
    for at in 0..rows as i64 {
        let timestamp = T0 + at * (3 * WINDOW / rows as i64);
        clock.advance(Duration::from_millis((3 * WINDOW / rows as i64) as u64));
        for (which, store) in stores.iter().enumerate() {
            let page = store.layout(layout("shared", 3)).expect("layout");
            let cell = if (at + which as i64) % 5 == 0 {
                storage::Cell::Stale
            } else {
                value(at as f64 + which as f64 / 4.0)
            };
            append(store, &page, timestamp, &[cell, value(1.25), value(f64::from_bits(at as u64))]);
            if at % 3 == 0 {
                store.flush().expect("flushes");
            }
        }
        if at == rows as i64 / 2 {
            for store in &stores {
                store.renew_epoch(Labels::from_pairs([("site", "x")])).expect("renews");
            }
        }
    }
    for store in &stores {
        store.flush().expect("flushes");
    }
    stores
}

fn all_frames(stores: &[std::sync::Arc<vedette_tsdb::Store>], to: &vedette_tsdb::Store) -> Vec<Frame> {
    let streams = |store: &std::sync::Arc<vedette_tsdb::Store>| store.streams();
    stores
        .iter()
        .flat_map(|store| {
            streams(store).into_iter().flat_map(|info| introduce(store, to, &info.id)).collect::<Vec<_>>()
        })
        .collect()
}

proptest! {
    #![proptest_config(cases(12))]

    /// Whatever order frames come in, how often, and however often a twin restarts: the same answers.
    #[test]
    fn twins_agree(seed: u64, restart_after in any::<prop::sample::Index>()) {
        let clock = SimulatedClock::at(T0);
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().expect("dir")).collect();
        let stores = agents(&clock, &dirs, 90);
        let (left_dir, right_dir) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let left = open(left_dir.path(), "left", &clock, 10);
        let mut right = open(right_dir.path(), "right", &clock, 11);
        let frames = all_frames(&stores, &left);
        all_frames(&stores, &right);
        for frame in &frames {
            prop_assert!(matches!(offer(&left, frame), Receipt::Appended(_)));
        }
        let random = env::SeededRandom::shared(seed);
        let mut order: Vec<&Frame> = frames.iter().chain(&frames).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, (random.next_u64() % (at as u64 + 1)) as usize);
        }
        let restart = restart_after.index(order.len());
        let mut appended = 0;
        for (at, frame) in order.into_iter().enumerate() {
            appended += usize::from(matches!(offer(&right, frame), Receipt::Appended(_)));
            if at == restart {
                drop(right);
                right = open(right_dir.path(), "right", &clock, 12);
                all_frames(&stores, &right);
            }
        }
        prop_assert_eq!(appended, frames.len());
        prop_assert_eq!(everything(&left), everything(&right));
        prop_assert!(!everything(&left).is_empty());
        for info in left.streams() {
            prop_assert_eq!(left.received(&info.id), right.received(&info.id));
        }
        drop(right);
        let right = open(right_dir.path(), "right", &clock, 13);
        prop_assert_eq!(everything(&left), everything(&right));
    }
}

#[test]
fn received_series_carry_their_agents_labels() {
    let clock = SimulatedClock::at(T0);
    let dirs = [tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir")];
    let (agent, replica) = (open(dirs[0].path(), "host", &clock, 1), open(dirs[1].path(), "r", &clock, 2));
    let page = agent.layout(layout("a", 1)).expect("layout");
    append(&agent, &page, T0, &[value(1.0)]);
    agent.flush().expect("flushes");
    let id = agent.own_stream().id;
    let frames = agent.frames(&id, 1, 1).expect("reads");
    assert!(matches!(FrameSink::append(&*replica, frames[0].clone()), Err(FrameError::UnknownStream(_))));
    replica.open_stream(agent.own_stream()).expect("opens");
    assert!(matches!(offer(&replica, &frames[0]), Receipt::NeedLayout(id) if id == frames[0].layouts()[0]));
    introduce(&agent, &replica, &id);
    let Receipt::Appended(mut commit) = offer(&replica, &frames[0]) else { panic!("new") };
    wait(commit.durable()).expect("durable");
    assert_eq!(replica.durable(&id), IntervalSet::from_iter([1..=1]));
    let Receipt::Duplicate(mut commit) = offer(&replica, &frames[0]) else { panic!("known") };
    wait(commit.durable()).expect("durable");
    let shown = Labels::from_pairs([("__name__", "m0"), ("agent", "host"), ("instance", "a"), ("site", "x")]);
    assert_eq!(everything(&replica).into_keys().collect::<Vec<_>>(), [shown]);
    assert_eq!(replica.frames(&id, 1, usize::MAX).expect("reads"), frames);
}

#[test]
fn a_copy_of_a_running_machine_is_told_so() {
    let clock = SimulatedClock::at(T0);
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("dir")).collect();
    // The same seed: the same epoch, as only a copied machine has it.
    let (one, two) = (open(dirs[0].path(), "host", &clock, 1), open(dirs[1].path(), "host", &clock, 1));
    for (store, last) in [(&one, 1.0), (&two, 2.0)] {
        let page = store.layout(layout("a", 1)).expect("layout");
        for (at, number) in [0.0, 1.0, last, 5.0].into_iter().enumerate() {
            append(store, &page, T0 + at as i64, &[value(number)]);
            store.flush().expect("flushes");
        }
    }
    let replica = open(dirs[2].path(), "r", &clock, 9);
    let id = one.own_stream().id;
    for frame in introduce(&one, &replica, &id) {
        assert!(matches!(offer(&replica, &frame), Receipt::Appended(_)));
    }
    let theirs = introduce(&two, &replica, &id);
    assert!(matches!(offer(&replica, &theirs[1]), Receipt::Duplicate(_)));
    assert!(matches!(offer(&replica, &theirs[2]), Receipt::Clone { common: 2 }));
    assert!(matches!(offer(&replica, &theirs[3]), Receipt::Clone { common: 0 }));
}

#[test]
fn frames_that_nobody_can_decode_are_refused() {
    let clock = SimulatedClock::at(T0);
    let dirs = [tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir")];
    let (agent, replica) = (open(dirs[0].path(), "host", &clock, 1), open(dirs[1].path(), "r", &clock, 2));
    let page = agent.layout(layout("a", 2)).expect("layout");
    append(&agent, &page, T0, &[value(1.0), value(2.0)]);
    agent.flush().expect("flushes");
    let id = agent.own_stream().id;
    let good = introduce(&agent, &replica, &id).remove(0);
    let make = |seq, range, body: &[u8]| {
        let key = FrameKey { stream: id.clone(), seq };
        Frame::new(key, FrameHash::ROOT, range, good.layouts().to_vec(), body.to_vec().into())
    };
    let body = good.body();
    for bad in [
        make(0, good.range(), body),
        make(1, TimeRange { start: T0, end: T0 + WINDOW }, body),
        make(1, TimeRange { start: T0, end: T0 - 1 }, body),
        make(1, good.range(), &body[..body.len() - 1]),
        make(1, good.range(), &[body.as_ref(), &[1]].concat()),
    ] {
        assert!(matches!(FrameSink::append(&*replica, bad), Err(FrameError::Corrupt { .. })));
    }
    assert!(replica.received(&id).is_empty() && everything(&replica).is_empty());
}

#[test]
fn adopted_frames_count_as_received_after_a_restart() {
    let clock = SimulatedClock::at(T0);
    let dir = tempfile::tempdir().expect("dir");
    let id = StreamId { agent: "host".into(), epoch: storage::Epoch(5) };
    let store = open(dir.path(), "r", &clock, 1);
    store.open_stream(StreamInfo { id: id.clone(), minted_ms: 0, external: Labels::empty() }).expect("opens");
    let gone = IntervalSet::from_iter([1..=7, 9..=9]);
    store.adopt(&id, &gone).expect("adopts");
    drop(store);
    let store = open(dir.path(), "r", &clock, 2);
    assert_eq!((store.received(&id), store.held(&id)), (gone, IntervalSet::new()));
}
