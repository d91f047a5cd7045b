//! Requests and their exact answers, from `testdata/*.txt`.
//!
//! A case is `### name`, the request (`GET path`, or `POST path form`), the code, and the body; the
//! body ends at the next case. `# ` lines before the first case are comments.

mod streams;
pub(crate) mod world;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use world::{World, state_with};

struct Case {
    name: String,
    request: String,
    code: u16,
    body: String,
}

fn cases(text: &str) -> Vec<Case> {
    text.split("\n### ")
        .skip(1)
        .map(|block| {
            let mut lines = block.splitn(4, '\n');
            let mut next = || lines.next().expect("four parts").to_owned();
            let (name, request, code) = (next(), next(), next());
            let body = next().trim_end().to_owned();
            Case { name, request, code: code.parse().expect("a code"), body }
        })
        .collect()
}

async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, http::HeaderMap, String) {
    let response = router.clone().oneshot(request).await.expect("an answer");
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    (head.status, head.headers, String::from_utf8(bytes.to_vec()).expect("text"))
}

fn request(text: &str) -> Request<Body> {
    let mut parts = text.splitn(3, ' ');
    let method: Method = parts.next().expect("a method").parse().expect("a method");
    // Cases are written as people type them; a request line allows less.
    let path = [('{', "%7B"), ('}', "%7D"), ('"', "%22"), ('<', "%3C"), ('>', "%3E")]
        .iter()
        .fold(parts.next().expect("a path").to_owned(), |path, (from, to)| path.replace(*from, to));
    let builder = Request::builder().method(method).uri(path);
    match parts.next() {
        Some(form) => builder
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned())),
        None => builder.body(Body::empty()),
    }
    .expect("a request")
}

async fn check(text: &str) {
    check_in(World::default(), text).await;
}

