//! Giving the frames that the store holds, and starting over in a new epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::{
    Cell, Epoch, Frame, FrameError, FrameSource, IntervalSet, Layout, LayoutId, StreamId, StreamInfo,
};
use tokio::sync::watch;

use crate::segments::FrameReader;
use crate::store::{Inner, Store};
use crate::streams::{Place, StreamNo};
use crate::window::{WindowRows, window_of};

impl FrameSource for Store {
    fn streams(&self) -> Vec<StreamInfo> {
        let state = self.inner.state.read();
        let taken = state.streams.iter().filter(|(_, stream)| !stream.received.is_empty());
        taken.map(|(_, stream)| (*stream.info).clone()).collect()
    }

    fn own_stream(&self) -> StreamInfo {
        let state = self.inner.state.read();
        (*state.streams.get(state.own.stream).info).clone()
    }

    fn held(&self, stream: &StreamId) -> IntervalSet {
        let state = self.inner.state.read();
        state.streams.find(stream).map(|no| state.held(no)).unwrap_or_default()
    }

    fn frames(&self, stream: &StreamId, from: u64, bytes_max: usize) -> Result<Vec<Frame>, FrameError> {
        let inner = &self.inner;
        let (no, held) = {
            let state = inner.state.read();
            let no = state.streams.find(stream);
            let no = no.ok_or_else(|| FrameError::UnknownStream(stream.to_string()))?;
            (no, state.held(no))
        };
        let mut reader = inner.files.reader();
        let (mut frames, mut bytes) = (Vec::new(), 0);
        let wanted = held.ranges().filter(|range| *range.end() >= from);
        for seq in wanted.flat_map(|range| (*range.start()).max(from)..=*range.end()) {
            let Some(frame) = inner.frame(no, stream, seq, &mut reader)? else {
                inner.metrics.records_corrupt.inc();
                continue;
            };
            bytes += frame.body().len();
            frames.push(frame);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(frames)
    }

    fn find_layout(&self, id: LayoutId) -> Option<Arc<Layout>> {
        self.inner.state.read().layouts.get(id).cloned()
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.inner.announcer.frames.subscribe()
    }

    fn request_keyframes(&self) {
        self.inner.state.write().own.keyframes += 1;
    }

    fn renew_epoch(&self, external: model::Labels) -> Result<StreamInfo, FrameError> {
        let inner = &self.inner;
        let epoch = Epoch(inner.random.next_u128());
        let mut state = inner.state.write();
        inner.check_open(&state).map_err(FrameError::Unavailable)?;
        let info = state.next_own(epoch, external, inner.clock.now_ms());
        state.renew(info.clone());
        drop(state);
        inner.wake(true);
        Ok(info)
    }

    fn refile(&self, stream: &StreamId, after: u64) -> Result<u64, FrameError> {
        let inner = &self.inner;
        if stream.agent != inner.options.node_name || *stream == self.own_stream().id {
            let what = "only an own earlier stream can be refiled".to_owned();
            return Err(FrameError::Corrupt { stream: stream.to_string(), seq: after, what });
        }
        let mut from = 1;
        let mut windows: BTreeMap<i64, Vec<Frame>> = BTreeMap::new();
        // Frames up to `after` are read too: rows after it build on theirs.
        loop {
            let frames = self.frames(stream, from, 16 << 20)?;
            let Some(last) = frames.last() else { break };
            from = last.key().seq + 1;
            for frame in frames {
                windows.entry(window_of(frame.range().start)).or_default().push(frame);
            }
            // A window whose last frame is before `after` has nothing to refile.
            windows.retain(|_, frames| {
                frames.last().is_some_and(|last| last.key().seq > after || last.key().seq + 1 == from)
            });
        }
        let mut count = 0;
        for frames in windows.into_values() {
            count += inner.refile_window(&frames, after)?;
        }
        Ok(count)
    }
}

impl Inner {
    /// A frame of the store; none when it is damaged or was dropped meanwhile.
    fn frame(
        &self,
        no: StreamNo,
        stream: &StreamId,
        seq: u64,
        reader: &mut FrameReader<'_>,
    ) -> Result<Option<Frame>, FrameError> {
        let (place, segments) = {
            let state = self.state.read();
            let place = state.streams.get(no).recent.get(&seq).map(|entry| entry.place.clone());
            let mut segments = Vec::new();
            for (&index, segment) in &state.segments {
                if segment.frames.get(&no).is_some_and(|frames| frames.contains(seq)) {
                    segments.push((index, state.open_segment != Some(index)));
                }
            }
            (place, segments)
        };
        match place {
            Some(Place::Memory(frame)) => return Ok(Some((*frame).clone())),
            Some(Place::Log(at)) => return Ok(read_or_skip(reader, at.segment, at.offset)),
            None => {}
        }
        for (segment, closed) in segments {
            let list = self.files.list(segment, closed)?;
            let listed = list.iter().find(|listed| listed.key.seq == seq && listed.key.stream == *stream);
            let Some(listed) = listed else { continue };
            if let Some(frame) = read_or_skip(reader, segment, listed.offset) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Appends a window's rows above `after` under the current epoch; gives how many.
    fn refile_window(&self, frames: &[Frame], after: u64) -> Result<u64, FrameError> {
        let mut rows = WindowRows::default();
        let mut count = 0;
        for frame in frames {
            let mut state = self.state.write();
            self.check_open(&state).map_err(FrameError::Unavailable)?;
            let Some((_, layouts)) = state.resolve(frame) else { continue };
            if layouts.is_empty() && frame.key().seq > after {
                state.put_note(frame.body().to_vec(), frame.range().start);
                count += 1;
            }
            for (layout, row) in rows.decode(frame, &layouts) {
                if frame.key().seq <= after {
                    continue;
                }
                let Some(token) = state.own_layout((*layout).clone()).map(|layout| layout.token()) else {
                    continue;
                };
                let cells: Vec<_> = row.slots.iter().map(|slot| slot.cell()).collect();
                let present = cells.iter().filter(|cell| **cell != Cell::Absent).count();
                state.put_own_row(token, row.timestamp, &cells, None, present);
                count += 1;
            }
        }
        self.wake(true);
        Ok(count)
    }
}

/// The frame at a place, asked for twice where the disk does not give it: one bad sector must not hold up all that is
/// shipped after it.
fn read_or_skip(reader: &mut FrameReader<'_>, segment: u64, offset: u64) -> Option<Frame> {
    let read = reader.read(segment, offset).or_else(|_| reader.read(segment, offset));
    read.unwrap_or_else(|error| {
        tracing::error!(%error, "a frame cannot be read: it is left out");
        None
    })
}
