//! What a query's answer says besides its value: warnings and infos in Prometheus's words.

use std::collections::BTreeSet;

use crate::position::PosRange;
use crate::quote::quote;

/// Further texts are dropped: an answer names that many different ones.
const TEXTS_MAX: usize = 1000;

/// Warnings and infos, each once.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    warnings: BTreeSet<String>,
    infos: BTreeSet<String>,
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

    /// The warnings and the infos, in order of text.
    pub(crate) fn into_texts(self) -> (Vec<String>, Vec<String>) {
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
        let text = format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name}"
        );
        self.info(&text, pos);
    }

    /// Bucket counts that fell.
    pub(crate) fn forced_monotonicity(&mut self, metric: &str, detail: &str, pos: PosRange) {
        let text = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)".to_owned();
        self.info(&format!("{}{detail}", with_metric(text, metric)), pos);
    }

    /// A sort whose order a range query does not show.
    pub(crate) fn sort_in_range_query(&mut self, pos: PosRange) {
        self.warn("sort is ineffective for range queries since results are always ordered by labels", pos);
    }
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
