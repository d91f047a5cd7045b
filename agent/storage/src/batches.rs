//! From batches to plain series, and from plain series to batches.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use model::{HistogramSample, Labels, Sample, Series};

use crate::batch::{Batch, ColumnSource, FloatColumn, Floats, Histograms, SeriesGroup, Times};
use crate::budget::Budget;
use crate::coverage::Coverage;
use crate::error::QueryError;
use crate::query::{Batches, BoxFuture, HistogramSeries, SeriesSet};

/// Puts batches together as plain series.
#[derive(Debug)]
pub struct Collected {
    set: SeriesSet,
    group: Option<Arc<SeriesGroup>>,
    /// Of the group, one a series.
    samples: Vec<Vec<Sample>>,
    histograms: Vec<Vec<HistogramSample>>,
    scratch: Floats,
    count: usize,
    count_max: usize,
}

impl Collected {
    /// No series yet; at most so many samples.
    #[must_use]
    pub fn new(samples_max: usize) -> Self {
        Self {
            set: SeriesSet::default(),
            group: None,
            samples: Vec::new(),
            histograms: Vec::new(),
            scratch: Floats::default(),
            count: 0,
            count_max: samples_max,
        }
    }

    /// Adds a batch.
    ///
    /// # Errors
    /// When there are too many samples, or a column cannot be decoded.
    pub fn add(&mut self, batch: &Batch) -> Result<(), QueryError> {
        if !self.group.as_ref().is_some_and(|group| Arc::ptr_eq(group, &batch.group)) {
            self.close_group();
            self.group = Some(Arc::clone(&batch.group));
            self.samples.resize_with(batch.group.len(), Vec::new);
            self.histograms.resize_with(batch.group.len(), Vec::new);
        }
        let times = &*batch.times;
        for (column, &series) in batch.series.iter().enumerate() {
            if batch.is_histograms {
                let found = batch.histograms(column)?;
                let cells = times.iter().zip(found.iter().flat_map(|cells| cells.iter()));
                let samples = cells.filter_map(|(&timestamp, cell)| {
                    Some(HistogramSample { timestamp, histogram: Arc::clone(cell.as_ref()?) })
                });
                let all = &mut self.histograms[series as usize];
                let before = all.len();
                all.extend(samples);
                self.count += all.len() - before;
            } else {
                let found = batch.source.floats(column, &mut self.scratch)?;
                let count = found.count(times.len());
                let all = &mut self.samples[series as usize];
                all.reserve(count);
                found.for_each(times.len(), |row, value| all.push(Sample::new(times[row], value)));
                self.count += count;
            }
            self.check()?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), QueryError> {
        if self.count <= self.count_max {
            return Ok(());
        }
        Err(QueryError::Limit(format!(
            "query processing would load too many samples into memory in query execution (limit {})",
            self.count_max
        )))
    }

    /// All series in order of their labels.
    #[must_use]
    pub fn finish(mut self, coverage: Coverage) -> SeriesSet {
        self.close_group();
        self.set.series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        self.set.histograms.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        self.set.coverage = coverage;
        self.set
    }

    fn close_group(&mut self) {
        let Some(group) = self.group.take() else { return };
        for (at, samples) in self.samples.drain(..).enumerate() {
            if !samples.is_empty() {
                self.set.series.push(Series { labels: group.series(at), samples });
            }
        }
        for (at, samples) in self.histograms.drain(..).enumerate() {
            if !samples.is_empty() {
                self.set.histograms.push(HistogramSeries { labels: group.series(at), samples });
            }
        }
    }
}

/// A plain series as the only one of its batch.
#[derive(Debug)]
enum Plain {
    Floats(Floats),
    Histograms(Histograms),
}

impl ColumnSource for Plain {
    fn floats<'a>(&'a self, _: usize, _: &'a mut Floats) -> Result<FloatColumn<'a>, QueryError> {
        Ok(match self {
            Self::Floats(floats) => floats.rows(0..floats.values.len()),
            Self::Histograms(_) => FloatColumn::Absent,
        })
    }

