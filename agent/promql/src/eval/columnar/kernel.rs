//! Functions over windows, a series' numbers at a call: one result a step. What is decided by time alone was
//! decided before, for all series at once. Every result has the very bits that the evaluation series by series gives.

use model::{Labels, Sample, is_stale, stale_nan};

use super::super::over_time;
use super::super::rate::seconds;
use super::super::window::Window;
use super::axis::{Axis, Bounds, Extrapolation};
use super::slide::{self, Slide};
use crate::annotation::Annotations;
use crate::ast::Border;
use crate::engine::EvalError;
use crate::position::PosRange;

/// Stands where there is no number: no arithmetic gives a signalling NaN, and markers are never results.
pub(in super::super) fn absent() -> f64 {
    stale_nan()
}

/// Whether there is no number.
pub(super) fn is_absent(value: f64) -> bool {
    is_stale(value)
}

/// A number that is none of arithmetic's could look as if there were none.
pub(in super::super) fn present(value: f64) -> f64 {
    if is_absent(value) { f64::NAN } else { value }
}

/// A function of a window's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// The newest, unless it is a stale marker: what a selector gives.
    Newest,
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Changes,
    Resets,
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Present,
    First,
    Last,
    /// By its name: as the evaluation series by series has it.
    Named(&'static str),
}

impl Function {
    /// The function of that name, where it is one of numbers.
    pub(super) fn of(name: &'static str) -> Option<Self> {
        Some(match name {
            "rate" => Self::Rate,
            "increase" => Self::Increase,
            "delta" => Self::Delta,
            "irate" => Self::Irate,
            "idelta" => Self::Idelta,
            "changes" => Self::Changes,
            "resets" => Self::Resets,
            "sum_over_time" => Self::Sum,
            "avg_over_time" => Self::Avg,
            "min_over_time" => Self::Min,
            "max_over_time" => Self::Max,
            "count_over_time" => Self::Count,
            "present_over_time" => Self::Present,
            "first_over_time" => Self::First,
            "last_over_time" => Self::Last,
            "stddev_over_time"
            | "stdvar_over_time"
            | "mad_over_time"
            | "quantile_over_time"
            | "deriv"
            | "predict_linear"
            | "double_exponential_smoothing"
            | "ts_of_min_over_time"
            | "ts_of_max_over_time" => Self::Named(name),
            _ => return None,
        })
    }

    /// Whether the result still is the metric.
    pub(super) fn keeps_name(self) -> bool {
        matches!(self, Self::Newest | Self::First | Self::Last)
    }

    /// Whether it could make use of when counters began.
    pub(super) fn asks_for_starts(self) -> bool {
        matches!(self, Self::Rate | Self::Irate | Self::Increase | Self::Resets)
    }

    /// Whether it is meant for counters.
    pub(super) fn wants_counters(self) -> bool {
        matches!(self, Self::Rate | Self::Increase)
    }

    /// What it asks of times.
    pub(super) fn extrapolation(self) -> Extrapolation {
        match self {
            Self::Rate => Extrapolation::PerSecond,
            Self::Increase | Self::Delta => Extrapolation::Whole,
            _ => Extrapolation::None,
        }
    }
}

/// What some functions need besides a series' numbers.
pub(super) struct Context<'a> {
    pub(super) bounds: &'a Bounds,
    /// The steps' times.
    pub(super) times: &'a [i64],
    /// The scalar arguments at each step.
    pub(super) params: &'a [Vec<f64>],
    /// Where the first argument stands.
    pub(super) pos: PosRange,
    pub(super) notes: &'a mut Annotations,
}

/// Memory that is used again for every series.
#[derive(Debug, Default)]
pub(super) struct Room {
    falls: Vec<u32>,
    counts: Vec<u32>,
    samples: Vec<Sample>,
    slide: Slide,
}

/// Fills in what a function gives at each step; without samples in a window there is no number.
pub(super) fn run(
    function: Function,
    axis: &Axis,
    values: &[f64],
    out: &mut [f64],
    room: &mut Room,
    context: &mut Context<'_>,
) -> Result<(), EvalError> {
    match function {
        Function::Newest => each(axis, values, out, |inside| inside[inside.len() - 1]),
        Function::Last => each(axis, values, out, |inside| inside[inside.len() - 1]),
        Function::First => each(axis, values, out, |inside| inside[0]),
        Function::Count => each(axis, values, out, |inside| inside.len() as f64),
        Function::Present => each(axis, values, out, |_| 1.0),
        Function::Sum => slide::totals(axis, values, out, &mut room.slide, false),
        Function::Avg => slide::totals(axis, values, out, &mut room.slide, true),
        Function::Min => extremes(axis, values, out, room, |new, old| new < old),
        Function::Max => extremes(axis, values, out, room, |new, old| new > old),
        Function::Rate | Function::Increase => counter(axis, values, out, &mut room.falls),
        Function::Delta => gauge(axis, values, out),
        Function::Irate => last_two(axis, values, out, true),
        Function::Idelta => last_two(axis, values, out, false),
        Function::Changes => {
            let changes = |before: f64, after: f64| before != after && !(before.is_nan() && after.is_nan());
            pairs(axis, values, out, &mut room.counts, changes);
        }
        Function::Resets => pairs(axis, values, out, &mut room.counts, |before, after| after < before),
        Function::Named(name) => return named(name, axis, values, out, room, context),
    }
    Ok(())
}

