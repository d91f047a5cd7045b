//! A series of histograms at an appender: a layout of its own, which grows with the buckets.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::histogram::{AnyHistogram, BUCKET_INDEX_MAX, Buckets, Schema};
use model::{Labels, Metadata};

use super::columns::{Carried, fill};
use super::part::{Counted, HistogramShape, Part};
use crate::append::{AppendOutcome, Appender, Cell, LayoutRef, Row};
use crate::error::AppendError;
use crate::layout::{Layout, Slot};

/// Columns that a side gets beyond its outermost buckets: where there is one new bucket more follow.
const MARGIN: i32 = 4;
/// Buckets between two others that get columns although they were never there.
const GAP: i32 = 8;
/// Custom bounds whose buckets all get columns at once.
const CUSTOM_ALL: usize = 256;
/// Columns of a layout over which what earlier histograms had is forgotten where a new one has half of them.
const UNUSED_MAX: usize = 256;

/// Appends the histograms of one series.
#[derive(Debug)]
pub struct HistogramColumns {
    target: Labels,
    labels: Labels,
    metadata: Metadata,
    layout: Option<LayoutRef>,
    cells: Vec<Cell>,
}

impl HistogramColumns {
    /// A series under a target's labels, with its own ones, none of which the target has.
    #[must_use]
    pub fn new(target: Labels, labels: Labels, metadata: Metadata) -> Self {
        Self { target, labels, metadata, layout: None, cells: Vec::new() }
    }

    /// The whole label set.
    #[must_use]
    pub fn series(&self) -> Labels {
        let mut builder = self.target.to_builder();
        for label in self.labels.iter() {
            builder.set(label.name.clone(), label.value.clone());
        }
        builder.build()
    }

    /// Appends a histogram, which must be valid.
    ///
    /// # Errors
    /// As [`Appender::append`]; `Relayout` is dealt with here.
    pub fn append(
        &mut self,
        appender: &dyn Appender,
        timestamp: i64,
        histogram: &AnyHistogram,
    ) -> Result<AppendOutcome, AppendError> {
        if histogram.is_stale() && self.layout.is_some() {
            return self.mark_stale(appender, timestamp);
        }
        let fits = match &self.layout {
            Some(known) => fill(histogram, parts(known.layout()), &mut self.cells),
            None => false,
        };
        if !fits {
            let known = self.layout.as_ref().map(LayoutRef::layout);
            let slots = self.slots(columns_of(histogram, known.map(|layout| &**layout)));
            let layout = appender.layout(Layout::new(self.target.clone(), slots)?)?;
            if !fill(histogram, parts(layout.layout()), &mut self.cells) {
                return Err(AppendError::Layout(format!("a histogram of {} has no columns", self.series())));
            }
            self.layout = Some(layout);
        }
        self.row(appender, timestamp)
    }

    /// Appends the marker of the series' end, if it has begun.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn end(
        &mut self,
        appender: &dyn Appender,
        timestamp: i64,
    ) -> Result<Option<AppendOutcome>, AppendError> {
        match self.layout {
            Some(_) => self.mark_stale(appender, timestamp).map(Some),
            None => Ok(None),
        }
    }

    fn mark_stale(&mut self, appender: &dyn Appender, timestamp: i64) -> Result<AppendOutcome, AppendError> {
        let width = self.layout.as_ref().map_or(0, |known| known.layout().slots().len());
        self.cells.clear();
        self.cells.resize(width, Cell::Absent);
        if let Some(sum) = self.cells.first_mut() {
            *sum = Cell::Stale;
        }
        self.row(appender, timestamp)
    }

    fn row(&mut self, appender: &dyn Appender, timestamp: i64) -> Result<AppendOutcome, AppendError> {
        let Some(layout) = &mut self.layout else { return Err(AppendError::Relayout) };
        let outcome = appender.append(Row { layout, timestamp, cells: &self.cells });
        if !matches!(outcome, Err(AppendError::Relayout)) {
            return outcome;
        }
        *layout = appender.layout(Layout::clone(layout.layout()))?;
        appender.append(Row { layout, timestamp, cells: &self.cells })
    }

    fn slots(&self, parts: Vec<Part>) -> Vec<Slot> {
        let metadata = Arc::new(self.metadata.clone());
        let slot = |part| Slot {
            labels: self.labels.clone(),
            metadata: Arc::clone(&metadata),
            part: Some(Arc::new(part)),
        };
        parts.into_iter().map(slot).collect()
    }
}

