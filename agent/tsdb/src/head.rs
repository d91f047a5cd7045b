//! The head: the windows before, around and after now, in memory, and the groups in them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Labels;
use storage::{Frame, Layout, StreamId, TimeRange};

use crate::group::{Group, GroupKey};
use crate::kept;
use crate::layouts::{Layouts, Spread, place_of};
use crate::memory::{allocated, shared};
use crate::order::{Order, Orders};
use crate::rows::Applied;
use crate::run::Point;
use crate::steps::{SetBack, Steps};
use crate::streams::{StreamNo, Streams};
use crate::window::{SharedRows, WINDOW_MS, Window, window_of};

/// The windows in memory and their groups.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) windows: BTreeMap<i64, Window>,
    groups: HashMap<GroupKey, HeadGroup>,
    /// Groups by the labels that all their series have.
    common: HashMap<Labels, Common>,
    orders: Orders,
    /// Where files of windows are made.
    dir: PathBuf,
    /// Windows that have blocks. One that the clock comes to, or back to, is in memory all the same: with the rows
    /// that no block has, and perhaps some that one has.
    sealed: BTreeSet<i64>,
    pub(crate) steps: Steps,
    /// Windows that went out of memory whole and are not sealed yet.
    pub(crate) leaving: BTreeMap<i64, Leaving>,
    /// The window that holds now.
    current: i64,
    /// Bytes that rows may still take up while they wait for the row they build on.
    waiting_left: usize,
    waiting_max: usize,
}

/// A group that a window or the own node uses.
#[derive(Clone, Debug)]
pub(crate) struct HeadGroup {
    pub(crate) group: Arc<Group>,
    /// Of the own node's groups.
    pub(crate) order: Option<Arc<Order>>,
}

/// A window that is to be sealed, and its groups.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) window: Window,
    pub(crate) groups: HashMap<GroupKey, Arc<Group>>,
}

/// Windows that wait in memory to be sealed, at most; those before them are sealed from the log.
const LEAVING_MAX: usize = 2;

#[derive(Debug, Default)]
struct Common {
    groups: Vec<Arc<Group>>,
    /// Series of the first so many groups.
    counted: (usize, usize),
}

impl Head {
    pub(crate) fn new(dir: &Path, now_ms: i64, waiting_max: usize) -> Self {
        Self {
            dir: dir.to_owned(),
            windows: BTreeMap::new(),
            groups: HashMap::new(),
            common: HashMap::new(),
            orders: Orders::default(),
            sealed: BTreeSet::new(),
            steps: Steps::new(now_ms),
            leaving: BTreeMap::new(),
            current: window_of(now_ms),
            waiting_left: waiting_max,
            waiting_max,
        }
    }

    /// The windows that belong in memory: the one before now's, now's, and the one after.
    pub(crate) fn span(&self) -> [i64; 3] {
        [self.current.saturating_sub(WINDOW_MS), self.current, self.current.saturating_add(WINDOW_MS)]
    }

    pub(crate) fn covers(&self, window: i64) -> bool {
        self.span().contains(&window)
    }

    /// Whether a window has blocks.
    pub(crate) fn is_sealed(&self, window: i64) -> bool {
        self.sealed.contains(&window)
    }

    /// Whether the window of a time belongs in memory and has all that the log has and no block.
    pub(crate) fn answers(&self, window: i64) -> bool {
        self.covers(window) && !self.windows.get(&window).is_some_and(|window| window.incomplete)
    }

    /// From now on the log answers for a window.
    pub(crate) fn give_up(&mut self, start: i64) {
        if self.covers(start) {
            let dir = &self.dir;
            self.windows.entry(start).or_insert_with(|| Window::of_head(dir, start)).incomplete = true;
        }
    }

    /// The first time that own rows may have.
    pub(crate) fn takes_from(&self) -> i64 {
        self.span()[0]
    }

    /// A window has blocks from now on.
    pub(crate) fn seal(&mut self, start: i64) {
        self.sealed.insert(start);
        self.leaving.remove(&start);
    }

    /// The clock was set back: what own streams below a number wrote after that time does not count for now.
    pub(crate) fn set_back(&mut self, below: StreamNo, set_back: SetBack) {
        self.steps.bar(below, set_back);
        self.set_limits();
    }

    /// What did not count does again where its time has come.
    pub(crate) fn lift(&mut self, now_ms: i64, nothing_written: bool) {
        if self.steps.lift(now_ms, nothing_written) {
            self.set_limits();
        }
    }

    fn set_limits(&self) {
        for known in self.groups.values() {
            if let Some(order) = &known.order {
                order.set_limit(self.steps.limit(known.group.key().0));
            }
        }
    }

