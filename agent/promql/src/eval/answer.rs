//! From what the outermost node gave to the query's answer.

use model::{Sample, Series};
use storage::HistogramSeries;

use super::column::{Column, Grid, merge_same_labels, same_labelset, without_metadata};
use super::points::looked_at;
use super::{Dense, Evaluator, extended, histogram_sample, points};
use crate::ast::Expr;
use crate::engine::{Answer, EvalError, Outcome, Value};

impl Evaluator<'_> {
    /// Names that were to be dropped at the end are; series that are the same now join.
    pub(super) fn finished(&self, mut columns: Vec<Column>) -> Result<Vec<Column>, EvalError> {
        for column in &mut columns {
            if column.drop_name {
                column.labels = without_metadata(&column.labels);
            }
        }
        merge_same_labels(columns)
    }

    /// The same of a table; columns where series may have become the same.
    pub(super) fn finished_dense(&self, mut dense: Dense) -> Result<Dense, Vec<Column>> {
        if dense.loses_names() { Ok(dense) } else { Err(dense.columns()) }
    }

    /// A range selector or subquery as the whole query.
    pub(super) async fn matrix(&mut self, expr: &Expr, grid: Grid) -> Result<Outcome, EvalError> {
        let ranges = self.ranges(expr, grid, false).await?;
        let (start, end) = ranges.window(grid.start);
        // Of a subquery as a whole query counts what its steps looked at.
        self.look_at(ranges.looked_at.unwrap_or(0), 0);
        let mut found = Vec::new();
        for one in &ranges.series {
            let points = ranges.points(one, grid.start);
            if ranges.looked_at.is_none() {
                self.look_at(looked_at(points), 0);
            }
            let points = extended::whole_range(points, start, end, ranges.border);
            if !points.is_empty() {
                let labels = if one.drop_name { without_metadata(&one.labels) } else { one.labels.clone() };
                found.push((labels, points));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        if found.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(same_labelset());
        }
        let (mut series, mut histograms) = (Vec::new(), Vec::new());
        for (labels, points) in found {
            let number = |point: &points::Point| Some(Sample::new(point.timestamp, point.value.float()?));
            let histogram =
                |point: &points::Point| Some(histogram_sample(point.timestamp, point.value.histogram()?));
            let numbers: Vec<Sample> = points.iter().filter_map(number).collect();
            let others: Vec<model::HistogramSample> = points.iter().filter_map(histogram).collect();
            if !others.is_empty() {
                histograms.push(HistogramSeries { labels: labels.clone(), samples: others });
            }
            if !numbers.is_empty() {
                series.push(Series { labels, samples: numbers });
            }
        }
        Ok(Outcome { value: Value::Matrix(series), histograms })
    }

    /// The answer with everything that came up on the way.
    pub(crate) fn answer(self, outcome: Outcome, limit: Option<usize>) -> Answer {
        let Outcome { mut value, histograms } = outcome;
        let (mut warnings, infos) = self.notes.into_texts();
        if let Some(limit) = limit.filter(|limit| *limit > 0) {
            let truncated = match &mut value {
                Value::Vector(samples) => truncate(samples, limit),
                Value::Matrix(series) => truncate(series, limit),
                Value::Scalar(_) | Value::String(..) => false,
            };
            if truncated {
                warnings.push("results truncated due to limit".to_owned());
            }
        }
        Answer {
            value,
            histograms,
            warnings,
            infos,
            coverage: self.coverage,
            stats: self.stats,
            per_step: self.per_step,
        }
    }
}

fn truncate<T>(items: &mut Vec<T>, limit: usize) -> bool {
    let truncated = items.len() > limit;
    items.truncate(limit);
    truncated
}
