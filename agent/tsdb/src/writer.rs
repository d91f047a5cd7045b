//! The writing end: what is queued goes into the log, in order, and commits are told how far it came.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use log::{Location, Log, LogError};
use storage::{CommitSender, LayoutId};
use tokio::sync::watch;

use crate::like::Bases;
use crate::metrics::Metrics;
use crate::record::{self, Kept, StreamMark};
use crate::state::{Queued, QueuedFrame, State, Ticket};
use crate::streams::{Place, StreamNo};
use crate::window::window_of;

/// Bytes that may wait for a sync before one is made early.
const SYNC_EARLY: usize = 8 << 20;

/// Tells how far the log has come.
#[derive(Debug)]
pub(crate) struct Announcer {
    pub(crate) own: CommitSender,
    pub(crate) received: CommitSender,
    /// Frames written so far.
    pub(crate) frames: watch::Sender<u64>,
}

/// The log and what is on its way into it. Locked before the state, never after.
pub(crate) struct Writer {
    pub(crate) log: Log,
    segment_bytes_max: u64,
    /// Taken from the queue, not in the log's memory yet.
    batch: VecDeque<Queued>,
    /// In the log's memory, not written.
    unwritten: Vec<Sent>,
    /// Written, not synced.
    unsynced: Vec<Sent>,
    /// The segment that `streams`, `layouts` and `bases` speak of.
    segment: Option<u64>,
    streams: HashSet<StreamNo>,
    layouts: HashSet<LayoutId>,
    bases: Bases,
    /// Start of the window by the clock when the segment was begun.
    window: i64,
    failing: bool,
    last_sync: Duration,
}

struct Sent {
    what: Queued,
    at: Location,
}

impl Writer {
    pub(crate) fn new(log: Log, segment_bytes_max: u64) -> Self {
        Self {
            log,
            segment_bytes_max,
            batch: VecDeque::new(),
            unwritten: Vec::new(),
            unsynced: Vec::new(),
            segment: None,
            streams: HashSet::new(),
            layouts: HashSet::new(),
            bases: Bases::default(),
            window: i64::MIN,
            failing: false,
            last_sync: Duration::ZERO,
        }
    }

    /// Whether something is left to write or sync.
    pub(crate) fn is_behind(&self) -> bool {
        !(self.batch.is_empty() && self.unwritten.is_empty() && self.unsynced.is_empty())
    }

    /// Whether a sync is due: time has come or much waits for one.
    pub(crate) fn wants_sync(&self, now: Duration, interval: Duration) -> bool {
        now.saturating_sub(self.last_sync) >= interval || self.log.waiting_bytes() >= SYNC_EARLY
    }

    /// Writes what is queued, and syncs if told to.
    pub(crate) fn write(&mut self, shared: &Shared<'_>, sync: bool) -> Result<(), LogError> {
        let done = self.try_write(shared).and_then(|()| if sync { self.sync(shared) } else { Ok(()) });
        let queued = shared.state.read().queue_bytes;
        shared.metrics.waiting_bytes.set(self.log.waiting_bytes().max(queued) as i64);
        let announce = shared.announcer;
        match &done {
            Ok(()) if self.failing => {
                tracing::info!("the log takes records again");
                self.failing = false;
                shared.metrics.failing.set(0);
                shared.state.write().end_outage(shared.node);
                announce.own.recovered();
                announce.received.recovered();
                // What was dropped meanwhile is recorded.
                return self.write(shared, sync);
            }
            Err(error) => {
                shared.metrics.write_failures.inc();
                if !self.failing {
                    tracing::error!(%error, "the log takes no records: they wait in memory");
                }
                self.failing = true;
                shared.metrics.failing.set(1);
                shared.state.write().begin_outage();
                announce.own.failed(&error.to_string());
                announce.received.failed(&error.to_string());
                // Frames can be shipped from memory meanwhile.
                announce.frames.send_modify(|frames| *frames += 1);
            }
            Ok(()) => {}
        }
        done
    }

    fn try_write(&mut self, shared: &Shared<'_>) -> Result<(), LogError> {
        if self.failing {
            // What it did not take goes first; the rest stays where the oldest of it can be dropped.
            self.written(shared)?;
            self.append_batch(shared)?;
        }
        self.batch.extend(shared.state.write().queue.drain(..));
        self.append_batch(shared)
    }