    /// Whether another window holds `now_ms`.
    pub(crate) fn is_outdated(&self, now_ms: i64) -> bool {
        window_of(now_ms) != self.current
    }

    /// Moves on (or back) to the window that holds `now_ms`. Gives the windows that must be loaded.
    pub(crate) fn turn(&mut self, now_ms: i64, in_use: &HashSet<GroupKey>) -> Vec<i64> {
        let before = self.span();
        self.current = window_of(now_ms);
        let span = self.span();
        self.leave(span);
        self.tidy();
        let mut kept = in_use.clone();
        kept.extend(self.windows.values().flat_map(|window| window.groups.keys().copied()));
        self.groups.retain(|key, _| kept.contains(key));
        self.orders.tidy();
        self.common.clear();
        for known in self.groups.values() {
            self.common.entry(known.group.common()).or_default().groups.push(Arc::clone(&known.group));
        }
        let waiting: usize = self.windows.values().map(Window::waiting_bytes).sum();
        self.waiting_left = self.waiting_max.saturating_sub(waiting);
        span.into_iter().filter(|start| !before.contains(start)).collect()
    }

    /// Takes windows out of memory; those that are past go on to be sealed.
    fn leave(&mut self, span: [i64; 3]) {
        let all = std::mem::take(&mut self.windows);
        for (start, window) in all {
            if span.contains(&start) {
                self.windows.insert(start, window);
            } else if start < span[0] && !window.incomplete && !self.sealed.contains(&start) {
                let known = |key: &GroupKey| Some((*key, Arc::clone(&self.groups.get(key)?.group)));
                let groups = window.groups.keys().filter_map(known).collect();
                self.leaving.insert(start, Leaving { window, groups });
            }
        }
        self.leaving.retain(|start, _| !span.contains(start));
        while self.leaving.len() > LEAVING_MAX {
            self.leaving.pop_first();
        }
    }

    /// A stream's layout as a group.
    pub(crate) fn group(
        &mut self,
        streams: &Streams,
        layouts: &Layouts,
        stream: StreamNo,
        layout: &Arc<Layout>,
    ) -> Option<HeadGroup> {
        let entry = match self.groups.entry((stream, layout.id())) {
            Entry::Occupied(known) => return Some(known.get().clone()),
            Entry::Vacant(entry) => entry,
        };
        let shape = Arc::clone(layouts.shape(layout)?);
        let group = Arc::new(Group::new(stream, streams.get(stream), Arc::clone(layout), shape));
        let order = group.is_own().then(|| self.orders.add(&group));
        if let Some(order) = &order {
            order.set_limit(self.steps.limit(stream));
        }
        self.common.entry(group.common()).or_default().groups.push(Arc::clone(&group));
        Some(entry.insert(HeadGroup { group, order }).clone())
    }

    /// A group that is known.
    pub(crate) fn find(&self, key: &GroupKey) -> Option<&HeadGroup> {
        self.groups.get(key)
    }

