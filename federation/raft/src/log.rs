//! The log, the vote and the node's identity in one RocksDB: one write-ahead log, one order of writes.
//!
//! Keys: `l` and the index as 8 big-endian bytes hold an entry; `m/vote`, `m/committed`, `m/purged` and
//! `m/identity` hold one record each (formats: `codec`). A write is in memory at once and readable; one
//! thread then syncs the write-ahead log for everything that waits, and only then tells. Any error is
//! final: RocksDB may have stopped writing, so the node stops voting and says so.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use futures_util::{Stream, StreamExt, stream};
use openraft::alias::LogIdOf;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{OptionalSend, alias};
use parking_lot::{Mutex, RwLock};
use prost::Message;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Direction, IteratorMode, Options,
};
use rocksdb::{WriteBatch, WriteOptions};
use tokio::sync::{mpsc, oneshot, watch};

use crate::codec::{self, EntryRecord, IdentityRecord, LogIdRecord, PayloadRecord, VoteRecord};
use crate::engine::{Entry, LogId, TypeConfig, Vote};
use crate::types::{LeaderId, LoggedCommand, RaftError};

const VOTE: &[u8] = b"m/vote";
const COMMITTED: &[u8] = b"m/committed";
const PURGED: &[u8] = b"m/purged";
const IDENTITY: &[u8] = b"m/identity";
const LOG: u8 = b'l';

/// Bytes of entries in one append or one read for applying, well under a message's limit; one entry may be
/// larger alone.
const READ_BYTES: usize = 1 << 20;
/// Waiting syncs: each is an append of the engine, which waits for this queue when it is full.
const SYNC_QUEUE: usize = 1_024;

/// The log store; clones share it.
#[derive(Clone)]
pub(crate) struct LogStore(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    /// None once closed.
    db: RwLock<Option<Arc<DB>>>,
    ends: Mutex<Ends>,
    sync: mpsc::Sender<Waiter>,
    thread: Option<JoinHandle<()>>,
    fatal: watch::Sender<Option<String>>,
}

impl Drop for Shared {
    /// Waits until the folder is closed: whoever drops the last store may open it again, and a process that
    /// ends does not take RocksDB's statics from under a thread that still closes.
    fn drop(&mut self) {
        self.sync = mpsc::channel(1).0;
        *self.db.get_mut() = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that syncs the raft log had panicked");
        }
    }
}

/// Both ends of the log, so that asking for them reads nothing.
#[derive(Clone, Copy, Default)]
struct Ends {
    purged: Option<LogId>,
    last: Option<LogId>,
}

/// Who is told once everything written before is on disk.
enum Waiter {
    Append(IOFlushed<TypeConfig>),
    Call(oneshot::Sender<io::Result<()>>),
    Close(oneshot::Sender<()>),
}

