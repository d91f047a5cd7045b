//! Seeds in protobuf: a page with every kind of metric, and write requests of both versions.

use prost::Message as _;
use proto::{prometheus, remote_write_1, remote_write_2};

pub(crate) fn page_seeds() -> Vec<Vec<u8>> {
    use prometheus::{
        Bucket, BucketSpan, Counter, Exemplar, Gauge, Histogram, LabelPair, Metric, MetricFamily, Quantile,
        Summary,
    };
    let pair =
        |name: &str, value: &str| LabelPair { name: Some(name.to_owned()), value: Some(value.to_owned()) };
    let exemplar = Exemplar {
        label: vec![pair("trace_id", "abc")],
        value: Some(0.5),
        timestamp: Some(prost_timestamp()),
    };
    let classic = Histogram {
        sample_count: Some(7),
        sample_sum: Some(3.5),
        bucket: vec![Bucket {
            cumulative_count: Some(5),
            upper_bound: Some(0.1),
            exemplar: Some(exemplar.clone()),
            ..Bucket::default()
        }],
        ..Histogram::default()
    };
    let native = Histogram {
        schema: Some(3),
        zero_threshold: Some(1e-9),
        zero_count: Some(1),
        positive_span: vec![
            BucketSpan { offset: Some(-2), length: Some(2) },
            BucketSpan { offset: Some(3), length: Some(1) },
        ],
        positive_delta: vec![2, 1, -1],
        negative_span: vec![BucketSpan { offset: Some(0), length: Some(1) }],
        negative_delta: vec![1],
        exemplars: vec![exemplar.clone()],
        ..classic.clone()
    };
    let counter =
        Counter { value: Some(1027.0), exemplar: Some(exemplar), created_timestamp: Some(prost_timestamp()) };
    let metric = |labels: &[(&str, &str)]| Metric {
        label: labels.iter().map(|(name, value)| pair(name, value)).collect(),
        ..Metric::default()
    };
    let family = |name: &str, kind: i32, metric: Metric| MetricFamily {
        name: Some(name.to_owned()),
        help: Some("Help.".to_owned()),
        r#type: Some(kind),
        metric: vec![metric],
        unit: Some("seconds".to_owned()),
    };
    let families = [
        family("requests_total", 0, Metric { counter: Some(counter), ..metric(&[("code", "200")]) }),
        family(
            "up",
            1,
            Metric {
                gauge: Some(Gauge { value: Some(1.0) }),
                timestamp_ms: Some(1_700_000_000_000),
                ..metric(&[])
            },
        ),
        family(
            "s",
            2,
            Metric {
                summary: Some(Summary {
                    sample_count: Some(3),
                    sample_sum: Some(1.5),
                    quantile: vec![Quantile { quantile: Some(0.99), value: Some(f64::NAN) }],
                    created_timestamp: None,
                }),
                ..metric(&[("a", "b")])
            },
        ),
        family("classic", 4, Metric { histogram: Some(classic), ..metric(&[]) }),
        family("native", 4, Metric { histogram: Some(native), ..metric(&[("le", "x")]) }),
    ];
    let mut seeds: Vec<Vec<u8>> =
        families.iter().map(|family| family.encode_length_delimited_to_vec()).collect();
    seeds.push(seeds.concat());
    seeds
}

fn prost_timestamp() -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: 1_700_000_000, nanos: 500_000_000 }
}

pub(crate) fn write_1_seeds() -> Vec<Vec<u8>> {
    use remote_write_1::{Exemplar, Label, MetricMetadata, Sample, TimeSeries, WriteRequest};
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let series = |name: &str| TimeSeries {
        labels: vec![label("__name__", name), label("instance", "a:9100"), label("job", "node")],
        samples: (0..3)
            .map(|at| Sample {
                value: f64::from(at) / 8.0,
                timestamp: 1_700_000_000_000 + i64::from(at) * 15_000,
            })
            .collect(),
        exemplars: vec![Exemplar {
            labels: vec![label("trace_id", "abc")],
            value: 0.5,
            timestamp: 1_700_000_000_000,
        }],
        histograms: Vec::new(),
    };
    let metadata = MetricMetadata {
        r#type: 1,
        metric_family_name: "b".to_owned(),
        help: "Help.".to_owned(),
        unit: "seconds".to_owned(),
    };
    let request = WriteRequest { timeseries: vec![series("a"), series("b_total")], metadata: vec![metadata] };
    wrap(&request.encode_to_vec())
}

