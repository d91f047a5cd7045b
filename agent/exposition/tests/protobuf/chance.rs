//! Pages by chance.

use proptest::prelude::*;
use prost_types::Timestamp;
use proto::prometheus as wire;
use vedette_exposition::HistogramForms;

fn some<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(strategy)
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(0.0),
        Just(1.0),
        Just(f64::INFINITY),
        (-100_i32..100).prop_map(|number| f64::from(number) / 4.0)
    ]
}

fn time() -> impl Strategy<Value = Timestamp> {
    (-1_000_000_000_000_i64..1_000_000_000_000, 0_i32..1_000_000_000)
        .prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn labels() -> impl Strategy<Value = Vec<wire::LabelPair>> {
    proptest::collection::btree_map("[a-dé]{1,3}", "\\PC{0,4}", 0..4).prop_map(|pairs| {
        let pair = |(name, value)| wire::LabelPair { name: Some(name), value: Some(value) };
        pairs.into_iter().map(pair).collect()
    })
}

fn exemplar() -> impl Strategy<Value = wire::Exemplar> {
    (labels(), some(number()), some(time())).prop_map(|(label, value, timestamp)| wire::Exemplar {
        label,
        value,
        timestamp,
    })
}

fn buckets() -> impl Strategy<Value = Vec<wire::Bucket>> {
    let bucket = (some(any::<u64>()), some(number()), some(number()), some(exemplar()));
    proptest::collection::vec(
        bucket.prop_map(|(cumulative_count, cumulative_count_float, upper_bound, exemplar)| wire::Bucket {
            cumulative_count,
            cumulative_count_float,
            upper_bound,
            exemplar,
        }),
        0..4,
    )
}

/// Spans, and a count for each of their buckets.
fn sparse() -> impl Strategy<Value = (Vec<wire::BucketSpan>, Vec<u32>)> {
    let spans = proptest::collection::vec((0_i32..3, 0_u32..3), 0..4);
    (spans, -20_i32..20, proptest::collection::vec(0_u32..4, 12)).prop_map(
        |(mut spans, start, mut counts)| {
            if let Some(first) = spans.first_mut() {
                first.0 = start;
            }
            counts.truncate(spans.iter().map(|(_, length)| *length as usize).sum());
            let span = |(offset, length)| wire::BucketSpan { offset: Some(offset), length: Some(length) };
            (spans.into_iter().map(span).collect(), counts)
        },
    )
}

fn histogram() -> impl Strategy<Value = wire::Histogram> {
    let shape = (-4_i32..20, some(0.0_f64..0.1), 0_u32..3, any::<bool>());
    let rest = (some(-9.0_f64..9.0), some(time()), proptest::collection::vec(exemplar(), 0..3));
    (shape, sparse(), sparse(), rest, buckets()).prop_map(
        |((schema, zero_threshold, zero, floats), positive, negative, rest, bucket)| {
            let (sample_sum, created_timestamp, exemplars) = rest;
            let total = zero + positive.1.iter().sum::<u32>() + negative.1.iter().sum::<u32>();
            let counts = |counts: &[u32]| counts.iter().copied().map(f64::from).collect::<Vec<_>>();
            let deltas = |counts: &[u32]| {
                let mut last = 0;
                let mut next = |count: u32| {
                    let delta = i64::from(count) - last;
                    last = i64::from(count);
                    delta
                };
                counts.iter().copied().map(&mut next).collect::<Vec<_>>()
            };
            let common = wire::Histogram {
                schema: Some(schema),
                zero_threshold,
                sample_sum,
                created_timestamp,
                exemplars,
                bucket,
                positive_span: positive.0,
                negative_span: negative.0,
                ..wire::Histogram::default()
            };
            if floats && total > 0 {
                wire::Histogram {
                    sample_count_float: Some(f64::from(total)),
                    zero_count_float: Some(f64::from(zero)),
                    positive_count: counts(&positive.1),
                    negative_count: counts(&negative.1),
                    ..common
                }
            } else {
                wire::Histogram {
                    sample_count: Some(u64::from(total)),
                    zero_count: Some(u64::from(zero)),
                    positive_delta: deltas(&positive.1),
                    negative_delta: deltas(&negative.1),
                    ..common
                }
            }
        },
    )
}

fn metric() -> impl Strategy<Value = wire::Metric> {
    let quantiles = proptest::collection::vec((some(number()), some(number())), 0..3);
    let summary = (some(any::<u64>()), some(number()), quantiles, some(time())).prop_map(
        |(sample_count, sample_sum, quantiles, created_timestamp)| {
            let quantile = quantiles.into_iter().map(|(quantile, value)| wire::Quantile { quantile, value });
            wire::Summary { sample_count, sample_sum, quantile: quantile.collect(), created_timestamp }
        },
    );
    let counter =
        (some(number()), some(exemplar()), some(time())).prop_map(|(value, exemplar, created_timestamp)| {
            wire::Counter { value, exemplar, created_timestamp }
        });
    let gauge = some(number()).prop_map(|value| wire::Gauge { value });
    let untyped = some(number()).prop_map(|value| wire::Untyped { value });
    let values = (some(gauge), some(counter), some(summary), some(untyped), some(histogram()));
    (labels(), values, some(any::<i64>())).prop_map(
        |(label, (gauge, counter, summary, untyped, histogram), timestamp_ms)| wire::Metric {
            label,
            gauge,
            counter,
            summary,
            untyped,
            histogram,
            timestamp_ms,
        },
    )
}

pub(super) fn families() -> impl Strategy<Value = Vec<wire::MetricFamily>> {
    let unit = some(Just("seconds".to_owned()));
    let family =
        ("[a-zé.]{1,5}", some("\\PC{0,5}"), 0_i32..6, proptest::collection::vec(metric(), 0..3), unit)
            .prop_map(|(name, help, kind, metric, unit)| {
                let name = if unit.is_some() { format!("{name}_seconds") } else { name };
                wire::MetricFamily { name: Some(name), help, r#type: Some(kind), metric, unit }
            });
    proptest::collection::vec(family, 0..4)
}

pub(super) fn forms() -> impl Strategy<Value = HistogramForms> {
    prop_oneof![Just(HistogramForms::Classic), Just(HistogramForms::Native), Just(HistogramForms::Both)]
}