    /// The groups of a window.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values().map(|known| &known.group)
    }

    /// The streams of its groups and windows.
    pub(crate) fn streams(&self) -> impl Iterator<Item = StreamNo> {
        let leaving = self.leaving.values().map(|leaving| &leaving.window);
        let windows = self.windows.values().chain(leaving);
        let frames = windows.flat_map(|window| window.frames.keys().copied());
        frames.chain(self.groups.keys().map(|(stream, _)| *stream))
    }

    /// A group's rows in a window, where the window belongs in memory.
    pub(crate) fn rows(
        &mut self,
        start: i64,
        stream: StreamNo,
        id: &StreamId,
        layout: &Layout,
    ) -> Option<SharedRows> {
        let dir = self.covers(start).then_some(&self.dir)?;
        let window = self.windows.entry(start).or_insert_with(|| Window::of_head(dir, start));
        Some(window.rows(stream, id, layout))
    }

    /// At a start, before the log is replayed: what there is of tiles is taken over.
    pub(crate) fn begin_adopting(&mut self) {
        for start in self.span() {
            if let Some(window) = Window::found(&self.dir, start) {
                self.windows.insert(start, window);
            }
        }
    }

    /// The log was replayed.
    pub(crate) fn end_adopting(&mut self) {
        for window in self.windows.values_mut() {
            window.end_adopting(&mut self.waiting_left);
        }
        self.windows.retain(|_, window| !window.is_empty());
        self.tidy();
    }

    /// Removes files of windows that are not in memory any more.
    fn tidy(&self) {
        kept::tidy(&self.dir, |start| self.windows.contains_key(&start));
    }

    /// Applies a frame, if its window is in memory.
    pub(crate) fn apply(
        &mut self,
        streams: &Streams,
        all: &Layouts,
        stream: StreamNo,
        frame: &Frame,
        layouts: &[Arc<Layout>],
    ) -> Applied {
        let start = window_of(frame.range().start);
        if !self.covers(start) {
            return Applied::default();
        }
        let mut known = Vec::with_capacity(layouts.len());
        for layout in layouts {
            let group = self.group(streams, all, stream, layout);
            known.push(group.is_some());
            if let Some(order) = group.and_then(|group| group.order) {
                order.came_to(frame.range().end);
            }
        }
        let dir = &self.dir;
        let window = self.windows.entry(start).or_insert_with(|| Window::of_head(dir, start));
        // What cannot be told apart from others here is read from the log.
        window.incomplete |= known.contains(&false);
        window.took(stream, frame.key().seq);
        let left = self.waiting_left;
        let applied =
            window.apply_frame(stream, frame, layouts, &mut self.waiting_left, |position, _| known[position]);
        // What a row waits for may be in blocks.
        window.incomplete |= self.sealed.contains(&start) && self.waiting_left < left;
        applied
    }

    /// For each slot of an own group the newest sample of its series, where there is one from `timestamp` on; and the
    /// slots that have one at that very time.
    pub(crate) fn newest_since(
        &mut self,
        own: &HeadGroup,
        timestamp: i64,
    ) -> (HashMap<u32, Point>, HashSet<u32>) {
        let (mut newest, mut there) = (HashMap::<u32, Point>::new(), HashSet::new());
        let Some(order) = &own.order else { return (newest, there) };
        for other in order.since(timestamp) {
            let range = TimeRange { start: timestamp, end: other.limit() };
            let mut shared: Vec<(u32, u32)> = own.group.shared(&other.group).collect();
            // Theirs are what is read, in order.
            shared.sort_by_key(|(_, theirs)| *theirs);
            let slots: Vec<u32> = shared.iter().map(|(_, theirs)| *theirs).collect();
            for (_, window) in self.windows.range_mut(window_of(timestamp)..) {
                let Some(rows) = window.groups.get(&other.group.key()) else { continue };
                let points = rows.lock().view(&slots, range).points().unwrap_or_else(|error| {
                    tracing::warn!(%error, "the order of samples cannot be checked against the head's file");
                    window.incomplete = true;
                    Vec::new()
                });
                for (&(own, _), points) in shared.iter().zip(&points) {
                    let Some(&last) = points.last() else { continue };
                    if points.iter().any(|point| point.timestamp == timestamp) {
                        there.insert(own);
                    }
                    let known = newest.entry(own).or_insert(last);
                    if known.timestamp < last.timestamp {
                        *known = last;
                    }
                }
            }
        }
        (newest, there)
    }

    /// What its groups take up, without their rows.
    pub(crate) fn bytes(&self) -> u64 {
        let group = shared(size_of::<Group>()) + shared(size_of::<Order>());
        let tables = self.groups.capacity() * (size_of::<(GroupKey, HeadGroup)>() + 1)
            + self.common.capacity() * (size_of::<(Labels, Common)>() + 1);
        let leaving = self.leaving.values().map(|leaving| &leaving.window);
        let windows = self.windows.values().chain(leaving);
        let windows: usize = windows.map(|window| window.groups.capacity()).sum();
        self.groups.len() as u64 * group
            + self.orders.bytes()
            + allocated(tables)
            + allocated(windows * (size_of::<(GroupKey, SharedRows)>() + 1))
    }

    /// Samples in memory.
    pub(crate) fn samples(&self) -> usize {
        self.windows.values().map(|window| window.samples).sum()
    }

    /// Series in memory. Groups of one target may share some; those of several targets hardly ever do, and
    /// such series are counted once for each.
    pub(crate) fn series(&mut self) -> usize {
        self.common.values_mut().map(Common::series).sum()
    }

    /// Oldest and newest time in memory.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let all = || self.windows.values().filter_map(Window::times);
        Some((all().map(|times| times.0).min()?, all().map(|times| times.1).max()?))
    }
}

impl Common {
    fn series(&mut self) -> usize {
        if self.counted.0 != self.groups.len() {
            let count = match self.groups.as_slice() {
                [only] => only.layout.series_count(),
                all => {
                    // Equal lists are one.
                    let slots = all.iter().flat_map(|group| group.layout.slots());
                    slots.map(|slot| place_of(&slot.labels)).collect::<HashSet<_, Spread>>().len()
                }
            };
            self.counted = (self.groups.len(), count);
        }
        self.counted.1
    }
}
