//! Opening: every intact record of the log is read once, and the head is rebuilt from it. Sealed windows are
//! opened first: they tell which frames were taken whose records may be gone.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use log::{Location, Log, LogOptions, Record};
use storage::{Epoch, Frame, Gap, IntervalSet, Layout, StreamId, StreamInfo, TimeRange};

use crate::bytes::Malformed;
use crate::exemplars::Exemplars;
use crate::head::Head;
use crate::layouts::Layouts;
use crate::lost;
use crate::metrics::Metrics;
use crate::notes::Said;
use crate::options::{OpenError, StoreOptions};
use crate::own::Own;
use crate::record::{self, Held, Kept};
use crate::replayed::{Prepared, RecordReader};
use crate::rows::Applied;
use crate::sealed::{Loss, Vault};
use crate::segments::{FrameFiles, Segments};
use crate::state::{Queued, State};
use crate::steps::SetBack;
use crate::streams::{Entry, Place, StreamNo, Streams};
use crate::window::{WINDOW_MS, window_of};

/// What the records have said so far.
struct Replay {
    node: Arc<str>,
    /// First window of the head.
    head_from: i64,
    streams: Streams,
    layouts: Layouts,
    segments: Segments,
    /// What the frames so far made of it.
    head: Head,
    /// For each stream the frame of the head's windows that is put there as it comes: those after it are, too.
    next: HashMap<StreamNo, u64>,
    /// Those of the head's windows that came out of order.
    later: Vec<(StreamNo, Frame)>,
    applied: Applied,
    /// Frames whose stream or layouts have not been seen yet: the records before them are damaged.
    deferred: Vec<(Location, Frame)>,
    adopted: Vec<(StreamId, IntervalSet)>,
    /// The last frame of each own stream, to find holes, and its segment.
    last: HashMap<StreamNo, (u64, i64, u64)>,
    /// Holes, and the segments before and after each.
    holes: Vec<(Gap, u64, u64)>,
    /// The first frame of each own stream that is there, and when it begins.
    first: HashMap<StreamNo, (u64, i64)>,
    gaps: Vec<Gap>,
    said: Said,
    bad_records: u64,
    /// What the segments held that stayed when some were dropped last.
    held: Option<Held>,
    /// When segments were dropped last: the segment that tells of it, and what was to stay.
    kept: Option<(u64, Kept)>,
}

/// Of a store that is only read.
const NOBODY: Epoch = Epoch(0);

/// What an opened store consists of.
pub(crate) struct Opened {
    pub(crate) log: Log,
    pub(crate) state: State,
    pub(crate) exemplars: Exemplars,
    pub(crate) files: FrameFiles,
    pub(crate) vault: Vault,
}

/// Opens the log and builds the state that it tells of.
pub(crate) fn open(
    options: &StoreOptions,
    now_ms: i64,
    epoch: Epoch,
    metrics: &Metrics,
) -> Result<Opened, OpenError> {
    let (vault, loss) = Vault::open(options.dir.join("sealed"), options.sealed_memory, metrics);
    let mut replay = Replay::new(options, now_ms);
    replay.take_sealed(&vault);
    replay.head.begin_adopting();
    let log_options = LogOptions {
        dir: options.dir.join("log"),
        waiting_bytes_max: options.waiting_bytes_max,
        disk: Arc::clone(&options.disk),
    };
    let mut reader = RecordReader::default();
    let (log, recovery) =
        Log::open_prepared(log_options, &mut |record| reader.read(record), &mut |prepared| {
            replay.take(prepared)
        })?;
    replay.take_layouts(reader);
    let is_damaged = recovery.corrupt_regions > 0;
    let files = FrameFiles::new(log.dir().to_owned());
    let said = std::mem::replace(&mut replay.said, Said::new(Exemplars::new(0, 0)));
    let exemplars = said.obey(&vault);
    let (mut state, unusable) = replay.finish(options, now_ms, epoch, &log, &vault, metrics, is_damaged);
    if let Some(loss) = loss {
        state.take_loss(loss, options, now_ms);
    }
    metrics.found_corrupt(recovery.corrupt_regions + unusable);
    metrics.bytes_corrupt.inc_by(recovery.corrupt_bytes);
    metrics.bytes_torn.inc_by(recovery.torn_bytes);
    tracing::info!(
        segments = recovery.segments,
        records = recovery.records,
        corrupt_regions = recovery.corrupt_regions,
        corrupt_bytes = recovery.corrupt_bytes,
        torn_bytes = recovery.torn_bytes,
        missing_segments = recovery.missing,
        unusable,
        "the log is read"
    );
    Ok(Opened { log, state, exemplars, files, vault })
}

