//! Quantiles and fractions: from the cumulative buckets of classic histograms, and of native ones.

use std::collections::HashMap;

use model::{BUCKET_LABEL, Labels};

use super::Evaluator;
use super::column::{Column, Grid, Operand};
use super::label::texts;
use super::native;
use super::selector::Resets;
use crate::ast::{Call, Expr};
use crate::engine::EvalError;
use crate::position::PosRange;

/// Counts that differ by less, relatively, count as equal.
const TOLERANCE: f64 = 1e-12;

/// A cumulative bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) upper: f64,
    pub(super) count: f64,
}

/// Where counts fell from one bucket to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fall {
    /// Upper bound of the first bucket that was lifted.
    pub(crate) first: f64,
    /// Upper bound of the last one.
    pub(crate) last: f64,
    /// By how much, at most.
    pub(crate) most: f64,
}

/// Puts buckets in order and joins those with equal bounds; false where the last one is not `+Inf`.
fn put_in_order(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|bucket, before| {
        let is_same = bucket.upper == before.upper;
        if is_same {
            before.count += bucket.count;
        }
        is_same
    });
    true
}

/// Lifts counts so that none is below the one before it; tiny differences go without a word.
fn lift(buckets: &mut [Bucket]) -> Option<Fall> {
    let mut fall: Option<Fall> = None;
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == before {
        } else if almost_equal(before, count) {
            bucket.count = before;
        } else if count < before {
            bucket.count = before;
            let found = fall.get_or_insert(Fall { first: bucket.upper, last: bucket.upper, most: 0.0 });
            found.last = bucket.upper;
            found.most = found.most.max(before - count);
        } else {
            before = count;
        }
    }
    fall
}

