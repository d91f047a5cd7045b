//! Everything a store knows in memory, behind one lock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use log::Location;
use model::Labels;
use storage::{
    Epoch, Frame, FrameError, FrameHash, FrameKey, Gap, IntervalSet, Layout, LayoutId, StreamId, StreamInfo,
    TimeRange,
};

use crate::head::Head;
use crate::layouts::Layouts;
use crate::memory::allocated;
use crate::outage::Outage;
use crate::own::Own;
use crate::rows::Applied;
use crate::sealed::SealedWindow;
use crate::segments::{FrameFiles, Segment, Segments};
use crate::streams::{Entry, Place, StreamNo, Streams};
use crate::window::window_of;

/// What waits to be written.
#[derive(Clone, Debug)]
pub(crate) enum Queued {
    Frame(QueuedFrame),
    Adopt { stream: StreamNo, info: Arc<StreamInfo>, gone: IntervalSet },
    Gap(Gap),
}

/// A frame with all that its segment must hold before it.
#[derive(Clone, Debug)]
pub(crate) struct QueuedFrame {
    pub(crate) stream: StreamNo,
    pub(crate) info: Arc<StreamInfo>,
    pub(crate) layouts: Vec<Arc<Layout>>,
    pub(crate) frame: Arc<Frame>,
    pub(crate) ticket: Ticket,
}

/// Whose commits a written record resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ticket {
    Own(u64),
    Received(u64),
}

/// A store's memory.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) streams: Streams,
    pub(crate) layouts: Layouts,
    pub(crate) head: Head,
    pub(crate) own: Own,
    pub(crate) queue: VecDeque<Queued>,
    /// Bytes of bodies that are queued or being written.
    pub(crate) queue_bytes: usize,
    /// Records ever queued by others.
    pub(crate) received_position: u64,
    pub(crate) segments: Segments,
    /// The segment being written.
    pub(crate) open_segment: Option<u64>,
    pub(crate) gaps: Vec<Gap>,
    /// While the log takes nothing.
    pub(crate) outage: Option<Outage>,
    pub(crate) closed: bool,
}

/// Where the frames of a window are.
#[derive(Debug, Default)]
pub(crate) struct WindowPlan {
    start: i64,
    /// What is in its blocks is not read.
    sealed: Option<Arc<SealedWindow>>,
    recent: Vec<(FrameKey, Place)>,
    /// Segments to search, and whether they are closed.
    segments: Vec<(u64, bool)>,
}

impl State {
    /// Takes a frame in: known, queued, and in the head if its window is there.
    pub(crate) fn take_frame(
        &mut self,
        stream: StreamNo,
        frame: Frame,
        layouts: Vec<Arc<Layout>>,
        ticket: Ticket,
    ) -> Applied {
        // Retention may have forgotten one that nothing used until now.
        for layout in &layouts {
            if !self.layouts.has(layout.id()) {
                self.layouts.add((**layout).clone());
            }
        }
        let applied = match ticket {
            // Own rows are put into the head one by one, as they are appended.
            Ticket::Own(_) => {
                if let Some(window) = self.head.windows.get_mut(&window_of(frame.range().start)) {
                    window.took(stream, frame.key().seq);
                }
                Applied::default()
            }
            Ticket::Received(_) => self.head.apply(&self.streams, &self.layouts, stream, &frame, &layouts),
        };
        let frame = Arc::new(frame);
        let known = self.streams.get_mut(stream);
        let seq = frame.key().seq;
        known.received.insert(seq);
        known.newest = known.newest.max(frame.range().end);
        let place = Place::Memory(Arc::clone(&frame));
        let entry = Entry { place, prev: frame.prev(), hash: frame.hash(), range: frame.range() };
        known.recent.insert(seq, entry);
        known.unwritten.insert(seq);
        let info = Arc::clone(&known.info);
        self.queue_bytes += frame.body().len();
        self.queue.push_back(Queued::Frame(QueuedFrame { stream, info, layouts, frame, ticket }));
        applied
    }

    /// The next own stream: the newest of all, whatever the clock shows.
    pub(crate) fn next_own(&self, epoch: Epoch, external: Labels, now_ms: i64) -> StreamInfo {
        let agent = Arc::clone(&self.streams.get(self.own.stream).info.id.agent);
        let minted_ms = self.streams.next_minted(now_ms);
        StreamInfo { id: StreamId { agent, epoch }, minted_ms, external }
    }

    /// Own rows go on under another epoch.
    pub(crate) fn renew(&mut self, info: StreamInfo) {
        self.seal();
        let no = self.streams.open(info, true);
        self.own.renew(no);
    }

    /// Moves the head to the window that holds `now_ms`, loading what comes back into memory.
    pub(crate) fn turn(&mut self, now_ms: i64, files: &FrameFiles) {
        // What leaves the head is found among the frames from now on.
        self.seal();
        let in_use = self.own.retire(now_ms);
        let missing = self.head.turn(now_ms, &in_use);
        self.own.let_go(&self.head);
        for start in missing {
            self.load(start, files);
        }
        let first = self.head.span()[0];
        for stream in self.streams.iter_mut() {
            stream
                .recent
                .retain(|_, entry| entry.range.end >= first || matches!(entry.place, Place::Memory(_)));
        }
    }

    /// Brings a window's frames from the log into the head.
    pub(crate) fn load(&mut self, start: i64, files: &FrameFiles) {
        let plan = self.plan_window(start, None);
        let frames = match plan.read(files) {
            Ok(frames) => frames,
            Err(error) => {
                tracing::error!(%error, window = start, "a window cannot be loaded: the log is read for each question");
                self.head.give_up(start);
                return;
            }
        };
        for frame in frames {
            if let Some((stream, layouts)) = self.resolve(&frame) {
                self.head.apply(&self.streams, &self.layouts, stream, &frame, &layouts);
            }
        }
    }

