//! Dropping what is past its time or over its size, oldest first: sealed windows, and closed segments of the log.
//! Segments go early, too: once all of them is sealed, and nobody needs their frames.
//!
//! Ages are measured by a clock that is believed only as far as time that passed explains it. Each window with
//! samples stands for two hours; where the next one is further away than a tenth of the retention time (and four
//! hours), the clock jumped, or nothing ran. For ages it then goes on as if it had not, until a quarter of the
//! retention time has passed since. So whatever the clock shows for less than that, and on however many starts,
//! costs nothing that is not old once it is right; and a machine whose clock began in 1970 gets rid of that.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use log::SegmentStat;
use storage::TimeRange;

use crate::days;
use crate::sealed::SealedWindow;
use crate::state::State;
use crate::store::Inner;
use crate::window::{WINDOW_MS, window_of};

/// What goes.
#[derive(Debug, Default)]
pub(crate) struct Going {
    /// Sealed windows past their time, and those that are too much.
    windows: [Vec<i64>; 2],
    /// Closed segments likewise.
    segments: [Vec<u64>; 2],
    /// Closed segments of which all is sealed.
    trimmed: Vec<u64>,
    /// Bytes past retention that stay for those who ship.
    outliving: u64,
    /// What goes for want of room, and whether no window is older.
    pub(crate) early: Vec<i64>,
    pub(crate) early_segments: Vec<u64>,
    pub(crate) raises_floor: bool,
}

impl Going {
    pub(crate) fn has_window(&self, start: i64) -> bool {
        self.windows.iter().any(|windows| windows.contains(&start))
    }

    pub(crate) fn has_segment(&self, index: u64) -> bool {
        self.segments.iter().any(|segments| segments.contains(&index)) || self.trimmed.contains(&index)
    }
}

/// Something that may go for its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Segment(u64),
    Window(i64),
}

impl Inner {
    /// Drops what is past retention and what is in the log and in blocks, after what was received is recorded
    /// elsewhere.
    pub(crate) fn retain(&self) {
        self.lower_floor();
        let mut going = self.going();
        self.go_for_room(&mut going);
        self.metrics.outliving_bytes.set(i64::try_from(going.outliving).unwrap_or(i64::MAX));
        let mut windows = going.windows.iter().chain([&going.early]);
        if windows.any(|windows| !windows.is_empty()) && !self.record_copied() {
            return;
        }
        self.drop_windows(&going);
        self.forget_unused();
        let metrics = &self.metrics;
        let [expired, oversized] = &going.segments;
        let all = [
            (expired, &metrics.time_retentions),
            (oversized, &metrics.size_retentions),
            (&going.trimmed, &metrics.trimmed),
            (&going.early_segments, &metrics.disk.dropped),
        ];
        let windows_left = going.early.is_empty() || going.raises_floor;
        if windows_left && all.iter().all(|(segments, _)| segments.is_empty()) {
            return;
        }
        let unshipped = {
            let [expired, oversized] = &going.segments;
            self.unshipped(&self.state.read(), [expired, oversized, &going.early_segments])
        };
        self.tell_unshipped(&unshipped);
        let mut writer = self.writer.lock();
        let now = self.clock.monotonic();
        let gone = all.map(|(segments, _)| segments.as_slice()).concat();
        let sealed = self.vault.windows();
        let windows: Vec<(i64, u64)> = sealed.iter().map(|window| (window.start, window.newest())).collect();
        let mut recorded = writer.checkpoint(&self.shared(now), &gone, windows.clone());
        if recorded.is_err() && self.ballast.give_up() {
            recorded = writer.checkpoint(&self.shared(now), &gone, windows);
        }
        if let Err(error) = recorded {
            tracing::warn!(%error, "nothing is dropped: what was received cannot be recorded");
            return;
        }
        for (segments, counter) in all {
            for &segment in segments {
                if let Err(error) = writer.log.remove(segment) {
                    tracing::warn!(%error, segment, "a segment that is not needed any more stays");
                    continue;
                }
                counter.inc();
                self.files.forget(segment);
                let mut state = self.state.write();
                state.segments.remove(&segment);
                state.forget_places(segment);
            }
        }
        drop(writer);
        let floor = self.floor_ms();
        let mut state = self.state.write();
        state.gaps.retain(|gap| gap.end >= floor);
        state.drop_unused_layouts();
    }

    /// Records what was received with copied windows, of which the log has nothing: with a window the manifest
    /// forgets its frames. Whether windows may go.
    fn record_copied(&self) -> bool {
        if !self.copied.load(Ordering::Acquire) {
            return true;
        }
        let windows = self.vault.windows().iter().map(|window| (window.start, window.newest())).collect();
        let now = self.clock.monotonic();
        match self.writer.lock().checkpoint(&self.shared(now), &[], windows) {
            Ok(()) => self.copied.store(false, Ordering::Release),
            Err(error) => {
                tracing::warn!(%error, "sealed windows past retention stay: what was received cannot be recorded");
                return false;
            }
        }
        true
    }

