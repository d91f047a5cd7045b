//! Appending: the own stream's groups, its open frame, and what becomes of each cell.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use model::Labels;
use storage::{AppendError, Cell, Frame, FrameHash, FrameKey, Layout, LayoutId, LayoutRef, Row, TimeRange};

use crate::row::RowState;
use crate::series::Newest;
use crate::state::{State, Ticket};
use crate::streams::StreamNo;
use crate::window::{Origin, SeriesNo, WINDOW_MS, cell_bits, window_of};

/// Bytes of a body after which the open frame is closed early.
const BODY_FULL: usize = 64 << 10;
/// Rows of a group after which it has a keyframe again.
const KEYFRAME_ROWS: u32 = 64;

/// The stream that this store writes now.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) stream: StreamNo,
    /// By token.
    groups: HashMap<u64, Group>,
    tokens: HashMap<LayoutId, u64>,
    next_token: u64,
    open: Option<OpenFrame>,
    /// Of the open frame, or the next.
    pub(crate) next_seq: u64,
    prev: FrameHash,
    /// The same, counted over all epochs of this process: commits wait for it.
    pub(crate) position: u64,
    /// Counts requests for keyframes.
    pub(crate) keyframes: u64,
}

#[derive(Debug)]
struct Group {
    layout: Arc<Layout>,
    series: Arc<[SeriesNo]>,
    row: RowState,
    /// Start of the last row's window.
    window: Option<i64>,
    /// Start of the window in which it was registered or had its last row.
    used: i64,
    rows_since_key: u32,
    keyframes: u64,
}

#[derive(Debug)]
struct OpenFrame {
    window: i64,
    range: TimeRange,
    layouts: Vec<Arc<Layout>>,
    positions: HashMap<LayoutId, usize>,
    body: Vec<u8>,
    rows: u32,
}

/// What became of a row's samples.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) appended: usize,
    pub(crate) out_of_order: usize,
    pub(crate) duplicates: usize,
    pub(crate) out_of_bounds: usize,
    pub(crate) first_rejected: Option<Labels>,
    /// Commits wait for this position.
    pub(crate) position: u64,
    /// The open frame was closed: write soon.
    pub(crate) sealed: bool,
}

impl Own {
    pub(crate) fn new(stream: StreamNo) -> Self {
        Self {
            stream,
            groups: HashMap::new(),
            tokens: HashMap::new(),
            next_token: 1,
            open: None,
            next_seq: 1,
            prev: FrameHash::ROOT,
            position: 1,
            keyframes: 0,
        }
    }

    /// Goes on under another stream; layouts must be registered anew.
    pub(crate) fn renew(&mut self, stream: StreamNo) {
        self.stream = stream;
        self.groups.clear();
        self.tokens.clear();
        self.next_seq = 1;
        self.prev = FrameHash::ROOT;
    }

    /// The layouts that rows may be appended to.
    pub(crate) fn layouts(&self) -> HashSet<LayoutId> {
        self.tokens.keys().copied().collect()
    }

    /// Bytes of the open frame's rows.
    pub(crate) fn open_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.body.len())
    }

    /// Forgets groups that nobody used in the windows that stay; gives the series of the others.
    pub(crate) fn retire(&mut self, now_ms: i64) -> HashSet<SeriesNo> {
        let oldest = window_of(now_ms).saturating_sub(WINDOW_MS);
        self.groups.retain(|_, group| group.used >= oldest);
        let groups = &self.groups;
        self.tokens.retain(|_, token| groups.contains_key(token));
        self.groups.values().flat_map(|group| group.series.iter().copied()).collect()
    }
}

impl State {
    /// Makes a layout known to the own stream.
    pub(crate) fn own_layout(&mut self, layout: Layout) -> LayoutRef {
        if let Some(&token) = self.own.tokens.get(&layout.id())
            && let Some(group) = self.own.groups.get(&token)
        {
            return LayoutRef::new(Arc::clone(&group.layout), token);
        }
        let id = layout.id();
        let layout = Arc::clone(self.layouts.entry(id).or_insert_with(|| Arc::new(layout)));
        let series = self.head.table.of_layout(&self.streams, self.own.stream, &layout);
        let token = self.own.next_token;
        self.own.next_token += 1;
        let row = RowState::empty(layout.slots().len());
        let group = Group {
            layout: Arc::clone(&layout),
            series,
            row,
            window: None,
            used: self.head.span()[1],
            rows_since_key: 0,
            keyframes: self.own.keyframes,
        };
        self.own.groups.insert(token, group);
        self.own.tokens.insert(id, token);
        LayoutRef::new(layout, token)
    }