impl LogStore {
    /// Opens or creates the log in `dir`; `fatal` is told when it can no longer be written.
    pub(crate) fn open(dir: &Path, fatal: watch::Sender<Option<String>>) -> Result<Self, RaftError> {
        let wrong = |reason: String| RaftError::Log { dir: dir.to_owned(), reason };
        std::fs::create_dir_all(dir).map_err(|error| wrong(error.to_string()))?;
        let db = Arc::new(DB::open(&options(), dir).map_err(|error| wrong(error.to_string()))?);
        let ends = read_ends(&db).map_err(|error| wrong(error.to_string()))?;
        let (sync, waiting) = mpsc::channel(SYNC_QUEUE);
        let (thread_db, thread_fatal) = (db.clone(), fatal.clone());
        let thread = std::thread::Builder::new()
            .name("raft-log-sync".to_owned())
            .spawn(move || sync_loop(thread_db, waiting, &thread_fatal))
            .map_err(|error| wrong(format!("sync thread: {error}")))?;
        let shared = Shared {
            dir: dir.to_owned(),
            db: RwLock::new(Some(db)),
            ends: Mutex::new(ends),
            sync,
            thread: Some(thread),
            fatal,
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Syncs and closes: later calls answer an error, and the folder can be opened again.
    pub(crate) async fn close(&self) {
        let db = self.0.db.write().take();
        drop(db);
        let (tell, told) = oneshot::channel();
        if self.0.sync.send(Waiter::Close(tell)).await.is_ok() {
            // The thread dropped the sender: it is closed just as well.
            let _ = told.await;
        }
    }

    /// What this node is, if it is a member of anything.
    pub(crate) fn identity(&self) -> io::Result<Option<IdentityRecord>> {
        self.db()?.get(IDENTITY).map_err(io::Error::other)?.map(|bytes| codec::decode(&bytes)).transpose()
    }

    /// Keeps what this node is; on disk when it returns.
    pub(crate) async fn save_identity(&self, identity: &IdentityRecord) -> io::Result<()> {
        self.write_synced(|batch| batch.put(IDENTITY, identity.encode_to_vec())).await
    }

    /// The last purged entry, which a snapshot must cover.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.0.ends.lock().purged
    }

    /// Nothing was ever appended or voted for.
    pub(crate) fn is_blank(&self) -> io::Result<bool> {
        let ends = *self.0.ends.lock();
        Ok(ends.last.is_none() && self.db()?.get(VOTE).map_err(io::Error::other)?.is_none())
    }

    fn db(&self) -> io::Result<Arc<DB>> {
        if let Some(reason) = &*self.0.fatal.borrow() {
            return Err(io::Error::other(format!("raft log {}: {reason}", self.0.dir.display())));
        }
        let closed = || io::Error::other(format!("raft log {}: closed", self.0.dir.display()));
        self.0.db.read().clone().ok_or_else(closed)
    }

    /// Writes without waiting for the disk: readable at once, and ordered before later writes.
    fn write(&self, fill: impl FnOnce(&mut WriteBatch)) -> io::Result<()> {
        let db = self.db()?;
        let mut batch = WriteBatch::default();
        fill(&mut batch);
        db.write_opt(batch, &WriteOptions::default()).map_err(|error| self.failed(&error))
    }

    async fn write_synced(&self, fill: impl FnOnce(&mut WriteBatch)) -> io::Result<()> {
        self.write(fill)?;
        let (tell, told) = oneshot::channel();
        self.0.sync.send(Waiter::Call(tell)).await.map_err(|_| io::Error::other("raft log: closed"))?;
        told.await.map_err(|_| io::Error::other("raft log: closed"))?
    }

    fn failed(&self, error: &rocksdb::Error) -> io::Error {
        self.0.fatal.send_if_modified(|fatal| {
            let first = fatal.is_none();
            fatal.get_or_insert_with(|| error.to_string());
            first
        });
        io::Error::other(format!("raft log {}: {error}", self.0.dir.display()))
    }

    /// Entries of `from..to`, at most `bytes` of them but at least one.
    fn read(&self, from: u64, to: u64, bytes: usize) -> io::Result<Vec<Entry>> {
        if from >= to {
            return Ok(Vec::new());
        }
        let db = self.db()?;
        let (mut entries, mut size) = (Vec::new(), 0);
        for item in db.iterator(IteratorMode::From(&key(from), Direction::Forward)) {
            let (found, value) = item.map_err(|error| self.failed(&error))?;
            let Some(index) = index_of(&found).filter(|index| *index < to) else { break };
            let expected = entries.last().map_or(index, |entry: &Entry| entry.log_id.index + 1);
            if index != expected {
                let what = format!("raft log {}: no entry {expected}, next is {index}", self.0.dir.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            size += value.len();
            if size > bytes && !entries.is_empty() {
                break;
            }
            entries.push(codec::to_entry(codec::decode(&value)?)?);
        }
        Ok(entries)
    }

    fn vote(&self) -> io::Result<Option<Vote>> {
        let bytes = self.db()?.get(VOTE).map_err(|error| self.failed(&error))?;
        bytes.map(|bytes| codec::decode::<VoteRecord>(&bytes).map(|vote| codec::to_vote(&vote))).transpose()
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        self.read(from, to, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_BYTES)
    }

    /// Reads as the state machine goes, so that a long replay is never in memory as a whole.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        let store = self.clone();
        let chunks = stream::unfold(Some(from), move |next| {
            let read = next.map(|from| store.read(from, to, READ_BYTES));
            async move {
                match read? {
                    Err(error) => Some((vec![Err(error)], None)),
                    Ok(entries) => {
                        let next = entries.last()?.log_id.index + 1;
                        Some((entries.into_iter().map(Ok).collect(), Some(next)))
                    }
                }
            }
        });
        chunks.flat_map(stream::iter).boxed()
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        self.vote()
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let ends = *self.0.ends.lock();
        Ok(LogState { last_purged_log_id: ends.purged, last_log_id: ends.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.write_synced(|batch| batch.put(VOTE, codec::from_vote(vote).encode_to_vec())).await
    }

    /// Survives the process, not the machine: after a power cut the next leader tells again, and
    /// linearizable reads wait for it.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.write(|batch| match committed {
            Some(id) => batch.put(COMMITTED, codec::from_log_id(&id).encode_to_vec()),
            None => batch.delete(COMMITTED),
        })?;
        self.db()?.flush_wal(false).map_err(|error| self.failed(&error))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        read_log_id(&*self.db()?, COMMITTED)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut last = None;
        let written = self.write(|batch| {
            for entry in entries {
                batch.put(key(entry.log_id.index), codec::from_entry(&entry).encode_to_vec());
                last = Some(entry.log_id);
            }
        });
        if let Err(error) = written {
            callback.io_completed(Err(io::Error::other(error.to_string())));
            return Err(error);
        }
        if last.is_some() {
            self.0.ends.lock().last = last;
        }
        self.0.sync.send(Waiter::Append(callback)).await.map_err(|_| io::Error::other("raft log: closed"))
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<TypeConfig>>) -> Result<(), io::Error> {
        let ends = *self.0.ends.lock();
        let first_gone = last.map_or(0, |id| id.index + 1);
        let Some(end) = ends.last.map(|id| id.index).filter(|end| *end >= first_gone) else { return Ok(()) };
        self.write_synced(|batch| {
            for index in first_gone..=end {
                batch.delete(key(index));
            }
        })
        .await?;
        self.0.ends.lock().last = last.max(ends.purged);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let ends = *self.0.ends.lock();
        if ends.purged >= Some(upto) {
            return Ok(());
        }
        self.write_synced(|batch| {
            batch.delete_range(key(0), key(upto.index + 1));
            batch.put(PURGED, codec::from_log_id(&upto).encode_to_vec());
        })
        .await?;
        let mut ends = self.0.ends.lock();
        ends.purged = Some(upto);
        ends.last = ends.last.max(Some(upto));
        Ok(())
    }
}

/// Every command in the log of a process that is dead, oldest first. Raft's own entries are left out.
///
/// Uncommitted commands at the end are included; what a snapshot replaced is not.
///
/// # Errors
/// When there is no log in `dir` or it cannot be read.
pub fn read_log(dir: &Path) -> Result<Vec<LoggedCommand>, RaftError> {
    let dir = log_dir(dir);
    let wrong = |reason: String| RaftError::Log { dir: dir.clone(), reason };
    let mut read = Options::default();
    read.set_max_open_files(128);
    let db = DB::open_for_read_only(&read, &dir, false).map_err(|error| wrong(error.to_string()))?;
    let mut commands = Vec::new();
    for item in db.iterator(IteratorMode::From(&key(0), Direction::Forward)) {
        let (found, value) = item.map_err(|error| wrong(error.to_string()))?;
        let Some(index) = index_of(&found) else { break };
        let entry: EntryRecord =
            codec::decode(&value).map_err(|error| wrong(format!("entry {index}: {error}")))?;
        if let Some(PayloadRecord::Command(bytes)) = entry.payload {
            commands.push((index, LeaderId { term: entry.id.term, node: entry.id.node }, bytes));
        }
    }
    Ok(commands)
}

/// The log's folder inside a node's raft folder.
pub(crate) fn log_dir(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// Syncs for everyone who waits, until the last store is gone or it is closed.
fn sync_loop(db: Arc<DB>, mut waiting: mpsc::Receiver<Waiter>, fatal: &watch::Sender<Option<String>>) {
    let mut group = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        group.push(first);
        while let Ok(more) = waiting.try_recv() {
            group.push(more);
        }
        let result = db.flush_wal(true).map_err(|error| error.to_string());
        if let Err(reason) = &result {
            fatal.send_if_modified(|fatal| {
                let first = fatal.is_none();
                fatal.get_or_insert_with(|| reason.clone());
                first
            });
        }
        let told = || result.clone().map_err(io::Error::other);
        for waiter in group.drain(..) {
            match waiter {
                Waiter::Append(callback) => callback.io_completed(told()),
                Waiter::Call(tell) => drop(tell.send(told())),
                Waiter::Close(tell) => {
                    drop(db);
                    let _ = tell.send(());
                    return;
                }
            }
        }
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_manual_wal_flush(true);
    // A torn tail is a crash; damage before it would silently forget what was promised, so it is an error.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_write_buffer_size(4 << 20);
    options.set_max_write_buffer_number(2);
    options.set_max_open_files(128);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_max_background_jobs(2);
    options.set_compression_type(DBCompressionType::Lz4);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(1 << 20));
    options.set_block_based_table_factory(&blocks);
    options
}

fn read_ends(db: &DB) -> io::Result<Ends> {
    let purged = read_log_id(db, PURGED)?;
    let mut last = purged;
    if let Some(item) = db.iterator(IteratorMode::From(&key(u64::MAX), Direction::Reverse)).next() {
        let (found, value) = item.map_err(io::Error::other)?;
        if index_of(&found).is_some() {
            let entry: EntryRecord = codec::decode(&value)?;
            last = last.max(Some(codec::to_log_id(&entry.id)));
        }
    }
    Ok(Ends { purged, last })
}

fn read_log_id(db: &DB, name: &[u8]) -> io::Result<Option<alias::LogIdOf<TypeConfig>>> {
    let bytes = db.get(name).map_err(io::Error::other)?;
    bytes.map(|bytes| codec::decode::<LogIdRecord>(&bytes).map(|id| codec::to_log_id(&id))).transpose()
}

fn key(index: u64) -> [u8; 9] {
    let mut key = [LOG; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

fn index_of(key: &[u8]) -> Option<u64> {
    let rest = key.strip_prefix(&[LOG])?;
    rest.try_into().ok().map(u64::from_be_bytes)
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}