fn almost_equal(a: f64, b: f64) -> bool {
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// The φ-quantile, and where counts had to be lifted.
pub(super) fn quantile(phi: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Fall>) {
    if phi.is_nan() {
        return (f64::NAN, None);
    }
    if phi < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if phi > 1.0 {
        return (f64::INFINITY, None);
    }
    if !put_in_order(buckets) {
        return (f64::NAN, None);
    }
    let fall = lift(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 || observations.is_nan() {
        return (f64::NAN, None);
    }
    let rank = phi * observations;
    let at = buckets[..last].partition_point(|bucket| bucket.count < rank);
    if at == last {
        return (buckets[last - 1].upper, fall);
    }
    let bucket = buckets[at];
    if at == 0 && bucket.upper <= 0.0 {
        return (bucket.upper, fall);
    }
    let below = if at == 0 { Bucket { upper: 0.0, count: 0.0 } } else { buckets[at - 1] };
    let share = (rank - below.count) / (bucket.count - below.count);
    (below.upper + (bucket.upper - below.upper) * share, fall)
}

/// The share of observations between two bounds.
pub(super) fn fraction(low: f64, high: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !put_in_order(buckets) {
        return f64::NAN;
    }
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || total.is_nan() || low.is_nan() || high.is_nan() {
        return f64::NAN;
    }
    if low >= high {
        return 0.0;
    }
    (rank_at(high, buckets).min(total) - rank_at(low, buckets).min(total)) / total
}

/// How many observations are below `value`, by interpolation within its bucket.
fn rank_at(value: f64, buckets: &[Bucket]) -> f64 {
    let mut below = 0.0;
    for (at, bucket) in buckets.iter().enumerate() {
        let lower = match at {
            0 if bucket.upper > 0.0 => 0.0,
            0 => f64::NEG_INFINITY,
            _ => buckets[at - 1].upper,
        };
        if lower >= value {
            return below;
        }
        if bucket.upper > value {
            if lower == f64::NEG_INFINITY {
                return bucket.count;
            }
            return below + (bucket.count - below) * (value - lower) / (bucket.upper - lower);
        }
        below = bucket.count;
    }
    f64::INFINITY
}

/// The columns of one classic histogram with their upper bounds.
struct Classic<'c> {
    labels: Labels,
    drop_name: bool,
    columns: Vec<(f64, &'c Column)>,
}

impl Classic<'_> {
    fn buckets(&self, step: usize) -> Vec<Bucket> {
        let bucket = |(upper, column): &(f64, &Column)| {
            column.float(step).map(|count| Bucket { upper: *upper, count })
        };
        self.columns.iter().filter_map(bucket).collect()
    }
}

/// The histograms in a vector.
struct Histograms<'c> {
    /// Classic ones.
    classic: Vec<Classic<'c>>,
    /// Columns that may hold native ones, with the classic histogram of the same labels.
    native: Vec<(&'c Column, Option<usize>)>,
    /// Where the vector stands.
    pos: PosRange,
}

impl Evaluator<'_> {
    /// `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`.
    pub(super) async fn histogram_call(&mut self, node: &Call, grid: Grid) -> Result<Operand, EvalError> {
        let name = node.function.name;
        let several = name == "histogram_quantiles";
        let vector_at = if several { 0 } else { node.args.len() - 1 };
        let scalars = if several { &node.args[2..] } else { &node.args[..vector_at] };
        let mut params = Vec::new();
        for arg in scalars {
            let values = self.scalar(arg, grid).await?;
            for phi in values.iter().filter(|_| name != "histogram_fraction") {
                self.notes.invalid_quantile(*phi, arg.unwrap_parens().pos());
            }
            params.push(values);
        }
        let arg = &node.args[vector_at];
        let operand = self.with_resets(Resets::Kept, arg, grid).await?;
        let fall_pos = node.args.get(1).map_or(arg.pos(), Expr::pos);
        if let Operand::Dense(dense) = &operand {
            return self.quantiles_of(node, dense, &params, fall_pos, grid).await;
        }
        let columns = operand.into_columns(arg)?;
        let histograms = self.histograms(&columns, arg.pos());
        let mut out = Vec::new();
        if let ("histogram_fraction", [low, high]) = (name, &params[..]) {
            let asked = Asked::Fraction { low, high };
            self.ask(&histograms, &asked, fall_pos, grid, &mut out);
        } else {
            for phi in &params {
                let before = out.len();
                self.ask(&histograms, &Asked::Quantile(phi), fall_pos, grid, &mut out);
                if let (true, Some(label)) = (several, texts(&node.args[1..2]).first()) {
                    let value = open_metrics_float(phi.first().copied().unwrap_or(f64::NAN));
                    for column in &mut out[before..] {
                        let mut labels = column.labels.to_builder();
                        labels.set(*label, value.as_str());
                        column.labels = labels.build();
                    }
                }
                self.tick(columns.len() * grid.len()).await;
            }
        }
        Ok(Operand::Vector(self.checked(out)?))
    }

    /// Asks each histogram at each step; falling counts are said to be at `fall_pos`.
    fn ask(
        &mut self,
        histograms: &Histograms<'_>,
        asked: &Asked<'_>,
        fall_pos: PosRange,
        grid: Grid,
        out: &mut Vec<Column>,
    ) {
        // Where a series is a native histogram and has classic buckets too, neither is evaluated.
        let mut both: Vec<Vec<usize>> = vec![Vec::new(); histograms.classic.len()];
        for (column, classic) in &histograms.native {
            let mut result = Column::new(column.labels.clone(), column.drop_name);
            let name = if self.delayed_name_removal { column.labels.metric_name() } else { "" };
            for (step, value) in column.iter() {
                let Some(histogram) = value.histogram() else { continue };
                if let Some(at) = classic.filter(|at| !histograms.classic[*at].buckets(step).is_empty()) {
                    self.notes.mixed_classic_native(column.labels.metric_name(), histograms.pos);
                    both[at].push(step);
                    continue;
                }
                let (value, note) = match asked {
                    Asked::Quantile(phi) => native::quantile(phi[step], histogram),
                    Asked::Fraction { low, high } => native::fraction(low[step], high[step], histogram),
                };
                if let Some(note) = note {
                    self.notes.nan_observations(note, name, histograms.pos);
                }
                result.push(step, value);
            }
            if !result.is_empty() {
                out.push(self.unnamed(result));
            }
        }
        for (classic, both) in histograms.classic.iter().zip(both) {
            let mut result = Column::new(classic.labels.clone(), classic.drop_name);
            let name = if self.delayed_name_removal { classic.labels.metric_name() } else { "" };
            for step in (0..grid.len()).filter(|step| both.binary_search(step).is_err()) {
                let mut buckets = classic.buckets(step);
                if buckets.is_empty() {
                    continue;
                }
                match asked {
                    Asked::Quantile(phi) => {
                        let (value, fall) = quantile(phi[step], &mut buckets);
                        if let Some(fall) = fall {
                            self.notes.forced_monotonicity(name, fall, grid.time(step), fall_pos);
                        }
                        result.push(step, value);
                    }
                    Asked::Fraction { low, high } => {
                        result.push(step, fraction(low[step], high[step], &mut buckets));
                    }
                }
            }
            if !result.is_empty() {
                out.push(self.unnamed(result));
            }
        }
    }

    /// Columns that differ in `le` only, together; and those that hold native histograms.
    fn histograms<'c>(&mut self, columns: &'c [Column], pos: PosRange) -> Histograms<'c> {
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut found = Histograms { classic: Vec::new(), native: Vec::new(), pos };
        for column in columns {
            if column.iter().any(|(_, value)| value.histogram().is_some()) {
                found.native.push((column, None));
            }
            if column.iter().all(|(_, value)| value.float().is_none()) {
                continue;
            }
            let bound = column.labels.value(BUCKET_LABEL);
            let Some(upper) = parse_bound(bound) else {
                self.notes.bad_bucket_label(column.labels.metric_name(), bound, pos);
                continue;
            };
            let labels = column.labels.filtered(|name| name != BUCKET_LABEL);
            let at = *places.entry(labels.clone()).or_insert_with(|| {
                let (drop_name, columns) = (column.drop_name, Vec::new());
                found.classic.push(Classic { labels, drop_name, columns });
                found.classic.len() - 1
            });
            found.classic[at].columns.push((upper, column));
        }
        for (column, classic) in &mut found.native {
            *classic = places.get(&column.labels).copied();
        }
        found
    }
}

/// What is asked of the histograms, at each step.
pub(super) enum Asked<'p> {
    Quantile(&'p [f64]),
    Fraction { low: &'p [f64], high: &'p [f64] },
}

pub(super) fn parse_bound(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// A number as OpenMetrics writes bucket bounds: never without a point or exponent.
pub(super) fn open_metrics_float(value: f64) -> String {
    let text = crate::annotation::general(value);
    let whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if whole { format!("{text}.0") } else { text }
}
