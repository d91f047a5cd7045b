//! Appending: the own stream's groups, its open frame, and what becomes of each cell.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use model::Labels;
use storage::{
    AppendError, Cell, Changes, Frame, FrameHash, FrameKey, Layout, LayoutId, LayoutRef, Row, RowMark,
    TimeRange,
};

use crate::group::GroupKey;
use crate::head::{Head, HeadGroup};
use crate::late::{Bounds, Fate};
use crate::rows::{Appended, NextRow, Rows};
use crate::run::Point;
use crate::state::{State, Ticket};
use crate::streams::StreamNo;
use crate::window::{Origin, SharedRows, WINDOW_MS, cell_bits, window_of};

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
    /// Newest time of a row, as far as the clock has come.
    pub(crate) newest: i64,
    /// Numbers of rows up to this one may be those of groups that are forgotten.
    numbers: u64,
}

#[derive(Debug)]
struct Group {
    known: HeadGroup,
    /// The last row's window and what it holds of the group.
    rows: Option<(i64, SharedRows)>,
    /// Number of the last row.
    number: u64,
    /// Start of the window in which it was registered or had its last row.
    used: i64,
    rows_since_key: u32,
    keyframes: u64,
    /// Whether the last row was put as it came, with a sample in each slot.
    whole: bool,
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
    pub(crate) too_old: usize,
    /// Of those appended: older than the newest of their series.
    pub(crate) late: usize,
    pub(crate) first_rejected: Option<Labels>,
    /// Commits wait for this position: that of what was there already, or the row's.
    pub(crate) position: u64,
    /// The open frame was closed: write soon.
    pub(crate) sealed: bool,
    /// Names the row, where the next one may say what changed since.
    pub(crate) mark: Option<RowMark>,
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
            newest: i64::MIN,
            numbers: 0,
        }
    }

    /// The window of the open frame.
    pub(crate) fn open_window(&self) -> Option<i64> {
        self.open.as_ref().map(|open| open.window)
    }

    /// Goes on under another stream; layouts must be registered anew.
    pub(crate) fn renew(&mut self, stream: StreamNo) {
        self.stream = stream;
        self.groups.clear();
        self.tokens.clear();
        self.numbers = 0;
        self.next_seq = 1;
        self.prev = FrameHash::ROOT;
    }

    /// Lets go of rows that the head does not have any more, or has anew: the next ones begin with a keyframe.
    pub(crate) fn let_go(&mut self, head: &Head) {
        for group in self.groups.values_mut() {
            let key = group.known.group.key();
            let in_head = |(start, rows): &(i64, SharedRows)| {
                let window = head.windows.get(start);
                window
                    .and_then(|window| window.groups.get(&key))
                    .is_some_and(|known| Arc::ptr_eq(known, rows))
            };
            group.rows = group.rows.take().filter(in_head);
        }
    }

    /// Of a window that was sealed the next rows begin with a keyframe.
    pub(crate) fn sealed(&mut self, start: i64) {
        for group in self.groups.values_mut() {
            group.rows = group.rows.take().filter(|(window, _)| *window != start);
        }
    }

    /// Whether no row was appended to the stream.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_none() && self.next_seq == 1
    }

    /// The layouts that rows may be appended to.
    pub(crate) fn layouts(&self) -> HashSet<LayoutId> {
        self.tokens.keys().copied().collect()
    }

    /// Bytes of the open frame's rows.
    pub(crate) fn open_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.body.len())
    }

    /// The position of the newest row.
    fn last_position(&self) -> u64 {
        if self.open.is_some() { self.position } else { self.position - 1 }
    }

    /// Forgets groups that nobody used in the windows that stay; gives the others.
    pub(crate) fn retire(&mut self, now_ms: i64) -> HashSet<GroupKey> {
        let oldest = window_of(now_ms).saturating_sub(WINDOW_MS);
        let numbers = &mut self.numbers;
        self.groups.retain(|_, group| {
            let kept = group.used >= oldest;
            if !kept {
                *numbers = group.number.max(*numbers);
            }
            kept
        });
        let groups = &self.groups;
        self.tokens.retain(|_, token| groups.contains_key(token));
        self.groups.values().map(|group| group.known.group.key()).collect()
    }
}

impl State {
    /// Makes a layout known to the own stream.
    pub(crate) fn own_layout(&mut self, layout: Layout) -> Option<LayoutRef> {
        if let Some(&token) = self.own.tokens.get(&layout.id())
            && let Some(group) = self.own.groups.get(&token)
        {
            return Some(LayoutRef::new(Arc::clone(&group.known.group.layout), token));
        }
        let layout = self.layouts.add(layout);
        let known = self.head.group(&self.streams, &self.layouts, self.own.stream, &layout)?;
        let token = self.own.next_token;
        self.own.next_token += 1;
        let group = Group {
            known,
            rows: None,
            number: self.own.numbers,
            used: self.head.span()[1],
            rows_since_key: 0,
            keyframes: self.own.keyframes,
            whole: false,
        };
        self.own.groups.insert(token, group);
        self.own.tokens.insert(layout.id(), token);
        Some(LayoutRef::new(layout, token))
    }

