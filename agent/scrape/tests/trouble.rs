//! Answers that are none: the target is down, says why, and costs nobody else anything.

mod support;

use std::io::Write as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::Response;
use client::{Auth, Source};
use support::{Exporter, Scene, job, text, until};
use vedette_scrape::{Health, ScrapeConfig, ScrapeProtocol};

fn typed(content_type: &'static str, page: &'static str) -> Response {
    let mut response = text(page);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

fn gzip(page: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(page).expect("packed");
    encoder.finish().expect("packed")
}

fn packed(bytes: Vec<u8>) -> Response {
    let mut response = text(bytes);
    response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
    response
}

fn endless() -> Response {
    let lines = std::iter::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(b"a 1\n".repeat(1_024))));
    text(Body::from_stream(futures_util::stream::iter(lines)))
}

struct Case {
    set: fn(&mut ScrapeConfig),
    answer: fn() -> Response,
    error: &'static str,
    counted: &'static str,
}

fn case(
    set: fn(&mut ScrapeConfig),
    answer: fn() -> Response,
    error: &'static str,
    counted: &'static str,
) -> Case {
    Case { set, answer, error, counted }
}

#[tokio::test]
async fn a_bad_answer_makes_the_target_down() {
    let limited: fn(&mut ScrapeConfig) = |config| config.body_size_limit = 10_000;
    let body = "prometheus_target_scrapes_exceeded_body_size_limit_total";
    let samples = "prometheus_target_scrapes_exceeded_sample_limit_total";
    let cases = [
        case(limited, endless, "body size limit exceeded", body),
        case(limited, || packed(gzip(&b"a 1\n".repeat(100_000))), "body size limit exceeded", body),
        case(|config| config.body_size_limit = 4, || text("a 1\n"), "body size limit exceeded", body),
        case(|config| config.sample_limit = 1, || text("a 1\nb 2\n"), "sample limit exceeded", samples),
        case(|config| config.label_limit = 2, || text("a 1\n"), "label_limit exceeded", ""),
        case(|_| {}, || text("\x00\x01<html>"), "line 1: expected a metric name", ""),
        case(
            |_| {},
            || typed("application/openmetrics-text; version=1.0.0", "a 1\n"),
            "data does not end with # EOF",
            "",
        ),
        case(|_| {}, || packed(gzip(&b"a 1\n".repeat(1_000))[..20].to_vec()), "reading the gzip body", ""),
        case(|_| {}, || packed(b"no gzip".to_vec()), "reading the gzip body", ""),
        case(|_| {}, || typed("text/html", "a 1\n"), "received unsupported Content-Type \"text/html\"", ""),
        case(
            |_| {},
            || {
                let mut response = text("a 1\n");
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response
            },
            "server returned HTTP status 503 Service Unavailable",
            "",
        ),
    ];
    for Case { set, answer, error, counted } in cases {
        let exporter = Exporter::start(answer).await;
        let mut config = job("j", &[exporter.address]);
        config.interval = Duration::from_millis(500);
        config.timeout = Duration::from_millis(500);
        config.extra_scrape_metrics = true;
        set(&mut config);
        let scene = Scene::running(config).await;
        let target = scene.health(Health::Down).await;
        assert!(target.last_error.contains(error), "{:?} should say {error:?}", target.last_error);
        assert_eq!(scene.memory.values(r#"up{instance="i", job="j"}"#)[0], Some(0.0), "{error}");
        assert!(scene.memory.values(r#"a{instance="i", job="j"}"#).is_empty(), "{error}: nothing is taken");
        if !counted.is_empty() {
            let page = scene.registry.encode_text();
            assert!(
                page.contains(counted) && !page.contains(&format!("{counted} 0\n")),
                "{counted} in {page}"
            );
        }
        let size = scene.memory.values(r#"scrape_body_size_bytes{instance="i", job="j"}"#)[0];
        assert_eq!(size == Some(-1.0), counted == body, "{error}: {size:?}");
        scene.stop().await;
    }
}

#[tokio::test]
async fn a_target_that_never_answers_runs_into_its_timeout() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let good = Exporter::start(|| text("a 1\n")).await;
    let mut slow = job("slow", &[silent.local_addr().expect("an address")]);
    slow.timeout = Duration::from_millis(30);
    let scene = Scene::new();
    scene.manager.apply(vec![slow, job("good", &[good.address])]).await.expect("valid jobs");
    let of = |pool: &str, health| {
        let targets = scene.manager.targets().active;
        targets.into_iter().find(|target| target.scrape_pool == pool && target.health == health)
    };
    let target = until("the timeout", || of("slow", Health::Down)).await;
    assert!(target.last_error.ends_with("context deadline exceeded"), "{}", target.last_error);
    until("the good target", || of("good", Health::Up)).await;
    scene.stop().await;
}

#[tokio::test]
async fn a_fallback_format_and_gzip_are_read() {
    let exporter = Exporter::start(|| typed("text/html", "a 1\n")).await;
    let mut config = job("j", &[exporter.address]);
    config.fallback_scrape_protocol = Some(ScrapeProtocol::Text0);
    let scene = Scene::running(config).await;
    scene.health(Health::Up).await;
    exporter.say(|| packed(gzip(b"b 2\n")));
    until("the packed page", || scene.memory.values(r#"b{instance="i", job="j"}"#).first().copied()).await;
    scene.stop().await;
}

#[tokio::test]
async fn too_many_targets_fail_all() {
    let (one, two) = (Exporter::start(|| text("a 1\n")).await, Exporter::start(|| text("a 1\n")).await);
    let mut config = job("j", &[one.address, two.address]);
    config.target_limit = 1;
    let scene = Scene::running(config).await;
    let down = || {
        Some(scene.manager.targets().active)
            .filter(|all| all.len() == 2 && all.iter().all(|one| one.health == Health::Down))
    };
    let targets = until("both targets down", down).await;
    assert_eq!(targets[0].last_error, "target_limit exceeded (number of targets: 2, limit: 1)");
    assert!(one.seen.lock().is_empty() && two.seen.lock().is_empty(), "nobody was asked");
    scene.stop().await;
}

#[tokio::test]
async fn credentials_and_parameters_are_sent() {
    let exporter = Exporter::start(|| text("a 1\n")).await;
    let mut config = job("j", &[exporter.address]);
    config.params = vec![("module".to_owned(), vec!["x y".to_owned()])];
    config.http.auth = Some(Auth::Header { scheme: "Bearer".to_owned(), credentials: Source::inline("t0k") });
    let scene = Scene::running(config).await;
    scene.health(Health::Up).await;
    let seen = exporter.seen.lock()[0].clone();
    assert_eq!(
        (seen.headers["authorization"].as_bytes(), seen.uri.as_str()),
        (&b"Bearer t0k"[..], "/metrics?module=x+y")
    );
    scene.stop().await;
}
