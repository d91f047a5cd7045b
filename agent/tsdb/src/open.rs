//! Opening: every intact record of the log is read once, and the head is rebuilt from it.

use std::collections::HashMap;
use std::sync::Arc;

use log::{Location, Log, LogOptions, Record};
use storage::{Epoch, Frame, FrameHash, Gap, IntervalSet, Layout, LayoutId, StreamId, StreamInfo, TimeRange};

use crate::bytes::Malformed;
use crate::head::Head;
use crate::metrics::Metrics;
use crate::options::{OpenError, StoreOptions};
use crate::own::Own;
use crate::record;
use crate::segments::{FrameFiles, Segment, Segments};
use crate::state::State;
use crate::streams::{Entry, Place, Streams};
use crate::window::{WINDOW_MS, window_of};

/// What the records say, before it is known which streams and layouts are complete.
struct Replay {
    node: Arc<str>,
    /// First window of the head.
    head_from: i64,
    infos: HashMap<StreamId, StreamInfo>,
    layouts: HashMap<LayoutId, Arc<Layout>>,
    frames: HashMap<StreamId, Vec<Found>>,
    received: HashMap<StreamId, (IntervalSet, i64)>,
    gaps: Vec<Gap>,
    bad_records: u64,
}

struct Found {
    seq: u64,
    at: Location,
    prev: FrameHash,
    hash: FrameHash,
    range: TimeRange,
    layouts: Vec<LayoutId>,
    /// For the head.
    frame: Option<Frame>,
}

/// Opens the log and builds the state that it tells of.
pub(crate) fn open(
    options: &StoreOptions,
    now_ms: i64,
    epoch: Epoch,
    metrics: &Metrics,
) -> Result<(Log, State, FrameFiles), OpenError> {
    let mut replay = Replay {
        node: Arc::clone(&options.node_name),
        head_from: window_of(now_ms).saturating_sub(WINDOW_MS),
        infos: HashMap::new(),
        layouts: HashMap::new(),
        frames: HashMap::new(),
        received: HashMap::new(),
        gaps: Vec::new(),
        bad_records: 0,
    };
    let log_options = LogOptions {
        dir: options.dir.join("log"),
        waiting_bytes_max: options.waiting_bytes_max,
        disk: Arc::clone(&options.disk),
    };
    let (log, recovery) = Log::open(log_options, &mut |record| replay.take(record))?;
    let files = FrameFiles::new(log.dir().to_owned());
    let (state, unusable) = replay.finish(options, now_ms, epoch, &log, metrics);
    metrics.records_corrupt.inc_by(recovery.corrupt_regions + unusable);
    metrics.bytes_corrupt.inc_by(recovery.corrupt_bytes);
    tracing::info!(
        segments = recovery.segments,
        records = recovery.records,
        corrupt_regions = recovery.corrupt_regions,
        corrupt_bytes = recovery.corrupt_bytes,
        torn_bytes = recovery.torn_bytes,
        unusable,
        "the log is read"
    );
    Ok((log, state, files))
}

impl Replay {
    fn take(&mut self, record: Record) {
        if self.try_take(record).is_err() {
            self.bad_records += 1;
        }
    }

    fn try_take(&mut self, found: Record) -> Result<(), Malformed> {
        let payload = &found.payload;
        match found.kind {
            record::STREAM => {
                let info = record::stream(payload)?;
                self.infos.entry(info.id.clone()).or_insert(info);
            }
            record::LAYOUT => {
                let layout = record::layout(payload)?;
                self.layouts.entry(layout.id()).or_insert_with(|| Arc::new(layout));
            }
            record::FRAME => self.take_frame(found)?,
            record::CHECKPOINT => {
                for mark in record::checkpoint(payload)? {
                    let known = self.received.entry(mark.info.id.clone()).or_insert_with(fresh);
                    known.0.union(&mark.received);
                    known.1 = known.1.max(mark.newest);
                    self.infos.entry(mark.info.id.clone()).or_insert(mark.info);
                }
            }
            record::ADOPT => {
                let (id, gone) = record::adopt(payload)?;
                self.received.entry(id).or_insert_with(fresh).0.union(&gone);
            }
            record::GAP => {
                let gap = record::gap(payload)?;
                if !self.gaps.contains(&gap) {
                    self.gaps.push(gap);
                }
            }
            // A later version's record: not ours to judge.
            _ => {}
        }
        Ok(())
    }

