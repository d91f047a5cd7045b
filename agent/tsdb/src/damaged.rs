//! Sealed windows with damage in their blocks: as long as the log has the frames, it answers, and the window is sealed
//! anew from it.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use log::LogError;
use storage::{Coverage, Gap, IntervalSet, QueryError, StreamId, TimeRange};

use crate::archive::Salvaged;
use crate::query::{Source, Wanted};
use crate::seal::Before;
use crate::sealed::{BlockKey, SealedError, SealedStore, SealedWindow};
use crate::state::{Queued, State};
use crate::store::Inner;
use crate::window::WINDOW_MS;

/// What the log has of a damaged window.
pub(crate) struct InLog {
    pub(crate) found: Vec<Source>,
    /// Whether it has every frame that the blocks were made of.
    pub(crate) is_whole: bool,
}

impl Inner {
    /// Whether a window has damage that is known.
    pub(crate) fn is_damaged(&self, start: i64) -> bool {
        self.vault.get().is_some_and(|store| store.is_damaged(start))
    }

    /// What the log has of a window whose blocks are damaged; what the blocks have too is the same, and counts once.
    pub(crate) fn damaged_sources(
        &self,
        wanted: &Wanted,
        window: &Arc<SealedWindow>,
    ) -> Result<Option<InLog>, QueryError> {
        if !self.is_damaged(window.start) {
            return Ok(None);
        }
        let plan = self.state.read().plan_window(window.start, None);
        let frames = plan.read(&self.files).map_err(|error| QueryError::Unavailable(error.to_string()))?;
        let mut read: HashMap<StreamId, IntervalSet> = HashMap::new();
        for frame in frames.iter().filter(|frame| self.state.read().resolve(frame).is_some()) {
            let key = frame.key();
            read.entry(key.stream.clone()).or_default().insert(key.seq);
        }
        let found = self.sources_of(wanted, &frames, None)?;
        let is_whole = window.is_within(|stream| read.get(stream).cloned().unwrap_or_default());
        Ok(Some(InLog { found, is_whole }))
    }

    /// Seals windows anew whose blocks are damaged and whose frames are all in the log. The caller holds `sealing`.
    pub(crate) fn heal_windows(&self) -> Result<(), SealedError> {
        let Some(store) = self.vault.get() else { return Ok(()) };
        // The newest first: a file is taken in only where the one behind its place can be read.
        for start in self.healed_by_log().into_iter().rev() {
            match self.heal_window(&store, start) {
                Ok(true) => {
                    self.metrics.seals_healed.inc();
                    tracing::info!(window = start, "damaged blocks are sealed anew from the log");
                }
                // The log's frames are damaged too, which only reading them tells.
                Ok(false) => store.give_up_healing(start),
                Err(SealedError::Stopped) => return Err(SealedError::Stopped),
                Err(error) => {
                    self.metrics.seal_failures.inc();
                    tracing::error!(%error, window = start, "a damaged window cannot be sealed anew: the log goes on to answer for it");
                }
            }
        }
        Ok(())
    }

    fn heal_window(&self, store: &SealedStore, start: i64) -> Result<bool, SealedError> {
        let Some(damaged) = self.vault.window(start) else { return Ok(false) };
        let gathered = self.gather(store, start, None)?;
        self.seal_gathered(store, start, Before::Damaged(&damaged), gathered)
    }

    /// Writes a damaged window anew: from the log, where that has all of it, else from what is left of both. What the
    /// old files are goes to `aside`. Nobody else has the store open.
    pub(crate) fn salvage_window(&self, start: i64, aside: &Path) -> Result<Salvaged, SealedError> {
        let (Some(store), Some(damaged)) = (self.vault.get(), self.vault.window(start)) else {
            return Ok(Salvaged::Nothing);
        };
        store.keep_aside(&damaged, aside)?;
        store.note_damage(BlockKey::first(start, 0), "", "found by verifying");
        if self.healed_by_log().contains(&start) && self.heal_window(&store, start)? {
            store.tidy();
            return Ok(Salvaged::Healed);
        }
        let gathered = self.gather(&store, start, None)?;
        self.seal_gathered(&store, start, Before::Salvaged(&damaged), gathered)?;
        store.forget_damage(start);
        store.tidy();
        Ok(Salvaged::Part)
    }