/// Segments that should be there and are not; `kept` is what stayed when some were dropped last, and the segment
/// that tells so.
pub(crate) fn missing_segments(kept: Option<&(u64, Kept)>, there: &IntervalSet) -> IntervalSet {
    let told = kept.map(|(told_in, kept)| (*told_in, kept.segments.clone()));
    let (told_in, mut due) = told.unwrap_or((1, IntervalSet::new()));
    // Since then every number was used.
    if let Some(last) = there.last().filter(|last| *last >= told_in) {
        due.insert_range(told_in..=last);
    }
    due.difference(there)
}

/// Starts of sealed windows that should be there and are not, or are as they were earlier; `told` is each window's
/// start and the number of its newest generation.
pub(crate) fn missing_windows(told: &[(i64, u64)], vault: &Vault) -> Vec<i64> {
    let is_missing = |&&(start, newest): &&(i64, u64)| {
        // One of which everything was deleted has no generation.
        let known = vault.window(start).map(|window| window.newest());
        start >= vault.floor() && !known.is_some_and(|known| known == 0 || known >= newest)
    };
    told.iter().filter(is_missing).map(|(start, _)| *start).collect()
}

/// The same to read only, changing nothing: no window is in the head, all of them are read from the log and the
/// blocks. The streams of the node of `options` are the own ones; where it has no name and all are of one node,
/// those are.
pub(crate) fn open_to_read(options: &StoreOptions, metrics: &Metrics) -> Result<Opened, OpenError> {
    // So late that the head is empty.
    let now_ms = i64::MAX / 2;
    let (vault, loss) = Vault::open_to_read(options.dir.join("sealed"), options.sealed_memory, metrics);
    let mut replay = Replay::new(options, now_ms);
    replay.take_sealed(&vault);
    let dir = options.dir.join("log");
    let mut reader = RecordReader::default();
    let (log, _) =
        Log::open_to_read(&dir, &mut |record| reader.read(record), &mut |prepared| replay.take(prepared))?;
    replay.take_layouts(reader);
    let (mut state, _) = replay.finish(options, now_ms, NOBODY, &log, &vault, metrics, false);
    let all: BTreeSet<Arc<str>> =
        state.streams.iter().map(|(_, stream)| Arc::clone(&stream.info.id.agent)).collect();
    let mut named = all.into_iter().filter(|name| !name.is_empty());
    let only = named.next().filter(|_| named.next().is_none());
    let own = if options.node_name.is_empty() { only } else { Some(Arc::clone(&options.node_name)) };
    for stream in state.streams.iter_mut() {
        stream.own = own.as_ref() == Some(&stream.info.id.agent);
    }
    if let Some(loss) = loss {
        state.gaps.push(Gap { start: i64::MIN, end: i64::MAX, why: loss.why });
    }
    Ok(Opened { log, state, exemplars: Exemplars::new(0, 0), files: FrameFiles::new(dir), vault })
}

impl State {
    /// Answers over what may have been sealed say from now on that it is missing; for good where it is.
    fn take_loss(&mut self, loss: Loss, options: &StoreOptions, now_ms: i64) {
        let retention = i64::try_from(options.retention_time.as_millis()).unwrap_or(i64::MAX);
        let start = if retention == 0 { i64::MIN } else { now_ms.saturating_sub(retention) };
        let gap = Gap { start, end: now_ms, why: loss.why };
        self.gaps.push(gap.clone());
        if loss.for_good {
            self.queue.push_back(Queued::Gap(gap));
        }
    }
}

