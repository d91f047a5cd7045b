//! Sealed windows as the store holds them: which there are, what is read of them, what goes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{Cache, DB, IngestExternalFileOptions, IteratorMode, Options, WriteBatch, WriteOptions};
use storage::StreamInfo;

use super::damage::Damage;
use super::db::{self, BLOCKS, MANIFEST};
use super::error::SealedError;
use super::gate::Gate;
use super::identity::{self, Identity};
use super::index::Index;
use super::keys::{BlockKey, DAY, window_key, window_start};
use super::manifest::{Generation, SealedWindow};
use super::tombstones::Deletion;
use crate::metrics::Metrics;
use crate::window::WINDOW_MS;

/// Below this start windows are gone for good.
const FLOOR: &[u8] = b"f";
const WINDOW: u8 = b'w';
/// RocksDB's property: bytes of open tables that are not in the cache.
const READERS: &str = "rocksdb.estimate-table-readers-mem";

/// Sealed data: opened when there is any.
pub(crate) struct Vault {
    dir: PathBuf,
    memory: usize,
    metrics: Metrics,
    open: RwLock<Option<Arc<SealedStore>>>,
}

/// Sealed data that cannot be opened: how much it was cannot be told.
#[derive(Debug)]
pub(crate) struct Loss {
    pub(crate) why: String,
    /// It does not come back with another start.
    pub(crate) for_good: bool,
}

/// The open database.
pub(crate) struct SealedStore {
    pub(super) db: DB,
    pub(super) file_options: Options,
    cache: Cache,
    /// Where files are written before they are ingested.
    pub(super) staging: PathBuf,
    pub(crate) identity: Identity,
    pub(super) windows: RwLock<BTreeMap<i64, Arc<SealedWindow>>>,
    floor: Mutex<i64>,
    next_generation: Mutex<u32>,
    /// Held by whoever changes the manifest's windows.
    pub(super) changing: Mutex<()>,
    /// Out of the manifest; their files go when nobody reads them.
    pub(super) gone: Mutex<Vec<(i64, Arc<Generation>)>>,
    pub(super) damage: Mutex<Damage>,
    pub(super) deletions: RwLock<Arc<Vec<Deletion>>>,
    gate: Gate,
    pub(super) metrics: Metrics,
    /// There may be records that nothing refers to.
    pub(crate) collects: AtomicBool,
}

impl Vault {
    /// Opens what is in `dir`; where nothing is, nothing is made. What cannot be opened is told.
    pub(crate) fn open(dir: PathBuf, memory: usize, metrics: &Metrics) -> (Self, Option<Loss>) {
        let vault = Self { dir, memory, metrics: metrics.clone(), open: RwLock::new(None) };
        let mut loss = None;
        if vault.dir.is_dir()
            && let Err(error) = vault.create(&mut loss)
        {
            tracing::error!(dir = %vault.dir.display(), %error, "sealed data cannot be opened: answers lack it");
            metrics.sealed_damage.inc();
            loss = Some(Loss { why: format!("sealed data cannot be opened: {error}"), for_good: false });
        }
        (vault, loss)
    }

    /// The same to read only: nothing is changed.
    pub(crate) fn open_to_read(dir: PathBuf, memory: usize, metrics: &Metrics) -> (Self, Option<Loss>) {
        let vault = Self { dir, memory, metrics: metrics.clone(), open: RwLock::new(None) };
        let mut loss = None;
        if vault.dir.is_dir() {
            match SealedStore::open_to_read(&vault.dir, memory, metrics.clone()) {
                Ok(store) => *vault.open.write() = Some(Arc::new(store)),
                Err(error) => {
                    let why = format!("{} cannot be opened: {error}", vault.dir.display());
                    loss = Some(Loss { why, for_good: false });
                }
            }
        }
        (vault, loss)
    }

    /// The database, if there is one.
    pub(crate) fn get(&self) -> Option<Arc<SealedStore>> {
        self.open.read().clone()
    }

    /// The database, made where there is none.
    pub(crate) fn get_or_create(&self) -> Result<Arc<SealedStore>, SealedError> {
        match self.get() {
            Some(open) => Ok(open),
            None => self.create(&mut None),
        }
    }

