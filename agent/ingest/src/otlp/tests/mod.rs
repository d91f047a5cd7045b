//! Requests and the series that they come to; JSON and protobuf read as the same.

use prost::Message as _;
use proto::otlp as wire;

use super::data::{ReadError, Resource};
use super::translate::{OtlpConfig, translate};
use super::{Strategy, json, protobuf};

const TIME: u64 = 1_700_000_000_000_000_000;

/// A request with one metric of a service, as JSON.
fn request(metric: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{
            "resource":{{"attributes":[
                {{"key":"service.name","value":{{"stringValue":"shop"}}}},
                {{"key":"service.namespace","value":{{"stringValue":"eu"}}}},
                {{"key":"service.instance.id","value":{{"stringValue":"a"}}}},
                {{"key":"host.name","value":{{"stringValue":"h1"}}}}
            ]}},
            "scopeMetrics":[{{
                "scope":{{"name":"lib","version":"2","attributes":[{{"key":"k","value":{{"boolValue":true}}}}]}},
                "metrics":[{metric}]
            }}]
        }}]}}"#
    )
}

/// What a request comes to, a line a sample, without the resource's own description unless asked for.
fn lines(metric: &str, config: &OtlpConfig, described: bool) -> (Vec<String>, Vec<String>) {
    let resources = json::read(request(metric).as_bytes()).expect(metric);
    let translated = translate(resources, config).expect("small");
    let mut lines = Vec::new();
    for (labels, series) in translated.series {
        if labels.metric_name() == "target_info" && !described {
            continue;
        }
        for (time, start, value) in series.samples {
            lines.push(format!("{labels} {} @{time} from {start}", model::format_float(value)));
        }
        for (time, histogram) in series.histograms {
            let notation = histogram.to_float().notation().expect("a notation");
            lines.push(format!("{labels} {notation} @{time}"));
        }
        for exemplar in series.exemplars {
            lines.push(format!("{labels} # {} {}", exemplar.labels, exemplar.value));
        }
    }
    (lines, translated.left_out)
}

fn taken(metric: &str, config: &OtlpConfig) -> Vec<String> {
    let (lines, left_out) = lines(metric, config, false);
    assert_eq!(left_out, Vec::<String>::new(), "{metric}");
    lines
}

#[test]
fn metrics_become_series() {
    let usual = OtlpConfig::default();
    let identity = r#"instance="a", job="eu/shop""#;
    let of = |name: &str, more: &str| format!(r#"{name}{{{identity}{more}}}"#);
    let sum = |temporality: u8| {
        format!(
            r#"{{"name":"http.requests","unit":"{{request}}","sum":{{"aggregationTemporality":{temporality},
            "isMonotonic":true,"dataPoints":[{{"asInt":"7","startTimeUnixNano":"1699999000000000000",
            "timeUnixNano":"{TIME}","attributes":[{{"key":"http.method","value":{{"stringValue":"GET"}}}}],
            "exemplars":[{{"asDouble":0.5,"timeUnixNano":"{TIME}","traceId":"ABCD","spanId":"12"}}]}}]}}}}"#
        )
    };
    let labels = r#"http_requests_total{http_method="GET", instance="a", job="eu/shop"}"#;
    assert_eq!(
        taken(&sum(2), &usual),
        [
            format!("{labels} 7 @1700000000000 from 1699999000000"),
            format!(r#"{labels} # {{span_id="12", trace_id="abcd"}} 0.5"#),
        ]
    );
    let (none, left_out) = lines(&sum(1), &usual, false);
    assert_eq!(none, Vec::<String>::new());
    assert_eq!(left_out, [r#"invalid temporality and type combination for metric "http.requests""#]);

    let gauge = format!(
        r#"{{"name":"room.warmth","unit":"Cel","gauge":{{"dataPoints":[
        {{"asDouble":21.5,"timeUnixNano":"{TIME}"}},
        {{"timeUnixNano":{later},"flags":1}}]}}}}"#,
        later = TIME + 1_000_000_000
    );
    let labels = of("room_warmth_celsius", "");
    assert_eq!(
        taken(&gauge, &usual),
        [format!("{labels} 21.5 @1700000000000 from 0"), format!("{labels} NaN @1700000001000 from 0")]
    );
    let as_it_is = OtlpConfig { strategy: Strategy::NoTranslation, ..OtlpConfig::default() };
    assert!(taken(&gauge, &as_it_is)[0].contains("room.warmth"), "{:?}", taken(&gauge, &as_it_is));

    let summary = format!(
        r#"{{"name":"took","unit":"s","summary":{{"dataPoints":[{{"count":"3","sum":1.5,"timeUnixNano":"{TIME}",
        "quantileValues":[{{"quantile":0.5,"value":0.25}}]}}]}}}}"#
    );
    assert_eq!(
        taken(&summary, &usual),
        [
            format!(r#"took_seconds{{{identity}, quantile="0.5"}} 0.25 @1700000000000 from 0"#),
            format!("{} 3 @1700000000000 from 0", of("took_seconds_count", "")),
            format!("{} 1.5 @1700000000000 from 0", of("took_seconds_sum", "")),
        ]
    );
}