    fn append_batch(&mut self, shared: &Shared<'_>) -> Result<(), LogError> {
        if !self.batch.is_empty() {
            self.roll_if_due(shared.now_ms)?;
        }
        while let Some(what) = self.batch.pop_front() {
            match self.append(&what, shared.now_ms) {
                Ok(at) => self.unwritten.push(Sent { what, at }),
                Err(LogError::Full { .. }) if !self.unwritten.is_empty() || !self.unsynced.is_empty() => {
                    // Room comes with a sync.
                    self.batch.push_front(what);
                    self.written(shared)?;
                    self.sync(shared)?;
                }
                Err(error) => {
                    self.batch.push_front(what);
                    return Err(error);
                }
            }
        }
        self.written(shared)
    }

    /// Hands the log's memory to the operating system and tells those who wait for it.
    fn written(&mut self, shared: &Shared<'_>) -> Result<(), LogError> {
        self.log.write()?;
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let mut state = shared.state.write();
        let mut frames = 0;
        for sent in &self.unwritten {
            if let Queued::Frame(QueuedFrame { stream, frame, .. }) = &sent.what {
                frames += 1;
                state.queue_bytes = state.queue_bytes.saturating_sub(frame.body().len());
                state.place(*stream, frame.key().seq, sent.at);
                let (range, layouts) = (frame.range(), frame.layouts());
                state.segments.entry(sent.at.segment).or_default().add(
                    *stream,
                    frame.key().seq,
                    range,
                    layouts,
                );
            }
        }
        state.open_segment = self.log.current().map(|segment| segment.index);
        drop(state);
        for sent in &self.unwritten {
            match sent.what.ticket() {
                Some(Ticket::Own(position)) => shared.announcer.own.written(position),
                Some(Ticket::Received(position)) => shared.announcer.received.written(position),
                None => {}
            }
        }
        self.unsynced.append(&mut self.unwritten);
        shared.announcer.frames.send_modify(|count| *count += frames);
        Ok(())
    }

    /// Makes all that was written durable and tells those who wait for it.
    fn sync(&mut self, shared: &Shared<'_>) -> Result<(), LogError> {
        self.last_sync = shared.now;
        let synced = self.log.sync();
        if synced.is_err() {
            shared.metrics.sync_failures.inc();
        }
        shared.metrics.syncs.inc();
        self.follow_moves(shared)?;
        synced?;
        let mut state = shared.state.write();
        for sent in &self.unsynced {
            match &sent.what {
                Queued::Frame(QueuedFrame { stream, frame, .. }) => {
                    state.streams.get_mut(*stream).durable.insert(frame.key().seq);
                }
                Queued::Adopt { stream, gone, .. } => state.streams.get_mut(*stream).durable.union(gone),
                Queued::Gap(_) => {}
            }
        }
        drop(state);
        for sent in self.unsynced.drain(..) {
            match sent.what.ticket() {
                Some(Ticket::Own(position)) => shared.announcer.own.durable(position),
                Some(Ticket::Received(position)) => shared.announcer.received.durable(position),
                None => {}
            }
        }
        Ok(())
    }

    /// A failed sync wrote records anew in another segment: their places, and what that segment must
    /// hold to be read alone.
    fn follow_moves(&mut self, shared: &Shared<'_>) -> Result<(), LogError> {
        let moves = self.log.take_moved();
        if moves.is_empty() {
            return Ok(());
        }
        shared.metrics.sync_failures.inc();
        let places: std::collections::HashMap<_, _> =
            moves.into_iter().map(|moved| (moved.from, moved.to)).collect();
        let mut state = shared.state.write();
        for sent in self.unsynced.iter_mut().chain(&mut self.unwritten) {
            let mut at = sent.at;
            while let Some(&to) = places.get(&at) {
                at = to;
            }
            if at == sent.at {
                continue;
            }
            sent.at = at;
            if let Queued::Frame(QueuedFrame { stream, frame, .. }) = &sent.what {
                state.place(*stream, frame.key().seq, at);
                let segment = state.segments.entry(at.segment).or_default();
                segment.add(*stream, frame.key().seq, frame.range(), frame.layouts());
            }
        }
        state.open_segment = self.log.current().map(|segment| segment.index);
        // A segment given up whole is gone from the log.
        let kept: HashSet<u64> = self.log.segments().iter().map(|segment| segment.index).collect();
        state.segments.retain(|index, _| kept.contains(index));
        drop(state);
        let moved: Vec<Queued> =
            self.unsynced.iter().chain(&self.unwritten).map(|sent| sent.what.clone()).collect();
        for what in &moved {
            self.preamble(what)?;
        }
        self.log.sync()
    }

