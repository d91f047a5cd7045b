//! Exemplars: in memory, so many of them and of so many bytes, the oldest of all going first; in the log, so
//! that a restart has them again. What is taken follows Prometheus (`tsdb/exemplar.go`).

use std::cmp::Ordering;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use model::{Exemplar, Labels, Matcher};
use storage::{ExemplarCounts, ExemplarQuerier, SeriesExemplars, TimeRange};

use crate::metrics::ExemplarMetrics;
use crate::notes::Note;
use crate::record;
use crate::store::{Inner, Store};

/// Bytes that an exemplar takes up beside its labels.
const EXEMPLAR_BYTES: usize = 96;
/// Bytes that a series takes up beside its labels.
const SERIES_BYTES: usize = 160;
/// Bytes of records that are collected before they are queued.
const PENDING_FULL: usize = 64 << 10;

/// The exemplars that are kept.
#[derive(Debug)]
pub(crate) struct Exemplars {
    max: usize,
    bytes_max: usize,
    bytes: usize,
    series: HashMap<Labels, Series>,
    /// The series of each exemplar, in the order in which they were taken.
    order: VecDeque<Labels>,
    /// Not queued yet, as the record has them.
    pending: Vec<u8>,
}

#[derive(Debug, Default)]
struct Series {
    /// In order of time, which is also that in which they were taken.
    kept: VecDeque<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    timestamp: i64,
    value: f64,
    labels: Labels,
}

/// What a new exemplar is to those of its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    Duplicate,
    OutOfOrder,
}

impl Exemplars {
    /// None yet, and never more than `max`.
    /// About how many bytes they take up.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn new(max: usize, bytes_max: usize) -> Self {
        Self { max, bytes_max, bytes: 0, series: HashMap::new(), order: VecDeque::new(), pending: Vec::new() }
    }

    /// Keeps at most `max` from now on.
    pub(crate) fn resize(&mut self, max: usize) {
        self.max = max;
        self.trim();
    }

    /// Takes exemplars of a series; those without a time are refused.
    pub(crate) fn add(&mut self, series: &Labels, exemplars: &[Exemplar]) -> (ExemplarCounts, Vec<Exemplar>) {
        let (mut counts, mut taken) = (ExemplarCounts::default(), Vec::new());
        for exemplar in exemplars {
            let Some(timestamp) = exemplar.timestamp.filter(|_| self.max > 0) else {
                counts.refused += 1;
                continue;
            };
            if !exemplar.fits() {
                counts.too_long += 1;
                continue;
            }
            let new = Kept { timestamp, value: exemplar.value, labels: exemplar.labels.clone() };
            match self.add_one(series, new) {
                Verdict::Taken => {
                    counts.appended += 1;
                    taken.push(exemplar.clone());
                }
                Verdict::Duplicate => counts.duplicates += 1,
                Verdict::OutOfOrder => counts.out_of_order += 1,
            }
        }
        (counts, taken)
    }

    fn add_one(&mut self, series: &Labels, new: Kept) -> Verdict {
        let known = match self.series.entry(series.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.bytes += series_bytes(series);
                entry.insert(Series::default())
            }
        };
        let verdict = known.kept.back().map_or(Verdict::Taken, |last| new.after(last));
        if verdict == Verdict::Taken {
            self.bytes += new.bytes();
            known.kept.push_back(new);
            self.order.push_back(series.clone());
            self.trim();
        }
        verdict
    }

    /// Lets the oldest go until the rest has room.
    fn trim(&mut self) {
        while self.order.len() > self.max || (self.bytes > self.bytes_max && !self.order.is_empty()) {
            let Some(series) = self.order.pop_front() else { return };
            let Some(known) = self.series.get_mut(&series) else { continue };
            if let Some(gone) = known.kept.pop_front() {
                self.bytes -= gone.bytes();
            }
            if known.kept.is_empty() {
                self.series.remove(&series);
                self.bytes -= series_bytes(&series);
            }
        }
    }

    /// Collects what a record will say.
    fn log(&mut self, series: &Labels, taken: &[Exemplar]) -> Option<Vec<u8>> {
        record::put_exemplars(&mut self.pending, series, taken);
        (self.pending.len() >= PENDING_FULL).then(|| std::mem::take(&mut self.pending))
    }

    /// What is to be queued.
    pub(crate) fn take_pending(&mut self) -> Option<Vec<u8>> {
        (!self.pending.is_empty()).then(|| std::mem::take(&mut self.pending))
    }

    fn select(&self, matcher_sets: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        let mut found = Vec::new();
        for (labels, known) in &self.series {
            let passes = |set: &Vec<Matcher>| set.iter().all(|matcher| matcher.matches_labels(labels));
            if !matcher_sets.iter().any(passes) {
                continue;
            }
            let inside = known.kept.iter().filter(|kept| range.contains(kept.timestamp));
            let exemplars: Vec<Exemplar> = inside.map(Kept::exemplar).collect();
            if !exemplars.is_empty() {
                found.push(SeriesExemplars { labels: labels.clone(), exemplars });
            }
        }
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        found
    }

    /// Shows its size.
    pub(crate) fn show(&self, metrics: &ExemplarMetrics) {
        metrics.in_storage.set(self.order.len() as i64);
        metrics.series.set(self.series.len() as i64);
        metrics.max.set(self.max as i64);
        metrics.bytes.set(self.bytes as i64);
        let oldest = self.order.front().and_then(|series| self.series.get(series)?.kept.front());
        metrics.last_seconds.set(oldest.map_or(0, |kept| kept.timestamp / 1000));
    }
}

