//! The log: a row of segments, of which the last is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ahead::{Scanned, scan_segments};
use crate::disk::{Disk, SegmentFile, SystemDisk};
use crate::error::LogError;
use crate::record::{self, Location, RECORD_MAX, Record};
use crate::scan::{Damage, Recovery, segment_path};

/// How a log is opened.
#[derive(Clone)]
pub struct LogOptions {
    /// The log's folder; created where missing.
    pub dir: PathBuf,
    /// Bytes that may wait in memory for a write or a sync.
    pub waiting_bytes_max: usize,
    /// The file system.
    pub disk: Arc<dyn Disk>,
}

impl LogOptions {
    /// A log in `dir` with the defaults: 64 MiB may wait.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), waiting_bytes_max: 64 << 20, disk: Arc::new(SystemDisk) }
    }
}

/// A record that was written again elsewhere because its first segment could not be synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Where it was.
    pub from: Location,
    /// Where it is.
    pub to: Location,
}

/// A segment's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentStat {
    /// Its index; later segments have greater ones.
    pub index: u64,
    /// Its bytes on the disk.
    pub bytes: u64,
}

/// A log that is open for writing.
pub struct Log {
    options: LogOptions,
    closed: Vec<SegmentStat>,
    open: Option<Open>,
    next_index: u64,
    /// Records that are not known to be on the disk: first those written, then those not.
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    moved: Vec<Moved>,
}

/// The segment that is written.
struct Open {
    index: u64,
    path: PathBuf,
    file: Box<dyn SegmentFile>,
    /// Bytes written; everything before is whole.
    written: u64,
    /// Bytes synced.
    synced: u64,
    /// A sync failed: the kernel may have dropped pages, and would report success from now on.
    suspect: bool,
}

struct Waiting {
    at: Location,
    bytes: Vec<u8>,
}

impl Log {
    /// Opens a log and gives every intact record to `visit`, oldest first. Writing goes on in a new
    /// segment, so a tail that was cut off stays as it is.
    ///
    /// # Errors
    /// When the folder cannot be made or listed. Damaged and unreadable segments are no error.
    pub fn open(options: LogOptions, visit: &mut dyn FnMut(Record)) -> Result<(Self, Recovery), LogError> {
        Self::open_prepared(options, &mut |record| record, visit)
    }

    /// The same with what `prepare` makes of each record: the thread that reads ahead does, `visit` takes it.
    ///
    /// # Errors
    /// As for [`Log::open`].
    pub fn open_prepared<T: Send>(
        options: LogOptions,
        prepare: &mut (dyn FnMut(Record) -> T + Send),
        visit: &mut dyn FnMut(T),
    ) -> Result<(Self, Recovery), LogError> {
        let dir = options.dir.clone();
        std::fs::create_dir_all(&dir).map_err(LogError::io("creating", &dir))?;
        let opened = Self::read(options, true, prepare, visit)?;
        sync_last(&dir, &opened.0.closed);
        Ok(opened)
    }

