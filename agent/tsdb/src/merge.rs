//! Series of which several rows may be of one time, or whose values are histograms: their samples are put
//! together one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{AnyHistogram, HistogramSample, STALE_NAN_BITS, Sample};
use storage::{Assembler, Floats, QueryError, Rank, StreamId, wins};

use crate::columns::points_of;
use crate::family::Picked;
use crate::run::Point;
use crate::segment::Segment;

/// What a series has in a window, in order of time; no two samples of one time.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) numbers: Vec<Sample>,
    pub(crate) histograms: Vec<HistogramSample>,
}

/// A histogram, and the row that it came with.
#[derive(Clone, Debug)]
struct HistogramPoint {
    timestamp: i64,
    sequence: (u64, u32),
    histogram: Arc<AnyHistogram>,
}

/// Either kind.
#[derive(Clone, Debug)]
enum AnyPoint {
    Number(Point),
    Histogram(HistogramPoint),
}

/// Puts series of a family together, as they are found in a window.
#[derive(Default)]
pub(crate) struct Merging<'a> {
    series: BTreeMap<u32, Vec<(&'a StreamId, AnyPoint)>>,
    scratch: Floats,
}

impl<'a> Merging<'a> {
    /// Adds what a segment has of series that are `wanted`; `series` has the series of each slot.
    pub(crate) fn add(
        &mut self,
        member: &'a Picked,
        series: &[u32],
        segment: &Segment,
        wanted: &[bool],
    ) -> Result<(), QueryError> {
        let all = member.group.layout.slots();
        let mut columns: Vec<Vec<Point>> = vec![Vec::new(); series.len()];
        for block in &segment.blocks {
            for (column, position) in block.slots.clone().enumerate() {
                if wanted[series[position] as usize] {
                    let found = block.source.floats(column, &mut self.scratch)?;
                    points_of(&found, &segment.rows, &mut columns[position]);
                }
            }
        }
        let slot = |position: usize| &all[member.slots[position] as usize];
        let stream = member.group.stream_id();
        let mut from = 0;
        while from < columns.len() {
            let further = (from + 1..columns.len()).take_while(|&position| !slot(position).begins_series());
            let to = from + 1 + further.count();
            let points = match slot(from).is_of_histogram() {
                true => histograms((from..to).map(|at| slot(at).part.as_deref()), &columns[from..to]),
                false => std::mem::take(&mut columns[from]).into_iter().map(AnyPoint::Number).collect(),
            };
            if !points.is_empty() {
                let known = self.series.entry(series[from]).or_default();
                known.extend(points.into_iter().map(|point| (stream, point)));
            }
            from = to;
        }
        Ok(())
    }

    /// The series that have samples, in order.
    pub(crate) fn finish(self) -> impl Iterator<Item = (u32, Samples)> {
        self.series.into_iter().map(|(series, points)| {
            let mut samples = Samples::default();
            for point in winners(points) {
                match point {
                    AnyPoint::Number(Point { timestamp, bits, .. }) => {
                        samples.numbers.push(Sample::new(timestamp, f64::from_bits(bits)));
                    }
                    AnyPoint::Histogram(HistogramPoint { timestamp, histogram, .. }) => {
                        samples.histograms.push(HistogramSample { timestamp, histogram });
                    }
                }
            }
            (series, samples)
        })
    }
}

/// Histograms out of their columns, which are side by side.
fn histograms<'p>(
    parts: impl Iterator<Item = Option<&'p storage::Part>>,
    columns: &[Vec<Point>],
) -> Vec<AnyPoint> {
    let Some(assembler) = Assembler::new(parts.flatten().collect()) else { return Vec::new() };
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
            let histogram = Arc::new(histogram);
            points.push(AnyPoint::Histogram(HistogramPoint { timestamp, sequence, histogram }));
        }
    }
    points
}

/// Of the samples of each time, each with its stream, the one that counts; in order of time.
fn winners(mut all: Vec<(&StreamId, AnyPoint)>) -> Vec<AnyPoint> {
    all.sort_by(|(a, left), (b, right)| {
        (left.timestamp(), a, left.sequence()).cmp(&(right.timestamp(), b, right.sequence()))
    });
    let mut out: Vec<(&StreamId, AnyPoint)> = Vec::with_capacity(all.len());
    let mut stream_before = None;
    for (stream, point) in all {
        let same_time = out.last().is_some_and(|(_, last)| last.timestamp() == point.timestamp());
        // Only the first of each stream takes part.
        let first_of_stream = !same_time || stream_before != Some(stream);
        stream_before = Some(stream);
        match out.last_mut() {
            Some(best) if same_time => {
                if first_of_stream && wins(&rank(stream, &point), &rank(best.0, &best.1)) {
                    *best = (stream, point);
                }
            }
            _ => out.push((stream, point)),
        }
    }
    out.into_iter().map(|(_, point)| point).collect()
}

fn rank<'a>(stream: &'a StreamId, point: &AnyPoint) -> Rank<'a> {
    Rank { stream, sequence: point.sequence(), stale: point.is_stale() }
}

impl AnyPoint {
    fn timestamp(&self) -> i64 {
        match self {
            Self::Number(point) => point.timestamp,
            Self::Histogram(point) => point.timestamp,
        }
    }

    fn sequence(&self) -> (u64, u32) {
        match self {
            Self::Number(point) => point.sequence,
            Self::Histogram(point) => point.sequence,
        }
    }

    fn is_stale(&self) -> bool {
        match self {
            Self::Number(point) => point.bits == STALE_NAN_BITS,
            Self::Histogram(point) => point.histogram.is_stale(),
        }
    }
}