    fn histograms(&self, _: usize) -> Result<Option<Histograms>, QueryError> {
        Ok(match self {
            Self::Floats(_) => None,
            Self::Histograms(cells) => Some(Arc::clone(cells)),
        })
    }
}

/// A series set as batches, a series at a time.
pub(crate) struct SetBatches {
    left: VecDeque<(Labels, Vec<Sample>, Vec<HistogramSample>)>,
    ready: VecDeque<Batch>,
    coverage: Coverage,
    budget: Budget,
}

impl SetBatches {
    pub(crate) fn new(set: SeriesSet, budget: Budget) -> Self {
        let mut all: BTreeMap<Labels, (Vec<Sample>, Vec<HistogramSample>)> = BTreeMap::new();
        for Series { labels, samples } in set.series {
            all.entry(labels).or_default().0 = samples;
        }
        for HistogramSeries { labels, samples } in set.histograms {
            all.entry(labels).or_default().1 = samples;
        }
        let left = all.into_iter().map(|(labels, (samples, histograms))| (labels, samples, histograms));
        Self { left: left.collect(), ready: VecDeque::new(), coverage: set.coverage, budget }
    }

    fn put(&mut self, group: &Arc<SeriesGroup>, times: Arc<[i64]>, plain: Plain) -> Result<(), QueryError> {
        let charge = self.budget.charge(times.len() * 17)?;
        self.ready.push_back(Batch {
            group: Arc::clone(group),
            times: Times::new(times),
            series: Arc::from([0]),
            is_histograms: matches!(plain, Plain::Histograms(_)),
            summaries: Arc::from([]),
            source: Arc::new(plain),
            charge,
        });
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Batch>, QueryError> {
        while self.ready.is_empty() {
            let Some((labels, samples, histograms)) = self.left.pop_front() else { return Ok(None) };
            let group = Arc::new(SeriesGroup::listed(labels, Arc::from([Labels::empty()])));
            if !samples.is_empty() {
                let mut floats = Floats::default();
                floats.reset(samples.len());
                samples.iter().enumerate().for_each(|(row, sample)| floats.set(row, sample.value));
                let times = samples.iter().map(|sample| sample.timestamp).collect();
                self.put(&group, times, Plain::Floats(floats))?;
            }
            if !histograms.is_empty() {
                let times = histograms.iter().map(|sample| sample.timestamp).collect();
                let cells = histograms.into_iter().map(|sample| Some(sample.histogram)).collect();
                self.put(&group, times, Plain::Histograms(cells))?;
            }
        }
        Ok(self.ready.pop_front())
    }
}

impl Batches for SetBatches {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Batch>, QueryError>> {
        Box::pin(std::future::ready(self.step()))
    }

    fn coverage(&mut self) -> Coverage {
        std::mem::take(&mut self.coverage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(future)
    }

    fn set() -> SeriesSet {
        let labels = |name: &str| Labels::from_pairs([("__name__", name)]);
        let samples = |from: i64| (from..from + 3).map(|at| Sample::new(at, at as f64 / 2.0)).collect();
        let series = |name, from| Series { labels: labels(name), samples: samples(from) };
        let coverage = Coverage { warnings: vec!["so".to_owned()], ..Coverage::default() };
        SeriesSet { series: vec![series("a", 5), series("b", -7)], histograms: Vec::new(), coverage }
    }

    #[test]
    fn a_set_comes_back_out_of_its_batches() {
        let budget = Budget::new(60);
        let mut batches = SetBatches::new(set(), budget.clone());
        let mut collected = Collected::new(6);
        while let Some(batch) = wait(batches.next()).expect("a batch") {
            collected.add(&batch).expect("fits");
        }
        assert_eq!(budget.used(), 0, "all batches are dropped");
        let found = collected.finish(batches.coverage());
        assert_eq!((found.series, found.coverage), (set().series, set().coverage));
    }

    #[test]
    fn limits_are_told() {
        let mut batches = SetBatches::new(set(), Budget::new(60));
        let first = wait(batches.next()).expect("fits").expect("a batch");
        assert!(matches!(wait(batches.next()), Err(QueryError::Limit(_))), "both are too many bytes");
        let error = Collected::new(2).add(&first).expect_err("too many samples").to_string();
        assert!(error.ends_with("(limit 2)"), "{error}");
    }
}
