//! The server over real sockets: pages, prefix, limits, ends.

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use support::{PATIENCE, Server, options, read_answer};
use telemetry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use vedette_web::{WebError, WebServer};

fn hello() -> Router {
    Router::new().route("/hello/{name}", get(|| async { "hello" }))
}

#[tokio::test]
async fn pages_around_the_router() {
    let server = Server::start(options(), hello()).await;
    assert_eq!(server.get("/hello/ann", "").await.text(), "hello");
    server.has_metric("prometheus_http_requests_total{handler=\"/hello/:name\",code=\"200\"} 1").await;
    // As `curl -g` sends it.
    assert_eq!(server.get("/hello/ann?match[]={a=\"b\"}&c=d>1", "").await.text(), "hello");

    let info = server.get("/vedette/ui.json", "").await;
    assert_eq!(
        info.text(),
        r#"{"binary":"agent","pages":["graph","targets"],"externalUrl":"","pathPrefix":""}"#
    );
    for page in ["/", "/graph?g0.expr=up", "/alerts", "/silences/new"] {
        let answer = server.get(page, "").await;
        assert_eq!(answer.status(), 200, "{page}");
        assert!(answer.text().contains("<base href=\"/\">"), "{page}: {}", answer.text());
    }
    for path in ["/nothing", "/assets/none.js", "/../Cargo.toml", "/assets/..%2f..%2fCargo.toml"] {
        assert_eq!(server.get(path, "").await.status(), 404, "{path}");
    }

    let classic = server.get("/metrics", "").await;
    assert!(classic.head.contains("text/plain; version=0.0.4"), "{}", classic.head);
    let open = server.get("/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n").await;
    assert!(open.head.contains("application/openmetrics-text") && open.text().ends_with("# EOF\n"));
    let zipped = server.get("/metrics", "Accept-Encoding: gzip\r\n").await;
    assert!(zipped.head.contains("content-encoding: gzip"), "{}", zipped.head);
}

#[tokio::test]
async fn a_request_whose_sender_leaves_ends() {
    struct Ends(Arc<Notify>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (begun, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, ends) = (Arc::clone(&begun), Arc::clone(&ended));
    let handler = move || async move {
        let _ends = Ends(ends);
        begins.notify_one();
        std::future::pending::<&str>().await
    };
    let server = Server::start(options(), Router::new().route("/query", get(handler))).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /query HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("sent");
    tokio::time::timeout(PATIENCE, begun.notified()).await.expect("it is answered");
    drop(stream);
    tokio::time::timeout(PATIENCE, ended.notified()).await.expect("what answered it is dropped");
}

#[tokio::test]
async fn everything_moves_below_the_prefix() {
    let mut options = options();
    options.route_prefix = "/prom/".to_owned();
    options.external_url = "https://example.org/outer/".to_owned();
    let server = Server::start(options, hello()).await;
    assert_eq!(server.get("/prom/hello/ann", "").await.text(), "hello");
    assert_eq!(server.get("/hello/ann", "").await.status(), 404);
    assert!(server.get("/prom/alerts", "").await.text().contains("<base href=\"/outer/\">"));
    for path in ["/", "/prom"] {
        let answer = server.get(path, "").await;
        assert_eq!(answer.status(), 302, "{path}");
        assert!(answer.head.contains("location: /prom/"), "{}", answer.head);
    }
}

#[tokio::test]
async fn a_handler_that_panics_costs_one_answer() {
    let router = hello().route("/panic", get(panics));
    let server = Server::start(options(), router).await;
    assert_eq!(server.get("/panic", "").await.status(), 500);
    assert_eq!(server.get("/hello/ann", "").await.status(), 200);
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

#[tokio::test]
async fn peers_that_dawdle_are_dropped() {
    let mut options = options();
    options.read_timeout = Duration::from_millis(100);
    let server = Server::start(options, hello()).await;
    for start in ["", "G", "PRI * HT", "GET / HTTP/1.1\r\nHost:", "GET /hello/a HTTP/1.1\r\nHost: h\r\n\r\n"]
    {
        let mut stream = server.connect().await;
        stream.write_all(start.as_bytes()).await.expect("sent");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{start:?} keeps its connection");
    }
    server.has_metric("vedette_web_connections 0").await;
}

#[tokio::test]
async fn connections_beyond_the_cap_wait() {
    let mut options = options();
    options.max_connections = 1;
    let server = Server::start(options, hello()).await;
    let first = server.connect().await;
    server.has_metric("vedette_web_connections 1").await;
    let mut second = server.connect().await;
    second.write_all(b"GET /hello/ann HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.expect("sent");
    server.has_metric("vedette_web_connections 2").await;
    let page = server.registry.encode_text();
    assert!(!page.contains("/hello/:name"), "answered beyond the cap:\n{page}");
    drop(first);
    assert_eq!(read_answer(second).await.text(), "hello");
}

#[tokio::test]
async fn a_stop_waits_for_open_requests() {
    let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inner_begun, inner_release) = (Arc::clone(&begun), Arc::clone(&release));
    let slow = move || async move {
        inner_begun.notify_one();
        inner_release.notified().await;
        "done"
    };
    let server = Server::start(options(), Router::new().route("/slow", get(slow))).await;
    let idle = server.connect().await;
    let asking = server.tasks.spawn(support::get(server.connect().await, "/slow", ""));
    begun.notified().await;
    server.tasks.stop();
    release.notify_one();
    assert_eq!(asking.await.expect("no panic").text(), "done");
    let address = server.address;
    server.ended().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "still listening");
    drop(idle);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let begun = Arc::new(Notify::new());
    let inner = Arc::clone(&begun);
    let stuck = move || async move {
        inner.notify_one();
        std::future::pending::<&'static str>().await
    };
    let mut options = options();
    options.drain_timeout = Duration::from_millis(50);
    let server = Server::start(options, Router::new().route("/stuck", get(stuck))).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("sent");
    begun.notified().await;
    server.tasks.stop();
    server.ended().await;
}

#[tokio::test]
async fn a_taken_port_names_its_owner() {
    let server = Server::start(options(), hello()).await;
    let mut again = options();
    again.listen = vec![server.address];
    let error = WebServer::bind(again, hello(), &server.tasks, &Registry::new()).await.expect_err("taken");
    assert!(matches!(error, WebError::Taken { .. }), "{error}");
    let start = format!("{} is taken by pid {} (", server.address, std::process::id());
    assert!(error.to_string().starts_with(&start), "{error}");
}
