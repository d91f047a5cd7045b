//! Reading: batches, and plain series sets.

use std::future::Future;
use std::pin::Pin;

use model::{HistogramSample, Labels, Matcher, Series};

use crate::batch::Batch;
use crate::batches::SetBatches;
use crate::budget::Budget;
use crate::coverage::Coverage;
use crate::error::QueryError;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A range of time, both ends included, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// First millisecond.
    pub start: i64,
    /// Last millisecond.
    pub end: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start: i64::MIN, end: i64::MAX };

    /// Whether the range holds `timestamp`.
    #[must_use]
    pub fn contains(&self, timestamp: i64) -> bool {
        (self.start..=self.end).contains(&timestamp)
    }

    /// Whether two ranges share a millisecond.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// Which samples to read.
#[derive(Clone, Debug)]
pub struct Select {
    /// All must pass.
    pub matchers: Vec<Matcher>,
    /// Samples outside are left out; a series without samples inside is left out.
    pub range: TimeRange,
    /// The selection fails with [`QueryError::Limit`] beyond so many samples.
    pub samples_max: usize,
}

/// Which samples to read as batches.
#[derive(Clone, Debug)]
pub struct BatchSelect {
    /// All must pass.
    pub matchers: Vec<Matcher>,
    /// Samples outside are left out.
    pub range: TimeRange,
    /// What the batches that are held at a time may take up: reading fails with [`QueryError::Limit`] beyond it.
    pub budget: Budget,
    /// Whether only the newest number of each series matters, stale markers among them: a source may leave out
    /// older ones.
    pub newest: bool,
}

/// Batches, one after the other: all of one group of series, then all of another; no series is in two groups.
pub trait Batches: Send {
    /// The next one; none when all were given. What is dropped meanwhile is gone.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Batch>, QueryError>>;

    /// What the answer covers, once all batches were given and decoded.
    fn coverage(&mut self) -> Coverage;
}

/// Which label sets, names or values to list.
#[derive(Clone, Debug)]
pub struct LabelQuery {
    /// A series counts if one of the sets passes; without sets every series counts.
    pub matcher_sets: Vec<Vec<Matcher>>,
    /// A series counts if it may have samples in the range.
    pub range: TimeRange,
    /// At most so many entries; the coverage carries a warning when more were found.
    pub limit: usize,
}

/// A label set and its samples that are histograms, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSeries {
    /// What names the series.
    pub labels: Labels,
    /// Oldest first; stale markers are among them.
    pub samples: Vec<HistogramSample>,
}

/// Series in order of their labels, no two alike, and how complete they are.
#[derive(Clone, Debug, Default)]
pub struct SeriesSet {
    /// The series.
    pub series: Vec<Series>,
    /// Samples that are native histograms: of series that may also be among `series`, where their samples were
    /// of both kinds. In order of labels, no two alike; no sample of one kind has the time of one of the other.
    pub histograms: Vec<HistogramSeries>,
    /// What the answer covers.
    pub coverage: Coverage,
}

/// When the counters of a series' samples began to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartSeries {
    /// What names the series.
    pub labels: Labels,
    /// (time of a sample, its start) in milliseconds since the Unix epoch, in order of time; only known starts.
    pub starts: Vec<(i64, i64)>,
}

/// What a source's plain series are as batches, each a group of its own.
///
/// # Errors
/// Those of [`Querier::select`].
pub async fn one_by_one<'a, Q: Querier + ?Sized>(
    querier: &'a Q,
    select: BatchSelect,
) -> Result<Box<dyn Batches + 'a>, QueryError> {
    let BatchSelect { matchers, range, budget, .. } = select;
    let samples_max = budget.left() / size_of::<model::Sample>();
    let set = querier.select(Select { matchers, range, samples_max }).await?;
    Ok(Box::new(SetBatches::new(set, budget)))
}

/// Something that can be asked for series.
pub trait Querier: Send + Sync {
    /// The samples that pass, stale markers included.
    fn select(&self, select: Select) -> BoxFuture<'_, Result<SeriesSet, QueryError>>;

    /// The start times of the samples that pass, where this source keeps any.
    fn starts(&self, _select: Select) -> BoxFuture<'_, Result<Vec<StartSeries>, QueryError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// The samples that pass as batches. Where it is not said otherwise each series is a group of its own.
    fn batches(&self, select: BatchSelect) -> BoxFuture<'_, Result<Box<dyn Batches + '_>, QueryError>> {
        Box::pin(one_by_one(self, select))
    }

    /// Whether batches hold many series each; else reading series one by one costs less.
    fn has_groups(&self) -> bool {
        false
    }

    /// The label sets that pass, in order.
    fn series(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<Labels>, Coverage), QueryError>>;

    /// The label names of the series that pass, in order.
    fn label_names(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>>;

    /// The values that one label has in the series that pass, in order.
    fn label_values(
        &self,
        name: &str,
        query: LabelQuery,
    ) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>>;
}
