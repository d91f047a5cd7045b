//! Anchored and smoothed ranges: values at a window's borders instead of extrapolation.

use std::sync::Arc;

use model::histogram::ResetHint;
use model::{FloatHistogram, Sample};

use super::Evaluator;
use super::cell::Cell;
use super::column::{Column, Grid};
use super::points::{Point, PointSeries};
use super::rate::{Kind, seconds};
use super::rate_histograms::{add, subtract};
use super::selector::Reference;
use super::window::Window;
use crate::annotation::Annotations;
use crate::ast::{Border, VectorSelector};
use crate::position::PosRange;

/// The functions that know an anchored range, as the error names them.
const ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
/// The functions that know a smoothed range.
const SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];

/// Why a function cannot take a range with such borders.
pub(super) fn refusal(function: &str, border: Border) -> Option<String> {
    let (word, known): (_, &[&str]) = match border {
        Border::Plain => return None,
        Border::Anchored => ("anchored", &ANCHORED),
        Border::Smoothed => ("smoothed", &SMOOTHED),
    };
    let names = known.join(", ");
    (!known.contains(&function))
        .then(|| format!("{word} modifier can only be used with: {names} - not with {function}"))
}

/// The first and the last of `count` samples that matter, by their times; none where no sample does.
fn bounds(
    count: usize,
    time: impl Fn(usize) -> i64,
    (start, end): (i64, i64),
    smoothed: bool,
) -> Option<(usize, usize)> {
    let mut last = count.checked_sub(1)?;
    let search =
        |limit: usize, found: &dyn Fn(usize) -> bool| (0..limit).find(|at| found(*at)).unwrap_or(limit);
    let first = search(last, &|at| time(at) > start).saturating_sub(1);
    if smoothed {
        last = search(last, &|at| time(at) >= end);
    }
    (time(last) > start && !(smoothed && time(first) > end)).then_some((first, last))
}

fn interpolate(one: Sample, two: Sample, time: i64, counter: bool) -> f64 {
    let from = if counter && two.value < one.value { 0.0 } else { one.value };
    from + (two.value - from) * (time - one.timestamp) as f64 / (two.timestamp - one.timestamp) as f64
}

fn left(samples: &[Sample], first: usize, start: i64, smoothed: bool, counter: bool) -> f64 {
    match samples.get(first + 1) {
        Some(next) if smoothed && samples[first].timestamp < start => {
            interpolate(samples[first], *next, start, counter)
        }
        _ => samples[first].value,
    }
}

fn right(samples: &[Sample], last: usize, end: i64, smoothed: bool, counter: bool) -> f64 {
    if smoothed && last > 0 && samples[last].timestamp > end {
        return interpolate(samples[last - 1], samples[last], end, counter);
    }
    samples[last].value
}

/// `rate`, `increase` and `delta` over such a range.
pub(super) fn rate(window: &Window<'_>, kind: Kind, notes: &mut Annotations) -> Option<Cell> {
    if !window.histograms.is_empty() {
        return histogram_rate(window, kind, notes).map(Cell::from);
    }
    let (samples, counter) = (window.floats, kind != Kind::Delta);
    let smoothed = window.border == Border::Smoothed;
    let range = (window.start, window.end);
    let (mut first, last) = bounds(samples.len(), |at| samples[at].timestamp, range, smoothed)?;
    let from = left(samples, first, window.start, smoothed, counter);
    let to = right(samples, last, window.end, smoothed, counter);
    let mut difference = to - from;
    if counter {
        let mut end = last + 1;
        if samples[first].timestamp <= window.start {
            first += 1;
        }
        if samples[last].timestamp >= window.end {
            end -= 1;
        }
        let between = samples.get(first..end).unwrap_or_default().iter().map(|sample| sample.value);
        let (mut before, mut lost) = (from, 0.0);
        for value in between.chain([to]) {
            if value < before {
                lost += before;
            }
            before = value;
        }
        difference += lost;
    }
    if kind == Kind::Rate {
        difference /= seconds(window.end - window.start);
    }
    Some(Cell::Float(difference))
}