impl Replay {
    fn new(options: &StoreOptions, now_ms: i64) -> Self {
        Self {
            node: Arc::clone(&options.node_name),
            head_from: window_of(now_ms).saturating_sub(WINDOW_MS),
            streams: Streams::default(),
            layouts: Layouts::default(),
            segments: Segments::new(),
            head: Head::new(&options.dir, now_ms, options.waiting_bytes_max),
            next: HashMap::new(),
            later: Vec::new(),
            applied: Applied::default(),
            deferred: Vec::new(),
            adopted: Vec::new(),
            last: HashMap::new(),
            holes: Vec::new(),
            first: HashMap::new(),
            gaps: Vec::new(),
            said: Said::new(Exemplars::new(options.exemplars_max, options.exemplar_bytes_max)),
            bad_records: 0,
            held: None,
            kept: None,
        }
    }

    /// Streams and frames of sealed windows: the log may have nothing of them any more.
    fn take_sealed(&mut self, vault: &Vault) {
        let streams = vault.get().map(|store| store.streams());
        match streams {
            Some(Ok(streams)) => streams.into_iter().for_each(|info| {
                self.open_stream(info);
            }),
            Some(Err(error)) => tracing::error!(%error, "the streams of sealed data cannot be read"),
            None => {}
        }
        for window in vault.windows() {
            self.head.seal(window.start);
            for (id, frames) in &window.frames {
                if let Some(no) = self.streams.find(id) {
                    self.streams.get_mut(no).received.union(frames);
                }
            }
        }
    }

    fn take(&mut self, prepared: Prepared) {
        match prepared {
            Prepared::Layout(layout, shape) => self.layouts.put(layout, shape),
            Prepared::Frame(at, frame) => {
                if !self.place(at, &frame) {
                    self.deferred.push((at, frame));
                }
            }
            Prepared::Other(record) => {
                if self.try_take(record).is_err() {
                    self.bad_records += 1;
                }
            }
            Prepared::Nothing => {}
            Prepared::Bad => self.bad_records += 1,
        }
    }

    /// All layouts; those that came too early, too.
    fn take_layouts(&mut self, reader: RecordReader) {
        let (layouts, bad) = reader.finish();
        self.layouts = layouts;
        self.bad_records += bad;
    }

    fn try_take(&mut self, found: Record) -> Result<(), Malformed> {
        let payload = &found.payload;
        match found.kind {
            record::STREAM => {
                self.open_stream(record::stream(payload)?);
            }
            record::CHECKPOINT => {
                for mark in record::checkpoint(payload)? {
                    let no = self.open_stream(mark.info);
                    let stream = self.streams.get_mut(no);
                    stream.received.union(&mark.received);
                    stream.newest = stream.newest.max(mark.newest);
                }
            }
            record::ADOPT => self.adopted.push(record::adopt(payload)?),
            record::GAP => {
                let gap = record::gap(payload)?;
                // One that grew is recorded again each time.
                let holds = |one: &Gap, other: &Gap| {
                    one.why == other.why && one.start <= other.start && other.end <= one.end
                };
                if !self.gaps.iter().any(|known| holds(known, &gap)) {
                    self.gaps.retain(|known| !holds(&gap, known));
                    self.gaps.push(gap);
                }
            }
            record::EXEMPLARS => {
                for (series, exemplars) in record::exemplars(payload)? {
                    self.said.exemplars.add(&series, &exemplars);
                }
            }
            record::HELD => self.held = Some(record::held(payload)?),
            record::KEPT => self.kept = Some((found.at.segment, record::kept(payload)?)),
            // A later version's record: not ours to judge.
            _ => {}
        }
        Ok(())
    }

    fn open_stream(&mut self, info: StreamInfo) -> StreamNo {
        let own = info.id.agent == self.node;
        self.streams.open(info, own)
    }

