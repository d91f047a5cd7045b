//! Instant selectors: the newest sample within the lookback window, unless it is a stale marker.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::ResetHint;
use storage::{BoxFuture, Coverage, QueryError, Select, TimeRange};

use super::Evaluator;
use super::cell::Cell;
use super::column::{Column, Grid, Operand};
use super::points::{Point, PointSeries, point_series, set_starts};
use crate::ast::{Border, Expr, VectorSelector};
use crate::engine::EvalError;

/// From a step's time to the time that a selector looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    /// The time that `@` pins it to.
    pub(super) pinned: Option<i64>,
    /// Milliseconds back.
    pub(super) offset: i64,
}

impl Reference {
    /// The time looked at when the step's time is `time`.
    pub(super) fn at(self, time: i64) -> i64 {
        self.pinned.unwrap_or(time) - self.offset
    }
}

/// What is known about counter resets between the histograms that selectors find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Resets {
    /// What the store says, where nobody above asks for more.
    #[default]
    AsStored,
    /// Where the store does not know, histograms are compared: below `histogram_count` and its like, for which
    /// Prometheus reads no buckets and must know before.
    Detected,
    /// What the store says, whatever stands above.
    Kept,
}

/// Compares histograms of which the store does not say whether a counter reset came before them.
fn detect_resets(points: &mut [Point]) {
    let mut before: Option<Arc<FloatHistogram>> = None;
    for point in points {
        let Cell::Histogram(histogram) = &mut point.value else { continue };
        let now = Arc::clone(histogram);
        if histogram.reset_hint == ResetHint::Unknown
            && let Some(before) = &before
        {
            let reset = histogram.is_reset_after(before);
            Arc::make_mut(histogram).reset_hint = if reset { ResetHint::Reset } else { ResetHint::NotReset };
        }
        before = Some(now);
    }
}

/// What of a sample counts as a selector's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Its value.
    Value,
    /// Its time, in seconds.
    Time,
    /// Its start time in seconds, where it has one.
    Start,
    /// Its time, in milliseconds.
    Millis,
}

impl Wanted {
    fn of(self, point: &Point) -> Option<Cell> {
        Some(match self {
            Self::Value => point.value.clone(),
            Self::Time => Cell::Float(point.timestamp as f64 / 1000.0),
            Self::Start if point.start == 0 => return None,
            Self::Start => Cell::Float(point.start as f64 / 1000.0),
            // Who asks for these wants numbers, and must see what is none.
            Self::Millis if point.value.histogram().is_some() => point.value.clone(),
            Self::Millis => Cell::Float(point.timestamp as f64),
        })
    }
}

