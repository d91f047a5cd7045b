//! Pages in Prometheus's protobuf format: native histograms, exemplars, limits.

mod support;

use axum::http::header;
use axum::response::Response;
use model::MetricType;
use model::histogram::{AnyHistogram, Resolution};
use prost::Message as _;
use proto::prometheus as wire;
use support::{Exporter, Memory, Scene, job, text, until};
use vedette_scrape::{Health, ScrapeConfig, ScrapeProtocol};

const NATIVE: &str = r#"h{instance="i", job="j"}"#;

fn page(families: &[wire::MetricFamily]) -> Response {
    let bytes: Vec<u8> =
        families.iter().flat_map(wire::MetricFamily::encode_length_delimited_to_vec).collect();
    let mut response = Response::new(bytes.into());
    let content_type =
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

fn counter(name: &str, value: f64) -> wire::MetricFamily {
    let exemplar = wire::Exemplar {
        label: vec![wire::LabelPair { name: Some("t".to_owned()), value: Some("1".to_owned()) }],
        value: Some(value),
        timestamp: None,
    };
    let counter = wire::Counter { value: Some(value), exemplar: Some(exemplar), ..Default::default() };
    family(name, wire::MetricType::Counter, wire::Metric { counter: Some(counter), ..Default::default() })
}

fn family(name: &str, r#type: wire::MetricType, metric: wire::Metric) -> wire::MetricFamily {
    wire::MetricFamily {
        name: Some(name.to_owned()),
        help: Some("Help.".to_owned()),
        r#type: Some(r#type.into()),
        metric: vec![metric],
        ..Default::default()
    }
}

/// Both forms: classic buckets up to 1 and infinity, native ones of schema 3 with one observation each.
fn histogram(buckets: u32) -> wire::MetricFamily {
    let exemplar = |at: i64| wire::Exemplar {
        label: Vec::new(),
        value: Some(0.5),
        timestamp: Some(prost_types::Timestamp { seconds: at, nanos: 0 }),
    };
    let histogram = wire::Histogram {
        sample_count: Some(buckets.into()),
        sample_sum: Some(2.5),
        bucket: vec![wire::Bucket {
            cumulative_count: Some(1),
            upper_bound: Some(1.0),
            ..Default::default()
        }],
        schema: Some(3),
        zero_threshold: Some(0.0),
        positive_span: vec![wire::BucketSpan { offset: Some(-2), length: Some(buckets) }],
        positive_delta: std::iter::once(1).chain((1..buckets).map(|_| 0)).collect(),
        exemplars: vec![exemplar(9), exemplar(8)],
        ..Default::default()
    };
    family(
        "h",
        wire::MetricType::Histogram,
        wire::Metric { histogram: Some(histogram), ..Default::default() },
    )
}

fn native(address: std::net::SocketAddr) -> ScrapeConfig {
    let mut config = job("j", &[address]);
    config.native_histograms = true;
    config.scrape_protocols = ScrapeProtocol::by_default(true);
    config
}

/// Counts and schemas of what was written of the histogram; none: a marker.
fn written(memory: &Memory) -> Vec<Option<(u64, i32)>> {
    let all = memory.histograms.lock();
    let found =
        all.iter().find(|(labels, _)| labels.to_string() == NATIVE).map(|(_, samples)| samples.clone());
    let shown = |(_, one): (i64, AnyHistogram)| match one {
        AnyHistogram::Integer(one) if !one.is_stale() => Some((one.count, one.schema.number())),
        _ => None,
    };
    found.unwrap_or_default().into_iter().map(shown).collect()
}

/// What a page says of when its counters began goes with their samples, under the labels that those have.
#[tokio::test]
async fn starts_go_with_the_samples_of_their_lines() {
    let mut number = 0;
    let exporter = Exporter::start(move || {
        number += 1;
        let begun = |family: &mut wire::MetricFamily, seconds: i64| {
            let created = Some(prost_types::Timestamp { seconds, nanos: 5_000_000 });
            family.metric[0].counter.as_mut().expect("a counter").created_timestamp = created;
        };
        let mut families = [counter("a_total", 1.0), counter("b_total", 2.0), counter("c_total", 3.0)];
        begun(&mut families[0], 100);
        // It is known only later, and begins anew each time.
        if number > 1 {
            begun(&mut families[2], 200 + number);
        }
        page(&families)
    })
    .await;
    let scene = Scene::running(native(exporter.address)).await;
    let of = |memory: &Memory, name: &str| {
        let series = format!(r#"{name}{{instance="i", job="j"}}"#);
        let starts = memory.starts.lock();
        starts.iter().find(|(labels, _)| labels.to_string() == series).map(|(_, starts)| starts.clone())
    };
    until("three pages", || of(&scene.memory, "a_total").filter(|starts| starts.len() >= 3).map(drop)).await;
    let times: Vec<i64> =
        scene.memory.samples(r#"a_total{instance="i", job="j"}"#).iter().map(|it| it.0).collect();
    let first = of(&scene.memory, "a_total").expect("starts");
    assert!(first.iter().zip(&times).all(|(start, time)| *start == (*time, 100_005)), "{first:?}");
    let third = of(&scene.memory, "c_total").expect("starts");
    assert_eq!(third[0], (times[1], 202_005));
    assert_eq!(of(&scene.memory, "b_total"), None);
}

#[tokio::test]
async fn native_histograms_grow_and_end() {
    let mut buckets = 1;
    let exporter = Exporter::start(move || {
        buckets += 1;
        page(&[counter("c_total", 1.0), histogram(buckets)])
    })
    .await;
    let scene = Scene::running(native(exporter.address)).await;
    let begins = |memory: &Memory| written(memory).starts_with(&[Some((2, 3)), Some((3, 3))]).then_some(());
    until("two histograms", || begins(&scene.memory)).await;
    let accept = exporter.seen.lock()[0].headers["accept"].to_str().expect("text").to_owned();
    assert!(accept.starts_with("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"));
    for (series, value) in [
        (r#"c_total{instance="i", job="j"}"#, 1.0),
        (r#"scrape_samples_scraped{instance="i", job="j"}"#, 2.0),
        (r#"scrape_samples_post_metric_relabeling{instance="i", job="j"}"#, 2.0),
        (r#"scrape_series_added{instance="i", job="j"}"#, 2.0),
    ] {
        assert_eq!(scene.memory.values(series).first(), Some(&Some(value)), "{series}");
    }
    assert!(scene.memory.samples(r#"h_count{instance="i", job="j"}"#).is_empty());
    assert_eq!(scene.memory.metadata.lock()["h"].metric_type, MetricType::Histogram);
    let exemplars = scene.memory.exemplars.lock().clone();
    assert_eq!(exemplars[0].0.metric_name(), "c_total");
    let first = scene.memory.samples(r#"c_total{instance="i", job="j"}"#)[0].0;
    assert_eq!(exemplars[0].1.timestamp, Some(first), "a sample's exemplar has at least its time");
    let times: Vec<_> =
        exemplars[1..3].iter().map(|(labels, one)| (labels.to_string(), one.timestamp)).collect();
    assert_eq!(times, [(NATIVE.to_owned(), Some(8_000)), (NATIVE.to_owned(), Some(9_000))]);

    exporter.say(|| page(&[counter("c_total", 2.0)]));
    until("the end", || (written(&scene.memory).last() == Some(&None)).then_some(())).await;
    exporter.say(|| page(&[histogram(3)]));
    until("again", || (written(&scene.memory).last() == Some(&Some((3, 3)))).then_some(())).await;
    exporter.say(|| text("d 1\n"));
    until("another format", || (written(&scene.memory).last() == Some(&None)).then_some(())).await;
    until("its series", || scene.memory.samples(r#"d{instance="i", job="j"}"#).pop()).await;
    scene.stop().await;
}

#[tokio::test]
async fn a_target_that_fails_ends_its_histograms() {
    let exporter = Exporter::start(|| page(&[histogram(2)])).await;
    let scene = Scene::running(native(exporter.address)).await;
    until("a histogram", || (!written(&scene.memory).is_empty()).then_some(())).await;
    exporter.say(|| {
        let mut response = page(&[]);
        *response.body_mut() = vec![0xff; 3].into();
        response
    });
    until("the end", || (written(&scene.memory).last() == Some(&None)).then_some(())).await;
    assert!(!scene.health(Health::Down).await.last_error.is_empty());
    scene.stop().await;
}

#[tokio::test]
async fn the_classic_form_is_taken_where_it_is_wanted() {
    let exporter = Exporter::start(|| page(&[histogram(2)])).await;
    let classic = r#"h_bucket{instance="i", job="j", le="1.0"}"#;
    for (native_too, classic_too) in [(false, false), (true, true)] {
        let mut config = native(exporter.address);
        (config.native_histograms, config.classic_histograms) = (native_too, classic_too);
        let scene = Scene::running(config).await;
        until("the classic form", || scene.memory.values(classic).first().copied()).await;
        assert_eq!(written(&scene.memory).is_empty(), !native_too);
        assert_eq!(scene.memory.values(r#"h_count{instance="i", job="j"}"#)[0], Some(2.0));
        scene.stop().await;
    }
}

#[tokio::test]
async fn histograms_with_too_many_buckets_become_coarser_or_fail() {
    let exporter = Exporter::start(|| page(&[histogram(40)])).await;
    let coarse = Resolution::new(1).expect("a schema");
    for (limit, schema_max, expected) in [
        (0, Some(coarse), Some((40, 1))),
        (12, None, Some((40, 1))),
        (12, Some(coarse), Some((40, 1))),
        (1, None, None),
    ] {
        let mut config = native(exporter.address);
        (config.native_bucket_limit, config.native_schema_max) = (limit, schema_max);
        let scene = Scene::running(config).await;
        match expected {
            Some(expected) => {
                let first = until("a histogram", || written(&scene.memory).first().copied()).await;
                assert_eq!(first, Some(expected), "limit {limit}");
            }
            None => {
                let error = scene.health(Health::Down).await.last_error;
                assert_eq!(error, "histogram bucket limit exceeded");
                let line = "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total ";
                assert!(scene.registry.encode_text().lines().any(|found| found.starts_with(line)));
            }
        }
        scene.stop().await;
    }
}

#[tokio::test]
async fn exemplars_of_text_pages_are_taken_once() {
    let mut number = 0;
    let exporter = Exporter::start(move || {
        number += 1;
        let two = number / 2;
        let body =
            format!("# TYPE a counter\na_total {number} # {{t=\"x\"}} {two}\n# TYPE b gauge\nb 1\n# EOF\n");
        let mut response = text(body);
        let open = header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0");
        response.headers_mut().insert(header::CONTENT_TYPE, open);
        response
    })
    .await;
    let scene = Scene::running(job("j", &[exporter.address])).await;
    let series = r#"a_total{instance="i", job="j"}"#;
    until("six scrapes", || (scene.memory.samples(series).len() >= 6).then_some(())).await;
    let times: Vec<i64> = scene.memory.samples(series).iter().map(|sample| sample.0).collect();
    let found: Vec<_> =
        scene.memory.exemplars.lock().iter().map(|(_, one)| (one.value, one.timestamp)).collect();
    // The page that is parsed whole says it once, the first that is compared once more.
    let kept: Vec<_> = found.iter().filter(|(value, _)| *value >= 1.0).take(2).copied().collect();
    assert_eq!(kept[0].1, Some(times[1]), "{found:?}");
    assert!(found.iter().filter(|(value, _)| *value == 2.0).count() == 1, "{found:?}");
    scene.stop().await;
}

/// The classic histogram of a text page, whose lines stand in another order each time.
fn classic_text(number: u64) -> String {
    let mut lines = [
        format!("h_bucket{{le=\"0.5\"}} {number}"),
        format!("h_bucket{{le=\"1\"}} {}", number + 1),
        format!("h_bucket{{le=\"+Inf\"}} {}", number + 3),
        format!("h_sum {}", number * 2),
        format!("h_count {}", number + 3),
        "h_bucket{x=\"broken\",le=\"1\"} 3".to_owned(),
        "h_count{x=\"broken\"} 2".to_owned(),
    ];
    if number.is_multiple_of(3) {
        lines.reverse();
    }
    format!("# HELP h Help.\n# TYPE h histogram\n{}\n# TYPE g gauge\ng_count 1\n", lines.join("\n"))
}

#[tokio::test]
async fn classic_histograms_become_native_ones() {
    for classic_too in [false, true] {
        let mut number = 0;
        let exporter = Exporter::start(move || {
            number += 1;
            text(classic_text(number))
        })
        .await;
        let mut config = job("j", &[exporter.address]);
        (config.classic_to_nhcb, config.classic_histograms) = (true, classic_too);
        let scene = Scene::running(config).await;
        until("seven histograms", || (written(&scene.memory).len() >= 7).then_some(())).await;
        let all = scene.memory.histograms.lock().clone();
        assert_eq!(all.len(), 1, "what makes no histogram is none: {all:?}");
        for (number, (_, histogram)) in (1_u64..).zip(&all.values().next().expect("one")[..7]) {
            let AnyHistogram::Integer(histogram) = histogram else { panic!("{histogram:?}") };
            let expected = format!(
                "{{count:{}, sum:{}, [-Inf,0.5]:{number}, (0.5,1]:1, (1,+Inf]:2}}",
                number + 3,
                number * 2
            );
            assert_eq!(histogram.to_string(), expected);
        }
        let bucket = scene.memory.samples(r#"h_bucket{instance="i", job="j", le="1.0"}"#);
        assert_eq!(bucket.is_empty(), !classic_too);
        assert_eq!(scene.memory.values(r#"g_count{instance="i", job="j"}"#)[0], Some(1.0));
        let scraped = scene.memory.values(r#"scrape_samples_scraped{instance="i", job="j"}"#)[0];
        assert_eq!(scraped, Some(if classic_too { 10.0 } else { 3.0 }));
        scene.stop().await;
    }
}

#[tokio::test]
async fn classic_histograms_of_protobuf_pages_become_native_ones_where_they_are_none() {
    let classic = || {
        let bucket = |bound: f64, count: f64| wire::Bucket {
            cumulative_count_float: Some(count),
            upper_bound: Some(bound),
            ..Default::default()
        };
        let histogram = wire::Histogram {
            sample_count_float: Some(2.0),
            sample_sum: Some(1.0),
            bucket: vec![bucket(1.0, 0.5)],
            ..Default::default()
        };
        let metric = wire::Metric { histogram: Some(histogram), ..Default::default() };
        family("c", wire::MetricType::Histogram, metric)
    };
    let exporter = Exporter::start(move || page(&[histogram(2), classic()])).await;
    let mut config = native(exporter.address);
    config.classic_to_nhcb = true;
    let scene = Scene::running(config).await;
    let found = until("both", || {
        let all = scene.memory.histograms.lock();
        (all.len() == 2).then(|| all.clone())
    })
    .await;
    let shown: Vec<(String, String)> = found
        .iter()
        .map(|(labels, samples)| match &samples[0].1 {
            AnyHistogram::Integer(one) => (labels.metric_name().to_owned(), one.schema.number().to_string()),
            AnyHistogram::Float(one) => (labels.metric_name().to_owned(), one.to_string()),
        })
        .collect();
    let custom = "{count:2, sum:1, [-Inf,1]:0.5, (1,+Inf]:1.5}".to_owned();
    assert_eq!(shown, [("c".to_owned(), custom), ("h".to_owned(), "3".to_owned())]);
    scene.stop().await;
}
