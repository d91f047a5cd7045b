//! One side of a histogram: which buckets it has, and what they count.

use super::count::Count;
use super::error::HistogramError;
use super::schema::coarser;

/// Buckets have indexes from -2^30 to 2^30: the floats need far fewer, even at the finest schema.
pub const BUCKET_INDEX_MAX: i32 = 1 << 30;

/// Consecutive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Of the first span the index of its first bucket; of others the distance from the end of the one before.
    pub offset: i32,
    /// How many buckets there are.
    pub length: u32,
}

/// Buckets by rising index, each with its own (never a cumulative) count.
///
/// Spans are kept as long as they can be: none is empty, and between two there is a gap. So equal
/// buckets have equal spans.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets<C> {
    spans: Vec<Span>,
    counts: Vec<C>,
}

impl<C> Default for Buckets<C> {
    fn default() -> Self {
        Self { spans: Vec::new(), counts: Vec::new() }
    }
}

impl<C: Count> Buckets<C> {
    /// Buckets from spans as they are written: some may be empty or touch the one before.
    ///
    /// # Errors
    /// When a span after the first goes backwards, when spans and counts are not equally many, or when
    /// an index is beyond [`BUCKET_INDEX_MAX`].
    pub fn new(spans: &[Span], counts: Vec<C>) -> Result<Self, HistogramError> {
        let mut kept: Vec<Span> = Vec::with_capacity(spans.len());
        let (mut end, mut last_end, mut total) = (0_i64, 0_i64, 0_u64);
        for (at, span) in spans.iter().enumerate() {
            if at > 0 && span.offset < 0 {
                return Err(HistogramError::NegativeOffset { span: at + 1, offset: span.offset });
            }
            let start = end.saturating_add(i64::from(span.offset));
            end = start.saturating_add(i64::from(span.length));
            total = total.saturating_add(u64::from(span.length));
            let far = |index: i64| index.abs() > i64::from(BUCKET_INDEX_MAX);
            if far(start) || far(end) {
                return Err(HistogramError::IndexRange { span: at + 1 });
            }
            if span.length == 0 {
                continue;
            }
            match kept.last_mut() {
                Some(last) if start == last_end => last.length += span.length,
                _ => {
                    let offset = i32::try_from(start - last_end).unwrap_or(BUCKET_INDEX_MAX);
                    kept.push(Span { offset, length: span.length });
                }
            }
            last_end = end;
        }
        if total != counts.len() as u64 {
            return Err(HistogramError::SpansMismatch { needed: total, found: counts.len() });
        }
        Ok(Self { spans: kept, counts })
    }

    /// The spans.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The counts, in order of index.
    #[must_use]
    pub fn counts(&self) -> &[C] {
        &self.counts
    }

    /// How many buckets there are, empty ones among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are no buckets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// (index, count) by rising index.
    #[must_use]
    pub fn iter(&self) -> Cells<'_, C> {
        Cells::new(&self.spans, &self.counts)
    }

    /// The same buckets with other counts.
    #[must_use]
    pub fn map<D>(&self, each: impl FnMut(C) -> D) -> Buckets<D> {
        Buckets { spans: self.spans.clone(), counts: self.counts.iter().copied().map(each).collect() }
    }

    /// Changes each count in place.
    pub(super) fn each(&mut self, mut change: impl FnMut(C) -> C) {
        for count in &mut self.counts {
            *count = change(*count);
        }
    }

    /// Drops empty buckets, except where at most `max_empty` of them lie between two others; such gaps
    /// are filled with empty buckets (Prometheus's `Compact`).
    pub fn compact(&mut self, max_empty: u8) {
        let narrow = self.spans.iter().skip(1).any(|span| span.offset <= i32::from(max_empty));
        if !narrow && self.counts.iter().all(|count| !count.is_zero()) {
            return;
        }
        let mut built = Builder::with_capacity(self.len());
        for (index, count) in self.iter().filter(|(_, count)| !count.is_zero()) {
            if !built.is_empty() && index - built.next <= i32::from(max_empty) {
                while built.next < index {
                    built.push(built.next, C::ZERO);
                }
            }
            built.push(index, count);
        }
        *self = built.finish();
    }

    /// The buckets `halvings` schemas coarser.
    #[must_use]
    pub fn coarsened(&self, halvings: u32) -> Self {
        let mut built = Builder::with_capacity(self.len());
        for (index, count) in self.iter() {
            built.add(coarser(index, halvings), count);
        }
        built.finish()
    }

    /// The buckets without the first `skipped`.
    pub(super) fn without_first(&self, skipped: usize) -> Self {
        self.iter().skip(skipped).collect()
    }

    /// Adds what `from` makes of another side's counts, without its first `skipped` buckets.
    pub(super) fn absorb<D: Count>(&mut self, other: &Buckets<D>, skipped: usize, from: impl Fn(D) -> C) {
        if skipped == 0 && self.spans == other.spans {
            for (count, more) in self.counts.iter_mut().zip(&other.counts) {
                *count = count.plus(from(*more));
            }
            return;
        }
        let mut built = Builder::with_capacity(self.len().max(other.len()));
        let mut mine = self.iter().peekable();
        for (index, more) in other.iter().skip(skipped) {
            while let Some((at, count)) = mine.next_if(|(at, _)| *at < index) {
                built.push(at, count);
            }
            let count = mine.next_if(|(at, _)| *at == index).map(|(_, count)| count);
            built.push(index, count.map_or_else(|| from(more), |count| count.plus(from(more))));
        }
        for (at, count) in mine {
            built.push(at, count);
        }
        *self = built.finish();
    }

    /// Whether indexes are equal and counts the same bits.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.spans == other.spans && self.counts.iter().zip(&other.counts).all(|(one, two)| one.same(*two))
    }
}

