//! Batches: rows of one group of series, as columns. The times are one column that all share, so whatever is
//! decided by time is decided once for all series; a column's values are decoded when they are asked for, a whole
//! column at a call.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use model::{AnyHistogram, Labels};

use crate::budget::Charge;
use crate::error::QueryError;
use crate::layout::Slot;
use crate::summary::Summary;

/// Series that are read together: the labels that they share, and what each has besides.
#[derive(Clone, Debug)]
pub struct SeriesGroup {
    target: Labels,
    slots: GroupSlots,
}

#[derive(Clone, Debug)]
enum GroupSlots {
    /// Some slots of a shape, which many groups share.
    Shape {
        all: Arc<[Slot]>,
        picked: Arc<[u32]>,
    },
    Listed(Arc<[Labels]>),
}

impl SeriesGroup {
    /// Those slots of a shape that are picked, in order; nothing is copied.
    ///
    /// # Panics
    /// Later, when a slot is picked that the shape does not have.
    #[must_use]
    pub fn of_shape(target: Labels, all: Arc<[Slot]>, picked: Arc<[u32]>) -> Self {
        Self { target, slots: GroupSlots::Shape { all, picked } }
    }

    /// Series with these labels besides the target's; where both have a name, the series' own value counts.
    #[must_use]
    pub fn listed(target: Labels, slots: Arc<[Labels]>) -> Self {
        Self { target, slots: GroupSlots::Listed(slots) }
    }

    /// Labels that all its series have, except where one has another value itself.
    #[must_use]
    pub fn target(&self) -> &Labels {
        &self.target
    }

    /// How many series there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.slots {
            GroupSlots::Shape { picked, .. } => picked.len(),
            GroupSlots::Listed(slots) => slots.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels that series `at` has besides the target's.
    #[must_use]
    pub fn slot(&self, at: usize) -> &Labels {
        match &self.slots {
            GroupSlots::Shape { all, picked } => &all[picked[at] as usize].labels,
            GroupSlots::Listed(slots) => &slots[at],
        }
    }

    /// The whole label set of series `at`.
    #[must_use]
    pub fn series(&self, at: usize) -> Labels {
        self.target.overlaid(self.slot(at))
    }

    /// Whether both have the very same slots: then what was found out about those of one holds for the other.
    #[must_use]
    pub fn has_slots_of(&self, other: &Self) -> bool {
        match (&self.slots, &other.slots) {
            (GroupSlots::Shape { all, picked }, GroupSlots::Shape { all: theirs, picked: other }) => {
                Arc::ptr_eq(all, theirs) && Arc::ptr_eq(picked, other)
            }
            (GroupSlots::Listed(one), GroupSlots::Listed(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// Values of a column and where there are any: what a reader decodes into. Reuse one, it keeps its memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Floats {
    /// One a row; of rows without a sample they say nothing.
    pub values: Vec<f64>,
    /// Bit `row % 64` of word `row / 64` is set where the row has a sample; spare bits are 0.
    pub present: Vec<u64>,
    /// Values' bits while they are decoded.
    bits: Vec<u64>,
}

impl Floats {
    /// Some of the rows.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn rows(&self, rows: Range<usize>) -> FloatColumn<'_> {
        let present = Present::new(&self.present, rows.clone());
        FloatColumn::Values { values: &self.values[rows], present }
    }

    /// Takes what a decoder says: the bits of one value a row, and which rows have a sample.
    ///
    /// # Errors
    /// Those of the decoder.
    pub fn decode<T, E>(
        &mut self,
        decoder: impl FnOnce(&mut Vec<u64>, &mut Vec<u64>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.bits.clear();
        self.present.clear();
        let said = decoder(&mut self.bits, &mut self.present)?;
        self.values.clear();
        self.values.extend(self.bits.iter().map(|bits| f64::from_bits(*bits)));
        Ok(said)
    }

    /// Makes room for so many rows, none of which has a sample.
    pub fn reset(&mut self, rows: usize) {
        self.values.clear();
        self.values.resize(rows, 0.0);
        self.present.clear();
        self.present.resize(rows.div_ceil(64), 0);
    }

    /// Puts a sample into a row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn set(&mut self, row: usize, value: f64) {
        self.values[row] = value;
        self.present[row / 64] |= 1 << (row % 64);
    }

    /// Bytes that it takes up.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.values.capacity() + self.present.capacity() + self.bits.capacity()) * 8
    }
}

/// Which rows of a column have a sample.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    words: &'a [u64],
    from: usize,
    rows: usize,
}

impl<'a> Present<'a> {
    /// Rows of a column, of which bit `row % 64` of word `row / 64` tells whether there is a sample.
    #[must_use]
    pub fn new(words: &'a [u64], rows: Range<usize>) -> Self {
        Self { words, from: rows.start, rows: rows.len() }
    }

