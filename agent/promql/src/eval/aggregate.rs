//! Aggregations that give one series a group.

use std::collections::{BTreeMap, HashMap};

use model::{Labels, METRIC_NAME};
use storage::BoxFuture;

use super::Evaluator;
use super::cell::Cell;
use super::column::{Column, Grid, Operand};
use super::kahan::{Kahan, Mean, quantile};
use super::label::texts;
use super::over_time_histograms::Total;
use crate::ast::{Aggregate, Expr};
use crate::engine::EvalError;
use crate::operator::AggregateOp;
use crate::position::PosRange;

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
pub(super) enum Accumulator {
    Sum(Kahan),
    Avg(Mean),
    Count(f64),
    Min(f64),
    Max(f64),
    Group,
    Variance {
        count: f64,
        mean: f64,
        squares: f64,
    },
    All(Vec<f64>),
    /// A sum or mean of native histograms.
    Histograms(Box<Total>),
    /// Of a sum or mean that cannot be: numbers and histograms together.
    Mixed,
    /// The same: histograms that do not go together.
    Incompatible,
    /// The same, once that was said.
    Told,
}

impl Accumulator {
    pub(super) fn first(op: AggregateOp, value: &Cell) -> Option<Self> {
        let value = match (op, value) {
            (AggregateOp::Count, _) => return Some(Self::Count(1.0)),
            (AggregateOp::Group, _) => return Some(Self::Group),
            (AggregateOp::Sum | AggregateOp::Avg, Cell::Histogram(histogram)) => {
                let total = Total::new(histogram, op == AggregateOp::Avg);
                return Some(Self::Histograms(Box::new(total)));
            }
            (_, Cell::Histogram(_)) => return None,
            (_, Cell::Float(value)) => *value,
        };
        Some(match op {
            AggregateOp::Sum => Self::Sum(Kahan { sum: value, lost: 0.0 }),
            AggregateOp::Avg => Self::Avg(Mean::of(value)),
            AggregateOp::Min => Self::Min(value),
            AggregateOp::Max => Self::Max(value),
            AggregateOp::Stddev | AggregateOp::Stdvar => {
                let squares = if value.is_finite() { 0.0 } else { f64::NAN };
                Self::Variance { count: 1.0, mean: value, squares }
            }
            _ => Self::All(vec![value]),
        })
    }

    /// Takes a value in; false where it was passed over.
    pub(super) fn add(&mut self, value: &Cell) -> bool {
        match (&mut *self, value) {
            (Self::Count(count), _) => *count += 1.0,
            (Self::Group | Self::Mixed | Self::Incompatible | Self::Told, _) => {}
            (Self::Histograms(total), Cell::Histogram(histogram)) => {
                if total.add(histogram).is_err() {
                    *self = Self::Incompatible;
                }
            }
            (Self::Histograms(_), Cell::Float(_)) | (Self::Sum(_) | Self::Avg(_), Cell::Histogram(_)) => {
                *self = Self::Mixed;
            }
            (_, Cell::Histogram(_)) => return false,
            (Self::Sum(sum), Cell::Float(value)) => *sum = sum.plus(*value),
            (Self::Avg(mean), Cell::Float(value)) => *mean = mean.plus(*value),
            // Any number beats NaN.
            (Self::Min(min), Cell::Float(value)) if *value < *min || min.is_nan() => *min = *value,
            (Self::Max(max), Cell::Float(value)) if *value > *max || max.is_nan() => *max = *value,
            (Self::Min(_) | Self::Max(_), _) => {}
            (Self::Variance { count, mean, squares }, Cell::Float(value)) => {
                *count += 1.0;
                let delta = value - *mean;
                *mean += delta / *count;
                *squares += delta * (value - *mean);
            }
            (Self::All(values), Cell::Float(value)) => values.push(*value),
        }
        true
    }

    pub(super) fn result(self, op: AggregateOp, phi: f64) -> Option<Cell> {
        Some(Cell::Float(match self {
            Self::Sum(sum) => sum.sum + sum.lost,
            Self::Avg(mean) => mean.value(),
            Self::Count(value) | Self::Min(value) | Self::Max(value) => value,
            Self::Group => 1.0,
            Self::Variance { count, squares, .. } if op == AggregateOp::Stddev => (squares / count).sqrt(),
            Self::Variance { count, squares, .. } => squares / count,
            Self::All(mut values) => quantile(phi, &mut values),
            Self::Histograms(total) => {
                let mut sum = total.finish();
                sum.compact(0);
                return Some(sum.into());
            }
            Self::Mixed | Self::Incompatible | Self::Told => return None,
        }))
    }
}

