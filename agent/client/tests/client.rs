//! The client against real servers on loopback.
#![allow(clippy::disallowed_methods, reason = "servers of a test end with it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vedette_client::{Auth, Client, ErrorKind, HttpClientConfig, Limits, Proxy, Response, Source, TlsConfig};

const LIMITS: Limits = Limits { timeout: Duration::from_secs(10), body_max: 1 << 20 };

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let _ = axum::serve(listener, service).await;
    });
    address
}

fn get_request(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).expect("a request")
}

async fn fetch(config: &HttpClientConfig, url: &str) -> Result<Response, vedette_client::ClientError> {
    Client::new(config).expect("a client").send(get_request(url), LIMITS).await
}

/// Answers with the request's Authorization header.
async fn echo(headers: HeaderMap) -> String {
    headers.get(header::AUTHORIZATION).map_or("none", |value| value.to_str().expect("text")).to_owned()
}

#[tokio::test]
async fn credentials_are_sent_and_read_again_from_files() {
    let address = serve(Router::new().route("/", get(echo))).await;
    let url = format!("http://{address}/");
    let basic = Auth::Basic { username: Some(Source::inline("u")), password: Some(Source::inline("p")) };
    let config = HttpClientConfig { auth: Some(basic), ..Default::default() };
    assert_eq!(fetch(&config, &url).await.expect("an answer").body, "Basic dTpw");

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, "one\n").expect("written");
    let bearer = Auth::Header { scheme: "Bearer".to_owned(), credentials: Source::File(path.clone()) };
    let config = HttpClientConfig { auth: Some(bearer), ..Default::default() };
    let client = Client::new(&config).expect("a client");
    assert_eq!(client.send(get_request(&url), LIMITS).await.expect("an answer").body, "Bearer one");
    std::fs::write(&path, "second\n").expect("written");
    assert_eq!(client.send(get_request(&url), LIMITS).await.expect("an answer").body, "Bearer second");
    std::fs::remove_file(&path).expect("removed");
    let error = client.send(get_request(&url), LIMITS).await.expect_err("no file");
    assert_eq!((error.kind(), error.was_sent()), (ErrorKind::BadFile, false));

    let in_url = format!("http://u:secret@{address}/");
    let answer = fetch(&HttpClientConfig::default(), &in_url).await.expect("an answer");
    assert_eq!(answer.body, "Basic dTpzZWNyZXQ=");
}

#[tokio::test]
async fn connections_are_kept_alive() {
    let ports = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.port().to_string() };
    let address = serve(Router::new().route("/", get(ports))).await;
    let client = Client::new(&HttpClientConfig::default()).expect("a client");
    let url = format!("http://{address}/");
    let first = client.send(get_request(&url), LIMITS).await.expect("an answer").body;
    for _ in 0..3 {
        assert_eq!(client.send(get_request(&url), LIMITS).await.expect("an answer").body, first);
    }
}

#[tokio::test]
async fn a_buffer_is_used_again() {
    let router = Router::new()
        .route("/long", get(|| async { "long ".repeat(10_000) }))
        .route("/short", get(|| async { "short" }))
        .route("/none", get(|| async { StatusCode::NO_CONTENT }));
    let address = serve(router).await;
    let client = Client::new(&HttpClientConfig::default()).expect("a client");
    let mut buffer = Vec::new();
    for (path, length, status) in
        [("long", 50_000, 200), ("short", 5, 200), ("none", 0, 204), ("long", 50_000, 200)]
    {
        let before = buffer.as_ptr();
        let request = get_request(&format!("http://{address}/{path}"));
        let head = client.send_into(request, LIMITS, &mut buffer).await.expect("an answer");
        assert_eq!((head.status.as_u16(), buffer.len()), (status, length), "{path}");
        assert!(before == buffer.as_ptr() || buffer.capacity() == 50_000, "the memory stays");
    }
    let small = Limits { body_max: 4, ..LIMITS };
    let request = get_request(&format!("http://{address}/short"));
    let error = client.send_into(request, small, &mut buffer).await.expect_err("five bytes");
    assert_eq!(error.kind(), ErrorKind::BodyTooLarge);
}