    /// Whether a row has one.
    #[must_use]
    pub fn has(&self, row: usize) -> bool {
        let at = self.from + row;
        row < self.rows && self.words.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    /// How many rows have one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.masked().map(|(_, word)| word.count_ones() as usize).sum()
    }

    /// Whether all rows have one: then values need no look at presence.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count() == self.rows
    }

    /// The last row that has one.
    #[must_use]
    pub fn last(&self) -> Option<usize> {
        let (from, to) = (self.from, self.from + self.rows);
        let mut places = (from / 64..to.div_ceil(64)).rev();
        places.find_map(|at| {
            let word = self.word(at);
            (word != 0).then(|| at * 64 + 63 - word.leading_zeros() as usize - from)
        })
    }

    /// The rows that have one, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let from = self.from;
        self.masked().flat_map(move |(at, word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then_some(left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(at * 64 + bit - from)
            })
        })
    }

    /// Words of the rows, each with its place.
    fn masked(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        (self.from / 64..(self.from + self.rows).div_ceil(64)).map(|at| (at, self.word(at)))
    }

    /// A word, bits of others' rows off.
    fn word(&self, at: usize) -> u64 {
        let (from, to) = (self.from, self.from + self.rows);
        let first = from.saturating_sub(at * 64).min(64) as u32;
        let spare = ((at + 1) * 64).saturating_sub(to).min(64) as u32;
        let mask = u64::MAX.checked_shl(first).unwrap_or(0) & u64::MAX.checked_shr(spare).unwrap_or(0);
        self.words.get(at).map_or(0, |word| word & mask)
    }
}

/// A column's samples, one a time of its batch; stale markers are among them.
#[derive(Clone, Copy, Debug)]
pub enum FloatColumn<'a> {
    /// No sample.
    Absent,
    /// At each time a sample, all of the very same bits: most columns are so.
    Constant(f64),
    /// Any other.
    Values {
        /// One a time; without a sample it says nothing.
        values: &'a [f64],
        /// Where there are samples.
        present: Present<'a>,
    },
}

impl FloatColumn<'_> {
    /// Gives each sample's row and value, in order.
    pub fn for_each(&self, rows: usize, mut give: impl FnMut(usize, f64)) {
        match self {
            Self::Absent => {}
            Self::Constant(value) => (0..rows).for_each(|row| give(row, *value)),
            Self::Values { values, present } if present.is_full() => {
                values.iter().enumerate().for_each(|(row, value)| give(row, *value));
            }
            Self::Values { values, present } => present.iter().for_each(|row| give(row, values[row])),
        }
    }

    /// The row and value of the last sample of so many rows.
    #[must_use]
    pub fn last(&self, rows: usize) -> Option<(usize, f64)> {
        match self {
            Self::Absent => None,
            Self::Constant(value) => Some((rows.checked_sub(1)?, *value)),
            Self::Values { values, present } => present.last().map(|row| (row, values[row])),
        }
    }

    /// How many samples there are in so many rows.
    #[must_use]
    pub fn count(&self, rows: usize) -> usize {
        match self {
            Self::Absent => 0,
            Self::Constant(_) => rows,
            Self::Values { present, .. } => present.count(),
        }
    }
}

/// Histograms of a column, one a time of its batch, where there is one.
pub type Histograms = Arc<[Option<Arc<AnyHistogram>>]>;

/// Where a batch's columns come from. Whatever is read of a disk has been read and checked before.
pub trait ColumnSource: Send + Sync + fmt::Debug {
    /// A column of numbers, decoded into `scratch` where it is not there already.
    ///
    /// # Errors
    /// When what is held contradicts itself.
    fn floats<'a>(&'a self, column: usize, scratch: &'a mut Floats) -> Result<FloatColumn<'a>, QueryError>;

    /// The row and value of the last of a column's numbers in so many rows: what an instant looks at.
    ///
    /// # Errors
    /// As [`ColumnSource::floats`].
    fn last(
        &self,
        column: usize,
        rows: usize,
        scratch: &mut Floats,
    ) -> Result<Option<(usize, f64)>, QueryError> {
        Ok(self.floats(column, scratch)?.last(rows))
    }

    /// A column of histograms; none in one of numbers.
    ///
    /// # Errors
    /// As [`ColumnSource::floats`].
    fn histograms(&self, column: usize) -> Result<Option<Histograms>, QueryError> {
        let _ = column;
        Ok(None)
    }
}

