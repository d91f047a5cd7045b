//! Numbers of many series at the steps of a query, and whose they are: no label set is built until somebody asks.

use std::sync::Arc;

use model::{Label, Labels};
use storage::SeriesGroup;

use super::super::column::{Column, is_metadata, without_metadata};
use super::kernel::is_absent;

/// Numbers for which there is room before they are there.
const ROOM_MAX: usize = 1 << 20;

/// The numbers of series; between the first and the last of one series there may be none at some steps.
#[derive(Debug, Default)]
pub(super) struct Dense {
    pub(super) groups: Vec<Arc<SeriesGroup>>,
    /// Those that have numbers, in the order in which they came.
    pub(super) rows: Vec<Row>,
    /// Of each group's rows, one after the other.
    values: Vec<Vec<f64>>,
    /// What those have that are zero everywhere.
    zeros: Vec<f64>,
    /// Whether the metric names are gone.
    pub(super) is_unnamed: bool,
    /// Whether they go at the end of the query.
    pub(super) drop_name: bool,
}

/// One series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) group: u32,
    /// Of the group.
    pub(super) series: u32,
    /// Step of its first number.
    pub(super) first: u32,
    /// Steps through the last one.
    pub(super) len: u32,
    /// Where its numbers begin.
    start: usize,
    /// Whether all of them are zero; then they are nowhere.
    pub(super) is_zero: bool,
}

impl Dense {
    /// Begins with a group, for whose series there is room.
    pub(super) fn begin(&mut self, group: &Arc<SeriesGroup>, room: usize) {
        self.groups.push(Arc::clone(group));
        self.values.push(Vec::with_capacity(room.min(ROOM_MAX)));
    }

    /// Adds a series of the last group, with what it has at each step; how many steps that are, if any.
    pub(super) fn push(&mut self, series: usize, out: &[f64]) -> usize {
        let (Some(first), Some(last)) = (
            out.iter().position(|value| !is_absent(*value)),
            out.iter().rposition(|value| !is_absent(*value)),
        ) else {
            return 0;
        };
        let Some(values) = self.values.last_mut() else { return 0 };
        let len = last + 1 - first;
        self.rows.push(Row {
            group: self.groups.len() as u32 - 1,
            series: series as u32,
            first: first as u32,
            len: len as u32,
            start: values.len(),
            is_zero: false,
        });
        values.extend_from_slice(&out[first..=last]);
        len
    }

    /// Adds a series of the last group that is zero at so many steps.
    pub(super) fn push_zeros(&mut self, series: usize, first: usize, len: usize) {
        let (group, start) = (self.groups.len() as u32 - 1, 0);
        let (first, steps) = (first as u32, len as u32);
        self.rows.push(Row { group, series: series as u32, first, len: steps, start, is_zero: true });
        if self.zeros.len() < len {
            self.zeros.resize(len, 0.0);
        }
    }

    /// A series' numbers, from its first step on.
    pub(super) fn numbers(&self, row: &Row) -> &[f64] {
        if row.is_zero {
            return &self.zeros[..row.len as usize];
        }
        &self.values[row.group as usize][row.start..][..row.len as usize]
    }

    /// The number at a step.
    pub(super) fn at(&self, row: &Row, step: usize) -> Option<f64> {
        let value = *self.numbers(row).get(step.checked_sub(row.first as usize)?)?;
        (!is_absent(value)).then_some(value)
    }

    /// Puts something else in place of each number; no series may be one of zeros.
    pub(super) fn map(&mut self, mut change: impl FnMut(usize, f64) -> f64) {
        for row in &mut self.rows {
            let values = &mut self.values[row.group as usize][row.start..][..row.len as usize];
            for (at, value) in values.iter_mut().enumerate() {
                if !is_absent(*value) {
                    *value = change(row.first as usize + at, *value);
                }
            }
        }
    }

    /// Leaves out the steps, and the series, that have no number any more.
    pub(super) fn trim(&mut self) {
        let values = &self.values;
        self.rows.retain_mut(|row| {
            let numbers = &values[row.group as usize][row.start..][..row.len as usize];
            let has = |value: &f64| !is_absent(*value);
            let (Some(first), Some(last)) = (numbers.iter().position(has), numbers.iter().rposition(has))
            else {
                return false;
            };
            (row.first, row.start) = (row.first + first as u32, row.start + first);
            row.len = (last + 1 - first) as u32;
            true
        });
    }

    /// Steps from the first through the last number of each series.
    pub(super) fn cells(&self) -> usize {
        self.rows.iter().map(|row| row.len as usize).sum()
    }

    /// What a series is called in the store.
    pub(super) fn label<'d>(&'d self, row: &Row, name: &str) -> &'d str {
        let group = &self.groups[row.group as usize];
        let own = group.slot(row.series as usize).get(name);
        own.unwrap_or_else(|| group.target().value(name))
    }

    /// What names a series.
    pub(super) fn labels(&self, row: &Row) -> Labels {
        let labels = self.groups[row.group as usize].series(row.series as usize);
        if self.is_unnamed { without_metadata(&labels) } else { labels }
    }

    /// Whether labels besides the name say what the metric is: two series may differ in them alone.
    pub(super) fn has_metadata_labels(&self) -> bool {
        let is_other = |label: &Label| is_metadata(&label.name) && &*label.name != model::METRIC_NAME;
        let mut before: Option<&Arc<SeriesGroup>> = None;
        self.groups.iter().any(|group| {
            let is_known = before.replace(group).is_some_and(|before| before.has_slots_of(group));
            group.target().iter().any(is_other)
                || !is_known && (0..group.len()).any(|at| group.slot(at).iter().any(is_other))
        })
    }

    /// A series as a column.
    pub(super) fn column(&self, row: &Row) -> Column {
        let mut column = Column::new(self.labels(row), self.drop_name);
        for (at, value) in self.numbers(row).iter().enumerate() {
            if !is_absent(*value) {
                column.push(row.first as usize + at, *value);
            }
        }
        column
    }
}
