//! Functions over a window: dispatch, and the `…_over_time` family.

use std::sync::Arc;

use model::{FloatHistogram, METRIC_NAME, Sample};
use storage::BoxFuture;

use super::Evaluator;
use super::cell::Cell;
use super::column::{Column, Grid, Operand, same_labelset};
use super::columnar::is_there;
use super::kahan::{Kahan, Mean, quantile};
use super::points::looked_at;
use super::rate::{self, Kind, seconds};
use super::window::{RangeSeries, Ranges, Window};
use super::{extended, over_time_histograms};
use crate::annotation::Annotations;
use crate::ast::{Call, Expr, ValueType};
use crate::engine::EvalError;

/// Evaluates one window.
fn value(name: &str, window: &Window<'_>, notes: &mut Annotations) -> Result<Option<Cell>, EvalError> {
    let points = window.points;
    let number = |value: f64| Some(Cell::Float(value));
    Ok(match name {
        "rate" => rate::extrapolated(window, Kind::Rate, notes),
        "increase" => rate::extrapolated(window, Kind::Increase, notes),
        "delta" => rate::extrapolated(window, Kind::Delta, notes),
        "irate" => rate::last_two(window, true, notes),
        "idelta" => rate::last_two(window, false, notes),
        "changes" => rate::changes(window).map(Cell::Float),
        "resets" => rate::resets(window).map(Cell::Float),
        "count_over_time" => number(points.len() as f64),
        "present_over_time" | "absent_over_time" => number(1.0),
        "first_over_time" => Some(points[0].value.clone()),
        "last_over_time" => Some(points[points.len() - 1].value.clone()),
        "ts_of_first_over_time" => number(seconds(points[0].timestamp)),
        "ts_of_last_over_time" => number(seconds(points[points.len() - 1].timestamp)),
        "sum_over_time" | "avg_over_time" => {
            if window.histograms.is_empty() {
                number(total(name, window.floats))
            } else if window.floats.is_empty() {
                over_time_histograms::total(name == "avg_over_time", window, notes).map(Cell::from)
            } else {
                notes.mixed_range(window.labels.metric_name(), window.pos);
                None
            }
        }
        _ => {
            let value = of_numbers(name, window, notes)?;
            // A number alone is not enough for some; they pass the histograms over all the same.
            if !window.floats.is_empty() && !window.histograms.is_empty() {
                notes.ignored_in_range(window.labels.metric_name(), window.pos);
            }
            value.map(Cell::Float)
        }
    })
}

fn total(name: &str, samples: &[Sample]) -> f64 {
    if name == "sum_over_time" {
        values(samples).fold(Kahan::default(), Kahan::plus).total()
    } else {
        values(&samples[1..]).fold(Mean::of(samples[0].value), Mean::plus).value()
    }
}

/// Functions that look at numbers only.
pub(super) fn of_numbers(
    name: &str,
    window: &Window<'_>,
    notes: &mut Annotations,
) -> Result<Option<f64>, EvalError> {
    let samples = window.floats;
    if name == "double_exponential_smoothing" {
        return rate::smoothed(window).map_err(EvalError::Execution);
    }
    if samples.is_empty() {
        return Ok(None);
    }
    Ok(match name {
        "deriv" => rate::deriv(samples),
        "predict_linear" => rate::predict_linear(window),
        "min_over_time" => Some(extreme(samples, |new, old| new < old).value),
        "max_over_time" => Some(extreme(samples, |new, old| new > old).value),
        "ts_of_min_over_time" => Some(seconds(extreme(samples, |new, old| new <= old).timestamp)),
        "ts_of_max_over_time" => Some(seconds(extreme(samples, |new, old| new >= old).timestamp)),
        "stdvar_over_time" => Some(variance(samples)),
        "stddev_over_time" => Some(variance(samples).sqrt()),
        "quantile_over_time" => {
            notes.invalid_quantile(window.params[0], window.pos);
            Some(quantile(window.params[0], &mut values(samples).collect::<Vec<_>>()))
        }
        "mad_over_time" => Some(median_deviation(samples)),
        other => return Err(EvalError::Execution(format!("function {other} takes no range vector"))),
    })
}

