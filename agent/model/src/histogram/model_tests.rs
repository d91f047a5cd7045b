//! Histograms against the plainest model of them: a map from bucket index to count for each side.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Side = BTreeMap<i32, u64>;

fn buckets(side: &Side) -> Buckets<u64> {
    side.iter().map(|(index, count)| (*index, *count)).collect()
}

fn side<C: Count>(buckets: &Buckets<C>) -> BTreeMap<i32, f64> {
    buckets.iter().map(|(index, count)| (index, count.to_f64())).filter(|(_, count)| *count != 0.0).collect()
}

fn resolution() -> impl Strategy<Value = Resolution> {
    (Resolution::COARSEST..=Resolution::FINEST).prop_map(|schema| Resolution::new(schema).expect("a schema"))
}

fn cells() -> impl Strategy<Value = Side> {
    proptest::collection::btree_map(-12_i32..12, 0_u64..4, 0..8)
}

/// A histogram with no bucket within its zero bucket, and a count and sum that suit its buckets.
fn histogram() -> impl Strategy<Value = IntegerHistogram> {
    let threshold = prop_oneof![Just(0.0), Just(0.001), 0.01_f64..3.0, Just(1.0), Just(0.5)];
    (resolution(), threshold, 0_u64..3, cells(), cells()).prop_map(
        |(resolution, zero_threshold, zero_count, mut positive, mut negative)| {
            let schema = Schema::Exponential(resolution);
            for side in [&mut positive, &mut negative] {
                side.retain(|index, _| schema.bound(index - 1) >= zero_threshold);
            }
            let count = zero_count + positive.values().sum::<u64>() + negative.values().sum::<u64>();
            let (positive, negative) = (buckets(&positive), buckets(&negative));
            let sum = count.to_f64() / 2.0;
            Histogram {
                schema,
                zero_threshold,
                zero_count,
                count,
                sum,
                positive,
                negative,
                ..Histogram::default()
            }
        },
    )
}

/// The zero bucket of both: as wide as the wider one, and wider while it ends within a populated bucket.
fn common_threshold(histograms: [&FloatHistogram; 2]) -> f64 {
    let mut threshold = histograms[0].zero_threshold.max(histograms[1].zero_threshold);
    while let Some(end) = histograms.iter().find_map(|histogram| {
        let both = side(&histogram.positive).into_iter().chain(side(&histogram.negative));
        let bound = |index| histogram.schema.bound(index);
        both.map(|(index, _)| index)
            .find(|index| bound(index - 1) < threshold && threshold < bound(*index))
            .map(bound)
    }) {
        threshold = end;
    }
    threshold
}

/// Adds one side's counts to the coarser map, or to the zero bucket.
fn give(
    schema: &Schema,
    buckets: &Buckets<f64>,
    coarser: Resolution,
    threshold: f64,
    out: &mut BTreeMap<i32, f64>,
) -> f64 {
    let mut zero = 0.0;
    for (index, count) in side(buckets) {
        if schema.bound(index - 1) < threshold {
            zero += count;
        } else {
            let width = 1_i32 << (schema.number() - coarser.number());
            *out.entry(index.div_euclid(width) + i32::from(index.rem_euclid(width) != 0)).or_default() +=
                count;
        }
    }
    zero
}

