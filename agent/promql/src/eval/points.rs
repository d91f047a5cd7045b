//! A series as the store gives it: numbers and histograms in one order of time.

use std::collections::HashMap;
use std::sync::Arc;

use model::{AnyHistogram, HistogramSample, Labels, Sample, is_stale, stale_nan};
use storage::{HistogramSeries, SeriesSet, StartSeries};

use super::cell::Cell;

/// A sample.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// Milliseconds since the Unix epoch.
    pub(super) timestamp: i64,
    /// When its counter began to count; 0 where that is unknown.
    pub(super) start: i64,
    /// The value; a number that is the stale marker ends the series, whatever kind it had.
    pub(super) value: Cell,
}

impl Point {
    /// Whether it marks the end of the series.
    pub(super) fn is_stale(&self) -> bool {
        self.value.float().is_some_and(is_stale)
    }
}

/// How many samples these count as: a histogram counts as several.
pub(super) fn looked_at(points: &[Point]) -> u64 {
    points.iter().map(|point| 1 + point.value.extra() as u64).sum()
}

/// A series and its samples, oldest first.
#[derive(Debug)]
pub(super) struct PointSeries {
    pub(super) labels: Labels,
    pub(super) points: Vec<Point>,
}

fn float_point(sample: &Sample) -> Point {
    Point { timestamp: sample.timestamp, start: 0, value: Cell::Float(sample.value) }
}

fn histogram_point(sample: &HistogramSample) -> Point {
    let value = match &*sample.histogram {
        histogram if histogram.is_stale() => Cell::Float(stale_nan()),
        AnyHistogram::Float(histogram) => Cell::Histogram(Arc::new(histogram.clone())),
        AnyHistogram::Integer(histogram) => Cell::Histogram(Arc::new(histogram.to_float())),
    };
    Point { timestamp: sample.timestamp, start: 0, value }
}

/// The series of a set, in order of labels.
pub(super) fn point_series(set: SeriesSet) -> Vec<PointSeries> {
    let mut out: Vec<PointSeries> = Vec::with_capacity(set.series.len() + set.histograms.len());
    let mut histograms = set.histograms.into_iter().peekable();
    let alone = |one: HistogramSeries| PointSeries {
        points: one.samples.iter().map(histogram_point).collect(),
        labels: one.labels,
    };
    for series in set.series {
        while let Some(one) = histograms.next_if(|one| one.labels < series.labels) {
            out.push(alone(one));
        }
        let mut points: Vec<Point> = series.samples.iter().map(float_point).collect();
        if let Some(one) = histograms.next_if(|one| one.labels == series.labels) {
            points.extend(one.samples.iter().map(histogram_point));
            points.sort_by_key(|point| point.timestamp);
        }
        out.push(PointSeries { labels: series.labels, points });
    }
    out.extend(histograms.map(alone));
    out
}

/// Sets the start times that are known.
pub(super) fn set_starts(series: &mut [PointSeries], starts: Vec<StartSeries>) {
    let known: HashMap<Labels, Vec<(i64, i64)>> =
        starts.into_iter().map(|one| (one.labels, one.starts)).collect();
    for one in series {
        let Some(starts) = known.get(&one.labels) else { continue };
        for point in &mut one.points {
            if let Ok(at) = starts.binary_search_by_key(&point.timestamp, |(time, _)| *time) {
                point.start = starts[at].1;
            }
        }
    }
}
