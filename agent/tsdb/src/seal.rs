//! Sealing: windows that left the head go into blocks, and frames that arrive late into further ones. It runs
//! beside appends and queries, holds one group's columns at a time, and may be killed anywhere: what the manifest
//! does not name is begun again from the log.
//!
//! A frame of which a row waits for the one that it builds on stays in the log until that is here; its other rows
//! are sealed meanwhile. A window of which nothing can be sealed is read again when it has more, or once in a
//! window's time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use storage::{Frame, IntervalSet};

use crate::group::{Group, GroupKey};
use crate::head::Leaving;
use crate::rows::Tail;
use crate::sealed::{GroupInput, SealedError, SealedStore, SealedWindow, Sealing};
use crate::state::State;
use crate::store::Inner;
use crate::streams::StreamNo;
use crate::window::{WINDOW_MS, Window, window_of};

/// What was sealed last.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// The head's window when late frames were last sealed.
    window: Option<i64>,
    /// Windows of which nothing could be sealed since, and how many frames they had.
    barren: HashMap<i64, u64>,
}

/// Generations that a window may have before the next one takes them in.
const GENERATIONS_MAX: usize = 3;

/// What a window has in blocks when it is sealed.
#[derive(Clone, Copy)]
pub(crate) enum Before<'a> {
    Nothing,
    /// To which further ones are added.
    Further(&'a SealedWindow),
    /// In whose place come those that are made now, if they have all of it.
    Damaged(&'a SealedWindow),
    /// In whose place come those that are made now and what can be read of it.
    Salvaged(&'a SealedWindow),
}

impl Inner {
    /// Seals what is due: windows that left the head at once, late frames once in a window's time.
    pub(crate) fn seal_windows(&self) {
        if !self.disk_level().may_seal() {
            return;
        }
        let mut turn = self.sealing.lock();
        if let Err(SealedError::Stopped) = self.heal_windows() {
            return;
        }
        let (due, current) = self.due(&turn);
        if turn.window != Some(current) {
            turn.barren.clear();
        }
        for (start, frames) in due {
            match self.seal_window_or_make_way(start) {
                Ok(true) => {
                    turn.barren.remove(&start);
                    self.metrics.seals.inc();
                }
                Ok(false) => {
                    turn.barren.insert(start, frames);
                }
                Err(SealedError::Stopped) => return,
                Err(error) => {
                    self.metrics.seal_failures.inc();
                    tracing::error!(%error, window = start, "a window cannot be sealed: the log goes on to answer for it");
                }
            }
        }
        turn.window = Some(current);
        self.metrics.unsealable.set(turn.barren.len() as i64);
        if let Some(store) = self.vault.get() {
            store.tidy();
        }
    }

    /// Windows with frames that no block has, each with how many it has in all, and the window that holds now.
    pub(crate) fn due(&self, turn: &Turn) -> (BTreeMap<i64, u64>, i64) {
        let floor = self.floor();
        let sealed: HashMap<i64, Arc<SealedWindow>> =
            self.vault.windows().into_iter().map(|window| (window.start, window)).collect();
        let expired = self.floor_ms();
        let state = self.state.read();
        let (span, current) = (state.head.span(), state.head.span()[1]);
        // Those that a clock wrote which was ahead are past, too.
        let is_past = |start: i64| {
            start >= floor && !span.contains(&start) && start.saturating_add(WINDOW_MS) > expired
        };
        // Late frames come one by one: a file for each would be too many.
        let is_open = |start: i64| !sealed.contains_key(&start) || turn.window != Some(current);
        let mut due: BTreeSet<i64> = state
            .head
            .leaving
            .keys()
            .copied()
            .filter(|start| is_past(*start) && !sealed.contains_key(start))
            .collect();
        for segment in state.segments.values() {
            let starts = segment.windows.keys().copied().filter(|&start| is_past(start) && is_open(start));
            due.extend(starts.filter(|start| {
                state.has_unsealed(segment, *start, sealed.get(start).map(|window| &**window))
            }));
        }
        for (_, stream) in state.streams.iter() {
            let waiting = stream.in_memory().map(|(seq, entry)| (seq, window_of(entry.range.start)));
            let unsealed = waiting.filter(|(seq, start)| {
                let known = sealed.get(start);
                is_past(*start)
                    && is_open(*start)
                    && known.is_none_or(|known| !known.has(&stream.info.id, *seq))
            });
            due.extend(unsealed.map(|(_, start)| start));
        }
        let mut due: BTreeMap<i64, u64> =
            due.into_iter().map(|start| (start, state.frames_in_window(start))).collect();
        due.retain(|start, frames| turn.window != Some(current) || turn.barren.get(start) != Some(frames));
        (due, current)
    }

    /// The same as [`Self::seal_window`], also where a damaged file stands behind the place of the new one.
    fn seal_window_or_make_way(&self, start: i64) -> Result<bool, SealedError> {
        match self.seal_window(start) {
            Err(error) if error.is_damage() => match self.make_way(start)? {
                true => self.seal_window(start),
                false => Err(error),
            },
            done => done,
        }
    }

    /// Seals what a window has and its blocks do not; whether there was anything.
    fn seal_window(&self, start: i64) -> Result<bool, SealedError> {
        let store = self.vault.get_or_create()?;
        let sealed = self.vault.window(start);
        let leaving = self.state.write().head.leaving.remove(&start).filter(|_| sealed.is_none());
        if let Some(leaving) = leaving {
            match self.seal_gathered(&store, start, Before::Nothing, leaving) {
                Err(SealedError::Head(error)) => {
                    tracing::warn!(%error, window = start, "the head's file cannot be read: the log is sealed");
                }
                done => return done,
            }
        }
        let gathered = self.gather(&store, start, sealed.clone())?;
        let before = sealed.as_deref().map_or(Before::Nothing, Before::Further);
        self.seal_gathered(&store, start, before, gathered)
    }

    /// A window's frames that no block has, out of the log.
    pub(crate) fn gather(
        &self,
        store: &SealedStore,
        start: i64,
        sealed: Option<Arc<SealedWindow>>,
    ) -> Result<Leaving, SealedError> {
        let mut gathered = Leaving { window: Window::for_sealing(&self.options.dir), groups: HashMap::new() };
        let mut waiting_left = self.options.waiting_bytes_max;
        let (mut stopped, mut failed) = (false, None);
        let plan = self.state.read().plan_window(start, sealed.clone());
        plan.visit(&self.files, |frame| {
            let state = self.state.read();
            stopped = state.closed;
            let taken =
                state.gather_frame(&frame, store, sealed.as_deref(), &mut gathered, &mut waiting_left);
            failed = taken.err();
            !stopped && failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if stopped { Err(SealedError::Stopped) } else { Ok(gathered) }
    }

    pub(crate) fn seal_gathered(
        &self,
        store: &SealedStore,
        start: i64,
        before: Before<'_>,
        gathered: Leaving,
    ) -> Result<bool, SealedError> {
        let sealed = match before {
            Before::Further(window) | Before::Salvaged(window) => Some(window),
            Before::Nothing | Before::Damaged(_) => None,
        };
        let salvage = matches!(before, Before::Salvaged(_));
        let mut frames = gathered.window.frames;
        let mut inputs = Vec::with_capacity(gathered.window.groups.len());
        for (key, rows) in gathered.window.groups {
            let group =
                gathered.groups.get(&key).ok_or(SealedError::Malformed("a group of no known layout"))?;
            let (tails, waiting, is_empty) = {
                let rows = rows.lock();
                (rows.tails().to_vec(), rows.waiting().collect::<Vec<_>>(), rows.times().is_none())
            };
            if let Some(frames) = frames.get_mut(&key.0).filter(|_| !waiting.is_empty()) {
                // Rows that were sealed with an earlier part of the window wait for nothing.
                let known = match sealed.map(|sealed| store.sequences(sealed, group)).transpose() {
                    // Of what is damaged nothing is known to be there.
                    Err(error) if salvage && error.is_damage() => HashSet::new(),
                    known => known?.unwrap_or_default(),
                };
                for origin in waiting.iter().filter(|origin| !known.contains(&(origin.seq, origin.row))) {
                    *frames = frames.difference(&IntervalSet::from_iter([origin.seq..=origin.seq]));
                }
            }
            if is_empty {
                continue;
            }
            let tails = self.state.read().open_tails(start, &key, tails);
            inputs.push(GroupInput { group: Arc::clone(group), rows, tails });
        }
        frames.retain(|_, frames| !frames.is_empty());
        let has_all = |window: &SealedWindow| self.has_all(window, &frames);
        if (frames.is_empty() && !salvage) || matches!(before, Before::Damaged(window) if !has_all(window)) {
            return Ok(false);
        }
        let many = |window: &&SealedWindow| window.generations.len() >= GENERATIONS_MAX;
        let may_fold = |_: &&SealedWindow| self.disk_level().may_rewrite() && !store.is_damaged(start);
        let fold = sealed.filter(many).filter(may_fold).or(sealed.filter(|_| salvage));
        let day = fold.and_then(|window| window.day.as_ref()).filter(|_| salvage);
        let folded = fold.into_iter().flat_map(|window| day.into_iter().chain(&window.generations));
        let sealing = Sealing {
            store,
            start,
            is_day: false,
            fold: folded.map(|generation| (start, Arc::clone(generation))).collect(),
            resolve: &|number| store.group(number, &self.state.read()),
            stopped: &|| self.state.read().closed,
            salvage,
            written: &|| match before {
                Before::Damaged(window) => store.withdraw(window),
                Before::Salvaged(window) => store.withdraw_day(window),
                Before::Nothing | Before::Further(_) => Ok(()),
            },
        };
        let generation = sealing.write(inputs)?.map(Arc::new);
        let mut window = sealed.cloned().unwrap_or_default();
        window.start = start;
        if fold.is_some() {
            window.generations.clear();
            // What could be read of it is among the rest.
            window.day = window.day.filter(|_| !salvage);
        }
        window.generations.extend(generation.clone());
        self.add_frames(&mut window, &frames);
        // Where it fails the record may be there after a restart all the same: the file stays, and a start at which
        // no record names it removes it.
        store.publish(window)?;
        let mut state = self.state.write();
        state.head.seal(start);
        state.own.sealed(start);
        Ok(true)
    }

    /// Whether some frames are all that a window's blocks were made of.
    fn has_all(&self, window: &SealedWindow, frames: &HashMap<StreamNo, IntervalSet>) -> bool {
        let state = self.state.read();
        window.is_within(|stream| {
            let known = state.streams.find(stream).and_then(|no| frames.get(&no));
            known.cloned().unwrap_or_default()
        })
    }

    fn add_frames(&self, window: &mut SealedWindow, frames: &HashMap<StreamNo, IntervalSet>) {
        let state = self.state.read();
        for (no, frames) in frames {
            let id = state.streams.get(*no).info.id.clone();
            window.frames.entry(id).or_default().union(frames);
        }
    }
}

impl State {
    /// Puts a frame's rows to those that are to be sealed; one whose layouts are not known stays in the log.
    fn gather_frame(
        &self,
        frame: &Frame,
        store: &SealedStore,
        sealed: Option<&SealedWindow>,
        gathered: &mut Leaving,
        waiting_left: &mut usize,
    ) -> Result<(), SealedError> {
        let Some((stream, layouts)) = self.resolve(frame) else { return Ok(()) };
        for layout in &layouts {
            let key = (stream, layout.id());
            if gathered.groups.contains_key(&key) {
                continue;
            }
            let Some(shape) = self.layouts.shape(layout) else { return Ok(()) };
            let known = self.streams.get(stream);
            let group = Arc::new(Group::new(stream, known, Arc::clone(layout), Arc::clone(shape)));
            let rows = gathered.window.rows(stream, &known.info.id, layout);
            if let Some(sealed) = sealed {
                rows.lock().seed(store.tails(sealed, &group)?);
            }
            gathered.groups.insert(key, group);
        }
        let applied = gathered.window.apply_frame(stream, frame, &layouts, waiting_left, |_, _| true);
        if applied.dropped_rows == 0 {
            gathered.window.took(stream, frame.key().seq);
        }
        Ok(())
    }

    /// How many frames of a window there are outside of blocks, those that blocks have too among them.
    fn frames_in_window(&self, start: i64) -> u64 {
        let written = self.segments.values().filter_map(|segment| segment.windows.get(&start));
        let written = written.flat_map(|streams| streams.values().map(IntervalSet::count)).sum::<u64>();
        let in_memory = self.streams.iter().flat_map(|(_, stream)| stream.in_memory());
        written + in_memory.filter(|(_, entry)| window_of(entry.range.start) == start).count() as u64
    }

    /// Those rows of a window that others may still build on: none does where the next one is known to be a
    /// keyframe.
    fn open_tails(&self, start: i64, key: &GroupKey, mut tails: Vec<Tail>) -> Vec<Tail> {
        for (_, window) in self.head.windows.range(start.saturating_add(1)..) {
            let Some(rows) = window.groups.get(key) else { continue };
            let rows = rows.lock();
            tails.retain(|tail| tail.row.number.checked_add(1).is_none_or(|next| !rows.has_keyframe(next)));
        }
        tails
    }
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