#[test]
fn histograms_become_classic_or_native_ones() {
    let classic = format!(
        r#"{{"name":"took","unit":"s","histogram":{{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE",
        "dataPoints":[{{"count":"6","sum":9,"bucketCounts":["1","2","3"],"explicitBounds":[0.5,1],
        "timeUnixNano":"{TIME}","exemplars":[{{"asDouble":0.75,"timeUnixNano":"{TIME}"}},
        {{"asDouble":7,"timeUnixNano":"{TIME}"}}]}}]}}}}"#
    );
    let usual = OtlpConfig::default();
    let line = |name: &str, le: Option<&str>, value: &str| {
        let le = le.map_or_else(String::new, |le| format!(r#", le="{le}""#));
        format!(r#"took_seconds{name}{{instance="a", job="eu/shop"{le}}} {value}"#)
    };
    assert_eq!(
        taken(&classic, &usual),
        [
            line("_bucket", Some("+Inf"), "6 @1700000000000 from 0"),
            line("_bucket", Some("+Inf"), "# {} 7"),
            line("_bucket", Some("0.5"), "1 @1700000000000 from 0"),
            line("_bucket", Some("1"), "3 @1700000000000 from 0"),
            line("_bucket", Some("1"), "# {} 0.75"),
            line("_count", None, "6 @1700000000000 from 0"),
            line("_sum", None, "9 @1700000000000 from 0"),
        ]
    );
    let native = OtlpConfig { histograms_to_nhcb: true, ..OtlpConfig::default() };
    let wanted = "{{schema:-53 count:6 sum:9 custom_values:[0.5 1] buckets:[1 2 3]}} @1700000000000";
    assert_eq!(taken(&classic, &native)[0], line("", None, wanted));

    let exponential = |scale: i32| {
        format!(
            r#"{{"name":"took","unit":"s","exponentialHistogram":{{"aggregationTemporality":2,"dataPoints":[
            {{"count":"8","sum":9,"scale":{scale},"zeroCount":"1","zeroThreshold":0.001,
            "positive":{{"offset":1,"bucketCounts":["1","0","0","0","2","1"]}},
            "negative":{{"offset":-1,"bucketCounts":["3"]}},"timeUnixNano":"{TIME}"}}]}}}}"#
        )
    };
    let wanted = "{{count:8 sum:9 z_bucket:1 z_bucket_w:0.001 offset:2 buckets:[1 0 0 0 2 1] n_buckets:[3]}} @1700000000000";
    assert_eq!(taken(&exponential(0), &usual), [line("", None, wanted)]);
    // Finer than is known here: made coarser.
    let wanted = "{{schema:8 count:8 sum:9 z_bucket:1 z_bucket_w:0.001 offset:1 buckets:[1 0 2 1] n_buckets:[3]}} @1700000000000";
    assert_eq!(taken(&exponential(9), &usual), [line("", None, wanted)]);
    let (none, left_out) = lines(&exponential(-5), &usual, false);
    assert!(none.is_empty() && left_out[0].contains("scale must be >= -4, was -5"), "{left_out:?}");
}

