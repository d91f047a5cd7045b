//! Frames that others need, and what becomes of them when they have to go: at an agent what a replica does not have
//! outlives retention, and what is dropped all the same is a gap that answers tell of.

use std::collections::{HashMap, HashSet};

use storage::{Epoch, Gap, IntervalSet, StreamId, TimeRange};

use crate::segments::join;
use crate::state::State;
use crate::store::Inner;
use crate::streams::StreamNo;

/// Somebody who needs frames.
pub(crate) struct Keeper {
    /// Tells which ones of a stream it needs no more.
    pub(crate) released: Box<dyn Fn(&StreamId) -> IntervalSet + Send + Sync>,
    /// It needs them past retention, too.
    pub(crate) ships: bool,
}

/// Frames that are dropped although somebody has still to ship them.
#[derive(Debug, Default)]
pub(crate) struct Unshipped {
    pub(crate) frames: u64,
    /// Of all their rows.
    pub(crate) range: Option<TimeRange>,
    /// The own stream of now is among theirs.
    pub(crate) own: bool,
}

impl Inner {
    /// What of those segments somebody has still to ship.
    pub(crate) fn unshipped(&self, state: &State, segments: [&Vec<u64>; 3]) -> Unshipped {
        let keepers = self.keepers.read();
        let mut lost = Unshipped::default();
        for segment in segments.into_iter().flatten().filter_map(|index| state.segments.get(index)) {
            for (&no, frames) in &segment.frames {
                let id = &state.streams.get(no).info.id;
                let ships = keepers.iter().filter(|keeper| keeper.ships);
                let needed = ships.map(|keeper| frames.difference(&(keeper.released)(id)).count()).max();
                let Some(count) = needed.filter(|count| *count > 0) else { continue };
                lost.frames += count;
                lost.own |= no == state.own.stream;
                let used = segment.layouts.iter().filter(|((stream, _), _)| *stream == no);
                lost.range = used.map(|(_, range)| *range).chain(lost.range).reduce(join);
            }
        }
        lost
    }

    /// Frames that are dropped unshipped are a gap; the stream that has a hole for good is not gone on with.
    pub(crate) fn tell_unshipped(&self, lost: &Unshipped) {
        let Some(range) = lost.range else { return };
        self.metrics.unshipped_dropped.inc_by(lost.frames);
        tracing::error!(
            frames = lost.frames,
            from = range.start,
            to = range.end,
            "frames are dropped that not every replica has: there is no more room for them"
        );
        let node = &self.options.node_name;
        let why = format!("{node}: {} frames were dropped that not every replica has", lost.frames);
        let mut state = self.state.write();
        // It is recorded with what was received, before anything goes.
        state.gaps.push(Gap { start: range.start, end: range.end, why });
        if lost.own && !state.closed {
            let external = state.streams.get(state.own.stream).info.external.clone();
            let info = state.next_own(Epoch(self.random.next_u128()), external, self.clock.now_ms());
            state.renew(info);
        }
    }

    /// Windows with frames that somebody needs; only `ships`: that somebody has still to ship.
    pub(crate) fn needed_windows(&self, state: &State, ships: bool) -> HashSet<i64> {
        let keepers = self.keepers.read();
        let mut released: HashMap<StreamNo, Vec<IntervalSet>> = HashMap::new();
        let mut needed = HashSet::new();
        for segment in state.segments.values() {
            for (&start, streams) in &segment.windows {
                let mut kept = |no: &StreamNo, frames: &IntervalSet| {
                    let id = &state.streams.get(*no).info.id;
                    let asked = keepers.iter().filter(|keeper| keeper.ships || !ships);
                    let ask = || asked.map(|keeper| (keeper.released)(id)).collect();
                    let released = released.entry(*no).or_insert_with(ask);
                    released.iter().any(|released| !frames.difference(released).is_empty())
                };
                if !needed.contains(&start) && streams.iter().any(|(no, frames)| kept(no, frames)) {
                    needed.insert(start);
                }
            }
        }
        needed
    }
}
