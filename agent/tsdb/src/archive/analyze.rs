//! What a folder holds, in figures: series, samples, bytes by part, and which names and labels there are most of.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use model::{Labels, Matcher};
use storage::{Gap, QueryError, TimeRange};

use super::Archive;
use crate::group::{Columns, Group, Matching};
use crate::query::Wanted;
use crate::sealed::{SealedReader, SealedWindow};
use crate::status::Cardinality;
use crate::window::WINDOW_MS;

/// Slots of which rows are read at a time.
const SLOTS_AT_ONCE: usize = 4_096;

/// What windows of a store hold.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    /// Every series of every window was looked at: samples and bytes are of the same.
    pub is_whole: bool,
    /// Starts of the windows that were looked at, in order; milliseconds since the Unix epoch.
    pub windows: Vec<i64>,
    /// Series with a sample in one of them.
    pub series: u64,
    /// Their samples in blocks, stale markers among them; a histogram is one sample.
    pub sealed_samples: u64,
    /// Their samples that only the log has.
    pub log_samples: u64,
    /// `name=value` pairs of all series, each counted for each series.
    pub entries: u64,
    /// Names and labels of these series.
    pub cardinality: Cardinality,
    /// Bytes of the whole log.
    pub log_bytes: u64,
    /// Bytes of the blocks of all windows.
    pub sealed_bytes: u64,
    /// Bytes of what else RocksDB keeps: who the blocks belong to, the manifest, its own logs.
    pub identity_bytes: u64,
    /// Damage that was met, and what else is known to be missing.
    pub gaps: Vec<Gap>,
}

impl Archive {
    /// Looks at series that pass all matchers, in all windows or in the one that starts at `window`; lists have at
    /// most `limit` entries. What deletions hide counts until it is cleaned up.
    ///
    /// # Errors
    /// When data cannot be read for another reason than damage.
    pub fn analyze(
        &self,
        matchers: &[Matcher],
        window: Option<i64>,
        limit: usize,
    ) -> Result<Analysis, QueryError> {
        let is_whole = matchers.is_empty() && window.is_none();
        let mut found = Analysis { is_whole, ..Analysis::default() };
        let mut all = HashSet::new();
        let starts = self.inner.windows_in(TimeRange::ALL);
        for start in starts.into_iter().filter(|start| window.is_none_or(|wanted| wanted == *start)) {
            found.windows.push(start);
            if let Some(sealed) = self.inner.vault.window(start) {
                found.sealed_samples += self.count_day(matchers, &sealed, &mut all)?;
                found.sealed_samples += self.count_sealed(matchers, &sealed, &mut all)?;
            }
            found.log_samples += self.count_log(matchers, start, &mut all)?;
        }
        found.series = all.len() as u64;
        found.entries = all.iter().map(|labels| labels.len() as u64).sum();
        found.cardinality = Cardinality::of(&all, limit);
        self.measure(&mut found);
        let mut coverage = self.inner.state.read().coverage(TimeRange::ALL);
        self.inner.cover_damage(TimeRange::ALL, &self.inner.healed_by_log(), &mut coverage);
        found.gaps = coverage.gaps;
        Ok(found)
    }

    fn count_sealed(
        &self,
        matchers: &[Matcher],
        window: &SealedWindow,
        all: &mut HashSet<Labels>,
    ) -> Result<u64, QueryError> {
        let Some(store) = self.inner.vault.get() else { return Ok(0) };
        let reader = SealedReader::new(&store, window);
        let mut matching = Matching::new(matchers);
        let mut samples = 0;
        for place in reader.groups(&self.inner.state, TimeRange::ALL)? {
            let slots = first_columns(&place.group, &matching.slots(&place.group));
            reader.counts(&place, &slots, |slot, count| {
                if count > 0 {
                    samples += count;
                    all.insert(place.group.series(slot));
                }
            })?;
        }
        Ok(samples)
    }

    /// What a window's day has of the window.
    fn count_day(
        &self,
        matchers: &[Matcher],
        window: &SealedWindow,
        all: &mut HashSet<Labels>,
    ) -> Result<u64, QueryError> {
        let Some((store, day)) = self.inner.vault.get().zip(window.as_day()) else { return Ok(0) };
        let reader = SealedReader::new(&store, &day);
        let range = TimeRange { start: window.start, end: window.start.saturating_add(WINDOW_MS - 1) };
        let mut matching = Matching::new(matchers);
        let mut samples = 0;
        for place in reader.groups(&self.inner.state, range)? {
            let slots = first_columns(&place.group, &matching.slots(&place.group));
            reader.counts_in_window(&place, &slots, window.start, |slot, count| {
                if count > 0 {
                    samples += count;
                    all.insert(place.group.series(slot));
                }
            })?;
        }
        Ok(samples)
    }

    fn count_log(
        &self,
        matchers: &[Matcher],
        start: i64,
        all: &mut HashSet<Labels>,
    ) -> Result<u64, QueryError> {
        let range = TimeRange { start, end: start.saturating_add(WINDOW_MS - 1) };
        let wanted = Wanted { matchers: matchers.to_vec(), range, columns: Columns::Samples };
        let sealed = self.inner.vault.window(start);
        let mut samples = 0;
        for source in self.inner.log_sources(&wanted, start, sealed.as_ref())? {
            for slots in first_columns(&source.group, &source.slots).chunks(SLOTS_AT_ONCE) {
                let view = source.rows.lock().view(slots, range);
                let points = view.points().map_err(|error| QueryError::Unavailable(error.to_string()))?;
                for (slot, points) in slots.iter().zip(points).filter(|(_, points)| !points.is_empty()) {
                    samples += points.len() as u64;
                    all.insert(source.group.series(*slot));
                }
            }
        }
        Ok(samples)
    }

    fn measure(&self, found: &mut Analysis) {
        let dir = &self.inner.options.dir;
        found.log_bytes = bytes_in(&dir.join("log"));
        found.sealed_bytes = self.inner.vault.get().map_or(0, |store| store.block_bytes());
        found.identity_bytes = bytes_in(&dir.join("sealed")).saturating_sub(found.sealed_bytes);
    }
}

/// Of a histogram the column of its sum stands for all of them.
fn first_columns(group: &Group, slots: &[u32]) -> Vec<u32> {
    let begins = |slot: &u32| group.layout.slots()[*slot as usize].begins_series();
    slots.iter().copied().filter(begins).collect()
}

/// Bytes of the files in a folder and in those below it.
fn bytes_in(dir: &Path) -> u64 {
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_in(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    fs::read_dir(dir).map_or(0, |entries| entries.flatten().map(size).sum())
}