    /// A frame's stream and layouts, where all are known.
    pub(crate) fn resolve(&self, frame: &Frame) -> Option<(StreamNo, Vec<Arc<Layout>>)> {
        let stream = self.streams.find(&frame.key().stream)?;
        let layouts =
            frame.layouts().iter().map(|id| self.layouts.get(*id).cloned()).collect::<Option<_>>()?;
        Some((stream, layouts))
    }

    /// Where a window's frames are.
    pub(crate) fn plan_window(&self, start: i64, sealed: Option<Arc<SealedWindow>>) -> WindowPlan {
        let mut plan = WindowPlan { start, ..WindowPlan::default() };
        let is_sealed = |id: &StreamId, seq| sealed.as_ref().is_some_and(|window| window.has(id, seq));
        for (_, stream) in self.streams.iter() {
            let id = &stream.info.id;
            let entries = stream
                .recent
                .iter()
                .filter(|(seq, entry)| window_of(entry.range.start) == start && !is_sealed(id, **seq));
            let key = |seq| FrameKey { stream: id.clone(), seq };
            plan.recent.extend(entries.map(|(seq, entry)| (key(*seq), entry.place.clone())));
        }
        for (&index, segment) in &self.segments {
            if self.has_unsealed(segment, start, sealed.as_deref()) {
                plan.segments.push((index, self.open_segment != Some(index)));
            }
        }
        plan.sealed = sealed;
        plan
    }

    /// Whether a segment has frames of a window that its blocks do not have.
    pub(crate) fn has_unsealed(&self, segment: &Segment, start: i64, sealed: Option<&SealedWindow>) -> bool {
        let Some(streams) = segment.windows.get(&start) else { return false };
        let Some(sealed) = sealed else { return true };
        streams.iter().any(|(no, frames)| !sealed.has_all(&self.streams.get(*no).info.id, frames))
    }

    /// Starts of the windows that may have samples in a range, in order.
    pub(crate) fn windows_in(&self, range: TimeRange) -> Vec<i64> {
        let mut starts: BTreeSet<i64> = self.head.windows.keys().copied().collect();
        for segment in self.segments.values() {
            starts.extend(segment.windows.keys());
        }
        for (_, stream) in self.streams.iter() {
            starts.extend(stream.in_memory().map(|(_, entry)| window_of(entry.range.start)));
        }
        let first = window_of(range.start);
        starts.into_iter().filter(|&start| (first..=range.end).contains(&start)).collect()
    }

    /// The frames of a stream that are kept.
    pub(crate) fn held(&self, stream: StreamNo) -> IntervalSet {
        let mut held = IntervalSet::new();
        for segment in self.segments.values() {
            if let Some(frames) = segment.frames.get(&stream) {
                held.union(frames);
            }
        }
        for (seq, _) in self.streams.get(stream).in_memory() {
            held.insert(seq);
        }
        held
    }

    /// What is known of frames and segments takes up so much, without rows that wait to be written.
    pub(crate) fn frame_bytes(&self) -> u64 {
        // Nodes of these trees are two thirds full, about.
        let recent = |count: usize| (count * size_of::<(u64, Entry)>() * 3 / 2) as u64;
        let streams: u64 = self.streams.iter().map(|(_, stream)| recent(stream.recent.len())).sum();
        let used = |segment: &Segment| {
            allocated(segment.layouts.capacity() * (size_of::<((StreamNo, LayoutId), TimeRange)>() + 1))
        };
        streams + self.segments.values().map(used).sum::<u64>()
    }

    /// A frame's hash, where it is known without reading.
    pub(crate) fn recent_hash(&self, stream: StreamNo, seq: u64) -> Option<FrameHash> {
        self.streams.get(stream).recent.get(&seq).map(|entry| entry.hash)
    }
}

impl WindowPlan {
    /// Whether there is nothing to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.segments.is_empty()
    }

    /// Reads the window's frames, sorted by stream and sequence.
    pub(crate) fn read(self, files: &FrameFiles) -> Result<Vec<Arc<Frame>>, FrameError> {
        let mut frames = Vec::new();
        self.visit(files, |frame| {
            frames.push(frame);
            true
        })?;
        Ok(frames)
    }

    /// Gives the window's frames in that order, one at a time, until told to stop.
    pub(crate) fn visit(
        self,
        files: &FrameFiles,
        mut visit: impl FnMut(Arc<Frame>) -> bool,
    ) -> Result<(), FrameError> {
        let mut places: BTreeMap<FrameKey, Vec<Place>> = BTreeMap::new();
        for (key, place) in self.recent {
            places.entry(key).or_default().push(place);
        }
        for (segment, closed) in self.segments {
            for listed in files.list(segment, closed)?.iter() {
                let key = &listed.key;
                let is_sealed =
                    || self.sealed.as_ref().is_some_and(|sealed| sealed.has(&key.stream, key.seq));
                if window_of(listed.range.start) != self.start || is_sealed() {
                    continue;
                }
                let place = Place::Log(Location { segment, offset: listed.offset });
                places.entry(key.clone()).or_default().push(place);
            }
        }
        let mut reader = files.reader();
        for places in places.into_values() {
            let mut frame = None;
            for place in places {
                frame = match place {
                    Place::Memory(frame) => Some(frame),
                    Place::Log(at) => reader.read(at.segment, at.offset)?.map(Arc::new),
                };
                if frame.is_some() {
                    break;
                }
            }
            if frame.is_some_and(|frame| !visit(frame)) {
                break;
            }
        }
        Ok(())
    }
}
