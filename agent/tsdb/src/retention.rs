//! Dropping what is past its time or over its size, oldest first: sealed windows, and closed segments of the log.
//! Segments go early, too: once all of them is sealed, and nobody needs their frames.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use storage::IntervalSet;

use crate::days;
use crate::sealed::SealedWindow;
use crate::state::State;
use crate::store::Inner;
use crate::streams::StreamNo;
use crate::window::{WINDOW_MS, window_of};

/// What goes.
#[derive(Debug, Default)]
struct Going {
    /// Sealed windows past their time, and those that are too much.
    windows: [Vec<i64>; 2],
    /// Closed segments likewise.
    segments: [Vec<u64>; 2],
    /// Closed segments of which all is sealed.
    trimmed: Vec<u64>,
}

/// Something that may go for its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Window(i64),
    Segment(u64),
}

impl Inner {
    /// Drops what is past retention and what is in the log and in blocks, after what was received is recorded
    /// elsewhere.
    pub(crate) fn retain(&self) {
        let going = self.going();
        self.drop_windows(&going);
        let metrics = &self.metrics;
        let [expired, oversized] = &going.segments;
        let all = [
            (expired, &metrics.time_retentions),
            (oversized, &metrics.size_retentions),
            (&going.trimmed, &metrics.trimmed),
        ];
        if all.iter().all(|(segments, _)| segments.is_empty()) {
            return;
        }
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
        if let Err(error) = store.forget_deletions(self.floor_ms().min(self.vault.floor())) {
            tracing::warn!(%error, "deletions past retention stay");
        }
        if going.windows.iter().any(|windows| !windows.is_empty()) {
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
        for stat in closed {
            // All segments of a window go together, as later ones build on the keyframes of earlier ones.
            match state.segments.get(&stat.index).and_then(|segment| segment.newest) {
                Some(newest) if old(newest) => going.segments[0].push(stat.index),
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
        let is_left = |piece: &Piece| match piece {
            Piece::Window(_) => true,
            Piece::Segment(index) => rest.contains(index) && !going.trimmed.contains(index),
        };
        // Those of a day are one file, and go together.
        let left = sealed.iter().filter(|window| !going.windows[0].contains(&window.start));
        let units: HashMap<i64, (Vec<i64>, u64)> =
            days::units(left).into_iter().filter_map(|unit| Some((*unit.0.first()?, unit))).collect();
        let mut pieces: Vec<(i64, Piece, u64)> =
            units.iter().map(|(start, (_, bytes))| (*start, Piece::Window(*start), *bytes)).collect();
        pieces.extend(closed.iter().map(|stat| {
            let newest = state.segments.get(&stat.index).and_then(|segment| segment.newest);
            (newest.map_or(i64::MIN, window_of), Piece::Segment(stat.index), stat.bytes)
        }));
        pieces.retain(|(_, piece, _)| is_left(piece));
        pieces.sort_unstable();
        let open = stats.last().map_or(0, |stat| stat.bytes);
        let mut bytes = open + pieces.iter().map(|(.., bytes)| bytes).sum::<u64>();
        for (_, piece, size) in pieces {
            if self.options.retention_size == 0 || bytes <= self.options.retention_size {
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
        going
    }

    /// Closed segments that nobody needs: of each of their windows every frame, wherever it is, is in blocks, and
    /// released by those who ship or repair. So the keyframes of a frame that is needed stay with it.
    fn trimmable(&self, state: &State, closed: &[u64], sealed: &[Arc<SealedWindow>]) -> Vec<u64> {
        let sealed: HashMap<i64, &SealedWindow> =
            sealed.iter().map(|window| (window.start, &**window)).collect();
        let floor = self.vault.floor();
        let store = self.vault.get();
        let keepers = self.keepers.read();
        let mut released: HashMap<StreamNo, Vec<IntervalSet>> = HashMap::new();
        let mut needed: HashSet<i64> = HashSet::new();
        for (_, stream) in state.streams.iter() {
            needed.extend(stream.in_memory().map(|(_, entry)| window_of(entry.range.start)));
        }
        for segment in state.segments.values() {
            for (&start, streams) in &segment.windows {
                // What is damaged in blocks may be whole here.
                let answers = start >= floor
                    && (store.as_ref().is_some_and(|store| store.is_damaged(start))
                        || sealed
                            .get(&start)
                            .is_none_or(|window| state.has_unsealed(segment, start, Some(window))));
                let mut kept = |no: &StreamNo, frames: &IntervalSet| {
                    let id = &state.streams.get(*no).info.id;
                    let ask = || keepers.iter().map(|keeper| keeper(id)).collect();
                    let released = released.entry(*no).or_insert_with(ask);
                    released.iter().any(|released| !frames.difference(released).is_empty())
                };
                if answers || streams.iter().any(|(no, frames)| kept(no, frames)) {
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
        if retention == 0 { i64::MIN } else { self.clock.now_ms().saturating_sub(retention) }
    }
}
