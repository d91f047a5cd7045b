//! Evaluation group by group: series that a target's rows hold together share their times, so windows are found once
//! for all of them, values are columns, and labels are looked at where groups and slots are told apart instead of for
//! every series.
//!
//! What is planned here ([`plan`]) is read as batches ([`read`]), put through functions of windows ([`kernel`]) over
//! shared times ([`axis`]), and aggregated ([`keys`], [`reduce`], [`top`], [`values`]) in the order of labels
//! ([`order`]). The result is a table of numbers ([`dense`]), and what stands above takes tables as they are: numbers
//! one by one ([`each`]), operations between series ([`sides`], [`join`], [`sets`]), histograms ([`buckets`]) and
//! subqueries ([`inner`]). All results have the very bits of the evaluation series by series. Native histograms, and
//! series that become alike without their names, are left to that evaluation.

mod axis;
mod buckets;
mod dense;
mod each;
mod inner;
mod join;
mod kernel;
mod keys;
mod order;
mod plan;
mod read;
mod reduce;
mod result;
mod sets;
mod sides;
mod slide;
mod summed;
mod top;
mod values;

use std::collections::HashSet;
use std::sync::Arc;

use model::Matcher;
use storage::{Batch, BatchSelect, Batches, BoxFuture, Budget, QueryError, Select, TimeRange};

pub(crate) use self::dense::Dense;
use self::each::with_scalar;
pub(super) use self::each::{is_of_numbers, is_there, only_values};
use self::kernel::{Context, Function};
pub(super) use self::kernel::{absent, present};
pub(super) use self::plan::Fragment;
use self::plan::{Source, Stage};
use self::read::Reader;
use super::Evaluator;
use super::column::{Grid, is_metadata};
use super::selector::{Reference, merge_coverage};
use crate::ast::{Aggregate, Expr, ValueType};
use crate::engine::EvalError;
use crate::operator::AggregateOp;
use crate::position::PosRange;

/// Bytes that batches may hold for each sample that a query may hold.
const BYTES_PER_SAMPLE: usize = 16;
/// Bytes that they may hold in any case: a block is decoded whole, also for a few of its samples.
const BYTES_MIN: usize = 64 << 20;

/// What is asked of the store, and the windows of all steps.
struct Asked {
    range: TimeRange,
    bounds: Vec<(i64, i64)>,
    times: Vec<i64>,
}

