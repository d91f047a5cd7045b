//! How fast counters and gauges move.

use model::Sample;

use super::cell::Cell;
use super::kahan::Kahan;
use super::points::Point;
use super::rate_histograms as histograms;
use super::window::Window;
use crate::annotation::Annotations;
use crate::ast::Border;

/// What kind of difference is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Per second, of a counter.
    Rate,
    /// Over the window, of a counter.
    Increase,
    /// Over the window, of a gauge.
    Delta,
}

pub(super) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// Whether a start time says that the counter was reset between two samples.
pub(super) fn start_reset(before: (i64, i64), after: (i64, i64)) -> bool {
    let ((before_start, before_time), (start, time)) = (before, after);
    if start == 0 || start >= time || start < before_time {
        return false;
    }
    if start > before_time {
        return true;
    }
    // It began at the sample before: deltas do so, but so does a counter whose first start was unknown.
    before_start <= before_time && before_start != 0 && before_start != before_time
}

/// Whether a counter began before the sample before it was taken, at a time of its own.
pub(super) fn start_overlaps(before: (i64, i64), start: i64) -> bool {
    start != 0 && start < before.1 && start != before.0
}

/// `rate`, `increase` and `delta`: the difference within the window, extrapolated to its borders.
pub(super) fn extrapolated(window: &Window<'_>, kind: Kind, notes: &mut Annotations) -> Option<Cell> {
    let metric = window.labels.metric_name();
    if !window.histograms.is_empty() && !window.floats.is_empty() {
        notes.mixed_range(metric, window.pos);
        return None;
    }
    if window.border != Border::Plain {
        return super::extended::rate(window, kind, notes);
    }
    let times: Vec<(i64, i64)> = window.points.iter().map(|point| (point.start, point.timestamp)).collect();
    let (first, last) = (times[0], times[times.len() - 1]);
    let counter = kind != Kind::Delta;
    let mut result = if window.histograms.is_empty() {
        Some(Cell::Float(difference(window, counter, &times, notes)))
    } else if window.histograms.len() > 1 {
        Some(Cell::from(histograms::difference(window, counter, &times, notes)?))
    } else {
        None
    };
    let mut to_start = seconds(first.1 - window.start);
    let mut to_end = seconds(window.end - last.1);
    let mut sampled = seconds(last.1 - first.1);
    let gap = if times.len() > 1 { sampled / (times.len() - 1) as f64 } else { 0.0 };
    // Closer than this to a border, the series is taken to reach it; farther away, to end half a gap on.
    let threshold = gap * 1.1;
    if counter && first.0 != 0 && first.0 > window.start && first.0 < first.1 {
        // The counter was zero at a known time inside the window: nothing to extrapolate on this side.
        to_start = 0.0;
        sampled = seconds(last.1 - first.0);
        result = Some(histograms::with_first(window, result, notes)?);
    } else if times.len() < 2 {
        return None;
    } else {
        if to_start >= threshold {
            to_start = gap / 2.0;
        }
        if counter {
            // A counter is not extrapolated below zero.
            to_start = to_start.min(to_zero(window, result.as_ref(), sampled).unwrap_or(to_start));
        }
    }
    if to_end >= threshold {
        to_end = gap / 2.0;
    }
    let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    if kind == Kind::Rate {
        factor /= seconds(window.end - window.start);
    }
    Some(match result? {
        Cell::Float(value) => Cell::Float(value * factor),
        Cell::Histogram(histogram) => {
            let mut histogram = (*histogram).clone();
            histogram.multiply(factor);
            histogram.into()
        }
    })
}

/// The difference of a window's numbers.
fn difference(window: &Window<'_>, counter: bool, times: &[(i64, i64)], notes: &mut Annotations) -> f64 {
    let samples = window.floats;
    let mut difference = samples[samples.len() - 1].value - samples[0].value;
    if !counter {
        return difference;
    }
    let mut overlapped = false;
    for (at, pair) in samples.windows(2).enumerate() {
        let (before, after) = (times[at], times[at + 1]);
        if !overlapped && start_overlaps(before, after.0) {
            notes.start_overlap(window.labels.metric_name(), window.pos);
            overlapped = true;
        }
        if pair[1].value < pair[0].value || start_reset(before, after) {
            difference += pair[0].value;
        }
    }
    difference
}

/// Seconds before the first sample at which the counter was zero, if it grew evenly.
fn to_zero(window: &Window<'_>, result: Option<&Cell>, sampled: f64) -> Option<f64> {
    let (first, grown) = match result? {
        Cell::Float(grown) => (window.floats[0].value, *grown),
        Cell::Histogram(grown) => (window.histograms[0].1.count, grown.count),
    };
    (grown > 0.0 && first >= 0.0).then(|| sampled * (first / grown))
}

