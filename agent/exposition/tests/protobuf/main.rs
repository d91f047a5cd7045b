//! Protobuf pages: what they say, what is refused and where, and that the walker agrees with prost's
//! types and a plain expansion of them.

mod chance;
mod expansion;

use std::collections::BTreeMap;

use chance::{families, forms};
use expansion::expanded;
use model::histogram::{AnyHistogram, Count, Histogram};
use model::{Exemplar, Labels};
use proptest::prelude::*;
use prost::Message as _;
use proto::prometheus as wire;
use vedette_exposition::{HistogramForms, ProtobufEntry, ProtobufParser};

fn page(families: &[wire::MetricFamily]) -> Vec<u8> {
    families.iter().flat_map(wire::MetricFamily::encode_length_delimited_to_vec).collect()
}

fn exemplar_text(exemplar: &Exemplar) -> String {
    let time = exemplar.timestamp.map_or_else(String::new, |at| format!(" @{at}"));
    format!(" # {} {}{time}", exemplar.labels, exemplar.value)
}

fn sample_text(labels: &Labels, value: &str, timestamp: Option<i64>, created: Option<i64>) -> String {
    let mut text = format!("{labels} {value}");
    text += &timestamp.map_or_else(String::new, |at| format!(" @{at}"));
    text + &created.map_or_else(String::new, |at| format!(" since {at}"))
}

/// A native histogram without its spans: populated buckets by index.
fn native_text<C: Count>(kind: &str, histogram: &Histogram<C>) -> String {
    let side = |cells: &mut dyn Iterator<Item = (i32, C)>| -> BTreeMap<i32, String> {
        cells.filter(|(_, count)| !count.is_zero()).map(|(index, count)| (index, count.text())).collect()
    };
    format!(
        "{kind} {:?} schema {} zero {} within {} count {} sum {} positive {:?} negative {:?}",
        histogram.reset_hint,
        histogram.schema.number(),
        histogram.zero_count.text(),
        histogram.zero_threshold,
        histogram.count.text(),
        histogram.sum,
        side(&mut histogram.positive.iter()),
        side(&mut histogram.negative.iter()),
    )
}

/// A page as one line per entry, or the error.
fn said(page: &[u8], forms: HistogramForms) -> Result<Vec<String>, String> {
    ProtobufParser::new(page, forms)
        .map(|entry| {
            Ok(match entry.map_err(|error| error.to_string())? {
                ProtobufEntry::Help { family, help } => format!("help {family} {help:?}"),
                ProtobufEntry::Type { family, metric_type } => format!("type {family} {metric_type}"),
                ProtobufEntry::Unit { family, unit } => format!("unit {family} {unit}"),
                ProtobufEntry::Series(series) => {
                    let labels = series.name.labels()?;
                    assert_eq!(labels.metric_name(), series.name.name());
                    let mut text =
                        sample_text(&labels, &series.value.to_string(), series.timestamp, series.created);
                    if let Some(exemplar) = series.exemplar {
                        text += &exemplar_text(&exemplar.to_model()?);
                    }
                    text
                }
                ProtobufEntry::Histogram(sample) => {
                    let value = match &sample.histogram {
                        AnyHistogram::Integer(histogram) => native_text("integers", histogram),
                        AnyHistogram::Float(histogram) => native_text("floats", histogram),
                    };
                    let mut text =
                        sample_text(&sample.name.labels()?, &value, sample.timestamp, sample.created);
                    for exemplar in sample.exemplars() {
                        text += &exemplar_text(&exemplar.to_model()?);
                    }
                    text
                }
            })
        })
        .collect()
}

