//! Histograms of points: as native ones, exponential or with custom bounds.

use model::histogram::{AnyHistogram, Buckets, ResetHint, Resolution, Schema, Span};
use model::{IntegerHistogram, stale_nan};

use super::data::{Point, Side};

/// What is taken for nothing where a point does not say.
const ZERO_THRESHOLD: f64 = 1e-128;
/// Empty buckets between others that are kept rather than begin a new span.
const GAP_MAX: usize = 2;

/// An exponential histogram.
///
/// # Errors
/// What is wrong with it.
pub(super) fn exponential(point: &Point) -> Result<AnyHistogram, String> {
    if point.is_missing {
        return Ok(AnyHistogram::Integer(IntegerHistogram::stale()));
    }
    let (coarsest, finest) = (-4, Resolution::FINEST);
    if point.scale < coarsest {
        return Err(format!(
            "cannot convert exponential to native histogram: scale must be >= -4, was {}",
            point.scale
        ));
    }
    let schema = point.scale.min(finest);
    let halvings = point.scale.abs_diff(schema);
    let resolution = Resolution::new(schema).ok_or_else(|| format!("no resolution {schema}"))?;
    let side = |side: &Side, name: &'static str| {
        // A bucket of theirs is named by its lower bound, one of ours by its upper bound.
        let spans = spans(side.offset.saturating_add(1), &side.counts);
        let buckets = Buckets::new(&spans.0, spans.1).map_err(|error| error.on(name).to_string())?;
        Ok::<_, String>(if halvings > 0 { buckets.coarsened(halvings) } else { buckets })
    };
    let histogram = AnyHistogram::Integer(IntegerHistogram {
        reset_hint: ResetHint::Unknown,
        schema: Schema::Exponential(resolution),
        zero_threshold: if point.zero_threshold > 0.0 { point.zero_threshold } else { ZERO_THRESHOLD },
        zero_count: point.zero_count,
        count: point.count,
        sum: point.sum.unwrap_or(0.0),
        positive: side(&point.positive, "positive")?,
        negative: side(&point.negative, "negative")?,
    });
    histogram.validate().map_err(|error| error.to_string())?;
    Ok(histogram)
}

/// A histogram with bounds of its own, as a native one.
///
/// # Errors
/// What is wrong with it.
pub(super) fn custom(point: &Point) -> Result<AnyHistogram, String> {
    if point.is_missing {
        return Ok(AnyHistogram::Integer(IntegerHistogram::stale()));
    }
    let mut bounds = point.bounds.clone();
    // The last bucket has no upper bound, which goes without saying.
    if bounds.last().is_some_and(|last| *last == f64::INFINITY) {
        bounds.pop();
    }
    let (spans, counts) = spans(0, &point.counts);
    let positive = Buckets::new(&spans, counts).map_err(|error| error.on("positive").to_string())?;
    let histogram = AnyHistogram::Integer(IntegerHistogram {
        schema: Schema::Custom(bounds.into()),
        count: point.count,
        sum: point.sum.unwrap_or(0.0),
        positive,
        ..IntegerHistogram::default()
    });
    histogram.validate().map_err(|error| error.to_string())?;
    Ok(histogram)
}

/// Spans and counts of buckets from an index on, without long empty stretches.
fn spans(first: i32, counts: &[u64]) -> (Vec<Span>, Vec<u64>) {
    let (mut spans, mut kept): (Vec<Span>, Vec<u64>) = (Vec::new(), Vec::new());
    let mut empty = 0_usize;
    let mut begun = false;
    for (at, count) in counts.iter().enumerate() {
        if *count == 0 {
            empty += 1;
            continue;
        }
        match spans.last_mut().filter(|_| begun && empty <= GAP_MAX) {
            Some(span) => {
                kept.extend(std::iter::repeat_n(0, empty));
                span.length += u32::try_from(empty).unwrap_or(0) + 1;
            }
            None => {
                let gap = i32::try_from(empty).unwrap_or(i32::MAX);
                let offset =
                    if begun { gap } else { first.saturating_add(i32::try_from(at).unwrap_or(i32::MAX)) };
                spans.push(Span { offset, length: 1 });
            }
        }
        kept.push(*count);
        (empty, begun) = (0, true);
    }
    (spans, kept)
}

/// A value, or the end of its series.
pub(super) fn or_end(point: &Point, value: f64) -> f64 {
    if point.is_missing { stale_nan() } else { value }
}
