//! What goes before its time because the disk is nearly full: a piece at a time, what others have too first, and
//! never the newest day of what is sealed. While nothing can be sealed the log keeps its newest half hour, and
//! what is older can go likewise. Whatever nobody else has becomes a gap that answers tell of.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use storage::{Gap, IntervalSet, StreamId};

use crate::days;
use crate::disk::DiskLevel;
use crate::retention::Going;
use crate::sealed::SealedWindow;
use crate::segments::Segment;
use crate::state::{Queued, State};
use crate::store::Inner;
use crate::window::{WINDOW_MS, window_of};

/// What is sealed is kept so long, however full the disk is.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;
/// What the log keeps while nothing can be sealed.
const RING_MS: i64 = 30 * 60 * 1000;

/// Something that goes at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Piece {
    /// Windows that go together, as those of a day do.
    windows: Vec<i64>,
    /// Closed segments whose newest rows are of the window.
    segments: Vec<u64>,
    /// First and last time of what goes.
    times: (i64, i64),
    /// Somebody still needs it from here.
    needed: bool,
}

impl Inner {
    /// Asks the file system how much room there is, and begins a new segment where older ones must be able to go.
    pub(crate) fn look_at_disk(&self) {
        let space = self.options.space.space(&self.options.dir);
        let must_roll = {
            let mut watch = self.disk.lock();
            watch.look(space, self.options.disk_reserve, &self.metrics.disk);
            watch.must_roll(self.clock.monotonic())
        };
        if must_roll && self.write_all(true).is_ok() {
            // What comes now can be read without what was before.
            self.writer.lock().begin_segment();
            self.state.write().own.keyframes += 1;
        }
    }

    /// How full the disk is.
    pub(crate) fn disk_level(&self) -> DiskLevel {
        self.disk.lock().level
    }

    /// Adds what goes for want of room, at most one piece a minute.
    pub(crate) fn go_for_room(&self, going: &mut Going) {
        let level = self.disk_level();
        if level < DiskLevel::Low || !self.disk.lock().may_drop(self.clock.monotonic()) {
            return;
        }
        let Some((piece, is_oldest)) = self.piece_for_room(going, level) else { return };
        let (start, end) = piece.times;
        tracing::warn!(
            start,
            end,
            unshipped = piece.needed,
            "dropped before its time: the disk is nearly full"
        );
        if piece.needed || !is_oldest {
            let why =
                format!("{}: dropped before its time, the disk was nearly full", self.options.node_name);
            self.state.write().widen_gap(Gap { start, end, why });
        }
        if !piece.windows.is_empty() {
            going.early = piece.windows;
            going.raises_floor = is_oldest;
        }
        going.early_segments = piece.segments;
    }

    /// What goes next, and whether it is the oldest of all.
    fn piece_for_room(&self, going: &Going, level: DiskLevel) -> Option<(Piece, bool)> {
        let stats = self.writer.lock().log.segments();
        let closed = &stats[..stats.len().saturating_sub(1)];
        let closed: Vec<u64> =
            closed.iter().map(|stat| stat.index).filter(|index| !going.has_segment(*index)).collect();
        let windows: Vec<Arc<SealedWindow>> = self.vault.windows();
        let windows: Vec<_> = windows.into_iter().filter(|window| !going.has_window(window.start)).collect();
        let state = self.state.read();
        let mut needs = Needs { inner: self, released: HashMap::new() };
        let pieces = pieces(&state, &closed, &windows, &mut needs);
        let oldest = pieces.keys().next().copied();
        let kept_from = self.clock.now_ms().saturating_sub(KEPT_MS);
        let old = pieces.iter().filter(|(_, piece)| piece.times.1 < kept_from);
        let next = old.min_by_key(|(start, piece)| (piece.needed, **start));
        if let Some((start, piece)) = next {
            return Some((piece.clone(), oldest == Some(*start)));
        }
        if level < DiskLevel::Critical {
            return None;
        }
        let ring_from = self.clock.now_ms().saturating_sub(RING_MS);
        let segments = closed.iter().filter_map(|index| Some((*index, state.segments.get(index)?)));
        let old = segments.filter(|(_, segment)| segment.newest.is_some_and(|newest| newest < ring_from));
        let pieces = old.map(|(index, segment)| Piece {
            windows: Vec::new(),
            segments: vec![index],
            times: segment.times().unwrap_or_default(),
            needed: needs.segment(&state, segment) || !is_sealed(&state, segment, &windows),
        });
        pieces.min_by_key(|piece| (piece.needed, piece.segments.clone())).map(|piece| (piece, true))
    }
}

