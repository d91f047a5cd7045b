//! A store's folder that nobody runs on, or a snapshot of one, read as it lies there: for tools. Only repairing changes
//! it, and memory holds one window of it at a time.

mod analyze;
mod check_log;
mod repair;
mod repair_log;
mod verify;

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::Path;

use env::{SeededRandom, SystemClock};
use model::{Labels, Matcher};
use storage::{Coverage, QueryError, Select, SeriesSet, TimeRange};

pub use analyze::Analysis;
pub(crate) use repair::Salvaged;
pub use repair::{Repair, RepairError, repair};
pub(crate) use verify::Report;
pub use verify::{Checked, Fault, Place, verify};

use crate::metrics::Metrics;
use crate::open;
use crate::options::{OpenError, StoreOptions};
use crate::store::Inner;
use crate::window::WINDOW_MS;

/// A store that is only read.
pub struct Archive {
    inner: Inner,
    /// Keeps agents away; a snapshot has none.
    _lock: Option<File>,
}

impl Archive {
    /// Opens the store in `dir`. Series of the node `node` show their labels as they are at that node, all others
    /// with the external labels under which they were shipped; without a name, and where all are of one node,
    /// those are of that node.
    ///
    /// # Errors
    /// When a process has it open, there is no store, or its log cannot be listed; never because of what it holds.
    pub fn open(dir: &Path, node: Option<&str>) -> Result<Self, OpenError> {
        let lock = lock(dir)?;
        let options = StoreOptions::new(dir, node.unwrap_or_default());
        let metrics = Metrics::new(&telemetry::Registry::new());
        let opened = open::open_to_read(&options, &metrics)?;
        let inner = Inner::new(options, SystemClock::shared(), SeededRandom::shared(0), metrics, opened);
        Ok(Self { inner, _lock: lock })
    }

    /// Starts of the windows of two hours that have data, in order; milliseconds since the Unix epoch.
    #[must_use]
    pub fn windows(&self) -> Vec<i64> {
        self.inner.windows_in(TimeRange::ALL).into_iter().collect()
    }

    /// Gives the samples of a range of all series that pass one of the matcher sets (without sets, of every
    /// series), window by window (or day by day, where windows were put together), oldest first; one of more than `samples_max` samples in several pieces.
    ///
    /// # Errors
    /// When data cannot be read for another reason than damage, or `give` fails. Damage is in the coverage.
    pub fn read<E: From<QueryError>>(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        samples_max: usize,
        mut give: impl FnMut(SeriesSet) -> Result<(), E>,
    ) -> Result<Coverage, E> {
        let mut coverage = self.inner.state.read().coverage(range);
        for starts in self.inner.spans(range) {
            let (Some(start), Some(last)) = (starts.first(), starts.last()) else { continue };
            let end = last.saturating_add(WINDOW_MS - 1);
            let piece = TimeRange { start: range.start.max(*start), end: range.end.min(end) };
            self.read_piece(matcher_sets, piece, samples_max, &mut give)?;
        }
        self.inner.cover_damage(range, &self.inner.healed_by_log(), &mut coverage);
        Ok(coverage)
    }

    fn read_piece<E: From<QueryError>>(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        samples_max: usize,
        give: &mut impl FnMut(SeriesSet) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.select(matcher_sets, range, samples_max) {
            Ok(set) => give(set),
            Err(QueryError::Limit(_)) if range.start < range.end => {
                let middle = range.start + (range.end - range.start) / 2;
                let (first, second) =
                    (TimeRange { end: middle, ..range }, TimeRange { start: middle + 1, ..range });
                self.read_piece(matcher_sets, first, samples_max, give)?;
                self.read_piece(matcher_sets, second, samples_max, give)
            }
            // One millisecond: it cannot be less.
            Err(QueryError::Limit(_)) => give(self.select(matcher_sets, range, usize::MAX)?),
            Err(error) => Err(error.into()),
        }
    }

    /// The samples of a range; of series that pass several sets once.
    fn select(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
        samples_max: usize,
    ) -> Result<SeriesSet, QueryError> {
        let all = [Vec::new()];
        let sets = if matcher_sets.is_empty() { &all[..] } else { matcher_sets };
        let mut found = SeriesSet::default();
        for matchers in sets {
            let set = self.inner.select(&Select { matchers: matchers.clone(), range, samples_max })?;
            let known: BTreeSet<Labels> = found.series.iter().map(|series| series.labels.clone()).collect();
            found.series.extend(set.series.into_iter().filter(|series| !known.contains(&series.labels)));
            let known: BTreeSet<Labels> =
                found.histograms.iter().map(|series| series.labels.clone()).collect();
            found
                .histograms
                .extend(set.histograms.into_iter().filter(|series| !known.contains(&series.labels)));
        }
        found.series.sort_by(|a, b| a.labels.cmp(&b.labels));
        found.histograms.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(found)
    }
}

/// Keeps agents away while the folder is read; several may read.
fn lock(dir: &Path) -> Result<Option<File>, OpenError> {
    let failed = |path: &Path, source| OpenError::Io { path: path.to_owned(), source };
    if !dir.join("log").is_dir() && !dir.join("sealed").is_dir() {
        let what = "no store is here: it has neither log nor sealed in it";
        return Err(failed(dir, std::io::Error::new(std::io::ErrorKind::NotFound, what)));
    }
    let path = dir.join("LOCK");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&path, error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(&path, source)),
    }
}
