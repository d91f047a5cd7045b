//! What an evaluation gives, and where it goes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use model::{AnyHistogram, Labels, Metadata};
use parking_lot::Mutex;
use storage::{
    AppendError, Appender, BoxFuture, Cell, HistogramColumns, Layout, LayoutRef, Number, Row, Slot,
};

use crate::alert::{Alert, AlertSink};
use crate::reading::Reading;

/// Names a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// The file that holds it.
    pub file: String,
    /// Its name.
    pub name: String,
}

/// Writes `FILE;NAME`, as metrics name groups.
impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.file, self.name)
    }
}

/// What one rule gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleOutput {
    /// The rule's place in its group; `usize::MAX` for series of rules that are gone.
    pub rule: usize,
    /// One cell a series: values, and stale markers for series that vanished.
    pub samples: Vec<(Labels, Cell)>,
    /// Series whose value is a native histogram.
    pub histograms: Vec<(Labels, Arc<AnyHistogram>)>,
    /// Alerts that are due.
    pub alerts: Vec<Alert>,
}

impl RuleOutput {
    /// Its samples as a query reads them.
    pub(crate) fn readings(&self) -> impl Iterator<Item = (Labels, Reading)> + '_ {
        let numbers = self.samples.iter().map(|(labels, cell)| {
            let value = match cell {
                Cell::Value(number) => number.to_f64(),
                Cell::Stale | Cell::Absent => model::stale_nan(),
            };
            (labels.clone(), Reading::Number(value))
        });
        let histograms = self.histograms.iter();
        numbers
            .chain(histograms.map(|(labels, value)| (labels.clone(), Reading::Histogram(Arc::clone(value)))))
    }
}

/// What a group gave at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The time on the group's grid, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The time of the samples: `at_ms` less the group's query offset.
    pub sample_ms: i64,
    /// By rule, in order.
    pub rules: Vec<RuleOutput>,
}

/// What became of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Samples that were taken.
    pub appended: usize,
    /// Rules whose output was not taken whole, and why.
    pub failed: Vec<(usize, String)>,
}

/// Takes evaluations: writes, notifies, or keeps them to itself.
pub trait Publisher: Send + Sync {
    /// Takes what a group gave. Evaluations of a group come in order of time.
    fn publish<'a>(&'a self, group: &'a GroupKey, evaluation: Evaluation) -> BoxFuture<'a, Published>;

    /// The group is gone: nothing further comes under its name unless it returns.
    fn forget(&self, _group: &GroupKey) {}
}

/// The default: samples go to a store, alerts to a sink.
pub struct StorePublisher {
    appender: Arc<dyn Appender>,
    sink: Arc<dyn AlertSink>,
    layouts: Mutex<HashMap<GroupKey, HashMap<usize, Columns>>>,
    /// Series whose values are histograms have columns of their own.
    histograms: Mutex<HashMap<GroupKey, HashMap<Labels, HistogramColumns>>>,
}

impl fmt::Debug for StorePublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorePublisher").finish_non_exhaustive()
    }
}

/// One rule's layout, and which column is which series.
struct Columns {
    layout: LayoutRef,
    places: HashMap<Labels, usize>,
}

impl StorePublisher {
    /// Publishes to these.
    #[must_use]
    pub fn new(appender: Arc<dyn Appender>, sink: Arc<dyn AlertSink>) -> Self {
        Self { appender, sink, layouts: Mutex::default(), histograms: Mutex::default() }
    }

    fn append(&self, group: &GroupKey, at_ms: i64, output: &RuleOutput) -> Result<usize, String> {
        if output.samples.is_empty() {
            return Ok(0);
        }
        let mut layouts = self.layouts.lock();
        let rules = layouts.entry(group.clone()).or_default();
        let fits = rules.get(&output.rule).is_some_and(|columns| columns.fits(&output.samples));
        if !fits {
            rules.insert(output.rule, self.columns(&output.samples).map_err(|error| error.to_string())?);
        }
        let Some(columns) = rules.get_mut(&output.rule) else { return Ok(0) };
        let outcome = match self.append_row(columns, at_ms, &output.samples) {
            Err(AppendError::Relayout) => {
                *columns = self.columns(&output.samples).map_err(|error| error.to_string())?;
                self.append_row(columns, at_ms, &output.samples)
            }
            other => other,
        };
        let outcome = outcome.map_err(|error| error.to_string())?;
        Ok(taken(group, outcome))
    }

