//! A store in memory, plain enough to be obviously right.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Labels, Sample, Series};
use parking_lot::Mutex;
use storage::{
    AppendError, AppendOutcome, Appender, BoxFuture, Cell, CommitSender, Coverage, LabelQuery, Layout,
    LayoutRef, Querier, QueryError, Row, Select, SeriesSet, commit_channel,
};

pub(crate) struct Memory {
    samples: Mutex<BTreeMap<Labels, BTreeMap<i64, f64>>>,
    commits: CommitSender,
}

impl Memory {
    pub(crate) fn shared() -> Arc<Self> {
        Arc::new(Self { samples: Mutex::default(), commits: commit_channel() })
    }

    pub(crate) fn put(&self, pairs: &[(&str, &str)], at_ms: i64, value: f64) {
        let labels = Labels::from_pairs(pairs.iter().copied());
        self.samples.lock().entry(labels).or_default().insert(at_ms, value);
    }

    /// The sample at exactly this time; a stale marker is `Some(None)`.
    pub(crate) fn at(&self, pairs: &[(&str, &str)], at_ms: i64) -> Option<Option<f64>> {
        let labels = Labels::from_pairs(pairs.iter().copied());
        let value = *self.samples.lock().get(&labels)?.get(&at_ms)?;
        Some((!model::is_stale(value)).then_some(value))
    }

    /// Label sets with a sample that is no marker at this time, as text.
    pub(crate) fn names_at(&self, at_ms: i64) -> Vec<String> {
        let samples = self.samples.lock();
        let live =
            |values: &BTreeMap<i64, f64>| values.get(&at_ms).is_some_and(|value| !model::is_stale(*value));
        samples.iter().filter(|(_, values)| live(values)).map(|(labels, _)| labels.to_string()).collect()
    }
}

impl Appender for Memory {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        Ok(LayoutRef::new(Arc::new(layout), 0))
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        let layout = row.layout.layout();
        let mut appended = 0;
        for (at, cell) in row.cells.iter().enumerate() {
            let value = match cell {
                Cell::Absent => continue,
                Cell::Value(number) => number.to_f64(),
                Cell::Stale => model::stale_nan(),
            };
            appended += 1;
            self.samples.lock().entry(layout.series(at)).or_default().insert(row.timestamp, value);
        }
        let commit = self.commits.commit(1);
        Ok(AppendOutcome {
            appended,
            out_of_order: 0,
            duplicates: 0,
            out_of_bounds: 0,
            too_old: 0,
            first_rejected: None,
            commit,
        })
    }
}

impl Querier for Memory {
    fn select(&self, select: Select) -> BoxFuture<'_, Result<SeriesSet, QueryError>> {
        let mut series = Vec::new();
        for (labels, values) in self.samples.lock().iter() {
            if !select.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
                continue;
            }
            let inside = values.iter().filter(|(at, _)| select.range.contains(**at));
            let samples: Vec<_> = inside.map(|(at, value)| Sample::new(*at, *value)).collect();
            if !samples.is_empty() {
                series.push(Series { labels: labels.clone(), samples });
            }
        }
        Box::pin(std::future::ready(Ok(SeriesSet { series, ..SeriesSet::default() })))
    }

    /// It has none; but rules are to be tested as over most stores.
    fn has_groups(&self) -> bool {
        true
    }

    fn series(&self, _: LabelQuery) -> BoxFuture<'_, Result<(Vec<Labels>, Coverage), QueryError>> {
        Box::pin(std::future::ready(Ok(Default::default())))
    }

    fn label_names(&self, _: LabelQuery) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        Box::pin(std::future::ready(Ok(Default::default())))
    }

    fn label_values(
        &self,
        _: &str,
        _: LabelQuery,
    ) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        Box::pin(std::future::ready(Ok(Default::default())))
    }
}
