//! The head: the windows before, around and after now, in memory.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use storage::{Frame, Layout};

use crate::series::{Newest, SeriesTable};
use crate::streams::{StreamNo, Streams};
use crate::window::{Applied, SeriesNo, WINDOW_MS, Window, window_of};

/// The windows in memory and their series.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) table: SeriesTable,
    pub(crate) windows: BTreeMap<i64, Window>,
    /// The window that holds now.
    current: i64,
    /// Bytes that rows may still take up while they wait for the row they build on.
    waiting_left: usize,
    waiting_max: usize,
}

impl Head {
    pub(crate) fn new(now_ms: i64, waiting_max: usize) -> Self {
        Self {
            table: SeriesTable::default(),
            windows: BTreeMap::new(),
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

    /// Whether the window of a time belongs in memory and has all that the log has.
    pub(crate) fn answers(&self, window: i64) -> bool {
        self.covers(window) && !self.windows.get(&window).is_some_and(|window| window.incomplete)
    }

    /// Whether another window holds `now_ms`.
    pub(crate) fn is_outdated(&self, now_ms: i64) -> bool {
        window_of(now_ms) != self.current
    }

    /// Moves on (or back) to the window that holds `now_ms`. Gives the windows that must be loaded.
    pub(crate) fn turn(&mut self, now_ms: i64, in_use: &HashSet<SeriesNo>) -> Vec<i64> {
        let before = self.span();
        self.current = window_of(now_ms);
        let span = self.span();
        self.windows.retain(|start, _| span.contains(start));
        let mut alive = in_use.clone();
        for window in self.windows.values() {
            alive.extend(window.series.keys());
        }
        self.table.retain(&alive);
        let waiting: usize = self.windows.values().map(Window::waiting_bytes).sum();
        self.waiting_left = self.waiting_max.saturating_sub(waiting);
        span.into_iter().filter(|start| !before.contains(start)).collect()
    }

    /// Applies a frame, if its window is in memory.
    pub(crate) fn apply(
        &mut self,
        streams: &Streams,
        stream: StreamNo,
        frame: &Frame,
        layouts: &[Arc<Layout>],
    ) -> Applied {
        let start = window_of(frame.range().start);
        if !self.covers(start) {
            return Applied::default();
        }
        let (window, table) = (self.windows.entry(start).or_default(), &mut self.table);
        let mut resolve = |layout: &Arc<Layout>| table.of_layout(streams, stream, layout);
        window.apply_frame(streams, stream, frame, layouts, &mut self.waiting_left, &mut resolve)
    }

    /// Finds anew what the own node wrote last to each series of a window.
    pub(crate) fn find_newest(&mut self, streams: &Streams, start: i64) {
        let Some(window) = self.windows.get(&start) else { return };
        for (series, point) in window.newest(|stream| streams.get(stream).own) {
            if let Some(entry) = self.table.get_mut(series)
                && entry.newest.is_none_or(|newest| newest.timestamp < point.timestamp)
            {
                entry.newest = Some(Newest { timestamp: point.timestamp, bits: point.bits });
            }
        }
    }

    /// Samples in memory.
    pub(crate) fn samples(&self) -> usize {
        self.windows.values().map(|window| window.samples).sum()
    }

    /// Oldest and newest time in memory.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let points = || self.windows.values().flat_map(|window| window.series.values());
        let first = points().filter_map(|points| points.first()).map(|point| point.timestamp).min()?;
        let last = points().filter_map(|points| points.last()).map(|point| point.timestamp).max()?;
        Some((first, last))
    }
}
