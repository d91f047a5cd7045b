//! Giving sealed windows to another store, and taking its: how a twin is repaired behind the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use storage::{
    Gap, IntervalSet, StreamId, WindowCopy, WindowError, WindowGroup, WindowInfo, WindowSink, WindowSource,
    WindowValue,
};

use crate::bytes::Malformed;
use crate::group::Group;
use crate::sealed::{Deletion, Generation, Incoming, SealedError, SealedStore, SealedWindow, Sealing};
use crate::store::{Inner, Store};
use crate::window::{DAY_MS, WINDOW_MS, window_of};

/// A window has about so many parts of its day.
const WINDOWS_PER_DAY: u64 = (DAY_MS / WINDOW_MS) as u64;

impl WindowSource for Store {
    fn windows_version(&self) -> u64 {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for window in self.inner.vault.windows() {
            hasher.update(&window.start.to_le_bytes());
            hasher.update(&(window.frames.len() as u64).to_le_bytes());
            for generation in window.generations.iter().chain(&window.day) {
                hasher.update(&generation.number.to_le_bytes());
            }
        }
        hasher.digest()
    }

    fn floor_ms(&self) -> i64 {
        self.inner.floor_ms().max(self.inner.floor())
    }

    fn deletions_version(&self) -> u64 {
        let deletions = self.inner.vault.deletions();
        // In whatever order they came.
        deletions.iter().fold(0, |sum, one| sum.wrapping_add(xxhash_rust::xxh3::xxh3_64(&one.put())))
    }

    fn deletions(&self) -> Vec<Vec<u8>> {
        self.inner.vault.deletions().iter().map(Deletion::put).collect()
    }

    fn windows_holding(&self, lacking: &[(StreamId, IntervalSet)], max: usize) -> Vec<WindowInfo> {
        let Some(store) = self.inner.vault.get() else { return Vec::new() };
        let holds = |window: &&Arc<SealedWindow>| {
            let held = |(stream, wanted): &(StreamId, IntervalSet)| {
                let held = window.frames.get(stream);
                held.is_some_and(|held| wanted.difference(held).count() < wanted.count())
            };
            lacking.iter().any(held) && !store.is_damaged(window.start)
        };
        let windows = self.inner.vault.windows();
        windows.iter().rev().filter(holds).take(max).map(|window| window.info()).collect()
    }

    fn window_groups(
        &self,
        start: i64,
        generation: u32,
        after: Option<u32>,
    ) -> Result<Vec<u32>, WindowError> {
        let (store, generation) = self.inner.generation(start, generation)?;
        let all: Result<Vec<u32>, _> = match generation.is_day() {
            true => store.groups_in_day(start, &generation),
            false => {
                store.index(start, &generation).map(|index| index.0.iter().map(|entry| entry.group).collect())
            }
        };
        let all = all.map_err(|error| told(start, &error))?.into_iter();
        Ok(all.filter(|number| after.is_none_or(|after| *number > after)).collect())
    }

    fn window_group(
        &self,
        start: i64,
        generation: u32,
        number: u32,
    ) -> Result<(WindowGroup, Vec<WindowValue>), WindowError> {
        let (store, generation) = self.inner.generation(start, generation)?;
        let told = |error: SealedError| told(start, &error);
        let group = store.group(number, &self.inner.state.read()).map_err(told)?;
        let values = store.values_of(start, &generation, &group, number).map_err(told)?;
        let (stream, layout) = (group.stream_id().clone(), Arc::clone(&group.layout));
        Ok((WindowGroup { number, stream, layout }, values))
    }
}

impl WindowSink for Store {
    fn takes_window(&self, start: i64) -> bool {
        self.inner.turn_if_due();
        self.inner.takes_window(start)
    }

    fn twin_floor(&self, floor_ms: i64) {
        self.inner.twin_floor.store(floor_ms, Ordering::Relaxed);
    }