type At<'w> = (i64, &'w Arc<FloatHistogram>);

/// A histogram at a time between two others; none where they do not go together.
fn between(
    (one_time, one): At<'_>,
    (two_time, two): At<'_>,
    time: i64,
    counter: bool,
    (metric, pos): (&str, PosRange),
    notes: &mut Annotations,
) -> Option<FloatHistogram> {
    if time == one_time {
        return Some((**one).clone());
    }
    let mut result = (**two).clone();
    if time == two_time {
        return Some(result);
    }
    let share = (time - one_time) as f64 / (two_time - one_time) as f64;
    if counter && two.is_reset_after(one) {
        result.multiply(share);
        return Some(result);
    }
    subtract(&mut result, one, metric, pos, notes)?;
    result.multiply(share);
    add(&mut result, one, metric, pos, notes)?;
    Some(result)
}

fn histogram_rate(window: &Window<'_>, kind: Kind, notes: &mut Annotations) -> Option<FloatHistogram> {
    let (all, counter) = (window.histograms, kind != Kind::Delta);
    let named = (window.labels.metric_name(), window.pos);
    let smoothed = window.border == Border::Smoothed;
    let (first, last) = bounds(all.len(), |at| all[at].0, (window.start, window.end), smoothed)?;
    let custom = all[first].1.has_custom_buckets();
    for (_, histogram) in &all[first..=last] {
        if histogram.has_custom_buckets() != custom {
            notes.mixed_schemas(named.0, named.1);
            return None;
        }
        if counter && histogram.reset_hint == ResetHint::Gauge {
            notes.not_counter(named.0, named.1);
        }
    }
    let from = match all.get(first + 1) {
        Some(next) if smoothed && all[first].0 < window.start => {
            between(all[first], *next, window.start, counter, named, notes)?
        }
        _ => (**all[first].1).clone(),
    };
    let to = if smoothed && last > 0 && all[last].0 > window.end {
        between(all[last - 1], all[last], window.end, counter, named, notes)?
    } else {
        (**all[last].1).clone()
    };
    let gauge = |histogram: &FloatHistogram| histogram.reset_hint == ResetHint::Gauge;
    if !counter && (!gauge(&from) || !gauge(&to)) {
        notes.not_gauge(named.0, named.1);
    }
    let mut result = to.clone();
    subtract(&mut result, &from, named.0, named.1, notes)?;
    if counter && let Some(lost) = lost_to_resets(window, (first, last), &from, &to, notes)? {
        add(&mut result, &lost, named.0, named.1, notes)?;
    }
    if kind == Kind::Rate {
        result.divide(seconds(window.end - window.start));
    }
    result.reset_hint = ResetHint::Gauge;
    result.compact(0);
    Some(result)
}

/// What counters held before each reset between the borders' values; the outer none where they do not go together.
#[allow(clippy::option_option, reason = "nothing lost is not the same as no answer")]
fn lost_to_resets(
    window: &Window<'_>,
    (first, last): (usize, usize),
    from: &FloatHistogram,
    to: &FloatHistogram,
    notes: &mut Annotations,
) -> Option<Option<FloatHistogram>> {
    let all = window.histograms;
    let (mut next, mut before) = (first + 1, from);
    // The value at the left border may stem from a reset already.
    if window.border == Border::Smoothed
        && all[first].0 < window.start
        && let Some((_, after)) = all.get(first + 1)
        && after.is_reset_after(all[first].1)
    {
        before = after;
        next += 1;
    }
    if next > last {
        return Some(None);
    }
    let mut lost: Option<FloatHistogram> = None;
    let inner = all[next..last].iter().map(|(_, histogram)| &***histogram);
    for histogram in inner.chain([to]) {
        if histogram.is_reset_after(before) {
            match &mut lost {
                Some(sum) => add(sum, before, window.labels.metric_name(), window.pos, notes)?,
                none => *none = Some(before.clone()),
            }
        }
        before = histogram;
    }
    Some(lost)
}

