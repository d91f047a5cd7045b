//! Aggregations that give one series a group.

use std::collections::{BTreeMap, HashMap};

use model::{Labels, METRIC_NAME};

use super::Evaluator;
use super::column::{Column, Grid};
use super::kahan::{Kahan, Mean, quantile};
use super::label::texts;
use crate::ast::Aggregate;
use crate::engine::EvalError;
use crate::operator::AggregateOp;

/// Which columns belong together.
pub(super) struct Groups {
    /// Labels of each group.
    pub(super) labels: Vec<Labels>,
    /// The group of each column.
    pub(super) of_column: Vec<usize>,
}

/// The labels of the group that a series belongs to.
fn group_labels(labels: &Labels, grouping: &[String], without: bool) -> Labels {
    let named = |name: &str| grouping.iter().any(|label| label == name);
    if without { labels.filtered(|name| name != METRIC_NAME && !named(name)) } else { labels.filtered(named) }
}

impl Groups {
    /// Groups columns; groups come in order of their first column.
    pub(super) fn of(columns: &[Column], grouping: &[String], without: bool) -> Self {
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut groups = Self { labels: Vec::new(), of_column: Vec::with_capacity(columns.len()) };
        for column in columns {
            let labels = group_labels(&column.labels, grouping, without);
            let at = *places.entry(labels.clone()).or_insert_with(|| {
                groups.labels.push(labels);
                groups.labels.len() - 1
            });
            groups.of_column.push(at);
        }
        groups
    }
}

/// What a group came to so far.
enum Accumulator {
    Sum(Kahan),
    Avg(Mean),
    Count(f64),
    Min(f64),
    Max(f64),
    Group,
    Variance { count: f64, mean: f64, squares: f64 },
    All(Vec<f64>),
}

impl Accumulator {
    fn first(op: AggregateOp, value: f64) -> Self {
        match op {
            AggregateOp::Sum => Self::Sum(Kahan { sum: value, lost: 0.0 }),
            AggregateOp::Avg => Self::Avg(Mean::of(value)),
            AggregateOp::Min => Self::Min(value),
            AggregateOp::Max => Self::Max(value),
            AggregateOp::Count => Self::Count(1.0),
            AggregateOp::Stddev | AggregateOp::Stdvar => {
                let squares = if value.is_finite() { 0.0 } else { f64::NAN };
                Self::Variance { count: 1.0, mean: value, squares }
            }
            AggregateOp::Quantile => Self::All(vec![value]),
            _ => Self::Group,
        }
    }

    fn add(&mut self, value: f64) {
        match self {
            Self::Sum(sum) => *sum = sum.plus(value),
            Self::Avg(mean) => *mean = mean.plus(value),
            Self::Count(count) => *count += 1.0,
            // Any number beats NaN.
            Self::Min(min) if value < *min || min.is_nan() => *min = value,
            Self::Max(max) if value > *max || max.is_nan() => *max = value,
            Self::Min(_) | Self::Max(_) | Self::Group => {}
            Self::Variance { count, mean, squares } => {
                *count += 1.0;
                let delta = value - *mean;
                *mean += delta / *count;
                *squares += delta * (value - *mean);
            }
            Self::All(values) => values.push(value),
        }
    }

    fn result(self, op: AggregateOp, phi: f64) -> f64 {
        match self {
            Self::Sum(sum) => sum.sum + sum.lost,
            Self::Avg(mean) => mean.value(),
            Self::Count(value) | Self::Min(value) | Self::Max(value) => value,
            Self::Group => 1.0,
            Self::Variance { count, squares, .. } if op == AggregateOp::Stddev => (squares / count).sqrt(),
            Self::Variance { count, squares, .. } => squares / count,
            Self::All(mut values) => quantile(phi, &mut values),
        }
    }
}

impl Evaluator<'_> {
    /// Evaluates an aggregation.
    pub(super) async fn aggregate(&mut self, node: &Aggregate, grid: Grid) -> Result<Vec<Column>, EvalError> {
        match (node.op, &node.param) {
            (AggregateOp::CountValues, Some(param)) => {
                let label = texts(std::slice::from_ref(param)).concat();
                let columns = self.columns(&node.expr, grid).await?;
                self.count_values(node, &label, columns, grid).await
            }
            (AggregateOp::Quantile, Some(param)) => {
                let phi = self.scalar(param, grid).await?;
                for value in &phi {
                    self.notes.invalid_quantile(*value, param.unwrap_parens().pos());
                }
                let columns = self.columns(&node.expr, grid).await?;
                self.reduce(node, &phi, columns, grid).await
            }
            (_, Some(param)) => {
                let k = self.scalar(param, grid).await?;
                let columns = self.columns(&node.expr, grid).await?;
                self.select_elements(node, param.unwrap_parens().pos(), &k, columns, grid).await
            }
            (_, None) => {
                let columns = self.columns(&node.expr, grid).await?;
                self.reduce(node, &[], columns, grid).await
            }
        }
    }

    async fn reduce(
        &mut self,
        node: &Aggregate,
        phi: &[f64],
        columns: Vec<Column>,
        grid: Grid,
    ) -> Result<Vec<Column>, EvalError> {
        let groups = Groups::of(&columns, &node.grouping, node.without);
        let mut out: Vec<Column> =
            groups.labels.iter().map(|labels| Column::new(labels.clone(), false)).collect();
        for (column, group) in columns.iter().zip(&groups.of_column) {
            out[*group].drop_name |= column.drop_name;
        }
        for step in 0..grid.len() {
            let mut totals: Vec<Option<Accumulator>> = groups.labels.iter().map(|_| None).collect();
            for (column, group) in columns.iter().zip(&groups.of_column) {
                let Some(value) = column.get(step) else { continue };
                match &mut totals[*group] {
                    Some(total) => total.add(value),
                    empty => *empty = Some(Accumulator::first(node.op, value)),
                }
            }
            let phi = phi.get(step).copied().unwrap_or(f64::NAN);
            for (column, total) in out.iter_mut().zip(totals) {
                if let Some(total) = total {
                    column.push(step, total.result(node.op, phi));
                }
            }
            self.tick(columns.len()).await;
        }
        self.hold(out.iter().map(Column::cells).sum())?;
        out.retain(|column| !column.is_empty());
        Ok(out)
    }

    async fn count_values(
        &mut self,
        node: &Aggregate,
        label: &str,
        columns: Vec<Column>,
        grid: Grid,
    ) -> Result<Vec<Column>, EvalError> {
        if label.is_empty() {
            return Err(EvalError::Execution("invalid label name \"\"".to_owned()));
        }
        let mut grouping = node.grouping.clone();
        if !node.without {
            grouping.push(label.to_owned());
        }
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut out: Vec<Column> = Vec::new();
        for step in 0..grid.len() {
            let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
            for column in &columns {
                let Some(value) = column.get(step) else { continue };
                let mut labels = column.labels.to_builder();
                labels.set(label, model::format_float(value));
                let labels = group_labels(&labels.build(), &grouping, node.without);
                let at = *places.entry(labels.clone()).or_insert_with(|| {
                    out.push(Column::new(labels, false));
                    out.len() - 1
                });
                *counts.entry(at).or_default() += 1.0;
            }
            self.hold(counts.len())?;
            for (group, count) in counts {
                out[group].push(step, count);
            }
            self.tick(columns.len()).await;
        }
        Ok(out)
    }
}