#[tokio::test]
async fn an_error_says_what_happened_and_whether_the_request_left() {
    let endless = || async { axum::body::Body::new(http_body_util::StreamBody::new(futures_stream())) };
    let router =
        Router::new().route("/endless", get(endless)).route("/never", get(std::future::pending::<()>));
    let address = serve(router).await;
    let config = HttpClientConfig::default();
    let error = fetch(&config, &format!("http://{address}/endless")).await.expect_err("endless");
    assert_eq!((error.kind(), error.was_sent()), (ErrorKind::BodyTooLarge, true));

    let client = Client::new(&config).expect("a client");
    let soon = Limits { timeout: Duration::from_millis(100), ..LIMITS };
    let error =
        client.send(get_request(&format!("http://u:pw@{address}/never")), soon).await.expect_err("never");
    assert_eq!((error.kind(), error.was_sent()), (ErrorKind::Timeout, true));
    assert_eq!(
        error.to_string(),
        format!("Get \"http://u:xxxxx@{address}/never\": context deadline exceeded")
    );

    // Nobody listens on the first port; one just let go might be another test's by now.
    let closed = "127.0.0.1:1";
    let error = fetch(&config, &format!("http://{closed}/")).await.expect_err("nobody listens");
    assert_eq!((error.kind(), error.was_sent()), (ErrorKind::Connect, false), "{error}");
    assert!(error.to_string().to_lowercase().contains("connection refused"), "{error}");

    for (reply, kind) in [("garbage\r\n\r\n", ErrorKind::Protocol), ("", ErrorKind::Protocol)] {
        let address = raw_server(reply).await;
        let error = fetch(&config, &format!("http://{address}/")).await.expect_err("no HTTP");
        assert_eq!((error.kind(), error.was_sent()), (kind, true), "{error}");
    }
    let error = fetch(&config, "/metrics").await.expect_err("no host");
    assert_eq!(error.kind(), ErrorKind::BadUrl, "{error}");
}

/// Zeros without end.
fn futures_stream() -> impl futures_util::Stream<Item = Result<hyper::body::Frame<Bytes>, std::io::Error>> {
    futures_util::stream::repeat_with(|| Ok(hyper::body::Frame::data(Bytes::from_static(&[b'0'; 4096]))))
}

/// Takes a request's first bytes, answers with `reply` and hangs up.
async fn raw_server(reply: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn redirects_are_followed_without_credentials_for_strangers() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&hits);
    let loops = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Redirect::temporary("/loop") }
    };
    let stranger = serve(Router::new().route("/", get(echo))).await;
    let away = format!("http://{stranger}/");
    let router = Router::new()
        .route("/here", get(|| async { Redirect::temporary("/end") }))
        .route("/away", get(move || async move { Redirect::temporary(&away) }))
        .route("/post", post(|| async { Redirect::to("/end") }))
        .route("/loop", get(loops))
        .route("/end", get(echo));
    let address = serve(router).await;
    let bearer = Auth::Header { scheme: "Bearer".to_owned(), credentials: Source::inline("t") };
    let mut config = HttpClientConfig { auth: Some(bearer), ..Default::default() };
    for (path, body) in [("here", "Bearer t"), ("away", "none")] {
        assert_eq!(fetch(&config, &format!("http://{address}/{path}")).await.expect(path).body, body);
    }
    let posted = Request::post(format!("http://{address}/post")).body(Bytes::from("x")).expect("a request");
    let answer = Client::new(&config).expect("a client").send(posted, LIMITS).await.expect("an answer");
    assert_eq!(answer.body, "Bearer t");

    let error = fetch(&config, &format!("http://{address}/loop")).await.expect_err("a loop");
    assert_eq!((error.kind(), hits.load(Ordering::SeqCst)), (ErrorKind::Redirect, 11));
    config.follow_redirects = false;
    let answer = fetch(&config, &format!("http://{address}/here")).await.expect("an answer");
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
}