    /// Appends a row of the own node, sample by sample as Prometheus would take it.
    pub(crate) fn own_append(
        &mut self,
        row: Row<'_>,
        changes: Option<Changes<'_>>,
        bounds: Bounds,
    ) -> Result<Verdict, AppendError> {
        let token = row.layout.token();
        let id = row.layout.layout().id();
        let group = self.own.groups.get(&token).filter(|group| group.known.group.layout.id() == id);
        let group = group.ok_or(AppendError::Relayout)?;
        // All samples are there again: nobody need look at the others.
        let is_newest =
            |changes: &Changes<'_>| group.whole && changes.since == RowMark::new(token, group.number);
        let are_there = |changes: &Changes<'_>| {
            changes.iter().all(|slot| row.cells.get(slot).is_some_and(|cell| *cell != Cell::Absent))
        };
        let changes = changes.filter(is_newest).filter(are_there);
        let known = group.known.clone();
        let slots = known.group.slots();
        if row.cells.len() != slots {
            return Err(AppendError::Width { cells: row.cells.len(), slots });
        }
        let in_bounds = row.timestamp <= bounds.newest && row.timestamp >= self.head.takes_from();
        let in_order = known.order.as_ref().is_some_and(|order| order.is_news(row.timestamp));
        if !(in_bounds && in_order) {
            return Ok(self.own_append_checked(token, &known, row, bounds));
        }
        let layout = known.group.layout.as_ref();
        let present = if changes.is_some() { slots } else { samples(layout, row.cells) };
        let mut verdict = Verdict { appended: present, ..Verdict::default() };
        if present > 0 {
            let whole = present == slots && !layout.has_histograms();
            let put = self.put_own_row(token, row.timestamp, row.cells, changes, present);
            (verdict.position, verdict.sealed) = put;
            if let Some(group) = self.own.groups.get_mut(&token) {
                group.whole = whole;
                verdict.mark = whole.then(|| RowMark::new(token, group.number));
            }
        }
        Ok(verdict)
    }

    /// The same for a row that some of its series may not take: each is looked at.
    fn own_append_checked(&mut self, token: u64, known: &HeadGroup, row: Row<'_>, bounds: Bounds) -> Verdict {
        let takes_from = self.head.takes_from();
        let time = bounds.judge(row.timestamp, takes_from, self.own.newest);
        let (newest, there) =
            if time.in_head { self.head.newest_since(known, row.timestamp) } else { Default::default() };
        let newest_bits = |slot: u32| newest.get(&slot).map(|newest| newest.bits);
        let mut verdict = Verdict::default();
        let mut cells = row.cells.to_vec();
        let slots = known.group.layout.slots();
        // Whether the histogram at hand is taken.
        let mut whole = true;
        for (slot, cell) in (0..).zip(cells.iter_mut()) {
            let begins = slots[slot as usize].begins_series();
            if !begins && !whole {
                *cell = Cell::Absent;
            }
            let Some(bits) = cell_bits(*cell).filter(|_| begins) else { continue };
            whole = false;
            let said =
                |newest: &Point| newest.bits == bits && says_the_same(slots, slot, row.cells, &newest_bits);
            let rejected = match time.fate(newest.get(&slot), there.contains(&slot), said) {
                Fate::Taken { late } => {
                    whole = true;
                    verdict.appended += 1;
                    verdict.late += usize::from(late);
                    continue;
                }
                Fate::There => {
                    // If perhaps not in the log.
                    verdict.position = self.own.last_position();
                    *cell = Cell::Absent;
                    continue;
                }
                Fate::Duplicate => &mut verdict.duplicates,
                Fate::OutOfOrder => &mut verdict.out_of_order,
                Fate::OutOfBounds => &mut verdict.out_of_bounds,
                Fate::TooOld => &mut verdict.too_old,
            };
            *rejected += 1;
            *cell = Cell::Absent;
            if verdict.first_rejected.is_none() {
                verdict.first_rejected = Some(known.group.series(slot));
            }
        }
        if verdict.appended > 0 {
            let present = verdict.appended;
            (verdict.position, verdict.sealed) =
                self.put_own_row(token, row.timestamp, &cells, None, present);
        }
        verdict
    }

    /// Puts a row into the open frame and, where its window is there, into the head. Gives the
    /// frame's position, and whether it was closed. `present`: how many of the cells are not absent; `changed`:
    /// where they may differ from those of the group's last row.
    pub(crate) fn put_own_row(
        &mut self,
        token: u64,
        timestamp: i64,
        cells: &[Cell],
        changed: Option<Changes<'_>>,
        present: usize,
    ) -> (u64, bool) {
        let window = window_of(timestamp);
        let mut sealed = false;
        if self.own.open.as_ref().is_some_and(|open| open.window != window) {
            self.seal();
            sealed = true;
        }
        let (own, head) = (&mut self.own, &mut self.head);
        let Some(group) = own.groups.get_mut(&token) else { return (own.position - 1, sealed) };
        let layout = Arc::clone(&group.known.group.layout);
        let open = own.open.get_or_insert_with(|| OpenFrame::new(timestamp));
        let position = open.position(&layout);
        let rows = match &group.rows {
            Some((start, rows)) if *start == window => Arc::clone(rows),
            // Nobody reads what is outside of the head there: the frame is what counts.
            _ => head.rows(window, own.stream, &layout).unwrap_or_else(|| {
                Arc::new(parking_lot::Mutex::new(Rows::bounded(layout.slots().len(), None)))
            }),
        };
        let turned = group.rows.as_ref().is_none_or(|(start, _)| *start != window);
        if let Some((_, before)) = group.rows.as_ref().filter(|_| turned) {
            before.lock().end();
        }
        let due = turned || group.rows_since_key >= KEYFRAME_ROWS || group.keyframes != own.keyframes;
        let next = NextRow { keyframe: due, layout: position, timestamp, cells, changed };
        let origin = Origin { seq: own.next_seq, row: open.rows };
        let Appended { keyframe, kept, closed } =
            rows.lock().append(group.number, next, origin, &mut open.body);
        let to_tile = closed.then(|| Arc::clone(&rows));
        group.rows = Some((window, rows));
        group.number += 1;
        group.whole = false;
        group.rows_since_key = if keyframe { 1 } else { group.rows_since_key + 1 };
        group.keyframes = own.keyframes;
        group.used = group.used.max(window);
        own.newest = own.newest.max(timestamp);
        if let Some(order) = &group.known.order {
            order.came_to(timestamp);
        }
        open.range.start = open.range.start.min(timestamp);
        open.range.end = open.range.end.max(timestamp);
        open.rows += 1;
        if let Some(window) = head.windows.get_mut(&window) {
            window.incomplete |= !kept;
            window.samples += present;
            window.closed.extend(to_tile);
        }
        let (position, full) = (own.position, open.body.len() >= BODY_FULL);
        if full {
            self.seal();
        }
        (position, sealed || full)
    }

    /// Closes the open frame and queues it.
    pub(crate) fn seal(&mut self) {
        let Some(open) = self.own.open.take() else { return };
        self.queue_own(open.range, open.layouts, open.body);
    }

    /// Queues a frame of the own stream that has no rows and says something else.
    pub(crate) fn put_note(&mut self, body: Vec<u8>, now_ms: i64) {
        self.seal();
        self.queue_own(TimeRange { start: now_ms, end: now_ms }, Vec::new(), body);
    }

    fn queue_own(&mut self, range: TimeRange, layouts: Vec<Arc<Layout>>, body: Vec<u8>) {
        let own = &mut self.own;
        let stream = own.stream;
        let key = FrameKey { stream: self.streams.get(stream).info.id.clone(), seq: own.next_seq };
        let ids = layouts.iter().map(|layout| layout.id()).collect();
        let frame = Frame::new(key, own.prev, range, ids, Bytes::from(body));
        own.prev = frame.hash();
        own.next_seq += 1;
        let ticket = Ticket::Own(own.position);
        own.position += 1;
        self.take_frame(stream, frame, layouts, ticket);
    }
}