proptest! {
    #[test]
    fn the_walker_says_what_prost_and_a_plain_expansion_say(families in families(), forms in forms()) {
        prop_assert_eq!(said(&page(&families), forms), Ok(expanded(&families, forms)));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), forms in forms()) {
        let _ = said(&bytes, forms);
    }

    #[test]
    fn no_damage_panics(
        families in families(),
        forms in forms(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        end in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = page(&families);
        if bytes.is_empty() {
            return Ok(());
        }
        let cut = said(&bytes[..end.index(bytes.len())], forms);
        if let Ok(cut) = cut {
            prop_assert_eq!(&expanded(&families, forms)[..cut.len()], &cut[..]);
        }
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = said(&bytes, forms);
    }

    #[test]
    fn one_series_has_one_identity(families in families(), other in families()) {
        // Two pages, each read for itself: equal bytes mean equal labels.
        let mut seen: BTreeMap<Vec<u8>, Labels> = BTreeMap::new();
        for page in [page(&families), page(&other), page(&families)] {
            for entry in ProtobufParser::new(&page, HistogramForms::Both) {
                let name = match entry.expect("a valid page") {
                    ProtobufEntry::Series(series) => series.name,
                    ProtobufEntry::Histogram(sample) => sample.name,
                    _ => continue,
                };
                let mut identity = Vec::new();
                name.identity(|bytes| identity.extend_from_slice(bytes));
                let Ok(labels) = name.labels() else { continue };
                let before = seen.entry(identity).or_insert_with(|| labels.clone());
                prop_assert_eq!(&*before, &labels);
            }
        }
    }
}