/// Rates of a series that does not change have no need of its values.
pub(super) fn run_constant(function: Function, axis: &Axis, value: f64, out: &mut [f64]) -> bool {
    match function {
        Function::Rate | Function::Increase | Function::Delta if value.is_finite() => {
            for ((out, (from, to)), side) in out.iter_mut().zip(&axis.windows).zip(&axis.sides) {
                if to - from >= 2 {
                    *out = 0.0 * side.factor;
                }
            }
        }
        Function::Newest | Function::Last | Function::First | Function::Min | Function::Max => {
            for (out, (from, to)) in out.iter_mut().zip(&axis.windows) {
                if to > from {
                    *out = value;
                }
            }
        }
        Function::Count | Function::Present | Function::Changes | Function::Resets => {
            for (out, (from, to)) in out.iter_mut().zip(&axis.windows) {
                if to > from {
                    *out = match function {
                        Function::Count => f64::from(to - from),
                        Function::Present => 1.0,
                        _ => 0.0,
                    };
                }
            }
        }
        _ => return false,
    }
    true
}

fn each(axis: &Axis, values: &[f64], out: &mut [f64], of: impl Fn(&[f64]) -> f64) {
    for (out, &(from, to)) in out.iter_mut().zip(&axis.windows) {
        if to > from {
            *out = of(&values[from as usize..to as usize]);
        }
    }
}

fn extremes(axis: &Axis, values: &[f64], out: &mut [f64], room: &mut Room, beats: impl Fn(f64, f64) -> bool) {
    if !slide::extremes(axis, values, out, &mut room.slide, &beats) {
        each(axis, values, out, |inside| extreme(inside, &beats));
    }
}

fn extreme(inside: &[f64], beats: impl Fn(f64, f64) -> bool) -> f64 {
    let mut best = inside[0];
    for &value in inside {
        if beats(value, best) || best.is_nan() {
            best = value;
        }
    }
    best
}

/// Differences of a counter, whose falls are added to them.
fn counter(axis: &Axis, values: &[f64], out: &mut [f64], falls: &mut Vec<u32>) {
    falls.clear();
    let fallen = values.windows(2).enumerate().filter(|(_, pair)| pair[1] < pair[0]);
    if values.windows(2).any(|pair| pair[1] < pair[0]) {
        falls.extend(fallen.map(|(at, _)| at as u32));
    }
    let mut next = 0;
    for ((out, &(from, to)), side) in out.iter_mut().zip(&axis.windows).zip(&axis.sides) {
        if to - from < 2 {
            continue;
        }
        let (first, last) = (values[from as usize], values[to as usize - 1]);
        let mut grown = last - first;
        while falls.get(next).is_some_and(|at| *at < from) {
            next += 1;
        }
        for &at in falls[next..].iter().take_while(|at| **at + 1 < to) {
            grown += values[at as usize];
        }
        *out = grown * side.of_counter(first, grown);
    }
}

fn gauge(axis: &Axis, values: &[f64], out: &mut [f64]) {
    for ((out, &(from, to)), side) in out.iter_mut().zip(&axis.windows).zip(&axis.sides) {
        if to - from >= 2 {
            *out = (values[to as usize - 1] - values[from as usize]) * side.factor;
        }
    }
}

fn last_two(axis: &Axis, values: &[f64], out: &mut [f64], rate: bool) {
    for (out, &(from, to)) in out.iter_mut().zip(&axis.windows) {
        if to - from < 2 {
            continue;
        }
        let last = to as usize - 1;
        let (before, after) = (values[last - 1], values[last]);
        if rate {
            let grown = if after < before { after } else { after - before };
            *out = grown / seconds(axis.times[last] - axis.times[last - 1]);
        } else {
            *out = after - before;
        }
    }
}

/// How many neighbours in a window are so.
fn pairs(
    axis: &Axis,
    values: &[f64],
    out: &mut [f64],
    counts: &mut Vec<u32>,
    counts_as_one: impl Fn(f64, f64) -> bool,
) {
    counts.clear();
    counts.push(0);
    let mut count = 0;
    for pair in values.windows(2) {
        count += u32::from(counts_as_one(pair[0], pair[1]));
        counts.push(count);
    }
    for (out, &(from, to)) in out.iter_mut().zip(&axis.windows) {
        if to > from {
            *out = f64::from(counts[to as usize - 1] - counts[from as usize]);
        }
    }
}

fn named(
    name: &str,
    axis: &Axis,
    values: &[f64],
    out: &mut [f64],
    room: &mut Room,
    context: &mut Context<'_>,
) -> Result<(), EvalError> {
    if name == "quantile_over_time"
        && let Some(phi) = context.params.first()
        && slide::quantiles(axis, values, out, &mut room.slide, phi)
    {
        return Ok(());
    }
    room.samples.clear();
    room.samples.extend(axis.times.iter().zip(values).map(|(time, value)| Sample::new(*time, *value)));
    let (labels, mut params) = (Labels::empty(), Vec::new());
    for (step, (out, &(from, to))) in out.iter_mut().zip(&axis.windows).enumerate() {
        if to == from {
            continue;
        }
        params.clear();
        params.extend(context.params.iter().map(|values| values[step]));
        let (start, end) = context.bounds[step];
        let window = Window {
            points: &[],
            floats: &room.samples[from as usize..to as usize],
            histograms: &[],
            labels: &labels,
            start,
            end,
            time: context.times[step],
            border: Border::Plain,
            params: &params,
            pos: context.pos,
        };
        if let Some(value) = over_time::of_numbers(name, &window, context.notes)? {
            *out = present(value);
        }
    }
    Ok(())
}
