//! The store: one folder, one process, one writing thread.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use env::{SharedClock, SharedRandom};
use log::LogError;
use model::{Exemplar, Labels};
use parking_lot::{Condvar, Mutex, RwLock};
use storage::{
    AppendError, AppendOutcome, Appender, Changes, Epoch, ExemplarCounts, Gap, IntervalSet, Layout,
    LayoutRef, Row, RowMark, StreamId, commit_channel,
};
use telemetry::Registry;
use tokio::sync::watch;

use crate::ballast::Ballast;
use crate::days::Compaction;
use crate::disk::{DiskLevel, DiskWatch};
use crate::exemplars::Exemplars;
use crate::late::millis;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::open::{self, Opened};
use crate::options::{OpenError, StoreOptions};
use crate::seal::Turn;
use crate::sealed::Vault;
use crate::segments::FrameFiles;
use crate::state::{Queued, State};
use crate::steps::Now;
use crate::unshipped::Keeper;
use crate::writer::{Announcer, Shared, Writer};

/// The local store: an [`Appender`], [`storage::FrameSink`], [`storage::FrameSource`] and
/// [`storage::Querier`] over one folder. Dropping it closes it.
pub struct Store {
    pub(crate) inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held for the other processes to see.
    _lock: File,
}

pub(crate) struct Inner {
    pub(crate) options: StoreOptions,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) metrics: Metrics,
    /// Locked before `state`, never after.
    pub(crate) writer: Mutex<Writer>,
    pub(crate) state: RwLock<State>,
    /// Locked before `state` or without it, never after.
    pub(crate) exemplars: Mutex<Exemplars>,
    pub(crate) files: FrameFiles,
    pub(crate) ballast: Ballast,
    /// Locked for a moment, and no other meanwhile.
    pub(crate) disk: Mutex<DiskWatch>,
    pub(crate) memory: Memory,
    /// Sealed windows.
    pub(crate) vault: Vault,
    /// Days that are put together in the background.
    pub(crate) compaction: Compaction,
    /// Held by whoever seals.
    pub(crate) sealing: Mutex<Turn>,
    /// The out-of-order window in milliseconds.
    pub(crate) late_ms: AtomicI64,
    /// Whoever appends is asked for starts.
    pub(crate) keeps_starts: AtomicBool,
    /// When rows that are followed by none were looked for.
    pub(crate) looked_for_idle: Mutex<Option<Duration>>,
    /// Those who need frames: each tells which of a stream's it needs no more.
    pub(crate) keepers: RwLock<Vec<Keeper>>,
    /// Windows were copied here of which no checkpoint knows; so it is at a start, too.
    pub(crate) copied: AtomicBool,
    /// The floor of the twin, where there is one.
    pub(crate) twin_floor: AtomicI64,
    pub(crate) announcer: Announcer,
    wake: Mutex<Wake>,
    woken: Condvar,
}

/// What the writing thread is told.
#[derive(Debug, Default)]
struct Wake {
    /// Something is to be written within the commit interval.
    dirty: bool,
    /// Now.
    urgent: bool,
    stop: bool,
}

impl Store {
    /// Opens the store in `options.dir`, rebuilding the head from the log, under a new epoch.
    ///
    /// # Errors
    /// When another process has it open or the folder cannot be used; never because of what the log holds.
    pub fn open(
        options: StoreOptions,
        clock: SharedClock,
        random: SharedRandom,
        registry: &Registry,
    ) -> Result<Arc<Self>, OpenError> {
        let lock = lock(&options.dir)?;
        let metrics = Metrics::new(registry);
        let epoch = Epoch(random.next_u128());
        let now = Now::of(&*clock);
        let opened = open::open(&options, now.wall, epoch, &metrics)?;
        opened.state.head.steps.note(now);
        let inner = Arc::new(Inner::new(options, clock, random, metrics, opened));
        // What the log gave counts before anything new is taken.
        inner.watch_memory();
        inner.update_metrics();
        let worker = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("tsdb-writer".to_owned())
            .spawn(move || worker.write_until_stopped())
            .map_err(|source| OpenError::Io { path: inner.options.dir.clone(), source })?;
        Ok(Arc::new(Self { inner, thread: Mutex::new(Some(thread)), _lock: lock }))
    }

    /// What must be done now and then, at least once a minute: turning to the next window, sealing
    /// those that are past, dropping what is past its retention, counting. It reads and writes files.
    pub fn maintain(&self) {
        let inner = &self.inner;
        inner.look_at_disk();
        inner.turn_if_due();
        inner.seal_windows();
        inner.retain();
        inner.tile_idle_rows();
        if inner.state.read().outage.is_none() {
            inner.ballast.take();
        }
        inner.watch_memory();
        inner.update_metrics();
    }

