//! Deletions and exemplars travel as frames: what an agent deleted is hidden wherever its samples are, whenever they
//! arrive, and nothing else is; said twice it is the same, and a kill forgets nothing.

mod common;

use std::time::Duration;

use common::*;
use env::{Clock as _, SimulatedClock};
use model::{Exemplar, Labels, Matcher};
use storage::{
    Appender as _, ExemplarQuerier as _, FrameSink, FrameSource as _, Receipt, TimeRange, WindowSink as _,
    WindowSource as _,
};
use vedette_tsdb::Store;

fn rows(store: &Store, instances: &[&str], from: i64, to: i64) {
    for minute in from..to {
        for instance in instances {
            let page = store.layout(layout(instance, 3)).expect("layout");
            append(store, &page, T0 + minute * 60_000, &[value(minute as f64), value(1.0), value(0.5)]);
        }
        store.flush().expect("flushes");
    }
}

fn ship(from: &Store, to: &Store, backwards: bool) -> usize {
    let mut count = 0;
    for info in from.streams() {
        let mut frames = introduce(from, to, &info.id);
        if backwards {
            frames.reverse();
        }
        count += frames.iter().filter(|frame| matches!(offer(to, frame), Receipt::Appended(_))).count();
    }
    to.flush().expect("flushes");
    count
}

/// Of one agent's series, as the agent shows them.
fn of_agent(store: &Store, agent: &str) -> Vec<(Labels, usize)> {
    let shown = select(store, vec![Matcher::equal("agent", agent)], TimeRange::ALL);
    let inside = |labels: &Labels| labels.filtered(|name| !["agent", "site"].contains(&name));
    shown.iter().map(|(labels, samples)| (inside(labels), samples.len())).collect()
}

fn counted(store: &Store) -> Vec<(Labels, usize)> {
    everything(store).into_iter().map(|(labels, samples)| (labels, samples.len())).collect()
}

#[test]
fn what_an_agent_deletes_is_hidden_at_replicas_and_nothing_else_is() {
    for backwards in [false, true] {
        let clock = SimulatedClock::at(T0);
        let dirs: Vec<_> = (0..4).map(|_| folder()).collect();
        let agent = open(dirs[0].path(), "n", &clock, 1);
        let other = open(dirs[1].path(), "m", &clock, 2);
        agent.keep_frames(|_| storage::IntervalSet::new());
        other.keep_frames(|_| storage::IntervalSet::new());
        clock.advance(Duration::from_secs(3600));
        rows(&agent, &["a", "b"], 0, 60);
        rows(&other, &["a", "b"], 0, 60);
        let range = TimeRange { start: T0, end: T0 + 30 * 60_000 };
        agent.delete_series(vec![Matcher::equal("instance", "a")], range).expect("deletes");
        // It says nothing of what the agent's series do not say of themselves.
        agent.delete_series(vec![Matcher::equal("site", "x")], TimeRange::ALL).expect("deletes nothing");
        clock.advance(Duration::from_secs(600));
        rows(&agent, &["a", "b"], 60, 70);
        assert_eq!(counted(&agent)[0].1, 39);
        let mut replica = open(dirs[2].path(), "r", &clock, 3);
        ship(&agent, &replica, backwards);
        ship(&other, &replica, backwards);
        let check = |replica: &Store| {
            assert_eq!(of_agent(replica, "n"), counted(&agent));
            assert_eq!(of_agent(replica, "m"), counted(&other));
        };
        check(&replica);
        assert_eq!(ship(&agent, &replica, false), 0, "said twice");
        // A kill right after: the log tells of it; then it is sealed and the log goes.
        let copy = folder();
        copy_dir(dirs[2].path(), copy.path());
        let _ = std::fs::remove_dir_all(copy.path().join("sealed"));
        check(&open(copy.path(), "r", &clock, 4));
        clock.advance(Duration::from_millis(4 * WINDOW as u64));
        replica.maintain();
        check(&replica);
        replica.close().expect("closes");
        drop(replica);
        replica = open(dirs[2].path(), "r", &clock, 5);
        check(&replica);
        // The twin hears of it behind the log, too; it says it is what it said.
        let twin = open(dirs[3].path(), "t", &clock, 6);
        assert_ne!(twin.deletions_version(), replica.deletions_version());
        for _ in 0..2 {
            replica.deletions().iter().for_each(|deletion| twin.take_deletion(deletion).expect("taken"));
        }
        assert_eq!(twin.deletions(), replica.deletions());
        assert_eq!(twin.deletions_version(), replica.deletions_version());
        assert!(twin.take_deletion(&[9, 9]).is_err());
    }
}