    fn take_frame(&mut self, found: Record) -> Result<(), Malformed> {
        let at = found.at;
        let frame = record::frame(found.payload)?;
        let range = frame.range();
        if window_of(range.start) != window_of(range.end) {
            return Err(Malformed("a frame that straddles two windows"));
        }
        let (prev, hash, layouts) = (frame.prev(), frame.hash(), frame.layouts().to_vec());
        let (id, seq) = (frame.key().stream.clone(), frame.key().seq);
        let frame = (range.end >= self.head_from).then_some(frame);
        let found = Found { seq, at, prev, hash, range, layouts, frame };
        self.frames.entry(id).or_default().push(found);
        Ok(())
    }

    /// The state, and how many records could not be used.
    fn finish(
        mut self,
        options: &StoreOptions,
        now_ms: i64,
        epoch: Epoch,
        log: &Log,
        metrics: &Metrics,
    ) -> (State, u64) {
        let mut streams = Streams::default();
        let mut segments: Segments =
            log.segments().iter().map(|stat| (stat.index, Segment::default())).collect();
        let mut head = Head::new(now_ms, options.waiting_bytes_max);
        for (id, (received, newest)) in std::mem::take(&mut self.received) {
            let Some(info) = self.infos.get(&id) else { continue };
            let no = streams.open(info.clone(), *id.agent == *self.node);
            let stream = streams.get_mut(no);
            stream.received.union(&received);
            stream.newest = stream.newest.max(newest);
        }
        let mut in_head = Vec::new();
        for (id, mut frames) in std::mem::take(&mut self.frames) {
            let Some(info) = self.infos.get(&id) else {
                self.bad_records += frames.len() as u64;
                continue;
            };
            let own = *id.agent == *self.node;
            let no = streams.open(info.clone(), own);
            // The first of two copies counts, wherever they are.
            frames.sort_by_key(|found| (found.seq, found.at));
            frames.dedup_by_key(|found| found.seq);
            if own {
                self.find_holes(&frames, &streams.get(no).received.clone());
            }
            for found in frames {
                if !found.layouts.iter().all(|layout| self.layouts.contains_key(layout)) {
                    self.bad_records += 1;
                    continue;
                }
                let segment = segments.entry(found.at.segment).or_default();
                segment.add(no, found.seq, found.range, &found.layouts);
                let stream = streams.get_mut(no);
                stream.received.insert(found.seq);
                stream.newest = stream.newest.max(found.range.end);
                if let Some(frame) = found.frame {
                    let place = Place::Log(found.at);
                    let entry = Entry { place, prev: found.prev, hash: found.hash, range: found.range };
                    stream.recent.insert(found.seq, entry);
                    in_head.push((no, frame));
                }
            }
        }
        for stream in streams.iter_mut() {
            stream.durable = stream.received.clone();
        }
        for (no, frame) in in_head {
            let layouts: Option<Vec<_>> =
                frame.layouts().iter().map(|id| self.layouts.get(id).cloned()).collect();
            let Some(layouts) = layouts else { continue };
            let applied = head.apply(&streams, no, &frame, &layouts);
            metrics.rows_corrupt.inc_by(applied.bad_rows);
        }
        for start in head.span() {
            head.find_newest(&streams, start);
        }
        let id = StreamId { agent: Arc::clone(&options.node_name), epoch };
        let info = StreamInfo { id, minted_ms: now_ms, external: options.external.clone() };
        let own = Own::new(streams.open(info, true));
        let state = State {
            streams,
            layouts: self.layouts,
            head,
            own,
            queue: std::collections::VecDeque::new(),
            queue_bytes: 0,
            received_position: 0,
            segments,
            open_segment: None,
            gaps: self.gaps,
            closed: false,
        };
        (state, self.bad_records)
    }

    /// Frames of the own node that should be in the log and are not: damage, and a gap to show.
    fn find_holes(&mut self, frames: &[Found], received: &IntervalSet) {
        for pair in frames.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let known = before.seq + 1 == after.seq || received.contains(before.seq + 1);
            if known || after.range.start <= before.range.end {
                continue;
            }
            let why = format!("{}: {} frames were damaged", self.node, after.seq - before.seq - 1);
            let gap = Gap { start: before.range.end + 1, end: after.range.start - 1, why };
            if !self.gaps.contains(&gap) {
                self.gaps.push(gap);
            }
        }
    }
}

fn fresh() -> (IntervalSet, i64) {
    (IntervalSet::new(), i64::MIN)
}
