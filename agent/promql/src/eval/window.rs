//! Range vectors: samples within windows that are open on the left and closed on the right.

use model::{Labels, Sample, is_stale};
use storage::TimeRange;

use super::Evaluator;
use super::column::Grid;
use super::selector::Reference;
use crate::ast::{Expr, MatrixSelector, Subquery};
use crate::engine::EvalError;
use crate::position::PosRange;

/// A range vector for all steps of a grid.
pub(super) struct Ranges {
    /// The series; every sample that some window holds, without stale markers.
    pub(super) series: Vec<RangeSeries>,
    reference: Reference,
    range: i64,
}

/// One series of a range vector.
pub(super) struct RangeSeries {
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    pub(super) samples: Vec<Sample>,
}

/// What a range function sees at one step.
pub(super) struct Window<'a> {
    /// The samples inside, oldest first; never empty.
    pub(super) samples: &'a [Sample],
    /// Milliseconds since the Unix epoch; not inside.
    pub(super) start: i64,
    /// Milliseconds since the Unix epoch; inside.
    pub(super) end: i64,
    /// The step's time, in milliseconds since the Unix epoch.
    pub(super) time: i64,
    /// The scalar arguments.
    pub(super) params: &'a [f64],
    /// Where the first argument stands.
    pub(super) pos: PosRange,
}

impl Ranges {
    /// Start (not inside) and end (inside) of the window at a step's time.
    pub(super) fn window(&self, time: i64) -> (i64, i64) {
        let end = self.reference.at(time);
        (end - self.range, end)
    }
}

/// The samples after `start` and through `end`.
pub(super) fn inside(samples: &[Sample], start: i64, end: i64) -> &[Sample] {
    let from = samples.partition_point(|sample| sample.timestamp <= start);
    let to = samples.partition_point(|sample| sample.timestamp <= end);
    &samples[from..to.max(from)]
}

impl Evaluator<'_> {
    /// The range vector that an expression gives.
    pub(super) async fn ranges(&mut self, expr: &Expr, grid: Grid) -> Result<Ranges, EvalError> {
        match expr.unwrap_parens() {
            Expr::Matrix(node) => self.matrix_ranges(node, grid).await,
            Expr::Subquery(node) => self.subquery_ranges(node, grid).await,
            other => Err(EvalError::Execution(format!("expected a range vector: {other}"))),
        }
    }

    async fn matrix_ranges(&mut self, node: &MatrixSelector, grid: Grid) -> Result<Ranges, EvalError> {
        let reference = Reference { pinned: self.pinned(node.selector.at), offset: node.selector.offset_ms };
        let mut ranges = Ranges { series: Vec::new(), reference, range: node.range_ms };
        let Some((first, last)) = ends(reference, grid) else { return Ok(ranges) };
        let range = TimeRange { start: first - node.range_ms + 1, end: last };
        for mut one in self.select(&node.selector, range).await? {
            one.samples.retain(|sample| !is_stale(sample.value));
            if !one.samples.is_empty() {
                ranges.series.push(RangeSeries {
                    labels: one.labels,
                    drop_name: false,
                    samples: one.samples,
                });
            }
        }
        Ok(ranges)
    }

    /// The inner expression at all multiples of the step that some window holds.
    async fn subquery_ranges(&mut self, node: &Subquery, grid: Grid) -> Result<Ranges, EvalError> {
        let reference = Reference { pinned: self.pinned(node.at), offset: node.offset_ms };
        let mut ranges = Ranges { series: Vec::new(), reference, range: node.range_ms };
        let Some((first, last)) = ends(reference, grid) else { return Ok(ranges) };
        let step = node.step_ms.unwrap_or(self.subquery_step);
        let open = first - node.range_ms;
        let mut start = step * (open / step);
        if start <= open {
            start += step;
        }
        let inner = Grid { start, end: last, step };
        if inner.len() == 0 {
            return Ok(ranges);
        }
        for column in self.columns(&node.expr, inner).await? {
            ranges.series.push(RangeSeries {
                samples: column.samples(inner),
                labels: column.labels,
                drop_name: column.drop_name,
            });
        }
        Ok(ranges)
    }
}

/// Where the first and the last window end.
fn ends(reference: Reference, grid: Grid) -> Option<(i64, i64)> {
    let last = grid.len().checked_sub(1)?;
    Some((reference.at(grid.start), reference.at(grid.time(last))))
}
