//! Requests over the route, into a real store.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use env::{SeededRandom, SharedClock, SimulatedClock, Tasks};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use model::{AnyHistogram, MatchOp, Matcher, MetricType, STALE_NAN_BITS};
use proptest::prelude::*;
use prost::Message as _;
use proto::{remote_write_1 as v1, remote_write_2 as v2};
use storage::{Appender, ExemplarQuerier as _, FrameSource as _, Querier as _, Select, TimeRange};
use telemetry::Registry;
use tempfile::TempDir;
use tower::ServiceExt as _;
use tsdb::{Store, StoreOptions};
use vedette_ingest::{Limits, RemoteWrite, remote_write_disabled};

const T0: i64 = 1_699_999_200_000;
const V1: &str = "application/x-protobuf";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

struct Scene {
    _dir: TempDir,
    store: Arc<Store>,
    clock: Arc<SimulatedClock>,
    registry: Registry,
    router: Router,
    _tasks: Tasks,
}

/// Code, the three written headers and the text.
#[derive(Debug)]
struct Answer {
    code: StatusCode,
    written: Option<[u64; 3]>,
    text: String,
}

impl Scene {
    fn new(limits: Limits) -> Self {
        let (dir, clock, registry) =
            (TempDir::new().expect("a folder"), SimulatedClock::at(T0), Registry::new());
        let random = SeededRandom::shared(1);
        let shared = || Arc::clone(&clock) as SharedClock;
        let options =
            StoreOptions { commit_interval: Duration::from_millis(1), ..StoreOptions::new(dir.path(), "n") };
        let store = Store::open(options, shared(), random.clone(), &registry).expect("opens");
        let tasks = Tasks::new();
        let appender = Arc::clone(&store) as Arc<dyn Appender>;
        let router = RemoteWrite::new(appender, limits, shared(), &random, &tasks, &registry).router();
        Self { _dir: dir, store, clock, registry, router, _tasks: tasks }
    }

    async fn post(&self, content_type: &str, encoding: &str, body: Vec<u8>) -> Answer {
        let request = Request::post("/api/v1/write")
            .header("content-type", content_type)
            .header("content-encoding", encoding)
            .header("content-length", body.len())
            .body(Body::from(body))
            .expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let header = |name: &str| {
            let name = format!("x-prometheus-remote-write-{name}-written");
            response.headers().get(name)?.to_str().ok()?.parse().ok()
        };
        let written = header("samples").zip(header("histograms")).zip(header("exemplars"));
        let written = written.map(|((samples, histograms), exemplars)| [samples, histograms, exemplars]);
        let code = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        Answer { code, written, text: String::from_utf8_lossy(&body).into_owned() }
    }

    async fn send_1(&self, request: &v1::WriteRequest) -> Answer {
        self.post(V1, "snappy", snappy(&request.encode_to_vec())).await
    }

    async fn send_2(&self, request: &v2::Request) -> Answer {
        self.post(V2, "snappy", snappy(&request.encode_to_vec())).await
    }

    /// All samples of series whose name begins like this: labels, times and bits.
    async fn samples(&self, name: &str) -> Vec<(String, Vec<(i64, u64)>)> {
        let matcher = Matcher::new("__name__", MatchOp::Regex, format!("{name}.*")).expect("valid");
        let select = Select { matchers: vec![matcher], range: TimeRange::ALL, samples_max: 1 << 20 };
        let found = self.store.select(select).await.expect("an answer");
        let series = found.series.into_iter().map(|series| {
            let samples = series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits()));
            (series.labels.to_string(), samples.collect())
        });
        series.collect()
    }

    fn metric(&self, line: &str) -> Option<String> {
        let page = self.registry.encode_text();
        page.lines().find_map(|found| Some(found.strip_prefix(line)?.trim().to_owned()))
    }
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("compressed")
}

fn label(name: &str, value: &str) -> v1::Label {
    v1::Label { name: name.to_owned(), value: value.to_owned() }
}

fn series_1(name: &str, samples: &[(i64, f64)]) -> v1::TimeSeries {
    let sample = |&(timestamp, value): &(i64, f64)| v1::Sample { value, timestamp: T0 + timestamp };
    v1::TimeSeries {
        labels: vec![label("__name__", name), label("instance", "i"), label("job", "j"), label("z", "ü")],
        samples: samples.iter().map(sample).collect(),
        ..Default::default()
    }
}

fn request_1(timeseries: Vec<v1::TimeSeries>) -> v1::WriteRequest {
    v1::WriteRequest { timeseries, metadata: Vec::new() }
}

