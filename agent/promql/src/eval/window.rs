//! Range vectors: samples within windows that are open on the left and closed on the right.

use std::sync::Arc;

use model::histogram::ResetHint;
use model::{FloatHistogram, Labels, Sample};
use storage::{BoxFuture, TimeRange};

use super::Evaluator;
use super::cell::Cell;
use super::column::{Column, Grid, Operand};
use super::points::Point;
use super::selector::{Reference, Resets};
use crate::ast::{Border, Expr, MatrixSelector, Subquery};
use crate::engine::EvalError;
use crate::position::PosRange;

/// A range vector for all steps of a grid.
pub(super) struct Ranges {
    /// The series; every sample that some window holds, without stale markers.
    pub(super) series: Vec<RangeSeries>,
    reference: Reference,
    range: i64,
    pub(super) border: Border,
    /// How far beyond its borders a window looks, in milliseconds: before it, and behind it.
    margins: (i64, i64),
    /// Of a subquery the samples that its steps looked at. Below a function the windows count instead, as in
    /// Prometheus.
    pub(super) looked_at: Option<u64>,
}

/// One series of a range vector.
pub(super) struct RangeSeries {
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    pub(super) points: Vec<Point>,
}

/// What a range function sees at one step.
pub(super) struct Window<'a> {
    /// The samples inside and within the margins, oldest first; never empty.
    pub(super) points: &'a [Point],
    /// Those that are numbers.
    pub(super) floats: &'a [Sample],
    /// Those that are histograms, with their times.
    pub(super) histograms: &'a [(i64, &'a Arc<FloatHistogram>)],
    /// What names the series.
    pub(super) labels: &'a Labels,
    /// Milliseconds since the Unix epoch; not inside.
    pub(super) start: i64,
    /// Milliseconds since the Unix epoch; inside.
    pub(super) end: i64,
    /// The step's time, in milliseconds since the Unix epoch.
    pub(super) time: i64,
    /// How its borders are treated.
    pub(super) border: Border,
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

    /// With the results of a subquery's expression as series.
    pub(super) fn with(mut self, inner: Grid, columns: Vec<Column>) -> Self {
        let series = |column: Column| {
            let point = |(step, value): (usize, &Cell)| Point {
                timestamp: inner.time(step),
                start: 0,
                value: without_hint(value),
            };
            RangeSeries {
                points: column.iter().map(point).collect(),
                labels: column.labels,
                drop_name: column.drop_name,
            }
        };
        self.series.extend(columns.into_iter().map(series));
        self
    }

    /// A series' samples in the window at a step's time, and within its margins.
    pub(super) fn points<'p>(&self, series: &'p RangeSeries, time: i64) -> &'p [Point] {
        let (start, end) = self.window(time);
        inside(&series.points, start - self.margins.0, end + self.margins.1)
    }
}

/// The samples after `start` and through `end`.
fn inside(points: &[Point], start: i64, end: i64) -> &[Point] {
    let from = points.partition_point(|point| point.timestamp <= start);
    let to = points.partition_point(|point| point.timestamp <= end);
    &points[from..to.max(from)]
}

/// The value, without what the store knew about resets since a sample that the subquery may have skipped.
fn without_hint(value: &Cell) -> Cell {
    match value {
        Cell::Histogram(histogram)
            if matches!(histogram.reset_hint, ResetHint::Reset | ResetHint::NotReset) =>
        {
            FloatHistogram { reset_hint: ResetHint::Unknown, ..(**histogram).clone() }.into()
        }
        other => other.clone(),
    }
}

impl Evaluator<'_> {
    /// The range vector that an expression gives, with start times where asked for and known.
    pub(super) fn ranges<'a>(
        &'a mut self,
        expr: &'a Expr,
        grid: Grid,
        starts: bool,
    ) -> BoxFuture<'a, Result<Ranges, EvalError>> {
        Box::pin(async move {
            match expr.unwrap_parens() {
                Expr::Matrix(node) => self.matrix_ranges(node, grid, starts).await,
                Expr::Subquery(node) => {
                    let (ranges, found) = self.subquery(node, grid).await?;
                    let Some((inner, operand)) = found else { return Ok(ranges) };
                    Ok(ranges.with(inner, operand.into_columns(&node.expr)?))
                }
                other => Err(EvalError::Execution(format!("expected a range vector: {other}"))),
            }
        })
    }

    async fn matrix_ranges(
        &mut self,
        node: &MatrixSelector,
        grid: Grid,
        starts: bool,
    ) -> Result<Ranges, EvalError> {
        let selector = &node.selector;
        let offset = self.offset(selector.offset_ms, selector.offset_expr.as_deref())?;
        let range_ms = self.length(node.range_ms, node.range_expr.as_deref())?;
        let reference = Reference { pinned: self.pinned(selector.at), offset };
        let border = node.selector.border;
        let margins = match border {
            Border::Plain => (0, 0),
            Border::Anchored => (self.lookback, 0),
            Border::Smoothed => (self.lookback, self.lookback),
        };
        let mut ranges =
            Ranges { series: Vec::new(), reference, range: range_ms, border, margins, looked_at: None };
        let Some((first, last)) = ends(reference, grid) else { return Ok(ranges) };
        let range = TimeRange { start: first - range_ms - margins.0 + 1, end: last + margins.1 };
        let found = self.select(&node.selector, range, starts).await?;
        self.note_read(&found, reference);
        for mut one in found {
            one.points.retain(|point| !point.is_stale());
            if !one.points.is_empty() {
                let (labels, points) = (one.labels, one.points);
                ranges.series.push(RangeSeries { labels, drop_name: false, points });
            }
        }
        Ok(ranges)
    }

    /// The windows of a subquery, without series; and what its expression gives at all multiples of its step that
    /// some window holds, where there are such.
    pub(super) async fn subquery(
        &mut self,
        node: &Subquery,
        grid: Grid,
    ) -> Result<(Ranges, Option<(Grid, Operand)>), EvalError> {
        let offset = self.offset(node.offset_ms, node.offset_expr.as_deref())?;
        let range = self.length(node.range_ms, node.range_expr.as_deref())?;
        let reference = Reference { pinned: self.pinned(node.at), offset };
        let (border, margins) = (Border::Plain, (0, 0));
        let mut ranges = Ranges { series: Vec::new(), reference, range, border, margins, looked_at: Some(0) };
        let Some((first, last)) = ends(reference, grid) else { return Ok((ranges, None)) };
        let step = node.step_ms.unwrap_or(self.subquery_step);
        // Less than a millisecond would be no step at all.
        let step = self.length(step, node.step_expr.as_deref())?.max(1);
        let open = first - range;
        let mut start = step * (open / step);
        if start <= open {
            start += step;
        }
        let inner = Grid { start, end: last, step };
        if inner.len() == 0 {
            return Ok((ranges, None));
        }
        let before = self.stats.total_samples;
        self.subqueries += 1;
        let operand = self.with_resets(Resets::Kept, &node.expr, inner).await;
        self.subqueries -= 1;
        ranges.looked_at = Some(self.stats.total_samples - before);
        self.stats.total_samples = before;
        Ok((ranges, Some((inner, operand?))))
    }
}

/// Where the first and the last window end.
fn ends(reference: Reference, grid: Grid) -> Option<(i64, i64)> {
    let last = grid.len().checked_sub(1)?;
    Some((reference.at(grid.start), reference.at(grid.time(last))))
}
