//! A table as the value of a query.

use model::{Sample, Series};

use super::super::column::{Grid, is_metadata};
use super::dense::{Dense, Row};
use super::kernel::is_absent;
use super::order::any_alike;
use crate::engine::{Value, VectorSample};

impl Dense {
    /// Takes the metric names of all rows that lose them at the end of the query; false where that would make rows
    /// alike, or where not all rows do.
    pub(crate) fn loses_names(&mut self) -> bool {
        if self.is_unnamed || self.rows.iter().all(|row| !row.drop_name) {
            return true;
        }
        let is_for_all = self.rows.iter().all(|row| row.drop_name);
        if !is_for_all || self.may_become_alike() && any_alike(self, |name| !is_metadata(name)) {
            return false;
        }
        self.is_unnamed = true;
        true
    }

    /// The value; `instant` where the query was asked for at one time.
    pub(crate) fn value(&self, grid: Grid, instant: bool) -> Value {
        if instant {
            let sample = |row: &Row| {
                let value = self.at(row, 0)?;
                Some(VectorSample { labels: self.labels(row), timestamp: grid.start, value })
            };
            return Value::Vector(self.rows.iter().filter_map(sample).collect());
        }
        let series = |row: &Row| {
            let mut samples = Vec::with_capacity(row.len as usize);
            for (step, value) in (row.first as usize..).zip(self.numbers(row)) {
                if !is_absent(*value) {
                    samples.push(Sample::new(grid.time(step), *value));
                }
            }
            Series { labels: self.labels(row), samples }
        };
        let mut all: Vec<Series> = self.rows.iter().map(series).collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        Value::Matrix(all)
    }
}
