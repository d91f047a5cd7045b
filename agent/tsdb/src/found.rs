//! Putting a query's series together from the groups that hold them.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Labels, STALE_NAN_BITS, Sample, Series};
use storage::{HistogramSeries, QueryError, Rank, StreamId, TimeRange, wins};

use crate::found_histograms::FoundHistograms;
use crate::group::Group;
use crate::run::Point;
use crate::spill::SpillError;
use crate::window::SharedRows;

/// A group with slots that pass.
pub(crate) struct Source {
    pub(crate) group: Arc<Group>,
    pub(crate) slots: Arc<[u32]>,
    pub(crate) rows: SharedRows,
}

/// Series that are read of a group at a time.
const SLOTS_AT_ONCE: usize = 4_096;
/// Samples before their streams are merged, over those that a query may hold.
const PARTS_MAX: usize = 4;

/// Samples by series, as they are found, window by window.
pub(crate) struct Found {
    series: BTreeMap<Labels, Vec<Sample>>,
    /// Of the window that is read: what each group has of a series.
    window: BTreeMap<Labels, Vec<Part>>,
    histograms: FoundHistograms,
    samples: usize,
    samples_max: usize,
}

/// Why a window's samples cannot be given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The log still has them.
    #[error(transparent)]
    Head(#[from] SpillError),
}

/// What a group has of one series' numbers.
pub(crate) struct Part {
    pub(crate) group: Arc<Group>,
    pub(crate) points: Vec<Point>,
}

impl Found {
    pub(crate) fn new(samples_max: usize) -> Self {
        Self {
            series: BTreeMap::new(),
            window: BTreeMap::new(),
            histograms: FoundHistograms::default(),
            samples: 0,
            samples_max,
        }
    }

    /// Adds a window's sources.
    pub(crate) fn read(&mut self, sources: &[Source], range: TimeRange) -> Result<(), ReadError> {
        for Source { group, slots, rows } in sources {
            for slots in parts_of(slots, group) {
                let view = rows.lock().view(slots, range);
                let points = view.points()?;
                if group.layout.has_histograms() {
                    self.add_mixed(group, slots, points)?;
                    continue;
                }
                for (&slot, points) in slots.iter().zip(points) {
                    self.add(group, slot, points)?;
                }
            }
        }
        Ok(())
    }

    /// Adds what one slot of a group has in the window.
    pub(crate) fn add(
        &mut self,
        group: &Arc<Group>,
        slot: u32,
        points: Vec<Point>,
    ) -> Result<(), QueryError> {
        if points.is_empty() {
            return Ok(());
        }
        self.samples += points.len();
        self.window.entry(group.series(slot)).or_default().push(Part { group: Arc::clone(group), points });
        self.check(self.samples_max.saturating_mul(PARTS_MAX))
    }

    /// Adds numbers, and histograms whose columns are side by side.
    pub(crate) fn add_mixed(
        &mut self,
        group: &Arc<Group>,
        slots: &[u32],
        mut points: Vec<Vec<Point>>,
    ) -> Result<(), QueryError> {
        let all = group.layout.slots();
        let mut from = 0;
        while let Some(&first) = slots.get(from) {
            let further = slots[from + 1..].iter().take_while(|&&slot| !all[slot as usize].begins_series());
            let to = from + 1 + further.count();
            if all[first as usize].part.is_some() {
                self.samples += points[from..to].iter().map(Vec::len).sum::<usize>();
                self.histograms.add(group, &slots[from..to], &points[from..to]);
                self.check(self.samples_max.saturating_mul(PARTS_MAX))?;
            } else {
                self.add(group, first, std::mem::take(&mut points[from]))?;
            }
            from = to;
        }
        Ok(())
    }

    fn check(&self, max: usize) -> Result<(), QueryError> {
        if self.samples <= max {
            return Ok(());
        }
        Err(QueryError::Limit(format!(
            "query processing would load too many samples into memory in query execution (limit {})",
            self.samples_max
        )))
    }

