//! Running queries: options, limits, answers.

use std::sync::Arc;
use std::time::Duration;

use model::{Labels, Sample, Series};
use storage::{Coverage, HistogramSeries, Querier, QueryError};
use tokio::sync::Semaphore;

use crate::ast::{Expr, ValueType};
use crate::eval::{Cell, Column, Evaluator, Grid, Operand, histogram_sample};
use crate::stats::{ActiveQueries, Ending, Origin, PerStep, QueryLog, QueryStats};

/// Times beyond are brought to it: the year 287396.
const TIME_MAX: i64 = 1 << 53;
/// No query is waited for any longer, whatever the options say.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// What holds for all queries of an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How long a sample counts as current, in whole milliseconds. Default 5 min.
    pub lookback_delta: Duration,
    /// Samples that one query may hold at once. Default 50,000,000.
    pub max_samples: usize,
    /// A query that takes longer fails. Default 2 min.
    pub timeout: Duration,
    /// Queries that run at once; further ones wait. Default 20.
    pub max_concurrent: usize,
    /// Step of a subquery that names none: the global evaluation interval. Default 1 min.
    pub subquery_step: Duration,
    /// Whether metric names that an operation drops go at the end only, as with Prometheus's flag
    /// `promql-delayed-name-removal`. Default false.
    pub delayed_name_removal: bool,
    /// Whether counters are known to have begun when the source says so, where it keeps start times. Default
    /// false.
    pub use_start_timestamps: bool,
    /// Whether series carry their type in the label `__type__`, as with Prometheus's flag
    /// `type-and-unit-labels`. Default false.
    pub type_and_unit_labels: bool,
    /// Whether every operation is evaluated series by series, also where groups of series could be taken together,
    /// and every part as often as it is there: slower, with the same results. What the other way is compared with
    /// in tests. Default false.
    pub series_by_series: bool,
    /// Whether who asks for it gets what a query cost step by step, as with Prometheus's flag `promql-per-step-stats`.
    /// Such a query is evaluated series by series. Default false.
    pub per_step_stats: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_delta: Duration::from_secs(300),
            max_samples: 50_000_000,
            timeout: Duration::from_secs(120),
            max_concurrent: 20,
            subquery_step: Duration::from_secs(60),
            delayed_name_removal: false,
            use_start_timestamps: false,
            type_and_unit_labels: false,
            series_by_series: false,
            per_step_stats: false,
        }
    }
}

/// What holds for one query.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// Instead of the engine's.
    pub lookback_delta: Option<Duration>,
    /// Instead of the engine's, if shorter.
    pub timeout: Option<Duration>,
    /// At most so many series in the answer, with a warning where there were more.
    pub limit: Option<usize>,
    /// Whether to count step by step, where the engine allows it.
    pub per_step_stats: bool,
    /// Who asks.
    pub origin: Option<Arc<Origin>>,
}

/// A series' value at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// What names the series.
    pub labels: Labels,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The value.
    pub value: f64,
}

/// What a query gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Scalar(Sample),
    /// A time in milliseconds since the Unix epoch, and a text.
    String(i64, String),
    /// One value a series; the order is the query's where it sorts.
    Vector(Vec<VectorSample>),
    /// Several values a series, in order of labels.
    Matrix(Vec<Series>),
}

impl Value {
    /// Which kind it is.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Scalar(_) => ValueType::Scalar,
            Self::String(..) => ValueType::String,
            Self::Vector(_) => ValueType::Vector,
            Self::Matrix(_) => ValueType::Matrix,
        }
    }
}

/// A query's result.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// Results that are native histograms, in order of labels (of a vector in its order): beside a vector one a
    /// series, beside a matrix all of them.
    pub histograms: Vec<HistogramSeries>,
    /// Warnings, in order of text; those of the coverage are not among them.
    pub warnings: Vec<String>,
    /// Infos, in order of text.
    pub infos: Vec<String>,
    /// How complete the data was.
    pub coverage: Coverage,
    /// What it cost.
    pub stats: QueryStats,
    /// What it cost step by step, where that was asked for and the engine allows it.
    pub per_step: Option<PerStep>,
}