    /// The part of it that memory must have: turning to the next window, and counting. Nothing is sealed or dropped.
    pub fn maintain_minimum(&self) {
        self.inner.look_at_disk();
        self.inner.turn_if_due();
        self.inner.watch_memory();
        self.inner.update_metrics();
    }

    /// Frames stay in the log, also when they are sealed, until `released` has them or they are past
    /// retention: whoever repairs tells so which frames of a stream it needs no more. It is asked whenever
    /// segments may go.
    pub fn keep_frames(&self, released: impl Fn(&StreamId) -> IntervalSet + Send + Sync + 'static) {
        self.inner.keepers.write().push(Keeper { released: Box::new(released), ships: false });
    }

    /// The same for whoever ships: frames that it needs stay past their retention time, too, as long as all
    /// of those take up no more than `unshipped_bytes_max`, and go after all others where the store is over
    /// its size. Those that have to go become a gap.
    pub fn ship_frames(&self, released: impl Fn(&StreamId) -> IntervalSet + Send + Sync + 'static) {
        self.inner.keepers.write().push(Keeper { released: Box::new(released), ships: true });
    }

    /// How full the disk was when [`Store::maintain`] last looked: jobs that write much ask whether they may.
    #[must_use]
    pub fn disk_level(&self) -> DiskLevel {
        self.inner.disk_level()
    }

    /// From now on whoever appends is asked for the starts of samples, too.
    pub fn keep_starts(&self) {
        self.inner.keeps_starts.store(true, Ordering::Relaxed);
    }

    /// Damages of the log that were met since the store was opened: stretches and records that cannot be used, and
    /// segments that are gone. What a kill leaves at a log's end is none.
    #[must_use]
    pub fn log_corruptions(&self) -> u64 {
        self.inner.metrics.log_corruptions.get()
    }

    /// Writes and syncs everything that was appended so far.
    ///
    /// # Errors
    /// When the disk does not take it; it stays in memory.
    pub fn flush(&self) -> Result<(), LogError> {
        self.inner.write_all(true)
    }

    /// Takes no more rows and frames, writes and syncs what there is, and ends the writing thread.
    ///
    /// # Errors
    /// When the disk does not take everything.
    pub fn close(&self) -> Result<(), LogError> {
        self.inner.state.write().closed = true;
        self.inner.compaction.stop();
        self.inner.wake.lock().stop = true;
        self.inner.woken.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the writing thread had panicked");
        }
        self.inner.write_all(true)
    }

    /// Records that data is missing: answers that cover the time will say so.
    pub fn record_gap(&self, gap: Gap) {
        let mut state = self.inner.state.write();
        if !state.gaps.contains(&gap) {
            state.gaps.push(gap.clone());
            state.queue.push_back(Queued::Gap(gap));
        }
        drop(state);
        self.inner.wake(false);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "not everything could be written");
        }
    }
}

impl Appender for Store {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        self.inner.turn_if_due();
        let mut state = self.inner.state.write();
        self.inner.make_room(&mut state).map_err(AppendError::Unavailable)?;
        self.inner.admit(&state, &layout)?;
        let unknown = || AppendError::Unavailable("the layout's shape is not known".to_owned());
        state.own_layout(layout).ok_or_else(unknown)
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        self.append_changes(row, None).map(|(outcome, _)| outcome)
    }

    fn append_changes(
        &self,
        row: Row<'_>,
        changes: Option<Changes<'_>>,
    ) -> Result<(AppendOutcome, Option<RowMark>), AppendError> {
        let inner = &self.inner;
        inner.turn_if_due();
        let bounds = inner.bounds();
        let mut state = inner.state.write();
        inner.make_room(&mut state).map_err(AppendError::Unavailable)?;
        let verdict = state.own_append(row, changes, bounds)?;
        drop(state);
        let metrics = &inner.metrics;
        metrics.appended.inc_by(verdict.appended as u64);
        metrics.out_of_order.inc_by(verdict.out_of_order as u64);
        metrics.out_of_bounds.inc_by(verdict.out_of_bounds as u64);
        metrics.duplicates.inc_by(verdict.duplicates as u64);
        metrics.too_old.inc_by(verdict.too_old as u64);
        metrics.late.inc_by(verdict.late as u64);
        if verdict.appended > 0 {
            inner.wake(verdict.sealed);
        }
        let mark = verdict.mark;
        let outcome = AppendOutcome {
            appended: verdict.appended,
            out_of_order: verdict.out_of_order,
            duplicates: verdict.duplicates,
            out_of_bounds: verdict.out_of_bounds,
            too_old: verdict.too_old,
            first_rejected: verdict.first_rejected,
            commit: inner.announcer.own.commit(verdict.position),
        };
        Ok((outcome, mark))
    }

    fn known(&self, layout: &Layout) -> Vec<bool> {
        self.inner.state.read().head.knows(layout)
    }

    fn takes_out_of_order(&self) -> bool {
        self.inner.late_ms.load(Ordering::Relaxed) > 0
    }

    fn keeps_starts(&self) -> bool {
        self.inner.keeps_starts.load(Ordering::Relaxed)
    }

    fn append_exemplars(&self, series: &Labels, exemplars: &[Exemplar]) -> ExemplarCounts {
        self.inner.append_exemplars(series, exemplars)
    }
}