    fn take_deletion(&self, deletion: &[u8]) -> Result<(), WindowError> {
        let deletion = Deletion::read(deletion).map_err(|Malformed(what)| damaged(i64::MIN, what))?;
        self.inner.take_deletion(deletion, None).map_err(WindowError::Unavailable)
    }

    fn copy_window(&self, info: WindowInfo) -> Result<Box<dyn WindowCopy>, WindowError> {
        let inner = &self.inner;
        if !self.takes_window(info.start) {
            return Err(WindowError::Unavailable(format!("window {} is not taken now", info.start)));
        }
        let incoming = Incoming::new(info.start, &inner.options.dir);
        let incoming = incoming.map_err(|error| WindowError::Unavailable(error.to_string()))?;
        Ok(Box::new(Copy { inner: Arc::clone(inner), info, incoming }))
    }
}

/// A window on its way in.
struct Copy {
    inner: Arc<Inner>,
    info: WindowInfo,
    incoming: Incoming,
}

impl WindowCopy for Copy {
    fn take(
        &mut self,
        generation: u32,
        group: WindowGroup,
        values: Vec<WindowValue>,
    ) -> Result<(), WindowError> {
        let known = {
            let mut state = self.inner.state.write();
            self.inner.check_open(&state).map_err(WindowError::Unavailable)?;
            let stream = state.streams.find(&group.stream);
            let stream = stream.ok_or_else(|| WindowError::Unavailable(unknown(&group.stream)))?;
            let layout = state.layouts.add((*group.layout).clone());
            let shape = state.layouts.shape(&layout).map(Arc::clone);
            let shape = shape.ok_or_else(|| damaged(self.info.start, "two shapes of one name"))?;
            Arc::new(Group::new(stream, state.streams.get(stream), layout, shape))
        };
        let taken = self.incoming.take(generation, group.number, known, values);
        taken.map_err(|error| told(self.info.start, &error))
    }

    fn finish(self: Box<Self>) -> Result<(), WindowError> {
        let Self { inner, info, incoming } = *self;
        let start = info.start;
        inner.install(info, incoming).map_err(|error| match error {
            SealedError::Stopped => WindowError::Unavailable(error.to_string()),
            other => told(start, &other),
        })
    }
}

impl Inner {
    fn takes_window(&self, start: i64) -> bool {
        let first = self.state.read().head.span()[0];
        let floor = self.floor();
        start == window_of(start)
            && (floor..first).contains(&start)
            && start.saturating_add(WINDOW_MS) > self.floor_ms()
    }

    /// What is gone here and not at the twin.
    pub(crate) fn gone_here(&self) -> Option<Gap> {
        let (ours, theirs) = (self.floor_ms().max(self.floor()), self.twin_floor.load(Ordering::Relaxed));
        // Whole windows go, and not at the same moment at both.
        let (ours, theirs) = (window_of(ours), window_of(theirs));
        (theirs.saturating_add(WINDOW_MS) < ours).then(|| Gap {
            start: theirs,
            end: ours - 1,
            why: format!("{} keeps nothing that old any more, its twin does", self.options.node_name),
        })
    }

    /// A generation that the manifest names.
    fn generation(
        &self,
        start: i64,
        number: u32,
    ) -> Result<(Arc<SealedStore>, Arc<Generation>), WindowError> {
        let changed = || WindowError::Changed(start);
        let store = self.vault.get().ok_or_else(changed)?;
        let window = self.vault.window(start).ok_or_else(changed)?;
        let known =
            window.generations.iter().chain(&window.day).find(|generation| generation.number == number);
        Ok((store, Arc::clone(known.ok_or_else(changed)?)))
    }

