//! How fast counters and gauges move.

use model::Sample;

use super::kahan::Kahan;
use super::window::Window;

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

/// `rate`, `increase` and `delta`: the difference within the window, extrapolated to its borders.
pub(super) fn extrapolated(window: &Window<'_>, kind: Kind) -> Option<f64> {
    let [first, .., last] = window.samples else { return None };
    let counter = kind != Kind::Delta;
    let mut difference = last.value - first.value;
    if counter {
        for pair in window.samples.windows(2) {
            if pair[1].value < pair[0].value {
                difference += pair[0].value;
            }
        }
    }
    let seconds = |millis: i64| millis as f64 / 1000.0;
    let sampled = seconds(last.timestamp - first.timestamp);
    let gap = sampled / (window.samples.len() - 1) as f64;
    // Closer than this to a border, the series is taken to reach it; farther away, to end half a gap on.
    let threshold = gap * 1.1;
    let mut to_start = seconds(first.timestamp - window.start);
    if to_start >= threshold {
        to_start = gap / 2.0;
    }
    if counter && difference > 0.0 && first.value >= 0.0 {
        // A counter is not extrapolated below zero.
        to_start = to_start.min(sampled * (first.value / difference));
    }
    let mut to_end = seconds(window.end - last.timestamp);
    if to_end >= threshold {
        to_end = gap / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if kind == Kind::Rate {
        factor /= seconds(window.end - window.start);
    }
    Some(difference * factor)
}

/// `irate` (per second, of a counter) and `idelta`: the difference of the last two samples.
pub(super) fn last_two(window: &Window<'_>, rate: bool) -> Option<f64> {
    let [.., before, last] = window.samples else { return None };
    let interval = last.timestamp - before.timestamp;
    if interval == 0 {
        return None;
    }
    if !rate {
        return Some(last.value - before.value);
    }
    let reset = last.value < before.value;
    let difference = if reset { last.value } else { last.value - before.value };
    Some(difference / (interval as f64 / 1000.0))
}

/// `changes`: how often the value became another.
pub(super) fn changes(window: &Window<'_>) -> f64 {
    let changed = |pair: &&[Sample]| {
        let (before, after) = (pair[0].value, pair[1].value);
        before != after && !(before.is_nan() && after.is_nan())
    };
    window.samples.windows(2).filter(changed).count() as f64
}

/// `resets`: how often the value fell.
pub(super) fn resets(window: &Window<'_>) -> f64 {
    window.samples.windows(2).filter(|pair| pair[1].value < pair[0].value).count() as f64
}

/// `deriv`: the slope of the regression line, per second.
pub(super) fn deriv(window: &Window<'_>) -> Option<f64> {
    let [first, _, ..] = window.samples else { return None };
    // A nearby origin keeps the arithmetic exact.
    Some(regression(window.samples, first.timestamp).0)
}

/// `predict_linear`: the regression line's value so many seconds after the step's time.
pub(super) fn predict_linear(window: &Window<'_>) -> Option<f64> {
    if window.samples.len() < 2 {
        return None;
    }
    let (slope, intercept) = regression(window.samples, window.time);
    Some(slope * window.params[0] + intercept)
}

/// Slope and value at `origin` of the least-squares line.
fn regression(samples: &[Sample], origin: i64) -> (f64, f64) {
    let first = samples[0].value;
    if samples.iter().all(|sample| sample.value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let count = samples.len() as f64;
    let [mut x, mut y, mut xy, mut xx] = [Kahan::default(); 4];
    for sample in samples {
        let at = (sample.timestamp - origin) as f64 / 1000.0;
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
    let [first, second, ..] = window.samples else { return Ok(None) };
    let (mut before, mut level) = (0.0, first.value);
    let mut slope = second.value - first.value;
    for (at, sample) in window.samples[1..].iter().enumerate() {
        if at > 0 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * sample.value + (1.0 - smoothing) * (level + slope);
        (before, level) = (level, next);
    }
    Ok(Some(level))
}
