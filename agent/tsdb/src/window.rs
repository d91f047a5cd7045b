//! The samples of one 2 h window: points per series, and rows that wait for the row they build on.

use std::collections::btree_map::Entry as BTreeEntry;
use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::STALE_NAN_BITS;
use storage::{Cell, Frame, Layout, LayoutId, Rank, TimeRange, wins};

use crate::bytes::Malformed;
use crate::row::{self, RawRow, RowState};
use crate::streams::{StreamNo, Streams};

/// Length of a window: no frame straddles two.
pub(crate) const WINDOW_MS: i64 = 2 * 60 * 60 * 1000;

/// A series' number in a [`crate::series::SeriesTable`].
pub(crate) type SeriesNo = u32;

/// Stands for a slot whose series nobody asked for.
pub(crate) const NO_SERIES: SeriesNo = SeriesNo::MAX;

/// The start of the window that holds `timestamp`.
pub(crate) fn window_of(timestamp: i64) -> i64 {
    timestamp.div_euclid(WINDOW_MS).saturating_mul(WINDOW_MS)
}

/// The row that a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) stream: StreamNo,
    pub(crate) seq: u64,
    pub(crate) row: u32,
}

/// A sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) timestamp: i64,
    pub(crate) bits: u64,
    /// Position in the window's origins.
    origin: u32,
}

/// The values that several rows gave for one sample: the least of each stream.
type Contest = Vec<(u32, u64)>;

/// One window's samples.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) series: HashMap<SeriesNo, Vec<Point>>,
    pub(crate) samples: usize,
    /// Samples that more than one row gave.
    pub(crate) conflicts: u64,
    origins: Vec<Origin>,
    contests: HashMap<(SeriesNo, i64), Contest>,
    decoders: HashMap<StreamNo, Decoder>,
    /// Samples outside are left out.
    only: Option<TimeRange>,
    /// Rows were dropped for want of memory: what the log has is the truth.
    pub(crate) incomplete: bool,
}

/// One stream's rows in one window, in whatever order they come.
type Decoder = HashMap<LayoutId, Group>;

/// The rows of one layout.
#[derive(Debug, Default)]
struct Group {
    /// Rows that no other row builds on yet.
    tails: BTreeMap<u64, RowState>,
    /// Rows without their base, by its number.
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    time: i64,
    cells: Vec<u8>,
    range: TimeRange,
    origin: Origin,
}

/// What applying a frame came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Samples in, those that lost a conflict among them.
    pub(crate) samples: usize,
    /// Rows that contradict their frame.
    pub(crate) bad_rows: u64,
}

/// Gives the series of a stream's layout, one a slot.
pub(crate) type Resolve<'a> = &'a mut dyn FnMut(&Arc<Layout>) -> Arc<[SeriesNo]>;

impl Group {
    /// Keeps a row until its base comes; `false` where there is no room for it.
    fn park(
        &mut self,
        base: u64,
        raw: &RawRow<'_>,
        range: TimeRange,
        origin: Origin,
        left: &mut usize,
    ) -> bool {
        let Some(rest) = left.checked_sub(raw.cells.len()) else { return false };
        if let BTreeEntry::Vacant(entry) = self.waiting.entry(base) {
            *left = rest;
            let (number, time, cells) = (raw.number, raw.time, raw.cells.to_vec());
            entry.insert(Waiting { number, time, cells, range, origin });
        }
        true
    }
}

impl Window {
    /// A window that takes only the samples of a range.
    pub(crate) fn within(range: TimeRange) -> Self {
        Self { only: Some(range), ..Self::default() }
    }

    /// Applies a frame's rows, and those that waited for them. `waiting_left` is how many bytes more
    /// may wait; it is counted down.
    pub(crate) fn apply_frame(
        &mut self,
        streams: &Streams,
        stream: StreamNo,
        frame: &Frame,
        layouts: &[Arc<Layout>],
        waiting_left: &mut usize,
        resolve: Resolve<'_>,
    ) -> Applied {
        let mut applied = Applied::default();
        // Taken out, so that rows can be put into the window while it is used.
        let mut decoder = self.decoders.remove(&stream).unwrap_or_default();
        for (position, raw) in (0..).zip(row::rows(frame.body())) {
            let known = raw.ok().and_then(|raw| Some((raw, layouts.get(raw.layout)?)));
            let Some((raw, layout)) = known else {
                applied.bad_rows += 1;
                continue;
            };
            let series = resolve(layout);
            let group = decoder.entry(layout.id()).or_default();
            let origin = Origin { stream, seq: frame.key().seq, row: position };
            let base = match raw.base.map(|number| (number, group.tails.remove(&number))) {
                None => None,
                Some((_, Some(base))) => Some(base),
                Some((number, None)) => {
                    self.incomplete |= !group.park(number, &raw, frame.range(), origin, waiting_left);
                    continue;
                }
            };
            let mut row = row::decode(base, raw.number, raw.time, raw.cells, series.len());
            let (mut range, mut origin) = (frame.range(), origin);
            // The row, then the one that waited for it, and so on.
            while let Some(state) = self.put_row(streams, row, range, origin, &series, &mut applied) {
                let Some(next) = group.waiting.remove(&state.number) else {
                    group.tails.insert(state.number, state);
                    break;
                };
                *waiting_left = waiting_left.saturating_add(next.cells.len());
                row = row::decode(Some(state), next.number, next.time, &next.cells, series.len());
                (range, origin) = (next.range, next.origin);
            }
        }
        self.decoders.insert(stream, decoder);
        applied
    }