/// The samples of a range selector that is a whole query, with values at its borders where it has such.
pub(super) fn whole_range(points: &[Point], start: i64, end: i64, border: Border) -> Vec<Point> {
    let inside = |point: &&Point| point.timestamp > start && point.timestamp <= end;
    let numbers = |point: &Point| Some(Sample::new(point.timestamp, point.value.float()?));
    let samples: Option<Vec<Sample>> = points.iter().map(numbers).collect();
    let (Some(samples), true) = (samples, border != Border::Plain) else {
        return points.iter().filter(inside).cloned().collect();
    };
    let smoothed = border == Border::Smoothed;
    let Some((first, last)) = bounds(samples.len(), |at| samples[at].timestamp, (start, end), smoothed)
    else {
        return Vec::new();
    };
    let point = |timestamp, value| Point { timestamp, start: 0, value: Cell::Float(value) };
    let mut out = vec![point(start, left(&samples, first, start, smoothed, false))];
    let inner =
        samples[first..=last].iter().filter(|sample| sample.timestamp > start && sample.timestamp < end);
    out.extend(inner.map(|sample| point(sample.timestamp, sample.value)));
    out.push(point(end, right(&samples, last, end, smoothed, false)));
    out
}

impl Evaluator<'_> {
    /// A selector's values interpolated between its samples.
    pub(super) fn smoothed_column(
        &mut self,
        selector: &VectorSelector,
        mut one: PointSeries,
        reference: Reference,
        grid: Grid,
    ) -> Column {
        one.points.retain(|point| !point.is_stale());
        let named = (one.labels.metric_name(), selector.pos);
        let mut column = Column::new(one.labels.clone(), false);
        for step in 0..grid.len() {
            let time = reference.at(grid.time(step));
            let from = one.points.partition_point(|point| point.timestamp <= time - self.lookback);
            let to = one.points.partition_point(|point| point.timestamp <= time + self.lookback);
            let points = &one.points[from..to];
            self.look_at(points.len() as u64, step);
            let histograms = points.iter().filter(|point| point.value.histogram().is_some()).count();
            if histograms > 0 && histograms < points.len() {
                self.notes.mixed_range(named.0, named.1);
                continue;
            }
            let at = points.partition_point(|point| point.timestamp < time);
            if let Some(value) = interpolated(points, at, time, named, &mut self.notes) {
                column.push(step, value);
            }
        }
        column
    }
}

/// The value at `time` of points of one kind, of which the first at or after it is at `at`.
fn interpolated(
    points: &[Point],
    at: usize,
    time: i64,
    named: (&str, PosRange),
    notes: &mut Annotations,
) -> Option<Cell> {
    if let Some(hit) = points.get(at).filter(|point| point.timestamp == time) {
        return Some(hit.value.clone());
    }
    let before = &points[at.checked_sub(1)?];
    let after = points.get(at);
    match (&before.value, after.map(|after| (&after.value, after.timestamp))) {
        (Cell::Float(_), None) => Some(before.value.clone()),
        (Cell::Float(from), Some((Cell::Float(to), later))) => {
            let (one, two) = (Sample::new(before.timestamp, *from), Sample::new(later, *to));
            Some(Cell::Float(interpolate(one, two, time, false)))
        }
        (Cell::Histogram(held), None) => {
            // What the hint said was about the sample before, not about this value.
            let held = FloatHistogram { reset_hint: ResetHint::Unknown, ..(**held).clone() };
            Some(held.into())
        }
        (Cell::Histogram(from), Some((Cell::Histogram(to), later))) => {
            if from.has_custom_buckets() != to.has_custom_buckets() {
                notes.mixed_schemas(named.0, named.1);
                return None;
            }
            let counter = [from, to].iter().any(|one| one.reset_hint != ResetHint::Gauge);
            between((before.timestamp, from), (later, to), time, counter, named, notes).map(Cell::from)
        }
        _ => None,
    }
}