/// `irate` (per second, of a counter) and `idelta`: the difference of the last two samples.
pub(super) fn last_two(window: &Window<'_>, rate: bool, notes: &mut Annotations) -> Option<Cell> {
    let [.., before, last] = window.points else { return None };
    let interval = last.timestamp - before.timestamp;
    if interval == 0 {
        return None;
    }
    let reset = rate && start_reset((before.start, before.timestamp), (last.start, last.timestamp));
    let difference = match (&before.value, &last.value) {
        (Cell::Float(from), Cell::Float(to)) => {
            let reset = reset || rate && to < from;
            Cell::Float(if reset { *to } else { to - from })
        }
        (Cell::Histogram(from), Cell::Histogram(to)) => {
            histograms::last_two(window, (from, to), rate, reset, notes)?.into()
        }
        _ => {
            notes.mixed_range(window.labels.metric_name(), window.pos);
            return None;
        }
    };
    if !rate {
        return Some(difference);
    }
    Some(match difference {
        Cell::Float(value) => Cell::Float(value / seconds(interval)),
        Cell::Histogram(histogram) => {
            let mut histogram = (*histogram).clone();
            histogram.divide(seconds(interval));
            histogram.into()
        }
    })
}

/// The samples that `changes` and `resets` compare: an anchored window begins with the last one before it.
fn compared<'w>(window: &Window<'w>) -> Option<&'w [Point]> {
    if window.border != Border::Anchored {
        return Some(window.points);
    }
    let last = window.points.last()?;
    if last.timestamp <= window.start {
        return None;
    }
    let after = window.points.partition_point(|point| point.timestamp <= window.start);
    Some(&window.points[after.saturating_sub(1)..])
}

/// `changes`: how often the value became another.
pub(super) fn changes(window: &Window<'_>) -> Option<f64> {
    let changed = |pair: &&[Point]| match (&pair[0].value, &pair[1].value) {
        (Cell::Float(before), Cell::Float(after)) => before != after && !(before.is_nan() && after.is_nan()),
        (Cell::Histogram(before), Cell::Histogram(after)) => !after.same_data(before),
        _ => true,
    };
    Some(compared(window)?.windows(2).filter(changed).count() as f64)
}

/// `resets`: how often the value fell.
pub(super) fn resets(window: &Window<'_>) -> Option<f64> {
    let reset = |pair: &&[Point]| {
        let (before, after) = (&pair[0], &pair[1]);
        let started = start_reset((before.start, before.timestamp), (after.start, after.timestamp));
        started
            || match (&before.value, &after.value) {
                (Cell::Float(before), Cell::Float(after)) => after < before,
                (Cell::Histogram(before), Cell::Histogram(after)) => after.is_reset_after(before),
                _ => true,
            }
    };
    Some(compared(window)?.windows(2).filter(reset).count() as f64)
}

/// `deriv`: the slope of the regression line, per second.
pub(super) fn deriv(samples: &[Sample]) -> Option<f64> {
    let [first, _, ..] = samples else { return None };
    // A nearby origin keeps the arithmetic exact.
    Some(regression(samples, first.timestamp).0)
}

/// `predict_linear`: the regression line's value so many seconds after the step's time.
pub(super) fn predict_linear(window: &Window<'_>) -> Option<f64> {
    if window.floats.len() < 2 {
        return None;
    }
    let (slope, intercept) = regression(window.floats, window.time);
    Some(slope * window.params[0] + intercept)
}

/// Slope and value at `origin` of the least-squares line.
fn regression(samples: &[Sample], origin: i64) -> (f64, f64) {
    let first = samples[0].value;
    if samples[1..].iter().all(|sample| sample.value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let count = samples.len() as f64;
    let [mut x, mut y, mut xy, mut xx] = [Kahan::default(); 4];
    for sample in samples {
        let at = seconds(sample.timestamp - origin);
        x = x.plus(at);
        y = y.plus(sample.value);
        xy = xy.plus(at * sample.value);
        xx = xx.plus(at * at);
    }
    let [x, y, xy, xx] = [x, y, xy, xx].map(|sum| sum.sum + sum.lost);
    let slope = (xy - x * y / count) / (xx - x * x / count);
    (slope, y / count - slope * x / count)
}

/// `double_exponential_smoothing`: the last smoothed value.
pub(super) fn smoothed(window: &Window<'_>) -> Result<Option<f64>, String> {
    let (smoothing, trend) = (window.params[0], window.params[1]);
    if smoothing <= 0.0 || smoothing >= 1.0 {
        return Err(format!("invalid smoothing factor. Expected: 0 < sf < 1, got: {smoothing:.6}"));
    }
    if trend <= 0.0 || trend >= 1.0 {
        return Err(format!("invalid trend factor. Expected: 0 < tf < 1, got: {trend:.6}"));
    }
    let [first, second, ..] = window.floats else { return Ok(None) };
    let (mut before, mut level) = (0.0, first.value);
    let mut slope = second.value - first.value;
    for (at, sample) in window.floats[1..].iter().enumerate() {
        if at > 0 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * sample.value + (1.0 - smoothing) * (level + slope);
        (before, level) = (level, next);
    }
    Ok(Some(level))
}
