//! The sealed windows' part of verifying: every index, every block down to its last cell, rows, tails, names, and
//! what the manifest says of them.

use rocksdb::IteratorMode;
use storage::Cell;

use super::db::{IDENTITY, MANIFEST};
use super::error::SealedError;
use super::identity::name_of;
use super::index::Entry;
use super::keys::{BlockKey, SUMMARIES, TAILS, TIMES};
use super::manifest::Generation;
use super::store::SealedStore;
use super::tombstones;
use crate::archive::{Place, Report};
use crate::codec::{Block, BlockReader};
use crate::group::Group;
use crate::layouts::Layouts;
use crate::run::At;
use crate::streams::Streams;
use crate::window::{DAY_MS, WINDOW_MS};

impl SealedStore {
    /// Reads everything and tells what is damaged.
    pub(crate) fn check(&self, report: &mut Report<'_>) {
        for window in self.damaged_windows() {
            for gap in self.damage(|start| start == window) {
                report.fault(Place::Window { window, generation: 0 }, gap.why);
            }
        }
        self.check_deletions(report);
        let streams = self.check_identity(report);
        let mut reader = match BlockReader::new() {
            Ok(reader) => reader,
            Err(error) => return report.fault(Place::Sealed(String::new()), error.to_string()),
        };
        report.checked.windows += self.windows().len() as u64;
        for (start, generation) in self.generations() {
            self.check_generation(start, &generation, &streams, &mut reader, report);
        }
    }

    fn check_deletions(&self, report: &mut Report<'_>) {
        let Some(family) = self.db.cf_handle(MANIFEST) else {
            return report.fault(Place::Sealed("manifest".to_owned()), "it is missing");
        };
        for entry in self.db.iterator_cf(&family, IteratorMode::Start) {
            match entry {
                Ok((key, value)) => {
                    if let Some(error) = tombstones::fault(&key, &value) {
                        report
                            .fault(Place::Sealed("manifest".to_owned()), format!("a deletion: {}", error.0));
                    }
                }
                Err(error) => report.fault(Place::Sealed("manifest".to_owned()), error.to_string()),
            }
        }
    }

    /// The streams, and that everything else can be read.
    fn check_identity(&self, report: &mut Report<'_>) -> Streams {
        let mut streams = Streams::default();
        let place = || Place::Sealed("identity".to_owned());
        let Some(family) = self.db.cf_handle(IDENTITY) else {
            report.fault(place(), "it is missing");
            return streams;
        };
        for entry in self.db.iterator_cf(&family, IteratorMode::Start) {
            let found = entry
                .map_err(SealedError::from)
                .and_then(|(key, value)| self.identity.check(&self.db, &key, &value));
            match found {
                Ok(Some(info)) => drop(streams.open(info, false)),
                Ok(None) => {}
                Err(error) => report.fault(place(), error.to_string()),
            }
        }
        streams
    }

    fn check_generation(
        &self,
        start: i64,
        generation: &Generation,
        streams: &Streams,
        reader: &mut BlockReader,
        report: &mut Report<'_>,
    ) {
        let number = generation.number;
        let before = (report.checked.faults, report.checked.samples);
        report.checked.values += 1;
        let index = match self.index(start, generation) {
            Ok(index) => index,
            Err(error) => {
                return report.fault(
                    Place::Window { window: start, generation: number },
                    format!("its index: {error}"),
                );
            }
        };
        let mut rows = 0;
        for entry in &index.0 {
            let key = BlockKey { group: entry.group, ..BlockKey::first(start, number) };
            match self.identity.group(&self.db, entry.group, streams, &Layouts::default()) {
                Ok(group) => rows += self.check_group(key, generation, entry, &group, reader, report),
                Err(error) => report.fault(key.place(), error.to_string()),
            }
        }
        *generation.index.lock() = None;
        let samples = report.checked.samples - before.1;
        if report.checked.faults == before.0 && (rows, samples) != (generation.rows, generation.samples) {
            let what = format!(
                "it has {rows} rows and {samples} samples, the manifest says {} and {}",
                generation.rows, generation.samples
            );
            report.fault(Place::Window { window: start, generation: number }, what);
        }
    }

