//! Numbers of many series at the steps of a query, and whose they are: no label set is built until somebody asks.

use std::sync::Arc;

use model::{Label, Labels, METRIC_NAME};
use storage::SeriesGroup;

use super::super::column::{Column, is_metadata, without_metadata};
use super::kernel::is_absent;

/// Numbers for which there is room before they are there.
const ROOM_MAX: usize = 1 << 20;

/// The numbers of series; between the first and the last of one series there may be none at some steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dense {
    pub(super) groups: Vec<Arc<SeriesGroup>>,
    /// Those that have numbers: in the order of the result where `is_ordered`, else as they came.
    pub(super) rows: Vec<Row>,
    /// Of each group's rows, one after the other.
    values: Vec<Vec<f64>>,
    /// What those have that are zero everywhere.
    zeros: Vec<f64>,
    /// Whether the metric names are gone.
    pub(super) is_unnamed: bool,
    /// Whether rows are in the order in which the evaluation series by series has its columns.
    pub(super) is_ordered: bool,
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
    /// Whether its metric name goes at the end of the query.
    pub(super) drop_name: bool,
}

impl Row {
    /// The step after the last number.
    pub(super) fn end(&self) -> u32 {
        self.first + self.len
    }
}

impl Dense {
    /// Begins with a group, for whose series there is room.
    pub(super) fn begin(&mut self, group: &Arc<SeriesGroup>, room: usize) {
        self.groups.push(Arc::clone(group));
        self.values.push(Vec::with_capacity(room.min(ROOM_MAX)));
    }

    /// The same groups without rows: for results that have the same labels, in their order.
    pub(super) fn like(&self) -> Self {
        Self {
            groups: self.groups.clone(),
            values: vec![Vec::new(); self.groups.len()],
            is_unnamed: self.is_unnamed,
            is_ordered: true,
            ..Self::default()
        }
    }

    /// Adds a series of the last group, with what it has at each step; how many steps that are, if any.
    pub(super) fn push(&mut self, series: usize, out: &[f64]) -> usize {
        let group = self.groups.len().saturating_sub(1) as u32;
        self.push_in((group, series as u32), 0, out, false)
    }

    /// Adds a series of a group, with what it has from a step on.
    pub(super) fn push_in(
        &mut self,
        (group, series): (u32, u32),
        from: usize,
        out: &[f64],
        drop_name: bool,
    ) -> usize {
        let has = |value: &f64| !is_absent(*value);
        let (Some(first), Some(last)) = (out.iter().position(has), out.iter().rposition(has)) else {
            return 0;
        };
        let Some(values) = self.values.get_mut(group as usize) else { return 0 };
        let (len, start) = (last + 1 - first, values.len());
        let first_step = (from + first) as u32;
        let row = Row { group, series, first: first_step, len: len as u32, start, is_zero: false, drop_name };
        self.rows.push(row);
        values.extend_from_slice(&out[first..=last]);
        len
    }

    /// Adds a series of the last group that is zero at so many steps.
    pub(super) fn push_zeros(&mut self, series: usize, first: usize, len: usize) {
        let (group, series) = (self.groups.len() as u32 - 1, series as u32);
        let (first, steps) = (first as u32, len as u32);
        let row = Row { group, series, first, len: steps, start: 0, is_zero: true, drop_name: false };
        self.rows.push(row);
        self.reserve_zeros(len);
    }

    fn reserve_zeros(&mut self, len: usize) {
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

    /// Puts something else in place of each number.
    pub(super) fn map(&mut self, mut change: impl FnMut(usize, f64) -> f64) {
        for row in &mut self.rows {
            let values = &mut self.values[row.group as usize];
            if std::mem::take(&mut row.is_zero) {
                row.start = values.len();
                values.resize(row.start + row.len as usize, 0.0);
            }
            for (at, value) in values[row.start..][..row.len as usize].iter_mut().enumerate() {
                if !is_absent(*value) {
                    *value = change(row.first as usize + at, *value);
                }
            }
        }
    }

    /// Leaves out the steps, and the series, that have no number any more; no series may be one of zeros.
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

    /// Takes the rows of another behind its own; both must have lost their metric names, or neither.
    pub(super) fn append(&mut self, other: Self) {
        let (groups, before) = (self.groups.len() as u32, self.zeros.len());
        self.groups.extend(other.groups);
        self.values.extend(other.values);
        self.rows.extend(other.rows.into_iter().map(|row| Row { group: row.group + groups, ..row }));
        self.reserve_zeros(other.zeros.len().max(before));
    }

    /// Steps from the first through the last number of each series.
    pub(crate) fn cells(&self) -> usize {
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
        let is_other = |label: &Label| is_metadata(&label.name) && &*label.name != METRIC_NAME;
        self.any_labels(|labels| labels.iter().any(is_other))
    }

    /// Whether series might have the same labels once their metric names are gone.
    pub(super) fn may_become_alike(&self) -> bool {
        if self.has_metadata_labels() {
            return true;
        }
        if self.groups.iter().any(|group| group.target().has(METRIC_NAME)) {
            return true;
        }
        let mut name: Option<&str> = None;
        self.any_slots(|slot| {
            let own = slot.metric_name();
            *name.get_or_insert(own) != own
        })
    }

    fn any_labels(&self, is_one: impl Fn(&Labels) -> bool) -> bool {
        self.groups.iter().any(|group| is_one(group.target())) || self.any_slots(is_one)
    }

    /// Looks at the labels of slots, of groups that have the same ones once.
    fn any_slots<'d>(&'d self, mut is_one: impl FnMut(&'d Labels) -> bool) -> bool {
        let mut before: Option<&Arc<SeriesGroup>> = None;
        self.groups.iter().any(|group| {
            let is_known = before.replace(group).is_some_and(|before| before.has_slots_of(group));
            !is_known && (0..group.len()).any(|at| is_one(group.slot(at)))
        })
    }

    /// A series as a column.
    pub(super) fn column(&self, row: &Row) -> Column {
        let mut column = Column::new(self.labels(row), row.drop_name);
        for (at, value) in self.numbers(row).iter().enumerate() {
            if !is_absent(*value) {
                column.push(row.first as usize + at, *value);
            }
        }
        column
    }

    /// All of them as columns.
    pub(crate) fn columns(&self) -> Vec<Column> {
        self.rows.iter().map(|row| self.column(row)).collect()
    }
}

/// Results whose labels are known one by one.
#[derive(Debug, Default)]
pub(super) struct Listed {
    labels: Vec<Labels>,
    dense: Dense,
}

impl Listed {
    pub(super) fn new() -> Self {
        let dense = Dense { values: vec![Vec::new()], is_ordered: true, ..Dense::default() };
        Self { labels: Vec::new(), dense }
    }

    /// Adds a series with what it has at each step; how many steps that are, if any.
    pub(super) fn push(&mut self, labels: Labels, out: &[f64], drop_name: bool) -> usize {
        let cells = self.dense.push_in((0, self.labels.len() as u32), 0, out, drop_name);
        if cells > 0 {
            self.labels.push(labels);
        }
        cells
    }

    /// Whether two series have the same labels.
    pub(super) fn any_alike(&self) -> bool {
        let mut seen = std::collections::HashSet::with_capacity(self.labels.len());
        !self.labels.iter().all(|labels| seen.insert(labels))
    }

    pub(super) fn finish(mut self) -> Dense {
        let group = SeriesGroup::listed(Labels::empty(), self.labels.into());
        self.dense.groups = vec![Arc::new(group)];
        self.dense
    }
}
