//! A store in memory, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use model::{AnyHistogram, AnySample, HistogramSample, Labels, Sample, Series};
use storage::{
    BoxFuture, Coverage, HistogramSeries, LabelQuery, Querier, QueryError, Select, SeriesSet, StartSeries,
};

use super::SeriesValue;

/// What is known at one time.
#[derive(Debug, Default)]
struct Entry {
    sample: Option<AnySample>,
    start: Option<i64>,
}

type Content = BTreeMap<Labels, BTreeMap<i64, Entry>>;

/// Series and samples in memory. Shared by reference.
#[derive(Debug, Default)]
pub struct MemoryStore {
    series: RwLock<Content>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sample; one at the same time is replaced.
    pub fn append(&self, labels: &Labels, sample: impl Into<AnySample>) {
        let sample = sample.into();
        let time = sample.timestamp();
        self.write().entry(labels.clone()).or_default().entry(time).or_default().sample = Some(sample);
    }

    /// Adds a sample that is newer than all of its series; others are left out, as a store without an out-of-order
    /// window does. Whether it was added.
    pub fn append_newer(&self, labels: &Labels, sample: impl Into<AnySample>) -> bool {
        let sample = sample.into();
        let time = sample.timestamp();
        let mut content = self.write();
        let series = content.entry(labels.clone()).or_default();
        let newer = series.last_key_value().is_none_or(|(newest, _)| time > *newest);
        if newer {
            series.entry(time).or_default().sample = Some(sample);
        }
        newer
    }

    /// Says when the counter of the sample at a time began; both in milliseconds since the Unix epoch.
    pub fn append_start(&self, labels: &Labels, timestamp: i64, start: i64) {
        let mut content = self.write();
        content.entry(labels.clone()).or_default().entry(timestamp).or_default().start = Some(start);
    }

    /// Adds a line of series notation with one value each `interval_ms` from time 0.
    ///
    /// # Errors
    /// When the line is no series notation.
    pub fn load(&self, interval_ms: i64, line: &str) -> Result<(), super::ScriptError> {
        let line = super::parse_series_line(line)?;
        let times = (0..).map(|at: i64| at.saturating_mul(interval_ms));
        for (timestamp, value) in times.zip(line.values) {
            match value {
                None => {}
                Some(SeriesValue::Float(value)) => self.append(&line.labels, Sample { timestamp, value }),
                Some(SeriesValue::Histogram(histogram, _)) => {
                    let histogram = Arc::new(AnyHistogram::Float((*histogram).clone()));
                    self.append(&line.labels, HistogramSample { timestamp, histogram });
                }
            }
        }
        Ok(())
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.write().clear();
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.series.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.series.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The label sets that a query counts.
    fn matching(&self, query: &LabelQuery) -> Vec<Labels> {
        let content = self.read();
        let counts = |labels: &Labels, samples: &BTreeMap<i64, Entry>| {
            let sets = &query.matcher_sets;
            let passes = sets.is_empty()
                || sets.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(labels)));
            passes && samples.range(query.range.start..=query.range.end).next().is_some()
        };
        let found = content.iter().filter(|(labels, samples)| counts(labels, samples));
        found.map(|(labels, _)| labels.clone()).collect()
    }
}

/// At most `limit` of the items; the coverage says when there were more.
fn limited<T>(mut items: Vec<T>, limit: usize) -> (Vec<T>, Coverage) {
    let mut coverage = Coverage::default();
    if items.len() > limit {
        items.truncate(limit);
        coverage.warnings.push("results truncated due to limit".to_owned());
    }
    (items, coverage)
}

impl Querier for MemoryStore {
    fn select(&self, select: Select) -> BoxFuture<'_, Result<SeriesSet, QueryError>> {
        let mut set = SeriesSet::default();
        let mut total = 0;
        for (labels, samples) in self.read().iter() {
            if !select.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
                continue;
            }
            if select.range.start > select.range.end {
                continue;
            }
            let (mut numbers, mut histograms) = (Vec::new(), Vec::new());
            for entry in samples.range(select.range.start..=select.range.end) {
                match &entry.1.sample {
                    None => {}
                    Some(AnySample::Float(sample)) => numbers.push(*sample),
                    Some(AnySample::Histogram(sample)) => histograms.push(sample.clone()),
                }
            }
            total += numbers.len() + histograms.len();
            if !numbers.is_empty() {
                set.series.push(Series { labels: labels.clone(), samples: numbers });
            }
            if !histograms.is_empty() {
                set.histograms.push(HistogramSeries { labels: labels.clone(), samples: histograms });
            }
        }
        let result = if total > select.samples_max {
            Err(QueryError::Limit(format!("selection has {total} samples, limit {}", select.samples_max)))
        } else {
            Ok(set)
        };
        Box::pin(std::future::ready(result))
    }

    fn starts(&self, select: Select) -> BoxFuture<'_, Result<Vec<StartSeries>, QueryError>> {
        let mut found = Vec::new();
        let range = select.range.start..=select.range.end.max(select.range.start);
        for (labels, samples) in self.read().iter() {
            if !select.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
                continue;
            }
            let known = samples.range(range.clone()).filter_map(|(time, entry)| Some((*time, entry.start?)));
            let starts: Vec<(i64, i64)> = known.collect();
            if !starts.is_empty() {
                found.push(StartSeries { labels: labels.clone(), starts });
            }
        }
        Box::pin(std::future::ready(Ok(found)))
    }

    /// It has none; but scripts are to test what most stores are asked in.
    fn has_groups(&self) -> bool {
        true
    }

    fn series(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<Labels>, Coverage), QueryError>> {
        let result = limited(self.matching(&query), query.limit);
        Box::pin(std::future::ready(Ok(result)))
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        let found = self.matching(&query);
        let names = found.iter().flat_map(|labels| labels.pairs().map(|(name, _)| name.to_owned()));
        let names: BTreeSet<String> = names.collect();
        let result = limited(names.into_iter().collect(), query.limit);
        Box::pin(std::future::ready(Ok(result)))
    }

    fn label_values(
        &self,
        name: &str,
        query: LabelQuery,
    ) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        let found = self.matching(&query);
        let values: BTreeSet<String> =
            found.iter().filter_map(|labels| labels.get(name).map(str::to_owned)).collect();
        let result = limited(values.into_iter().collect(), query.limit);
        Box::pin(std::future::ready(Ok(result)))
    }
}

#[cfg(test)]
mod tests {
    use model::METRIC_NAME;
    use storage::TimeRange;

    use super::*;

    #[tokio::test]
    async fn label_queries_name_what_is_there() {
        let store = MemoryStore::new();
        store.load(1000, r#"up{job="a"} 1 1"#).expect("a line");
        store.load(1000, r#"up{job="b", zone="x"} 1"#).expect("a line");
        let query = LabelQuery { matcher_sets: Vec::new(), range: TimeRange::ALL, limit: 2 };
        let (names, coverage) = store.label_names(query.clone()).await.expect("names");
        assert_eq!(names, [METRIC_NAME, "job"]);
        assert_eq!(coverage.warnings.len(), 1);
        let (values, _) = store.label_values("job", query.clone()).await.expect("values");
        assert_eq!(values, ["a", "b"]);
        let late = LabelQuery { range: TimeRange { start: 1000, end: 1000 }, ..query };
        assert_eq!(store.series(late).await.expect("series").0.len(), 1);
    }
}