fn family(name: &str, kind: wire::MetricType, metric: Vec<wire::Metric>) -> wire::MetricFamily {
    wire::MetricFamily { name: Some(name.into()), r#type: Some(kind.into()), metric, ..Default::default() }
}

fn with_histogram(histogram: wire::Histogram) -> wire::Metric {
    wire::Metric { histogram: Some(histogram), ..Default::default() }
}

fn small_native() -> wire::Histogram {
    wire::Histogram {
        sample_count: Some(7),
        sample_sum: Some(3.5),
        bucket: vec![
            wire::Bucket { cumulative_count: Some(2), upper_bound: Some(1.0), ..Default::default() },
            wire::Bucket { cumulative_count: Some(5), upper_bound: Some(1e6), ..Default::default() },
        ],
        schema: Some(1),
        zero_threshold: Some(0.25),
        zero_count: Some(1),
        positive_span: vec![
            wire::BucketSpan { offset: Some(-1), length: Some(2) },
            wire::BucketSpan { offset: Some(1), length: Some(1) },
        ],
        positive_delta: vec![1, 2, -1],
        ..Default::default()
    }
}

#[test]
fn a_histogram_comes_in_the_forms_that_are_wanted() {
    let page = page(&[family("h", wire::MetricType::Histogram, vec![with_histogram(small_native())])]);
    let native = "h integers Unknown schema 1 zero 1 within 0.25 count 7 sum 3.5 positive {-1: \"1\", 0: \"3\", 2: \"2\"} negative {}";
    let classic = [
        "h_count 7",
        "h_sum 3.5",
        "h_bucket{le=\"1.0\"} 2",
        "h_bucket{le=\"1e+06\"} 5",
        "h_bucket{le=\"+Inf\"} 7",
    ];
    let said = |forms| said(&page, forms).expect("a valid page")[1..].to_vec();
    assert_eq!(said(HistogramForms::Native), [native]);
    assert_eq!(said(HistogramForms::Classic), classic);
    assert_eq!(said(HistogramForms::Both), [&[native][..], &classic].concat());
}

#[test]
fn an_empty_span_says_native() {
    let empty = |spans| wire::Histogram { positive_span: spans, ..Default::default() };
    for (spans, entry) in [
        (vec![wire::BucketSpan { offset: Some(0), length: Some(0) }], "h integers Unknown schema 0 zero 0"),
        (vec![], "h_count 0"),
    ] {
        let page = page(&[family("h", wire::MetricType::Histogram, vec![with_histogram(empty(spans))])]);
        let said = said(&page, HistogramForms::Native).expect("a valid page");
        assert!(said[1].starts_with(entry), "{said:?}");
    }
}

#[test]
fn a_bad_page_is_refused_with_its_place() {
    let spoiled = |spoil: &dyn Fn(&mut wire::Histogram)| {
        let mut histogram = small_native();
        spoil(&mut histogram);
        page(&[family("h", wire::MetricType::Histogram, vec![with_histogram(histogram)])])
    };
    let gauge = |name: &str, pairs: &[(&str, &str)]| {
        let pair = |(name, value): &(&str, &str)| wire::LabelPair {
            name: Some((*name).to_owned()),
            value: Some((*value).to_owned()),
        };
        let metric = wire::Metric { label: pairs.iter().map(pair).collect(), ..Default::default() };
        family(name, wire::MetricType::Gauge, vec![metric])
    };
    let unit = wire::MetricFamily { unit: Some("seconds".into()), ..gauge("a", &[]) };
    let kind = wire::MetricFamily { r#type: Some(9), ..gauge("a", &[]) };
    for (page, error) in [
        (b"\x05\x0a".to_vec(), "byte 0: 5 bytes should follow, but 1 are left"),
        (b"\x80".to_vec(), "byte 0: the page ends within a number"),
        (vec![0xff; 11], "byte 0: a number of more than 64 bits"),
        (b"\x03\x0a\x01\xff".to_vec(), "byte 3: the family's name is no UTF-8"),
        (b"\x02\x08\x01".to_vec(), "byte 1: field 1 should be a message or a text"),
        (b"\x01\x0b".to_vec(), "byte 1: wire type 3 of field 1"),
        (b"\x01\x02".to_vec(), "byte 1: no field has number 0"),
        (b"\x02\x0a\x05".to_vec(), "byte 2: 5 bytes should follow, but 0 are left"),
        (b"# HELP a b\n".to_vec(), "byte 0: 35 bytes should follow, but 10 are left"),
        (page(&[gauge("", &[])]), "byte 1: a metric family without a name"),
        (page(&[gauge("a", &[("", "b")])]), "a label without a name"),
        (page(&[gauge("a", &[("b", "1"), ("b", "2")])]), "label name \"b\" is not unique"),
        (page(&[gauge("a", &[("__name__", "b")])]), "label name \"__name__\" is not unique"),
        (page(&[unit]), "unit \"seconds\" not a suffix of metric \"a\""),
        (page(&[kind]), "unknown metric type 9"),
        (spoiled(&|it| it.schema = Some(53)), "invalid schema 53"),
        (spoiled(&|it| it.schema = Some(-53)), "invalid schema -53"),
        (
            spoiled(&|it| it.positive_delta = vec![1, -2, 3]),
            "bucket number 2 has a negative or too large count",
        ),
        (
            spoiled(&|it| it.positive_delta = vec![i64::MAX, 1, 0]),
            "bucket number 2 has a negative or too large count",
        ),
        (spoiled(&|it| it.positive_delta = vec![1]), "positive side: spans need 3 buckets, have 1 buckets"),
        (spoiled(&|it| it.positive_span[1].offset = Some(-1)), "span number 2 has the negative offset -1"),
        (spoiled(&|it| it.sample_count = Some(9)), "7 observations found in buckets, but the count is 9"),
        (
            spoiled(&|it| it.positive_delta = vec![0; 70_000]),
            "a native histogram with more than 65536 spans or buckets",
        ),
    ] {
        let found = said(&page, HistogramForms::Both).expect_err(error);
        assert!(found.contains(error), "{found:?} should say {error:?}");
    }
}

#[test]
fn packed_and_single_numbers_are_the_same() {
    // prost writes proto2's way, one key for each number; others pack them.
    let apart = small_native();
    let mut packed = wire::Histogram { positive_delta: Vec::new(), ..apart.clone() }.encode_to_vec();
    // Field 13, three bytes: 1, 2 and -1 in zigzag.
    packed.extend([0x6a, 3, 2, 4, 1]);
    let of = |histogram: &[u8]| {
        let with_key =
            |key: u8, body: &[u8]| [&[key, u8::try_from(body.len()).expect("short")], body].concat();
        let metric = with_key(0x22, &with_key(0x3a, histogram));
        let head = family("h", wire::MetricType::Histogram, vec![]).encode_to_vec();
        let family = [head, metric].concat();
        said(&[&[u8::try_from(family.len()).expect("short")], &family[..]].concat(), HistogramForms::Native)
    };
    let apart = of(&apart.encode_to_vec()).expect("a valid page");
    assert_eq!(of(&packed), Ok(apart));
}
