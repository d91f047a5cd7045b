//! From pushed samples to rows: a request's samples are staged by layout and time, then appended.
//!
//! A sample that its series' newest one rules out is refused here, with the store's own rules: the same
//! time and another value, or an earlier time. The rest is put into rows, and what the store says of
//! those counts. Rows of one layout go to the store in order of time: a series that lags behind its
//! layout moves to another one.

use std::sync::Arc;

use model::{Labels, Metadata};
use storage::{AppendError, Appender, Cell, Commit, Layout, Row};

use crate::families::Families;
use crate::histograms::Histograms;
use crate::layouts::Groups;
use crate::number;
use crate::table::{SeriesId, SeriesTable, UNKNOWN};

/// Cells that may be staged before they are appended.
const STAGED_MAX: usize = 1 << 18;
/// Rows kept for reuse.
const SPARE_MAX: usize = 1 << 10;
/// Refusals that are explained.
const EXPLAINED_MAX: usize = 10;

/// What one request came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Samples that are in the store, those that were there already among them.
    pub(crate) written: u64,
    /// Histograms likewise.
    pub(crate) histograms: u64,
    /// Exemplars that are in the store.
    pub(crate) exemplars: u64,
    pub(crate) out_of_order: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_bounds: u64,
    pub(crate) too_old: u64,
    /// Samples of new series for which there is no room.
    pub(crate) no_room: u64,
    /// The first refusals, for the sender and the log.
    pub(crate) explained: Vec<String>,
    /// Resolves when all rows are in the log.
    pub(crate) commit: Option<Commit>,
}

/// Why samples were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    OutOfOrder,
    Duplicate,
    OutOfBounds,
    TooOld,
}

/// Everything pushed: series, layouts and the store behind them.
pub(crate) struct Rows {
    pub(crate) table: SeriesTable,
    pub(crate) groups: Groups,
    pub(crate) families: Families,
    pub(crate) histograms: Histograms,
    pub(crate) appender: Arc<dyn Appender>,
    /// Layouts with staged rows.
    touched: Vec<u32>,
    staged: usize,
    spare: Vec<Vec<Cell>>,
    bytes_max: usize,
    /// Seconds of the monotonic clock.
    pub(crate) now: u32,
    /// Series that moved to another layout because they lagged behind theirs.
    pub(crate) moved: u64,
}

impl Outcome {
    /// Counts refused samples and explains the first of them.
    pub(crate) fn refuse(&mut self, refusal: Refusal, count: u64, series: impl FnOnce() -> Labels) {
        if count == 0 {
            return;
        }
        let (counter, what) = match refusal {
            Refusal::OutOfOrder => (&mut self.out_of_order, "out of order sample"),
            Refusal::Duplicate => (&mut self.duplicates, "duplicate sample for timestamp"),
            Refusal::OutOfBounds => (&mut self.out_of_bounds, "out of bounds"),
            Refusal::TooOld => (&mut self.too_old, "too old sample"),
        };
        *counter += count;
        self.explain(|| format!("{what} for series {}", series()));
    }

    /// Adds an explanation, while there are few.
    pub(crate) fn explain(&mut self, text: impl FnOnce() -> String) {
        if self.explained.len() < EXPLAINED_MAX {
            self.explained.push(text());
        }
    }
}

impl Rows {
    /// Nothing pushed yet. The table keeps series worth about `bytes_max` bytes.
    pub(crate) fn new(appender: Arc<dyn Appender>, bytes_max: usize) -> Self {
        Self {
            table: SeriesTable::new(),
            groups: Groups::default(),
            families: Families::default(),
            histograms: Histograms::default(),
            appender,
            touched: Vec::new(),
            staged: 0,
            spare: Vec::new(),
            bytes_max,
            now: 0,
            moved: 0,
        }
    }

    /// A request begins, at a time of the monotonic clock.
    pub(crate) fn begin(&mut self, now: u32) {
        self.now = now;
        self.table.begin();
    }

    /// Whether a new series with so many bytes of labels has room.
    pub(crate) fn has_room(&self, label_bytes: usize) -> bool {
        let known = self.table.bytes().saturating_add(self.histograms.bytes());
        known.saturating_add(label_bytes) <= self.bytes_max
    }

    /// Adds a series. What its sender does not say of its family, other senders may have said.
    pub(crate) fn admit(
        &mut self,
        key: u128,
        labels: &Labels,
        label_bytes: usize,
        said: Option<Metadata>,
    ) -> SeriesId {
        let id = self.table.insert(key, label_bytes, self.now);
        let metadata = said.or_else(|| self.families.of(labels.metric_name()).cloned()).unwrap_or_default();
        self.place(id, labels, metadata);
        id
    }

    /// Gives a series a column in a new layout.
    pub(crate) fn place(&mut self, id: SeriesId, labels: &Labels, metadata: Metadata) {
        let (layout, slot) = self.groups.place(labels, metadata, id);
        let known = self.table.get_mut(id);
        (known.layout, known.slot) = (layout, slot);
    }