/// A TLS server that answers every connection with "hello", and the PEM of who signed it.
async fn tls_server() -> (SocketAddr, String) {
    let signed = rcgen::generate_simple_self_signed(vec!["exporter.test".to_owned()]).expect("a certificate");
    let pem = signed.cert.pem();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .expect("a server configuration");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
            let _ = stream.shutdown().await;
        }
    });
    (address, pem)
}

#[tokio::test]
async fn tls_is_checked_against_the_configured_authority_and_name() {
    let (address, pem) = tls_server().await;
    let url = format!("https://{address}/");
    let tls = |ca: Option<&str>, name: Option<&str>, any| HttpClientConfig {
        tls: TlsConfig {
            ca: ca.map(Source::inline),
            server_name: name.map(str::to_owned),
            insecure_skip_verify: any,
            ..Default::default()
        },
        ..Default::default()
    };
    let good = tls(Some(&pem), Some("exporter.test"), false);
    assert_eq!(fetch(&good, &url).await.expect("an answer").body, "hello");
    assert_eq!(fetch(&tls(None, None, true), &url).await.expect("an answer").body, "hello");
    for bad in [tls(Some(&pem), None, false), tls(Some(&pem), Some("other.test"), false)] {
        let error = fetch(&bad, &url).await.expect_err("a wrong name");
        assert_eq!((error.kind(), error.was_sent()), (ErrorKind::Tls, false), "{error}");
    }
    let error = Client::new(&tls(Some("garbage"), None, false)).expect_err("no certificate");
    assert_eq!(error.kind(), ErrorKind::BadFile);
}

#[tokio::test]
async fn a_proxy_is_used_but_not_for_whom_it_is_not() {
    let direct = serve(Router::new().route("/", get(|| async { "direct" }))).await;
    let proxy = serve(Router::new().fallback(|request: axum::extract::Request| async move {
        request.uri().to_string().into_response()
    }))
    .await;
    let via = |no_proxy: &str| HttpClientConfig {
        proxy: Proxy::Url {
            url: format!("http://{proxy}").parse().expect("a URL"),
            no_proxy: no_proxy.to_owned(),
            connect_headers: Vec::new(),
        },
        ..Default::default()
    };
    let url = format!("http://{direct}/");
    assert_eq!(fetch(&via(""), &url).await.expect("an answer").body, url.as_str());
    assert_eq!(fetch(&via("127.0.0.1"), &url).await.expect("an answer").body, "direct");
}

/// A proxy that takes one `CONNECT`, gives its request, and joins the two sides.
async fn connect_proxy() -> (SocketAddr, tokio::sync::oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let (told, request) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut inside, _) = listener.accept().await.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(inside.read_u8().await.expect("a byte"));
        }
        let head = String::from_utf8(head).expect("text");
        let place = head.split(' ').nth(1).expect("an address").to_owned();
        let mut outside = tokio::net::TcpStream::connect(place).await.expect("the server");
        inside.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("written");
        told.send(head).expect("somebody listens");
        let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
    });
    (address, request)
}

#[tokio::test]
async fn tls_goes_through_a_proxy_unread() {
    let (server, pem) = tls_server().await;
    let (proxy, request) = connect_proxy().await;
    let config = HttpClientConfig {
        tls: TlsConfig {
            ca: Some(Source::inline(pem)),
            server_name: Some("exporter.test".to_owned()),
            ..TlsConfig::default()
        },
        proxy: Proxy::Url {
            url: format!("http://u:p@{proxy}").parse().expect("a URL"),
            no_proxy: String::new(),
            connect_headers: vec![(
                http::HeaderName::from_static("x-from"),
                vedette_client::Secret::new("me"),
            )],
        },
        ..HttpClientConfig::default()
    };
    assert_eq!(fetch(&config, &format!("https://{server}/")).await.expect("an answer").body, "hello");
    let head = request.await.expect("a request").to_lowercase();
    assert!(head.starts_with(&format!("connect {server} ")), "{head}");
    assert!(head.contains("proxy-authorization: basic dtpw") && head.contains("x-from: me"), "{head}");
}
