//! While the log takes nothing: own rows go on in memory, epoch after epoch, and where memory is full the
//! oldest of these goes whole, so that no epoch ever has a hole. What goes is a gap that answers tell of;
//! the head still has its rows. What others send is refused instead: they keep it.

use storage::{Epoch, Gap, IntervalSet, TimeRange};

use crate::row;
use crate::state::{Queued, State, Ticket};
use crate::store::Inner;
use crate::streams::StreamNo;

/// How far the rows in memory have come while the log takes nothing.
#[derive(Debug)]
pub(crate) struct Outage {
    /// Bytes in the queue at which another epoch begins.
    next_epoch: usize,
    /// The time of all rows that were dropped.
    lost: Option<TimeRange>,
}

/// What was dropped at once.
#[derive(Debug, Default)]
pub(crate) struct Shed {
    pub(crate) frames: u64,
    pub(crate) rows: u64,
    bytes: usize,
    /// First and last position whose commits wait in vain.
    positions: Option<(u64, u64)>,
}

impl Inner {
    /// Takes own rows also when memory is full, if that is because the log takes nothing.
    pub(crate) fn make_room(&self, state: &mut State) -> Result<(), String> {
        let max = self.options.waiting_bytes_max;
        // An epoch is an eighth to a quarter of what may wait: so much goes at once.
        let part = (max / 4).max(1);
        let waiting = state.waiting();
        let Some(outage) = &mut state.outage else { return self.check_open(state) };
        if state.closed {
            return self.check_open(state);
        }
        if outage.next_epoch == 0 {
            outage.next_epoch = waiting.saturating_add(part);
        } else if waiting >= outage.next_epoch {
            outage.next_epoch = waiting.saturating_add(part);
            self.next_epoch(state);
        }
        while state.waiting() >= max && state.own_waiting() >= part / 2 {
            let Some(stream) = state.oldest_own() else { break };
            if stream == state.own.stream {
                self.next_epoch(state);
            }
            let shed = state.shed(stream, &self.options.node_name);
            if let Some(outage) = &mut state.outage {
                outage.next_epoch = outage.next_epoch.saturating_sub(shed.bytes).max(part);
            }
            if let Some((first, last)) = shed.positions {
                self.announcer.own.lost(first, last);
            }
            self.metrics.frames_shed.inc_by(shed.frames);
            self.metrics.rows_shed.inc_by(shed.rows);
            tracing::error!(
                frames = shed.frames,
                rows = shed.rows,
                "the log takes nothing and memory is full: the oldest rows will not be in the log"
            );
        }
        Ok(())
    }

    fn next_epoch(&self, state: &mut State) {
        let external = state.streams.get(state.own.stream).info.external.clone();
        let info = state.next_own(Epoch(self.random.next_u128()), external, self.clock.now_ms());
        state.renew(info);
    }
}

impl State {
    /// The log failed; until it works again rows that are too many are dropped.
    pub(crate) fn begin_outage(&mut self) {
        self.outage.get_or_insert(Outage { next_epoch: 0, lost: None });
    }

    /// The log works again: what was dropped is recorded.
    pub(crate) fn end_outage(&mut self, node: &str) {
        if let Some(range) = self.outage.take().and_then(|outage| outage.lost) {
            self.queue.push_back(Queued::Gap(gap(node, range)));
        }
    }

    /// Bytes that wait for the log.
    pub(crate) fn waiting(&self) -> usize {
        self.queue_bytes + self.own.open_bytes()
    }

    /// The own ones of these that can be dropped.
    fn own_waiting(&self) -> usize {
        let own = self.queue.iter().filter_map(Queued::own_frame);
        own.map(|(_, _, frame)| frame.body().len()).sum::<usize>() + self.own.open_bytes()
    }

    /// The own stream whose frames have waited longest.
    fn oldest_own(&mut self) -> Option<StreamNo> {
        if !self.queue.iter().any(|queued| queued.own_frame().is_some()) {
            self.seal();
        }
        self.queue.iter().find_map(Queued::own_frame).map(|(stream, ..)| stream)
    }

    /// Drops what waits of an own stream.
    fn shed(&mut self, stream: StreamNo, node: &str) -> Shed {
        let mut shed = Shed::default();
        let mut seqs = IntervalSet::new();
        let mut range: Option<TimeRange> = None;
        self.queue.retain(|queued| {
            let Some((no, position, frame)) = queued.own_frame() else { return true };
            if no != stream {
                return true;
            }
            let (times, seq) = (frame.range(), frame.key().seq);
            seqs.insert(seq);
            range = Some(join(range, times));
            shed.frames += 1;
            if !frame.layouts().is_empty() {
                shed.rows += row::rows(frame.body()).count() as u64;
            }
            shed.bytes += frame.body().len();
            shed.positions = Some((shed.positions.map_or(position, |(first, _)| first), position));
            false
        });
        self.queue_bytes = self.queue_bytes.saturating_sub(shed.bytes);
        let known = self.streams.get_mut(stream);
        // Whoever was sent them may give them back.
        known.received = known.received.difference(&seqs);
        for seq in seqs.ranges().flatten() {
            known.recent.remove(&seq);
            known.unwritten.remove(&seq);
        }
        if let (Some(range), Some(outage)) = (range, &mut self.outage) {
            let before = outage.lost;
            let all = join(before, range);
            outage.lost = Some(all);
            self.gaps.retain(|known| before.is_none_or(|before| *known != gap(node, before)));
            self.gaps.push(gap(node, all));
        }
        shed
    }
}

impl Queued {
    /// An own frame, its stream and its position.
    fn own_frame(&self) -> Option<(StreamNo, u64, &storage::Frame)> {
        match self {
            Self::Frame(queued) => match queued.ticket {
                Ticket::Own(position) => Some((queued.stream, position, &queued.frame)),
                Ticket::Received(_) => None,
            },
            Self::Adopt { .. } | Self::Gap(_) => None,
        }
    }
}

fn join(all: Option<TimeRange>, range: TimeRange) -> TimeRange {
    let all = all.unwrap_or(range);
    TimeRange { start: all.start.min(range.start), end: all.end.max(range.end) }
}

fn gap(node: &str, range: TimeRange) -> Gap {
    let why = format!("{node}: the disk took nothing, and memory was full");
    Gap { start: range.start, end: range.end, why }
}
