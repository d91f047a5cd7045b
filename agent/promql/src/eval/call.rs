//! Function calls: dispatch, and the functions that need no file of their own.

use model::Labels;
use storage::BoxFuture;

use super::column::{Column, Grid, Operand};
use super::columnar::{absent, is_there, only_values, present};
use super::over_time::{absent_where_none, any_there};
use super::rate::seconds;
use super::selector::{Resets, Wanted};
use super::{Cell, Evaluator, date, math, native};
use crate::ast::{Call, Expr, ValueType};
use crate::engine::EvalError;

impl Evaluator<'_> {
    /// Evaluates a call.
    pub(super) async fn call(&mut self, node: &Call, grid: Grid) -> Result<Operand, EvalError> {
        if let Some(at) = node.args.iter().position(|arg| arg.value_type() == ValueType::Matrix) {
            return self.range_call(node, at, grid).await;
        }
        if node.function.returns == ValueType::Scalar {
            return Ok(Operand::Scalar(self.scalar_call(node, grid).await?));
        }
        let name = node.function.name;
        if let Some(function) = math::unary(name) {
            let operand = self.eval(&node.args[0], grid).await?;
            return self.mapped(operand, &node.args[0], |_, value| function(value));
        }
        self.other_call(node, grid).await
    }

    /// Functions that are not nested deeply.
    fn other_call<'a>(&'a mut self, node: &'a Call, grid: Grid) -> BoxFuture<'a, Result<Operand, EvalError>> {
        Box::pin(async move {
            let name = node.function.name;
            if let Some(function) = date::part(name) {
                return self.date_call(node, function, grid).await;
            }
            Ok(Operand::Vector(match name {
                "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                    return self.histogram_call(node, grid).await;
                }
                "clamp" | "clamp_min" | "clamp_max" => return self.clamp(node, grid).await,
                "round" => return self.round(node, grid).await,
                "label_replace" => self.label_replace(node, grid).await?,
                "label_join" => self.label_join(node, grid).await?,
                "info" => self.info(node, grid).await?,
                "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
                    self.sort(node, grid).await?
                }
                _ => self.vector_call(node, grid).await?,
            }))
        })
    }

    async fn scalar_call(&mut self, node: &Call, grid: Grid) -> Result<Vec<f64>, EvalError> {
        let steps = grid.len();
        self.hold(steps)?;
        let query = self.query;
        Ok(match node.function.name {
            "pi" => vec![std::f64::consts::PI; steps],
            "time" => (0..steps).map(|step| seconds(grid.time(step))).collect(),
            "start" => vec![seconds(query.start); steps],
            "end" => vec![seconds(query.end); steps],
            "step" => vec![if self.instant { 0.0 } else { seconds(query.step) }; steps],
            "range" => vec![seconds(query.end - query.start); steps],
            "min_of" | "max_of" => {
                let pick = if node.function.name == "min_of" { math::min } else { math::max };
                let left = self.scalar(&node.args[0], grid).await?;
                let right = self.scalar(&node.args[1], grid).await?;
                left.into_iter().zip(right).map(|(left, right)| pick(left, right)).collect()
            }
            "scalar" => match self.eval(&node.args[0], grid).await? {
                Operand::Dense(dense) => only_values(&dense, grid),
                other => {
                    let columns = other.into_columns(&node.args[0])?;
                    (0..steps).map(|step| only_value(&columns, step)).collect()
                }
            },
            other => {
                return Err(EvalError::Execution(format!("function {other} gives no scalar")));
            }
        })
    }

    async fn vector_call(&mut self, node: &Call, grid: Grid) -> Result<Vec<Column>, EvalError> {
        match node.function.name {
            "vector" => {
                let values = self.scalar(&node.args[0], grid).await?;
                Ok(one_series(values.into_iter()))
            }
            "timestamp" => self.timestamp(&node.args[0], grid).await,
            "start_timestamp" => self.start_timestamp(&node.args[0], grid).await,
            "absent" => {
                let there = match self.eval(&node.args[0], grid).await? {
                    Operand::Dense(dense) => is_there(&dense, grid),
                    other => any_there(&other.into_columns(&node.args[0])?, grid),
                };
                Ok(absent_where_none(&there, &node.args[0]))
            }
            name => {
                let Some(statistic) = native::statistic(name) else {
                    return Err(EvalError::Execution(format!("function {name} cannot stand here")));
                };
                let columns = if matches!(name, "histogram_count" | "histogram_sum" | "histogram_avg") {
                    self.with_resets(Resets::Detected, &node.args[0], grid)
                        .await?
                        .into_columns(&node.args[0])?
                } else {
                    self.columns(&node.args[0], grid).await?
                };
                self.map_cells(&columns, |_, value| Some(Cell::Float(statistic(value.histogram()?))))
            }
        }
    }

    async fn date_call(
        &mut self,
        node: &Call,
        part: fn(f64) -> f64,
        grid: Grid,
    ) -> Result<Operand, EvalError> {
        let Some(arg) = node.args.first() else {
            let times = (0..grid.len()).map(|step| part(seconds(grid.time(step))));
            return Ok(Operand::Vector(one_series(times)));
        };
        let operand = self.eval(arg, grid).await?;
        self.mapped(operand, arg, |_, value| part(value))
    }

    /// Another number for each that an expression gave.
    fn mapped(
        &self,
        operand: Operand,
        arg: &Expr,
        change: impl Fn(usize, f64) -> f64,
    ) -> Result<Operand, EvalError> {
        match operand {
            Operand::Dense(dense) => self.each(dense, |step, value| present(change(step, value))),
            other => {
                let columns = other.into_columns(arg)?;
                Ok(Operand::Vector(self.map(&columns, |step, value| Some(change(step, value)))?))
            }
        }
    }

    async fn round(&mut self, node: &Call, grid: Grid) -> Result<Operand, EvalError> {
        let to = match node.args.get(1) {
            Some(arg) => self.scalar(arg, grid).await?,
            None => vec![1.0; grid.len()],
        };
        let operand = self.eval(&node.args[0], grid).await?;
        self.mapped(operand, &node.args[0], |step, value| math::round(value, to[step]))
    }

    /// A selector's samples give their own times, all else the step's.
    async fn timestamp(&mut self, arg: &Expr, grid: Grid) -> Result<Vec<Column>, EvalError> {
        if let Expr::Vector(selector) = arg.unwrap_parens() {
            let columns = self.vector(selector, grid, Wanted::Time).await?;
            return self.map_cells(&columns, |_, value| Some(value.clone()));
        }
        let columns = self.columns(arg, grid).await?;
        self.map_cells(&columns, |step, _| Some(Cell::Float(seconds(grid.time(step)))))
    }

    /// A selector's samples give when their counters began, as far as that is known; all else gives nothing.
    async fn start_timestamp(&mut self, arg: &Expr, grid: Grid) -> Result<Vec<Column>, EvalError> {
        let Expr::Vector(selector) = arg.unwrap_parens() else {
            self.columns(arg, grid).await?;
            return Ok(Vec::new());
        };
        let columns = self.vector(selector, grid, Wanted::Start).await?;
        self.map_cells(&columns, |_, value| Some(value.clone()))
    }

    /// Numbers within bounds; none where those contradict each other.
    async fn clamp(&mut self, node: &Call, grid: Grid) -> Result<Operand, EvalError> {
        let mut bounds = Vec::new();
        for arg in &node.args[1..] {
            bounds.push(self.scalar(arg, grid).await?);
        }
        let operand = self.eval(&node.args[0], grid).await?;
        let infinite = vec![f64::INFINITY; grid.len()];
        let (low, high): (Vec<f64>, &[f64]) = match node.function.name {
            "clamp_min" => (bounds.remove(0), &infinite),
            "clamp_max" => (vec![f64::NEG_INFINITY; grid.len()], &bounds[0]),
            _ => (bounds.remove(0), &bounds[0]),
        };
        let within = |step: usize, value| {
            let (low, high) = (low[step], high[step]);
            (high >= low || high.is_nan() || low.is_nan()).then(|| math::clamp(value, low, high))
        };
        match operand {
            Operand::Dense(dense) => {
                self.each(dense, |step, value| within(step, value).map_or_else(absent, present))
            }
            other => Ok(Operand::Vector(self.map(&other.into_columns(&node.args[0])?, within)?)),
        }
    }
}

/// The value of the only series at a step; NaN where there are none or several.
fn only_value(columns: &[Column], step: usize) -> f64 {
    let mut values = columns.iter().filter_map(|column| column.float(step));
    match (values.next(), values.next()) {
        (Some(value), None) => value,
        _ => f64::NAN,
    }
}

fn one_series(values: impl Iterator<Item = f64>) -> Vec<Column> {
    let mut column = Column::new(Labels::empty(), false);
    for (step, value) in values.enumerate() {
        column.push(step, value);
    }
    if column.is_empty() { Vec::new() } else { vec![column] }
}
