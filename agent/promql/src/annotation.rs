//! What a query's answer says besides its value: warnings and infos in Prometheus's words.

use std::collections::{BTreeMap, BTreeSet};

use crate::eval::{Fall, rfc3339};
use crate::position::PosRange;
use crate::quote::quote;

/// Further texts are dropped: an answer names that many different ones.
const TEXTS_MAX: usize = 1000;

/// Warnings and infos, each once.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    warnings: BTreeSet<String>,
    infos: BTreeSet<String>,
    /// By metric name and place.
    falls: BTreeMap<(String, String), Falls>,
}

/// What was lifted at several steps.
#[derive(Debug)]
struct Falls {
    fall: Fall,
    first_time: i64,
    last_time: i64,
    count: usize,
}

impl Annotations {
    fn warn(&mut self, text: &str, pos: PosRange) {
        if self.warnings.len() < TEXTS_MAX {
            self.warnings.insert(format!("PromQL warning: {text} ({pos})"));
        }
    }

    fn info(&mut self, text: &str, pos: PosRange) {
        if self.infos.len() < TEXTS_MAX {
            self.infos.insert(format!("PromQL info: {text} ({pos})"));
        }
    }

    /// How much came up so far.
    pub(crate) fn count(&self) -> usize {
        let falls: usize = self.falls.values().map(|falls| falls.count).sum();
        self.warnings.len() + self.infos.len() + falls
    }

    /// The warnings and the infos, in order of text.
    pub(crate) fn into_texts(mut self) -> (Vec<String>, Vec<String>) {
        for ((metric, pos), falls) in &self.falls {
            let head = with_metric(MONOTONICITY.to_owned(), metric);
            let Fall { first, last, most } = falls.fall;
            self.infos.insert(format!(
                "PromQL info: {head}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {} ({pos})",
                general(first),
                general(last),
                general(two_digits(most)),
                falls.count,
                rfc3339(falls.first_time / 1000),
                rfc3339(falls.last_time / 1000),
            ));
        }
        (self.warnings.into_iter().collect(), self.infos.into_iter().collect())
    }

    /// A φ outside 0 to 1.
    pub(crate) fn invalid_quantile(&mut self, quantile: f64, pos: PosRange) {
        if !(0.0..=1.0).contains(&quantile) {
            let got = general(quantile);
            self.warn(&format!("quantile value should be between 0 and 1, got {got}"), pos);
        }
    }

    /// A ratio outside -1 to 1.
    pub(crate) fn invalid_ratio(&mut self, ratio: f64, used: f64, pos: PosRange) {
        let (got, used) = (general(ratio), general(used));
        let text = format!("ratio value should be between -1 and 1, got {got}, capping to {used}");
        self.warn(&text, pos);
    }

    /// A bucket whose `le` is no number.
    pub(crate) fn bad_bucket_label(&mut self, metric: &str, value: &str, pos: PosRange) {
        let text = format!("bucket label \"le\" is missing or has a malformed value of {}", quote(value));
        self.warn(&with_metric(text, metric), pos);
    }

    /// A rate of what does not look like a counter.
    pub(crate) fn possible_non_counter(&mut self, metric: &str, pos: PosRange) {
        let name = quote(metric);
        let text =
            format!("metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name}");
        self.info(&text, pos);
    }

    /// A rate of what is labelled with another type.
    pub(crate) fn not_typed_counter(&mut self, metric: &str, kind: &str, pos: PosRange) {
        let (name, kind) = (quote(metric), quote(kind));
        let text = format!(
            "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {kind}: {name}"
        );
        self.info(&text, pos);
    }

    /// Bucket counts that fell, at a time in milliseconds since the Unix epoch.
    pub(crate) fn forced_monotonicity(&mut self, metric: &str, fall: Fall, time: i64, pos: PosRange) {
        let key = (metric.to_owned(), pos.to_string());
        if self.falls.len() >= TEXTS_MAX && !self.falls.contains_key(&key) {
            return;
        }
        let falls =
            self.falls.entry(key).or_insert(Falls { fall, first_time: time, last_time: time, count: 0 });
        falls.fall.first = falls.fall.first.min(fall.first);
        falls.fall.last = falls.fall.last.max(fall.last);
        falls.fall.most = falls.fall.most.max(fall.most);
        falls.first_time = falls.first_time.min(time);
        falls.last_time = falls.last_time.max(time);
        falls.count += 1;
    }

    /// A sort whose order a range query does not show.
    pub(crate) fn sort_in_range_query(&mut self) {
        let text = "sort is ineffective for range queries since results are always ordered by labels";
        self.warnings.insert(format!("PromQL warning: {text}"));
    }

    /// Numbers and histograms in one window.
    pub(crate) fn mixed_range(&mut self, metric: &str, pos: PosRange) {
        let name = quote(metric);
        self.warn(&format!("encountered a mix of histograms and floats for metric name {name}"), pos);
    }

