//! Chunks of histograms: one layout, then the histograms by how each number changes.

use std::sync::Arc;

use model::histogram::{AnyHistogram, Buckets, Count, Histogram, HistogramError, ResetHint};
use model::{HistogramSample, is_stale};

use super::bits::{BitReader, BitWriter, End};
use super::layout::{Layout, LayoutError};
use super::xor::Xor;
use super::{Chunk, ChunkError, Encoding, SAMPLES_PER_CHUNK, varbit};

/// What histograms of a chunk count with.
pub(super) trait Number: Count {
    const ENCODING: Encoding;
    /// A number as it is written: integers of buckets by their distance from the bucket before.
    type Written: Copy;
    /// What is known of a number's last values.
    type Last: Clone + Default;

    fn of(histogram: &AnyHistogram) -> Option<&Histogram<Self>>;
    fn into_any(histogram: Histogram<Self>) -> AnyHistogram;
    fn written(counts: &[Self]) -> Vec<Self::Written>;
    fn counts(written: Vec<Self::Written>) -> Vec<Self>;

    /// The number of sample `at`, counted from 0; `whole` says that it is no distance.
    fn put(last: &mut Self::Last, out: &mut BitWriter, at: usize, value: Self::Written, whole: bool);
    fn take(
        last: &mut Self::Last,
        bits: &mut BitReader<'_>,
        at: usize,
        whole: bool,
    ) -> Result<Self::Written, End>;
}

/// An integer's last value and change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trend {
    value: i64,
    change: i64,
}

impl Trend {
    fn put(&mut self, out: &mut BitWriter, at: usize, value: i64) {
        let change = value.wrapping_sub(self.value);
        varbit::put_int(out, if at < 2 { change } else { change.wrapping_sub(self.change) });
        *self = Self { value, change };
    }

    fn take(&mut self, bits: &mut BitReader<'_>, at: usize) -> Result<i64, End> {
        let read = varbit::take_int(bits)?;
        self.change = if at < 2 { read } else { self.change.wrapping_add(read) };
        self.value = self.value.wrapping_add(self.change);
        Ok(self.value)
    }
}

impl Number for u64 {
    const ENCODING: Encoding = Encoding::Histogram;
    type Written = i64;
    type Last = Trend;

    fn of(histogram: &AnyHistogram) -> Option<&Histogram<Self>> {
        if let AnyHistogram::Integer(it) = histogram { Some(it) } else { None }
    }

    fn into_any(histogram: Histogram<Self>) -> AnyHistogram {
        AnyHistogram::Integer(histogram)
    }

    fn written(counts: &[Self]) -> Vec<i64> {
        let before = std::iter::once(&0).chain(counts);
        counts.iter().zip(before).map(|(count, before)| count.wrapping_sub(*before).cast_signed()).collect()
    }

    fn counts(written: Vec<i64>) -> Vec<Self> {
        let sum = |sum: &mut u64, step: i64| {
            *sum = sum.wrapping_add(step.cast_unsigned());
            Some(*sum)
        };
        written.into_iter().scan(0, sum).collect()
    }

    fn put(last: &mut Trend, out: &mut BitWriter, at: usize, value: i64, whole: bool) {
        if at == 0 && whole {
            varbit::put_uint(out, value.cast_unsigned());
            last.value = value;
        } else {
            last.put(out, at, value);
        }
    }

    fn take(last: &mut Trend, bits: &mut BitReader<'_>, at: usize, whole: bool) -> Result<i64, End> {
        if at == 0 && whole {
            last.value = varbit::take_uint(bits)?.cast_signed();
            return Ok(last.value);
        }
        last.take(bits, at)
    }
}

impl Number for f64 {
    const ENCODING: Encoding = Encoding::FloatHistogram;
    type Written = f64;
    type Last = Xor;

    fn of(histogram: &AnyHistogram) -> Option<&Histogram<Self>> {
        if let AnyHistogram::Float(it) = histogram { Some(it) } else { None }
    }

    fn into_any(histogram: Histogram<Self>) -> AnyHistogram {
        AnyHistogram::Float(histogram)
    }

