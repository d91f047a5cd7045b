//! Histograms out of their columns, and what becomes of a time that a series has in both kinds.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{AnyHistogram, HistogramSample, Labels, STALE_NAN_BITS, Sample};
use storage::{Assembler, HistogramSeries};

use crate::found::{Part, Pointed, winners};
use crate::group::Group;
use crate::run::Point;

/// A histogram, and the row that it came with.
#[derive(Clone, Debug)]
pub(crate) struct HistogramPoint {
    timestamp: i64,
    sequence: (u64, u32),
    histogram: Arc<AnyHistogram>,
}

/// What a group has of one series' histograms.
struct HistogramPart {
    group: Arc<Group>,
    points: Vec<HistogramPoint>,
}

/// Either kind.
#[derive(Clone, Debug)]
enum AnyPoint {
    Float(Point),
    Histogram(HistogramPoint),
}

/// Histograms by series, as they are found, window by window.
#[derive(Default)]
pub(crate) struct FoundHistograms {
    series: BTreeMap<Labels, Vec<HistogramSample>>,
    window: BTreeMap<Labels, Vec<HistogramPart>>,
    /// Samples that the window was counted with.
    weight: usize,
}

impl FoundHistograms {
    /// Takes a series' columns: the slots of one histogram in a group, and each slot's points.
    pub(crate) fn add(&mut self, group: &Arc<Group>, slots: &[u32], columns: &[Vec<Point>]) {
        let all = group.layout.slots();
        let parts = slots.iter().filter_map(|&slot| all[slot as usize].part.as_deref()).collect();
        let Some(assembler) = Assembler::new(parts) else { return };
        let mut next = vec![0; columns.len()];
        let mut bits = Vec::with_capacity(columns.len());
        let mut points = Vec::new();
        for first in columns.first().into_iter().flatten() {
            let row = (first.timestamp, first.sequence);
            bits.clear();
            for (column, next) in columns.iter().zip(&mut next) {
                let at = |next: usize| column.get(next).map(|point| (point.timestamp, point.sequence));
                while at(*next).is_some_and(|at| at < row) {
                    *next += 1;
                }
                bits.push((at(*next) == Some(row)).then(|| column[*next].bits));
            }
            if let Some(histogram) = assembler.assemble(&bits) {
                let (timestamp, sequence) = row;
                points.push(HistogramPoint { timestamp, sequence, histogram: Arc::new(histogram) });
            }
        }
        self.weight += columns.iter().map(Vec::len).sum::<usize>();
        if !points.is_empty() {
            let part = HistogramPart { group: Arc::clone(group), points };
            self.window.entry(group.series(slots[0])).or_default().push(part);
        }
    }

    /// Forgets what this window gave so far; how many samples that counted as.
    pub(crate) fn drop_window(&mut self) -> usize {
        self.window.clear();
        std::mem::take(&mut self.weight)
    }

    /// No more of this window comes. `floats` has the window's numbers: those of series that have histograms
    /// too are taken out, and given to `put` as far as they stay.
    pub(crate) fn close_window(
        &mut self,
        floats: &mut BTreeMap<Labels, Vec<Part>>,
        mut put: impl FnMut(&Labels, Vec<Sample>),
    ) {
        self.weight = 0;
        for (labels, histograms) in std::mem::take(&mut self.window) {
            let floats = floats.remove(&labels).unwrap_or_default();
            let numbers = floats.iter().flat_map(|part| {
                part.points.iter().map(|&point| (part.group.stream_id(), AnyPoint::Float(point)))
            });
            let others = histograms.iter().flat_map(|part| {
                let point = |point: &HistogramPoint| AnyPoint::Histogram(point.clone());
                part.points.iter().map(move |one| (part.group.stream_id(), point(one)))
            });
            let mut samples = Vec::new();
            let kept = self.series.entry(labels.clone()).or_default();
            for point in winners(numbers.chain(others).collect()) {
                match point {
                    AnyPoint::Float(point) => samples.push(point.sample()),
                    AnyPoint::Histogram(HistogramPoint { timestamp, histogram, .. }) => {
                        kept.push(HistogramSample { timestamp, histogram });
                    }
                }
            }
            if !samples.is_empty() {
                put(&labels, samples);
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<HistogramSeries> {
        let series = |(labels, samples)| HistogramSeries { labels, samples };
        self.series.into_iter().map(series).filter(|series| !series.samples.is_empty()).collect()
    }
}

impl Pointed for AnyPoint {
    fn timestamp(&self) -> i64 {
        match self {
            Self::Float(point) => point.timestamp,
            Self::Histogram(point) => point.timestamp,
        }
    }

    fn sequence(&self) -> (u64, u32) {
        match self {
            Self::Float(point) => point.sequence,
            Self::Histogram(point) => point.sequence,
        }
    }

    fn is_stale(&self) -> bool {
        match self {
            Self::Float(point) => point.bits == STALE_NAN_BITS,
            Self::Histogram(point) => point.histogram.is_stale(),
        }
    }
}