proptest! {
    #[test]
    fn any_spans_make_buckets_or_an_error(
        spans in proptest::collection::vec((any::<i32>(), prop_oneof![any::<u32>(), 0_u32..3]), 0..5),
        small in proptest::collection::vec((0_i32..4, 0_u32..4), 0..8),
        start in -10_i32..10,
    ) {
        let spans: Vec<Span> = spans.into_iter().map(|(offset, length)| Span { offset, length }).collect();
        let _ = Buckets::new(&spans, vec![1.0; 3]);
        let mut small: Vec<Span> = small.into_iter().map(|(offset, length)| Span { offset, length }).collect();
        if let Some(first) = small.first_mut() {
            first.offset = start;
        }
        let mut naive = Vec::new();
        let mut next = 0;
        for span in &small {
            next += span.offset;
            for _ in 0..span.length {
                naive.push((next, naive.len() as u64));
                next += 1;
            }
        }
        let counts: Vec<u64> = (0..naive.len() as u64).collect();
        let buckets = Buckets::new(&small, counts).expect("spans and counts agree");
        prop_assert_eq!(buckets.iter().collect::<Vec<_>>(), naive.clone());
        naive.reverse();
        prop_assert_eq!(buckets.iter().rev().collect::<Vec<_>>(), naive);
        prop_assert!(buckets.spans().iter().all(|span| span.length > 0));
        prop_assert!(buckets.spans().iter().skip(1).all(|span| span.offset > 0));
    }

    #[test]
    fn walks_from_both_ends_meet(cells in cells(), turns in proptest::collection::vec(any::<bool>(), 30)) {
        let held = buckets(&cells);
        let mut walk = held.iter();
        let (mut front, mut back) = (Vec::new(), Vec::new());
        for turn in turns {
            if turn { front.extend(walk.next()) } else { back.extend(walk.next_back()) }
        }
        front.extend(back.into_iter().rev());
        prop_assert_eq!(front, cells.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn compaction_keeps_the_counts(cells in cells(), max_empty in 0_u8..5) {
        let mut held = buckets(&cells);
        let before = side(&held);
        held.compact(max_empty);
        prop_assert_eq!(side(&held), before.clone());
        // Populated buckets, joined where few enough lie between.
        let mut spans: Vec<(i32, i32)> = Vec::new();
        for index in before.into_keys() {
            match spans.last_mut() {
                Some((_, end)) if index - *end <= i32::from(max_empty) => *end = index + 1,
                _ => spans.push((index, index + 1)),
            }
        }
        let (mut found, mut next) = (Vec::new(), 0);
        for span in held.spans() {
            let start = next + span.offset;
            next = start + i32::try_from(span.length).expect("small");
            found.push((start, next));
        }
        prop_assert_eq!(found, spans);
    }

    #[test]
    fn reducing_moves_counts_to_the_bucket_around_theirs(histogram in histogram(), to in resolution()) {
        let mut reduced = histogram.clone();
        let Ok(()) = reduced.reduce_resolution(to) else {
            prop_assert!(to.number() > histogram.schema.number());
            return Ok(());
        };
        prop_assert_eq!(reduced.validate(), Ok(()));
        let mut naive = BTreeMap::new();
        for bucket in histogram.positive_buckets().filter(|bucket| bucket.count > 0) {
            let around = (-20..20).find(|index| bucket.upper <= reduced.schema.bound(*index));
            *naive.entry(around.expect("a bucket")).or_default() += bucket.count.to_f64();
        }
        prop_assert_eq!(side(&reduced.positive), naive);
    }

    #[test]
    fn adding_is_adding_maps(one in histogram(), two in histogram()) {
        let (one, two) = (one.to_float(), two.to_float());
        let coarser = Resolution::new(one.schema.number().min(two.schema.number())).expect("a schema");
        let threshold = common_threshold([&one, &two]);
        let (mut positive, mut negative) = (BTreeMap::new(), BTreeMap::new());
        let mut zero = one.zero_count + two.zero_count;
        for histogram in [&one, &two] {
            zero += give(&histogram.schema, &histogram.positive, coarser, threshold, &mut positive);
            zero += give(&histogram.schema, &histogram.negative, coarser, threshold, &mut negative);
        }
        for (first, second) in [(&one, &two), (&two, &one)] {
            let mut sum = first.clone();
            sum.add(second).expect("one kind");
            prop_assert_eq!(side(&sum.positive), positive.clone());
            prop_assert_eq!(side(&sum.negative), negative.clone());
            prop_assert_eq!((sum.zero_count, sum.zero_threshold), (zero, threshold));
            prop_assert_eq!((sum.count, sum.sum), (one.count + two.count, one.sum + two.sum));
            prop_assert_eq!(sum.validate(), Ok(()));

            let mut running = HistogramSum::new(first);
            running.add(second).expect("one kind");
            let mut running = running.finish();
            running.compact(0);
            let mut compact = sum.clone();
            compact.compact(0);
            prop_assert_eq!(running, compact);
        }
    }

    #[test]
    fn subtracting_undoes_adding(one in histogram(), two in histogram()) {
        let (one, two) = (one.to_float(), two.to_float());
        let mut sum = one.clone();
        sum.add(&two).expect("one kind");
        sum.subtract(&two).expect("one kind");
        sum.compact(0);
        // One by itself at the schema and zero bucket of both.
        let mut expected = one.clone();
        let mut nothing = two.clone();
        nothing.multiply(0.0);
        expected.add(&nothing).expect("one kind");
        expected.widen_zero(sum.zero_threshold);
        expected.compact(0);
        prop_assert_eq!((sum.count, sum.sum), (expected.count, expected.sum));
        prop_assert_eq!(&sum.schema, &expected.schema);
        let total = |histogram: &FloatHistogram| {
            histogram.positive.counts().iter().chain(histogram.negative.counts()).sum::<f64>() + histogram.zero_count
        };
        prop_assert_eq!(total(&sum), total(&one));
    }

    #[test]
    fn growing_is_no_reset_and_shrinking_is(histogram in histogram(), more in cells(), to in resolution()) {
        let grown: IntegerHistogram = {
            let mut grown = histogram.clone();
            let extra: Side = more
                .into_iter()
                .filter(|(index, _)| histogram.schema.bound(index - 1) >= histogram.zero_threshold)
                .collect();
            grown.positive.absorb(&buckets(&extra), 0, |count| count);
            grown.count += extra.values().sum::<u64>();
            grown
        };
        prop_assert!(!grown.is_reset_after(&histogram));
        prop_assert!(!grown.to_float().is_reset_after(&histogram.to_float()));
        let fell = side(&histogram.positive) != side(&grown.positive);
        prop_assert_eq!(histogram.is_reset_after(&grown), fell);
        if histogram.zero_threshold == 0.0 {
            let mut coarse = grown.clone();
            if coarse.reduce_resolution(to).is_ok() {
                prop_assert!(!coarse.is_reset_after(&histogram));
                prop_assert_eq!(histogram.is_reset_after(&coarse), fell || to.number() < histogram.schema.number());
            }
        }
    }

    #[test]
    fn custom_bounds_are_reconciled_as_sets(
        one in proptest::collection::btree_map(0_u8..20, 1_u64..4, 0..6),
        two in proptest::collection::btree_map(0_u8..20, 1_u64..4, 0..6),
        beyond in (0_u64..3, 0_u64..3),
    ) {
        let make = |cells: &BTreeMap<u8, u64>, beyond: u64| -> FloatHistogram {
            let bounds = cells.keys().map(|bound| f64::from(*bound)).collect();
            let counts = cells.values().copied().chain([beyond]);
            let positive: Buckets<u64> = (0..).zip(counts).collect();
            let count = positive.counts().iter().sum();
            Histogram { schema: Schema::Custom(bounds), count, positive, ..Histogram::default() }.to_float()
        };
        let (left, right) = (make(&one, beyond.0), make(&two, beyond.1));
        prop_assert_eq!(left.validate(), Ok(()));
        let common: Vec<u8> = one.keys().filter(|bound| two.contains_key(bound)).copied().collect();
        let mut naive = BTreeMap::new();
        for (cells, beyond) in [(&one, beyond.0), (&two, beyond.1)] {
            for (bound, count) in cells.iter().map(|(bound, count)| (*bound, *count)).chain([(u8::MAX, beyond)]) {
                let at = common.iter().position(|end| *end >= bound).unwrap_or(common.len());
                *naive.entry(i32::try_from(at).expect("small")).or_insert(0.0) += count.to_f64();
            }
        }
        naive.retain(|_, count| *count != 0.0);
        let mut sum = left.clone();
        let merged = sum.add(&right).expect("one kind");
        prop_assert_eq!(side(&sum.positive), naive);
        prop_assert_eq!(merged.bounds_reconciled, !one.keys().eq(two.keys()));
        prop_assert_eq!(sum.validate(), Ok(()));
        prop_assert!(!sum.is_reset_after(&left) && !sum.is_reset_after(&right));
    }

    #[test]
    fn notation_is_read_back(histogram in histogram()) {
        let mut histogram = histogram.to_float();
        let written = histogram.notation().expect("no wide gaps");
        let mut again = FloatHistogram::from_notation(&written).expect("own notation");
        histogram.compact(0);
        again.compact(0);
        prop_assert_eq!(again, histogram);
    }

    #[test]
    fn no_notation_panics(text in "\\{\\{(schema:|buckets:\\[|offset:|count:|[0-9 :\\]-]|x){0,20}\\}\\}") {
        let _ = FloatHistogram::from_notation(&text).map(|histogram| {
            let _ = (histogram.validate(), histogram.notation(), histogram.to_string());
        });
    }

    #[test]
    fn no_numbers_panic(
        bits in proptest::collection::vec(any::<u64>(), 12),
        offsets in (-1100_i32..1100, 0_i32..5),
        custom in any::<(bool, bool)>(),
    ) {
        let float = |at: usize| f64::from_bits(bits[at]);
        let make = |at: usize, custom: bool| {
            let spans = [Span { offset: offsets.0, length: 1 }, Span { offset: offsets.1, length: 1 }];
            let schema = if custom { Schema::Custom([float(at)].into()) } else { Schema::default() };
            let positive = Buckets::new(&spans, vec![float(at + 1), float(at + 2)]).expect("buckets");
            let negative = Buckets::new(&spans, vec![float(at + 2), float(at)]).expect("buckets");
            Histogram {
                schema, positive, negative, zero_threshold: float(at + 3), zero_count: float(at + 4),
                count: float(at + 5), ..Histogram::default()
            }
        };
        let (one, two) = (make(0, custom.0), make(6, custom.1));
        let _ = (one.validate(), one.is_reset_after(&two), one.to_string(), one.all_buckets().count());
        let mut sum = one.clone();
        let _ = sum.add(&two);
        sum.compact(3);
        let mut running = HistogramSum::new(&one);
        let _ = running.add(&two);
        let _ = running.finish();
    }
}
