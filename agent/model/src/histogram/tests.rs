//! Histograms by example: what is refused, what is printed, what becomes of two.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;

fn read(text: &str) -> FloatHistogram {
    FloatHistogram::from_notation(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn integer(schema: Schema, spans: &[(i32, u32)], counts: &[u64], count: u64) -> IntegerHistogram {
    let spans: Vec<Span> = spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
    let positive = Buckets::new(&spans, counts.to_vec()).expect("buckets");
    Histogram { schema, count, positive, ..Histogram::default() }
}

#[test]
fn spans_that_cannot_be_are_refused_by_number() {
    for (spans, counts, error) in [
        (&[(0, 2)][..], 3, "spans need 2 buckets, have 3 buckets"),
        (&[(0, u32::MAX), (0, u32::MAX)], 3, "span number 1 has a bucket index beyond 1073741824"),
        (&[(i32::MIN, 1)], 1, "span number 1 has a bucket index beyond 1073741824"),
        (&[(0, 1), (-1, 1)], 2, "span number 2 has the negative offset -1"),
        (&[], 1, "spans need 0 buckets, have 1 buckets"),
    ] {
        let spans: Vec<Span> = spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
        let found = Buckets::new(&spans, vec![1_u64; counts]).expect_err(error);
        assert_eq!(found.to_string(), error);
    }
}

#[test]
fn spans_have_one_spelling() {
    let spans = |pairs: &[(i32, u32)]| -> Vec<Span> {
        pairs.iter().map(|&(offset, length)| Span { offset, length }).collect()
    };
    for (written, kept) in [
        (&[(-3, 0), (1, 2), (0, 1), (2, 0), (1, 1), (5, 0)][..], &[(-2, 3), (3, 1)][..]),
        (&[(7, 0)], &[]),
        (&[(0, 1), (0, 0), (0, 1)], &[(0, 2)]),
    ] {
        let total: u32 = written.iter().map(|(_, length)| length).sum();
        let buckets = Buckets::new(&spans(written), vec![1_u64; total as usize]).expect("buckets");
        assert_eq!(buckets.spans(), spans(kept), "{written:?}");
    }
}

#[test]
fn a_histogram_that_cannot_be_is_refused_with_its_reason() {
    let custom = |bounds: &[f64]| Schema::Custom(Arc::from(bounds));
    let plain = Schema::default();
    for (histogram, error) in [
        (
            integer(plain.clone(), &[(0, 2)], &[1, 2], 4),
            "3 observations found in buckets, but the count is 4",
        ),
        (
            integer(custom(&[1.0]), &[(0, 3)], &[1, 1, 1], 3),
            "1 custom bounds are too few for a bucket with index 2",
        ),
        (integer(custom(&[2.0, 1.0]), &[], &[], 0), "custom bounds must rise: 1 follows 2"),
        (integer(custom(&[2.0, 2.0]), &[], &[], 0), "custom bounds must rise: 2 follows 2"),
        (
            integer(custom(&[1.0, f64::INFINITY]), &[], &[], 0),
            "custom bound inf: must be a number below +Inf",
        ),
        (integer(custom(&[f64::NAN]), &[], &[], 0), "custom bound NaN: must be"),
        (
            integer(custom(&[1.0]), &[(-1, 1)], &[1], 1),
            "positive side: span number 1 has the negative offset -1",
        ),
        (
            Histogram { zero_count: 1, count: 1, ..integer(custom(&[1.0]), &[], &[], 1) },
            "custom buckets: must not have a zero count",
        ),
        (Histogram { zero_threshold: -1.0, ..Histogram::default() }, "zero threshold is -1"),
        (Histogram { zero_threshold: f64::NAN, ..Histogram::default() }, "zero threshold is NaN"),
    ] {
        let found = histogram.validate().expect_err(error).to_string();
        assert!(found.contains(error), "{found:?} should say {error:?}");
    }
    for (text, error) in [
        ("{{count:-1}}", "observation count is -1, which is negative"),
        ("{{z_bucket:-1}}", "zero bucket has observation count of -1"),
        ("{{buckets:[1 -2]}}", "positive side: bucket number 2 has observation count of -2"),
        ("{{n_buckets:[-2]}}", "negative side: bucket number 1 has observation count of -2"),
    ] {
        let found = read(text).validate().expect_err(error).to_string();
        assert!(found.contains(error), "{found:?} should say {error:?}");
    }
    // NaN observations are counted, but in no bucket.
    let with_nan = integer(plain, &[(0, 2)], &[1, 2], 4);
    assert_eq!(Histogram { sum: f64::NAN, ..with_nan }.validate(), Ok(()));
    assert_eq!(IntegerHistogram::stale().validate(), Ok(()));
}

#[test]
fn only_the_stale_marker_is_stale() {
    assert!(FloatHistogram::stale().is_stale() && AnyHistogram::Integer(Histogram::stale()).is_stale());
    assert!(!read("{{sum:NaN}}").is_stale());
    assert_eq!(read("{{sum:NaN}}"), read("{{sum:NaN}}"));
    assert_eq!(FloatHistogram::stale(), FloatHistogram::stale());
    assert_ne!(read("{{sum:NaN}}"), FloatHistogram::stale());
}

#[test]
fn the_hint_is_no_data() {
    let (plain, gauge) = (read("{{count:1}}"), read("{{count:1 counter_reset_hint:gauge}}"));
    assert!(plain.same_data(&gauge) && plain != gauge);
    assert!(!plain.same_data(&read("{{count:1 buckets:[0]}}")), "an empty bucket is a bucket");
}

#[test]
fn buckets_come_by_value_with_their_bounds() {
    for (text, printed) in [
        (
            "{{schema:0 count:9 sum:2.5 z_bucket:2 z_bucket_w:0.75 buckets:[1 0 3] n_buckets:[1 2]}}",
            "{count:9, sum:2.5, [-2,-1):2, [-1,-0.5):1, [-0.75,0.75]:2, (0.5,1]:1, (2,4]:3}",
        ),
        (
            "{{schema:-53 count:3 custom_values:[2 5] buckets:[1 1 1]}}",
            "{count:3, sum:0, [-Inf,2]:1, (2,5]:1, (5,+Inf]:1}",
        ),
        (
            "{{count:2 sum:1e+06 buckets:[2] offset:1025}}",
            "{count:2, sum:1e+06, (1.7976931348623157e+308,+Inf]:2}",
        ),
        ("{{}}", "{count:0, sum:0}"),
    ] {
        assert_eq!(read(text).to_string(), printed);
    }
    let both = read("{{z_bucket:2 z_bucket_w:0.75 buckets:[1 3] n_buckets:[1 2]}}");
    let texts: Vec<String> = both.all_buckets().map(|bucket| bucket.to_string()).collect();
    assert_eq!(texts, ["[-2,-1):2", "[-1,-0.75):1", "[-0.75,0.75]:2", "(0.75,1]:1", "(1,2]:3"]);
    let back: Vec<String> = both.all_buckets().rev().map(|bucket| bucket.to_string()).collect();
    assert!(back.iter().eq(texts.iter().rev()), "{back:?}");
}

#[test]
fn sums_take_the_coarser_schema_and_the_wider_zero_bucket() {
    for (one, two, sum) in [
        (
            "{{schema:0 count:1 sum:1 buckets:[1]}}",
            "{{schema:0 count:2 sum:2 buckets:[0 2]}}",
            "{{count:3 sum:3 buckets:[1 2]}}",
        ),
        (
            "{{schema:1 count:4 buckets:[1 1 1 1] offset:1}}",
            "{{schema:0 count:1 buckets:[1] offset:2}}",
            "{{count:5 offset:1 buckets:[2 3]}}",
        ),
        // 0.3 lies in (0.25,0.5], which is populated: the zero bucket reaches to 0.5.
        (
            "{{count:3 z_bucket:1 z_bucket_w:0.3}}",
            "{{count:7 buckets:[4 3] offset:-1}}",
            "{{count:10 z_bucket:5 z_bucket_w:0.5 buckets:[3]}}",
        ),
        // It lies in [-1,-0.25), which is populated: to 1, and the first one's (0.5,1] is taken in too.
        (
            "{{count:3 z_bucket:1 z_bucket_w:0.3 buckets:[2]}}",
            "{{schema:-1 count:6 buckets:[2] offset:1 n_buckets:[4]}}",
            "{{schema:-1 count:9 z_bucket:7 z_bucket_w:1 offset:1 buckets:[2]}}",
        ),
        // The zero bucket ends within a bucket of the coarser schema: nothing is counted twice.
        (
            "{{schema:-1 count:1 z_bucket:1 z_bucket_w:2}}",
            "{{schema:0 count:3 buckets:[1 2] offset:1}}",
            "{{schema:-1 count:4 z_bucket:2 z_bucket_w:2 offset:1 buckets:[2]}}",
        ),
        (
            "{{schema:-53 count:6 custom_values:[1 2 3] buckets:[1 2 3]}}",
            "{{schema:-53 count:4 custom_values:[2 4] buckets:[1 1 2]}}",
            "{{schema:-53 count:10 custom_values:[2] buckets:[4 6]}}",
        ),
        (
            "{{schema:-53 count:1 custom_values:[1] buckets:[1]}}",
            "{{schema:-53 count:1 custom_values:[2] buckets:[1]}}",
            "{{schema:-53 count:2 custom_values:[] buckets:[2]}}",
        ),
    ] {
        let mut added = read(one);
        let merged = added.add(&read(two)).expect(one);
        added.compact(0);
        assert_eq!(added.notation().as_deref(), Some(sum), "{one} + {two}");
        assert_eq!(merged.bounds_reconciled, one.contains("-53"), "{one} + {two}");
        let mut running = HistogramSum::new(&read(one));
        running.add(&read(two)).expect(one);
        let mut running = running.finish();
        running.compact(0);
        assert_eq!(running, added, "{one} + {two}");
        assert!(added.subtract(&read(two)).is_ok());
        assert_eq!(added.count.to_bits(), read(one).count.to_bits());
    }
    let mut exponential = read("{{count:1 buckets:[1]}}");
    let before = exponential.clone();
    assert_eq!(exponential.add(&read("{{schema:-53 custom_values:[1]}}")), Err(HistogramError::MixedSchemas));
    assert_eq!(exponential, before);
}

#[test]
fn hints_join() {
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    for (one, two, joined, collided) in [
        (Unknown, Unknown, Unknown, false),
        (Reset, Reset, Reset, false),
        (Gauge, Reset, Gauge, false),
        (NotReset, Gauge, Gauge, false),
        (Unknown, Reset, Unknown, false),
        (NotReset, Unknown, Unknown, false),
        (Reset, NotReset, Unknown, true),
        (NotReset, Reset, Unknown, true),
    ] {
        let mut sum = Histogram { reset_hint: one, ..FloatHistogram::default() };
        let merged = sum.add(&Histogram { reset_hint: two, ..Histogram::default() }).expect("one kind");
        assert_eq!((sum.reset_hint, merged.hints_collided), (joined, collided), "{one:?} and {two:?}");
    }
}

#[test]
fn multiples_change_all_counts() {
    let mut histogram = read("{{count:4 sum:6 z_bucket:2 buckets:[1 0] n_buckets:[1]}}");
    histogram.multiply(0.5);
    assert_eq!(
        histogram.notation().as_deref(),
        Some("{{count:2 sum:3 z_bucket:1 buckets:[0.5] n_buckets:[0.5]}}")
    );
    histogram.divide(-0.5);
    assert_eq!(
        histogram.notation().as_deref(),
        Some("{{count:-4 sum:-6 z_bucket:-2 counter_reset_hint:gauge buckets:[-1] n_buckets:[-1]}}")
    );
    histogram.divide(0.0);
    assert!(histogram.has_overflow() && histogram.buckets() == 0);
    assert_eq!(histogram.to_string(), "{count:-Inf, sum:-Inf, [-0,0]:-Inf}");
}

#[test]
fn running_sums_keep_what_rounding_loses() {
    let parts = [1.0, 1e100, 1.0, -1e100].map(|part: f64| {
        read(&format!("{{{{count:{part:?} sum:{part:?} z_bucket:{part:?} buckets:[{part:?}]}}}}"))
    });
    let mut sum = HistogramSum::new(&parts[0]);
    for part in &parts[1..] {
        sum.add(part).expect("one kind");
    }
    assert!(!sum.has_overflow());
    assert_eq!(sum.finish().notation().as_deref(), Some("{{count:2 sum:2 z_bucket:2 buckets:[2]}}"));
    sum.multiply(3.0);
    sum.divide(2.0);
    assert_eq!(sum.finish().notation().as_deref(), Some("{{count:3 sum:3 z_bucket:3 buckets:[3]}}"));
    sum.divide(0.0);
    assert_eq!(sum.finish().to_string(), "{count:+Inf, sum:+Inf, [-0,0]:+Inf}");
}

#[test]
fn resets_are_seen() {
    for (before, now, reset) in [
        ("{{count:2 buckets:[1 1]}}", "{{count:3 buckets:[1 2]}}", false),
        ("{{count:3 buckets:[1 2]}}", "{{count:2 buckets:[1 1]}}", true),
        ("{{count:3 buckets:[1 2]}}", "{{count:4 buckets:[3 1]}}", true),
        ("{{count:3 buckets:[1 2]}}", "{{count:4 buckets:[4]}}", true),
        ("{{count:3 buckets:[3 0]}}", "{{count:4 buckets:[4]}}", false),
        ("{{count:3 n_buckets:[1 2]}}", "{{count:4 n_buckets:[3 1]}}", true),
        ("{{count:3 z_bucket:3}}", "{{count:4 z_bucket:2 buckets:[2]}}", true),
        ("{{schema:0 count:1 buckets:[1]}}", "{{schema:1 count:1 buckets:[1]}}", true),
        ("{{schema:1 count:2 buckets:[1 1] offset:1}}", "{{schema:0 count:2 buckets:[2] offset:1}}", false),
        ("{{schema:1 count:2 buckets:[1 1] offset:1}}", "{{schema:0 count:2 buckets:[1 1]}}", true),
        ("{{count:1 z_bucket_w:0.5 buckets:[1]}}", "{{count:1 z_bucket_w:0.25 buckets:[1]}}", true),
        ("{{count:2 buckets:[1 1]}}", "{{count:3 z_bucket:1 z_bucket_w:1 buckets:[2] offset:1}}", false),
        ("{{count:2 buckets:[1 1]}}", "{{count:3 z_bucket:0 z_bucket_w:1 buckets:[3] offset:1}}", true),
        ("{{count:2 buckets:[1 1]}}", "{{count:3 z_bucket:1 z_bucket_w:0.7 buckets:[2] offset:1}}", true),
        ("{{count:1 buckets:[1]}}", "{{schema:-53 count:1 custom_values:[1] buckets:[1]}}", true),
        ("{{schema:-53 count:1 custom_values:[1] buckets:[1]}}", "{{count:1 buckets:[1]}}", true),
        (
            "{{schema:-53 count:3 custom_values:[1 2] buckets:[1 2]}}",
            "{{schema:-53 count:3 custom_values:[2] buckets:[3]}}",
            false,
        ),
        (
            "{{schema:-53 count:3 custom_values:[1 2] buckets:[1 2]}}",
            "{{schema:-53 count:3 custom_values:[1 3] buckets:[0 3]}}",
            true,
        ),
        ("{{count:3}}", "{{count:2 counter_reset_hint:not_reset}}", false),
        ("{{count:2}}", "{{count:3 counter_reset_hint:reset}}", true),
        ("{{count:3}}", "{{count:2 counter_reset_hint:gauge}}", true),
    ] {
        assert_eq!(read(now).is_reset_after(&read(before)), reset, "{before} then {now}");
    }
}

#[test]
fn notation_that_is_none_is_refused() {
    for (text, error) in [
        ("{count:1}", "stands between"),
        ("{{count}}", "\"count\" is no key"),
        ("{{size:1}}", "\"size:1\" is no key"),
        ("{{count:one}}", "count has the bad value \"one\""),
        ("{{count:1 count:1}}", "count is there twice"),
        ("{{buckets:[1 2}}", "is no key and value"),
        ("{{buckets:[1]sum:2}}", "is no key and value"),
        ("{{schema:9}}", "invalid schema 9"),
        ("{{schema:0.5}}", "schema has the bad value"),
        ("{{counter_reset_hint:maybe}}", "counter_reset_hint has the bad value"),
        ("{{custom_values:[1]}}", "custom_values has the bad value"),
        ("{{buckets:[1] offset:2147483647}}", "bucket index beyond"),
    ] {
        let found = FloatHistogram::from_notation(text).expect_err(text).to_string();
        assert!(found.contains(error), "{text}: {found:?} should say {error:?}");
    }
}

#[test]
fn notation_cannot_leave_wide_gaps() {
    let far =
        |gap| Buckets::new(&[Span { offset: 0, length: 1 }, Span { offset: gap, length: 1 }], vec![1.0; 2]);
    for (gap, written) in [(9_998, true), (9_999, false), (1 << 29, false)] {
        let histogram = Histogram { positive: far(gap).expect("buckets"), ..Histogram::default() };
        assert_eq!(histogram.notation().is_some(), written, "a gap of {gap}");
    }
}

#[test]
fn notation_of_real_scripts_is_read_and_written() {
    let root = std::env::var_os("VEDETTE_CONFORMANCE").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance")),
        PathBuf::from,
    );
    let Ok(folder) = std::fs::read_dir(root.join("promql")) else {
        println!("skipped: no conformance data at {}", root.display());
        return;
    };
    let mut seen = 0;
    for file in folder.map(|entry| entry.expect("an entry").path()) {
        let script = std::fs::read_to_string(&file).expect("a script");
        for piece in script.split("{{").skip(1) {
            let Some((inner, _)) = piece.split_once("}}") else { continue };
            let mut histogram = read(&format!("{{{{{inner}}}}}"));
            let written = histogram.notation().expect("no wide gaps");
            let mut again = read(&written);
            histogram.compact(0);
            again.compact(0);
            assert!(histogram == again || histogram.sum.is_nan(), "{inner} became {written}");
            seen += 1;
        }
    }
    assert!(seen > 0, "no histograms in {}", root.display());
}