    fn written(counts: &[Self]) -> Vec<f64> {
        counts.to_vec()
    }

    fn counts(written: Vec<f64>) -> Vec<Self> {
        written
    }

    fn put(last: &mut Xor, out: &mut BitWriter, at: usize, value: f64, _: bool) {
        if at == 0 {
            out.put_float(value);
            *last = Xor::after(value);
        } else {
            last.put(out, value);
        }
    }

    fn take(last: &mut Xor, bits: &mut BitReader<'_>, at: usize, _: bool) -> Result<f64, End> {
        if at == 0 {
            let value = bits.take_float()?;
            *last = Xor::after(value);
            return Ok(value);
        }
        last.take(bits)
    }
}

/// What is known of each number of the histogram before.
struct State<N: Number> {
    time: Trend,
    count: N::Last,
    zero_count: N::Last,
    sum: Xor,
    positive: Vec<N::Last>,
    negative: Vec<N::Last>,
}

impl<N: Number> State<N> {
    fn new(layout: &Layout) -> Self {
        let (positive, negative) = layout.buckets();
        Self {
            time: Trend::default(),
            count: N::Last::default(),
            zero_count: N::Last::default(),
            sum: Xor::default(),
            positive: vec![N::Last::default(); positive],
            negative: vec![N::Last::default(); negative],
        }
    }

    fn put(&mut self, out: &mut BitWriter, at: usize, timestamp: i64, histogram: &Histogram<N>) {
        self.time.put(out, at, timestamp);
        for (last, whole) in
            [(&mut self.count, histogram.count), (&mut self.zero_count, histogram.zero_count)]
        {
            N::written(&[whole]).into_iter().for_each(|value| N::put(last, out, at, value, true));
        }
        if at == 0 {
            out.put_float(histogram.sum);
            self.sum = Xor::after(histogram.sum);
        } else {
            self.sum.put(out, histogram.sum);
        }
        for (lasts, buckets) in
            [(&mut self.positive, &histogram.positive), (&mut self.negative, &histogram.negative)]
        {
            for (last, value) in lasts.iter_mut().zip(N::written(buckets.counts())) {
                N::put(last, out, at, value, false);
            }
        }
    }

    fn take(
        &mut self,
        bits: &mut BitReader<'_>,
        at: usize,
        layout: &Layout,
    ) -> Result<Taken<N>, LayoutError> {
        let timestamp = self.time.take(bits, at)?;
        let mut whole = |last| Ok::<_, End>(N::counts(vec![N::take(last, bits, at, true)?]));
        let (count, zero_count) = (whole(&mut self.count)?, whole(&mut self.zero_count)?);
        let sum = if at == 0 {
            let sum = bits.take_float()?;
            self.sum = Xor::after(sum);
            sum
        } else {
            self.sum.take(bits)?
        };
        // The histogram that marks the end of a series has no buckets, whatever the layout says.
        if is_stale(sum) {
            return Ok((timestamp, Histogram::stale()));
        }
        let mut side = |lasts: &mut [N::Last]| {
            let taken = lasts.iter_mut().map(|last| N::take(last, bits, at, false));
            Ok::<_, End>(N::counts(taken.collect::<Result<_, End>>()?))
        };
        let (positive, negative) = (side(&mut self.positive)?, side(&mut self.negative)?);
        let wrong = |error: HistogramError| LayoutError::Wrong(error.to_string());
        let histogram = Histogram {
            reset_hint: ResetHint::Unknown,
            schema: layout.schema.clone(),
            zero_threshold: layout.zero_threshold,
            zero_count: zero_count.first().copied().unwrap_or(N::ZERO),
            count: count.first().copied().unwrap_or(N::ZERO),
            sum,
            positive: Buckets::new(&layout.positive, positive).map_err(wrong)?,
            negative: Buckets::new(&layout.negative, negative).map_err(wrong)?,
        };
        Ok((timestamp, histogram))
    }
}

type Taken<N> = (i64, Histogram<N>);

