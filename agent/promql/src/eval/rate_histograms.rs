//! How fast native histograms move.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{ResetHint, Schema};

use super::cell::Cell;
use super::rate::{start_overlaps, start_reset};
use super::window::Window;
use crate::annotation::Annotations;

/// The difference of a window's histograms; none where they do not go together.
pub(super) fn difference(
    window: &Window<'_>,
    counter: bool,
    times: &[(i64, i64)],
    notes: &mut Annotations,
) -> Option<FloatHistogram> {
    let all = window.histograms;
    let (metric, pos) = (window.labels.metric_name(), window.pos);
    let (first, last) = (all[0].1, all[all.len() - 1].1);
    let gauge = |histogram: &FloatHistogram| histogram.reset_hint == ResetHint::Gauge;
    if counter && all.iter().any(|(_, histogram)| gauge(histogram)) {
        notes.not_counter(metric, pos);
    }
    let second = all[1].1;
    let blank;
    let mut before: &FloatHistogram = first;
    if counter && (start_reset(times[0], times[1]) || second.is_reset_after(first)) {
        // What the first one holds does not matter, nor how it is laid out.
        blank = FloatHistogram { schema: second.schema.clone(), ..FloatHistogram::default() };
        before = &blank;
    }
    let custom = before.has_custom_buckets();
    let between = if counter { &all[1..all.len() - 1] } else { &[] };
    if last.has_custom_buckets() != custom
        || between.iter().any(|(_, histogram)| histogram.has_custom_buckets() != custom)
    {
        notes.mixed_schemas(metric, pos);
        return None;
    }
    let mut sum = (**last).clone();
    let resolutions = between.iter().map(|(_, histogram)| &***histogram).chain([&**last, before]);
    let coarsest = resolutions.filter_map(|histogram| match histogram.schema {
        Schema::Exponential(resolution) => Some(resolution),
        Schema::Custom(_) => None,
    });
    if let Some(coarsest) = coarsest.min() {
        sum.reduce_resolution(coarsest).ok()?;
    }
    subtract(&mut sum, before, metric, pos, notes)?;
    if counter {
        let mut overlapped = false;
        for at in 1..all.len() {
            if !overlapped && start_overlaps(times[at - 1], times[at].0) {
                notes.start_overlap(metric, pos);
                overlapped = true;
            }
            if start_reset(times[at - 1], times[at]) || all[at].1.is_reset_after(before) {
                add(&mut sum, before, metric, pos, notes)?;
            }
            before = all[at].1;
        }
    } else if !gauge(first) || !gauge(last) {
        notes.not_gauge(metric, pos);
    }
    sum.reset_hint = ResetHint::Gauge;
    sum.compact(0);
    Some(sum)
}

/// The result with the first sample added, as if one of zero stood before it.
pub(super) fn with_first(window: &Window<'_>, result: Option<Cell>, notes: &mut Annotations) -> Option<Cell> {
    Some(match result {
        Some(Cell::Float(value)) => Cell::Float(value + window.floats[0].value),
        Some(Cell::Histogram(sum)) => {
            let mut sum = (*sum).clone();
            add(&mut sum, window.histograms[0].1, window.labels.metric_name(), window.pos, notes)?;
            sum.into()
        }
        None => Cell::Histogram(Arc::clone(window.histograms[0].1)),
    })
}

/// The difference of two histograms for `irate` and `idelta`.
pub(super) fn last_two(
    window: &Window<'_>,
    (from, to): (&FloatHistogram, &FloatHistogram),
    rate: bool,
    started: bool,
    notes: &mut Annotations,
) -> Option<FloatHistogram> {
    let (metric, pos) = (window.labels.metric_name(), window.pos);
    let gauges = [from, to].map(|histogram| histogram.reset_hint == ResetHint::Gauge);
    if rate && gauges.contains(&true) {
        notes.not_counter(metric, pos);
    }
    if !rate && gauges.contains(&false) {
        notes.not_gauge(metric, pos);
    }
    let mut result = to.clone();
    if !rate || !started && !to.is_reset_after(from) {
        subtract(&mut result, from, metric, pos, notes)?;
    }
    result.reset_hint = ResetHint::Gauge;
    result.compact(0);
    Some(result)
}

/// Adds in place; none where the two do not go together.
pub(super) fn add(
    sum: &mut FloatHistogram,
    other: &FloatHistogram,
    metric: &str,
    pos: crate::PosRange,
    notes: &mut Annotations,
) -> Option<()> {
    let Ok(merged) = sum.add(other) else {
        notes.mixed_schemas(metric, pos);
        return None;
    };
    if merged.bounds_reconciled {
        notes.reconciled("addition", pos);
    }
    Some(())
}

/// Subtracts in place; none where the two do not go together.
pub(super) fn subtract(
    sum: &mut FloatHistogram,
    other: &FloatHistogram,
    metric: &str,
    pos: crate::PosRange,
    notes: &mut Annotations,
) -> Option<()> {
    let Ok(merged) = sum.subtract(other) else {
        notes.mixed_schemas(metric, pos);
        return None;
    };
    if merged.bounds_reconciled {
        notes.reconciled("subtraction", pos);
    }
    Some(())
}
