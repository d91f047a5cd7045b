//! What all histograms of a chunk share: where their buckets lie.

use std::sync::Arc;

use model::histogram::{CUSTOM_SCHEMA, Count, Histogram, Resolution, Schema, Span};

use super::bits::{BitReader, BitWriter, End};
use super::varbit;

/// Bounds up to this, in thousandths, are written as whole numbers.
const BOUND_MAX: f64 = 33_554_430.0;

/// Where the buckets of a chunk's histograms lie.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) schema: Schema,
    pub(super) zero_threshold: f64,
    pub(super) positive: Vec<Span>,
    pub(super) negative: Vec<Span>,
}

/// Bytes that are no layout.
#[derive(Debug)]
pub(super) enum LayoutError {
    End,
    Wrong(String),
}

impl From<End> for LayoutError {
    fn from(End: End) -> Self {
        Self::End
    }
}

impl Layout {
    pub(super) fn of<C: Count>(histogram: &Histogram<C>) -> Self {
        Self {
            schema: histogram.schema.clone(),
            zero_threshold: histogram.zero_threshold,
            positive: histogram.positive.spans().to_vec(),
            negative: histogram.negative.spans().to_vec(),
        }
    }

    /// Buckets above and below the zero bucket.
    pub(super) fn buckets(&self) -> (usize, usize) {
        let all = |spans: &[Span]| spans.iter().map(|span| span.length as usize).sum();
        (all(&self.positive), all(&self.negative))
    }

    pub(super) fn put(&self, out: &mut BitWriter) {
        put_threshold(out, self.zero_threshold);
        varbit::put_int(out, i64::from(self.schema.number()));
        for spans in [&self.positive, &self.negative] {
            varbit::put_uint(out, spans.len() as u64);
            for span in spans {
                varbit::put_uint(out, u64::from(span.length));
                varbit::put_int(out, i64::from(span.offset));
            }
        }
        if let Schema::Custom(bounds) = &self.schema {
            varbit::put_uint(out, bounds.len() as u64);
            bounds.iter().for_each(|bound| put_bound(out, *bound));
        }
    }

    pub(super) fn take(bits: &mut BitReader<'_>) -> Result<Self, LayoutError> {
        let zero_threshold = take_threshold(bits)?;
        let schema = varbit::take_int(bits)?;
        let positive = take_spans(bits)?;
        let negative = take_spans(bits)?;
        let exponential = i32::try_from(schema).ok().and_then(Resolution::new);
        let schema = match exponential {
            Some(resolution) => Schema::Exponential(resolution),
            None if schema == i64::from(CUSTOM_SCHEMA) => {
                let count = varbit::take_uint(bits)?;
                few(count, bits)?;
                let bounds: Result<Arc<[f64]>, End> = (0..count).map(|_| take_bound(bits)).collect();
                Schema::Custom(bounds?)
            }
            None => return Err(LayoutError::Wrong(format!("there is no schema {schema}"))),
        };
        Ok(Self { schema, zero_threshold, positive, negative })
    }
}

/// Each part takes a bit at least: damaged bytes cannot claim memory that they do not have the size for.
fn few(count: u64, bits: &BitReader<'_>) -> Result<(), LayoutError> {
    if count > bits.left() as u64 { Err(LayoutError::End) } else { Ok(()) }
}

fn take_spans(bits: &mut BitReader<'_>) -> Result<Vec<Span>, LayoutError> {
    let (count, mut buckets) = (varbit::take_uint(bits)?, 0_u64);
    few(count, bits)?;
    let mut spans = Vec::new();
    for _ in 0..count {
        let length = varbit::take_uint(bits)?;
        buckets = buckets.saturating_add(length);
        few(buckets, bits)?;
        let offset = varbit::take_int(bits)?;
        let offset =
            i32::try_from(offset).map_err(|_| LayoutError::Wrong(format!("an offset of {offset}")))?;
        spans.push(Span { offset, length: u32::try_from(length).unwrap_or(u32::MAX) });
    }
    Ok(spans)
}

/// Zero, or the exponent of a power of two from 2^-243 to 2^10, is one byte; others are 255 and the float.
fn put_threshold(out: &mut BitWriter, threshold: f64) {
    let bits = threshold.to_bits();
    if bits == 0 {
        out.put_byte(0);
        return;
    }
    // A power of two has no fraction. Its exponent counts from one half, as C's frexp does; a sign makes it
    // far too large.
    let power = (bits >> 52).cast_signed() - 1022;
    match u8::try_from(power + 243) {
        Ok(byte @ 1..=254) if bits << 12 == 0 => out.put_byte(byte),
        _ => {
            out.put_byte(u8::MAX);
            out.put_float(threshold);
        }
    }
}

fn take_threshold(bits: &mut BitReader<'_>) -> Result<f64, End> {
    match bits.take_byte()? {
        0 => Ok(0.0),
        u8::MAX => bits.take_float(),
        power => Ok(f64::from_bits((u64::from(power) + 1022 - 243) << 52)),
    }
}

/// Thousandths as a whole number where they are one, so that what people choose takes few bits.
fn put_bound(out: &mut BitWriter, bound: f64) {
    let thousandths = bound * 1_000.0;
    if (0.0..=BOUND_MAX).contains(&thousandths)
        && thousandths.fract() == 0.0
        && (thousandths / 1_000.0).to_bits() == bound.to_bits()
    {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and in the range"
        )]
        varbit::put_uint(out, thousandths as u64 + 1);
    } else {
        out.put(0, 1);
        out.put_float(bound);
    }
}

fn take_bound(bits: &mut BitReader<'_>) -> Result<f64, End> {
    match varbit::take_uint(bits)? {
        0 => bits.take_float(),
        #[allow(clippy::cast_precision_loss, reason = "the writer's numbers are small")]
        above => Ok((above - 1) as f64 / 1_000.0),
    }
}