    /// Takes what a sender says of a series' family along with it; `said` names that.
    pub(crate) fn describe(&mut self, id: SeriesId, said: u64, metadata: Metadata) {
        let known = self.table.get_mut(id);
        known.said = said;
        let (at, slot) = (known.layout, known.slot);
        if let Some(group) = self.groups.get_mut(at) {
            group.describe(slot, metadata);
        }
    }

    /// The label set of a known series.
    pub(crate) fn labels(&self, id: SeriesId) -> Labels {
        let known = self.table.get(id);
        self.groups.get(known.layout).map(|group| group.labels(known.slot)).unwrap_or_default()
    }

    /// Puts a sample into its row, or refuses it.
    #[inline]
    pub(crate) fn stage(&mut self, id: SeriesId, timestamp: i64, bits: u64, outcome: &mut Outcome) {
        let known = self.table.get_mut(id);
        known.seen = self.now;
        if timestamp <= known.last {
            if (timestamp, bits) == (known.last, known.bits) {
                // Said twice: it is there already.
                outcome.written += 1;
                return;
            }
            let is_late = timestamp < known.last;
            if !is_late || !self.appender.takes_out_of_order() {
                let refusal = if is_late { Refusal::OutOfOrder } else { Refusal::Duplicate };
                outcome.refuse(refusal, 1, || self.labels(id));
                return;
            }
        }
        let at = known.layout;
        let Some(group) = self.groups.get_mut(at) else { return };
        if timestamp < group.newest && !self.appender.takes_out_of_order() {
            return self.stage_late(id, timestamp, bits, outcome);
        }
        if group.staged.is_empty() {
            self.touched.push(at);
        }
        let (cell, new) = group.cell(timestamp, known.slot, &mut self.spare);
        let Some(cell) = cell else { return };
        let value = number::cell(bits, &mut known.decimals);
        if *cell != Cell::Absent && *cell != value {
            // Two series of the request are one, with their labels in different orders.
            outcome.refuse(Refusal::Duplicate, 1, || self.labels(id));
            return;
        }
        *cell = value;
        if timestamp > known.last {
            (known.last, known.bits) = (timestamp, bits);
        }
        if new {
            self.staged += crate::layouts::SLOTS;
        }
    }

    /// Puts the start of a sample that was just staged beside it.
    pub(crate) fn stage_start(&mut self, id: SeriesId, timestamp: i64, start: i64) {
        let known = *self.table.get(id);
        if let Some(group) = self.groups.get_mut(known.layout).filter(|group| !group.staged.is_empty()) {
            group.starts.get_or_insert_default().stage(timestamp, known.slot, start);
        }
    }

    /// A sample older than its layout's newest row, but not than its series' newest sample.
    #[cold]
    fn stage_late(&mut self, id: SeriesId, timestamp: i64, bits: u64, outcome: &mut Outcome) {
        let known = *self.table.get(id);
        let Some(group) = self.groups.get(known.layout) else { return };
        let labels = group.labels(known.slot);
        let metadata = group.slots().get(usize::from(known.slot)).map(|slot| Metadata::clone(&slot.metadata));
        self.moved += 1;
        self.place(id, &labels, metadata.unwrap_or_default());
        if self.groups.get(self.table.get(id).layout).is_some_and(|group| group.newest == i64::MIN) {
            self.stage(id, timestamp, bits, outcome);
        }
    }

    /// Whether what is staged should be appended before more comes.
    pub(crate) fn is_full(&self) -> bool {
        self.staged >= STAGED_MAX
    }

    /// Appends all staged rows.
    ///
    /// # Errors
    /// When the store cannot take data now; rows before that one are in it.
    pub(crate) fn flush(&mut self, outcome: &mut Outcome) -> Result<(), AppendError> {
        self.groups.close_drafts();
        self.staged = 0;
        let mut failed = Ok(());
        let (mut due, mut next) = (std::mem::take(&mut self.touched), 0);
        while let Some(&at) = due.get(next) {
            next += 1;
            let mut refused = None;
            if failed.is_ok() {
                match self.append(at, outcome) {
                    // New series: those that the store has go on.
                    Err(error @ AppendError::Memory { .. }) => {
                        refused = Some(error.to_string());
                        due.extend(self.part_known(at));
                    }
                    done => failed = done,
                }
            }
            let Some(group) = self.groups.get_mut(at) else { continue };
            let left = std::mem::take(&mut group.staged);
            group.starts.iter_mut().for_each(|starts| starts.forget_staged());
            for row in &left {
                self.forget_newest(at, &row.cells);
            }
            if let Some(why) = refused {
                let samples = left.iter().flat_map(|row| &row.cells).filter(|cell| **cell != Cell::Absent);
                outcome.no_room += samples.count() as u64;
                outcome.explain(|| why);
            }
            self.reuse(left);
        }
        failed
    }