    /// Appends the histograms, and the ends of series that were histograms, which it takes out of the numbers.
    fn append_histograms(
        &self,
        group: &GroupKey,
        at_ms: i64,
        output: &mut RuleOutput,
    ) -> Result<usize, String> {
        let mut groups = self.histograms.lock();
        if output.histograms.is_empty() && !groups.contains_key(group) {
            return Ok(0);
        }
        let known = groups.entry(group.clone()).or_default();
        let mut appended = 0;
        for (labels, histogram) in &output.histograms {
            let columns = known.entry(labels.clone()).or_insert_with(|| {
                HistogramColumns::new(Labels::empty(), labels.clone(), Metadata::default())
            });
            let outcome = columns.append(&*self.appender, at_ms, histogram);
            appended += taken(group, outcome.map_err(|error| error.to_string())?);
        }
        let ended = |(labels, cell): &mut (Labels, Cell)| *cell == Cell::Stale && known.contains_key(labels);
        let ended: Vec<_> = output.samples.extract_if(.., ended).collect();
        for (labels, _) in ended {
            let Some(mut columns) = known.remove(&labels) else { continue };
            let outcome = columns.end(&*self.appender, at_ms).map_err(|error| error.to_string())?;
            appended += outcome.map_or(0, |outcome| taken(group, outcome));
        }
        Ok(appended)
    }

    fn columns(&self, samples: &[(Labels, Cell)]) -> Result<Columns, AppendError> {
        let slots =
            samples.iter().map(|(labels, _)| Slot::new(labels.clone(), Metadata::default())).collect();
        // Series that are refused for want of memory have no place: they are asked for again each time.
        let admitted = storage::admit(&*self.appender, Layout::new(Labels::empty(), slots)?)?;
        let places = admitted.slots().enumerate();
        let places = places.map(|(at, slot)| (samples[slot as usize].0.clone(), at)).collect();
        Ok(Columns { layout: admitted.layout, places })
    }

    fn append_row(
        &self,
        columns: &Columns,
        timestamp: i64,
        samples: &[(Labels, Cell)],
    ) -> Result<storage::AppendOutcome, AppendError> {
        let mut cells = vec![Cell::Absent; columns.layout.layout().slots().len()];
        for (labels, cell) in samples {
            if let Some(place) = columns.places.get(labels) {
                cells[*place] = *cell;
            }
        }
        self.appender.append(Row { layout: &columns.layout, timestamp, cells: &cells })
    }
}

/// How many samples were taken; the log says which were not.
fn taken(group: &GroupKey, outcome: storage::AppendOutcome) -> usize {
    let dropped = outcome.out_of_order + outcome.duplicates + outcome.out_of_bounds + outcome.too_old;
    if dropped > 0 {
        let first = outcome.first_rejected.unwrap_or_default();
        tracing::warn!(group = %group, dropped, %first, "samples of a rule were older than what the store has");
    }
    outcome.appended
}

impl Columns {
    /// Whether a row of these series fits, and is not mostly holes.
    fn fits(&self, samples: &[(Labels, Cell)]) -> bool {
        samples.len() * 2 >= self.places.len()
            && samples.iter().all(|(labels, _)| self.places.contains_key(labels))
    }
}

impl Publisher for StorePublisher {
    fn publish<'a>(&'a self, group: &'a GroupKey, evaluation: Evaluation) -> BoxFuture<'a, Published> {
        let mut published = Published::default();
        let mut alerts = Vec::new();
        for mut output in evaluation.rules {
            let histograms = self.append_histograms(group, evaluation.sample_ms, &mut output);
            let numbers = self.append(group, evaluation.sample_ms, &output);
            match numbers.and_then(|numbers| histograms.map(|histograms| numbers + histograms)) {
                Ok(appended) => published.appended += appended,
                Err(what) => {
                    tracing::error!(group = %group, error = what, "samples of a rule could not be written");
                    published.failed.push((output.rule, what));
                }
            }
            alerts.extend(output.alerts);
        }
        if !alerts.is_empty() {
            self.sink.send(alerts);
        }
        Box::pin(std::future::ready(published))
    }

    fn forget(&self, group: &GroupKey) {
        self.layouts.lock().remove(group);
        self.histograms.lock().remove(group);
    }
}

/// The cell that carries a value.
pub(crate) fn cell(value: f64) -> Cell {
    if model::is_stale(value) { Cell::Stale } else { Cell::Value(Number::from_f64(value)) }
}
