//! Functions over a window: dispatch, and the `…_over_time` family.

use model::{METRIC_NAME, Sample};

use super::Evaluator;
use super::column::{Column, Grid, Operand, same_labelset};
use super::kahan::{Kahan, Mean, quantile};
use super::rate::{self, Kind};
use super::window::{RangeSeries, Ranges, Window, inside};
use crate::annotation::Annotations;
use crate::ast::{Call, Expr, ValueType};
use crate::engine::EvalError;

/// Evaluates one window.
fn value(name: &str, window: &Window<'_>, notes: &mut Annotations) -> Result<Option<f64>, EvalError> {
    let samples = window.samples;
    Ok(match name {
        "rate" => rate::extrapolated(window, Kind::Rate),
        "increase" => rate::extrapolated(window, Kind::Increase),
        "delta" => rate::extrapolated(window, Kind::Delta),
        "irate" => rate::last_two(window, true),
        "idelta" => rate::last_two(window, false),
        "deriv" => rate::deriv(window),
        "predict_linear" => rate::predict_linear(window),
        "double_exponential_smoothing" => rate::smoothed(window).map_err(EvalError::Execution)?,
        "changes" => Some(rate::changes(window)),
        "resets" => Some(rate::resets(window)),
        "count_over_time" => Some(samples.len() as f64),
        "present_over_time" | "absent_over_time" => Some(1.0),
        "sum_over_time" => Some(values(samples).fold(Kahan::default(), Kahan::plus).total()),
        "avg_over_time" => Some(values(&samples[1..]).fold(Mean::of(samples[0].value), Mean::plus).value()),
        "min_over_time" => Some(extreme(samples, |new, old| new < old).value),
        "max_over_time" => Some(extreme(samples, |new, old| new > old).value),
        "ts_of_min_over_time" => Some(seconds(extreme(samples, |new, old| new <= old).timestamp)),
        "ts_of_max_over_time" => Some(seconds(extreme(samples, |new, old| new >= old).timestamp)),
        "first_over_time" => Some(samples[0].value),
        "last_over_time" => Some(samples[samples.len() - 1].value),
        "ts_of_first_over_time" => Some(seconds(samples[0].timestamp)),
        "ts_of_last_over_time" => Some(seconds(samples[samples.len() - 1].timestamp)),
        "stdvar_over_time" => Some(variance(samples)),
        "stddev_over_time" => Some(variance(samples).sqrt()),
        "quantile_over_time" => {
            notes.invalid_quantile(window.params[0], window.pos);
            Some(quantile(window.params[0], &mut values(samples).collect::<Vec<_>>()))
        }
        "mad_over_time" => Some(median_deviation(samples)),
        other => {
            return Err(EvalError::Execution(format!("function {other} is not supported by this engine")));
        }
    })
}

fn values(samples: &[Sample]) -> impl Iterator<Item = f64> + '_ {
    samples.iter().map(|sample| sample.value)
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// The sample that beats all others; any number beats NaN.
fn extreme(samples: &[Sample], beats: fn(f64, f64) -> bool) -> Sample {
    let mut best = samples[0];
    for sample in samples {
        if beats(sample.value, best.value) || best.value.is_nan() {
            best = *sample;
        }
    }
    best
}

fn variance(samples: &[Sample]) -> f64 {
    let (mut mean, mut squares, mut count) = (Kahan::default(), Kahan::default(), 0.0);
    for value in values(samples) {
        count += 1.0;
        let delta = value - (mean.sum + mean.lost);
        mean = mean.plus(delta / count);
        squares = squares.plus(delta * (value - (mean.sum + mean.lost)));
    }
    (squares.sum + squares.lost) / count
}

fn median_deviation(samples: &[Sample]) -> f64 {
    let mut all: Vec<f64> = values(samples).collect();
    let median = quantile(0.5, &mut all);
    let mut deviations: Vec<f64> = all.iter().map(|value| (value - median).abs()).collect();
    quantile(0.5, &mut deviations)
}