    /// Takes sealed windows out of the manifest; their files follow.
    fn drop_windows(&self, going: &Going) {
        let Some(store) = self.vault.get() else { return };
        let counters = [&self.metrics.time_retentions, &self.metrics.size_retentions];
        for (windows, counter) in going.windows.iter().zip(counters) {
            match store.forget(windows) {
                Ok(()) => {
                    counter.inc_by(windows.len() as u64);
                }
                Err(error) => tracing::warn!(%error, "sealed windows past retention stay"),
            }
        }
        // Without a floor above it the log must know that it is gone: it is told by the checkpoint.
        let dropped = match going.raises_floor {
            true => store.forget(&going.early),
            false => store.raise_floor(i64::MIN, &going.early),
        };
        match dropped {
            Ok(()) => {
                self.metrics.disk.dropped.inc_by(going.early.len() as u64);
            }
            Err(error) => tracing::warn!(%error, "sealed windows stay, although the disk is nearly full"),
        }
        if let Err(error) = store.forget_deletions(self.floor_ms().min(self.vault.floor())) {
            tracing::warn!(%error, "deletions past retention stay");
        }
        if going.windows.iter().chain([&going.early]).any(|windows| !windows.is_empty()) {
            store.tidy();
        }
    }

    fn going(&self) -> Going {
        let floor = self.floor_ms();
        let stats = self.writer.lock().log.segments();
        let sealed = self.vault.windows();
        let state = self.state.read();
        let closed = &stats[..stats.len().saturating_sub(1)];
        let mut going = Going::default();
        let old = |newest: i64| window_of(newest).saturating_add(WINDOW_MS) <= floor;
        going.windows[0] = sealed.iter().map(|window| window.start).filter(|&start| old(start)).collect();
        let unshipped = self.needed_windows(&state, true);
        let is_unshipped = |index| is_unshipped(&state, index, &unshipped);
        let outlives = |stat: &SegmentStat| {
            let newest = state.segments.get(&stat.index).and_then(|segment| segment.newest);
            newest.is_some_and(old) && is_unshipped(stat.index)
        };
        going.outliving = closed.iter().filter(|stat| outlives(stat)).map(|stat| stat.bytes).sum();
        for stat in closed {
            // All segments of a window go together, as later ones build on the keyframes of earlier ones.
            match state.segments.get(&stat.index).and_then(|segment| segment.newest) {
                Some(_) if outlives(stat) && going.outliving <= self.options.unshipped_bytes_max => {}
                Some(newest) if old(newest) => {
                    if is_unshipped(stat.index) {
                        going.outliving = going.outliving.saturating_sub(stat.bytes);
                    }
                    going.segments[0].push(stat.index);
                }
                // Without frames it matters only while older ones are there.
                None if stats.first().is_some_and(|first| first.index == stat.index) && floor > i64::MIN => {
                    going.segments[0].push(stat.index);
                }
                _ => {}
            }
        }
        let rest: Vec<u64> =
            closed.iter().map(|stat| stat.index).filter(|index| !going.segments[0].contains(index)).collect();
        going.trimmed = self.trimmable(&state, &rest, &sealed);
        self.oversized(&mut going, &state, &stats, &rest, &sealed, &unshipped);
        going
    }

    /// Adds what is too much: first what the replicas have, then the oldest.
    fn oversized(
        &self,
        going: &mut Going,
        state: &State,
        stats: &[SegmentStat],
        rest: &[u64],
        sealed: &[Arc<SealedWindow>],
        unshipped: &HashSet<i64>,
    ) {
        if self.options.retention_size == 0 {
            return;
        }
        let is_unshipped = |index| is_unshipped(state, index, unshipped);
        let closed = &stats[..stats.len().saturating_sub(1)];
        let is_left = |piece: &Piece| match piece {
            Piece::Window(_) => true,
            Piece::Segment(index) => rest.contains(index) && !going.trimmed.contains(index),
        };
        // Those of a day are one file, and go together. What the clock comes to yet is not old.
        let first = state.head.takes_from();
        let (past, ahead): (Vec<_>, Vec<_>) = sealed.iter().partition(|window| window.start < first);
        let kept = ahead.iter().map(|window| window.bytes()).sum::<u64>();
        let left = past.into_iter().filter(|window| !going.windows[0].contains(&window.start));
        let units: HashMap<i64, (Vec<i64>, u64)> =
            days::units(left).into_iter().filter_map(|unit| Some((*unit.0.first()?, unit))).collect();
        let mut pieces: Vec<(bool, i64, Piece, u64)> = units
            .iter()
            .map(|(start, (windows, bytes))| {
                let is_unshipped = windows.iter().any(|window| unshipped.contains(window));
                (is_unshipped, *start, Piece::Window(*start), *bytes)
            })
            .collect();
        pieces.extend(closed.iter().map(|stat| {
            let newest = state.segments.get(&stat.index).and_then(|segment| segment.newest);
            let start = newest.map_or(i64::MIN, window_of);
            (is_unshipped(stat.index), start, Piece::Segment(stat.index), stat.bytes)
        }));
        pieces.retain(|(.., piece, _)| is_left(piece));
        pieces.sort_unstable();
        let open = stats.last().map_or(0, |stat| stat.bytes);
        let mut bytes = open + kept + pieces.iter().map(|(.., bytes)| bytes).sum::<u64>();
        for (.., piece, size) in pieces {
            if bytes <= self.options.retention_size {
                break;
            }
            bytes -= size;
            match piece {
                Piece::Window(start) => {
                    going.windows[1].extend(units.get(&start).into_iter().flat_map(|unit| &unit.0))
                }
                Piece::Segment(index) => going.segments[1].push(index),
            }
        }
    }

