//! OTLP requests over the route, into a real store.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use env::{SeededRandom, SharedClock, SimulatedClock, Tasks};
use http::Request;
use http_body_util::BodyExt as _;
use model::{MatchOp, Matcher, MetricType};
use storage::{Appender, Querier as _, Select, TimeRange};
use telemetry::Registry;
use tempfile::TempDir;
use tower::ServiceExt as _;
use tsdb::{Store, StoreOptions};
use vedette_ingest::{Otlp, OtlpConfig, Strategy, otlp_disabled};

const T0: i64 = 1_699_999_200_000;

struct Scene {
    _dir: TempDir,
    store: Arc<Store>,
    otlp: Otlp,
    router: Router,
    _tasks: Tasks,
}

impl Scene {
    fn new() -> Self {
        let (dir, registry, random) =
            (TempDir::new().expect("a folder"), Registry::new(), SeededRandom::shared(1));
        let clock: SharedClock = SimulatedClock::at(T0);
        let options =
            StoreOptions { commit_interval: Duration::from_millis(1), ..StoreOptions::new(dir.path(), "n") };
        let store = Store::open(options, clock.clone(), random.clone(), &registry).expect("opens");
        let (tasks, appender) = (Tasks::new(), Arc::clone(&store) as Arc<dyn Appender>);
        let otlp = Otlp::new(appender, OtlpConfig::default(), clock, &random, &tasks, &registry);
        Self { _dir: dir, store, router: otlp.clone().router(), otlp, _tasks: tasks }
    }

    async fn post(&self, kind: &str, encoding: &str, body: Vec<u8>) -> (u16, String) {
        let request = Request::post("/api/v1/otlp/v1/metrics")
            .header("content-type", kind)
            .header("content-encoding", encoding)
            .body(Body::from(body))
            .expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (code, String::from_utf8_lossy(&body).trim().to_owned())
    }

    async fn send(&self, body: &str) -> (u16, String) {
        self.post("application/json; charset=utf-8", "", body.as_bytes().to_vec()).await
    }

    /// All samples of series with such names.
    async fn found(&self, name: &str) -> Vec<String> {
        let matcher = Matcher::new("__name__", MatchOp::Regex, name).expect("valid");
        let select = Select { matchers: vec![matcher], range: TimeRange::ALL, samples_max: 1 << 20 };
        let set = self.store.select(select).await.expect("an answer");
        let line = |series: model::Series| {
            let samples: Vec<_> = series.samples.iter().map(|one| (one.timestamp - T0, one.value)).collect();
            format!("{} {samples:?}", series.labels)
        };
        set.series.into_iter().map(line).collect()
    }
}

fn gauge(name: &str, points: &[(i64, f64)]) -> String {
    let points: Vec<String> = points
        .iter()
        .map(|(time, value)| format!(r#"{{"asDouble":{value},"timeUnixNano":"{}000000"}}"#, T0 + time))
        .collect();
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
        "scopeMetrics":[{{"metrics":[{{"name":"{name}","unit":"s","gauge":{{"dataPoints":[{}]}}}}]}}]}}]}}"#,
        points.join(",")
    )
}

#[tokio::test]
async fn requests_are_taken_and_refused() {
    let scene = Scene::new();
    assert_eq!(scene.send(&gauge("a.b", &[(2_000, 2.0), (1_000, 1.0)])).await, (200, String::new()));
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(gauge("a.b", &[(3_000, 3.0)]).as_bytes()).expect("packs");
    let packed = packer.finish().expect("packed");
    assert_eq!(scene.post("application/json", "gzip", packed).await.0, 200);
    let line = r#"a_b_seconds{job="shop"} [(1000, 1.0), (2000, 2.0), (3000, 3.0)]"#;
    assert_eq!(scene.found("a_b.*").await, [line]);
    let said = scene.store.metadata();
    assert_eq!(
        said["a_b_seconds"].iter().map(|one| one.metric_type).collect::<Vec<_>>(),
        [MetricType::Gauge]
    );
    // What was sent already is there, what is older or different is refused.
    assert_eq!(scene.send(&gauge("a.b", &[(3_000, 3.0)])).await.0, 200);
    for (point, what) in [((2_500, 1.0), "out of order sample"), ((3_000, 4.0), "duplicate sample")] {
        let (code, text) = scene.send(&gauge("a.b", &[point])).await;
        assert!(code == 400 && text.contains(what), "{code} {text}");
    }
    scene.otlp.apply(OtlpConfig { strategy: Strategy::NoTranslation, ..OtlpConfig::default() });
    assert_eq!(scene.send(&gauge("a.b", &[(4_000, 4.0)])).await.0, 200);
    assert_eq!(scene.found("a[.]b").await, [r#"{__name__="a.b", job="shop"} [(4000, 4.0)]"#]);
    for (kind, encoding, body, what) in [
        ("text/plain", "", "", "unsupported content type: text/plain"),
        ("application/json", "br", "", "unsupported compression: br"),
        ("application/json", "gzip", "no gzip", "cannot unpack"),
        ("application/json", "", "{", "cannot decode the request"),
        ("application/x-protobuf", "", "\u{1}", "cannot decode the request"),
    ] {
        let (code, text) = scene.post(kind, encoding, body.as_bytes().to_vec()).await;
        assert!(code == 400 && text.contains(what), "{kind} {encoding}: {code} {text}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_off_says_how_to_switch_it_on() {
    let request = Request::post("/api/v1/otlp/v1/metrics").body(Body::empty()).expect("a request");
    let response = otlp_disabled::<()>().with_state(()).oneshot(request).await.expect("an answer");
    assert_eq!(response.status().as_u16(), 404);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("--web.enable-otlp-receiver"));
}
