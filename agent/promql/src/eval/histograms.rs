//! Native histograms as far as a whole query is a selector: they are shown; no operator takes them.

use std::collections::HashMap;

use model::{HistogramSample, Labels, Sample, Series, stale_nan};
use storage::HistogramSeries;

use super::Evaluator;
use super::column::Grid;
use super::selector::Reference;
use crate::ast::Expr;

/// What is said where histograms are passed over.
const PASSED_OVER: &str = "native histograms were passed over: only a selector by itself shows them";

/// The histograms of the selector that was read last.
#[derive(Debug, Default)]
pub(super) struct Found {
    series: Vec<HistogramSeries>,
    /// Times of the numbers of those that have both.
    numbers: HashMap<Labels, Vec<i64>>,
}

impl Evaluator<'_> {
    /// Takes what a selector found beside numbers. A number ends where a histogram follows it.
    pub(super) fn found_histograms(&mut self, series: &mut [Series], histograms: Vec<HistogramSeries>) {
        self.histograms = Found::default();
        for one in &histograms {
            let Ok(at) = series.binary_search_by(|numbers| numbers.labels.cmp(&one.labels)) else { continue };
            let numbers = &mut series[at];
            let times = numbers.samples.iter().map(|sample| sample.timestamp).collect();
            self.histograms.numbers.insert(one.labels.clone(), times);
            // A range passes over these, and an instant ends with them.
            numbers.samples.extend(one.samples.iter().map(|one| Sample::new(one.timestamp, stale_nan())));
            numbers.samples.sort_by_key(|sample| sample.timestamp);
        }
        self.histograms.series = histograms;
    }

    /// The histograms of a whole query, whose grid this is.
    pub(super) fn shown_histograms(&mut self, expr: &Expr, grid: Grid) -> Vec<HistogramSeries> {
        let found = std::mem::take(&mut self.histograms);
        if found.series.is_empty() {
            return Vec::new();
        }
        let shown: Vec<HistogramSeries> = match expr.unwrap_parens() {
            Expr::Vector(node) => {
                let reference = Reference { pinned: self.pinned(node.at), offset: node.offset_ms };
                found.series.iter().map(|one| self.at_steps(&found, one, reference, grid)).collect()
            }
            Expr::Matrix(node) => {
                let selector = &node.selector;
                let reference = Reference { pinned: self.pinned(selector.at), offset: selector.offset_ms };
                let end = reference.at(grid.start);
                let inside = |one: &HistogramSample| {
                    one.timestamp > end - node.range_ms && one.timestamp <= end && !one.histogram.is_stale()
                };
                let of = |series: HistogramSeries| HistogramSeries {
                    samples: series.samples.into_iter().filter(inside).collect(),
                    labels: series.labels,
                };
                found.series.into_iter().map(of).collect()
            }
            _ => {
                self.coverage.warnings.push(PASSED_OVER.to_owned());
                return Vec::new();
            }
        };
        shown.into_iter().filter(|series| !series.samples.is_empty()).collect()
    }

    /// A series at the steps of a grid: its newest histogram, unless a number or the end came after it.
    fn at_steps(
        &self,
        found: &Found,
        series: &HistogramSeries,
        reference: Reference,
        grid: Grid,
    ) -> HistogramSeries {
        let numbers = found.numbers.get(&series.labels).map_or(&[][..], Vec::as_slice);
        let newest = |times: usize| times.checked_sub(1);
        let at = |step: usize| {
            let time = reference.at(grid.time(step));
            let one = newest(series.samples.partition_point(|one| one.timestamp <= time))?;
            let one = &series.samples[one];
            let number = newest(numbers.partition_point(|number| *number <= time)).map(|at| numbers[at]);
            let counts = one.timestamp > time - self.lookback
                && !one.histogram.is_stale()
                && number.is_none_or(|number| number < one.timestamp);
            counts.then(|| HistogramSample { timestamp: grid.time(step), histogram: one.histogram.clone() })
        };
        HistogramSeries { labels: series.labels.clone(), samples: (0..grid.len()).filter_map(at).collect() }
    }
}
