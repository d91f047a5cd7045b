//! The plain evaluator: every operator does what its definition says, sample by sample, untuned.
//!
//! A node is evaluated once for all steps of its grid. Nothing here reads a clock; long loops let other
//! tasks run and stop where the query's future is dropped.

mod aggregate;
mod aggregate_k;
mod answer;
mod binary;
mod bucket;
mod call;
mod cell;
mod column;
mod columnar;
mod date;
mod element;
mod extended;
mod fold;
mod info;
mod join;
mod kahan;
mod label;
mod math;
mod native;
mod over_time;
mod over_time_histograms;
mod points;
mod rate;
mod rate_histograms;
mod repeats;
mod selector;
mod sort;
mod trim;
mod window;

use std::time::Duration;

use storage::{BoxFuture, Coverage, Querier};

pub(crate) use self::bucket::Fall;
pub(crate) use self::cell::{Cell, histogram_sample};
pub(crate) use self::column::{Column, Grid, Operand};
use self::column::{merge_same_labels, without_metadata};
pub(crate) use self::columnar::Dense;
use self::columnar::{Fragment, present};
pub(crate) use self::date::rfc3339;
use self::repeats::{Kept, Repeats};
use self::selector::{Resets, Wanted};
use crate::annotation::Annotations;
use crate::ast::{At, Expr, Unary, ValueType};
use crate::duration::{self, DurationExpr};
use crate::engine::{EngineOptions, EvalError, Outcome, QueryOptions, value_of};
use crate::stats::{PerStep, QueryStats};

/// Values handled between two moments in which other tasks may run.
const WORK_MAX: usize = 100_000;

/// One query's evaluation.
pub(crate) struct Evaluator<'q> {
    querier: &'q dyn Querier,
    /// Milliseconds.
    lookback: i64,
    /// Milliseconds.
    subquery_step: i64,
    delayed_name_removal: bool,
    use_start_timestamps: bool,
    resets: Resets,
    type_and_unit_labels: bool,
    samples_max: usize,
    /// The steps of the whole query.
    query: Grid,
    /// Whether the query was asked for at one time.
    instant: bool,
    /// Whether nothing is evaluated group by group.
    series_by_series: bool,
    /// Whether parts that are there several times are evaluated once.
    evaluates_once: bool,
    repeats: Repeats,
    notes: Annotations,
    coverage: Coverage,
    stats: QueryStats,
    /// What it cost step by step, where that is counted.
    per_step: Option<PerStep>,
    /// How many subqueries are around what is evaluated now.
    subqueries: usize,
    /// Samples held now.
    held: usize,
    /// Values handled since other tasks could run.
    work: usize,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 1_000_000).min(i64::MAX / 1_000_000)
}

impl<'q> Evaluator<'q> {
    /// An evaluation at the steps of `query`.
    pub(crate) fn new(
        querier: &'q dyn Querier,
        engine: &EngineOptions,
        options: &QueryOptions,
        query: Grid,
    ) -> Self {
        let by_step = engine.per_step_stats && options.per_step_stats && query.len() <= engine.max_samples;
        Self {
            querier,
            lookback: millis(options.lookback_delta.unwrap_or(engine.lookback_delta)).max(1),
            subquery_step: millis(engine.subquery_step).max(1),
            delayed_name_removal: engine.delayed_name_removal,
            use_start_timestamps: engine.use_start_timestamps,
            resets: Resets::default(),
            type_and_unit_labels: engine.type_and_unit_labels,
            samples_max: engine.max_samples,
            query,
            instant: false,
            series_by_series: engine.series_by_series || by_step || !querier.has_groups(),
            evaluates_once: !engine.series_by_series && !by_step,
            repeats: Repeats::default(),
            notes: Annotations::default(),
            coverage: Coverage::default(),
            stats: QueryStats::default(),
            per_step: by_step.then(|| PerStep::zero(query.len())),
            subqueries: 0,
            held: 0,
            work: 0,
        }
    }