impl Evaluator<'_> {
    /// Evaluates a part of a query group by group; none where it must be evaluated series by series.
    pub(super) fn columnar<'a>(
        &'a mut self,
        fragment: &'a Fragment<'_>,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Option<Dense>, EvalError>> {
        Box::pin(self.fragment(fragment, grid))
    }

    async fn fragment(&mut self, fragment: &Fragment<'_>, grid: Grid) -> Result<Option<Dense>, EvalError> {
        if grid.len() == 0 {
            return Ok(None);
        }
        let before = self.held;
        let Some(mut dense) = self.read(fragment, grid).await? else { return Ok(None) };
        self.held = before;
        self.hold(dense.cells())?;
        self.apply(fragment, &mut dense, before, grid).await?;
        match fragment.aggregate {
            Some(node) => self.aggregate_dense(node, &dense, grid).await.map(Some),
            None => {
                order::put_in_order(&mut dense);
                Ok(Some(dense))
            }
        }
    }

    fn asked(&self, source: &Source<'_>, grid: Grid) -> Result<Asked, EvalError> {
        let selector = source.selector();
        let offset = self.offset(selector.offset_ms, selector.offset_expr.as_deref())?;
        let reference = Reference { pinned: self.pinned(selector.at), offset };
        let length = match source {
            Source::Newest(_) => self.lookback,
            Source::Windows { matrix, .. } => self.length(matrix.range_ms, matrix.range_expr.as_deref())?,
        };
        let times: Vec<i64> = (0..grid.len()).map(|step| grid.time(step)).collect();
        let bound = |time: &i64| (reference.at(*time) - length, reference.at(*time));
        let bounds: Vec<(i64, i64)> = times.iter().map(bound).collect();
        let (first, last) = (bounds[0].0, bounds[bounds.len() - 1].1);
        Ok(Asked { range: TimeRange { start: first + 1, end: last }, bounds, times })
    }

    /// What a source gives; none where it must be read series by series. Then nothing was noted or counted.
    async fn read(&mut self, fragment: &Fragment<'_>, grid: Grid) -> Result<Option<Dense>, EvalError> {
        let asked = self.asked(&fragment.source, grid)?;
        let (function, params, pos) = match &fragment.source {
            Source::Newest(selector) => (Function::Newest, Vec::new(), selector.pos),
            Source::Windows { function, call, .. } => {
                let pos = call.args.first().map_or(call.pos, |arg| arg.unwrap_parens().pos());
                (*function, self.params(&call.args, grid).await?, pos)
            }
        };
        let matchers = fragment.source.selector().matchers.clone();
        if function.asks_for_starts() && self.has_starts(&matchers, asked.range).await? {
            return Ok(None);
        }
        let bytes = self.samples_max.saturating_sub(self.held).saturating_mul(BYTES_PER_SAMPLE);
        let budget = Budget::new(bytes.max(BYTES_MIN));
        let newest = function == Function::Newest && grid.len() == 1;
        let select = BatchSelect { matchers, range: asked.range, budget, newest };
        let querier = self.querier;
        let mut batches = querier.batches(select).await.map_err(failed)?;
        let mut notes = std::mem::take(&mut self.notes);
        let Asked { bounds, times, .. } = &asked;
        let context = Context { bounds, times, params: &params, pos, notes: &mut notes };
        let mut reader = Reader::new(function, context);
        reader.keeps_zeros = fragment.stages.is_empty();
        let is_read = self.groups(batches.as_mut(), &mut reader).await;
        let Reader { mut dense, read, looked_at, .. } = reader;
        self.notes = notes;
        if !is_read? {
            return Ok(None);
        }
        dense.is_unnamed = fragment.drops_name() && !self.delayed_name_removal;
        let drop_name = fragment.drops_name();
        dense.rows.iter_mut().for_each(|row| row.drop_name = drop_name);
        // Looked for before anything is left out: whether that is an error depends on where names go.
        if dense.is_unnamed
            && (!fragment.has_one_name() || dense.has_metadata_labels())
            && order::any_alike(&dense, |name| !is_metadata(name))
        {
            return Ok(None);
        }
        self.stats.samples_read += read;
        self.stats.total_samples += looked_at;
        merge_coverage(&mut self.coverage, batches.coverage());
        if function.wants_counters() {
            self.name_gauges(&dense, fragment.has_one_name(), pos);
        }
        Ok(Some(dense))
    }

    /// Whether it is known when counters began, and that counts.
    async fn has_starts(&self, matchers: &[Matcher], range: TimeRange) -> Result<bool, EvalError> {
        if !self.use_start_timestamps {
            return Ok(false);
        }
        let select = Select { matchers: matchers.to_vec(), range, samples_max: usize::MAX };
        Ok(!self.querier.starts(select).await.map_err(failed)?.is_empty())
    }

    /// Reads all groups; false at the first histogram.
    async fn groups(
        &mut self,
        batches: &mut dyn Batches,
        reader: &mut Reader<'_>,
    ) -> Result<bool, EvalError> {
        let mut group: Vec<Batch> = Vec::new();
        loop {
            let next = batches.next().await.map_err(failed)?;
            if next.as_ref().is_some_and(|batch| batch.is_histograms) {
                return Ok(false);
            }
            let ends = group.first().is_some_and(|first| {
                next.as_ref().is_none_or(|next| !Arc::ptr_eq(&next.group, &first.group))
            });
            if ends {
                let before = self.held;
                let cells = self.group(&group, reader, before).await?;
                self.held = before;
                self.hold(cells)?;
                group.clear();
            }
            match next {
                Some(batch) => group.push(batch),
                None => return Ok(true),
            }
        }
    }

    /// Reads one group, series by series, so that others may run and the query may end between two of them. Gives
    /// how many results there are.
    async fn group(
        &mut self,
        batches: &[Batch],
        reader: &mut Reader<'_>,
        before: usize,
    ) -> Result<usize, EvalError> {
        let places = reader.begin(batches);
        let (start, mut seen, mut cells) = (reader.read, reader.looked_at, 0);
        for series in 0..places.series() {
            cells += reader.series(batches, &places, series)?;
            self.held = before;
            self.hold((reader.read - start) as usize)?;
            self.tick((reader.looked_at - std::mem::replace(&mut seen, reader.looked_at)) as usize).await;
        }
        Ok(cells)
    }

    /// The scalar arguments at each step.
    async fn params(&mut self, args: &[Expr], grid: Grid) -> Result<Vec<Vec<f64>>, EvalError> {
        let mut params = Vec::new();
        for arg in args.iter().filter(|arg| arg.value_type() == ValueType::Scalar) {
            params.push(self.scalar(arg, grid).await?);
        }
        Ok(params)
    }

    /// Notes what does not look like a counter.
    fn name_gauges(&mut self, dense: &Dense, has_one_name: bool, pos: PosRange) {
        let mut told: HashSet<(&str, &str)> = HashSet::new();
        for row in &dense.rows {
            let kind = if self.type_and_unit_labels { dense.label(row, "__type__") } else { "" };
            let metric = dense.label(row, model::METRIC_NAME);
            if !metric.is_empty() && told.insert((metric, kind)) {
                self.possible_non_counter(metric, kind, pos);
            }
            if has_one_name && !self.type_and_unit_labels {
                break;
            }
        }
    }

    /// Does to each number what the stages say; `before` is what was held without them.
    async fn apply(
        &mut self,
        fragment: &Fragment<'_>,
        dense: &mut Dense,
        before: usize,
        grid: Grid,
    ) -> Result<(), EvalError> {
        for stage in &fragment.stages {
            match stage {
                Stage::Negate => dense.map(|_, value| present(-value)),
                Stage::Apply(function) => dense.map(|_, value| present(function(value))),
                Stage::Scalar { node, scalar, swapped } => {
                    let values = self.scalar(scalar, grid).await?;
                    dense.map(|step, value| with_scalar(node, value, values[step], *swapped));
                    dense.trim();
                }
            }
            // Scalars are not held any more.
            self.held = before;
            self.hold(dense.cells())?;
            self.tick(dense.cells()).await;
        }
        Ok(())
    }

    async fn aggregate_dense(
        &mut self,
        node: &Aggregate,
        dense: &Dense,
        grid: Grid,
    ) -> Result<Dense, EvalError> {
        let Some(param) = &node.param else { return self.reduce_dense(node, &[], dense, grid).await };
        let values = self.scalar(param, grid).await?;
        let pos = param.unwrap_parens().pos();
        if node.op == AggregateOp::Quantile {
            for value in &values {
                self.notes.invalid_quantile(*value, pos);
            }
            return self.reduce_dense(node, &values, dense, grid).await;
        }
        self.check_parameter(node.op, &values, pos)?;
        self.top_dense(node, &values, dense, grid).await
    }
}

fn failed(error: QueryError) -> EvalError {
    match error {
        QueryError::Limit(_) => EvalError::too_many_samples(),
        other => EvalError::Storage(other),
    }
}