async fn check_in(world: World, text: &str) {
    let router = crate::router(state_with(world));
    let mut wrong = Vec::new();
    for case in cases(text) {
        let (code, _, body) = ask(&router, request(&case.request)).await;
        if (code.as_u16(), body.trim_end()) != (case.code, case.body.as_str()) {
            wrong.push(format!("### {}\n{}\n{}\n{body}\n", case.name, case.request, code.as_u16()));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ; what came back:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn queries() {
    check(include_str!("../../testdata/query.txt")).await;
}

#[tokio::test]
async fn series_and_labels() {
    check(include_str!("../../testdata/labels.txt")).await;
}

#[tokio::test]
async fn status_pages() {
    check(include_str!("../../testdata/status.txt")).await;
}

#[tokio::test]
async fn federation() {
    check(include_str!("../../testdata/federate.txt")).await;
}

#[tokio::test]
async fn administration() {
    let world = World { enabled: true, ..World::default() };
    check_in(world, include_str!("../../testdata/admin.txt")).await;
    let router = crate::router(state_with(World::default()));
    for path in ["delete_series?match[]=up", "clean_tombstones", "snapshot"] {
        let (code, _, body) = ask(&router, request(&format!("POST /api/v1/admin/tsdb/{path}"))).await;
        let refused = r#"{"status":"error","errorType":"unavailable","error":"admin APIs disabled"}"#;
        assert_eq!((code.as_u16(), body.as_str()), (500, refused), "{path}");
    }
}

#[tokio::test]
async fn lifecycle_pages() {
    let world = World { enabled: true, ..World::default() };
    let router = crate::router(state_with(world));
    for (asked, code, body) in [
        ("POST /-/reload", 500, "failed to reload config: prometheus.yml:3:1: unknown field\n"),
        ("PUT /-/quit", 200, "Requesting termination... Goodbye!"),
        ("GET /-/quit", 405, "Only POST or PUT requests allowed"),
    ] {
        let (got, _, text) = ask(&router, request(asked)).await;
        assert_eq!((got.as_u16(), text.as_str()), (code, body), "{asked}");
    }
}

#[tokio::test]
async fn nobody_is_served_before_the_process_is_ready() {
    for (stopping, header) in [(false, "false"), (true, "true")] {
        let router = crate::router(state_with(World { ready: false, stopping, ..World::default() }));
        for path in ["/-/ready", "/api/v1/query?query=1", "/federate", "/api/v1/label/a/values"] {
            let (code, headers, body) = ask(&router, request(&format!("GET {path}"))).await;
            assert_eq!((code.as_u16(), body.as_str()), (503, "Service Unavailable"), "{path}");
            assert_eq!(headers["x-prometheus-stopping"], header);
        }
        let pushed = Router::new().route("/api/v1/write", axum::routing::post(|| async { "taken" }));
        let state = state_with(World { ready: false, stopping, ..World::default() });
        let (code, ..) = ask(&crate::gated(state, pushed), request("POST /api/v1/write")).await;
        assert_eq!(code.as_u16(), 503);
        for path in ["/-/healthy", "/api/v1/status/walreplay", "/version"] {
            assert_eq!(ask(&router, request(&format!("GET {path}"))).await.0, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read() {
    for (allowed, shown) in
        [(".*", Some("*")), ("https://a\\.example", Some("https://a.example")), ("b", None)]
    {
        let router = crate::router(state_with(World { cors_origin: allowed.to_owned(), ..World::default() }));
        for method in ["GET", "OPTIONS"] {
            let mut asked = request(&format!("{method} /api/v1/status/flags"));
            asked.headers_mut().insert(header::ORIGIN, "https://a.example".parse().expect("a header"));
            let (code, headers, _) = ask(&router, asked).await;
            assert_eq!(code.as_u16(), if method == "GET" { 200 } else { 204 });
            let origin = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(origin.and_then(|origin| origin.to_str().ok()), shown, "{allowed}");
        }
    }
}

#[tokio::test]
async fn a_form_beyond_the_limit_is_refused() {
    let router = crate::router(state_with(World::default()));
    let form = format!("query={}", "1".repeat(4_096));
    let (code, _, body) = ask(&router, request(&format!("POST /api/v1/query {form}"))).await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
    assert!(body.contains("error parsing form values"), "{body}");
}

#[tokio::test]
async fn a_query_whose_asker_left_is_not_counted_any_more() {
    let state = state_with(World::default());
    let router = crate::router(state.clone());
    let mut asking = Box::pin(ask(&router, request("GET /api/v1/query?query=forever")));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(asking.as_mut().poll(&mut context).is_pending());
    assert_eq!(state.0.metrics.queries.get(), 1);
    drop(asking);
    assert_eq!(state.0.metrics.queries.get(), 0);
}

#[tokio::test]
async fn the_engine_reads_the_store() {
    let router = crate::router(state_with(World { evaluates: true, ..World::default() }));
    for (asked, body) in [
        (
            "GET /api/v1/query?query=count(up)",
            r#"{"resultType":"vector","result":[{"metric":{},"value":[1700000000.500,"2"]}]}"#,
        ),
        (
            "GET /api/v1/query?query=up{instance=\"a:1\"}[1m]",
            r#"{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"a:1","job":"node"},"values":[[1699999970.500,"0"],[1699999985.500,"1"]]}]}"#,
        ),
        (
            "GET /api/v1/query_range?query=max(up{instance=\"a:1\"})&start=1699999980&end=1700000000&step=10",
            r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1699999980,"0"],[1699999990,"1"],[1700000000,"1"]]}]}"#,
        ),
        ("GET /api/v1/query?query=gone", r#"{"resultType":"vector","result":[]}"#),
        (
            "GET /api/v1/query?query=(h)",
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"h","job":"n"},"histogram":[1700000000.500,{"count":"6","sum":"1.5","buckets":[[3,"-0.5","0.5","2"],[0,"0.5","1","3"],[0,"2","4","1"]]}]}]}"#,
        ),
        (
            "GET /api/v1/query?query=h[25s]",
            r#"{"resultType":"matrix","result":[{"metric":{"__name__":"h","job":"n"},"histograms":[[1699999990.500,{"count":"6","sum":"1.5","buckets":[[3,"-0.5","0.5","2"],[0,"0.5","1","3"],[0,"2","4","1"]]}]]}]}"#,
        ),
        (
            "GET /api/v1/query?query=mixed[1m]",
            r#"{"resultType":"matrix","result":[{"metric":{"__name__":"mixed","job":"n"},"values":[[1699999975.500,"1"],[1699999985.500,"2"]],"histograms":[[1699999980.500,{"count":"7","sum":"1.5","buckets":[[3,"-0.5","0.5","2"],[0,"0.5","1","4"],[0,"2","4","1"]]}]]}]}"#,
        ),
        ("GET /api/v1/query?query=mixed", r#"{"resultType":"vector","result":[]}"#),
        (
            "GET /api/v1/query?query=mixed&time=1699999984",
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"mixed","job":"n"},"histogram":[1699999984,{"count":"7","sum":"1.5","buckets":[[3,"-0.5","0.5","2"],[0,"0.5","1","4"],[0,"2","4","1"]]}]}]}"#,
        ),
        (
            "GET /api/v1/query_range?query=mixed&start=1699999976&end=1699999996&step=5",
            r#"{"resultType":"matrix","result":[{"metric":{"__name__":"mixed","job":"n"},"values":[[1699999976,"1"],[1699999986,"2"],[1699999991,"2"]],"histograms":[[1699999981,{"count":"7","sum":"1.5","buckets":[[3,"-0.5","0.5","2"],[0,"0.5","1","4"],[0,"2","4","1"]]}]]}]}"#,
        ),
    ] {
        let (_, _, text) = ask(&router, request(asked)).await;
        assert_eq!(text, format!("{{\"status\":\"success\",\"data\":{body}}}"), "{asked}");
    }
}