/// Labels, times and values of a series.
type Pushed<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)]);

/// A request of version 2 with series of these labels.
fn request_2(series: &[Pushed<'_>]) -> v2::Request {
    let mut request = v2::Request { symbols: vec![String::new()], timeseries: Vec::new() };
    for (labels, samples) in series {
        let mut labels_refs = Vec::new();
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            request.symbols.push((*text).to_owned());
            labels_refs.push(u32::try_from(request.symbols.len() - 1).expect("few"));
        }
        let sample = |&(timestamp, value): &(i64, f64)| v2::Sample {
            value,
            timestamp: T0 + timestamp,
            start_timestamp: 0,
        };
        let samples = samples.iter().map(sample).collect();
        request.timeseries.push(v2::TimeSeries { labels_refs, samples, ..Default::default() });
    }
    request
}

#[tokio::test]
async fn samples_of_version_1_are_there_bit_for_bit_when_the_answer_comes() {
    let scene = Scene::new(Limits::default());
    let stale = f64::from_bits(STALE_NAN_BITS);
    let odd =
        [(0, 0.1 + 0.2), (15, -2.5), (30, f64::from_bits(0x7ff8_0000_0000_0123)), (45, 1e300), (60, stale)];
    let request = request_1(vec![series_1("a", &odd), series_1("b", &[(0, 1.0), (30, 2.5)])]);
    let answer = scene.send_1(&request).await;
    assert_eq!((answer.code, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(answer.written, None);
    let bits =
        |samples: &[(i64, f64)]| samples.iter().map(|(time, value)| (T0 + time, value.to_bits())).collect();
    let named = |name: &str| format!(r#"{name}{{instance="i", job="j", z="ü"}}"#);
    let expected: Vec<(String, Vec<_>)> =
        vec![(named("a"), bits(&odd)), (named("b"), bits(&[(0, 1.0), (30, 2.5)]))];
    assert_eq!(scene.samples("").await, expected);
    // Written, not only taken: a frame is in the log.
    let stream = scene.store.own_stream().id;
    assert!(!scene.store.held(&stream).is_empty());
    assert_eq!(scene.metric("vedette_remote_write_samples_total").as_deref(), Some("7"));
    assert_eq!(scene.metric("vedette_ingest_layouts").as_deref(), Some("1"), "one origin, one layout");
}

/// Each sample's own, or that of its series; where the store does not keep them nothing is different.
#[tokio::test]
async fn starts_of_version_2_are_kept_with_their_samples() {
    for keeps in [true, false] {
        let scene = Scene::new(Limits::default());
        if keeps {
            scene.store.keep_starts();
        }
        let mut names = Vec::new();
        for round in 0..3i64 {
            let pushed: Vec<(String, Vec<(i64, f64)>)> = (0..70)
                .map(|at| (format!("m{at}"), vec![(round * 2_000, 1.0), (round * 2_000 + 1_000, 2.0)]))
                .collect();
            let labels: Vec<Vec<(&str, &str)>> =
                pushed.iter().map(|(name, _)| vec![("__name__", name.as_str()), ("job", "j")]).collect();
            let series: Vec<Pushed<'_>> = labels
                .iter()
                .zip(&pushed)
                .map(|(labels, (_, samples))| (&labels[..], &samples[..]))
                .collect();
            let mut request = request_2(&series);
            for (at, series) in request.timeseries.iter_mut().enumerate() {
                series.created_timestamp = if at % 3 == 0 { T0 - 9 } else { 0 };
                series.samples[1].start_timestamp = if at % 2 == 0 { T0 - round } else { 0 };
            }
            let answer = scene.send_2(&request).await;
            assert_eq!((answer.code, answer.written), (StatusCode::NO_CONTENT, Some([140, 0, 0])));
            names = pushed.into_iter().map(|(name, _)| name).collect();
        }
        assert_eq!(scene.samples("m").await.len(), 70);
        let select = Select { matchers: Vec::new(), range: TimeRange::ALL, samples_max: 1 << 20 };
        let found = scene.store.starts(select).await.expect("an answer");
        let of = |name: &str| {
            let series = found.iter().find(|series| series.labels.metric_name() == name);
            series.map_or(Vec::new(), |series| series.starts.clone())
        };
        for (at, name) in names.iter().enumerate() {
            let mut expected = Vec::new();
            for round in (0..3i64).filter(|_| keeps) {
                let both = (at % 3 == 0).then_some(T0 - 9);
                let own = (at % 2 == 0).then_some(T0 - round).or(both);
                expected.extend(both.map(|start| (T0 + round * 2_000, start)));
                expected.extend(own.map(|start| (T0 + round * 2_000 + 1_000, start)));
            }
            assert_eq!(of(name), expected, "{name}");
        }
    }
}

#[tokio::test]
async fn good_samples_stay_when_others_are_refused() {
    let scene = Scene::new(Limits::default());
    let far = 11 * 60 * 1000;
    scene.send_1(&request_1(vec![series_1("a", &[(1000, 1.0)])])).await;
    for (samples, text) in [
        (vec![(500, 1.0), (2000, 2.0)], "out of order sample for series a{"),
        (vec![(2000, 3.0), (3000, 3.0)], "duplicate sample for timestamp for series a{"),
        (vec![(4000, 4.0), (far, 4.0)], "out of bounds for series a{"),
    ] {
        let answer = scene.send_1(&request_1(vec![series_1("a", &samples)])).await;
        assert_eq!(answer.code, StatusCode::BAD_REQUEST);
        assert!(answer.text.starts_with(text), "{}", answer.text);
    }
    let again = scene.send_1(&request_1(vec![series_1("a", &[(4000, 4.0)])])).await;
    assert_eq!(again.code, StatusCode::NO_CONTENT, "the same sample twice is no error");
    let times: Vec<i64> = scene.samples("a").await[0].1.iter().map(|(time, _)| time - T0).collect();
    assert_eq!(times, [1000, 2000, 3000, 4000]);
    for (reason, count) in [("out_of_order", "1"), ("duplicate", "1"), ("out_of_bounds", "1")] {
        let name = format!("vedette_remote_write_rejected_samples_total{{reason=\"{reason}\"}}");
        assert_eq!(scene.metric(&name).as_deref(), Some(count), "{reason}");
    }
}

#[tokio::test]
async fn labels_must_name_a_series() {
    let scene = Scene::new(Limits::default());
    let bad: [&[(&str, &str)]; 5] = [
        &[("job", "j")],
        &[("__name__", ""), ("job", "j")],
        &[("__name__", "x"), ("", "v")],
        &[("__name__", "x"), ("job", "1"), ("job", "2")],
        &[],
    ];
    let one: &[(i64, f64)] = &[(1, 1.0)];
    let mut timeseries = vec![series_1("good", one)];
    for labels in bad {
        let labels = labels.iter().map(|(name, value)| label(name, value)).collect();
        let samples = vec![v1::Sample { value: 1.0, timestamp: T0 }];
        timeseries.push(v1::TimeSeries { labels, samples, ..Default::default() });
    }
    // Version 1 passes over them, as Prometheus does.
    assert_eq!(scene.send_1(&request_1(timeseries)).await.code, StatusCode::NO_CONTENT);
    assert_eq!(scene.samples("").await.len(), 1);
    assert_eq!(
        scene.metric("prometheus_api_remote_write_invalid_labels_samples_total").as_deref(),
        Some("5")
    );

    let mut series: Vec<Pushed<'_>> = bad.iter().map(|labels| (*labels, one)).collect();
    let utf8: &[(&str, &str)] = &[("__name__", "größe.m"), ("with space", "✓"), ("empty", "")];
    series.push((utf8, one));
    let mut request = request_2(&series);
    // A reference without a text, and half a pair.
    let sample = request.timeseries[0].samples.clone();
    for labels_refs in [vec![0, 99_999], vec![1]] {
        request.timeseries.push(v2::TimeSeries {
            labels_refs,
            samples: sample.clone(),
            ..Default::default()
        });
    }
    let answer = scene.send_2(&request).await;
    assert_eq!((answer.code, answer.written), (StatusCode::BAD_REQUEST, Some([1, 0, 0])));
    assert!(answer.text.contains("invalid metric name or labels, got {job=\"j\"}"), "{}", answer.text);
    assert!(answer.text.contains("duplicated label job"), "{}", answer.text);
    assert_eq!(scene.samples("größe").await[0].0, r#"{__name__="größe.m", "with space"="✓"}"#);
}

#[tokio::test]
async fn version_2_says_what_it_wrote_and_keeps_metadata() {
    let scene = Scene::new(Limits::default());
    let labels: &[(&str, &str)] = &[("__name__", "m_total"), ("job", "j")];
    let mut request = request_2(&[(labels, &[(0, 1.0), (15, 2.0)])]);
    request.symbols.extend(["Some help.".to_owned(), "seconds".to_owned()]);
    let last = u32::try_from(request.symbols.len() - 1).expect("few");
    request.timeseries[0].metadata = Some(v2::Metadata { r#type: 1, help_ref: last - 1, unit_ref: last });
    let answer = scene.send_2(&request).await;
    assert_eq!((answer.code, answer.written), (StatusCode::NO_CONTENT, Some([2, 0, 0])));
    let metadata = |scene: &Scene| {
        let (store, stream) = (&scene.store, scene.store.own_stream().id);
        let frames = store.frames(&stream, 1, 1 << 20).expect("frames");
        let layout = store.find_layout(frames.last().expect("a frame").layouts()[0]).expect("known");
        layout.slots()[0].metadata.as_ref().clone()
    };
    let found = metadata(&scene);
    assert_eq!(
        (found.metric_type, &*found.help, &*found.unit),
        (MetricType::Counter, "Some help.", "seconds")
    );

    // Another text counts once the last change is a while ago; the next requests bring it again.
    request.symbols[last as usize - 1] = "Other help.".to_owned();
    for (seconds, help) in [(1, "Some help."), (61, "Other help.")] {
        scene.clock.advance(Duration::from_secs(seconds));
        request.timeseries[0].samples =
            vec![v2::Sample { value: 3.0, timestamp: T0 + seconds as i64 * 1000, start_timestamp: 1 }];
        assert_eq!(scene.send_2(&request).await.written, Some([1, 0, 0]));
        assert_eq!(&*metadata(&scene).help, help);
    }

    // Version 1 says it apart, before or after its samples.
    let mut first = request_1(vec![series_1("h_bucket", &[(70_000, 1.0)])]);
    scene.send_1(&first).await;
    let said = v1::MetricMetadata {
        r#type: 3,
        metric_family_name: "h".to_owned(),
        help: "A histogram.".to_owned(),
        ..Default::default()
    };
    scene.send_1(&v1::WriteRequest { timeseries: Vec::new(), metadata: vec![said] }).await;
    scene.clock.advance(Duration::from_secs(61));
    first.timeseries[0].samples[0].timestamp += 60_000;
    scene.send_1(&first).await;
    assert_eq!(metadata(&scene).metric_type, MetricType::Histogram);
}

/// Version 2's histogram of version 1's: the messages are the same.
fn histogram_2(histogram: &v1::Histogram) -> v2::Histogram {
    v2::Histogram::decode(&*histogram.encode_to_vec()).expect("the same message")
}

/// Buckets 0 to 2 with one observation each, then one with two.
fn histogram_1(at: i64) -> v1::Histogram {
    v1::Histogram {
        count: Some(v1::histogram::Count::CountInt(6)),
        sum: 18.5,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: Some(v1::histogram::ZeroCount::ZeroCountInt(1)),
        positive_spans: vec![
            v1::BucketSpan { offset: 0, length: 3 },
            v1::BucketSpan { offset: 2, length: 1 },
        ],
        positive_deltas: vec![1, 0, 0, 1],
        reset_hint: 2,
        timestamp: T0 + at,
        ..Default::default()
    }
}

/// A float histogram with bounds of its own.
fn custom_1(at: i64) -> v1::Histogram {
    v1::Histogram {
        count: Some(v1::histogram::Count::CountFloat(4.5)),
        sum: -1.5,
        schema: -53,
        positive_spans: vec![v1::BucketSpan { offset: 0, length: 2 }],
        positive_counts: vec![0.5, 4.0],
        custom_values: vec![0.25, 1.0],
        timestamp: T0 + at,
        ..Default::default()
    }
}

impl Scene {
    /// All histograms of a series: times and texts.
    async fn histograms(&self, name: &str) -> Vec<(i64, String)> {
        let matchers = vec![Matcher::equal("__name__", name)];
        let select = Select { matchers, range: TimeRange::ALL, samples_max: 1 << 20 };
        let found = self.store.select(select).await.expect("an answer").histograms;
        let shown = |histogram: &AnyHistogram| match histogram {
            AnyHistogram::Integer(one) => format!("{:?} {} {one}", one.reset_hint, one.schema.number()),
            AnyHistogram::Float(one) => format!("{:?} {} {one}", one.reset_hint, one.schema.number()),
        };
        let samples = found.iter().flat_map(|series| &series.samples);
        samples.map(|sample| (sample.timestamp - T0, shown(&sample.histogram))).collect()
    }
}

#[tokio::test]
async fn histograms_are_there_bit_for_bit_when_the_answer_comes() {
    let scene = Scene::new(Limits::default());
    let series = |histograms| v1::TimeSeries { samples: Vec::new(), histograms, ..series_1("h", &[]) };
    let request = request_1(vec![series(vec![histogram_1(0), histogram_1(10)])]);
    assert_eq!(scene.send_1(&request).await.code, StatusCode::NO_CONTENT);
    assert_eq!(scene.send_1(&request).await.code, StatusCode::BAD_REQUEST, "the first is out of order");
    let marker =
        v1::Histogram { sum: f64::from_bits(STALE_NAN_BITS), timestamp: T0 + 20, ..Default::default() };
    assert_eq!(scene.send_1(&request_1(vec![series(vec![marker])])).await.code, StatusCode::NO_CONTENT);

    let labels: &[(&str, &str)] = &[("__name__", "c"), ("job", "j")];
    let mut request = request_2(&[(labels, &[])]);
    request.timeseries[0].histograms = vec![histogram_2(&custom_1(5)), histogram_2(&custom_1(5))];
    let answer = scene.send_2(&request).await;
    assert_eq!((answer.code, answer.written), (StatusCode::NO_CONTENT, Some([0, 2, 0])), "said twice");
    let mut wrong = custom_1(6);
    wrong.custom_values = vec![1.0, 0.5];
    let mut other = custom_1(5);
    other.positive_counts[0] = 1.5;
    request.timeseries[0].histograms = [wrong, other, custom_1(7)].iter().map(histogram_2).collect();
    let answer = scene.send_2(&request).await;
    assert_eq!((answer.code, answer.written), (StatusCode::BAD_REQUEST, Some([0, 1, 0])));
    assert!(answer.text.starts_with("invalid native histogram: custom bounds must rise"), "{}", answer.text);
    assert!(answer.text.contains("duplicate sample for timestamp for series c{"), "{}", answer.text);

    let text = "NotReset 1 {count:6, sum:18.5, [-0.001,0.001]:1, (0.7071067811865475,1]:1, \
                (1,1.414213562373095]:1, (1.414213562373095,2]:1, (4,5.65685424949238]:2}";
    let found = scene.histograms("h").await;
    assert_eq!(found[0], (0, text.to_owned()));
    assert_eq!((found[1].0, found[1].1.as_str(), found[2].0, found.len()), (10, text, 20, 3));
    let text = "Unknown -53 {count:4.5, sum:-1.5, [-Inf,0.25]:0.5, (0.25,1]:4}";
    assert_eq!(scene.histograms("c").await, [(5, text.to_owned()), (7, text.to_owned())]);
    assert_eq!(scene.metric("vedette_remote_write_histograms_total").as_deref(), Some("7"));
    assert_eq!(
        scene.metric("vedette_remote_write_rejected_samples_total{reason=\"invalid_histogram\"}"),
        Some("1".to_owned())
    );
}

#[tokio::test]
async fn only_accepted_messages_are_taken() {
    let scene = Scene::new(Limits { accepted: [false, true], ..Limits::default() });
    let answer = scene.send_1(&request_1(vec![series_1("a", &[(0, 1.0)])])).await;
    assert_eq!(answer.code, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let text = "prometheus.WriteRequest protobuf message is not accepted by this server; only accepts \
                io.prometheus.write.v2.Request\n";
    assert_eq!(answer.text, text);
    let labels: &[(&str, &str)] = &[("__name__", "b")];
    assert_eq!(scene.send_2(&request_2(&[(labels, &[(0, 1.0)])])).await.code, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn exemplars_are_kept_and_fail_no_request() {
    let scene = Scene::new(Limits::default());
    let mut series = series_1("a", &[(0, 1.0)]);
    let exemplar = |at: i64| v1::Exemplar { labels: vec![label("t", "1")], value: 0.5, timestamp: T0 + at };
    series.exemplars = vec![exemplar(5), exemplar(5), exemplar(4)];
    assert_eq!(scene.send_1(&request_1(vec![series])).await.code, StatusCode::NO_CONTENT);
    let labels: &[(&str, &str)] = &[("__name__", "b"), ("job", "j")];
    let mut request = request_2(&[(labels, &[(0, 1.0)])]);
    let position = u32::try_from(request.symbols.len()).expect("few");
    request.symbols.extend(["trace_id".to_owned(), "ü".to_owned()]);
    let refs = |labels_refs| v2::Exemplar { labels_refs, value: f64::NAN, timestamp: T0 + 1 };
    request.timeseries[0].exemplars = vec![refs(vec![position, position + 1]), refs(vec![position, 99])];
    let answer = scene.send_2(&request).await;
    assert_eq!((answer.code, answer.written), (StatusCode::NO_CONTENT, Some([1, 0, 1])));
    let sets = [vec![Matcher::equal("job", "j")]];
    let found = scene.store.exemplars(&sets, TimeRange::ALL);
    let shown: Vec<String> = found
        .iter()
        .flat_map(|series| series.exemplars.iter().map(move |one| (&series.labels, one)))
        .map(|(series, one)| {
            format!("{} {} {} {:?}", series.metric_name(), one.labels, one.value, one.timestamp)
        })
        .collect();
    let at = |after: i64| T0 + after;
    assert_eq!(
        shown,
        [format!("a {{t=\"1\"}} 0.5 Some({})", at(5)), format!("b {{trace_id=\"ü\"}} NaN Some({})", at(1)),]
    );
}

#[tokio::test]
async fn what_is_not_understood_is_refused_with_reasons() {
    let scene = Scene::new(Limits { body: 1 << 16, ..Limits::default() });
    let good = snappy(&request_1(vec![series_1("a", &[(0, 1.0)])]).encode_to_vec());
    let bomb = snappy(&vec![0; 1 << 20]);
    for (content_type, encoding, body, code, text) in [
        ("application/json", "snappy", good.clone(), 415, "expected application/x-protobuf as the first"),
        (
            "application/x-protobuf;proto=x.Y",
            "snappy",
            good.clone(),
            415,
            "got application/x-protobuf;proto=x.Y",
        ),
        (V1, "gzip", good.clone(), 415, "gzip encoding (compression) is not accepted by this server"),
        (V1, "snappy", b"no snappy at all".to_vec(), 400, "cannot decompress the request"),
        (V1, "snappy", bomb, 400, "the request has 1048576 bytes decompressed, at most 65536"),
        (V1, "snappy", vec![0; 70_000], 400, "the request body is over 65536 bytes"),
        (V1, "snappy", snappy(b"\x0a\xff"), 400, "cannot decode the request: byte 1"),
    ] {
        let answer = scene.post(content_type, encoding, body).await;
        assert_eq!(answer.code.as_u16(), code, "{text}: {}", answer.text);
        assert!(answer.text.starts_with(text), "{text}: {}", answer.text);
    }
    assert_eq!(scene.samples("").await, []);
    assert_eq!(scene.post(V1, "snappy", good).await.code, StatusCode::NO_CONTENT);
    let get = Request::get("/api/v1/write").body(Body::empty()).expect("a request");
    assert_eq!(scene.router.clone().oneshot(get).await.expect("an answer").status(), 405);
}

#[tokio::test]
async fn new_series_beyond_the_room_are_refused_and_known_ones_go_on() {
    let scene = Scene::new(Limits { series: 1000, ..Limits::default() });
    let names: Vec<String> = (0..5).map(|at| format!("a{at}")).collect();
    for time in [0, 1] {
        let series = names.iter().map(|name| series_1(name, &[(time, 1.0)])).collect();
        let answer = scene.send_1(&request_1(series)).await;
        assert_eq!(answer.code, StatusCode::BAD_REQUEST);
        assert!(answer.text.starts_with("too many series"), "{}", answer.text);
    }
    let kept = scene.samples("a").await;
    assert!((1..5).contains(&kept.len()) && kept.iter().all(|(_, samples)| samples.len() == 2), "{kept:?}");
}

#[tokio::test]
async fn a_closed_store_is_asked_again_later() {
    let scene = Scene::new(Limits::default());
    scene.store.close().expect("closed");
    let answer = scene.send_2(&request_2(&[(&[("__name__", "a")], &[(0, 1.0)])])).await;
    assert_eq!((answer.code, answer.written), (StatusCode::SERVICE_UNAVAILABLE, None));
}

#[tokio::test]
async fn switched_off_it_says_how_to_switch_it_on() {
    let request = Request::post("/api/v1/write").body(Body::empty()).expect("a request");
    let response = remote_write_disabled::<()>().oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("--web.enable-remote-write-receiver"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_body_gets_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..100), compressed: bool, second: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let scene = Scene::new(Limits::default());
            let body = if compressed { snappy(&bytes) } else { bytes };
            let answer = scene.post(if second { V2 } else { V1 }, "snappy", body).await;
            assert!(matches!(answer.code.as_u16(), 204 | 400), "{answer:?}");
        });
    }
}