    /// Takes a frame in, if its stream and layouts are known.
    fn place(&mut self, at: Location, frame: &Frame) -> bool {
        let (seq, range) = (frame.key().seq, frame.range());
        let Some(no) = self.streams.find(&frame.key().stream) else { return false };
        let Some(layouts) = self.layouts_of(frame) else { return false };
        self.segments.entry(at.segment).or_default().add(no, seq, range, frame.layouts());
        self.find_hole(no, seq, range, at.segment);
        let stream = self.streams.get_mut(no);
        self.said.take(frame, &stream.info, stream.own);
        let follows = seq == 1 || stream.received.contains(seq - 1);
        stream.received.insert(seq);
        stream.newest = stream.newest.max(range.end);
        if range.end >= self.head_from
            && let MapEntry::Vacant(entry) = stream.recent.entry(seq)
        {
            entry.insert(Entry { place: Place::Log(at), prev: frame.prev(), hash: frame.hash(), range });
            let next = self.next.entry(no).or_insert(if follows { seq } else { 0 });
            if *next == seq {
                *next += 1;
                self.fill(no, frame, &layouts);
            } else {
                self.later.push((no, frame.clone()));
            }
        }
        true
    }

    fn layouts_of(&self, frame: &Frame) -> Option<Vec<Arc<Layout>>> {
        frame.layouts().iter().map(|id| self.layouts.get(*id).cloned()).collect()
    }

    /// Puts a frame into the head.
    fn fill(&mut self, no: StreamNo, frame: &Frame, layouts: &[Arc<Layout>]) {
        let applied = self.head.apply(&self.streams, &self.layouts, no, frame, layouts);
        self.applied.bad_rows += applied.bad_rows;
        self.applied.adopted += applied.adopted;
    }

    /// Puts those into the head that came out of order.
    fn fill_later(&mut self, metrics: &Metrics) {
        let mut later = std::mem::take(&mut self.later);
        later.sort_by_key(|(no, frame)| (*no, frame.key().seq));
        for (no, frame) in &later {
            if let Some(layouts) = self.layouts_of(frame) {
                self.fill(*no, frame, &layouts);
            }
        }
        metrics.rows_corrupt.inc_by(self.applied.bad_rows);
        metrics.rows_adopted.inc_by(self.applied.adopted as u64);
    }

    /// The state, and how many records could not be used. `is_damaged`: the log is known to have lost some.
    #[allow(clippy::too_many_arguments, reason = "the last step of opening: it has all that the others made")]
    fn finish(
        mut self,
        options: &StoreOptions,
        now_ms: i64,
        epoch: Epoch,
        log: &Log,
        vault: &Vault,
        metrics: &Metrics,
        is_damaged: bool,
    ) -> (State, u64) {
        for (at, frame) in std::mem::take(&mut self.deferred) {
            if !self.place(at, &frame) {
                self.bad_records += 1;
            }
        }
        self.forget_lost(log, vault, metrics, is_damaged);
        self.find_missing_start();
        self.find_missing_windows(vault, metrics);
        for stat in log.segments() {
            self.segments.entry(stat.index).or_default();
        }
        for stream in self.streams.iter_mut() {
            stream.durable = stream.received.clone();
        }
        self.fill_later(metrics);
        // Who only reads leaves the files of others alone.
        if epoch != NOBODY {
            self.head.end_adopting();
        }
        let mut head = self.head;
        let (ahead, epoch) = self.streams.before(epoch, now_ms);
        let id = StreamId { agent: Arc::clone(&options.node_name), epoch };
        let minted_ms = self.streams.next_minted(now_ms);
        let newest =
            self.streams.iter().filter(|(_, stream)| stream.own).map(|(_, stream)| stream.newest).max();
        let info = StreamInfo { id, minted_ms, external: options.external.clone() };
        let mut own = Own::new(self.streams.open(info, true));
        own.newest = newest.unwrap_or(i64::MIN).min(now_ms);
        if let Some(from) = ahead {
            head.set_back(own.stream, SetBack { from, to: now_ms });
        }
        let state = State {
            streams: self.streams,
            layouts: self.layouts,
            head,
            own,
            queue: VecDeque::new(),
            queue_bytes: 0,
            received_position: 0,
            segments: self.segments,
            open_segment: None,
            gaps: self.gaps,
            outage: None,
            closed: false,
        };
        (state, self.bad_records)
    }