/// A column of times, or a part of one: batches that come from the same rows share it.
#[derive(Clone, Debug)]
pub struct Times {
    all: Arc<[i64]>,
}

impl Times {
    /// These times, which must ascend.
    #[must_use]
    pub fn new(all: Arc<[i64]>) -> Self {
        Self { all }
    }

    /// Whether both are the very same: then what was found out about the times of one holds for the other.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.all, &other.all)
    }
}

impl std::ops::Deref for Times {
    type Target = [i64];

    fn deref(&self) -> &[i64] {
        &self.all
    }
}

/// Rows of a group. Of one series and kind of value (numbers, histograms) batches come in order of time, each
/// after all times of the one before.
#[derive(Debug)]
pub struct Batch {
    /// Whose rows they are. All batches of one group come one after the other, with the very same `Arc`.
    pub group: Arc<SeriesGroup>,
    /// One a row, in milliseconds since the Unix epoch, each after the one before.
    pub times: Times,
    /// Which series of the group each column is.
    pub series: Arc<[u32]>,
    /// Whether its columns hold histograms, and no numbers.
    pub is_histograms: bool,
    /// One a column where they are known: then they are of all of its rows. Else empty.
    pub summaries: Arc<[Summary]>,
    /// What gives the columns.
    pub source: Arc<dyn ColumnSource>,
    /// Bytes that it holds.
    pub charge: Charge,
}

impl Batch {
    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    /// How many columns there are.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.series.len()
    }

    /// A column of numbers: decoded into `scratch`, where it is not there already.
    ///
    /// # Errors
    /// When what is held contradicts itself.
    pub fn floats<'a>(
        &'a self,
        column: usize,
        scratch: &'a mut Floats,
    ) -> Result<FloatColumn<'a>, QueryError> {
        self.source.floats(column, scratch)
    }

    /// The row and value of the last of a column's numbers, stale markers among them; mostly without decoding.
    ///
    /// # Errors
    /// When what is held contradicts itself.
    pub fn last(&self, column: usize, scratch: &mut Floats) -> Result<Option<(usize, f64)>, QueryError> {
        self.source.last(column, self.rows(), scratch)
    }

    /// A column of histograms; none where it has numbers.
    ///
    /// # Errors
    /// When what is held contradicts itself.
    pub fn histograms(&self, column: usize) -> Result<Option<Histograms>, QueryError> {
        self.source.histograms(column)
    }

    /// What is known of a column without its values: only of whole blocks inside the range that was asked for.
    #[must_use]
    pub fn summary(&self, column: usize) -> Option<&Summary> {
        self.summaries.get(column)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Part of a column is that part of its rows, wherever words begin and end.
        #[test]
        fn parts_of_a_column_are_its_rows(
            cells in prop::collection::vec(prop::option::of(0..100i32), 1..200), from in 0..200usize, to in 0..200usize,
        ) {
            let (to, mut floats) = (to.min(cells.len()), Floats::default());
            let from = from.min(to);
            floats.reset(cells.len());
            for (row, cell) in cells.iter().enumerate() {
                if let Some(value) = cell {
                    floats.set(row, f64::from(*value));
                }
            }
            let part = floats.rows(from..to);
            let mut given = Vec::new();
            part.for_each(to - from, |row, value| given.push((row, value)));
            let cells = cells[from..to].iter().enumerate();
            let naive: Vec<_> = cells.filter_map(|(row, cell)| Some((row, f64::from((*cell)?)))).collect();
            prop_assert_eq!(part.count(to - from), naive.len());
            prop_assert_eq!(part.last(to - from), naive.last().copied());
            let FloatColumn::Values { present, .. } = part else { panic!("values") };
            prop_assert_eq!(present.iter().collect::<Vec<_>>(), naive.iter().map(|(row, _)| *row).collect::<Vec<_>>());
            prop_assert!((0..to - from + 70).all(|row| present.has(row) == naive.iter().any(|(at, _)| *at == row)));
            prop_assert_eq!(given, naive);
        }
    }

    #[test]
    fn a_series_own_label_counts() {
        let target = Labels::from_pairs([("agent", "a"), ("site", "x")]);
        let slots = [Labels::from_pairs([("__name__", "up"), ("site", "y")]), Labels::empty()];
        let group = SeriesGroup::listed(target.clone(), slots.into());
        let expected = Labels::from_pairs([("__name__", "up"), ("agent", "a"), ("site", "y")]);
        assert_eq!((group.series(0), group.series(1)), (expected, target));
    }
}