    fn append(&mut self, what: &Queued, now_ms: i64) -> Result<Location, LogError> {
        self.preamble(what)?;
        self.window = window_of(now_ms);
        match what {
            Queued::Frame(queued) => self.log.append(record::FRAME, &record::put_frame(&queued.frame)),
            Queued::Adopt { info, gone, .. } => {
                self.log.append(record::ADOPT, &record::put_adopt(&info.id, gone))
            }
            Queued::Gap(gap) => self.log.append(record::GAP, &record::put_gap(gap)),
        }
    }

    /// Puts the stream and the layouts of a record into its segment, where they are not yet.
    fn preamble(&mut self, what: &Queued) -> Result<(), LogError> {
        let current = self.log.current().map(|segment| segment.index);
        if current.is_none() || current != self.segment {
            self.streams.clear();
            self.layouts.clear();
            self.bases.clear();
        }
        let (stream, info, layouts) = match what {
            Queued::Frame(queued) => (queued.stream, &queued.info, &queued.layouts[..]),
            Queued::Adopt { stream, info, .. } => (*stream, info, &[][..]),
            Queued::Gap(_) => return Ok(()),
        };
        if !self.streams.contains(&stream) {
            self.log.append(record::STREAM, &record::put_stream(info))?;
            self.streams.insert(stream);
        }
        for layout in layouts {
            if !self.layouts.contains(&layout.id()) {
                let told = self.bases.record(layout);
                self.log.append(told.kind, &told.payload)?;
                self.bases.wrote(layout, &told);
                self.layouts.insert(layout.id());
            }
        }
        self.segment = self.log.current().map(|segment| segment.index);
        Ok(())
    }

    /// The next record begins a segment.
    pub(crate) fn begin_segment(&mut self) {
        self.window = i64::MIN;
    }

    fn roll_if_due(&mut self, now_ms: i64) -> Result<(), LogError> {
        let Some(current) = self.log.current() else { return Ok(()) };
        let due = self.window != window_of(now_ms) || current.bytes >= self.segment_bytes_max;
        // While a write fails, what waits belongs to the segment that it was given a place in.
        if due && self.unwritten.is_empty() { self.log.roll() } else { Ok(()) }
    }

    /// Records what was received so far and what stays, synced: what must be there before segments go. The caller
    /// knows of sealed windows.
    pub(crate) fn checkpoint(
        &mut self,
        shared: &Shared<'_>,
        going: &[u64],
        windows: Vec<(i64, u64)>,
    ) -> Result<(), LogError> {
        if self.failing {
            // What waits in the queue is too much for the room that was kept.
            self.written(shared)?;
            self.append_batch(shared)?;
            self.sync(shared)?;
        } else {
            self.write(shared, true)?;
        }
        let (marks, gaps, held) = {
            let state = shared.state.read();
            let marks: Vec<StreamMark> = state
                .streams
                .iter()
                .filter(|(_, stream)| !stream.received.is_empty())
                .map(|(_, stream)| StreamMark {
                    info: (*stream.info).clone(),
                    // What is not synced yet has a record of its own.
                    received: stream.durable.clone(),
                    newest: stream.newest,
                })
                .collect();
            (marks, state.gaps.clone(), state.held_without(going))
        };
        self.log.append(record::CHECKPOINT, &record::put_checkpoint(&marks))?;
        for gap in &gaps {
            self.log.append(record::GAP, &record::put_gap(gap))?;
        }
        self.log.append(record::HELD, &record::put_held(&held))?;
        let mut kept = Kept { windows, ..Kept::default() };
        for stat in self.log.segments().iter().filter(|stat| !going.contains(&stat.index)) {
            kept.segments.insert(stat.index);
        }
        self.log.append(record::KEPT, &record::put_kept(&kept))?;
        self.log.sync()
    }
}

/// What the writer works with.
pub(crate) struct Shared<'a> {
    pub(crate) state: &'a parking_lot::RwLock<State>,
    pub(crate) announcer: &'a Announcer,
    pub(crate) metrics: &'a Metrics,
    pub(crate) node: &'a str,
    pub(crate) now_ms: i64,
    /// Monotonic.
    pub(crate) now: Duration,
}

impl Queued {
    fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Frame(queued) => Some(queued.ticket),
            Self::Adopt { .. } | Self::Gap(_) => None,
        }
    }
}

impl State {
    /// A frame is in the log now.
    fn place(&mut self, stream: StreamNo, seq: u64, at: Location) {
        let stream = self.streams.get_mut(stream);
        stream.unwritten.remove(&seq);
        if let Some(entry) = stream.recent.get_mut(&seq) {
            entry.place = Place::Log(at);
        }
    }
}