/// Runs of histograms that one chunk can hold.
pub(super) fn runs(samples: &[HistogramSample]) -> impl Iterator<Item = &[HistogramSample]> {
    samples
        .chunk_by(|before, next| goes_on(&before.histogram, &next.histogram))
        .flat_map(|run| run.chunks(SAMPLES_PER_CHUNK))
}

/// Whether `next` can follow in the same chunk: readers take it that nothing was reset within one.
fn goes_on(before: &AnyHistogram, next: &AnyHistogram) -> bool {
    match (before, next) {
        (AnyHistogram::Integer(before), AnyHistogram::Integer(next)) => same_run(before, next),
        (AnyHistogram::Float(before), AnyHistogram::Float(next)) => same_run(before, next),
        _ => false,
    }
}

fn same_run<N: Number>(before: &Histogram<N>, next: &Histogram<N>) -> bool {
    if before.is_stale() || next.is_stale() || Layout::of(before) != Layout::of(next) {
        return false;
    }
    match (before.reset_hint, next.reset_hint) {
        (ResetHint::Gauge, ResetHint::Gauge) => true,
        (ResetHint::Gauge, _) | (_, ResetHint::Gauge | ResetHint::Reset) => false,
        (_, ResetHint::NotReset) => true,
        (_, ResetHint::Unknown) => !next.to_float().is_reset_after(&before.to_float()),
    }
}

/// A chunk of one of [`runs`].
pub(super) fn encode(run: &[HistogramSample]) -> Chunk {
    match run.first().map(|sample| sample.histogram.as_ref()) {
        Some(AnyHistogram::Float(first)) => encode_as(run, first),
        Some(AnyHistogram::Integer(first)) => encode_as(run, first),
        None => encode_as::<u64>(run, &Histogram::default()),
    }
}

fn encode_as<N: Number>(run: &[HistogramSample], first: &Histogram<N>) -> Chunk {
    let count = u16::try_from(run.len()).unwrap_or(u16::MAX);
    let mut head = count.to_be_bytes().to_vec();
    head.push(match first.reset_hint {
        ResetHint::Reset => 0b1000_0000,
        ResetHint::NotReset => 0b0100_0000,
        ResetHint::Unknown => 0,
        ResetHint::Gauge => 0b1100_0000,
    });
    let mut out = BitWriter::after(head);
    let layout = Layout::of(first);
    layout.put(&mut out);
    let mut state = State::<N>::new(&layout);
    for (at, sample) in run.iter().take(usize::from(count)).enumerate() {
        if let Some(histogram) = N::of(&sample.histogram) {
            state.put(&mut out, at, sample.timestamp, histogram);
        }
    }
    let time = |sample: Option<&HistogramSample>| sample.map_or(0, |sample| sample.timestamp);
    Chunk { encoding: N::ENCODING, start: time(run.first()), end: time(run.last()), data: out.into_bytes() }
}

pub(super) fn decode<N: Number>(data: &[u8]) -> Result<Vec<HistogramSample>, ChunkError> {
    let failed = |sample: usize, error: LayoutError| match error {
        LayoutError::End => ChunkError::Short { bytes: data.len(), sample },
        LayoutError::Wrong(why) => ChunkError::Histogram { sample, why },
    };
    let Some((&[high, low, flags], rest)) = data.split_first_chunk::<3>() else {
        return Err(failed(0, LayoutError::End));
    };
    let mut bits = BitReader::new(rest);
    let layout = Layout::take(&mut bits).map_err(|error| failed(0, error))?;
    let mut state = State::<N>::new(&layout);
    let mut out = Vec::new();
    for at in 0..usize::from(u16::from_be_bytes([high, low])) {
        let taken = state.take(&mut bits, at, &layout).map_err(|error| failed(at, error))?;
        let (timestamp, mut histogram) = taken;
        histogram.reset_hint = match flags >> 6 {
            0b11 => ResetHint::Gauge,
            _ if at > 0 => ResetHint::NotReset,
            0b10 => ResetHint::Reset,
            0b01 => ResetHint::NotReset,
            _ => ResetHint::Unknown,
        };
        out.push(HistogramSample { timestamp, histogram: Arc::new(N::into_any(histogram)) });
    }
    Ok(out)
}