impl Kept {
    /// Of one time the greater value is later, of one value the labels that sort later.
    fn after(&self, last: &Self) -> Verdict {
        let order = self
            .timestamp
            .cmp(&last.timestamp)
            .then_with(|| self.value.total_cmp(&last.value))
            .then_with(|| self.labels.cmp(&last.labels));
        match order {
            Ordering::Greater => Verdict::Taken,
            Ordering::Equal => Verdict::Duplicate,
            Ordering::Less => Verdict::OutOfOrder,
        }
    }

    fn bytes(&self) -> usize {
        EXEMPLAR_BYTES + label_bytes(&self.labels)
    }

    fn exemplar(&self) -> Exemplar {
        Exemplar { labels: self.labels.clone(), value: self.value, timestamp: Some(self.timestamp) }
    }
}

fn series_bytes(labels: &Labels) -> usize {
    SERIES_BYTES + label_bytes(labels)
}

fn label_bytes(labels: &Labels) -> usize {
    // Two pointers a label and two counts a text.
    labels.pairs().map(|(name, value)| name.len() + value.len() + 64).sum()
}

impl Store {
    /// Keeps at most so many exemplars from now on; zero keeps none.
    pub fn set_exemplars_max(&self, max: usize) {
        self.inner.exemplars.lock().resize(max);
    }
}

impl ExemplarQuerier for Store {
    fn exemplars(&self, matcher_sets: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        self.inner.exemplars.lock().select(matcher_sets, range)
    }
}

impl Inner {
    pub(crate) fn append_exemplars(&self, series: &Labels, exemplars: &[Exemplar]) -> ExemplarCounts {
        if self.check_open(&self.state.read()).is_err() {
            return ExemplarCounts { refused: exemplars.len(), ..ExemplarCounts::default() };
        }
        let mut kept = self.exemplars.lock();
        let (counts, taken) = kept.add(series, exemplars);
        let full = if taken.is_empty() { None } else { kept.log(series, &taken) };
        drop(kept);
        let metrics = &self.metrics.exemplars;
        metrics.appended.inc_by(counts.appended as u64);
        metrics.out_of_order.inc_by(counts.out_of_order as u64);
        let urgent = full.is_some();
        if let Some(full) = full {
            self.state.write().note_exemplars(&full, self.clock.now_ms());
        }
        if counts.appended > 0 {
            self.wake(urgent);
        }
        counts
    }

    /// Closes the open frame and queues what waits.
    pub(crate) fn seal(&self) {
        let pending = self.exemplars.lock().take_pending();
        let mut state = self.state.write();
        state.seal();
        if let Some(pending) = pending {
            state.note_exemplars(&pending, self.clock.now_ms());
        }
    }
}

impl crate::state::State {
    fn note_exemplars(&mut self, payload: &[u8], now_ms: i64) {
        // The room that is left is for samples: these stay in memory only.
        if self.outage.is_none() {
            self.put_note(Note::exemplars(payload), now_ms);
        }
    }
}

#[cfg(test)]
#[path = "exemplars_tests.rs"]
mod tests;
