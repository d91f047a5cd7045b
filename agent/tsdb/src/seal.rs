//! Sealing: windows that left the head go into blocks, and frames that arrive late into further ones. It runs
//! beside appends and queries, holds one group's columns at a time, and may be killed anywhere: what the manifest
//! does not name is begun again from the log.

use std::collections::{BTreeSet, HashMap};
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

/// Generations that a window may have before the next one takes them in.
const GENERATIONS_MAX: usize = 3;

impl Inner {
    /// Seals what is due: windows that left the head at once, late frames once in a window's time.
    pub(crate) fn seal_windows(&self) {
        if !self.disk_level().may_seal() {
            return;
        }
        let mut turn = self.sealing.lock();
        let (due, current) = self.due(*turn);
        for start in due {
            match self.seal_window(start) {
                Ok(true) => {
                    self.metrics.seals.inc();
                }
                Ok(false) => {}
                Err(SealedError::Stopped) => return,
                Err(error) => {
                    self.metrics.seal_failures.inc();
                    tracing::error!(%error, window = start, "a window cannot be sealed: the log goes on to answer for it");
                }
            }
        }
        *turn = current;
        if let Some(store) = self.vault.get() {
            store.tidy();
        }
    }

    /// Windows with frames that no block has, and the window that holds now.
    fn due(&self, turn: i64) -> (BTreeSet<i64>, i64) {
        let floor = self.vault.floor();
        let sealed: HashMap<i64, Arc<SealedWindow>> =
            self.vault.windows().into_iter().map(|window| (window.start, window)).collect();
        let state = self.state.read();
        let [first, current, _] = state.head.span();
        let expired = self.floor_ms();
        let is_past =
            |start: i64| (floor..first).contains(&start) && start.saturating_add(WINDOW_MS) > expired;
        // Late frames come one by one: a file for each would be too many.
        let is_open = |start: i64| !sealed.contains_key(&start) || current != turn;
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
        (due, current)
    }

    /// Seals what a window has and its blocks do not; whether there was anything.
    fn seal_window(&self, start: i64) -> Result<bool, SealedError> {
        let store = self.vault.get_or_create()?;
        let sealed = self.vault.window(start);
        let leaving = self.state.write().head.leaving.remove(&start).filter(|_| sealed.is_none());
        if let Some(leaving) = leaving {
            match self.seal_gathered(&store, start, None, leaving) {
                Err(SealedError::Head(error)) => {
                    tracing::warn!(%error, window = start, "the head's file cannot be read: the log is sealed");
                }
                done => return done,
            }
        }
        let gathered = self.gather(&store, start, sealed.clone())?;
        self.seal_gathered(&store, start, sealed.as_deref(), gathered)
    }

    /// A window's frames that no block has, out of the log.
    fn gather(
        &self,
        store: &SealedStore,
        start: i64,
        sealed: Option<Arc<SealedWindow>>,
    ) -> Result<Leaving, SealedError> {
        let mut gathered = Leaving { window: Window::for_sealing(&self.options.dir), groups: HashMap::new() };
        let mut waiting_left = self.options.waiting_bytes_max;
        let mut stopped = false;
        let plan = self.state.read().plan_window(start, sealed.clone());
        plan.visit(&self.files, |frame| {
            let state = self.state.read();
            stopped = state.closed;
            state.gather_frame(&frame, store, sealed.as_deref(), &mut gathered, &mut waiting_left);
            !stopped
        })?;
        if stopped { Err(SealedError::Stopped) } else { Ok(gathered) }
    }

    fn seal_gathered(
        &self,
        store: &SealedStore,
        start: i64,
        sealed: Option<&SealedWindow>,
        gathered: Leaving,
    ) -> Result<bool, SealedError> {
        let mut frames = gathered.window.frames;
        let mut inputs = Vec::with_capacity(gathered.window.groups.len());
        for (key, rows) in gathered.window.groups {
            let (tails, is_empty) = {
                let rows = rows.lock();
                for seq in rows.waiting_frames() {
                    // It stays in the log, and is read from there, until what it builds on is here.
                    if let Some(frames) = frames.get_mut(&key.0) {
                        *frames = frames.difference(&IntervalSet::from_iter([seq..=seq]));
                    }
                }
                (rows.tails().to_vec(), rows.times().is_none())
            };
            if is_empty {
                continue;
            }
            let group =
                gathered.groups.get(&key).ok_or(SealedError::Malformed("a group of no known layout"))?;
            let tails = self.state.read().open_tails(start, &key, tails);
            inputs.push(GroupInput { group: Arc::clone(group), rows, tails });
        }
        frames.retain(|_, frames| !frames.is_empty());
        if frames.is_empty() {
            return Ok(false);
        }
        let many = |window: &&SealedWindow| window.generations.len() >= GENERATIONS_MAX;
        let may_fold = |_: &&SealedWindow| self.disk_level().may_rewrite() && !store.is_damaged(start);
        let fold = sealed.filter(many).filter(may_fold);
        let sealing = Sealing {
            store,
            start,
            fold,
            resolve: &|number| store.group(number, &self.state.read()),
            stopped: &|| self.state.read().closed,
        };
        let generation = sealing.write(inputs)?.map(Arc::new);
        let mut window = sealed.cloned().unwrap_or_default();
        window.start = start;
        if fold.is_some() {
            window.generations.clear();
        }
        window.generations.extend(generation.clone());
        self.add_frames(&mut window, &frames);
        // Where it fails the record may be there after a restart all the same: the file stays, and a start at which
        // no record names it removes it.
        store.publish(window)?;
        let mut state = self.state.write();
        state.head.seal_to(start.saturating_add(WINDOW_MS));
        let State { own, head, .. } = &mut *state;
        own.let_go(head);
        Ok(true)
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
    ) {
        let Some((stream, layouts)) = self.resolve(frame) else { return };
        for layout in &layouts {
            let key = (stream, layout.id());
            if gathered.groups.contains_key(&key) {
                continue;
            }
            let Some(shape) = self.layouts.shape(layout) else { return };
            let known = self.streams.get(stream);
            let group = Arc::new(Group::new(stream, known, Arc::clone(layout), Arc::clone(shape)));
            let rows = gathered.window.rows(stream, layout);
            if let Some(sealed) = sealed {
                rows.lock().seed(store.tails(sealed, &group));
            }
            gathered.groups.insert(key, group);
        }
        let applied = gathered.window.apply_frame(stream, frame, &layouts, waiting_left, |_| true);
        if applied.dropped_rows == 0 {
            gathered.window.took(stream, frame.key().seq);
        }
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