/// Collects (index, count) in order of index; counts of one index are added.
impl<C: Count> FromIterator<(i32, C)> for Buckets<C> {
    fn from_iter<I: IntoIterator<Item = (i32, C)>>(cells: I) -> Self {
        let mut built = Builder::with_capacity(0);
        for (index, count) in cells {
            built.add(index, count);
        }
        built.finish()
    }
}

/// Takes buckets in order of index.
struct Builder<C> {
    built: Buckets<C>,
    /// The index after the last bucket.
    next: i32,
}

impl<C: Count> Builder<C> {
    fn with_capacity(counts: usize) -> Self {
        Self { built: Buckets { spans: Vec::new(), counts: Vec::with_capacity(counts) }, next: 0 }
    }

    fn is_empty(&self) -> bool {
        self.built.is_empty()
    }

    fn push(&mut self, index: i32, count: C) {
        match self.built.spans.last_mut() {
            Some(span) if index == self.next => span.length += 1,
            _ => self.built.spans.push(Span { offset: index - self.next, length: 1 }),
        }
        self.built.counts.push(count);
        self.next = index + 1;
    }

    fn add(&mut self, index: i32, count: C) {
        match self.built.counts.last_mut() {
            Some(last) if index == self.next - 1 => *last = last.plus(count),
            _ => self.push(index, count),
        }
    }

    fn finish(self) -> Buckets<C> {
        self.built
    }
}

/// Walks (index, count) from either end.
#[derive(Clone, Debug)]
pub struct Cells<'a, C> {
    spans: &'a [Span],
    counts: std::slice::Iter<'a, C>,
    front: Place,
    back: Place,
}

/// Where one end of the walk is: the span, the buckets of it still to come, the next index.
#[derive(Clone, Copy, Debug)]
struct Place {
    span: usize,
    left: u32,
    index: i32,
}

impl<'a, C> Cells<'a, C> {
    fn new(spans: &'a [Span], counts: &'a [C]) -> Self {
        let length = |span: Option<&Span>| span.map_or(0, |span| span.length);
        let start = spans.first().map_or(0, |span| span.offset);
        let end = spans.iter().fold(0_i32, |end, span| {
            end.saturating_add(span.offset).saturating_add(i32::try_from(span.length).unwrap_or(i32::MAX))
        });
        let front = Place { span: 0, left: length(spans.first()), index: start };
        let back = Place { span: spans.len().saturating_sub(1), left: length(spans.last()), index: end - 1 };
        Self { spans, counts: counts.iter(), front, back }
    }
}

impl<C: Copy> Iterator for Cells<'_, C> {
    type Item = (i32, C);

    fn next(&mut self) -> Option<Self::Item> {
        let count = *self.counts.next()?;
        let place = &mut self.front;
        let index = place.index;
        (place.left, place.index) = (place.left.saturating_sub(1), index + 1);
        if place.left == 0
            && let Some(span) = self.spans.get(place.span + 1)
        {
            *place = Place { span: place.span + 1, left: span.length, index: place.index + span.offset };
        }
        Some((index, count))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.counts.size_hint()
    }
}

impl<C: Copy> DoubleEndedIterator for Cells<'_, C> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let count = *self.counts.next_back()?;
        let place = &mut self.back;
        let index = place.index;
        (place.left, place.index) = (place.left.saturating_sub(1), index - 1);
        if place.left == 0 && place.span > 0 {
            let gap = self.spans[place.span].offset;
            let span = place.span - 1;
            *place = Place { span, left: self.spans[span].length, index: place.index - gap };
        }
        Some((index, count))
    }
}

impl<C: Copy> ExactSizeIterator for Cells<'_, C> {}
