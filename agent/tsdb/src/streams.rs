//! The streams that a store knows: what it received of each, and where its recent frames are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use log::Location;
use model::Labels;
use storage::{Epoch, Frame, FrameHash, IntervalSet, StreamId, StreamInfo, TimeRange};

/// A stream's number in this process.
pub(crate) type StreamNo = u32;

/// Where a frame is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Not written yet.
    Memory(Arc<Frame>),
    /// In the log.
    Log(Location),
}

/// What is known of a frame without reading it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) prev: FrameHash,
    pub(crate) hash: FrameHash,
    pub(crate) range: TimeRange,
}

/// One stream.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) info: Arc<StreamInfo>,
    /// Whether this store's node wrote it: then its series show their labels as they are.
    pub(crate) own: bool,
    /// Taken, kept or not.
    pub(crate) received: IntervalSet,
    /// Taken, and safe from a power cut.
    pub(crate) durable: IntervalSet,
    /// Frames not written yet, and those of segments that the head still needs.
    pub(crate) recent: BTreeMap<u64, Entry>,
    /// Those of `recent` that are not written yet.
    pub(crate) unwritten: BTreeSet<u64>,
    /// Time of the newest row.
    pub(crate) newest: i64,
}

impl Stream {
    fn new(info: StreamInfo, own: bool) -> Self {
        Self {
            info: Arc::new(info),
            own,
            received: IntervalSet::new(),
            durable: IntervalSet::new(),
            recent: BTreeMap::new(),
            unwritten: BTreeSet::new(),
            newest: i64::MIN,
        }
    }

    /// The frames that are not written yet.
    pub(crate) fn in_memory(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.unwritten.iter().filter_map(|seq| Some((*seq, self.recent.get(seq)?)))
    }
}

/// All streams.
#[derive(Debug)]
pub(crate) struct Streams {
    /// Those that were forgotten leave their number behind.
    all: Vec<Option<Box<Stream>>>,
    numbers: HashMap<StreamId, StreamNo>,
    /// What is said of those.
    forgotten: Stream,
}

impl Default for Streams {
    fn default() -> Self {
        let id = StreamId { agent: "".into(), epoch: Epoch(0) };
        let info = StreamInfo { id, minted_ms: i64::MIN, external: Labels::empty() };
        Self { all: Vec::new(), numbers: HashMap::new(), forgotten: Stream::new(info, false) }
    }
}

impl Streams {
    /// The number of a stream, made known where it was not. What was known first stays.
    pub(crate) fn open(&mut self, info: StreamInfo, own: bool) -> StreamNo {
        if let Some(no) = self.find(&info.id) {
            return no;
        }
        let no = self.all.len() as StreamNo;
        self.numbers.insert(info.id.clone(), no);
        self.all.push(Some(Box::new(Stream::new(info, own))));
        no
    }

    /// Forgets a stream that nothing refers to.
    pub(crate) fn forget(&mut self, no: StreamNo) {
        if let Some(stream) = self.all.get_mut(no as usize).and_then(Option::take) {
            self.numbers.remove(&stream.info.id);
        }
    }

    pub(crate) fn find(&self, id: &StreamId) -> Option<StreamNo> {
        self.numbers.get(id).copied()
    }

    pub(crate) fn get(&self, no: StreamNo) -> &Stream {
        self.all[no as usize].as_deref().unwrap_or(&self.forgotten)
    }

    pub(crate) fn get_mut(&mut self, no: StreamNo) -> &mut Stream {
        self.all[no as usize].as_deref_mut().unwrap_or(&mut self.forgotten)
    }

    /// When the next own stream is minted: after all others, also where the clock was set back.
    pub(crate) fn next_minted(&self, now_ms: i64) -> i64 {
        let own = self.iter().filter(|(_, stream)| stream.own).map(|(_, stream)| stream.info.minted_ms);
        own.max().map_or(now_ms, |last| last.saturating_add(1).max(now_ms))
    }

    /// Own streams with rows after a time: the newest of those, and an epoch before theirs, made of what was drawn.
    /// Of two samples of one series and time the one of the smaller epoch is shown.
    pub(crate) fn before(&self, drawn: Epoch, after: i64) -> (Option<i64>, Epoch) {
        let all = || self.iter().map(|(_, stream)| stream);
        let own = || all().filter(|stream| stream.own && stream.newest > after);
        let lowest = own().map(|stream| stream.info.id.epoch.0).min();
        // After some sixty of them there is too little left to draw from.
        let epoch = match lowest.filter(|lowest| lowest >> 64 != 0) {
            Some(lowest) => Epoch(drawn.0 % lowest),
            None => drawn,
        };
        (own().map(|stream| stream.newest).max(), epoch)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (StreamNo, &Stream)> {
        (0..).zip(&self.all).filter_map(|(no, stream)| Some((no, stream.as_deref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.all.iter_mut().flatten().map(|stream| &mut **stream)
    }
}