pub(crate) fn write_2_seeds() -> Vec<Vec<u8>> {
    use remote_write_2::{Metadata, Request, Sample, TimeSeries};
    let symbols = ["", "__name__", "a", "instance", "x:1", "job", "node", "Help.", "seconds", "b"];
    let series = |name: u32| TimeSeries {
        labels_refs: vec![1, name, 3, 4, 5, 6],
        samples: (0..3)
            .map(|at| Sample {
                value: f64::from(at) / 8.0,
                timestamp: 1_700_000_000_000 + i64::from(at) * 15_000,
                start_timestamp: 1,
            })
            .collect(),
        metadata: Some(Metadata { r#type: 1, help_ref: 7, unit_ref: 8 }),
        ..TimeSeries::default()
    };
    let symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
    let request = Request { symbols, timeseries: vec![series(2), series(9)] };
    wrap(&request.encode_to_vec())
}

/// A request in protobuf and one in JSON, each translated in several ways.
pub(crate) fn otlp_seeds() -> Vec<Vec<u8>> {
    use proto::otlp::metric::Data;
    use proto::otlp::{
        AnyValue, ExponentialHistogram, ExponentialHistogramDataPoint, ExportMetricsServiceRequest,
        Histogram, HistogramDataPoint, KeyValue, Metric, NumberDataPoint, Resource, ResourceMetrics,
        ScopeMetrics, Sum, any_value, exponential_histogram_data_point, number_data_point,
    };
    let time_unix_nano = 1_700_000_000_000_000_000;
    let value = |text: &str| Some(AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) });
    let attributes = vec![KeyValue { key: "http.method".to_owned(), value: value("GET") }];
    let sum = Sum {
        data_points: vec![NumberDataPoint {
            attributes: attributes.clone(),
            time_unix_nano,
            value: Some(number_data_point::Value::AsInt(7)),
            ..Default::default()
        }],
        aggregation_temporality: 2,
        is_monotonic: true,
    };
    let histogram = Histogram {
        data_points: vec![HistogramDataPoint {
            time_unix_nano,
            count: 3,
            sum: Some(1.5),
            bucket_counts: vec![1, 2],
            explicit_bounds: vec![0.5],
            ..Default::default()
        }],
        aggregation_temporality: 2,
    };
    let side = exponential_histogram_data_point::Buckets { offset: -2, bucket_counts: vec![1, 0, 0, 0, 2] };
    let exponential = ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint {
            time_unix_nano,
            count: 3,
            scale: 10,
            positive: Some(side),
            ..Default::default()
        }],
        aggregation_temporality: 2,
    };
    let metric = |data| Metric {
        name: "a.b".to_owned(),
        unit: "By/s".to_owned(),
        data: Some(data),
        ..Default::default()
    };
    let metrics = vec![
        metric(Data::Sum(sum)),
        metric(Data::Histogram(histogram)),
        metric(Data::ExponentialHistogram(exponential)),
    ];
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes }),
            scope_metrics: vec![ScopeMetrics { metrics, ..Default::default() }],
            ..Default::default()
        }],
    };
    let json = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]},
        "scopeMetrics":[{"metrics":[{"name":"m","summary":{"dataPoints":[{"timeUnixNano":"1700000000000000000","count":"1",
        "sum":2,"quantileValues":[{"quantile":0.5,"value":1}]}]}}]}]}]}"#;
    let mut seeds = Vec::new();
    for how in [0_u8, 2, 4, 6, 8, 48] {
        seeds.push([&[how], request.encode_to_vec().as_slice()].concat());
        seeds.push([&[how | 1], json.as_bytes()].concat());
    }
    seeds
}

/// Plain and compressed, with the byte that says which.
fn wrap(plain: &[u8]) -> Vec<Vec<u8>> {
    let packed = snap::raw::Encoder::new().compress_vec(plain).expect("small");
    vec![[&[0], plain].concat(), [&[1], &packed[..]].concat()]
}
