//! Reading the store as it will be once the evaluation at hand is written: a group's later rules see what
//! its earlier ones just gave, whether or not this process is the one that writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{HistogramSample, Labels, Sample, Series};
use parking_lot::Mutex;
use storage::{
    Batch, BatchSelect, Batches, BoxFuture, Coverage, HistogramSeries, LabelQuery, Querier, QueryError,
    Select, SeriesGroup, SeriesSet, StartSeries, one_by_one,
};

use crate::alerting::Holder;
use crate::reading::Reading;

/// A querier with samples on top, all of one time.
pub(crate) struct Overlay {
    below: Arc<dyn Querier>,
    at_ms: i64,
    samples: Mutex<BTreeMap<Labels, Reading>>,
    /// Who knows whose data a series is.
    holder: Arc<dyn Holder>,
    sources: Mutex<BTreeSet<Arc<str>>>,
}

impl Overlay {
    pub(crate) fn new(below: Arc<dyn Querier>, at_ms: i64, holder: Arc<dyn Holder>) -> Self {
        Self { below, at_ms, samples: Mutex::default(), holder, sources: Mutex::default() }
    }

    /// Whose series were read since this was asked last.
    pub(crate) fn take_sources(&self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut *self.sources.lock())
    }

    fn note<'a>(&self, read: impl Iterator<Item = &'a Labels>) {
        let mut sources = self.sources.lock();
        for labels in read {
            if let Some(source) = self.holder.source(labels).filter(|source| !sources.contains(*source)) {
                sources.insert(Arc::from(source));
            }
        }
    }

    /// Adds samples; of two for one series the first stays, as in the store.
    pub(crate) fn add(&self, samples: impl IntoIterator<Item = (Labels, Reading)>) {
        let mut known = self.samples.lock();
        for (labels, value) in samples {
            known.entry(labels).or_insert(value);
        }
    }

    /// Whether something on top passes.
    fn is_under(&self, select: &BatchSelect) -> bool {
        let passes = |labels: &Labels| select.matchers.iter().all(|matcher| matcher.matches_labels(labels));
        select.range.contains(self.at_ms) && self.samples.lock().keys().any(passes)
    }

    fn matching(&self, select: &Select) -> (Vec<Series>, Vec<HistogramSeries>) {
        let (mut numbers, mut histograms) = (Vec::new(), Vec::new());
        if !select.range.contains(self.at_ms) {
            return (numbers, histograms);
        }
        let passes = |labels: &Labels| select.matchers.iter().all(|matcher| matcher.matches_labels(labels));
        for (labels, value) in self.samples.lock().iter().filter(|(labels, _)| passes(labels)) {
            let labels = labels.clone();
            match value {
                Reading::Number(value) => {
                    numbers.push(Series { labels, samples: vec![Sample::new(self.at_ms, *value)] });
                }
                Reading::Histogram(histogram) => {
                    let histogram = Arc::clone(histogram);
                    let samples = vec![HistogramSample { timestamp: self.at_ms, histogram }];
                    histograms.push(HistogramSeries { labels, samples });
                }
            }
        }
        (numbers, histograms)
    }
}

impl Querier for Overlay {
    fn select(&self, select: Select) -> BoxFuture<'_, Result<SeriesSet, QueryError>> {
        let (numbers, others) = self.matching(&select);
        Box::pin(async move {
            let mut set = self.below.select(select).await?;
            let histograms = set.histograms.iter().map(|series| &series.labels);
            self.note(set.series.iter().map(|series| &series.labels).chain(histograms));
            if !numbers.is_empty() {
                set.series = merged(set.series, numbers);
            }
            if !others.is_empty() {
                set.histograms = merged(set.histograms, others);
            }
            Ok(set)
        })
    }

    fn batches(&self, select: BatchSelect) -> BoxFuture<'_, Result<Box<dyn Batches + '_>, QueryError>> {
        Box::pin(async move {
            if self.is_under(&select) {
                return one_by_one(self, select).await;
            }
            let below = self.below.batches(select).await?;
            if !self.holder.has_sources() {
                return Ok(below);
            }
            Ok(Box::new(NotedBatches { below, overlay: self, group: None }) as Box<dyn Batches>)
        })
    }

    fn has_groups(&self) -> bool {
        self.below.has_groups()
    }

    fn starts(&self, select: Select) -> BoxFuture<'_, Result<Vec<StartSeries>, QueryError>> {
        self.below.starts(select)
    }

    fn series(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<Labels>, Coverage), QueryError>> {
        self.below.series(query)
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        self.below.label_names(query)
    }

    fn label_values(
        &self,
        name: &str,
        query: LabelQuery,
    ) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        self.below.label_values(name, query)
    }
}

/// Batches of the store, of which it is noted whose they are.
struct NotedBatches<'a> {
    below: Box<dyn Batches + 'a>,
    overlay: &'a Overlay,
    /// The last one that was noted.
    group: Option<Arc<SeriesGroup>>,
}

impl Batches for NotedBatches<'_> {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Batch>, QueryError>> {
        Box::pin(async move {
            let batch = self.below.next().await?;
            let group = batch.as_ref().map(|batch| &batch.group);
            if let Some(group) =
                group.filter(|group| !self.group.as_ref().is_some_and(|last| Arc::ptr_eq(last, group)))
            {
                for at in 0..group.len() {
                    self.overlay.note(std::iter::once(&group.series(at)));
                }
                self.group = Some(Arc::clone(group));
            }
            Ok(batch)
        })
    }

    fn coverage(&mut self) -> Coverage {
        self.below.coverage()
    }
}

/// What numbers and histograms have in common here.
trait Stored {
    type Sample;
    fn labels(&self) -> &Labels;
    fn samples(&mut self) -> &mut Vec<Self::Sample>;
    fn time(sample: &Self::Sample) -> i64;
}

impl Stored for Series {
    type Sample = Sample;
    fn labels(&self) -> &Labels {
        &self.labels
    }
    fn samples(&mut self) -> &mut Vec<Sample> {
        &mut self.samples
    }
    fn time(sample: &Sample) -> i64 {
        sample.timestamp
    }
}

impl Stored for HistogramSeries {
    type Sample = HistogramSample;
    fn labels(&self) -> &Labels {
        &self.labels
    }
    fn samples(&mut self) -> &mut Vec<HistogramSample> {
        &mut self.samples
    }
    fn time(sample: &HistogramSample) -> i64 {
        sample.timestamp
    }
}

/// Both in order of labels; a sample that the store has already stays.
fn merged<S: Stored>(below: Vec<S>, above: Vec<S>) -> Vec<S> {
    let mut all: BTreeMap<Labels, S> =
        below.into_iter().map(|series| (series.labels().clone(), series)).collect();
    for mut series in above {
        let Some(known) = all.get_mut(series.labels()) else {
            all.insert(series.labels().clone(), series);
            continue;
        };
        let known = known.samples();
        for sample in series.samples().drain(..) {
            if let Err(place) = known.binary_search_by_key(&S::time(&sample), S::time) {
                known.insert(place, sample);
            }
        }
    }
    all.into_values().collect()
}
