//! Taking frames that others wrote, each once.

use std::sync::Arc;

use storage::{
    Frame, FrameError, FrameHash, FrameSink, IntervalSet, Layout, LayoutId, Receipt, StreamId, StreamInfo,
};

use crate::bytes::Malformed;
use crate::notes::Note;
use crate::row;
use crate::state::{Queued, State, Ticket};
use crate::store::{Inner, Store};
use crate::streams::StreamNo;
use crate::window::window_of;

impl FrameSink for Store {
    fn open_stream(&self, info: StreamInfo) -> Result<(), FrameError> {
        let mut state = self.inner.state.write();
        self.inner.check_open(&state).map_err(FrameError::Unavailable)?;
        let own = info.id.agent == self.inner.options.node_name;
        state.streams.open(info, own);
        Ok(())
    }

    fn add_layout(&self, layout: Layout) -> Result<(), FrameError> {
        let mut state = self.inner.state.write();
        self.inner.check_open(&state).map_err(FrameError::Unavailable)?;
        if !state.layouts.has(layout.id()) {
            self.inner.note_received(&layout);
        }
        state.layouts.add(layout);
        Ok(())
    }

    fn unknown_layouts(&self, ids: &[LayoutId]) -> Vec<LayoutId> {
        let state = self.inner.state.read();
        ids.iter().copied().filter(|id| !state.layouts.has(*id)).collect()
    }

    fn append(&self, frame: Frame) -> Result<Receipt, FrameError> {
        let inner = &self.inner;
        inner.turn_if_due();
        let (stream, layouts) = match inner.known(&frame)? {
            Known::All(stream, layouts) => (stream, layouts),
            Known::Without(layout) => return Ok(Receipt::NeedLayout(layout)),
        };
        let note = Note::of(&frame).transpose();
        let note = note.map_err(|Malformed(what)| corrupt(&frame, what.to_owned()))?;
        check_rows(&frame, &layouts)?;
        let older = inner.older_hash(stream, &frame)?;
        if let Some(note) = note {
            let (info, own, known) = {
                let state = inner.state.read();
                let stream = state.streams.get(stream);
                (Arc::clone(&stream.info), stream.own, stream.received.contains(frame.key().seq))
            };
            if !known {
                inner.obey(note, &info, own)?;
            }
        }
        let mut state = inner.state.write();
        inner.check_open(&state).map_err(FrameError::Unavailable)?;
        match judge(&state, stream, &frame, older) {
            Judgement::Clone(common) => {
                inner.metrics.frames_clone.inc();
                Ok(Receipt::Clone { common })
            }
            Judgement::Duplicate => {
                inner.metrics.frames_duplicate.inc();
                // At most too late: what was taken after it is waited for too.
                Ok(Receipt::Duplicate(inner.announcer.received.commit(state.received_position)))
            }
            Judgement::New => {
                state.received_position += 1;
                let position = state.received_position;
                let applied = state.take_frame(stream, frame, layouts, Ticket::Received(position));
                drop(state);
                inner.metrics.frames_received.inc();
                inner.metrics.rows_corrupt.inc_by(applied.bad_rows);
                inner.wake(false);
                Ok(Receipt::Appended(inner.announcer.received.commit(position)))
            }
        }
    }

    fn received(&self, stream: &StreamId) -> IntervalSet {
        let state = self.inner.state.read();
        state.streams.find(stream).map(|no| state.streams.get(no).received.clone()).unwrap_or_default()
    }

    fn durable(&self, stream: &StreamId) -> IntervalSet {
        let state = self.inner.state.read();
        state.streams.find(stream).map(|no| state.streams.get(no).durable.clone()).unwrap_or_default()
    }

    fn adopt(&self, stream: &StreamId, gone: &IntervalSet) -> Result<(), FrameError> {
        let mut state = self.inner.state.write();
        self.inner.check_open(&state).map_err(FrameError::Unavailable)?;
        let no = state.streams.find(stream).ok_or_else(|| FrameError::UnknownStream(stream.to_string()))?;
        let known = state.streams.get_mut(no);
        let new = gone.difference(&known.received);
        if new.is_empty() {
            return Ok(());
        }
        known.received.union(&new);
        let info = Arc::clone(&known.info);
        state.queue.push_back(Queued::Adopt { stream: no, info, gone: new });
        drop(state);
        self.inner.wake(false);
        Ok(())
    }
}