    /// Evaluates a whole query; `instant` where it was asked for at one time.
    pub(crate) async fn top(&mut self, expr: &Expr, instant: bool) -> Result<Outcome, EvalError> {
        self.instant = instant;
        if self.evaluates_once {
            self.repeats = Repeats::of(expr);
        }
        let grid = self.query;
        if expr.value_type() == ValueType::Matrix {
            return self.matrix(expr, grid).await;
        }
        let operand = match self.eval(expr, grid).await? {
            Operand::Vector(columns) => Operand::Vector(self.finished(columns)?),
            Operand::Dense(dense) => match self.finished_dense(dense) {
                Ok(dense) => Operand::Dense(dense),
                Err(columns) => Operand::Vector(self.finished(columns)?),
            },
            other => other,
        };
        Ok(value_of(operand, grid, instant))
    }

    /// Evaluates a node at the steps of `grid`; afterwards only its result counts as held.
    fn eval<'a>(&'a mut self, expr: &'a Expr, grid: Grid) -> BoxFuture<'a, Result<Operand, EvalError>> {
        Box::pin(async move {
            let key = self.repeats.key(expr, grid, self.resets);
            if let Some(Kept { result, looked_at }) = self.repeats.take(key) {
                self.stats.total_samples += looked_at;
                self.hold(result.cells())?;
                return Ok(result);
            }
            let (before, notes, looked_at) = (self.held, self.notes.count(), self.stats.total_samples);
            let result = self.node(expr, grid).await?;
            self.held = before;
            self.hold(result.cells())?;
            self.tick(result.cells()).await;
            // What was noted names its place in the query: the same at another place would note something else.
            if self.notes.count() == notes {
                let looked_at = self.stats.total_samples - looked_at;
                self.repeats.keep(key, || Kept { result: result.clone(), looked_at });
            }
            Ok(result)
        })
    }

    async fn node(&mut self, expr: &Expr, grid: Grid) -> Result<Operand, EvalError> {
        if grid.len() > self.samples_max {
            return Err(EvalError::too_many_samples());
        }
        if !self.series_by_series
            && let Some(fragment) = Fragment::of(expr)
        {
            let (held, stats) = (self.held, self.stats);
            match self.columnar(&fragment, grid).await {
                Ok(Some(dense)) => return Ok(Operand::Dense(dense)),
                // Series by series less may be held at a time, as scalars may come before what they are put to.
                Ok(None) | Err(EvalError::TooManySamples(_)) => {}
                Err(error) => return Err(error),
            }
            self.held = held;
            self.stats = QueryStats { peak_samples: self.stats.peak_samples, ..stats };
            self.series_by_series = true;
            let result = self.by_series(expr, grid).await;
            self.series_by_series = false;
            return result;
        }
        self.by_series(expr, grid).await
    }

    /// Evaluates a node itself, series by series; its operands may be evaluated in another way.
    async fn by_series(&mut self, expr: &Expr, grid: Grid) -> Result<Operand, EvalError> {
        match expr {
            Expr::Number(node) => {
                self.hold(grid.len())?;
                Ok(Operand::Scalar(vec![node.value; grid.len()]))
            }
            Expr::String(node) => Ok(Operand::Text(node.value.clone())),
            Expr::Vector(node) => Ok(Operand::Vector(self.vector(node, grid, Wanted::Value).await?)),
            Expr::Paren(node) => self.eval(&node.expr, grid).await,
            Expr::Unary(node) => self.unary(node, grid).await,
            Expr::Aggregate(node) => self.aggregate(node, grid).await,
            Expr::Binary(_) => self.binary_chain(expr, grid).await,
            Expr::Call(node) => self.call(node, grid).await,
            // The type check lets these stand only where `ranges` reads them.
            Expr::Matrix(_) | Expr::Subquery(_) => {
                Err(EvalError::Execution("range vector where none is allowed".to_owned()))
            }
        }
    }

    async fn unary(&mut self, node: &Unary, grid: Grid) -> Result<Operand, EvalError> {
        let operand = self.eval(&node.expr, grid).await?;
        if !node.negative {
            return Ok(operand);
        }
        Ok(match operand {
            Operand::Scalar(values) => Operand::Scalar(values.into_iter().map(|value| -value).collect()),
            Operand::Vector(columns) => {
                Operand::Vector(self.map_cells(&columns, |_, value| Some(negated(value)))?)
            }
            Operand::Dense(dense) => self.each(dense, |_, value| present(-value))?,
            Operand::Text(text) => Operand::Text(text),
        })
    }