/// How many samples a row has: the columns of a histogram are one.
fn samples(layout: &Layout, cells: &[Cell]) -> usize {
    let is_there = |cell: &&Cell| **cell != Cell::Absent;
    if !layout.has_histograms() {
        return cells.iter().filter(is_there).count();
    }
    let firsts = cells.iter().zip(layout.slots()).filter(|(_, slot)| slot.begins_series());
    firsts.map(|(cell, _)| cell).filter(is_there).count()
}

/// Whether the further columns of the histogram at a slot, if it is one, say what the newest one says.
fn says_the_same(
    slots: &[storage::Slot],
    first: u32,
    cells: &[Cell],
    newest: &impl Fn(u32) -> Option<u64>,
) -> bool {
    let further =
        (first + 1..).zip(&slots[first as usize + 1..]).take_while(|(_, slot)| !slot.begins_series());
    further.map(|(slot, _)| slot).all(|slot| cell_bits(cells[slot as usize]) == newest(slot))
}

impl OpenFrame {
    fn new(timestamp: i64) -> Self {
        Self {
            window: window_of(timestamp),
            range: TimeRange { start: timestamp, end: timestamp },
            layouts: Vec::new(),
            positions: HashMap::new(),
            body: Vec::new(),
            rows: 0,
        }
    }

    /// The place of a layout in the frame's table.
    fn position(&mut self, layout: &Arc<Layout>) -> usize {
        *self.positions.entry(layout.id()).or_insert_with(|| {
            self.layouts.push(Arc::clone(layout));
            self.layouts.len() - 1
        })
    }
}