    fn create(&self, loss: &mut Option<Loss>) -> Result<Arc<SealedStore>, SealedError> {
        let mut open = self.open.write();
        if let Some(open) = &*open {
            return Ok(Arc::clone(open));
        }
        let store = Arc::new(SealedStore::open(&self.dir, self.memory, self.metrics.clone(), loss)?);
        *open = Some(Arc::clone(&store));
        Ok(store)
    }

    /// A window, if it is sealed.
    pub(crate) fn window(&self, start: i64) -> Option<Arc<SealedWindow>> {
        self.get()?.window(start)
    }

    /// Windows that start before it are gone, whatever arrives of them.
    pub(crate) fn floor(&self) -> i64 {
        self.get().map_or(i64::MIN, |store| *store.floor.lock())
    }

    /// All sealed windows in order.
    pub(crate) fn windows(&self) -> Vec<Arc<SealedWindow>> {
        self.get().map(|store| store.windows.read().values().cloned().collect()).unwrap_or_default()
    }

    /// What caches, write buffers and table readers take up, and what is known of windows and groups.
    pub(crate) fn memory(&self) -> u64 {
        self.get().map_or(0, |store| store.memory())
    }
}

impl SealedStore {
    fn open(
        dir: &Path,
        memory: usize,
        metrics: Metrics,
        loss: &mut Option<Loss>,
    ) -> Result<Self, SealedError> {
        let mut opened = db::open(dir, memory)?;
        let is_repaired = opened.loss.is_some();
        if let Some(why) = opened.loss.take() {
            metrics.sealed_damage.inc();
            *loss = Some(Loss { why, for_good: true });
        }
        let staging = dir.join("staging");
        let _ = std::fs::remove_dir_all(&staging);
        std::fs::create_dir_all(&staging)?;
        let store = Self::with(opened, staging, metrics)?;
        if is_repaired && let Err(error) = store.bring_blocks_back() {
            tracing::error!(%error, "blocks stay where the repair has put them: answers lack them");
        }
        store.set_files_aside(&dir.with_file_name("damaged").join("sealed"));
        store.read_manifest()?;
        store.read_deletions()?;
        store.drop_strangers();
        Ok(store)
    }

    /// Reads what is in `dir` and changes nothing.
    pub(crate) fn open_to_read(dir: &Path, memory: usize, metrics: Metrics) -> Result<Self, SealedError> {
        let store = Self::with(db::open_to_read(dir, memory)?, dir.join("staging"), metrics)?;
        store.read_manifest()?;
        store.read_deletions()?;
        Ok(store)
    }

    fn with(opened: db::Opened, staging: PathBuf, metrics: Metrics) -> Result<Self, SealedError> {
        let identity = Identity::open(&opened.db)?;
        Ok(Self {
            db: opened.db,
            file_options: opened.file_options,
            cache: opened.cache,
            staging,
            identity,
            windows: RwLock::default(),
            changing: Mutex::default(),
            floor: Mutex::new(i64::MIN),
            next_generation: Mutex::new(1),
            gone: Mutex::default(),
            damage: Mutex::default(),
            deletions: RwLock::default(),
            gate: Gate::new(opened.lenient),
            metrics,
            collects: AtomicBool::new(true),
        })
    }

    fn memory(&self) -> u64 {
        let readers = [MANIFEST, db::IDENTITY, BLOCKS].into_iter().filter_map(|name| {
            let family = self.db.cf_handle(name)?;
            self.db.property_int_value_cf(&family, READERS).ok().flatten()
        });
        let windows = self.windows.read();
        let indexes = windows.values().flat_map(|window| &window.generations).map(|one| one.index_bytes());
        self.cache.get_usage() as u64 + readers.sum::<u64>() + indexes.sum::<u64>() + self.identity.bytes()
    }

    fn read_manifest(&self) -> Result<(), SealedError> {
        let family = self.db.cf_handle(MANIFEST).ok_or(SealedError::Malformed("the manifest is missing"))?;
        let mut days: BTreeMap<u32, Arc<Generation>> = BTreeMap::new();
        for entry in self.db.iterator_cf(&family, IteratorMode::Start) {
            let (key, value) = entry?;
            if *key == *FLOOR {
                *self.floor.lock() = window_start(&value).unwrap_or(i64::MIN);
            }
            let Some((&WINDOW, number)) = key.split_first() else { continue };
            let Some(start) = window_start(number) else { continue };
            match SealedWindow::read(start, &value) {
                Ok(mut window) => {
                    // All windows of a day have the same one.
                    window.day = window.day.map(|day| Arc::clone(days.entry(day.number).or_insert(day)));
                    let last = u32::try_from(window.newest()).unwrap_or(0);
                    let mut next = self.next_generation.lock();
                    *next = (*next).max(last.saturating_add(1));
                    self.windows.write().insert(start, Arc::new(window));
                }
                Err(error) => self.note_damage(BlockKey::first(start, 0), "", &error.to_string()),
            }
        }
        self.find_missing_files();
        Ok(())
    }