    /// Closed segments that nobody needs: of each of their windows every frame, wherever it is, is in blocks, and
    /// released by those who ship or repair. So the keyframes of a frame that is needed stay with it.
    fn trimmable(&self, state: &State, closed: &[u64], sealed: &[Arc<SealedWindow>]) -> Vec<u64> {
        let sealed: HashMap<i64, &SealedWindow> =
            sealed.iter().map(|window| (window.start, &**window)).collect();
        let floor = self.vault.floor().min(state.head.takes_from());
        let store = self.vault.get();
        let tail = i64::try_from(self.options.log_tail.as_millis()).unwrap_or(i64::MAX);
        let tail = self.clock.now_ms().saturating_sub(tail);
        let mut needed = self.needed_windows(state, false);
        for (_, stream) in state.streams.iter() {
            needed.extend(stream.in_memory().map(|(_, entry)| window_of(entry.range.start)));
        }
        for segment in state.segments.values() {
            for &start in segment.windows.keys() {
                // Whoever was away for less is repaired from the log.
                if start.saturating_add(WINDOW_MS) > tail {
                    needed.insert(start);
                    continue;
                }
                // What is damaged in blocks may be whole here.
                let answers = start >= floor
                    && (store.as_ref().is_some_and(|store| store.is_damaged(start))
                        || sealed
                            .get(&start)
                            .is_none_or(|window| state.has_unsealed(segment, start, Some(window))));
                if answers {
                    needed.insert(start);
                }
            }
        }
        let free = |index: &&u64| {
            let segment = state.segments.get(index);
            segment.is_some_and(|segment| {
                !segment.windows.is_empty() && segment.windows.keys().all(|start| !needed.contains(start))
            })
        };
        closed.iter().filter(free).copied().collect()
    }

    /// Samples before this time are past retention.
    pub(crate) fn floor_ms(&self) -> i64 {
        let retention = i64::try_from(self.options.retention_time.as_millis()).unwrap_or(i64::MAX);
        if retention == 0 {
            return i64::MIN;
        }
        let now_ms = self.clock.now_ms();
        let mut starts: BTreeSet<i64> = self.vault.windows().iter().map(|window| window.start).collect();
        starts.extend(self.state.read().windows_in(TimeRange { start: i64::MIN, end: now_ms }));
        now_ms.saturating_sub(unexplained(&starts, now_ms, retention)).saturating_sub(retention)
    }

    /// Sets the floor of sealed windows down where a clock that was ahead has raised it above what is written now.
    fn lower_floor(&self) {
        let (Some(store), floor) = (self.vault.get(), self.floor()) else { return };
        if floor < self.vault.floor()
            && let Err(error) = store.lower_floor(floor)
        {
            tracing::warn!(%error, "the floor of sealed windows stays where a wrong clock has put it");
        }
    }
}

fn is_unshipped(state: &State, segment: u64, unshipped: &HashSet<i64>) -> bool {
    let segment = state.segments.get(&segment);
    segment.is_some_and(|segment| segment.windows.keys().any(|start| unshipped.contains(start)))
}

/// How far the clock is from what the time that passed explains; `starts` are those of the windows with samples.
fn unexplained(starts: &BTreeSet<i64>, now_ms: i64, retention: i64) -> i64 {
    let (jump, probation) = ((retention / 10).max(2 * WINDOW_MS), (retention / 4).max(2 * WINDOW_MS));
    let (mut behind, mut passed, mut end) = (0i64, 0i64, None);
    let mut come_to = |start: i64| {
        let gap = end.map_or(0, |end| start.saturating_sub(end));
        if gap > jump {
            behind = behind.saturating_add(gap);
            passed = 0;
        }
        end = Some(start.saturating_add(WINDOW_MS));
        // The first window and the last one may be short.
        if passed >= probation.saturating_add(WINDOW_MS) {
            behind = 0;
        }
        passed = passed.saturating_add(WINDOW_MS);
        behind
    };
    starts.iter().filter(|start| **start <= now_ms).for_each(|start| {
        come_to(*start);
    });
    come_to(now_ms)
}
