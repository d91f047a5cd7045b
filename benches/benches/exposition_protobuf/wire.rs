//! Pages as prost writes them.

use exposition::{Entry, Format, Parser};
use prost::Message as _;
use proto::prometheus as wire;
use vedette_benches::{Scrapes, page};

/// Native histograms of a page, and populated buckets of each.
pub(crate) const HISTOGRAMS: u64 = 100;
const BUCKETS: u32 = 40;

/// The page of the text benchmark, as protobuf.
pub(crate) fn floats() -> Vec<u8> {
    let text = page(Scrapes::default().next_values());
    let mut families: Vec<wire::MetricFamily> = Vec::new();
    for entry in Parser::new(text.as_bytes(), Format::Text) {
        let Entry::Series(line) = entry.expect("a valid page") else { continue };
        let labels = line.labels().expect("a valid line");
        let name = labels.metric_name();
        if families.last().is_none_or(|family| family.name() != name) {
            let r#type = Some(wire::MetricType::Gauge.into());
            families.push(wire::MetricFamily { name: Some(name.to_owned()), r#type, ..Default::default() });
        }
        let pair = |(name, value): (&str, &str)| wire::LabelPair {
            name: Some(name.to_owned()),
            value: Some(value.to_owned()),
        };
        let label = labels.without_name().pairs().map(pair).collect();
        let gauge = Some(wire::Gauge { value: Some(line.value) });
        let family = families.last_mut().expect("just pushed");
        family.metric.push(wire::Metric { label, gauge, ..Default::default() });
    }
    families.iter().flat_map(wire::MetricFamily::encode_length_delimited_to_vec).collect()
}

pub(crate) fn histograms() -> Vec<u8> {
    let histogram = |at: u64| wire::Histogram {
        sample_count: Some(u64::from(BUCKETS) * (at + 5)),
        sample_sum: Some(1234.5),
        schema: Some(3),
        zero_threshold: Some(1e-128),
        positive_span: vec![wire::BucketSpan { offset: Some(-20), length: Some(BUCKETS) }],
        positive_delta: (0..BUCKETS)
            .map(|bucket| if bucket == 0 { at.cast_signed() + 5 } else { 0 })
            .collect(),
        ..Default::default()
    };
    let metric = |at: u64| wire::Metric {
        label: vec![wire::LabelPair { name: Some("handler".into()), value: Some(format!("/api/{at}")) }],
        histogram: Some(histogram(at)),
        ..Default::default()
    };
    let family = wire::MetricFamily {
        name: Some("http_request_duration_seconds".into()),
        r#type: Some(wire::MetricType::Histogram.into()),
        metric: (0..HISTOGRAMS).map(metric).collect(),
        ..Default::default()
    };
    family.encode_length_delimited_to_vec()
}