    /// Generations that the manifest names and whose file is not there, or not of its size: damage that is met before
    /// anybody reads.
    fn find_missing_files(&self) {
        let files = match self.block_files() {
            Ok(files) => files,
            Err(error) => return tracing::warn!(%error, "files of sealed data cannot be listed"),
        };
        let whole = files.into_iter().filter(|(_, is_there)| *is_there);
        let there: Vec<_> = whole.filter_map(|(file, _)| Some((file.start_key?, file.end_key?))).collect();
        for (start, generation) in self.generations() {
            let index = BlockKey::index(start, generation.number);
            let first = BlockKey::first(start, generation.number).bytes();
            let has = |(start, end): &(Vec<u8>, Vec<u8>)| {
                start.as_slice() <= &index.bytes()[..] && &first[..] <= end.as_slice()
            };
            if !there.iter().any(has) {
                self.note_damage(index, "", "its file is gone, or not of its size");
            }
        }
    }

    /// Removes files that no manifest names: those of a sealing that was not finished.
    fn drop_strangers(&self) {
        let known: BTreeSet<(i64, u32)> =
            self.generations().iter().map(|(start, generation)| (*start, generation.number)).collect();
        let unreadable = self.damaged_windows();
        let files = match self.db.live_files() {
            Ok(files) => files,
            Err(error) => return tracing::warn!(%error, "files of sealed data cannot be listed"),
        };
        for file in files.iter().filter(|file| file.column_family_name == BLOCKS) {
            let Some(first) = file.start_key.as_deref().and_then(BlockKey::read) else { continue };
            let mut next = self.next_generation.lock();
            *next = (*next).max((first.generation & !DAY).saturating_add(1));
            drop(next);
            let is_of = |start: &i64| BlockKey::first(*start, first.generation).window == first.window;
            if !known.contains(&(first.window, first.generation)) && !unreadable.iter().any(is_of) {
                self.delete_files(first.window, first.generation);
            }
        }
    }

    /// A window of the manifest.
    pub(super) fn window(&self, start: i64) -> Option<Arc<SealedWindow>> {
        self.windows.read().get(&start).cloned()
    }

    /// Its windows in order.
    pub(crate) fn windows(&self) -> Vec<Arc<SealedWindow>> {
        self.windows.read().values().cloned().collect()
    }

    /// Generations that left the manifest and are perhaps read still.
    pub(super) fn gone(&self) -> Vec<(i64, Arc<Generation>)> {
        self.gone.lock().clone()
    }

    /// Bytes of the files that hold blocks.
    pub(crate) fn block_bytes(&self) -> u64 {
        let files = self.db.live_files().unwrap_or_default().into_iter();
        files.filter(|file| file.column_family_name == BLOCKS).map(|file| file.size as u64).sum()
    }

    /// All streams that have sealed data.
    pub(crate) fn streams(&self) -> Result<Vec<StreamInfo>, SealedError> {
        self.identity.streams(&self.db)
    }

    /// The number that the next generation will have.
    pub(super) fn newest_generation(&self) -> u32 {
        *self.next_generation.lock()
    }

    /// A number that no generation had.
    pub(crate) fn new_generation(&self) -> u32 {
        let mut next = self.next_generation.lock();
        let given = *next;
        *next = next.saturating_add(1);
        given
    }

    /// Takes a finished file in. Nobody reads it before the manifest names it.
    pub(super) fn ingest(&self, file: &Path) -> Result<(), SealedError> {
        let family = self.db.cf_handle(BLOCKS).ok_or(SealedError::Malformed("the blocks are missing"))?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        Ok(self.db.ingest_external_file_cf_opts(&family, &options, vec![file])?)
    }

    /// Puts a window into the manifest, synced, in place of what was there.
    pub(crate) fn publish(&self, window: SealedWindow) -> Result<(), SealedError> {
        let _one = self.changing.lock();
        self.publish_all(vec![window])
    }

