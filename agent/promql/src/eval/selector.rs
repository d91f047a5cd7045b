//! Instant selectors: the newest sample within the lookback window, unless it is a stale marker.

use model::{Sample, Series, is_stale};
use storage::{Coverage, QueryError, Select, TimeRange};

use super::Evaluator;
use super::column::{Column, Grid};
use crate::ast::VectorSelector;
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

impl Evaluator<'_> {
    /// The series of a selector with their samples in `range`.
    pub(super) async fn select(
        &mut self,
        selector: &VectorSelector,
        range: TimeRange,
    ) -> Result<Vec<Series>, EvalError> {
        let samples_max = self.samples_max.saturating_sub(self.held);
        let select = Select { matchers: selector.matchers.clone(), range, samples_max };
        let mut set = self.querier.select(select).await.map_err(|error| match error {
            QueryError::Limit(_) => EvalError::too_many_samples(),
            other => EvalError::Storage(other),
        })?;
        let samples: usize = set.series.iter().map(|series| series.samples.len()).sum();
        self.stats.samples_read += samples as u64;
        merge_coverage(&mut self.coverage, set.coverage);
        self.hold(samples)?;
        self.tick(samples).await;
        if !set.histograms.is_empty() {
            self.found_histograms(&mut set.series, set.histograms);
        }
        Ok(set.series)
    }

    /// The values of a selector; `value` says what of a sample counts as one.
    pub(super) async fn vector(
        &mut self,
        selector: &VectorSelector,
        grid: Grid,
        value: fn(Sample) -> f64,
    ) -> Result<Vec<Column>, EvalError> {
        let steps = grid.len();
        if steps == 0 {
            return Ok(Vec::new());
        }
        let reference = Reference { pinned: self.pinned(selector.at), offset: selector.offset_ms };
        let range = TimeRange {
            start: reference.at(grid.start) - self.lookback + 1,
            end: reference.at(grid.time(steps - 1)),
        };
        let series = self.select(selector, range).await?;
        let mut columns = Vec::with_capacity(series.len());
        for one in series {
            let mut column = Column::new(one.labels, false);
            let mut seen = 0;
            for step in 0..steps {
                let time = reference.at(grid.time(step));
                while one.samples.get(seen).is_some_and(|sample| sample.timestamp <= time) {
                    seen += 1;
                }
                let newest = seen.checked_sub(1).map(|at| one.samples[at]);
                if let Some(sample) = newest
                    && sample.timestamp > time - self.lookback
                    && !is_stale(sample.value)
                {
                    column.push(step, value(sample));
                    self.stats.total_samples += 1;
                }
            }
            self.hold(column.cells())?;
            self.tick(steps).await;
            if !column.is_empty() {
                columns.push(column);
            }
        }
        Ok(columns)
    }
}

/// Adds what one selector's data covers: a query's data is complete where that of all its selectors is.
fn merge_coverage(all: &mut Coverage, one: Coverage) {
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
