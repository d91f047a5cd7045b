//! `</` and `>/`: a native histogram without the observations above or below a value.

use model::FloatHistogram;
use model::histogram::{Bucket, Buckets};

/// Which observations stay.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// `</`
    Below,
    /// `>/`
    Above,
}

/// What is left, with count and sum as far as the buckets tell.
pub(super) fn trim(histogram: &FloatHistogram, limit: f64, keep: Keep) -> FloatHistogram {
    let custom = histogram.has_custom_buckets();
    let mut total = Total::default();
    let mut out = histogram.clone();
    let has = |side: &Buckets<f64>| side.counts().iter().any(|count| *count != 0.0);
    let (positive, negative) = (has(&histogram.positive), has(&histogram.negative));
    out.positive = total.side(histogram.positive_buckets(), limit, keep, true, custom);
    out.negative = total.side(histogram.negative_buckets(), limit, keep, false, custom);
    if histogram.zero_count > 0.0 {
        let mut zero = histogram.zero_bucket();
        if negative && !positive {
            zero.upper = 0.0;
        }
        if positive && !negative {
            zero.lower = 0.0;
        }
        let (count, middle) = zero_left(&zero, limit, keep);
        total.changed |= count != histogram.zero_count;
        out.zero_count = count;
        total.add(count, middle);
    }
    if !total.changed {
        return histogram.clone();
    }
    (out.count, out.sum) = (total.count, total.sum);
    out.compact(0);
    out
}

#[derive(Default)]
struct Total {
    count: f64,
    sum: f64,
    changed: bool,
}

impl Total {
    fn add(&mut self, count: f64, middle: f64) {
        self.count += count;
        self.sum += middle * count;
    }

    fn side(
        &mut self,
        buckets: impl Iterator<Item = Bucket<f64>>,
        limit: f64,
        keep: Keep,
        positive: bool,
        custom: bool,
    ) -> Buckets<f64> {
        let mut left = Vec::new();
        for bucket in buckets {
            if bucket.count == 0.0 {
                left.push((bucket.index, 0.0));
                continue;
            }
            let (whole, part) = match keep {
                Keep::Below => (bucket.upper <= limit, bucket.lower < limit),
                Keep::Above => (bucket.lower >= limit, bucket.upper > limit),
            };
            let (count, middle) = if whole {
                (bucket.count, middle(bucket.lower, bucket.upper, positive, custom))
            } else if part {
                part_left(&bucket, limit, keep, positive, custom)
            } else {
                (0.0, 0.0)
            };
            self.changed |= count != bucket.count || !whole && !part;
            self.add(count, middle);
            left.push((bucket.index, count));
        }
        left.into_iter().collect()
    }
}

/// What stands for the observations between two bounds.
fn middle(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => (lower + upper) / 2.0,
        (false, false) => {
            let mean = (lower * upper).abs().sqrt();
            if positive { mean } else { -mean }
        }
    }
}

/// What a bucket that holds the limit keeps: how many, and what stands for them.
fn part_left(bucket: &Bucket<f64>, limit: f64, keep: Keep, positive: bool, custom: bool) -> (f64, f64) {
    if bucket.lower == f64::NEG_INFINITY {
        return first_left(bucket, limit, keep);
    }
    if bucket.upper == f64::INFINITY {
        // Nobody knows how far its observations reach.
        let whole = keep == Keep::Above && limit >= bucket.lower;
        return if whole { (bucket.count, limit) } else { (0.0, bucket.lower) };
    }
    let below = bucket.count * share_below(bucket, limit, positive, custom);
    match keep {
        Keep::Below => (below, middle(bucket.lower, limit, positive, custom)),
        Keep::Above => (bucket.count - below, middle(limit, bucket.upper, positive, custom)),
    }
}

/// The same for the bucket that begins at minus infinity; with a positive end it is taken to begin at zero.
fn first_left(bucket: &Bucket<f64>, limit: f64, keep: Keep) -> (f64, f64) {
    let upper = bucket.upper;
    let end = if upper.is_infinite() { 0.0 } else { upper };
    let from_zero = upper > 0.0 && upper != f64::INFINITY;
    match keep {
        Keep::Below if limit >= upper => (bucket.count, 0.0),
        Keep::Below if limit > 0.0 && from_zero => (bucket.count * limit / upper, limit / 2.0),
        Keep::Below if upper <= 0.0 => (bucket.count, limit),
        Keep::Above if limit <= bucket.lower => (bucket.count, 0.0),
        Keep::Above if limit >= 0.0 && upper > limit && from_zero => {
            (bucket.count * (1.0 - limit / upper), (limit + upper) / 2.0)
        }
        _ => (0.0, end),
    }
}

/// How much of a bucket is below the limit inside it.
fn share_below(bucket: &Bucket<f64>, limit: f64, positive: bool, linear: bool) -> f64 {
    if limit <= bucket.lower {
        return 0.0;
    }
    if limit >= bucket.upper {
        return 1.0;
    }
    if linear {
        return (limit - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let at = limit.abs().log2();
    if positive { (at - lower) / (upper - lower) } else { 1.0 - ((at - upper) / (lower - upper)) }
}

/// What the zero bucket keeps.
fn zero_left(zero: &Bucket<f64>, limit: f64, keep: Keep) -> (f64, f64) {
    let (lower, upper) = (zero.lower, zero.upper);
    let whole = (zero.count, (lower + upper) / 2.0);
    match keep {
        Keep::Below if limit <= lower => (0.0, 0.0),
        Keep::Below if limit >= upper => whole,
        Keep::Below => (zero.count * ((limit - lower) / (upper - lower)), (lower + limit) / 2.0),
        Keep::Above if limit <= lower => whole,
        Keep::Above if limit >= upper => (0.0, 0.0),
        Keep::Above => (zero.count * ((upper - limit) / (upper - lower)), (limit + upper) / 2.0),
    }
}