    /// Takes in what nobody has any more, and out of what was received what the log has lost.
    fn forget_lost(&mut self, log: &Log, vault: &Vault, metrics: &Metrics, is_damaged: bool) {
        let adopted = std::mem::take(&mut self.adopted);
        for (id, gone) in &adopted {
            if let Some(no) = self.streams.find(id) {
                self.streams.get_mut(no).received.union(gone);
            }
        }
        let missing = self.missing_segments(log);
        metrics.segments_missing.inc_by(missing);
        metrics.log_corruptions.inc_by(missing);
        let is_damaged = self.bad_records + missing > 0 || is_damaged;
        let frames = lost::Frames { segments: &self.segments, sealed: &vault.windows(), adopted: &adopted };
        let lost = frames.forget_lost(&mut self.streams, self.held.as_ref(), is_damaged);
        metrics.frames_lost.inc_by(lost);
    }

    /// Frames of the own node that should be in the log and are not: damage, and a gap to show.
    fn find_hole(&mut self, no: StreamNo, seq: u64, range: TimeRange, segment: u64) {
        if !self.streams.get(no).own {
            return;
        }
        let first = self.first.entry(no).or_insert((seq, range.start));
        *first = (*first).min((seq, range.start));
        let Some((last, end, before)) = self.last.insert(no, (seq, range.end, segment)) else { return };
        let known = seq <= last + 1 || self.streams.get(no).received.contains(last + 1);
        if known || range.start <= end.saturating_add(1) {
            return;
        }
        let why = format!("{}: {} frames were damaged", self.node, seq - last - 1);
        self.holes.push((Gap { start: end + 1, end: range.start - 1, why }, before, segment));
    }

    /// How many segments should be there and are not. Holes count unless they are where segments were dropped.
    fn missing_segments(&mut self, log: &Log) -> u64 {
        let mut there = IntervalSet::new();
        log.segments().iter().for_each(|stat| {
            there.insert(stat.index);
        });
        let missing = missing_segments(self.kept.as_ref(), &there);
        for (gap, before, after) in std::mem::take(&mut self.holes) {
            let mut between = IntervalSet::new();
            if before + 1 < after {
                between.insert_range(before + 1..=after - 1);
            }
            let dropped = between.difference(&there).difference(&missing);
            if dropped.is_empty() && !self.gaps.contains(&gap) {
                self.gaps.push(gap);
            }
        }
        missing.count()
    }

    /// Sealed windows that should be there and are not, or are as they were earlier: what they held left the log.
    fn find_missing_windows(&mut self, vault: &Vault, metrics: &Metrics) {
        let told = self.kept.take().map(|(_, kept)| kept.windows).unwrap_or_default();
        for start in missing_windows(&told, vault) {
            metrics.sealed_damage.inc();
            let why = format!("{}: sealed data of two hours was damaged", self.node);
            let gap = Gap { start, end: start.saturating_add(WINDOW_MS - 1), why };
            tracing::error!(window = start, "sealed data is older than the log says: some of it is gone");
            if !self.gaps.contains(&gap) {
                self.gaps.push(gap);
            }
        }
    }

    /// An own stream begins in its middle although no checkpoint says that what was before is past retention.
    fn find_missing_start(&mut self) {
        for (&no, &(seq, start)) in &self.first {
            let stream = self.streams.get(no);
            if seq == 1 || stream.received.contains(seq - 1) {
                continue;
            }
            self.bad_records += 1;
            let why = format!("{}: {} frames were damaged", self.node, seq - 1);
            let gap = Gap { start: stream.info.minted_ms.min(start), end: start - 1, why };
            if gap.start <= gap.end && !self.gaps.contains(&gap) {
                self.gaps.push(gap);
            }
        }
    }
}