    /// The same to read only: no file is made, removed or synced; nothing may be appended.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn open_to_read<T: Send>(
        dir: impl Into<PathBuf>,
        prepare: &mut (dyn FnMut(Record) -> T + Send),
        visit: &mut dyn FnMut(T),
    ) -> Result<(Self, Recovery), LogError> {
        Self::read(LogOptions::new(dir), false, prepare, visit)
    }

    fn read<T: Send>(
        options: LogOptions,
        remove_empty: bool,
        prepare: &mut (dyn FnMut(Record) -> T + Send),
        visit: &mut dyn FnMut(T),
    ) -> Result<(Self, Recovery), LogError> {
        let dir = options.dir.clone();
        let mut recovery = Recovery::default();
        let mut closed = Vec::new();
        let indexes = list(&dir)?;
        recovery.missing = indexes.windows(2).map(|pair| (pair[1] - pair[0]).saturating_sub(1)).sum();
        let sizes: Vec<u64> = indexes.iter().map(|&index| file_size(&segment_path(&dir, index))).collect();
        let scanned = scan_segments(&dir, &indexes, prepare, visit);
        for (position, ((index, Scanned { records, damage }), bytes)) in
            scanned.into_iter().zip(sizes).enumerate()
        {
            let path = segment_path(&dir, index);
            recovery.records += records;
            // A segment that the disk does not give (any more) is damage like any other.
            let damage = damage.unwrap_or_else(|error| {
                tracing::error!(%error, "a segment cannot be read to its end");
                Damage { regions: 1, bytes, torn: 0 }
            });
            recovery.corrupt_regions += damage.regions;
            recovery.corrupt_bytes += damage.bytes;
            if position + 1 == indexes.len() {
                recovery.torn_bytes = damage.torn;
            } else if damage.torn > 0 {
                recovery.corrupt_regions += 1;
                recovery.corrupt_bytes += damage.torn;
            }
            if records == 0 && damage == Damage::default() && !remove_empty {
                continue;
            }
            if records == 0 && damage == Damage::default() {
                // A start that was cut short leaves one at the end, never before others.
                recovery.missing += u64::from(position + 1 < indexes.len());
                match options.disk.remove(&path) {
                    Ok(()) => continue,
                    Err(error) => tracing::warn!(segment = %path.display(), %error, "an empty segment stays"),
                }
            }
            recovery.segments += 1;
            closed.push(SegmentStat { index, bytes });
        }
        let next_index = indexes.last().map_or(1, |last| last + 1);
        let log = Self {
            options,
            closed,
            open: None,
            next_index,
            waiting: Vec::new(),
            waiting_bytes: 0,
            moved: Vec::new(),
        };
        Ok((log, recovery))
    }

    /// The folder, for [`crate::SegmentReader`] and [`crate::scan_segment`].
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// Takes a record into memory; its place is known now, its bytes are there after [`Log::write`].
    ///
    /// # Errors
    /// [`LogError::Full`] when too much waits, [`LogError::TooLarge`], or the first segment cannot be created.
    pub fn append(&mut self, kind: u8, payload: &[u8]) -> Result<Location, LogError> {
        if payload.len() > RECORD_MAX {
            return Err(LogError::TooLarge(payload.len()));
        }
        if self.waiting_bytes >= self.options.waiting_bytes_max {
            return Err(LogError::Full { bytes: self.waiting_bytes, max: self.options.waiting_bytes_max });
        }
        let end = self.waiting_end();
        let open = self.open_segment()?;
        let at = end
            .filter(|end| end.segment == open.index)
            .unwrap_or(Location { segment: open.index, offset: open.written });
        let mut bytes = Vec::new();
        record::encode(kind, payload, &mut bytes);
        self.waiting_bytes += bytes.len();
        self.waiting.push(Waiting { at, bytes });
        Ok(at)
    }

    /// Hands all appended records to the operating system in one write.
    ///
    /// # Errors
    /// When writing fails: the records stay in memory and the next call tries again.
    pub fn write(&mut self) -> Result<(), LogError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let mut batch = Vec::new();
        for waiting in self.waiting.iter().filter(|waiting| waiting.at.offset >= open.written) {
            batch.extend_from_slice(&waiting.bytes);
        }
        if batch.is_empty() {
            return Ok(());
        }
        // A write that failed half way is repeated at the same offset, over what it left.
        open.file.write_all_at(&batch, open.written).map_err(LogError::io("writing", &open.path))?;
        open.written += batch.len() as u64;
        Ok(())
    }

    /// Makes all that was written survive a power cut. When the segment cannot be synced it is given
    /// up: what it may have lost is written and synced in a new one, see [`Log::take_moved`].
    ///
    /// # Errors
    /// When that fails too; the records stay in memory and the next call tries again.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.write()?;
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.synced == open.written {
            return Ok(());
        }
        if !open.suspect {
            match open.file.sync() {
                Ok(()) => {
                    open.synced = open.written;
                    self.waiting.clear();
                    self.waiting_bytes = 0;
                    return Ok(());
                }
                Err(error) => {
                    tracing::error!(segment = %open.path.display(), %error, "sync failed: writing to a new segment");
                    open.suspect = true;
                }
            }
        }
        self.rewrite()
    }

    /// Closes the open segment, synced; the next record starts a new one.
    ///
    /// # Errors
    /// When writing or syncing fails; the segment stays open.
    pub fn roll(&mut self) -> Result<(), LogError> {
        self.sync()?;
        if let Some(open) = self.open.take() {
            self.closed.push(SegmentStat { index: open.index, bytes: open.written });
        }
        Ok(())
    }

    /// Records that changed their place since the last call.
    #[must_use]
    pub fn take_moved(&mut self) -> Vec<Moved> {
        std::mem::take(&mut self.moved)
    }

    /// The open segment and its size, what waits for a write among it; none before the first record.
    #[must_use]
    pub fn current(&self) -> Option<SegmentStat> {
        let open = self.open.as_ref()?;
        let end = self.waiting_end().map_or(open.written, |end| end.offset.max(open.written));
        Some(SegmentStat { index: open.index, bytes: end })
    }

    /// All segments, oldest first, the open one last.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentStat> {
        self.closed.iter().copied().chain(self.current()).collect()
    }

    /// Bytes that wait in memory for a write or a sync.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Removes a closed segment; one that is open or unknown is left alone.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(&mut self, segment: u64) -> Result<(), LogError> {
        let Some(at) = self.closed.iter().position(|stat| stat.index == segment) else { return Ok(()) };
        let path = segment_path(&self.options.dir, segment);
        match self.options.disk.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(LogError::io("removing", &path)(error));
            }
            _ => {}
        }
        self.closed.remove(at);
        // A name that comes back after a power cut is read and removed again.
        if let Err(error) = self.options.disk.sync_dir(&self.options.dir) {
            tracing::warn!(dir = %self.options.dir.display(), %error, "a removal is not on the disk yet");
        }
        Ok(())
    }

    /// Writes everything that is not known to be on the disk to a new segment and syncs that.
    fn rewrite(&mut self) -> Result<(), LogError> {
        let fresh = self.create()?;
        let mut offset = fresh.written;
        for waiting in &mut self.waiting {
            let to = Location { segment: fresh.index, offset };
            offset += waiting.bytes.len() as u64;
            self.moved.push(Moved { from: waiting.at, to });
            waiting.at = to;
        }
        if let Some(given_up) = self.open.replace(fresh) {
            if given_up.synced <= record::SEGMENT_HEAD as u64 {
                // Nothing in it was ever safe and all of it is in memory: no reason to keep the file.
                if let Err(error) = self.options.disk.remove(&given_up.path) {
                    tracing::warn!(segment = %given_up.path.display(), %error, "a segment given up stays");
                }
            } else {
                self.closed.push(SegmentStat { index: given_up.index, bytes: given_up.written });
            }
        }
        self.write()?;
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Err(error) = open.file.sync() {
            open.suspect = true;
            return Err(LogError::io("syncing", &open.path)(error));
        }
        open.synced = open.written;
        self.waiting.clear();
        self.waiting_bytes = 0;
        Ok(())
    }

    fn open_segment(&mut self) -> Result<&mut Open, LogError> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.create()?,
        };
        Ok(self.open.insert(open))
    }

    /// A new segment whose name and head survive a power cut.
    fn create(&mut self) -> Result<Open, LogError> {
        let index = self.next_index;
        let path = segment_path(&self.options.dir, index);
        // An index is used once, also when creating fails half way.
        self.next_index += 1;
        let file = self.options.disk.create(&path).map_err(LogError::io("creating", &path))?;
        let head = record::segment_head(index);
        let ready = file
            .write_all_at(&head, 0)
            .and_then(|()| file.sync())
            .and_then(|()| self.options.disk.sync_dir(&self.options.dir));
        if let Err(error) = ready {
            // It holds nothing: an empty file that stays is dropped at the next start.
            let _ = self.options.disk.remove(&path);
            return Err(LogError::io("creating", &path)(error));
        }
        let written = head.len() as u64;
        Ok(Open { index, path, file, written, synced: written, suspect: false })
    }

    /// Where the record after the last waiting one goes.
    fn waiting_end(&self) -> Option<Location> {
        let last = self.waiting.last()?;
        Some(Location { segment: last.at.segment, offset: last.at.offset + last.bytes.len() as u64 })
    }
}

/// The segments of the log in `dir`, oldest first.
///
/// # Errors
/// When the folder cannot be listed.
pub fn segments(dir: &Path) -> Result<Vec<SegmentStat>, LogError> {
    let stat = |index| SegmentStat { index, bytes: file_size(&segment_path(dir, index)) };
    Ok(list(dir)?.into_iter().map(stat).collect())
}

/// The indexes of a folder's segments in order; other files are left alone.
fn list(dir: &Path) -> Result<Vec<u64>, LogError> {
    let mut indexes = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LogError::io("listing", dir))? {
        let name = entry.map_err(LogError::io("listing", dir))?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        indexes.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
    }
    indexes.sort_unstable();
    Ok(indexes)
}

/// A process that was killed may have left its last segment unsynced; its readers will trust it.
fn sync_last(dir: &Path, closed: &[SegmentStat]) {
    let Some(last) = closed.last() else { return };
    let path = segment_path(dir, last.index);
    if let Err(error) = std::fs::File::open(&path).and_then(|file| file.sync_data()) {
        tracing::error!(segment = %path.display(), %error, "the last segment cannot be synced");
    }
}

fn file_size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
