//! What expressions give while they are evaluated: one column of values a series, one row a step.

use std::collections::HashMap;

use model::{Labels, METRIC_NAME};

use super::cell::Cell;
use super::columnar::Dense;
use crate::ast::Expr;
use crate::engine::EvalError;

/// The times at which an expression is evaluated, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grid {
    /// First time.
    pub(crate) start: i64,
    /// No time is after it.
    pub(crate) end: i64,
    /// Between times; above zero.
    pub(crate) step: i64,
}

impl Grid {
    /// One time only.
    pub(crate) fn instant(time: i64) -> Self {
        Self { start: time, end: time, step: 1 }
    }

    /// How many times there are.
    pub(crate) fn len(&self) -> usize {
        if self.end < self.start {
            return 0;
        }
        usize::try_from((self.end - self.start) / self.step)
            .map_or(usize::MAX, |steps| steps.saturating_add(1))
    }

    /// The time of a step.
    pub(crate) fn time(&self, step: usize) -> i64 {
        self.start + self.step * i64::try_from(step).unwrap_or(i64::MAX / self.step)
    }
}

/// A series' values at the steps of a grid.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// What names the series.
    pub(crate) labels: Labels,
    /// Whether the metric name goes when the query is done.
    pub(crate) drop_name: bool,
    /// Step of the first value.
    first: usize,
    values: Vec<Option<Cell>>,
    /// What its histograms hold beyond one sample each.
    extra: usize,
}

impl Column {
    /// A column without values.
    pub(crate) fn new(labels: Labels, drop_name: bool) -> Self {
        Self { labels, drop_name, first: 0, values: Vec::new(), extra: 0 }
    }

    /// The value at a step.
    pub(crate) fn get(&self, step: usize) -> Option<&Cell> {
        step.checked_sub(self.first).and_then(|at| self.values.get(at)?.as_ref())
    }

    /// The number at a step, where its value is one.
    pub(crate) fn float(&self, step: usize) -> Option<f64> {
        self.get(step)?.float()
    }

    /// Sets the value at a step after all others.
    pub(crate) fn push(&mut self, step: usize, value: impl Into<Cell>) {
        if self.values.is_empty() {
            self.first = step;
        }
        let value = value.into();
        self.extra += value.extra();
        self.values.resize(step - self.first, None);
        self.values.push(Some(value));
    }

    /// Whether there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Steps from the first value through the last one, and what histograms hold: what the column costs.
    pub(crate) fn cells(&self) -> usize {
        self.values.len() + self.extra
    }

    /// The step after the last value.
    pub(crate) fn end(&self) -> usize {
        self.first + self.values.len()
    }

    /// The values with their steps.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Cell)> + '_ {
        self.values.iter().enumerate().filter_map(|(at, value)| Some((self.first + at, value.as_ref()?)))
    }

    /// The same series with other values; steps for which `f` gives none have none.
    pub(crate) fn filter_map(&self, mut f: impl FnMut(usize, &Cell) -> Option<Cell>) -> Self {
        let mut out = Self::new(self.labels.clone(), self.drop_name);
        for (step, value) in self.iter() {
            if let Some(value) = f(step, value) {
                out.push(step, value);
            }
        }
        out
    }

    /// Takes another column's values in; both have values at one step only where that is an error.
    fn absorb(&mut self, other: &Self) -> Result<(), EvalError> {
        let mut merged = Self::new(self.labels.clone(), self.drop_name);
        for step in self.first.min(other.first)..self.end().max(other.end()) {
            match (self.get(step), other.get(step)) {
                (Some(_), Some(_)) => return Err(same_labelset()),
                (Some(value), None) | (None, Some(value)) => merged.push(step, value.clone()),
                (None, None) => {}
            }
        }
        *self = merged;
        Ok(())
    }
}

/// What an expression gave.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    /// One number a step.
    Scalar(Vec<f64>),
    /// Columns; for a single step their order is the result's order.
    Vector(Vec<Column>),
    /// The same where all values are numbers, in a table.
    Dense(Dense),
    /// A text.
    Text(String),
}

impl Operand {
    /// How many values it holds.
    pub(crate) fn cells(&self) -> usize {
        match self {
            Self::Scalar(values) => values.len(),
            Self::Vector(columns) => columns.iter().map(Column::cells).sum(),
            Self::Dense(dense) => dense.cells(),
            Self::Text(_) => 0,
        }
    }

    /// The columns that `expr` gave.
    pub(crate) fn into_columns(self, expr: &Expr) -> Result<Vec<Column>, EvalError> {
        match self {
            Self::Vector(columns) => Ok(columns),
            Self::Dense(dense) => Ok(dense.columns()),
            Self::Scalar(_) | Self::Text(_) => {
                Err(EvalError::Execution(format!("expected an instant vector: {expr}")))
            }
        }
    }
}

/// The error that two results have the same labels.
pub(crate) fn same_labelset() -> EvalError {
    EvalError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}

/// Joins columns with the same labels; an error where they have values at the same step.
pub(crate) fn merge_same_labels(columns: Vec<Column>) -> Result<Vec<Column>, EvalError> {
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(columns.len());
    let mut out: Vec<Column> = Vec::with_capacity(columns.len());
    for column in columns {
        match places.get(&column.labels) {
            Some(&at) => out[at].absorb(&column)?,
            None => {
                places.insert(column.labels.clone(), out.len());
                out.push(column);
            }
        }
    }
    Ok(out)
}

/// Whether a label of that name describes the metric instead of the series.
pub(crate) fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// The labels without those that describe the metric instead of the series.
pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    if labels.iter().any(|label| is_metadata(&label.name)) {
        labels.filtered(|name| !is_metadata(name))
    } else {
        labels.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_cost_only_their_life() {
        let mut column = Column::new(Labels::empty(), false);
        column.push(1000, 1.0);
        column.push(1002, 3.0);
        assert_eq!((column.cells(), column.end()), (3, 1003));
        assert_eq!(
            [0, 1000, 1001, 1002, 1003].map(|step| column.float(step)),
            [None, Some(1.0), None, Some(3.0), None]
        );
    }

    #[test]
    fn equal_labels_join_where_they_do_not_meet() {
        let one = |step| {
            let mut column = Column::new(Labels::from_pairs([("a", "1")]), false);
            column.push(step, 1.0);
            column
        };
        let merged = merge_same_labels(vec![one(4), one(2)]).expect("apart");
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].iter().map(|(step, _)| step).collect::<Vec<_>>(), [2, 4]);
        assert!(merge_same_labels(vec![one(2), one(2)]).is_err());
    }
}