impl Evaluator<'_> {
    /// Evaluates an aggregation.
    pub(super) async fn aggregate(&mut self, node: &Aggregate, grid: Grid) -> Result<Operand, EvalError> {
        let label = self.counted_label(node)?;
        let mut parameter = Vec::new();
        if let (None, Some(param)) = (&label, &node.param) {
            parameter = self.scalar(param, grid).await?;
            for phi in parameter.iter().filter(|_| node.op == AggregateOp::Quantile) {
                self.notes.invalid_quantile(*phi, param.unwrap_parens().pos());
            }
        }
        let operand = self.eval(&node.expr, grid).await?;
        self.aggregated(node, label, parameter, operand, grid).await
    }

    /// The label that `count_values` is given.
    fn counted_label(&self, node: &Aggregate) -> Result<Option<String>, EvalError> {
        let (AggregateOp::CountValues, Some(param)) = (node.op, &node.param) else { return Ok(None) };
        let label = texts(std::slice::from_ref(param)).concat();
        let invalid = match param.unwrap_parens() {
            Expr::String(node) => node.invalid.clone(),
            _ => None,
        };
        if label.is_empty() || invalid.is_some() {
            let label = invalid.unwrap_or_else(|| crate::quote::quote(&label));
            return Err(EvalError::Execution(format!("invalid label name {label}")));
        }
        Ok(Some(label))
    }

    /// The aggregation of what was found.
    fn aggregated<'a>(
        &'a mut self,
        node: &'a Aggregate,
        label: Option<String>,
        parameter: Vec<f64>,
        operand: Operand,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Operand, EvalError>> {
        let selects = node.param.as_ref().filter(|_| label.is_none() && node.op != AggregateOp::Quantile);
        Box::pin(async move {
            match (operand, label, selects) {
                (Operand::Dense(dense), Some(label), _) => {
                    self.values_dense(node, &label, &dense, grid).await.map(Operand::Dense)
                }
                (Operand::Dense(dense), None, Some(param)) => {
                    self.check_parameter(node.op, &parameter, param.unwrap_parens().pos())?;
                    self.top_dense(node, &parameter, &dense, grid).await.map(Operand::Dense)
                }
                (Operand::Dense(dense), None, None) => {
                    self.reduce_dense(node, &parameter, &dense, grid).await.map(Operand::Dense)
                }
                (other, label, selects) => {
                    let columns = other.into_columns(&node.expr)?;
                    let columns = match (label, selects) {
                        (Some(label), _) => self.count_values(node, &label, columns, grid).await?,
                        (None, Some(param)) => {
                            let pos = param.unwrap_parens().pos();
                            self.select_elements(node, pos, &parameter, columns, grid).await?
                        }
                        (None, None) => self.reduce(node, &parameter, columns, grid).await?,
                    };
                    Ok(Operand::Vector(columns))
                }
            }
        })
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
                let total = &mut totals[*group];
                let taken = if let Some(total) = total.as_mut() {
                    total.add(value)
                } else {
                    *total = Accumulator::first(node.op, value);
                    total.is_some()
                };
                if !taken {
                    self.notes.ignored_in_group(node.op.name(), node.expr.pos());
                }
                // Told once, at the series that did not fit.
                if matches!(total, Some(Accumulator::Incompatible)) {
                    self.notes.mixed_schemas(column.labels.metric_name(), node.expr.pos());
                    *total = Some(Accumulator::Told);
                }
            }
            let phi = phi.get(step).copied().unwrap_or(f64::NAN);
            for (column, total) in out.iter_mut().zip(totals) {
                let Some(total) = total else { continue };
                self.tell(&total, node.expr.pos());
                if let Some(value) = total.result(node.op, phi) {
                    column.push(step, value);
                }
            }
            self.tick(columns.len()).await;
        }
        self.hold(out.iter().map(Column::cells).sum())?;
        out.retain(|column| !column.is_empty());
        Ok(out)
    }

    /// Says what came up while a group was summed up.
    fn tell(&mut self, total: &Accumulator, pos: PosRange) {
        match total {
            Accumulator::Mixed => self.notes.mixed_group(pos),
            Accumulator::Histograms(total) => {
                if total.collided() {
                    self.notes.reset_collision("aggregation", pos);
                }
                if total.reconciled {
                    self.notes.reconciled("aggregation", pos);
                }
            }
            _ => {}
        }
    }

    async fn count_values(
        &mut self,
        node: &Aggregate,
        label: &str,
        columns: Vec<Column>,
        grid: Grid,
    ) -> Result<Vec<Column>, EvalError> {
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
                let text = match value {
                    Cell::Float(value) => model::format_float(*value),
                    Cell::Histogram(histogram) => histogram.to_string(),
                };
                labels.set(label, text);
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