/// A query gave no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EvalError {
    /// It took too long.
    #[error("query timed out in {0}")]
    Timeout(&'static str),
    /// Its engine is shutting down.
    #[error("query was canceled in {0}")]
    Canceled(&'static str),
    /// It would hold more samples than allowed.
    #[error("query processing would load too many samples into memory in {0}")]
    TooManySamples(&'static str),
    /// The store could not answer.
    #[error("expanding series: {0}")]
    Storage(#[from] QueryError),
    /// The data does not allow the operation.
    #[error("{0}")]
    Execution(String),
}

impl EvalError {
    pub(crate) fn too_many_samples() -> Self {
        Self::TooManySamples("query execution")
    }
}

/// Evaluates queries. Dropping a query's future cancels it.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
    slots: Semaphore,
    active: Option<Arc<dyn ActiveQueries>>,
    log: Option<Arc<dyn QueryLog>>,
}

impl Engine {
    /// An engine.
    #[must_use]
    pub fn new(options: EngineOptions) -> Self {
        let slots = Semaphore::new(options.max_concurrent.clamp(1, Semaphore::MAX_PERMITS));
        Self { options, slots, active: None, log: None }
    }

    /// Tells `active` of each query from now on.
    #[must_use]
    pub fn noting(mut self, active: Option<Arc<dyn ActiveQueries>>) -> Self {
        self.active = active;
        self
    }

    /// Tells `log` of each query's end from now on.
    #[must_use]
    pub fn logging(mut self, log: Option<Arc<dyn QueryLog>>) -> Self {
        self.log = log;
        self
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Ends the queries that wait for their turn, and refuses further ones, with [`EvalError::Canceled`].
    pub fn close(&self) {
        self.slots.close();
    }

    /// Evaluates `expr` at one time, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// See [`EvalError`].
    pub async fn instant(
        &self,
        querier: &dyn Querier,
        expr: &Expr,
        time_ms: i64,
    ) -> Result<Answer, EvalError> {
        self.instant_with(querier, expr, time_ms, QueryOptions::default()).await
    }

    /// [`Self::instant`] with options.
    ///
    /// # Errors
    /// See [`EvalError`].
    pub async fn instant_with(
        &self,
        querier: &dyn Querier,
        expr: &Expr,
        time_ms: i64,
        options: QueryOptions,
    ) -> Result<Answer, EvalError> {
        self.run(querier, expr, Grid::instant(time_ms.clamp(-TIME_MAX, TIME_MAX)), true, options).await
    }

    /// Evaluates `expr` at every `step_ms` from `start_ms` through `end_ms`.
    ///
    /// # Errors
    /// See [`EvalError`]; also for expressions that are neither scalar nor instant vector, and for a step
    /// that is not above zero.
    pub async fn range(
        &self,
        querier: &dyn Querier,
        expr: &Expr,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<Answer, EvalError> {
        self.range_with(querier, expr, start_ms, end_ms, step_ms, QueryOptions::default()).await
    }

    /// [`Self::range`] with options.
    ///
    /// # Errors
    /// See [`Self::range`].
    pub async fn range_with(
        &self,
        querier: &dyn Querier,
        expr: &Expr,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: QueryOptions,
    ) -> Result<Answer, EvalError> {
        let kind = expr.value_type();
        if !matches!(kind, ValueType::Scalar | ValueType::Vector) {
            let got = crate::quote::quote(kind.documented());
            return Err(EvalError::Execution(format!(
                "invalid expression type {got} for range query, must be Scalar or instant Vector"
            )));
        }
        if step_ms <= 0 {
            return Err(EvalError::Execution("step of a range query must be above zero".to_owned()));
        }
        let bounded = |time: i64| time.clamp(-TIME_MAX, TIME_MAX);
        let grid = Grid { start: bounded(start_ms), end: bounded(end_ms), step: step_ms };
        self.run(querier, expr, grid, false, options).await
    }

    async fn run(
        &self,
        querier: &dyn Querier,
        expr: &Expr,
        grid: Grid,
        instant: bool,
        options: QueryOptions,
    ) -> Result<Answer, EvalError> {
        let timeout = options.timeout.map_or(self.options.timeout, |asked| asked.min(self.options.timeout));
        let times = (grid.start, grid.end, if instant { 0 } else { grid.step });
        let mut ending = Ending::new(self.log.as_deref(), expr, options.origin.clone(), times);
        let deadline = ending.begun() + timeout.min(TIMEOUT_MAX);
        let mut outcome = match tokio::time::timeout_at(deadline, self.slots.acquire()).await {
            Err(_) => Err(EvalError::Timeout("query queue")),
            Ok(Err(_)) => Err(EvalError::Canceled("query queue")),
            Ok(Ok(_slot)) => {
                ending.starts();
                let _noted = self.active.as_ref().map(|active| active.begin(expr));
                let work = Box::pin(self.evaluate(querier, expr, grid, instant, &options));
                match tokio::time::timeout_at(deadline, work).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(EvalError::Timeout("expression evaluation")),
                }
            }
        };
        if let Ok(answer) = &mut outcome {
            ending.time(&mut answer.stats);
        }
        ending.tell(outcome.as_ref().map(|answer| answer.stats));
        outcome
    }

    async fn evaluate(
        &self,
        querier: &dyn Querier,
        expr: &Expr,
        grid: Grid,
        instant: bool,
        options: &QueryOptions,
    ) -> Result<Answer, EvalError> {
        // The first pause starts the clock of the timeout; every later one reads it.
        tokio::task::yield_now().await;
        let mut evaluator = Evaluator::new(querier, &self.options, options, grid);
        let value = evaluator.top(expr, instant).await?;
        Ok(evaluator.answer(value, options.limit))
    }
}

/// What a query gives: numbers, and native histograms beside them.
pub(crate) struct Outcome {
    pub(crate) value: Value,
    pub(crate) histograms: Vec<HistogramSeries>,
}

/// The operand of a whole query as its value; `instant` where it was asked for at one time.
pub(crate) fn value_of(operand: Operand, grid: Grid, instant: bool) -> Outcome {
    let alone = |value| Outcome { value, histograms: Vec::new() };
    match operand {
        Operand::Text(text) => alone(Value::String(grid.start, text)),
        Operand::Scalar(values) if instant => {
            alone(Value::Scalar(Sample::new(grid.start, values.first().copied().unwrap_or(f64::NAN))))
        }
        Operand::Scalar(values) => {
            let samples = values.iter().enumerate().map(|(at, value)| Sample::new(grid.time(at), *value));
            let samples: Vec<Sample> = samples.collect();
            let series = (!samples.is_empty()).then(|| Series { labels: Labels::empty(), samples });
            alone(Value::Matrix(series.into_iter().collect()))
        }
        Operand::Vector(columns) if instant => instant_outcome(columns, grid),
        Operand::Vector(columns) => range_outcome(columns, grid),
        Operand::Dense(dense) => alone(dense.value(grid, instant)),
    }
}

fn instant_outcome(columns: Vec<Column>, grid: Grid) -> Outcome {
    let (mut samples, mut histograms) = (Vec::new(), Vec::new());
    for column in columns {
        match column.get(0) {
            None => {}
            Some(Cell::Float(value)) => {
                samples.push(VectorSample { value: *value, labels: column.labels, timestamp: grid.start });
            }
            Some(Cell::Histogram(histogram)) => {
                let samples = vec![histogram_sample(grid.start, histogram)];
                histograms.push(HistogramSeries { samples, labels: column.labels });
            }
        }
    }
    Outcome { value: Value::Vector(samples), histograms }
}

fn range_outcome(columns: Vec<Column>, grid: Grid) -> Outcome {
    let (mut series, mut histograms) = (Vec::new(), Vec::new());
    for column in columns {
        let (mut numbers, mut others) = (Vec::new(), Vec::new());
        for (step, value) in column.iter() {
            match value {
                Cell::Float(value) => numbers.push(Sample::new(grid.time(step), *value)),
                Cell::Histogram(histogram) => others.push(histogram_sample(grid.time(step), histogram)),
            }
        }
        if !others.is_empty() {
            histograms.push(HistogramSeries { labels: column.labels.clone(), samples: others });
        }
        if !numbers.is_empty() {
            series.push(Series { labels: column.labels, samples: numbers });
        }
    }
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    histograms.sort_by(|a, b| a.labels.cmp(&b.labels));
    Outcome { value: Value::Matrix(series), histograms }
}