    /// Appends a row of the own node, sample by sample as Prometheus would take it.
    pub(crate) fn own_append(&mut self, row: Row<'_>, newest_allowed: i64) -> Result<Verdict, AppendError> {
        let token = row.layout.token();
        let group = self.own.groups.get(&token).filter(|group| group.layout.id() == row.layout.layout().id());
        let group = group.ok_or(AppendError::Relayout)?;
        let slots = group.series.len();
        if row.cells.len() != slots {
            return Err(AppendError::Width { cells: row.cells.len(), slots });
        }
        let in_bounds = row.timestamp <= newest_allowed && row.timestamp >= self.head.span()[0];
        let mut verdict = Verdict::default();
        let mut cells = row.cells.to_vec();
        let series = Arc::clone(&group.series);
        for (cell, &series) in cells.iter_mut().zip(series.iter()) {
            let Some(bits) = cell_bits(*cell) else { continue };
            let entry = self.head.table.get(series);
            let newest = entry.and_then(|entry| entry.newest);
            let rejected = match newest {
                _ if !in_bounds => &mut verdict.out_of_bounds,
                Some(newest) if newest.timestamp > row.timestamp => &mut verdict.out_of_order,
                Some(newest) if newest.timestamp == row.timestamp && newest.bits == bits => {
                    // Said twice: it is there already.
                    *cell = Cell::Absent;
                    continue;
                }
                Some(newest) if newest.timestamp == row.timestamp => &mut verdict.duplicates,
                _ => {
                    verdict.appended += 1;
                    continue;
                }
            };
            *rejected += 1;
            *cell = Cell::Absent;
            if verdict.first_rejected.is_none() {
                verdict.first_rejected = entry.map(|entry| entry.labels.clone());
            }
        }
        if verdict.appended > 0 {
            (verdict.position, verdict.sealed) = self.put_own_row(token, row.timestamp, &cells);
        }
        Ok(verdict)
    }

    /// Puts a row into the open frame and, where its window is there, into the head. Gives the
    /// frame's position, and whether it was closed.
    pub(crate) fn put_own_row(&mut self, token: u64, timestamp: i64, cells: &[Cell]) -> (u64, bool) {
        let window = window_of(timestamp);
        let mut sealed = false;
        if self.own.open.as_ref().is_some_and(|open| open.window != window) {
            self.seal();
            sealed = true;
        }
        let own = &mut self.own;
        let Some(group) = own.groups.get_mut(&token) else { return (own.position - 1, sealed) };
        let open = own.open.get_or_insert_with(|| OpenFrame {
            window,
            range: TimeRange { start: timestamp, end: timestamp },
            layouts: Vec::new(),
            positions: HashMap::new(),
            body: Vec::new(),
            rows: 0,
        });
        let layout = *open.positions.entry(group.layout.id()).or_insert_with(|| {
            open.layouts.push(Arc::clone(&group.layout));
            open.layouts.len() - 1
        });
        let keyframe = group.window != Some(window)
            || group.rows_since_key >= KEYFRAME_ROWS
            || group.keyframes != own.keyframes;
        group.row.encode_next(keyframe, layout, timestamp, cells, &mut open.body);
        group.rows_since_key = if keyframe { 1 } else { group.rows_since_key + 1 };
        group.keyframes = own.keyframes;
        group.window = Some(window);
        group.used = group.used.max(window);
        open.range.start = open.range.start.min(timestamp);
        open.range.end = open.range.end.max(timestamp);
        let origin = Origin { stream: own.stream, seq: own.next_seq, row: open.rows };
        open.rows += 1;
        let (position, full) = (own.position, open.body.len() >= BODY_FULL);
        let series = Arc::clone(&group.series);
        self.put_into_head(&series, timestamp, cells, origin);
        if full {
            self.seal();
        }
        (position, sealed || full)
    }

    /// Closes the open frame and queues it.
    pub(crate) fn seal(&mut self) {
        let own = &mut self.own;
        let Some(open) = own.open.take() else { return };
        let stream = own.stream;
        let key = FrameKey { stream: self.streams.get(stream).info.id.clone(), seq: own.next_seq };
        let ids = open.layouts.iter().map(|layout| layout.id()).collect();
        let frame = Frame::new(key, own.prev, open.range, ids, Bytes::from(open.body));
        own.prev = frame.hash();
        own.next_seq += 1;
        let ticket = Ticket::Own(own.position);
        own.position += 1;
        self.take_frame(stream, frame, open.layouts, ticket);
    }

    fn put_into_head(&mut self, series: &[SeriesNo], timestamp: i64, cells: &[Cell], origin: Origin) {
        let start = window_of(timestamp);
        if !self.head.covers(start) {
            return;
        }
        let window = self.head.windows.entry(start).or_default();
        let origin = window.origin(origin);
        for (cell, &series) in cells.iter().zip(series) {
            let Some(bits) = cell_bits(*cell) else { continue };
            window.put(&self.streams, series, timestamp, bits, origin);
            if let Some(entry) = self.head.table.get_mut(series)
                && entry.newest.is_none_or(|newest| newest.timestamp < timestamp)
            {
                entry.newest = Some(Newest { timestamp, bits });
            }
        }
    }
}