#[test]
fn settings_say_which_attributes_become_labels() {
    let gauge = format!(r#"{{"name":"x","gauge":{{"dataPoints":[{{"asInt":1,"timeUnixNano":"{TIME}"}}]}}}}"#);
    let config = OtlpConfig::default();
    for (config, wanted) in [
        (
            config.clone(),
            [
                r#"target_info{host_name="h1", instance="a", job="eu/shop"}"#,
                r#"x{instance="a", job="eu/shop"}"#,
            ],
        ),
        (
            OtlpConfig { promoted: vec!["host.name".to_owned()], keeps_identifying: true, ..config.clone() },
            [
                r#"target_info{host_name="h1", instance="a", job="eu/shop", service_instance_id="a", service_name="shop", service_namespace="eu"}"#,
                r#"x{host_name="h1", instance="a", job="eu/shop"}"#,
            ],
        ),
        (
            OtlpConfig {
                promotes_all: true,
                ignored: vec!["service.name".to_owned(), "service.namespace".to_owned()],
                promotes_scope: true,
                ..config
            },
            [
                r#"target_info{host_name="h1", instance="a", job="eu/shop"}"#,
                r#"x{host_name="h1", instance="a", job="eu/shop", otel_scope_k="true", otel_scope_name="lib", otel_scope_schema_url="", otel_scope_version="2", service_instance_id="a"}"#,
            ],
        ),
    ] {
        let (found, _) = lines(&gauge, &config, true);
        let wanted: Vec<String> = wanted
            .iter()
            .map(|labels| {
                format!("{} 1 @1700000000000 from 0", labels.replace(r#"otel_scope_schema_url="", "#, ""))
            })
            .collect();
        assert_eq!(found, wanted, "{config:?}");
    }
}

fn text(text: &str) -> Option<wire::AnyValue> {
    Some(wire::AnyValue { value: Some(wire::any_value::Value::StringValue(text.to_owned())) })
}

fn pair(key: &str, value: Option<wire::AnyValue>) -> wire::KeyValue {
    wire::KeyValue { key: key.to_owned(), value }
}

/// A request with all kinds of points and values.
fn everything() -> (wire::ExportMetricsServiceRequest, String) {
    use wire::any_value::Value as Any;
    let any = |value| Some(wire::AnyValue { value: Some(value) });
    let list = wire::ArrayValue {
        values: [any(Any::IntValue(-1)), any(Any::BoolValue(true))].map(Option::unwrap).into(),
    };
    let attributes = vec![
        pair("text", text("ü")),
        pair("int", any(Any::IntValue(-7))),
        pair("double", any(Any::DoubleValue(0.5))),
        pair("list", any(Any::ArrayValue(list))),
        pair("map", any(Any::KvlistValue(wire::KeyValueList { values: vec![pair("a", text("b"))] }))),
        pair("bytes", any(Any::BytesValue(vec![1, 2, 3, 4]))),
        pair("none", None),
    ];
    let exemplar = wire::Exemplar {
        filtered_attributes: vec![pair("user", text("u"))],
        time_unix_nano: TIME,
        value: Some(wire::exemplar::Value::AsInt(3)),
        span_id: vec![0x0a],
        trace_id: vec![0xff, 0x01],
    };
    let sum = wire::Sum {
        data_points: vec![wire::NumberDataPoint {
            attributes,
            start_time_unix_nano: TIME - 5,
            time_unix_nano: TIME,
            value: Some(wire::number_data_point::Value::AsInt(-4)),
            exemplars: vec![exemplar],
            flags: 1,
        }],
        aggregation_temporality: 1,
        is_monotonic: true,
    };
    let histogram = wire::Histogram {
        data_points: vec![wire::HistogramDataPoint {
            time_unix_nano: TIME,
            count: 3,
            sum: Some(0.0),
            bucket_counts: vec![1, 2],
            explicit_bounds: vec![-0.5],
            ..Default::default()
        }],
        aggregation_temporality: 2,
    };
    let side =
        |offset| wire::exponential_histogram_data_point::Buckets { offset, bucket_counts: vec![0, 300] };
    let exponential = wire::ExponentialHistogram {
        data_points: vec![wire::ExponentialHistogramDataPoint {
            time_unix_nano: TIME,
            count: 600,
            scale: -2,
            zero_count: 1,
            positive: Some(side(-3)),
            negative: Some(side(4)),
            zero_threshold: 0.25,
            ..Default::default()
        }],
        aggregation_temporality: 2,
    };
    let summary = wire::Summary {
        data_points: vec![wire::SummaryDataPoint {
            time_unix_nano: TIME,
            count: 1,
            sum: 2.0,
            quantile_values: vec![wire::summary_data_point::ValueAtQuantile { quantile: 0.9, value: 1.0 }],
            ..Default::default()
        }],
    };
    use wire::metric::Data;
    let metric = |name: &str, data| wire::Metric {
        name: name.to_owned(),
        description: "d".to_owned(),
        unit: "s".to_owned(),
        data: Some(data),
    };
    let scope = wire::ScopeMetrics {
        scope: Some(wire::InstrumentationScope {
            name: "lib".to_owned(),
            version: "1".to_owned(),
            attributes: vec![pair("k", text("v"))],
        }),
        metrics: vec![
            metric("a", Data::Sum(sum)),
            metric("b", Data::Histogram(histogram)),
            metric("c", Data::ExponentialHistogram(exponential)),
            metric("d", Data::Summary(summary)),
        ],
        schema_url: "https://schema".to_owned(),
    };
    let resource = wire::ResourceMetrics {
        resource: Some(wire::Resource { attributes: vec![pair("service.name", text("s"))] }),
        scope_metrics: vec![scope],
        schema_url: String::new(),
    };
    let json = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"s"}}}}]}},
        "scopeMetrics":[{{"schemaUrl":"https://schema","scope":{{"name":"lib","version":"1",
        "attributes":[{{"key":"k","value":{{"stringValue":"v"}}}}]}},"metrics":[
        {{"name":"a","description":"d","unit":"s","sum":{{"isMonotonic":true,
          "aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","dataPoints":[{{"attributes":[
            {{"key":"text","value":{{"stringValue":"ü"}}}},{{"key":"int","value":{{"intValue":"-7"}}}},
            {{"key":"double","value":{{"doubleValue":0.5}}}},
            {{"key":"list","value":{{"arrayValue":{{"values":[{{"intValue":-1}},{{"boolValue":true}}]}}}}}},
            {{"key":"map","value":{{"kvlistValue":{{"values":[{{"key":"a","value":{{"stringValue":"b"}}}}]}}}}}},
            {{"key":"bytes","value":{{"bytesValue":"AQIDBA=="}}}},{{"key":"none"}}],
            "startTimeUnixNano":"{}","timeUnixNano":"{TIME}","asInt":"-4","flags":1,"exemplars":[
            {{"filteredAttributes":[{{"key":"user","value":{{"stringValue":"u"}}}}],"timeUnixNano":"{TIME}",
              "asInt":3,"spanId":"0A","traceId":"ff01"}}]}}]}}}},
        {{"name":"b","description":"d","unit":"s","histogram":{{"aggregationTemporality":2,"dataPoints":[
          {{"timeUnixNano":"{TIME}","count":3,"sum":0,"bucketCounts":["1",2],"explicitBounds":[-0.5]}}]}}}},
        {{"name":"c","description":"d","unit":"s","exponentialHistogram":{{"aggregationTemporality":2,"dataPoints":[
          {{"timeUnixNano":"{TIME}","count":"600","scale":-2,"zeroCount":"1","zeroThreshold":0.25,
            "positive":{{"offset":-3,"bucketCounts":["0","300"]}},"negative":{{"offset":4,"bucketCounts":[0,300]}}}}]}}}},
        {{"name":"d","description":"d","unit":"s","summary":{{"dataPoints":[{{"timeUnixNano":"{TIME}","count":1,
          "sum":2,"quantileValues":[{{"quantile":0.9,"value":1}}]}}]}}}}]}}]}}]}}"#,
        TIME - 5
    );
    (wire::ExportMetricsServiceRequest { resource_metrics: vec![resource] }, json)
}

