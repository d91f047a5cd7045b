//! What is written is read back bit by bit, examples of the format have their bytes, and any bytes are read
//! or refused.

use std::sync::Arc;

use model::histogram::{AnyHistogram, Buckets, Histogram, ResetHint, Resolution, Schema, Span};
use model::{HistogramSample, Sample, stale_nan};
use proptest::prelude::*;

use super::*;

fn decoded_floats(chunks: &[Chunk]) -> Vec<Sample> {
    let read = chunks.iter().map(|chunk| match decode(chunk.encoding, &chunk.data) {
        Ok(Samples::Floats(samples)) => samples,
        other => panic!("{other:?}"),
    });
    read.flatten().collect()
}

fn decoded_histograms(chunks: &[Chunk]) -> Vec<HistogramSample> {
    let read = chunks.iter().map(|chunk| match decode(chunk.encoding, &chunk.data) {
        Ok(Samples::Histograms(samples)) => samples,
        other => panic!("{other:?}"),
    });
    read.flatten().collect()
}

#[test]
fn a_chunk_of_floats_has_the_documented_bytes() {
    let samples = [Sample::new(1_000, 1.0), Sample::new(2_000, 1.0), Sample::new(3_001, 3.0)];
    let [chunk] = floats(&samples).try_into().expect("one chunk");
    assert_eq!((chunk.encoding, chunk.start, chunk.end), (Encoding::Xor, 1_000, 3_001));
    let mut want = vec![0, 3];
    // 1000 zigzagged is 2000, as a varint; 1.0 whole.
    want.extend([0xd0, 0x0f]);
    want.extend(1.0_f64.to_be_bytes());
    // A step of 1000 as a varint, then one bit: the same value.
    want.extend([0xe8, 0x07]);
    // 0 | 10 and 1 in 14 bits | 11, 1 zero before in 5 bits, 11 bits that differ in 6, those bits.
    // 1.0 is 3ff0..., 3.0 is 4008...: they differ in 7ff8..., which has 1 zero before and 51 behind: 12 bits.
    let bits = concat!("0", "10", "00000000000001", "11", "00001", "001100", "111111111111");
    let bits = format!("{bits:0<48}");
    want.extend(
        bits.as_bytes()
            .chunks(8)
            .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).expect("digits"), 2).expect("a byte")),
    );
    assert_eq!(chunk.data, want);
}

fn sample(timestamp: i64, hint: ResetHint, counts: &[u64]) -> HistogramSample {
    let histogram = Histogram {
        reset_hint: hint,
        schema: Schema::Exponential(Resolution::new(2).expect("a schema")),
        zero_threshold: 2.0_f64.powi(-128),
        zero_count: 1,
        count: counts.iter().sum::<u64>() + 1,
        sum: 0.5,
        positive: Buckets::new(&[Span { offset: -3, length: 2 }], counts.to_vec()).expect("two buckets"),
        negative: Buckets::default(),
    };
    HistogramSample { timestamp, histogram: Arc::new(AnyHistogram::Integer(histogram)) }
}

#[test]
fn chunks_of_histograms_are_cut_where_readers_must_look_again() {
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    let stale = HistogramSample {
        timestamp: 6,
        histogram: Arc::new(AnyHistogram::Integer(Histogram { sum: stale_nan(), ..Histogram::default() })),
    };
    let samples = [
        sample(0, Unknown, &[1, 2]),
        sample(1, Unknown, &[2, 2]),
        // Less than before.
        sample(2, Unknown, &[1, 1]),
        sample(3, Reset, &[5, 5]),
        sample(4, NotReset, &[6, 6]),
        sample(5, Gauge, &[1, 1]),
        stale,
        sample(7, Unknown, &[1, 1]),
    ];
    let chunks = histograms(&samples);
    let times: Vec<_> = chunks.iter().map(|chunk| (chunk.start, chunk.end)).collect();
    assert_eq!(times, [(0, 1), (2, 2), (3, 4), (5, 5), (6, 6), (7, 7)]);
    let read = decoded_histograms(&chunks);
    let hints: Vec<_> = read.iter().map(|sample| hint(&sample.histogram)).collect();
    assert_eq!(hints, [Unknown, NotReset, Unknown, Reset, NotReset, Gauge, Unknown, Unknown]);
    for (read, written) in read.iter().zip(&samples) {
        assert!(same(read, written), "{read:?}, {written:?}");
    }
}

#[test]
fn a_chunk_of_histograms_has_the_documented_bytes() {
    let [chunk] = histograms(&[sample(3, ResetHint::NotReset, &[2, 5])]).try_into().expect("one chunk");
    let bits = [
        // One sample, no reset before, 2^-128 as one byte: half of 2^-127, and 243.
        "0000000000000001",
        "01000000",
        "01110100",
        // Schema 2; one span of two buckets at -3; no span below zero.
        "10010",
        "10001",
        "10010",
        "10101",
        "0",
        // Time 3; 8 observations, one in the zero bucket; the sum whole.
        "10011",
        "110001000",
        "10001",
        &format!("{:064b}", 0.5_f64.to_bits()),
        // 2, and 3 more.
        "10010",
        "10011",
    ];
    let mut bits = bits.concat();
    bits.push_str(&"0".repeat((8 - bits.len() % 8) % 8));
    let want: Vec<u8> = bits
        .as_bytes()
        .chunks(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).expect("digits"), 2).expect("a byte"))
        .collect();
    assert_eq!(chunk.data, want);
}