enum Known {
    All(StreamNo, Vec<Arc<Layout>>),
    Without(LayoutId),
}

enum Judgement {
    New,
    Duplicate,
    Clone(u64),
}

impl Inner {
    fn known(&self, frame: &Frame) -> Result<Known, FrameError> {
        let state = self.state.read();
        let id = &frame.key().stream;
        let stream = state.streams.find(id).ok_or_else(|| FrameError::UnknownStream(id.to_string()))?;
        let mut layouts = Vec::with_capacity(frame.layouts().len());
        for &id in frame.layouts() {
            match state.layouts.get(id) {
                Some(layout) => layouts.push(Arc::clone(layout)),
                None => return Ok(Known::Without(id)),
            }
        }
        Ok(Known::All(stream, layouts))
    }

    /// The hash of a frame of that name in the log, where memory does not tell.
    fn older_hash(&self, stream: StreamNo, frame: &Frame) -> Result<Option<FrameHash>, FrameError> {
        let seq = frame.key().seq;
        let segments: Vec<(u64, bool)> = {
            let state = self.state.read();
            let known = state.streams.get(stream);
            if !known.received.contains(seq) || known.recent.contains_key(&seq) {
                return Ok(None);
            }
            let holds = |(_, segment): &(&u64, &crate::segments::Segment)| {
                segment.frames.get(&stream).is_some_and(|frames| frames.contains(seq))
            };
            let open = state.open_segment;
            state.segments.iter().filter(holds).map(|(&index, _)| (index, open != Some(index))).collect()
        };
        for (segment, closed) in segments {
            let list = self.files.list(segment, closed)?;
            if let Some(listed) = list.iter().find(|listed| listed.key == *frame.key()) {
                return Ok(Some(listed.hash));
            }
        }
        Ok(None)
    }
}

/// Whether a frame is new, known, or of another history than the one that is here.
fn judge(state: &State, stream: StreamNo, frame: &Frame, older: Option<FrameHash>) -> Judgement {
    let (seq, known) = (frame.key().seq, state.streams.get(stream));
    let before = state.recent_hash(stream, seq - 1);
    // Which frames before are common too nobody can tell from here, unless the chain shows it.
    let common = if seq == 1 || before == Some(frame.prev()) { seq - 1 } else { 0 };
    if known.received.contains(seq) {
        let hash = state.recent_hash(stream, seq).or(older);
        return match hash {
            Some(hash) if hash != frame.hash() => Judgement::Clone(common),
            _ => Judgement::Duplicate,
        };
    }
    let after = known.recent.get(&(seq + 1)).map(|entry| entry.prev);
    let forked =
        before.is_some_and(|hash| hash != frame.prev()) || after.is_some_and(|prev| prev != frame.hash());
    // Nobody else writes the stream that this store writes now.
    if forked || stream == state.own.stream { Judgement::Clone(common) } else { Judgement::New }
}

fn corrupt(frame: &Frame, what: String) -> FrameError {
    let key = frame.key();
    FrameError::Corrupt { stream: key.stream.to_string(), seq: key.seq, what }
}

/// Refuses what no store could ever decode.
fn check_rows(frame: &Frame, layouts: &[Arc<Layout>]) -> Result<(), FrameError> {
    let (key, range) = (frame.key(), frame.range());
    let corrupt = |what: String| corrupt(frame, what);
    if key.seq == 0 || key.seq == u64::MAX || (key.seq == 1 && frame.prev() != FrameHash::ROOT) {
        return Err(corrupt("its number and its predecessor do not fit".to_owned()));
    }
    if range.start > range.end || window_of(range.start) != window_of(range.end) {
        return Err(corrupt(format!("its times {} to {} are no part of a window", range.start, range.end)));
    }
    if layouts.is_empty() {
        return Ok(());
    }
    for (position, row) in row::rows(frame.body()).enumerate() {
        let at = |what: &str| corrupt(format!("row {position}: {what}"));
        let row = row.map_err(|error| at(error.0))?;
        let layout = layouts.get(row.layout).ok_or_else(|| at("its layout is not in the frame's table"))?;
        row::check_cells(row.cells, layout.slots().len()).map_err(|error| at(error.0))?;
    }
    Ok(())
}
