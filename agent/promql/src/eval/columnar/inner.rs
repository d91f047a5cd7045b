//! Functions over the windows of a subquery: its results are columns over shared times, as those of a target are.

use storage::BoxFuture;

use super::super::Evaluator;
use super::super::column::{Grid, is_metadata};
use super::super::window::Ranges;
use super::axis::Axis;
use super::dense::{Dense, Row};
use super::kernel::{Context, Function, Room, absent, is_absent, run};
use super::order::any_alike;
use super::plan::Fragment;
use crate::ast::Call;
use crate::engine::EvalError;
use crate::stats::QueryStats;

/// Times of one row, where it does not have a number at each.
#[derive(Default)]
struct Own {
    times: Vec<i64>,
    values: Vec<f64>,
    axis: Axis,
}

impl Evaluator<'_> {
    /// What a function makes of the windows over `inner`; none where it must be done series by series, then nothing
    /// was noted or counted.
    pub(in super::super) fn windows_of<'a>(
        &'a mut self,
        call: &'a Call,
        ranges: &'a Ranges,
        inner: (Grid, &'a Dense),
        params: &'a [Vec<f64>],
        grid: Grid,
    ) -> BoxFuture<'a, Result<Option<Dense>, EvalError>> {
        Box::pin(self.windows_over(call, ranges, inner, params, grid))
    }

    async fn windows_over(
        &mut self,
        call: &Call,
        ranges: &Ranges,
        (times, inner): (Grid, &Dense),
        params: &[Vec<f64>],
        grid: Grid,
    ) -> Result<Option<Dense>, EvalError> {
        let name = call.function.name;
        let function = if name == "absent_over_time" { Some(Function::Present) } else { Function::of(name) };
        let Some(function) = function else { return Ok(None) };
        let drops_name = !function.keeps_name();
        let goes_now = drops_name && !self.delayed_name_removal;
        if goes_now
            && !inner.is_unnamed
            && inner.may_become_alike()
            && any_alike(inner, |name| !is_metadata(name))
        {
            return Ok(None);
        }
        let steps: Vec<i64> = (0..grid.len()).map(|step| grid.time(step)).collect();
        let bounds: Vec<(i64, i64)> = steps.iter().map(|time| ranges.window(*time)).collect();
        let times: Vec<i64> = (0..times.len()).map(|step| times.time(step)).collect();
        let pos = call.args[0].unwrap_parens().pos();
        let (mut axis, mut own, mut room) = (Axis::default(), Own::default(), Room::default());
        axis.set_own(&times, &bounds, function.extrapolation());
        let (mut dense, mut out) = (inner.like(), vec![absent(); grid.len()]);
        for row in &inner.rows {
            let (axis, values) = own.of(inner, row, (&times, &axis), (&bounds, function));
            out.fill(absent());
            let notes = &mut self.notes;
            let mut context = Context { bounds: &bounds, times: &steps, params, pos, notes };
            run(function, axis, values, &mut out, &mut room, &mut context)?;
            let looked_at = axis.total;
            let drop_name = drops_name || row.drop_name;
            let cells = dense.push_in((row.group, row.series), 0, &out, drop_name);
            self.stats.total_samples += looked_at;
            self.hold(cells)?;
            if cells > 0 && function.wants_counters() && !inner.is_unnamed {
                let metric = inner.label(row, model::METRIC_NAME);
                if !metric.is_empty() {
                    self.possible_non_counter(metric, inner.label(row, "__type__"), pos);
                }
            }
            self.tick(row.len as usize + looked_at as usize).await;
        }
        dense.is_unnamed |= goes_now;
        Ok(Some(dense))
    }

    /// At which steps a range of samples that `absent_over_time` asks for holds any; none where it must be found out
    /// series by series.
    pub(in super::super) fn range_is_there<'a>(
        &'a mut self,
        call: &'a Call,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Option<Vec<bool>>, EvalError>> {
        Box::pin(async move {
            let Some(fragment) = Fragment::of_presence(call) else { return Ok(None) };
            let (held, stats) = (self.held, self.stats);
            let found = match self.columnar(&fragment, grid).await {
                Err(EvalError::TooManySamples(_)) => None,
                found => found?,
            };
            self.held = held;
            if found.is_none() {
                self.stats = QueryStats { peak_samples: self.stats.peak_samples, ..stats };
            }
            Ok(found.map(|dense| super::is_there(&dense, grid)))
        })
    }
}

impl Own {
    /// The times and numbers of a row.
    fn of<'o>(
        &'o mut self,
        inner: &'o Dense,
        row: &Row,
        (times, axis): (&[i64], &'o Axis),
        (bounds, function): (&[(i64, i64)], Function),
    ) -> (&'o Axis, &'o [f64]) {
        let numbers = inner.numbers(row);
        if numbers.len() == times.len() && !numbers.iter().any(|value| is_absent(*value)) {
            return (axis, numbers);
        }
        self.times.clear();
        self.values.clear();
        for (time, value) in times[row.first as usize..].iter().zip(numbers) {
            if !is_absent(*value) {
                self.times.push(*time);
                self.values.push(*value);
            }
        }
        self.axis.set_own(&self.times, bounds, function.extrapolation());
        (&self.axis, &self.values)
    }
}
