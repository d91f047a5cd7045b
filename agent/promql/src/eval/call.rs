//! Function calls: dispatch, and the functions that need no file of their own.

use std::cmp::Ordering;

use model::Labels;

use super::column::{Column, Grid, Operand};
use super::over_time::absent_where_none;
use super::{Evaluator, date, label, math};
use crate::ast::{Call, Expr, ValueType};
use crate::engine::EvalError;

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

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
            let columns = self.columns(&node.args[0], grid).await?;
            return Ok(Operand::Vector(self.map(&columns, |_, value| Some(function(value)))?));
        }
        if let Some(function) = date::part(name) {
            return self.date_call(node, function, grid).await;
        }
        Ok(Operand::Vector(match name {
            "label_replace" => self.label_replace(node, grid).await?,
            "label_join" => self.label_join(node, grid).await?,
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                self.histogram_call(node, grid).await?
            }
            "clamp" | "clamp_min" | "clamp_max" => self.clamp(node, grid).await?,
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => self.sort(node, grid).await?,
            _ => self.vector_call(node, grid).await?,
        }))
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
            "scalar" => {
                let columns = self.columns(&node.args[0], grid).await?;
                (0..steps).map(|step| only_value(&columns, step)).collect()
            }
            other => {
                return Err(EvalError::Execution(format!(
                    "function {other} is not supported by this engine"
                )));
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
            "absent" => {
                let columns = self.columns(&node.args[0], grid).await?;
                Ok(absent_where_none(&columns, &node.args[0], grid))
            }
            "round" => {
                let to = match node.args.get(1) {
                    Some(arg) => self.scalar(arg, grid).await?,
                    None => vec![1.0; grid.len()],
                };
                let columns = self.columns(&node.args[0], grid).await?;
                self.map(&columns, |step, value| Some(math::round(value, to[step])))
            }
            // These look at native histograms only; no sample here is one.
            "histogram_avg" | "histogram_count" | "histogram_sum" | "histogram_stddev"
            | "histogram_stdvar" => {
                self.columns(&node.args[0], grid).await?;
                Ok(Vec::new())
            }
            other => Err(EvalError::Execution(format!("function {other} is not supported by this engine"))),
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
        let columns = self.columns(arg, grid).await?;
        Ok(Operand::Vector(self.map(&columns, |_, value| Some(part(value)))?))
    }

    /// A selector's samples give their own times, all else the step's.
    async fn timestamp(&mut self, arg: &Expr, grid: Grid) -> Result<Vec<Column>, EvalError> {
        if let Expr::Vector(selector) = arg.unwrap_parens() {
            let columns = self.vector(selector, grid, |sample| seconds(sample.timestamp)).await?;
            return self.map(&columns, |_, value| Some(value));
        }
        let columns = self.columns(arg, grid).await?;
        self.map(&columns, |step, _| Some(seconds(grid.time(step))))
    }

    async fn clamp(&mut self, node: &Call, grid: Grid) -> Result<Vec<Column>, EvalError> {
        let mut bounds = Vec::new();
        for arg in &node.args[1..] {
            bounds.push(self.scalar(arg, grid).await?);
        }
        let columns = self.columns(&node.args[0], grid).await?;
        let infinite = vec![f64::INFINITY; grid.len()];
        let (low, high): (Vec<f64>, &[f64]) = match node.function.name {
            "clamp_min" => (bounds.remove(0), &infinite),
            "clamp_max" => (vec![f64::NEG_INFINITY; grid.len()], &bounds[0]),
            _ => (bounds.remove(0), &bounds[0]),
        };
        self.map(&columns, |step, value| {
            (high[step] >= low[step] || high[step].is_nan() || low[step].is_nan())
                .then(|| math::clamp(value, low[step], high[step]))
        })
    }

    /// Order shows only where there is one step.
    async fn sort(&mut self, node: &Call, grid: Grid) -> Result<Vec<Column>, EvalError> {
        let mut columns = self.columns(&node.args[0], grid).await?;
        if !self.instant {
            self.notes.sort_in_range_query();
            return Ok(columns);
        }
        let labels = label::texts(&node.args[1..]);
        match node.function.name {
            "sort" => columns.sort_by(|a, b| by_value(a, b, false)),
            "sort_desc" => columns.sort_by(|a, b| by_value(a, b, true)),
            "sort_by_label" => columns.sort_by(|a, b| by_labels(&a.labels, &b.labels, &labels)),
            _ => columns.sort_by(|a, b| by_labels(&b.labels, &a.labels, &labels)),
        }
        Ok(columns)
    }
}

/// The value of the only series at a step; NaN where there are none or several.
fn only_value(columns: &[Column], step: usize) -> f64 {
    let mut values = columns.iter().filter_map(|column| column.get(step));
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

/// By the value at the first step; NaN comes last either way.
fn by_value(a: &Column, b: &Column, descending: bool) -> Ordering {
    let (Some(a), Some(b)) = (a.get(0), b.get(0)) else { return Ordering::Equal };
    let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
    a.is_nan().cmp(&b.is_nan()).then(if descending { order.reverse() } else { order })
}

/// By some labels in natural order, then by all.
fn by_labels(a: &Labels, b: &Labels, names: &[&str]) -> Ordering {
    for name in names {
        let order = natural(a.value(name), b.value(name));
        if order != Ordering::Equal {
            return order;
        }
    }
    a.cmp(b)
}

/// Texts in which numbers count as numbers: `cpu2` before `cpu10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while let (Some(x), Some(y)) = (left.chars().next(), right.chars().next()) {
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number_a, number_b) = (take_number(&mut left), take_number(&mut right));
            let (plain_a, plain_b) = (number_a.trim_start_matches('0'), number_b.trim_start_matches('0'));
            let order = plain_a.len().cmp(&plain_b.len()).then_with(|| plain_a.cmp(plain_b));
            if order != Ordering::Equal {
                return order;
            }
        } else if x != y {
            return x.cmp(&y);
        } else {
            left = &left[x.len_utf8()..];
            right = &right[y.len_utf8()..];
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

fn take_number<'t>(text: &mut &'t str) -> &'t str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order_counts() {
        for (a, b) in [("cpu2", "cpu10"), ("a", "b"), ("a", "a1"), ("1", "2"), ("x01y", "x1z"), ("", "a")] {
            assert_eq!(natural(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(natural(b, a), Ordering::Greater, "{b} {a}");
        }
        assert_eq!(natural("a10", "a10"), Ordering::Equal);
    }
}