/// Whether a name says that the series counts.
fn looks_like_counter(name: &str) -> bool {
    ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix))
}

impl Evaluator<'_> {
    /// A call whose argument at `at` is a range vector.
    pub(super) async fn range_call(
        &mut self,
        node: &Call,
        at: usize,
        grid: Grid,
    ) -> Result<Operand, EvalError> {
        let mut params = Vec::new();
        for (other, arg) in node.args.iter().enumerate() {
            if other != at && arg.value_type() == ValueType::Scalar {
                params.push(self.scalar(arg, grid).await?);
            }
        }
        let ranges = self.ranges(&node.args[at], grid).await?;
        let mut columns = Vec::new();
        for series in &ranges.series {
            let column = self.range_series(node, &ranges, series, &params, grid).await?;
            if !column.is_empty() {
                self.hold(column.cells())?;
                columns.push(column);
            }
        }
        if node.function.name == "absent_over_time" {
            return Ok(Operand::Vector(absent_where_none(&columns, &node.args[at], grid)));
        }
        if !self.delayed_name_removal && duplicate_labels(&columns) {
            return Err(same_labelset());
        }
        Ok(Operand::Vector(columns))
    }

    async fn range_series(
        &mut self,
        node: &Call,
        ranges: &Ranges,
        series: &RangeSeries,
        params: &[Vec<f64>],
        grid: Grid,
    ) -> Result<Column, EvalError> {
        let name = node.function.name;
        let pos = node.args[0].unwrap_parens().pos();
        let mut column = Column::new(series.labels.clone(), series.drop_name);
        for step in 0..grid.len() {
            let time = grid.time(step);
            let (start, end) = ranges.window(time);
            let samples = inside(&series.samples, start, end);
            if samples.is_empty() {
                continue;
            }
            self.stats.total_samples += samples.len() as u64;
            let params: Vec<f64> = params.iter().map(|values| values[step]).collect();
            let window = Window { samples, start, end, time, params: &params, pos };
            if let Some(value) = value(name, &window, &mut self.notes)? {
                column.push(step, value);
            }
            self.tick(samples.len()).await;
        }
        let metric = series.labels.metric_name();
        let counts = matches!(name, "rate" | "increase");
        if counts && !column.is_empty() && !metric.is_empty() && !looks_like_counter(metric) {
            self.notes.possible_non_counter(metric, pos);
        }
        // These two act like `offset`: what they give still is the metric.
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
        Ok(if keeps_name { column } else { self.unnamed(column) })
    }
}

fn duplicate_labels(columns: &[Column]) -> bool {
    let mut seen = std::collections::HashSet::with_capacity(columns.len());
    !columns.iter().all(|column| seen.insert(&column.labels))
}

/// One series of ones at the steps at which no column has a value.
pub(super) fn absent_where_none(columns: &[Column], arg: &Expr, grid: Grid) -> Vec<Column> {
    let mut absent = Column::new(absent_labels(arg), false);
    for step in 0..grid.len() {
        if columns.iter().all(|column| column.get(step).is_none()) {
            absent.push(step, 1.0);
        }
    }
    if absent.is_empty() { Vec::new() } else { vec![absent] }
}

/// The labels that the missing series would surely have: those compared with `=` once.
fn absent_labels(arg: &Expr) -> model::Labels {
    let matchers = match arg.unwrap_parens() {
        Expr::Vector(node) => &node.matchers,
        Expr::Matrix(node) => &node.selector.matchers,
        _ => return model::Labels::empty(),
    };
    let mut labels = model::Labels::empty().to_builder();
    let mut seen = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        if matcher.op() == model::MatchOp::Equal && !seen.contains(&matcher.name()) {
            labels.set(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            labels.remove(matcher.name());
        }
    }
    labels.build()
}