    /// Numbers and histograms in one group.
    pub(crate) fn mixed_group(&mut self, pos: PosRange) {
        self.warn("encountered a mix of histograms and floats for aggregation", pos);
    }

    /// Buckets of a classic histogram beside a native one of the same series.
    pub(crate) fn mixed_classic_native(&mut self, metric: &str, pos: PosRange) {
        let text = "vector contains a mix of classic and native histograms".to_owned();
        self.warn(&with_metric(text, metric), pos);
    }

    /// A counter's function over gauges.
    pub(crate) fn not_counter(&mut self, metric: &str, pos: PosRange) {
        self.warn(&format!("this native histogram metric is not a counter: {}", quote(metric)), pos);
    }

    /// A gauge's function over counters.
    pub(crate) fn not_gauge(&mut self, metric: &str, pos: PosRange) {
        self.warn(&format!("this native histogram metric is not a gauge: {}", quote(metric)), pos);
    }

    /// Histograms that cannot be put together.
    pub(crate) fn mixed_schemas(&mut self, metric: &str, pos: PosRange) {
        let text = format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
            quote(metric)
        );
        self.warn(&text, pos);
    }

    /// The same, for an operator between two vectors.
    pub(crate) fn incompatible_layout(&mut self, operator: &str, pos: PosRange) {
        self.warn(&format!("incompatible bucket layout encountered for binary operator {operator}"), pos);
    }

    /// One histogram said that there was a counter reset, another that there was none.
    pub(crate) fn reset_collision(&mut self, operation: &str, pos: PosRange) {
        self.warn(&format!("conflicting counter resets during histogram {operation}"), pos);
    }

    /// A counter that began before the sample before it was taken.
    pub(crate) fn start_overlap(&mut self, metric: &str, pos: PosRange) {
        let name = quote(metric);
        let text =
            format!("sample has start time that overlaps with previous sample timestamp for metric {name}");
        self.warn(&text, pos);
    }

    /// Custom bounds of which only the common ones are left.
    pub(crate) fn reconciled(&mut self, operation: &str, pos: PosRange) {
        self.info(&format!("mismatched custom buckets were reconciled during {operation}"), pos);
    }

    /// An operator that does not know such a pair of samples.
    pub(crate) fn incompatible_types(&mut self, left: &str, operator: &str, right: &str, pos: PosRange) {
        let text = format!(
            "incompatible sample types encountered for binary operator {}: {left} {operator} {right}",
            quote(operator)
        );
        self.info(&text, pos);
    }

    /// A histogram that an aggregation passed over.
    pub(crate) fn ignored_in_group(&mut self, aggregation: &str, pos: PosRange) {
        self.info(&format!("ignored histogram in {aggregation} aggregation"), pos);
    }

    /// Histograms that a function over numbers passed over.
    pub(crate) fn ignored_in_range(&mut self, metric: &str, pos: PosRange) {
        let text = format!(
            "ignored histograms in a range containing both floats and histograms for metric name {}",
            quote(metric)
        );
        self.info(&text, pos);
    }

    /// What a histogram that observed NaN does to what is asked of it.
    pub(crate) fn nan_observations(&mut self, found: NanObservations, metric: &str, pos: PosRange) {
        let text = match found {
            NanObservations::QuantileNan => "input to histogram_quantile has NaN observations, result is NaN",
            NanObservations::QuantileSkewed => {
                "input to histogram_quantile has NaN observations, result is skewed higher"
            }
            NanObservations::Fraction => {
                "input to histogram_fraction has NaN observations, which are excluded from all fractions"
            }
        };
        self.info(&with_metric(text.to_owned(), metric), pos);
    }
}

/// What NaN observations did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NanObservations {
    /// The quantile lies among them.
    QuantileNan,
    /// They count as above everything.
    QuantileSkewed,
    /// They are in no fraction.
    Fraction,
}

const MONOTONICITY: &str = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";

/// The number rounded to two significant digits.
fn two_digits(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}

fn with_metric(text: String, metric: &str) -> String {
    if metric.is_empty() { text } else { format!("{text} for metric name {}", quote(metric)) }
}

/// A number as Go's `%g` writes it.
pub(crate) fn general(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return model::format_float(value);
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return model::format_float(value);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_with_percent_g() {
        for (value, text) in [
            (1.1, "1.1"),
            (-2.0, "-2"),
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(general(value), text);
        }
    }

    #[test]
    fn texts_come_once_with_their_place() {
        let mut notes = Annotations::default();
        let pos = PosRange::new("quantile(2, a)", 9, 10);
        notes.invalid_quantile(2.0, pos);
        notes.invalid_quantile(2.0, pos);
        notes.invalid_quantile(0.5, pos);
        let (warnings, infos) = notes.into_texts();
        assert_eq!(warnings, ["PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"]);
        assert_eq!(infos, Vec::<String>::new());
    }
}