    /// The same for several windows: all of them, or none. The caller holds `changing`.
    pub(super) fn publish_all(&self, windows: Vec<SealedWindow>) -> Result<(), SealedError> {
        let mut batch = WriteBatch::default();
        for window in &windows {
            self.put_window(&mut batch, window.start, Some(window))?;
        }
        self.write(batch)?;
        let before = self.generations();
        let mut all = self.windows.write();
        all.extend(windows.into_iter().map(|window| (window.start, Arc::new(window))));
        drop(all);
        self.let_go(before);
        Ok(())
    }

    /// Those of some generations that the manifest does not name any more go when their last reader has.
    fn let_go(&self, before: Vec<(i64, Arc<Generation>)>) {
        let kept: BTreeSet<u32> =
            self.generations().iter().map(|(_, generation)| generation.number).collect();
        let left = before.into_iter().filter(|(_, generation)| !kept.contains(&generation.number));
        self.gone.lock().extend(left);
    }

    /// Takes away the blocks of a damaged window of which the log has everything: from now on it answers. The files go
    /// at once, as beside a damaged one none can be taken in; who reads them meets an error and begins again. A day's
    /// file stays while other windows are read from it.
    pub(crate) fn withdraw(&self, window: &SealedWindow) -> Result<(), SealedError> {
        self.publish(SealedWindow { start: window.start, ..SealedWindow::default() })?;
        self.forget_damage(window.start);
        for generation in &window.generations {
            self.delete_files(window.start, generation.number);
        }
        self.gone.lock().retain(|(start, generation)| {
            *start != window.start || window.generation(generation.number).is_none() || generation.is_day()
        });
        Ok(())
    }

    /// Takes away a damaged day of which what can be read has been written anew, where this window was the last to name
    /// it: it may stand behind the place of the window's new file, which could not be taken in then.
    pub(crate) fn withdraw_day(&self, window: &SealedWindow) -> Result<(), SealedError> {
        let Some(day) = window.day_number() else { return Ok(()) };
        let is_other =
            |other: &Arc<SealedWindow>| other.start != window.start && other.day_number() == Some(day);
        if self.windows().iter().any(is_other) {
            return Ok(());
        }
        self.publish(SealedWindow { day: None, ..window.clone() })?;
        self.delete_files(window.start, day);
        self.gone.lock().retain(|(_, generation)| generation.number != day);
        Ok(())
    }

    /// Takes windows out of the manifest, synced, and raises the floor above them.
    pub(crate) fn forget(&self, starts: &[i64]) -> Result<(), SealedError> {
        let Some(last) = starts.iter().max() else { return Ok(()) };
        self.raise_floor(last.saturating_add(WINDOW_MS), starts)
    }

    /// The same for a floor below which there may be no window at all.
    pub(crate) fn raise_floor(&self, floor: i64, starts: &[i64]) -> Result<(), SealedError> {
        let _one = self.changing.lock();
        let floor = floor.max(*self.floor.lock());
        let family = self.db.cf_handle(MANIFEST).ok_or(SealedError::Malformed("the manifest is missing"))?;
        let mut batch = WriteBatch::default();
        batch.put_cf(&family, FLOOR, window_key(floor));
        for &start in starts {
            self.put_window(&mut batch, start, None)?;
        }
        self.write(batch)?;
        *self.floor.lock() = floor;
        let before = self.generations();
        self.windows.write().retain(|start, _| !starts.contains(start));
        self.let_go(before);
        self.forget_damage_before(floor);
        starts.iter().for_each(|start| self.forget_damage(*start));
        self.collects.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Sets the floor down, synced: it was raised by a clock that was ahead.
    pub(crate) fn lower_floor(&self, floor: i64) -> Result<(), SealedError> {
        let _one = self.changing.lock();
        let family = self.db.cf_handle(MANIFEST).ok_or(SealedError::Malformed("the manifest is missing"))?;
        let mut batch = WriteBatch::default();
        batch.put_cf(&family, FLOOR, window_key(floor));
        self.write(batch)?;
        *self.floor.lock() = floor;
        Ok(())
    }

    fn put_window(
        &self,
        batch: &mut WriteBatch,
        start: i64,
        window: Option<&SealedWindow>,
    ) -> Result<(), SealedError> {
        let family = self.db.cf_handle(MANIFEST).ok_or(SealedError::Malformed("the manifest is missing"))?;
        let mut key = vec![WINDOW];
        key.extend_from_slice(&window_key(start));
        match window {
            Some(window) => batch.put_cf(&family, key, window.put()),
            None => batch.delete_cf(&family, key),
        }
        Ok(())
    }

    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), SealedError> {
        self.gate.pass(|| {
            let mut synced = WriteOptions::default();
            synced.set_sync(true);
            Ok(self.db.write_opt(batch, &synced)?)
        })
    }

