//! Reading the store as it will be once the evaluation at hand is written: a group's later rules see what
//! its earlier ones just gave, whether or not this process is the one that writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Labels, Sample, Series};
use parking_lot::Mutex;
use storage::{BoxFuture, Coverage, LabelQuery, Querier, QueryError, Select, SeriesSet, StartSeries};

use crate::alerting::Holder;

/// A querier with samples on top, all of one time.
pub(crate) struct Overlay {
    below: Arc<dyn Querier>,
    at_ms: i64,
    samples: Mutex<BTreeMap<Labels, f64>>,
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
    pub(crate) fn add(&self, samples: impl IntoIterator<Item = (Labels, f64)>) {
        let mut known = self.samples.lock();
        for (labels, value) in samples {
            known.entry(labels).or_insert(value);
        }
    }

    fn matching(&self, select: &Select) -> Vec<Series> {
        if !select.range.contains(self.at_ms) {
            return Vec::new();
        }
        let passes = |labels: &Labels| select.matchers.iter().all(|matcher| matcher.matches_labels(labels));
        let samples = self.samples.lock();
        samples
            .iter()
            .filter(|(labels, _)| passes(labels))
            .map(|(labels, value)| Series {
                labels: labels.clone(),
                samples: vec![Sample::new(self.at_ms, *value)],
            })
            .collect()
    }
}

impl Querier for Overlay {
    fn select(&self, select: Select) -> BoxFuture<'_, Result<SeriesSet, QueryError>> {
        let above = self.matching(&select);
        Box::pin(async move {
            let mut set = self.below.select(select).await?;
            let histograms = set.histograms.iter().map(|series| &series.labels);
            self.note(set.series.iter().map(|series| &series.labels).chain(histograms));
            if !above.is_empty() {
                set.series = merged(set.series, above);
            }
            Ok(set)
        })
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

/// Both in order of labels; a sample that the store has already stays.
fn merged(below: Vec<Series>, above: Vec<Series>) -> Vec<Series> {
    let mut all: BTreeMap<Labels, Series> =
        below.into_iter().map(|series| (series.labels.clone(), series)).collect();
    for series in above {
        let known = all
            .entry(series.labels.clone())
            .or_insert_with(|| Series { labels: series.labels.clone(), samples: Vec::new() });
        for sample in series.samples {
            if let Err(place) = known.samples.binary_search_by_key(&sample.timestamp, |known| known.timestamp)
            {
                known.samples.insert(place, sample);
            }
        }
    }
    all.into_values().collect()
}