/// All pieces by the start of their window.
fn pieces(
    state: &State,
    closed: &[u64],
    windows: &[Arc<SealedWindow>],
    needs: &mut Needs<'_>,
) -> BTreeMap<i64, Piece> {
    let mut pieces: BTreeMap<i64, Piece> = BTreeMap::new();
    let times = |start: i64| (start, start.saturating_add(WINDOW_MS - 1));
    let mut unit_of: HashMap<i64, i64> = HashMap::new();
    for (starts, _) in days::units(windows.iter()) {
        let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else { continue };
        unit_of.extend(starts.iter().map(|start| (*start, first)));
        let piece = Piece { times: (first, times(last).1), windows: starts, ..Piece::default() };
        pieces.insert(first, piece);
    }
    for window in windows {
        let unit = unit_of.get(&window.start).and_then(|first| pieces.get_mut(first));
        if let Some(piece) = unit {
            piece.needed |= window.frames.iter().any(|(id, frames)| needs.any(id, frames));
        }
    }
    for index in closed {
        let Some(segment) = state.segments.get(index) else { continue };
        let Some(start) = segment.newest.map(window_of) else { continue };
        let piece = pieces.entry(unit_of.get(&start).copied().unwrap_or(start)).or_default();
        if piece.windows.is_empty() {
            piece.times = times(start);
        }
        piece.segments.push(*index);
        piece.needed |= needs.segment(state, segment) || !is_sealed(state, segment, windows);
    }
    pieces
}

/// Whether blocks have all frames of a segment.
fn is_sealed(state: &State, segment: &Segment, windows: &[Arc<SealedWindow>]) -> bool {
    segment.windows.keys().all(|start| {
        let window = windows.iter().find(|window| window.start == *start);
        !state.has_unsealed(segment, *start, window.map(|window| &**window))
    })
}

/// Asks those who ship or repair what they still need.
struct Needs<'a> {
    inner: &'a Inner,
    /// What each of them has released of a stream.
    released: HashMap<StreamId, Vec<IntervalSet>>,
}

impl Needs<'_> {
    fn any(&mut self, id: &StreamId, frames: &IntervalSet) -> bool {
        let ask = || self.inner.keepers.read().iter().map(|keeper| (keeper.released)(id)).collect();
        let released = self.released.entry(id.clone()).or_insert_with(ask);
        released.iter().any(|released| !frames.difference(released).is_empty())
    }

    fn segment(&mut self, state: &State, segment: &Segment) -> bool {
        segment.frames.iter().any(|(no, frames)| self.any(&state.streams.get(*no).info.id, frames))
    }
}

impl State {
    /// Records that a time is missing, as one with what is near it for the same reason: segments end where no row
    /// is, and there would be one for each.
    fn widen_gap(&mut self, mut gap: Gap) {
        self.gaps.retain(|known| {
            let touches = known.why == gap.why
                && known.start <= gap.end.saturating_add(RING_MS)
                && gap.start <= known.end.saturating_add(RING_MS);
            if touches {
                (gap.start, gap.end) = (gap.start.min(known.start), gap.end.max(known.end));
            }
            !touches
        });
        self.gaps.push(gap.clone());
        self.queue.push_back(Queued::Gap(gap));
    }
}