    /// Bytes of rows that wait for the row they build on.
    pub(crate) fn waiting_bytes(&self) -> usize {
        let groups = self.decoders.values().flat_map(HashMap::values);
        groups.flat_map(|group| group.waiting.values()).map(|row| row.cells.len()).sum()
    }

    /// The newest point of each series that came from a stream that passes.
    pub(crate) fn newest(&self, pass: impl Fn(StreamNo) -> bool) -> impl Iterator<Item = (SeriesNo, Point)> {
        self.series.iter().filter_map(move |(&series, points)| {
            let own = |point: &&Point| pass(self.origins[point.origin as usize].stream);
            points.iter().rev().find(own).map(|&point| (series, point))
        })
    }

    /// Puts a decoded row's values in; gives the row back unless it is bad.
    fn put_row(
        &mut self,
        streams: &Streams,
        row: Result<RowState, Malformed>,
        range: TimeRange,
        origin: Origin,
        series: &[SeriesNo],
        applied: &mut Applied,
    ) -> Option<RowState> {
        let Some(row) = row.ok().filter(|row| range.contains(row.timestamp)) else {
            applied.bad_rows += 1;
            return None;
        };
        let origin = self.origin(origin);
        for (slot, &series) in row.slots.iter().zip(series) {
            if let Some(bits) = cell_bits(slot.cell()).filter(|_| series != NO_SERIES) {
                self.put(streams, series, row.timestamp, bits, origin);
                applied.samples += 1;
            }
        }
        Some(row)
    }

    /// Makes a row known, for [`Window::put`].
    pub(crate) fn origin(&mut self, origin: Origin) -> u32 {
        if self.origins.last() != Some(&origin) {
            self.origins.push(origin);
        }
        (self.origins.len() - 1) as u32
    }

    /// Puts a value in; of two for one series and time, [`wins`] decides, whatever came first.
    pub(crate) fn put(
        &mut self,
        streams: &Streams,
        series: SeriesNo,
        timestamp: i64,
        bits: u64,
        origin: u32,
    ) {
        if self.only.is_some_and(|range| !range.contains(timestamp)) {
            return;
        }
        let points = self.series.entry(series).or_default();
        let point = Point { timestamp, bits, origin };
        let at = match points.last() {
            Some(last) if last.timestamp >= timestamp => {
                points.partition_point(|point| point.timestamp < timestamp)
            }
            _ => points.len(),
        };
        match points.get_mut(at).filter(|old| old.timestamp == timestamp) {
            None => {
                points.insert(at, point);
                self.samples += 1;
            }
            Some(old) => {
                let contest = match self.contests.entry((series, timestamp)) {
                    MapEntry::Occupied(entry) => entry.into_mut(),
                    MapEntry::Vacant(entry) => entry.insert(vec![(old.origin, old.bits)]),
                };
                if old.bits != bits {
                    self.conflicts += 1;
                }
                (old.origin, old.bits) = decide(contest, (origin, bits), &self.origins, streams);
            }
        }
    }
}

/// Adds a value to a contest and gives the winner: the first of each stream, then the best of those.
/// Pairwise it would depend on the order of arrival, as a stream's later value may beat what its
/// first one loses to.
fn decide(contest: &mut Contest, new: (u32, u64), origins: &[Origin], streams: &Streams) -> (u32, u64) {
    let rank = |&(origin, bits): &(u32, u64)| {
        let origin = origins[origin as usize];
        let stream = &streams.get(origin.stream).info.id;
        Rank { stream, sequence: (origin.seq, origin.row), stale: bits == STALE_NAN_BITS }
    };
    let stream_of = |value: &(u32, u64)| origins[value.0 as usize].stream;
    match contest.iter_mut().find(|old| stream_of(old) == stream_of(&new)) {
        Some(old) if wins(&rank(&new), &rank(old)) => *old = new,
        Some(_) => {}
        None => contest.push(new),
    }
    let mut best = contest[0];
    for value in &contest[1..] {
        if wins(&rank(value), &rank(&best)) {
            best = *value;
        }
    }
    best
}

/// The bits of a sample, where the cell has one.
pub(crate) fn cell_bits(cell: Cell) -> Option<u64> {
    match cell {
        Cell::Absent => None,
        Cell::Stale => Some(STALE_NAN_BITS),
        Cell::Value(number) => Some(number.to_bits()),
    }
}

/// Decodes one stream's frames of one window in order of sequence, whole rows at a time.
#[derive(Debug, Default)]
pub(crate) struct WindowRows {
    tails: HashMap<LayoutId, RowState>,
}

impl WindowRows {
    /// The rows of the next frame; those whose base is missing are left out.
    pub(crate) fn decode(&mut self, frame: &Frame, layouts: &[Arc<Layout>]) -> Vec<(Arc<Layout>, RowState)> {
        let mut out = Vec::new();
        for raw in row::rows(frame.body()).map_while(Result::ok) {
            let Some(layout) = layouts.get(raw.layout) else { continue };
            let tail = self.tails.remove(&layout.id());
            let base = match raw.base {
                None => None,
                Some(number) => match tail.filter(|tail| tail.number == number) {
                    Some(tail) => Some(tail),
                    None => continue,
                },
            };
            let slots = layout.slots().len();
            if let Ok(row) = row::decode(base, raw.number, raw.time, raw.cells, slots) {
                self.tails.insert(layout.id(), row.clone());
                out.push((Arc::clone(layout), row));
            }
        }
        out
    }
}
