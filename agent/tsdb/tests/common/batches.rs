//! Reading a store in batches, with all that batches promise checked on the way.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::{HistogramSample, Labels, Matcher, is_stale};
use storage::{Batch, BatchSelect, Budget, Floats, Querier, Summary, TimeRange};
use vedette_tsdb::Store;

use super::Samples;

/// Histograms as text: a stale marker's sum is no number, and so not equal to itself.
pub(crate) type Histograms = BTreeMap<Labels, Vec<String>>;

/// A histogram as such a text.
pub(crate) fn text(sample: &HistogramSample) -> String {
    format!("{} {:?}", sample.timestamp, sample.histogram)
}

/// What has been read, by series.
#[derive(Default)]
struct Read {
    numbers: Samples,
    histograms: Histograms,
    /// Of the group that is read: the last time of each series and kind.
    last: HashMap<(u32, bool), i64>,
    scratch: Floats,
}

/// All samples, numbers and histograms.
pub(crate) async fn read(store: &Store, matchers: Vec<Matcher>, range: TimeRange) -> (Samples, Histograms) {
    let budget = Budget::unlimited();
    let asked = BatchSelect { matchers: matchers.clone(), range, budget: budget.clone(), newest: false };
    let mut batches = store.batches(asked).await.expect("answers");
    let mut read = Read::default();
    let (mut group, mut seen) = (None, HashSet::new());
    while let Some(batch) = batches.next().await.expect("a batch") {
        if !group.as_ref().is_some_and(|group| Arc::ptr_eq(group, &batch.group)) {
            for at in 0..batch.group.len() {
                let labels = batch.group.series(at);
                assert!(matchers.iter().all(|matcher| matcher.matches_labels(&labels)), "{labels} passes");
                assert!(seen.insert(labels), "no series is in two groups");
            }
            group = Some(Arc::clone(&batch.group));
            read.last.clear();
        }
        assert!(batch.rows() > 0 && batch.columns() > 0);
        assert!(batch.times.is_sorted_by(|one, two| one < two), "each time after the one before");
        assert!(batch.times.iter().all(|time| range.contains(*time)));
        let unique: HashSet<u32> = batch.series.iter().copied().collect();
        assert_eq!(unique.len(), batch.columns(), "each series once");
        read.take(&batch);
    }
    drop(batches);
    assert_eq!(budget.used(), 0, "what is dropped is given back");
    let newest = newest(store, BatchSelect { matchers, range, budget, newest: true }).await;
    let last = read.numbers.iter().filter_map(|(labels, all)| Some((labels.clone(), *all.last()?)));
    assert_eq!(newest, last.collect::<BTreeMap<_, _>>(), "where only the newest matter, these are there");
    (read.numbers, read.histograms)
}

/// The newest number of each series.
async fn newest(store: &Store, asked: BatchSelect) -> BTreeMap<Labels, (i64, u64)> {
    let mut batches = store.batches(asked).await.expect("answers");
    let (mut found, mut scratch) = (BTreeMap::new(), Floats::default());
    while let Some(batch) = batches.next().await.expect("a batch") {
        for (column, &series) in batch.series.iter().enumerate().filter(|_| !batch.is_histograms) {
            if let Some((row, value)) = batch.last(column, &mut scratch).expect("decodes") {
                found.insert(batch.group.series(series as usize), (batch.times[row], value.to_bits()));
            }
        }
    }
    found
}

impl Read {
    fn take(&mut self, batch: &Batch) {
        let times = &*batch.times;
        for (column, &series) in batch.series.iter().enumerate() {
            let mut cells = Vec::new();
            let found = batch.floats(column, &mut self.scratch).expect("decodes");
            found.for_each(times.len(), |row, value| cells.push((times[row], value)));
            assert_eq!(cells.len(), found.count(times.len()));
            let last = batch.last(column, &mut self.scratch).expect("decodes");
            let last = last.map(|(row, value)| (times[row], value.to_bits()));
            assert_eq!(last, cells.last().map(|(time, value)| (*time, value.to_bits())));
            let histograms = batch.histograms(column).expect("decodes");
            assert_eq!(histograms.is_some(), batch.is_histograms);
            let histograms: Vec<_> = histograms.iter().flat_map(|all| all.iter()).zip(times).collect();
            if let Some(summary) = batch.summary(column) {
                check_summary(summary, &cells);
            }
            let mut given = cells.iter().map(|(time, _)| *time).collect::<Vec<_>>();
            given.extend(histograms.iter().filter(|(cell, _)| cell.is_some()).map(|(_, time)| **time));
            if let (Some(first), Some(last)) = (given.first(), given.last()) {
                let before = self.last.insert((series, batch.is_histograms), *last);
                assert!(before.is_none_or(|before| before < *first), "batches are in order of time");
                let labels = batch.group.series(series as usize);
                if batch.is_histograms {
                    let samples = histograms.into_iter().filter_map(|(cell, &timestamp)| {
                        let histogram = Arc::clone(cell.as_ref()?);
                        Some(text(&HistogramSample { timestamp, histogram }))
                    });
                    self.histograms.entry(labels).or_default().extend(samples);
                } else {
                    let samples = cells.iter().map(|(time, value)| (*time, value.to_bits()));
                    self.numbers.entry(labels).or_default().extend(samples);
                }
            }
        }
    }
}

/// A summary says what a look at every value says.
fn check_summary(summary: &Summary, cells: &[(i64, f64)]) {
    let all: Vec<f64> = cells.iter().map(|(_, value)| *value).filter(|value| !is_stale(*value)).collect();
    let numbers: Vec<f64> = all.iter().copied().filter(|value| !value.is_nan()).collect();
    let counts = (all.len(), cells.len() - all.len(), all.len() - numbers.len());
    assert_eq!((summary.count as usize, summary.stale as usize, summary.nan as usize), counts);
    let bits = |value: Option<&f64>| value.filter(|value| !value.is_nan()).map(|value| value.to_bits());
    let ends = [summary.first, summary.last].map(|value| bits(Some(&value)));
    assert_eq!(ends, [bits(all.first()), bits(all.last())]);
    let least = numbers.iter().copied().reduce(f64::min);
    let most = numbers.iter().copied().reduce(f64::max);
    assert!(least.map_or(summary.min.is_nan(), |least| least == summary.min));
    assert!(most.map_or(summary.max.is_nan(), |most| most == summary.max));
    let increase: f64 =
        numbers.windows(2).map(|pair| if pair[1] < pair[0] { pair[1] } else { pair[1] - pair[0] }).sum();
    for (told, naive) in [(summary.sum, numbers.iter().sum()), (summary.reset_sum, increase)] {
        let size: f64 = numbers.iter().map(|value: &f64| value.abs()).sum();
        assert!(!size.is_finite() || (told - naive).abs() <= size * 1e-9, "{told} is {naive}");
    }
}