    /// Makes a window that arrived part of the store. Sealing stands still meanwhile.
    fn install(&self, info: WindowInfo, incoming: Incoming) -> Result<(), SealedError> {
        let _one = self.sealing.lock();
        let start = info.start;
        if !self.takes_window(start) {
            return Err(SealedError::Stopped);
        }
        let store = self.vault.get_or_create()?;
        let ours = self.vault.window(start);
        let stopped = || self.state.read().closed;
        let written = incoming.write(&store, ours.as_deref(), &stopped)?;
        let mut window = ours.as_deref().cloned().unwrap_or_default();
        window.start = start;
        let theirs: Vec<u32> = written.iter().map(|generation| generation.number).collect();
        // What is damaged here makes way for the same frames that are whole.
        let given = |(stream, frames): (&StreamId, &IntervalSet)| {
            let theirs = info.frames.iter().find(|(known, _)| known == stream);
            theirs.is_some_and(|(_, theirs)| frames.difference(theirs).is_empty())
        };
        let replaced = store.is_damaged(start) && window.frames.iter().all(given);
        if replaced {
            window.generations.clear();
            window.day = None;
        }
        let had = window.generations.len();
        window.generations.extend(written.into_iter().map(Arc::new));
        for (stream, frames) in &info.frames {
            window.frames.entry(stream.clone()).or_default().union(frames);
        }
        let mut unused = Vec::new();
        if had > 0 && window.generations.len() > had && !store.is_damaged(start) {
            match self.fold(&store, &window) {
                Ok(generation) => {
                    window.generations = generation.into_iter().map(Arc::new).collect();
                    unused = theirs;
                }
                Err(SealedError::Stopped) => return Err(SealedError::Stopped),
                Err(error) => {
                    tracing::warn!(%error, window = start, "a copied window stays apart from what was here of it");
                }
            }
        }
        self.copied.store(true, Ordering::Release);
        store.publish(window)?;
        if replaced {
            store.forget_damage(start);
        }
        unused.into_iter().for_each(|number| store.delete_files(start, number));
        self.count_copied(&info);
        store.tidy();
        Ok(())
    }

    /// All generations of a window but its day as one.
    fn fold(&self, store: &SealedStore, window: &SealedWindow) -> Result<Option<Generation>, SealedError> {
        let sealing = Sealing {
            store,
            start: window.start,
            is_day: false,
            fold: window.generations.iter().map(|one| (window.start, Arc::clone(one))).collect(),
            resolve: &|number| store.group(number, &self.state.read()),
            stopped: &|| self.state.read().closed,
            salvage: false,
            written: &|| Ok(()),
        };
        sealing.write(Vec::new())
    }

    /// What a copied window holds was received, and is as safe as the manifest.
    fn count_copied(&self, info: &WindowInfo) {
        let mut state = self.state.write();
        for (id, frames) in &info.frames {
            let Some(no) = state.streams.find(id) else { continue };
            let stream = state.streams.get_mut(no);
            stream.received.union(frames);
            stream.durable.union(frames);
            stream.newest = stream.newest.max(info.start);
        }
        state.head.seal(info.start);
        state.own.sealed(info.start);
    }
}

impl SealedWindow {
    fn info(&self) -> WindowInfo {
        let mut frames: Vec<_> = self.frames.iter().map(|(id, set)| (id.clone(), set.clone())).collect();
        frames.sort_by(|a, b| a.0.cmp(&b.0));
        WindowInfo {
            start: self.start,
            // The day first, as it is older than what came late.
            generations: self
                .day
                .iter()
                .chain(&self.generations)
                .map(|generation| generation.number)
                .collect(),
            bytes: self.bytes() + self.day.as_ref().map_or(0, |day| day.bytes / WINDOWS_PER_DAY),
            frames,
        }
    }
}

/// Whether it is the bytes, or the time.
fn told(start: i64, error: &SealedError) -> WindowError {
    match error {
        SealedError::Malformed(_) | SealedError::Codec(_) => damaged(start, &error.to_string()),
        other => WindowError::Unavailable(other.to_string()),
    }
}

fn damaged(start: i64, what: &str) -> WindowError {
    WindowError::Damaged { start, what: what.to_owned() }
}

fn unknown(stream: &StreamId) -> String {
    format!("stream {stream} is unknown: open it first")
}