fn hint(histogram: &AnyHistogram) -> ResetHint {
    match histogram {
        AnyHistogram::Integer(it) => it.reset_hint,
        AnyHistogram::Float(it) => it.reset_hint,
    }
}

fn same(one: &HistogramSample, two: &HistogramSample) -> bool {
    one.timestamp == two.timestamp
        && match (one.histogram.as_ref(), two.histogram.as_ref()) {
            (AnyHistogram::Integer(one), AnyHistogram::Integer(two)) => one.same_data(two),
            (AnyHistogram::Float(one), AnyHistogram::Float(two)) => one.same_data(two),
            _ => false,
        }
}

/// Floats of every kind: any bits, decimals, small whole numbers.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-1_000_i32..1_000).prop_map(|tenths| f64::from(tenths) / 10.0),
        (0_u32..5).prop_map(f64::from),
        Just(stale_nan()),
    ]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0_i64..20_000, 1 => 0_i64..1 << 40, 1 => Just(15_000)]
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    let span = (0_i32..1_000, 1_u32..6).prop_map(|(offset, length)| Span { offset, length });
    (prop::collection::vec(span, 0..4), -2_000_i32..2_000).prop_map(|(mut spans, first)| {
        if let Some(span) = spans.first_mut() {
            span.offset = first;
        }
        spans
    })
}

/// Also ones that thousandths cannot write.
fn bound() -> impl Strategy<Value = f64> {
    value().prop_filter("a number", |value| !value.is_nan())
}

fn schema() -> impl Strategy<Value = Schema> {
    prop_oneof![
        (-4_i32..=8).prop_map(|n| Schema::Exponential(Resolution::new(n).expect("a schema"))),
        prop::collection::vec(bound(), 0..5).prop_map(|bounds| Schema::Custom(bounds.into())),
    ]
}

fn layout() -> impl Strategy<Value = (Schema, f64, Vec<Span>, Vec<Span>)> {
    let threshold = prop_oneof![Just(0.0), (-300_i32..20).prop_map(|power| 2.0_f64.powi(power)), bound(),];
    (schema(), threshold, spans(), spans())
}

fn histogram_samples() -> impl Strategy<Value = Vec<HistogramSample>> {
    let hint = prop_oneof![
        6 => Just(ResetHint::Unknown),
        1 => Just(ResetHint::Reset),
        3 => Just(ResetHint::NotReset),
        1 => Just(ResetHint::Gauge),
    ];
    let one = (0_usize..3, time(), hint, any::<bool>(), prop::collection::vec(value(), 12));
    (prop::collection::vec(layout(), 3), prop::collection::vec(one, 0..24)).prop_map(|(layouts, all)| {
        let mut now = -5_000;
        let made = all.into_iter().map(|(at, step, reset_hint, float, values)| {
            now += step;
            let (schema, zero_threshold, positive, negative) = layouts[at / 2].clone();
            let counts = |spans: &[Span], skip: usize| -> Vec<f64> {
                let count = spans.iter().map(|span| span.length as usize).sum();
                values.iter().cycle().skip(skip).take(count).copied().collect()
            };
            let side = |spans: &[Span], skip| Buckets::new(spans, counts(spans, skip)).expect("buckets");
            let histogram = Histogram {
                reset_hint,
                schema,
                zero_threshold,
                zero_count: values[0],
                count: values[1],
                sum: values[2],
                positive: side(&positive, 3),
                negative: side(&negative, 7),
            };
            let histogram = if float {
                AnyHistogram::Float(histogram)
            } else {
                AnyHistogram::Integer(histogram.map(f64::to_bits))
            };
            HistogramSample { timestamp: now, histogram: Arc::new(histogram) }
        });
        made.collect()
    })
}

proptest! {
    #[test]
    fn floats_are_read_back(steps in prop::collection::vec((time(), value()), 0..260), start in any::<i32>()) {
        let mut now = i64::from(start);
        let samples: Vec<Sample> = steps.into_iter().map(|(step, value)| {
            now += step;
            Sample::new(now, value)
        }).collect();
        let chunks = floats(&samples);
        prop_assert_eq!(chunks.len(), samples.len().div_ceil(SAMPLES_PER_CHUNK));
        let bits = |samples: &[Sample]| -> Vec<(i64, u64)> {
            samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits())).collect()
        };
        prop_assert_eq!(bits(&decoded_floats(&chunks)), bits(&samples));
    }

    #[test]
    fn histograms_are_read_back(samples in histogram_samples()) {
        let read = decoded_histograms(&histograms(&samples));
        prop_assert_eq!(read.len(), samples.len());
        for (read, written) in read.iter().zip(&samples) {
            if written.histogram.is_stale() {
                prop_assert!(read.histogram.is_stale());
            } else {
                prop_assert!(same(read, written), "{:?} became {:?}", written, read);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut data in prop::collection::vec(any::<u8>(), 0..200), few in any::<bool>()) {
        if few && data.len() > 1 {
            data[0] = 0;
        }
        for encoding in [Encoding::Xor, Encoding::Histogram, Encoding::FloatHistogram] {
            let _ = decode(encoding, &data);
        }
    }
}
