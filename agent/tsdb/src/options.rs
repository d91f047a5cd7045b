//! How a store is opened, and why it may not be.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Labels;

/// How a store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// The store's folder; created where missing, locked against other processes.
    pub dir: PathBuf,
    /// Names the writer of the own streams.
    pub node_name: Arc<str>,
    /// Labels that the own series carry away from here; not applied to what this store itself shows.
    pub external: Labels,
    /// Samples older than this are dropped, by whole windows; zero keeps everything.
    pub retention_time: Duration,
    /// Bytes that log and sealed windows may have together before the oldest go; zero sets no limit.
    pub retention_size: u64,
    /// Bytes of the log that may outlive the retention time because a replica does not have their frames yet;
    /// then the oldest go, and become a gap.
    pub unshipped_bytes_max: u64,
    /// Free bytes of the file system below which the oldest windows go before their time, below half of which
    /// nothing is written anew, and below a fifth of which nothing is sealed. None: a tenth of the file system,
    /// at most 10 GiB. Zero: none of it happens.
    pub disk_reserve: Option<u64>,
    /// Tells how much room the file system has.
    pub space: Arc<dyn env::DiskSpace>,
    /// At most so long after a write the bytes are on the disk.
    pub sync_interval: Duration,
    /// Rows of so long a time share a frame and a write.
    pub commit_interval: Duration,
    /// Own samples further in the future are refused.
    pub ahead_max: Duration,
    /// Own samples may be so much older than the newest one and still be taken where their series has newer ones,
    /// or the head begins later; zero takes none. It can be set while the store is open.
    pub out_of_order_window: Duration,
    /// Bytes after which a segment is closed early.
    pub segment_bytes_max: u64,
    /// Bytes that may wait in memory for a disk that takes none; then frames of others are refused, and
    /// of the own ones the oldest are dropped, a part at a time. As many again may be written and wait for
    /// a sync, and as many for rows that they build on.
    pub waiting_bytes_max: usize,
    /// Windows stay in the log for so long after their end, also when they are sealed: so far back twins repair each
    /// other frame by frame, and behind it by whole windows.
    pub log_tail: Duration,
    /// Bytes that caches and write buffers of sealed data may take up.
    pub sealed_memory: usize,
    /// Bytes that the store and what is counted with it may take up in memory. Before that caches become small and
    /// rows become tiles early; then no new own series is begun. Zero sets no limit.
    pub memory_max: u64,
    /// Exemplars that are kept, at most; zero keeps none.
    pub exemplars_max: usize,
    /// Bytes that exemplars may take up in memory; the oldest go first.
    pub exemplar_bytes_max: usize,
    /// The file system.
    pub disk: Arc<dyn log::Disk>,
}

impl StoreOptions {
    /// Exemplars that are kept where nobody says otherwise: as many as in Prometheus.
    pub const EXEMPLARS_MAX: usize = 100_000;

    /// A store in `dir` with the defaults: 15 days, no size limit, 4 GiB unshipped, 200 ms to a write, 1 s to a sync,
    /// 10 minutes ahead, segments of 128 MiB, 64 MiB waiting, no tail of the log, 16 MiB for sealed data, 100,000 exemplars in
    /// 64 MiB.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, node_name: &str) -> Self {
        Self {
            dir: dir.into(),
            node_name: node_name.into(),
            external: Labels::empty(),
            retention_time: Duration::from_secs(15 * 24 * 60 * 60),
            retention_size: 0,
            unshipped_bytes_max: 4 << 30,
            disk_reserve: None,
            space: Arc::new(env::SystemDisk),
            sync_interval: Duration::from_secs(1),
            commit_interval: Duration::from_millis(200),
            ahead_max: Duration::from_secs(10 * 60),
            out_of_order_window: Duration::ZERO,
            segment_bytes_max: 128 << 20,
            waiting_bytes_max: 64 << 20,
            log_tail: Duration::ZERO,
            sealed_memory: 16 << 20,
            memory_max: 0,
            exemplars_max: Self::EXEMPLARS_MAX,
            exemplar_bytes_max: 64 << 20,
            disk: Arc::new(log::SystemDisk),
        }
    }
}

/// A store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The log's folder cannot be used.
    #[error(transparent)]
    Log(#[from] log::LogError),
}