    /// How many rows a group has.
    fn check_group(
        &self,
        key: BlockKey,
        generation: &Generation,
        entry: &Entry,
        group: &Group,
        reader: &mut BlockReader,
        report: &mut Report<'_>,
    ) -> u64 {
        let mut count = 0;
        for part in 0..entry.parts {
            report.checked.values += 1;
            let rows = self.rows_of(key.window, generation, key.group, part, group);
            let long = if key.is_day() { DAY_MS } else { WINDOW_MS };
            let rows = rows.and_then(|rows| in_order(&rows, key.window, long).map(|()| rows.len()));
            match &rows {
                Ok(rows) => count += *rows as u64,
                Err(error) => report.fault(BlockKey { sub: TIMES, part, ..key }.place(), error.to_string()),
            }
            for (sub, from) in (0..).zip((0..group.slots()).step_by(Block::COLUMNS_MAX)) {
                report.checked.values += 1;
                let key = BlockKey { sub, part, ..key };
                let columns = (group.slots() - from).min(Block::COLUMNS_MAX);
                match self.check_block(&key, group, rows.as_ref().ok().copied(), columns, reader) {
                    Ok(samples) => report.checked.samples += samples,
                    Err(error) => report.fault(key.place(), error.to_string()),
                }
                if key.is_day() {
                    report.checked.values += 1;
                    if let Err(error) = self.check_summaries(&key, group, columns, reader) {
                        report.fault(BlockKey { sub: SUMMARIES + sub, ..key }.place(), error.to_string());
                    }
                }
            }
        }
        if entry.tails {
            report.checked.values += 1;
            let tails = if key.is_day() {
                self.day_tails(key.window, generation, key.group, group).map(drop)
            } else {
                self.tails_of(key.window, generation, key.group, group).map(drop)
            };
            if let Err(error) = tails {
                report.fault(BlockKey { sub: TAILS, ..key }.place(), error.to_string());
            }
        }
        count
    }

    /// How many samples a block has.
    fn check_block(
        &self,
        key: &BlockKey,
        group: &Group,
        rows: Option<usize>,
        count: usize,
        reader: &mut BlockReader,
    ) -> Result<u64, SealedError> {
        let value = self.value(key, name_of(group, key))?;
        let block = Block::parse(&value)?;
        if block.summaries().len() != count || rows.is_some_and(|rows| rows != block.rows()) {
            return Err(SealedError::Malformed("a block of another size"));
        }
        let mut columns = reader.open(&block)?;
        let (mut cells, mut samples) = (Vec::new(), 0);
        for (column, summary) in block.summaries().iter().enumerate() {
            cells.clear();
            columns.cells(column, &mut cells)?;
            let held = cells.iter().filter(|cell| **cell != Cell::Absent).count() as u64;
            if held != u64::from(summary.count) + u64::from(summary.stale) {
                return Err(SealedError::Malformed("a column's summary says another number of samples"));
            }
            samples += held;
        }
        Ok(samples)
    }
}

impl SealedStore {
    /// That the summaries of a day's block say what its columns are, window by window.
    fn check_summaries(
        &self,
        key: &BlockKey,
        group: &Group,
        count: usize,
        reader: &mut BlockReader,
    ) -> Result<(), SealedError> {
        let found = self.summaries_of(key, group)?;
        let value = self.value(key, name_of(group, key))?;
        let block = Block::parse(&value)?;
        let rows: usize = found.stretches.iter().map(|stretch| stretch.rows).sum();
        if found.columns.len() != count || rows != block.rows() {
            return Err(SealedError::Malformed("summaries of another size"));
        }
        let mut columns = reader.open(&block)?;
        let mut cells = Vec::new();
        for (column, summaries) in found.columns.iter().enumerate() {
            cells.clear();
            columns.cells(column, &mut cells)?;
            let mut from = 0;
            for (stretch, summary) in found.stretches.iter().zip(summaries) {
                let own = cells.get(from..from + stretch.rows).unwrap_or_default();
                from += stretch.rows;
                if !summary.says(own) {
                    return Err(SealedError::Malformed("a summary of other samples"));
                }
            }
        }
        Ok(())
    }
}

impl BlockKey {
    fn place(self) -> Place {
        let Self { window, generation, group, sub, part } = self;
        Place::Block { window, generation, group, sub, part }
    }
}

/// Rows are in order of time, then of sequence, and inside their window.
pub(super) fn in_order(rows: &[At], window: i64, long: i64) -> Result<(), SealedError> {
    let is_inside = |at: &At| (window..window.saturating_add(long)).contains(&at.timestamp);
    if !rows.iter().all(is_inside) {
        return Err(SealedError::Malformed("a row outside of its window"));
    }
    let sorted = rows
        .windows(2)
        .all(|pair| (pair[0].timestamp, pair[0].sequence) < (pair[1].timestamp, pair[1].sequence));
    if sorted { Ok(()) } else { Err(SealedError::Malformed("rows out of order")) }
}