    /// Makes a copy of the database, of hard links where files do not change any more.
    pub(crate) fn copy_to(&self, dir: &Path) -> Result<(), SealedError> {
        Ok(Checkpoint::new(&self.db)?.create_checkpoint(dir)?)
    }

    /// From now on caches and write buffers take up so much; what is more goes at once.
    pub(crate) fn limit_cache(&self, bytes: usize) {
        self.cache.clone().set_capacity(bytes);
    }

    /// Removes the files of generations that nobody reads any more, and lets go of indexes.
    pub(crate) fn tidy(&self) {
        let mut gone = self.gone.lock();
        let (free, used) = gone.drain(..).partition(|(_, generation)| Arc::strong_count(generation) == 1);
        *gone = used;
        drop(gone);
        let free: Vec<(i64, Arc<Generation>)> = free;
        for (start, generation) in free {
            self.delete_files(start, generation.number);
        }
        let all = self.generations();
        all.iter().for_each(|(_, generation)| *generation.index.lock() = None);
        self.metrics.sealed_windows.set(self.windows.read().len() as i64);
        let days = all.iter().filter(|(_, generation)| generation.is_day());
        self.metrics.compactions.days.set(days.count() as i64);
        self.metrics.sealed_bytes.set(all.iter().map(|(_, generation)| generation.bytes).sum::<u64>() as i64);
        self.metrics.sealed_cache_bytes.set(self.cache.get_usage() as i64);
    }

    /// Removes the file of a generation.
    pub(crate) fn delete_files(&self, window: i64, generation: u32) {
        let Some(family) = self.db.cf_handle(BLOCKS) else { return };
        let (first, last) =
            (BlockKey::first(window, generation), BlockKey::first(window, generation.saturating_add(1)));
        let is_left = || {
            let files = self.db.live_files().unwrap_or_default().into_iter();
            let mut keys = files
                .filter(|file| file.column_family_name == BLOCKS)
                .filter_map(|file| BlockKey::read(file.start_key.as_deref()?));
            keys.any(|key| (key.window, key.generation) == (first.window, generation))
        };
        let deleted =
            self.db.delete_file_in_range_cf(&family, first.bytes(), last.bytes()).map_err(SealedError::from);
        let deleted = deleted.and_then(|()| {
            // After a repair files may be where they are not dropped whole.
            if is_left() {
                let delete = || Ok(self.db.delete_range_cf(&family, first.bytes(), last.bytes())?);
                self.gate.pass(delete)?;
                self.db.compact_range_cf(&family, Some(first.bytes()), Some(last.bytes()));
            }
            Ok(())
        });
        if let Err(error) = deleted {
            tracing::warn!(%error, window, generation, "a file of sealed data stays until the next start");
        }
    }

    /// A value under its name; `name` is what it must say that it is.
    pub(super) fn value(&self, key: &BlockKey, name: u128) -> Result<Vec<u8>, SealedError> {
        let family = self.db.cf_handle(BLOCKS).ok_or(SealedError::Malformed("the blocks are missing"))?;
        let mut value =
            self.db.get_cf(&family, key.bytes())?.ok_or(SealedError::Malformed("it is not there"))?;
        let said = value.first_chunk().map(|bytes| u128::from_le_bytes(*bytes));
        if said != Some(name) {
            return Err(SealedError::Malformed("it belongs to something else"));
        }
        value.drain(..16);
        Ok(value)
    }

    /// A generation's index.
    pub(crate) fn index(&self, window: i64, generation: &Generation) -> Result<Arc<Index>, SealedError> {
        let mut kept = generation.index.lock();
        if let Some(index) = &*kept {
            return Ok(Arc::clone(index));
        }
        let key = BlockKey::index(window, generation.number);
        let value = self.value(&key, identity::name_of_index(&key))?;
        let index = Arc::new(Index::read(key.window, key.is_day(), &value)?);
        *kept = Some(Arc::clone(&index));
        Ok(index)
    }
}