    /// Forgets what this window gave so far.
    pub(crate) fn drop_window(&mut self) {
        let parts = std::mem::take(&mut self.window).into_values().flatten();
        self.samples -= parts.map(|part| part.points.len()).sum::<usize>();
        self.samples -= self.histograms.drop_window();
    }

    /// No more sources of this window come.
    pub(crate) fn close_window(&mut self) -> Result<(), QueryError> {
        let mut window = std::mem::take(&mut self.window);
        let series = &mut self.series;
        self.histograms.close_window(&mut window, |labels, samples| {
            series.entry(labels.clone()).or_default().extend(samples);
        });
        for (labels, parts) in window {
            let series = self.series.entry(labels).or_default();
            let (count, before) = (parts.iter().map(|part| part.points.len()).sum::<usize>(), series.len());
            match parts.as_slice() {
                [only] if is_strict(&only.points) => series.extend(only.points.iter().map(Point::sample)),
                _ => series.extend(merged(&parts).iter().map(Point::sample)),
            }
            // What lost a conflict is no sample.
            self.samples -= count - (series.len() - before);
        }
        self.check(self.samples_max)
    }

    /// The series, and those of histograms.
    pub(crate) fn finish(self) -> (Vec<Series>, Vec<HistogramSeries>) {
        let series = self.series.into_iter().map(|(labels, samples)| Series { labels, samples });
        (series.collect(), self.histograms.finish())
    }
}

/// Some slots at a time, no histogram's columns apart.
fn parts_of<'a>(slots: &'a [u32], group: &'a Group) -> impl Iterator<Item = &'a [u32]> {
    let mut rest = slots;
    std::iter::from_fn(move || {
        let begins = |slot: &u32| group.layout.slots()[*slot as usize].begins_series();
        let mut end = rest.len().min(SLOTS_AT_ONCE);
        while rest.get(end).is_some_and(|slot| !begins(slot)) {
            end += 1;
        }
        let part;
        (part, rest) = rest.split_at(end);
        (!part.is_empty()).then_some(part)
    })
}

impl Point {
    pub(crate) fn sample(&self) -> Sample {
        Sample::new(self.timestamp, f64::from_bits(self.bits))
    }
}

/// Whether each point is after the one before.
fn is_strict(points: &[Point]) -> bool {
    points.windows(2).all(|pair| pair[0].timestamp < pair[1].timestamp)
}

/// One point for each time: of one stream the first in sequence, of several the one that [`wins`].
fn merged(parts: &[Part]) -> Vec<Point> {
    let all = parts.iter().flat_map(|part| part.points.iter().map(|&point| (part.group.stream_id(), point)));
    winners(all.collect())
}

/// A sample, and the row that it came with.
pub(crate) trait Pointed {
    fn timestamp(&self) -> i64;
    fn sequence(&self) -> (u64, u32);
    fn is_stale(&self) -> bool;
}

impl Pointed for Point {
    fn timestamp(&self) -> i64 {
        self.timestamp
    }

    fn sequence(&self) -> (u64, u32) {
        self.sequence
    }

    fn is_stale(&self) -> bool {
        self.bits == STALE_NAN_BITS
    }
}

/// Of the samples of each time, each with its stream, the one that counts; in order of time.
pub(crate) fn winners<P: Pointed>(mut all: Vec<(&StreamId, P)>) -> Vec<P> {
    all.sort_by(|(a, left), (b, right)| {
        (left.timestamp(), a, left.sequence()).cmp(&(right.timestamp(), b, right.sequence()))
    });
    let mut out: Vec<(&StreamId, P)> = Vec::with_capacity(all.len());
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

fn rank<'a, P: Pointed>(stream: &'a StreamId, point: &P) -> Rank<'a> {
    Rank { stream, sequence: point.sequence(), stale: point.is_stale() }
}