    /// Writes the windows anew, as far as they can be read, whose damaged file stands behind those of a window: the
    /// database takes in no file in front of one that it cannot read. Whether there were any. The caller holds `sealing`.
    pub(crate) fn make_way(&self, start: i64) -> Result<bool, SealedError> {
        let Some(store) = self.vault.get() else { return Ok(false) };
        let aside = self.options.dir.join("damaged").join("sealed");
        let (mut at, mut blocked) = (start, Vec::new());
        // Behind one that is damaged there may be others: the last one goes first.
        while let Some(windows) = store.blocked_behind(at)? {
            let Some(last) = windows.iter().max().copied() else { break };
            blocked.push(windows);
            if last <= at {
                break;
            }
            at = last;
        }
        let is_blocked = !blocked.is_empty();
        for window in blocked.into_iter().rev().flat_map(|windows| windows.into_iter().rev()) {
            let is_in_log = self.vault.window(window).is_none_or(|known| self.state.read().log_has(&known));
            // What is missing is on the disk before anything changes.
            if !is_in_log && !self.tell_salvage(window) {
                return Ok(false);
            }
            let salvaged = self.salvage_window(window, &aside)?;
            // Now that nobody here holds them the old files can go.
            store.tidy();
            if matches!(salvaged, Salvaged::Part) {
                self.metrics.seals_salvaged.inc();
                // The log's frames are damaged, too.
                if is_in_log {
                    self.tell_salvage(window);
                }
            }
        }
        Ok(is_blocked)
    }

    /// Records that a part of a window is missing; whether the log took it.
    fn tell_salvage(&self, window: i64) -> bool {
        let (node, end) = (&self.options.node_name, window.saturating_add(WINDOW_MS - 1));
        let why =
            format!("{node}: sealed data of two hours was damaged, and kept as far as it could be read");
        tracing::error!(
            window,
            "a damaged window is sealed anew from what can be read of it: the rest is gone"
        );
        let gap = Gap { start: window, end, why };
        let mut state = self.state.write();
        if !state.gaps.contains(&gap) {
            state.gaps.push(gap.clone());
            state.queue.push_back(Queued::Gap(gap));
        }
        drop(state);
        self.write_all(true).is_ok()
    }

    /// Records what a repair came to, synced: gaps, what was received, and what is there now.
    pub(crate) fn record_repair(&self) -> Result<(), LogError> {
        let windows = self.vault.windows();
        let windows = windows.iter().map(|window| (window.start, window.newest())).collect();
        let mut writer = self.writer.lock();
        writer.checkpoint(&self.shared(self.clock.monotonic()), &[], windows)
    }

    /// Says which damage is known in a range, but for windows that the log has answered.
    pub(crate) fn cover_damage(&self, range: TimeRange, from_log: &BTreeSet<i64>, coverage: &mut Coverage) {
        let Some(store) = self.vault.get() else { return };
        let is_missing = |start: i64| {
            let window = TimeRange { start, end: start.saturating_add(WINDOW_MS - 1) };
            range.overlaps(&window) && !from_log.contains(&start)
        };
        coverage.gaps.extend(store.damage(is_missing));
        coverage.gaps.extend(
            self.gone_here().filter(|gap| range.overlaps(&TimeRange { start: gap.start, end: gap.end })),
        );
    }

    /// Damaged windows of which the log has every frame.
    pub(crate) fn healed_by_log(&self) -> BTreeSet<i64> {
        let Some(store) = self.vault.get() else { return BTreeSet::new() };
        let mut damaged = store.healable_windows();
        if damaged.is_empty() {
            return damaged;
        }
        let state = self.state.read();
        damaged.retain(|start| self.vault.window(*start).is_some_and(|window| state.log_has(&window)));
        damaged
    }
}

impl State {
    /// Whether the log has every frame that a window's blocks were made of.
    fn log_has(&self, window: &SealedWindow) -> bool {
        window.is_within(|stream| {
            let mut held = IntervalSet::new();
            let Some(no) = self.streams.find(stream) else { return held };
            for segment in self.segments.values() {
                let frames = segment.windows.get(&window.start).and_then(|streams| streams.get(&no));
                frames.into_iter().for_each(|frames| held.union(frames));
            }
            held
        })
    }
}

impl SealedWindow {
    /// Whether `held` gives, of each stream, all frames of this window.
    pub(crate) fn is_within(&self, held: impl Fn(&StreamId) -> IntervalSet) -> bool {
        self.frames.iter().all(|(stream, frames)| frames.difference(&held(stream)).is_empty())
    }
}