#[test]
fn what_a_replica_deletes_reaches_its_twin_as_a_frame_of_its_own() {
    let clock = SimulatedClock::at(T0);
    let dirs: Vec<_> = (0..3).map(|_| folder()).collect();
    let agent = open(dirs[0].path(), "n", &clock, 1);
    clock.advance(Duration::from_secs(1200));
    rows(&agent, &["a", "b"], 0, 20);
    let plain = |dir: &std::path::Path, name: &str| {
        let mut options = options(dir, name);
        options.external = Labels::empty();
        options
    };
    let a = open_with(plain(dirs[1].path(), "a"), &clock, 2);
    let b = open_with(plain(dirs[2].path(), "b"), &clock, 3);
    a.delete_series(vec![Matcher::equal("agent", "n"), Matcher::equal("instance", "b")], TimeRange::ALL)
        .expect("deletes");
    ship(&a, &b, false);
    ship(&agent, &b, false);
    assert!(everything(&b).keys().all(|labels| labels.get("instance") == Some("a")));
    assert_eq!(everything(&b).len(), 3);
    assert_eq!(b.deletions(), a.deletions());
    // Damage on the way is refused, and what a later version says is passed on.
    let own = a.own_stream().id;
    let note = &a.frames(&own, 1, 1).expect("reads")[0];
    let next = |body: &'static [u8]| {
        let key = storage::FrameKey { stream: own.clone(), seq: note.key().seq + 1 };
        storage::Frame::new(key, note.hash(), note.range(), Vec::new(), bytes::Bytes::from_static(body))
    };
    assert!(matches!(FrameSink::append(&*b, next(b"\x01\x01")), Err(storage::FrameError::Corrupt { .. })));
    assert!(matches!(offer(&b, &next(b"\xfelater")), Receipt::Appended(_)));
    b.flush().expect("flushes");
    assert!(
        b.frames(&own, 1, usize::MAX).expect("reads").iter().any(|frame| &frame.body()[..] == b"\xfelater")
    );
}

#[test]
fn exemplars_are_shipped_and_shown_with_the_agents_labels() {
    let clock = SimulatedClock::at(T0);
    let dirs: Vec<_> = (0..2).map(|_| folder()).collect();
    let agent = open(dirs[0].path(), "n", &clock, 1);
    let series = Labels::from_pairs([("__name__", "m0"), ("instance", "a")]);
    let exemplar = |at: i64| Exemplar {
        labels: Labels::from_pairs([("trace", format!("{at}"))]),
        value: at as f64,
        timestamp: Some(T0 + at),
    };
    rows(&agent, &["a"], 0, 2);
    agent.append_exemplars(&series, &[exemplar(1), exemplar(2)]);
    agent.flush().expect("flushes");
    rows(&agent, &["a"], 2, 3);
    agent.append_exemplars(&series, &[exemplar(3)]);
    agent.flush().expect("flushes");
    let mut replica = open(dirs[1].path(), "r", &clock, 2);
    let sets = [vec![Matcher::equal("agent", "n")]];
    for life in 3..5 {
        ship(&agent, &replica, false);
        let shown = replica.exemplars(&sets, TimeRange::ALL);
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0].labels, agent.own_stream().outside(&series));
        assert_eq!(shown[0].exemplars, [1, 2, 3].map(exemplar));
        replica.close().expect("closes");
        drop(replica);
        replica = open(dirs[1].path(), "r", &clock, life);
    }
    assert_eq!(counted(&replica).len(), 3, "{}", clock.now_ms());
    // Sealed with everything else, they hold nothing back.
    clock.advance(Duration::from_millis(4 * WINDOW as u64));
    replica.maintain();
    rows(&replica, &["late"], 8 * 60, 8 * 60 + 1);
    replica.maintain();
    assert!(replica.held(&agent.own_stream().id).is_empty());
}