#[test]
fn json_and_protobuf_read_as_the_same() {
    let (message, json) = everything();
    let from_json = json::read(json.as_bytes()).expect("JSON");
    let from_protobuf = protobuf::read(&message.encode_to_vec()).expect("protobuf");
    // A summary always has a sum, whether it was said or not.
    assert_eq!(from_json, from_protobuf);
    let point = &from_json[0].scopes[0].metrics[0].points[0];
    let values: Vec<&str> = point.attributes.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["ü", "-7", "0.5", "[-1,true]", r#"{"a":"b"}"#, "AQIDBA==", ""]);
}

#[test]
fn what_is_no_request_is_refused() {
    let (message, _) = everything();
    let whole = message.encode_to_vec();
    for cut in 1..whole.len() {
        // Some pieces are shorter requests; none makes the reader fail in another way.
        let read: Result<Vec<Resource>, ReadError> = protobuf::read(&whole[..cut]);
        assert!(read.is_ok() || matches!(read, Err(ReadError::Malformed(_))), "{cut}");
    }
    let nested = (0..40).fold("{\"intValue\":1}".to_owned(), |inner, _| {
        format!("{{\"arrayValue\":{{\"values\":[{inner}]}}}}")
    });
    let deep = format!(
        "{{\"resourceMetrics\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"a\",\"value\":{nested}}}]}}}}]}}"
    );
    assert_eq!(json::read(deep.as_bytes()), Err(ReadError::TooDeep));
    // Two bytes a message.
    let many = [0x0a, 0x00].repeat(super::data::PARTS_MAX + 1);
    assert_eq!(protobuf::read(&many), Err(ReadError::TooMany));
    for wrong in [
        "",
        "[",
        "{\"resourceMetrics\":1}",
        "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":1}]}]}]}",
    ] {
        assert!(matches!(json::read(wrong.as_bytes()), Err(ReadError::Malformed(_))), "{wrong}");
    }
}
