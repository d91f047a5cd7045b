//! What is asked of one native histogram: quantiles, fractions, count, sum, mean, deviation.

use model::FloatHistogram;
use model::histogram::Bucket;

use super::kahan::Kahan;
use crate::annotation::NanObservations;

/// The function of that name from a histogram to a number.
pub(super) fn statistic(name: &str) -> Option<fn(&FloatHistogram) -> f64> {
    Some(match name {
        "histogram_count" => |histogram| histogram.count,
        "histogram_sum" => |histogram| histogram.sum,
        "histogram_avg" => |histogram| histogram.sum / histogram.count,
        "histogram_stdvar" => variance,
        "histogram_stddev" => |histogram| variance(histogram).sqrt(),
        _ => return None,
    })
}

fn variance(histogram: &FloatHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut sum = Kahan::default();
    for bucket in histogram.all_buckets().filter(|bucket| bucket.count != 0.0) {
        let value = if histogram.has_custom_buckets() {
            f64::midpoint(bucket.upper, bucket.lower)
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let value = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -value } else { value }
        };
        let delta = value - mean;
        sum = sum.plus(bucket.count * delta * delta);
    }
    (sum.sum + sum.lost) / histogram.count
}

/// A zero bucket ends at zero on the side on which the histogram has no others.
fn at_zero(histogram: &FloatHistogram, bucket: &mut Bucket<f64>) {
    match (histogram.negative.is_empty(), histogram.positive.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
}

/// The φ-quantile, and what NaN observations did to it.
pub(super) fn quantile(phi: f64, histogram: &FloatHistogram) -> (f64, Option<NanObservations>) {
    if phi < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if phi > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || phi.is_nan() {
        return (f64::NAN, None);
    }
    let nan = histogram.sum.is_nan();
    // From the nearer end, except that NaN observations count as above everything.
    let forward = nan || phi < 0.5;
    let buckets: Vec<Bucket<f64>> =
        if forward { histogram.all_buckets().collect() } else { histogram.all_buckets().rev().collect() };
    let rank = if forward { phi * histogram.count } else { (1.0 - phi) * histogram.count };
    let (mut count, mut at) = (0.0, 0);
    for (place, bucket) in buckets.iter().enumerate() {
        at = place;
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    let Some(mut bucket) = buckets.get(at).copied() else {
        // Observations that are in no bucket at all.
        return (if nan { f64::NAN } else { 0.0 }, nan.then_some(NanObservations::QuantileNan));
    };
    if histogram.has_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        at_zero(histogram, &mut bucket);
    }
    // Rounding may have summed up to more.
    let reached = count.min(histogram.count);
    if reached < rank {
        return if nan { (f64::NAN, Some(NanObservations::QuantileNan)) } else { (bucket.upper, None) };
    }
    let within = if forward { rank - (reached - bucket.count) } else { reached - rank };
    let all: f64 = buckets[at + 1..].iter().fold(count, |sum, bucket| sum + bucket.count);
    let skewed = (nan && all < histogram.count).then_some(NanObservations::QuantileSkewed);
    let share = within / bucket.count;
    let linear = histogram.has_custom_buckets() || bucket.lower <= 0.0 && bucket.upper >= 0.0;
    if linear {
        return (bucket.lower + (bucket.upper - bucket.lower) * share, skewed);
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let value = if bucket.lower > 0.0 {
        (lower + (upper - lower) * share).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - share)).exp2()
    };
    (value, skewed)
}

/// How many observations are below `value`, of which `rank` are below its bucket.
fn rank_within(bucket: &Bucket<f64>, rank: f64, value: f64, linear: bool) -> f64 {
    if linear {
        if bucket.lower == f64::NEG_INFINITY {
            return bucket.count;
        }
        return rank + bucket.count * (value - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let at = value.abs().log2();
    let share =
        if value > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - ((at - upper) / (lower - upper)) };
    rank + bucket.count * share
}

/// The share of observations between two bounds, and whether NaN observations are in none.
pub(super) fn fraction(low: f64, high: f64, histogram: &FloatHistogram) -> (f64, Option<NanObservations>) {
    if histogram.count == 0.0 || low.is_nan() || high.is_nan() {
        return (f64::NAN, None);
    }
    if low >= high {
        return (0.0, None);
    }
    let (mut rank, mut low_rank, mut high_rank) = (0.0, None, None);
    for mut bucket in histogram.all_buckets() {
        let zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if zero {
            at_zero(histogram, &mut bucket);
        }
        let linear = histogram.has_custom_buckets() || zero;
        for (value, found) in [(low, &mut low_rank), (high, &mut high_rank)] {
            if found.is_none() && bucket.lower >= value {
                *found = Some(rank);
            } else if found.is_none() && bucket.lower < value && bucket.upper > value {
                *found = Some(rank_within(&bucket, rank, value, linear));
            }
        }
        if low_rank.is_some() && high_rank.is_some() {
            break;
        }
        rank += bucket.count;
    }
    let mut count = histogram.count;
    let mut note = None;
    if histogram.sum.is_nan() {
        count = histogram.all_buckets().fold(0.0, |sum, bucket| sum + bucket.count);
        note = (count < histogram.count).then_some(NanObservations::Fraction);
    }
    let capped = |rank: Option<f64>| rank.filter(|rank| *rank <= count).unwrap_or(count);
    ((capped(high_rank) - capped(low_rank)) / histogram.count, note)
}