impl Inner {
    /// A store of what was opened; nothing writes yet.
    pub(crate) fn new(
        options: StoreOptions,
        clock: SharedClock,
        random: SharedRandom,
        metrics: Metrics,
        opened: Opened,
    ) -> Self {
        let Opened { log, state, exemplars, files, vault } = opened;
        let announcer =
            Announcer { own: commit_channel(), received: commit_channel(), frames: watch::Sender::new(0) };
        Self {
            writer: Mutex::new(Writer::new(log, options.segment_bytes_max)),
            state: RwLock::new(state),
            exemplars: Mutex::new(exemplars),
            files,
            ballast: Ballast::new(&options.dir),
            disk: Mutex::default(),
            memory: Memory::default(),
            vault,
            compaction: Compaction::default(),
            sealing: Mutex::default(),
            late_ms: AtomicI64::new(millis(options.out_of_order_window)),
            keeps_starts: AtomicBool::new(false),
            looked_for_idle: Mutex::default(),
            keepers: RwLock::default(),
            copied: AtomicBool::new(true),
            twin_floor: AtomicI64::new(i64::MAX),
            announcer,
            wake: Mutex::new(Wake::default()),
            woken: Condvar::new(),
            options,
            clock,
            random,
            metrics,
        }
    }

    /// Why nothing can be taken, if so.
    pub(crate) fn check_open(&self, state: &State) -> Result<(), String> {
        if state.closed {
            return Err("the store is closed".to_owned());
        }
        let (waiting, max) = (state.waiting(), self.options.waiting_bytes_max);
        if waiting >= max {
            return Err(format!("{waiting} bytes wait for the disk, at most {max}"));
        }
        Ok(())
    }

    /// Tells the writing thread that there is something to write: within the commit interval, or now.
    pub(crate) fn wake(&self, urgent: bool) {
        let mut wake = self.wake.lock();
        let news = !wake.dirty || (urgent && !wake.urgent);
        wake.dirty = true;
        wake.urgent |= urgent;
        drop(wake);
        if news {
            self.woken.notify_all();
        }
    }

    /// Closes the open frame and writes everything that is queued.
    pub(crate) fn write_all(&self, sync: bool) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        self.seal();
        let now = self.clock.monotonic();
        let shared = self.shared(now);
        let written = writer.write(&shared, sync);
        drop(writer);
        self.make_tiles();
        written
    }

    pub(crate) fn shared(&self, now: Duration) -> Shared<'_> {
        Shared {
            state: &self.state,
            announcer: &self.announcer,
            metrics: &self.metrics,
            node: &self.options.node_name,
            now_ms: self.clock.now_ms(),
            now,
        }
    }

    /// The writing thread.
    fn write_until_stopped(&self) {
        // Waits that ran out since the last sync: they count where the clock stands still.
        let mut waits = 0u32;
        loop {
            let mut wake = self.wake.lock();
            while !wake.dirty && !wake.stop {
                self.woken.wait(&mut wake);
            }
            let interval = self.options.commit_interval;
            if !wake.urgent && !wake.stop && self.woken.wait_for(&mut wake, interval).timed_out() {
                waits += 1;
            }
            if wake.stop {
                return;
            }
            wake.urgent = false;
            wake.dirty = false;
            drop(wake);
            let mut writer = self.writer.lock();
            self.seal();
            let waited = self.options.commit_interval.saturating_mul(waits) >= self.options.sync_interval;
            let now = self.clock.monotonic();
            let sync = waited || writer.wants_sync(now, self.options.sync_interval);
            let failed = writer.write(&self.shared(now), sync).is_err();
            if sync {
                waits = 0;
            }
            let behind = writer.is_behind();
            drop(writer);
            self.make_tiles();
            let mut wake = self.wake.lock();
            wake.dirty |= behind;
            if failed && !wake.stop {
                // The disk is given time; `stop` still ends the wait.
                self.woken.wait_for(&mut wake, self.options.sync_interval);
            }
        }
    }
}

/// Makes the folder and locks it.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    let path = dir.join("LOCK");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    // On a disk that is read-only what is there can be asked for, and rows go on in memory.
    let read_only = |error: &io::Error| error.kind() == io::ErrorKind::ReadOnlyFilesystem;
    let file = match file {
        Err(error) if read_only(&error) => File::open(&path),
        opened => opened,
    }
    .map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}