    /// The scalar that an expression gives at each step.
    async fn scalar(&mut self, expr: &Expr, grid: Grid) -> Result<Vec<f64>, EvalError> {
        if let Some(value) = self.evaluates_once.then(|| fold::constant(expr)).flatten() {
            self.hold(grid.len())?;
            return Ok(vec![value; grid.len()]);
        }
        match self.eval(expr, grid).await? {
            Operand::Scalar(values) => Ok(values),
            _ => Err(EvalError::Execution(format!("expected a scalar: {expr}"))),
        }
    }

    /// The columns that an expression gives.
    async fn columns(&mut self, expr: &Expr, grid: Grid) -> Result<Vec<Column>, EvalError> {
        self.eval(expr, grid).await?.into_columns(expr)
    }

    /// New values for all numbers of columns, which lose their metric names; histograms are left out.
    fn map(
        &self,
        columns: &[Column],
        mut f: impl FnMut(usize, f64) -> Option<f64>,
    ) -> Result<Vec<Column>, EvalError> {
        self.map_cells(columns, |step, value| f(step, value.float()?).map(Cell::Float))
    }

    /// New values for all columns, which lose their metric names.
    fn map_cells(
        &self,
        columns: &[Column],
        mut f: impl FnMut(usize, &Cell) -> Option<Cell>,
    ) -> Result<Vec<Column>, EvalError> {
        let mapped = columns.iter().map(|column| self.unnamed(column.filter_map(&mut f)));
        self.checked(mapped.filter(|column| !column.is_empty()).collect())
    }

    /// The column without its metric name, now or at the end of the query.
    fn unnamed(&self, mut column: Column) -> Column {
        if !self.delayed_name_removal {
            column.labels = without_metadata(&column.labels);
        }
        column.drop_name = true;
        column
    }

    /// Fails where two columns have the same labels at the same step, unless names go only at the end.
    fn checked(&self, columns: Vec<Column>) -> Result<Vec<Column>, EvalError> {
        if self.delayed_name_removal { Ok(columns) } else { merge_same_labels(columns) }
    }

    /// Milliseconds of an offset.
    fn offset(&self, millis: i64, expr: Option<&DurationExpr>) -> Result<i64, EvalError> {
        expr.map_or(Ok(millis), |expr| duration::millis(expr, self.query, self.instant, true))
    }

    /// Milliseconds of a range or step.
    fn length(&self, millis: i64, expr: Option<&DurationExpr>) -> Result<i64, EvalError> {
        expr.map_or(Ok(millis), |expr| duration::millis(expr, self.query, self.instant, false))
    }

    /// The time that `@` names.
    fn pinned(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Time(time) => time,
            At::Start => self.query.start,
            At::End => self.query.end,
        })
    }

    /// Counts `samples` more as held.
    fn hold(&mut self, samples: usize) -> Result<(), EvalError> {
        self.held = self.held.saturating_add(samples);
        self.stats.peak_samples = self.stats.peak_samples.max(self.held as u64);
        if self.held > self.samples_max { Err(EvalError::too_many_samples()) } else { Ok(()) }
    }

    /// Counts samples that one step looked at.
    fn look_at(&mut self, samples: u64, step: usize) {
        self.stats.total_samples += samples;
        // A subquery's steps are not those of the query.
        if self.subqueries == 0
            && let Some(total) = self.per_step.as_mut().and_then(|all| all.total_samples.get_mut(step))
        {
            *total += samples;
        }
    }

    /// Lets other tasks run after enough work; a dropped query ends here.
    async fn tick(&mut self, work: usize) {
        self.work += work + 1;
        if self.work >= WORK_MAX {
            self.work = 0;
            tokio::task::yield_now().await;
        }
    }
}

fn negated(value: &Cell) -> Cell {
    match value {
        Cell::Float(value) => Cell::Float(-value),
        Cell::Histogram(histogram) => {
            let mut histogram = (**histogram).clone();
            histogram.multiply(-1.0);
            histogram.into()
        }
    }
}