fn parts(layout: &Layout) -> impl ExactSizeIterator<Item = &Part> {
    layout.slots().iter().map(|slot| slot.part.as_deref().unwrap_or(&Part::Hint))
}

/// The columns for a histogram and, where that is reasonable, for those that came before it.
fn columns_of(histogram: &AnyHistogram, before: Option<&Layout>) -> Vec<Part> {
    let integer = matches!(histogram, AnyHistogram::Integer(_));
    let shape = Arc::new(HistogramShape { integer, schema: histogram.schema().clone() });
    let first = Part::Sum(shape);
    let before = before.filter(|before| parts(before).next() == Some(&first));
    let (negative, positive, highs) = match histogram {
        AnyHistogram::Integer(histogram) => {
            (indexes(&histogram.negative), indexes(&histogram.positive), highs(histogram))
        }
        AnyHistogram::Float(histogram) => {
            (indexes(&histogram.negative), indexes(&histogram.positive), Vec::new())
        }
    };
    let needed = negative.len() + positive.len();
    let kept = before.filter(|before| {
        let had = before.slots().len();
        had <= UNUSED_MAX || had <= 2 * needed
    });
    let (mut negative, mut positive) = (negative, positive);
    let mut highs: BTreeSet<Counted> = highs.into_iter().collect();
    for part in kept.into_iter().flat_map(parts) {
        match part {
            Part::Count(Counted::Negative(index)) => drop(negative.insert(*index)),
            Part::Count(Counted::Positive(index)) => drop(positive.insert(*index)),
            Part::High(counted) => drop(highs.insert(*counted)),
            _ => {}
        }
    }
    match histogram.schema() {
        Schema::Custom(bounds) if bounds.len() < CUSTOM_ALL => {
            positive.extend(0..=i32::try_from(bounds.len()).unwrap_or(0));
        }
        Schema::Custom(_) => {}
        Schema::Exponential(_) => (negative, positive) = (widened(&negative), widened(&positive)),
    }
    let mut all = vec![first, Part::Hint, Part::ZeroThreshold];
    all.extend([Counted::All, Counted::Zero].map(Part::Count));
    all.extend(negative.into_iter().map(|index| Part::Count(Counted::Negative(index))));
    all.extend(positive.into_iter().map(|index| Part::Count(Counted::Positive(index))));
    all.extend(highs.into_iter().map(Part::High));
    all
}

fn indexes<C: model::histogram::Count>(side: &Buckets<C>) -> BTreeSet<i32> {
    side.iter().map(|(index, _)| index).collect()
}

/// The counts that do not fit into their columns.
fn highs(histogram: &model::IntegerHistogram) -> Vec<Counted> {
    let large = |count: u64| count.high() > 0;
    let negative = histogram.negative.iter().map(|(index, count)| (Counted::Negative(index), count));
    let positive = histogram.positive.iter().map(|(index, count)| (Counted::Positive(index), count));
    let both = [(Counted::All, histogram.count), (Counted::Zero, histogram.zero_count)];
    both.into_iter()
        .chain(negative)
        .chain(positive)
        .filter(|(_, count)| large(*count))
        .map(|(counted, _)| counted)
        .collect()
}

/// The same indexes, narrow gaps among them, and some on either side.
fn widened(indexes: &BTreeSet<i32>) -> BTreeSet<i32> {
    let mut wide = BTreeSet::new();
    let mut before: Option<i32> = None;
    for &index in indexes {
        let from = match before {
            Some(before) if index.saturating_sub(before) <= GAP => before + 1,
            Some(_) => index,
            None => index - MARGIN,
        };
        wide.extend(from.max(-BUCKET_INDEX_MAX)..=index);
        before = Some(index);
    }
    if let Some(last) = before {
        wide.extend(last + 1..=last.saturating_add(MARGIN).min(BUCKET_INDEX_MAX));
    }
    wide
}