    /// Moves series that the store has out of a layout that it refuses because of others, into one of their own,
    /// with what is staged of them; none where there are no such series, or no others.
    fn part_known(&mut self, at: u32) -> Option<u32> {
        let group = self.groups.get(at)?;
        let layout = Layout::new(group.target().clone(), group.slots().to_vec()).ok()?;
        let known = self.appender.known(&layout);
        let here = |id, slot: u16| {
            let series = self.table.get(id);
            (series.layout, series.slot) == (at, slot)
        };
        let is_known = |slot: u16| known.get(usize::from(slot)).copied().unwrap_or_default();
        let (moved, stay): (Vec<_>, Vec<_>) =
            group.members.iter().filter(|&&(id, slot)| here(id, slot)).partition(|(_, slot)| is_known(*slot));
        if moved.is_empty() || stay.is_empty() {
            return None;
        }
        let mut staged = std::mem::take(&mut self.groups.get_mut(at)?.staged);
        let mut to = None;
        for (id, slot) in moved {
            let (labels, said) = (layout.series(usize::from(slot)), layout.slots().get(usize::from(slot))?);
            self.place(id, &labels, Metadata::clone(&said.metadata));
            let known = self.table.get(id);
            to = Some(known.layout);
            let group = self.groups.get_mut(known.layout)?;
            for row in &mut staged {
                let cell = std::mem::replace(row.cells.get_mut(usize::from(slot))?, Cell::Absent);
                if cell != Cell::Absent
                    && let (Some(own), _) = group.cell(row.timestamp, known.slot, &mut self.spare)
                {
                    *own = cell;
                }
            }
        }
        self.groups.close_drafts();
        self.groups.get_mut(at)?.staged = staged;
        to
    }

    fn reuse(&mut self, rows: Vec<crate::layouts::Staged>) {
        let room = SPARE_MAX.saturating_sub(self.spare.len());
        self.spare.extend(rows.into_iter().take(room).map(|row| row.cells));
    }

    /// Appends the rows of one layout; those that are in the store are taken off.
    fn append(&mut self, at: u32, outcome: &mut Outcome) -> Result<(), AppendError> {
        let now = self.now;
        let Some(group) = self.groups.get_mut(at) else { return Ok(()) };
        let mut rows = std::mem::take(&mut group.staged).into_iter();
        while let Some(row) = rows.next() {
            let taken = self.append_row(at, row.timestamp, &row.cells, now, outcome);
            if let Err(error) = taken {
                if let Some(group) = self.groups.get_mut(at) {
                    group.staged = std::iter::once(row).chain(rows).collect();
                }
                return Err(error);
            }
            if self.spare.len() < SPARE_MAX {
                self.spare.push(row.cells);
            }
        }
        let group = self.groups.get_mut(at);
        if let Some(commit) = group.map(|group| group.append_starts(&*self.appender)).transpose()?.flatten() {
            outcome.commit = Some(commit);
        }
        Ok(())
    }

    fn append_row(
        &mut self,
        at: u32,
        timestamp: i64,
        cells: &[Cell],
        now: u32,
        outcome: &mut Outcome,
    ) -> Result<(), AppendError> {
        let Some(group) = self.groups.get_mut(at) else { return Ok(()) };
        let cells = &cells[..group.slots().len().min(cells.len())];
        let appender = &*self.appender;
        let layout = group.reference(appender, &self.families, now)?;
        let taken = match appender.append(Row { layout, timestamp, cells }) {
            Err(AppendError::Relayout) => {
                group.renew(appender)?;
                let layout = group.reference(appender, &self.families, now)?;
                appender.append(Row { layout, timestamp, cells })
            }
            taken => taken,
        }?;
        let refused = taken.out_of_order + taken.duplicates + taken.out_of_bounds + taken.too_old;
        let staged = cells.iter().filter(|cell| **cell != Cell::Absent).count();
        outcome.written += (staged - refused.min(staged)) as u64;
        if refused < staged {
            // Also what was there already may still be on its way. A commit of nothing is no later than the others.
            outcome.commit = Some(taken.commit);
        }
        if refused < staged {
            group.newest = group.newest.max(timestamp);
        }
        if refused > 0 {
            let series = || taken.first_rejected.clone().unwrap_or_default();
            outcome.refuse(Refusal::OutOfOrder, taken.out_of_order as u64, series);
            outcome.refuse(Refusal::Duplicate, taken.duplicates as u64, series);
            outcome.refuse(Refusal::OutOfBounds, taken.out_of_bounds as u64, series);
            outcome.refuse(Refusal::TooOld, taken.too_old as u64, series);
            self.forget_newest(at, cells);
        }
        Ok(())
    }

    /// What the store made of some of a row's samples is not known: it judges the next ones itself.
    fn forget_newest(&mut self, at: u32, cells: &[Cell]) {
        let Some(group) = self.groups.get(at) else { return };
        for &(id, slot) in &group.members {
            let staged = cells.get(usize::from(slot)).is_some_and(|cell| *cell != Cell::Absent);
            let known = self.table.get_mut(id);
            if staged && known.layout == at && known.slot == slot {
                known.last = UNKNOWN;
            }
        }
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