fn values(samples: &[Sample]) -> impl Iterator<Item = f64> + '_ {
    samples.iter().map(|sample| sample.value)
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
        let name = node.function.name;
        if let Expr::Matrix(matrix) = node.args[at].unwrap_parens()
            && let Some(refusal) = extended::refusal(name, matrix.selector.border)
        {
            return Err(EvalError::Execution(refusal));
        }
        let mut params = Vec::new();
        for (other, arg) in node.args.iter().enumerate() {
            if other != at && arg.value_type() == ValueType::Scalar {
                params.push(self.scalar(arg, grid).await?);
            }
        }
        let starts = matches!(name, "rate" | "irate" | "increase" | "resets");
        let ranges = match node.args[at].unwrap_parens() {
            Expr::Matrix(_) if name == "absent_over_time" && !self.series_by_series => {
                if let Some(there) = self.range_is_there(node, grid).await? {
                    return Ok(Operand::Vector(absent_where_none(&there, &node.args[at])));
                }
                self.ranges(&node.args[at], grid, starts).await?
            }
            Expr::Subquery(subquery) => {
                let (ranges, found) = self.subquery(subquery, grid).await?;
                match self.subquery_call(node, at, ranges, found, &params, grid).await? {
                    Ok(result) => return Ok(result),
                    Err(ranges) => ranges,
                }
            }
            _ => self.ranges(&node.args[at], grid, starts).await?,
        };
        self.by_windows(node, at, ranges, params, grid).await
    }

    /// The call of a subquery that gave numbers; series where it must be done for one after the other.
    fn subquery_call<'a>(
        &'a mut self,
        node: &'a Call,
        at: usize,
        ranges: Ranges,
        found: Option<(Grid, Operand)>,
        params: &'a [Vec<f64>],
        grid: Grid,
    ) -> BoxFuture<'a, Result<Result<Operand, Ranges>, EvalError>> {
        Box::pin(async move {
            let Some((inner, operand)) = found else { return Ok(Err(ranges)) };
            if let Operand::Dense(dense) = &operand
                && let Some(result) = self.windows_of(node, &ranges, (inner, dense), params, grid).await?
            {
                if node.function.name != "absent_over_time" {
                    return Ok(Ok(Operand::Dense(result)));
                }
                let there = is_there(&result, grid);
                return Ok(Ok(Operand::Vector(absent_where_none(&there, &node.args[at]))));
            }
            Ok(Err(ranges.with(inner, operand.into_columns(&node.args[at])?)))
        })
    }

    /// One series after the other.
    fn by_windows<'a>(
        &'a mut self,
        node: &'a Call,
        at: usize,
        ranges: Ranges,
        params: Vec<Vec<f64>>,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Operand, EvalError>> {
        Box::pin(async move {
            let mut columns = Vec::new();
            for series in &ranges.series {
                let column = self.range_series(node, &ranges, series, &params, grid).await?;
                if !column.is_empty() {
                    self.hold(column.cells())?;
                    columns.push(column);
                }
            }
            if node.function.name == "absent_over_time" {
                let there = any_there(&columns, grid);
                return Ok(Operand::Vector(absent_where_none(&there, &node.args[at])));
            }
            if !self.delayed_name_removal && duplicate_labels(&columns) {
                return Err(same_labelset());
            }
            Ok(Operand::Vector(columns))
        })
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
        let mut numbers = false;
        // Reused, so that no step allocates.
        let mut floats: Vec<Sample> = Vec::new();
        let mut histograms: Vec<(i64, &Arc<FloatHistogram>)> = Vec::new();
        for step in 0..grid.len() {
            let time = grid.time(step);
            let (start, end) = ranges.window(time);
            let points = ranges.points(series, time);
            if points.is_empty() {
                continue;
            }
            floats.clear();
            histograms.clear();
            for point in points {
                match &point.value {
                    Cell::Float(value) => floats.push(Sample::new(point.timestamp, *value)),
                    Cell::Histogram(histogram) => histograms.push((point.timestamp, histogram)),
                }
            }
            self.look_at(looked_at(points), step);
            let params: Vec<f64> = params.iter().map(|values| values[step]).collect();
            let window = Window {
                points,
                floats: &floats,
                histograms: &histograms,
                labels: &series.labels,
                start,
                end,
                time,
                border: ranges.border,
                params: &params,
                pos,
            };
            if let Some(value) = value(name, &window, &mut self.notes)? {
                numbers |= value.float().is_some();
                column.push(step, value);
            }
            self.tick(points.len()).await;
        }
        let metric = series.labels.metric_name();
        if matches!(name, "rate" | "increase") && numbers && !metric.is_empty() {
            let kind = series.labels.value("__type__");
            self.possible_non_counter(metric, kind, pos);
        }
        // These two act like `offset`: what they give still is the metric.
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
        Ok(if keeps_name { column } else { self.unnamed(column) })
    }

    /// Notes that a metric may be no counter, by its type's label or by its name.
    pub(super) fn possible_non_counter(&mut self, metric: &str, kind: &str, pos: crate::PosRange) {
        if self.type_and_unit_labels {
            if !matches!(kind, "counter" | "histogram") {
                self.notes.not_typed_counter(metric, kind, pos);
            }
        } else if !looks_like_counter(metric) {
            self.notes.possible_non_counter(metric, pos);
        }
    }
}

fn duplicate_labels(columns: &[Column]) -> bool {
    let mut seen = std::collections::HashSet::with_capacity(columns.len());
    !columns.iter().all(|column| seen.insert(&column.labels))
}

/// Whether any column has a value, at each step.
pub(super) fn any_there(columns: &[Column], grid: Grid) -> Vec<bool> {
    (0..grid.len()).map(|step| columns.iter().any(|column| column.get(step).is_some())).collect()
}

/// One series of ones at the steps at which nothing is there.
pub(super) fn absent_where_none(there: &[bool], arg: &Expr) -> Vec<Column> {
    let mut absent = Column::new(absent_labels(arg), false);
    for (step, _) in there.iter().enumerate().filter(|(_, is_there)| !**is_there) {
        absent.push(step, 1.0);
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