impl Evaluator<'_> {
    /// The series of a selector with their samples in `range`, and their start times where asked for and known.
    pub(super) async fn select(
        &mut self,
        selector: &VectorSelector,
        range: TimeRange,
        starts: bool,
    ) -> Result<Vec<PointSeries>, EvalError> {
        let samples_max = self.samples_max.saturating_sub(self.held);
        let select = Select { matchers: selector.matchers.clone(), range, samples_max };
        let failed = |error| match error {
            QueryError::Limit(_) => EvalError::too_many_samples(),
            other => EvalError::Storage(other),
        };
        let mut set = self.querier.select(select.clone()).await.map_err(failed)?;
        let numbers: usize = set.series.iter().map(|series| series.samples.len()).sum();
        let histograms: usize = set.histograms.iter().map(|series| series.samples.len()).sum();
        self.stats.samples_read += (numbers + histograms) as u64;
        merge_coverage(&mut self.coverage, std::mem::take(&mut set.coverage));
        let mut series = point_series(set);
        if self.resets == Resets::Detected {
            series.iter_mut().for_each(|one| detect_resets(&mut one.points));
        }
        let extra = |one: &PointSeries| one.points.iter().map(|point| point.value.extra()).sum::<usize>();
        self.hold(numbers + series.iter().map(extra).sum::<usize>() + histograms)?;
        self.tick(numbers + histograms).await;
        if starts && self.use_start_timestamps {
            set_starts(&mut series, self.querier.starts(select).await.map_err(failed)?);
        }
        Ok(series)
    }

    /// Counts what the store gave at the first step of the query that looks at it, where steps are counted.
    pub(super) fn note_read(&mut self, series: &[PointSeries], reference: Reference) {
        let Some(per_step) = &mut self.per_step else { return };
        let last = per_step.samples_read.len().saturating_sub(1);
        for point in series.iter().flat_map(|one| &one.points) {
            let seen = reference.pinned.map_or(point.timestamp + reference.offset, |_| self.query.start);
            let steps = (seen - self.query.start + self.query.step - 1).div_euclid(self.query.step);
            let step = usize::try_from(steps).unwrap_or(0).min(last);
            if let Some(read) = per_step.samples_read.get_mut(step) {
                *read += 1;
            }
        }
    }

    /// What an expression gives whose selectors treat counter resets in this way.
    pub(super) async fn with_resets(
        &mut self,
        resets: Resets,
        expr: &Expr,
        grid: Grid,
    ) -> Result<Operand, EvalError> {
        let before = self.resets;
        if before != Resets::Kept {
            self.resets = resets;
        }
        let operand = self.eval(expr, grid).await;
        self.resets = before;
        operand
    }

    /// The values of a selector; `wanted` says what of a sample counts as one.
    pub(super) fn vector<'a>(
        &'a mut self,
        selector: &'a VectorSelector,
        grid: Grid,
        wanted: Wanted,
    ) -> BoxFuture<'a, Result<Vec<Column>, EvalError>> {
        Box::pin(self.newest(selector, grid, wanted))
    }

    async fn newest(
        &mut self,
        selector: &VectorSelector,
        grid: Grid,
        wanted: Wanted,
    ) -> Result<Vec<Column>, EvalError> {
        let steps = grid.len();
        if steps == 0 {
            return Ok(Vec::new());
        }
        let offset = self.offset(selector.offset_ms, selector.offset_expr.as_deref())?;
        let reference = Reference { pinned: self.pinned(selector.at), offset };
        let mut range = TimeRange {
            start: reference.at(grid.start) - self.lookback + 1,
            end: reference.at(grid.time(steps - 1)),
        };
        if selector.border == Border::Smoothed {
            range.end += self.lookback;
        }
        let series = self.select(selector, range, wanted == Wanted::Start).await?;
        self.note_read(&series, reference);
        let mut columns = Vec::with_capacity(series.len());
        for one in series {
            let column = if selector.border == Border::Smoothed {
                self.smoothed_column(selector, one, reference, grid)
            } else {
                self.plain_column(&one, reference, grid, wanted)
            };
            self.hold(column.cells())?;
            self.tick(steps).await;
            if !column.is_empty() {
                columns.push(column);
            }
        }
        Ok(columns)
    }

    fn plain_column(
        &mut self,
        one: &PointSeries,
        reference: Reference,
        grid: Grid,
        wanted: Wanted,
    ) -> Column {
        let mut column = Column::new(one.labels.clone(), false);
        let mut seen = 0;
        for step in 0..grid.len() {
            let time = reference.at(grid.time(step));
            while one.points.get(seen).is_some_and(|point| point.timestamp <= time) {
                seen += 1;
            }
            let newest = seen.checked_sub(1).map(|at| &one.points[at]);
            if let Some(point) = newest
                && point.timestamp > time - self.lookback
                && !point.is_stale()
                && let Some(value) = wanted.of(point)
            {
                self.look_at(1 + value.extra() as u64, step);
                column.push(step, value);
            }
        }
        column
    }
}

/// Adds what one selector's data covers: a query's data is complete where that of all its selectors is.
pub(super) fn merge_coverage(all: &mut Coverage, one: Coverage) {
    let Coverage { complete_through, gaps, warnings } = one;
    all.merge(Coverage { warnings, ..Coverage::default() });
    for (source, through) in complete_through {
        match all.complete_through.iter_mut().find(|(known, _)| *known == source) {
            Some((_, known)) => *known = through.min(*known),
            None => all.complete_through.push((source, through)),
        }
    }
    for gap in gaps {
        if !all.gaps.contains(&gap) {
            all.gaps.push(gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_as_complete_as_its_least_complete_selector() {
        let part =
            |through| Coverage { complete_through: vec![("a".to_owned(), through)], ..Coverage::default() };
        let mut all = part(7);
        merge_coverage(&mut all, part(5));
        merge_coverage(&mut all, part(9));
        assert_eq!(all, part(5));
    }
}
