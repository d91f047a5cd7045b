//! Sessions against real servers on loopback, and beside the general client on answers that are chopped and damaged.
#![allow(clippy::disallowed_methods, reason = "servers of a test end with it")]

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, header};
use axum::response::Redirect;
use axum::routing::get;
use bytes::Bytes;
use http::Request;
use proptest::prelude::*;
use vedette_client::{
    Auth, Client, ClientError, ErrorKind, HttpClientConfig, Limits, Proxy, Session, Source, TlsConfig,
};

const LIMITS: Limits = Limits { timeout: Duration::from_secs(10), body_max: 1 << 20 };

/// Status, type and body of an answer.
type Seen = (u16, Vec<u8>, Vec<u8>);

fn request(url: &str) -> Request<Bytes> {
    Request::get(url).header("x-own", "1").body(Bytes::new()).expect("a request")
}

fn session(config: &HttpClientConfig) -> Session {
    Session::new(&Client::new(config).expect("a client"), true)
}

async fn fetch(session: &mut Session, url: &str) -> Result<Seen, ClientError> {
    let mut buffer = b"what was there before".to_vec();
    let answer = session.get(|| request(url), LIMITS, &mut buffer).await?;
    Ok((answer.status.as_u16(), answer.content_type.to_vec(), answer.body.to_vec()))
}

async fn body(session: &mut Session, url: &str) -> String {
    let (status, _, body) = fetch(session, url).await.expect("an answer");
    assert_eq!(status, 200);
    String::from_utf8(body).expect("text")
}

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let _ = axum::serve(listener, service).await;
    });
    address
}

/// A server that answers the requests of its first connection with the first list, those of its second with the
/// second and so on, hangs up after each list, and keeps the requests.
fn scripted(connections: Vec<Vec<Vec<u8>>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/metrics?a=b", listener.local_addr().expect("its address"));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&requests);
    std::thread::spawn(move || {
        for answers in connections {
            let Ok((mut stream, _)) = listener.accept() else { return };
            for answer in answers {
                kept.lock().expect("a lock").push(read_request(&mut stream));
                let _ = stream.write_all(&answer);
            }
        }
    });
    (url, requests)
}

fn read_request(stream: &mut impl std::io::Read) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

fn counted(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn the_request_is_what_the_general_client_sends() {
    for auth in [None, Some(Auth::Header { scheme: "Bearer".to_owned(), credentials: Source::inline("t") })] {
        let headers = vec![(http::HeaderName::from_static("x-more"), Source::inline("2"))];
        let config = HttpClientConfig { auth, headers, ..Default::default() };
        let (url, requests) = scripted(vec![vec![counted("a")], vec![counted("a")]]);
        fetch(&mut session(&config), &url).await.expect("an answer");
        Client::new(&config).expect("a client").send(request(&url), LIMITS).await.expect("an answer");
        let requests = requests.lock().expect("a lock");
        let lines = |request: &String| {
            let mut lines: Vec<String> = request.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&requests[0]), lines(&requests[1]));
        assert!(requests[0].starts_with("GET /metrics?a=b HTTP/1.1\r\n"), "{requests:?}");
    }
}

/// A server's settings for TLS, and the PEM of who signed its certificate for `exporter.test`. Made once.
fn identity() -> (Arc<rustls::ServerConfig>, String) {
    static MADE: OnceLock<(Arc<rustls::ServerConfig>, String)> = OnceLock::new();
    let make = || {
        let signed =
            rcgen::generate_simple_self_signed(vec!["exporter.test".to_owned()]).expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .expect("a server configuration");
        (Arc::new(config), signed.cert.pem())
    };
    MADE.get_or_init(make).clone()
}

type Secured = rustls::StreamOwned<rustls::ServerConnection, TcpStream>;

fn secured(tls: &Arc<rustls::ServerConfig>, stream: TcpStream) -> Secured {
    let connection = rustls::ServerConnection::new(Arc::clone(tls)).expect("a connection");
    rustls::StreamOwned::new(connection, stream)
}

enum Stream {
    Plain(TcpStream),
    Secure(Box<Secured>),
}

impl std::io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Secure(stream) => stream.read(buffer),
        }
    }
}

impl std::io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secure(stream) => stream.flush(),
        }
    }
}

/// As [`scripted`] with TLS; the protocols that were agreed on, in place of the requests. `says_end`: a connection
/// ends as TLS wants it.
fn scripted_tls(
    tls: Arc<rustls::ServerConfig>,
    connections: Vec<Vec<Vec<u8>>>,
    says_end: bool,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://{}/metrics?a=b", listener.local_addr().expect("its address"));
    let agreed = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&agreed);
    std::thread::spawn(move || {
        for answers in connections {
            let Ok((stream, _)) = listener.accept() else { return };
            let mut stream = secured(&tls, stream);
            let _ = stream.flush();
            let protocol = stream.conn.alpn_protocol().unwrap_or_default();
            kept.lock().expect("a lock").push(String::from_utf8_lossy(protocol).into_owned());
            for answer in answers {
                read_request(&mut stream);
                let _ = stream.write_all(&answer).and_then(|()| stream.flush());
            }
            if says_end {
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    (url, agreed)
}

fn trusting(ca: Source, name: &str) -> HttpClientConfig {
    let tls = TlsConfig { ca: Some(ca), server_name: Some(name.to_owned()), ..Default::default() };
    HttpClientConfig { tls, ..Default::default() }
}

#[tokio::test]
async fn with_tls_a_connection_is_kept_and_made_anew_as_without() {
    let (tls, pem) = identity();
    let script = vec![vec![counted("1"), counted("2")], vec![counted("3")], vec![counted("4")]];
    for says_end in [true, false] {
        let (url, agreed) = scripted_tls(Arc::clone(&tls), script.clone(), says_end);
        let mut session = session(&trusting(Source::inline(&pem), "exporter.test"));
        for (expected, connections) in [("1", 1), ("2", 1), ("3", 2), ("4", 3)] {
            assert_eq!(body(&mut session, &url).await, expected);
            assert_eq!(agreed.lock().expect("a lock").len(), connections);
        }
    }
}

#[tokio::test]
async fn with_tls_errors_are_those_of_the_general_client() {
    let (tls, pem) = identity();
    let good = trusting(Source::inline(&pem), "exporter.test");
    let long = counted(&"x".repeat(2 << 20));
    let open = b"HTTP/1.1 200 OK\r\n\r\nto the end".to_vec();
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nto the end".to_vec();
    for (config, answer, says_end, expected) in [
        (trusting(Source::inline(&pem), "other.test"), counted("1"), true, Some((ErrorKind::Tls, false))),
        (HttpClientConfig::default(), counted("1"), true, Some((ErrorKind::Tls, false))),
        (good.clone(), long, true, Some((ErrorKind::BodyTooLarge, true))),
        (good.clone(), open.clone(), true, None),
        // Who cut it off nobody knows.
        (good.clone(), open, false, Some((ErrorKind::Protocol, true))),
        (good, cut, true, Some((ErrorKind::Protocol, true))),
    ] {
        let (url, _) = scripted_tls(Arc::clone(&tls), vec![vec![answer]; 2], says_end);
        let of = |error: ClientError| (error.kind(), error.was_sent());
        let general = Client::new(&config).expect("a client").send(request(&url), LIMITS).await;
        assert_eq!(general.err().map(of), expected, "the general client");
        assert_eq!(fetch(&mut session(&config), &url).await.err().map(of), expected);
    }
}

#[tokio::test]
async fn a_certificate_that_changed_counts_from_the_next_request_on() {
    let (tls, pem) = identity();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, &pem).expect("written");
    let (url, agreed) = scripted_tls(tls, vec![vec![counted("1"), counted("2")], vec![counted("new")]], true);
    let mut session = session(&trusting(Source::File(path.clone()), "exporter.test"));
    assert_eq!(body(&mut session, &url).await, "1");
    std::fs::write(&path, format!("{pem}\n")).expect("written");
    // The server still waits for the first connection's second request, until that connection is gone.
    assert_eq!(body(&mut session, &url).await, "new");
    assert_eq!(agreed.lock().expect("a lock").len(), 2);
    std::fs::write(&path, "no certificate at all").expect("written");
    let error = fetch(&mut session, &url).await.expect_err("no certificate");
    assert_eq!((error.kind(), error.was_sent()), (ErrorKind::BadFile, false), "{error}");
}

#[tokio::test]
async fn who_speaks_http_2_alone_is_asked_by_the_general_client() {
    let (tls, pem) = identity();
    let mut only = rustls::ServerConfig::clone(&tls);
    only.alpn_protocols = vec![b"h2".to_vec()];
    for (enable_http2, expected) in [(true, vec!["", "h2", "h2"]), (false, vec!["", ""])] {
        let (url, agreed) = scripted_tls(Arc::new(only.clone()), vec![Vec::new(); 3], true);
        let config = HttpClientConfig { enable_http2, ..trusting(Source::inline(&pem), "exporter.test") };
        let mut session = session(&config);
        for _ in 0..2 {
            // It hangs up at once, whoever asks.
            fetch(&mut session, &url).await.expect_err("no answer");
        }
        // The client knows that it was refused before the server writes down that it did.
        let told = async {
            while agreed.lock().expect("a lock").len() < expected.len() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), told).await.expect("every connection was noted");
        let agreed = agreed.lock().expect("a lock").clone();
        assert_eq!(agreed, expected);
    }
}

#[tokio::test]
async fn a_connection_is_kept_while_both_sides_want_it() {
    let ports = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.port().to_string() };
    let url = format!("http://{}/", serve(Router::new().route("/", get(ports))).await);
    for keep in [true, false] {
        let client = Client::new(&HttpClientConfig::default()).expect("a client");
        let mut session = Session::new(&client, keep);
        let first = body(&mut session, &url).await;
        for _ in 0..3 {
            assert_eq!(body(&mut session, &url).await == first, keep);
        }
    }
    let answer = |head: &str| format!("HTTP/1.{head}\r\n\r\nab").into_bytes();
    for (head, reused) in [
        ("1 200 OK\r\ncontent-length: 2", true),
        ("1 200 OK\r\ncontent-length: 2\r\nconnection: close", false),
        ("0 200 OK\r\ncontent-length: 2", false),
        ("0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive", true),
        // The second byte belongs to nothing: what comes next could be taken for another answer.
        ("1 200 OK\r\ncontent-length: 1", false),
    ] {
        let (url, _) = scripted(vec![vec![answer(head), counted("same")], vec![counted("new")]]);
        let mut session = session(&HttpClientConfig::default());
        fetch(&mut session, &url).await.expect("an answer");
        // A server that waits for the first connection's second request must not have the only place.
        let second = tokio::time::timeout(Duration::from_secs(5), body(&mut session, &url)).await;
        assert_eq!(second.expect("in time"), if reused { "same" } else { "new" }, "{head}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    let (url, requests) = scripted(vec![vec![counted("1")], vec![counted("2")], vec![Vec::new()]]);
    let mut session = session(&HttpClientConfig::default());
    assert_eq!(body(&mut session, &url).await, "1");
    assert_eq!(body(&mut session, &url).await, "2");
    let error = fetch(&mut session, &url).await.expect_err("the last one does not answer");
    assert_eq!((error.kind(), error.was_sent()), (ErrorKind::Protocol, true), "{error}");
    assert_eq!(requests.lock().expect("a lock").len(), 3, "a new connection is not tried again");
    let error = fetch(&mut session, &url).await.expect_err("nobody listens");
    assert_eq!((error.kind(), error.was_sent()), (ErrorKind::Connect, false), "{error}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert!(error.to_string().starts_with(&format!("Get \"{url}\": ")), "{error}");
}

#[tokio::test]
async fn what_takes_too_long_or_is_too_large_is_given_up() {
    let url = format!("http://{}/", serve(Router::new().route("/", get(std::future::pending::<()>))).await);
    let mut session = session(&HttpClientConfig::default());
    let soon = Limits { timeout: Duration::from_millis(100), ..LIMITS };
    let error = session.get(|| request(&url), soon, &mut Vec::new()).await.expect_err("never");
    assert_eq!((error.kind(), error.was_sent()), (ErrorKind::Timeout, true));
    assert_eq!(error.to_string(), format!("Get \"{url}\": context deadline exceeded"));

    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n".to_vec();
    for answer in [counted("12345"), chunked, b"HTTP/1.1 200 OK\r\n\r\n12345".to_vec()] {
        for (body_max, fits) in [(4, false), (5, true)] {
            let (url, _) = scripted(vec![vec![answer.clone()]]);
            let limits = Limits { body_max, ..LIMITS };
            let mut buffer = Vec::new();
            let mut session = self::session(&HttpClientConfig::default());
            match session.get(|| request(&url), limits, &mut buffer).await {
                Ok(_) => assert!(fits),
                Err(error) => assert_eq!((error.kind(), fits), (ErrorKind::BodyTooLarge, false)),
            }
        }
    }
    let endless = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'x'; 1 << 20], b"\r\n\r\n".to_vec()].concat();
    let (url, _) = scripted(vec![vec![endless]]);
    let error = fetch(&mut self::session(&HttpClientConfig::default()), &url).await;
    let error = error.expect_err("a head of a megabyte");
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
}

#[tokio::test]
async fn redirects_are_followed_without_credentials_for_strangers() {
    let echo = |headers: HeaderMap| async move {
        headers.get(header::AUTHORIZATION).map_or("none", |value| value.to_str().expect("text")).to_owned()
    };
    let away = format!("http://{}/", serve(Router::new().route("/", get(echo))).await);
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&hits);
    let loops = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Redirect::temporary("/loop") }
    };
    let router = Router::new()
        .route("/here", get(|| async { Redirect::permanent("/end") }))
        .route("/away", get(move || async move { Redirect::temporary(&away) }))
        .route("/loop", get(loops))
        .route("/end", get(echo));
    let address = serve(router).await;
    let bearer = Auth::Header { scheme: "Bearer".to_owned(), credentials: Source::inline("t") };
    let mut config = HttpClientConfig { auth: Some(bearer), ..Default::default() };
    for (path, credentials) in [("here", "Bearer t"), ("away", "none")] {
        let mut session = session(&config);
        for _ in 0..3 {
            assert_eq!(body(&mut session, &format!("http://{address}/{path}")).await, credentials);
        }
    }
    let mut looping = session(&config);
    for times in 1..=2 {
        let error = fetch(&mut looping, &format!("http://{address}/loop")).await.expect_err("a loop");
        assert_eq!((error.kind(), hits.load(Ordering::SeqCst)), (ErrorKind::Redirect, 11 * times));
    }
    config.follow_redirects = false;
    let answer = fetch(&mut session(&config), &format!("http://{address}/here")).await.expect("an answer");
    assert_eq!(answer.0, 308);
}

#[tokio::test]
async fn credentials_are_read_again_from_files() {
    let echo = |headers: HeaderMap| async move {
        headers.get(header::AUTHORIZATION).map_or("none", |value| value.to_str().expect("text")).to_owned()
    };
    let url = format!("http://{}/", serve(Router::new().route("/", get(echo))).await);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, "one\n").expect("written");
    let auth = Auth::Header { scheme: "Bearer".to_owned(), credentials: Source::File(path.clone()) };
    let mut session = session(&HttpClientConfig { auth: Some(auth), ..Default::default() });
    assert_eq!(body(&mut session, &url).await, "Bearer one");
    std::fs::write(&path, "second\n").expect("written");
    assert_eq!(body(&mut session, &url).await, "Bearer second");
    std::fs::remove_file(&path).expect("removed");
    let error = fetch(&mut session, &url).await.expect_err("no file");
    assert_eq!((error.kind(), error.was_sent()), (ErrorKind::BadFile, false));
}

#[tokio::test]
async fn a_proxy_is_asked_where_there_is_one() {
    let uri = |request: axum::extract::Request| async move { request.uri().to_string() };
    let proxy = serve(Router::new().fallback(uri)).await;
    let url: url::Url = format!("http://{proxy}").parse().expect("a URL");
    let proxy = Proxy::Url { url, no_proxy: String::new(), connect_headers: Vec::new() };
    let mut session = session(&HttpClientConfig { proxy, ..Default::default() });
    for _ in 0..2 {
        assert_eq!(body(&mut session, "http://nowhere.test/a").await, "http://nowhere.test/a");
    }
    let error = fetch(&mut session, "/metrics").await.expect_err("no host");
    assert_eq!(error.kind(), ErrorKind::BadUrl, "{error}");
}

/// An answer, and where it is cut into pieces.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\n0a: ;x"), 1..40), 0..4);
    let interim =
        prop::sample::select(vec!["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early\r\na: b\r\n\r\n"]);
    let version = prop::sample::select(vec!["1.1", "1.1", "1.1", "1.0"]);
    let status = prop::sample::select(vec!["200 OK", "204 None", "404 Not Found", "500", "302 Found"]);
    let header = prop::sample::select(vec![
        "",
        "content-type: text/plain; a=b\r\n",
        "Content-Type:  x \r\nx: y\r\n",
        "connection: close\r\n",
        "a:\r\n",
    ]);
    (interim, version, status, header, 0..3u8, body).prop_map(
        |(interim, version, status, header, framing, body)| {
            let mut bytes = format!("{interim}HTTP/{version} {status}\r\n{header}").into_bytes();
            match framing {
                0 => bytes
                    .extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.concat().len()).as_bytes()),
                1 => bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n"),
                _ => bytes.extend_from_slice(b"\r\n"),
            }
            for chunk in &body {
                if framing == 1 {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                }
                bytes.extend_from_slice(chunk);
                if framing == 1 {
                    bytes.extend_from_slice(b"\r\n");
                }
            }
            if framing == 1 {
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
            bytes
        },
    )
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    None,
    Cut,
    Change(u8),
    Insert(u8),
    Remove,
}

fn damaged(mut answer: Vec<u8>, damage: Damage, at: usize) -> Vec<u8> {
    let at = at % answer.len();
    match damage {
        Damage::None => {}
        Damage::Cut => answer.truncate(at),
        Damage::Change(byte) => answer[at] = byte,
        Damage::Insert(byte) => answer.insert(at, byte),
        Damage::Remove => {
            answer.remove(at);
        }
    }
    answer
}

/// Gives an answer in pieces to whoever asks, as often as it is asked.
fn in_pieces(answer: Vec<u8>, pieces: usize, tls: Option<Arc<rustls::ServerConfig>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}/", listener.local_addr().expect("its address"));
    let give = move |mut stream: Stream| {
        read_request(&mut stream);
        for piece in answer.chunks(answer.len().div_ceil(pieces).max(1)) {
            let _ = stream.write_all(piece).and_then(|()| stream.flush());
            std::thread::yield_now();
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let Ok(stream) = stream else { return };
            let _ = stream.set_nodelay(true);
            match &tls {
                Some(tls) => give(Stream::Secure(Box::new(secured(tls, stream)))),
                None => give(Stream::Plain(stream)),
            }
        }
    });
    url
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever comes, both clients see the same answer or the same kind of trouble.
    #[test]
    fn damaged_answers_are_what_the_general_client_makes_of_them(
        answer in answers(), at: usize, pieces in 1..6usize, secure in prop::bool::weighted(0.1),
        damage in prop_oneof![
            Just(Damage::None), Just(Damage::Cut), Just(Damage::Remove),
            prop::sample::select(b"\r\n0 :,;2\xff\0").prop_map(Damage::Change),
            prop::sample::select(b"\r\n0 :,;2\xff\0").prop_map(Damage::Insert),
        ],
    ) {
        let answer = damaged(answer, damage, at);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let limits = Limits { body_max: u64::MAX, ..LIMITS };
        let (lean, general) = runtime.block_on(async {
            let url = in_pieces(answer.clone(), pieces, secure.then(|| identity().0));
            let tls = TlsConfig { insecure_skip_verify: true, ..Default::default() };
            let config = HttpClientConfig { tls, enable_http2: false, ..Default::default() };
            let client = Client::new(&config).expect("a client");
            let mut buffer = Vec::new();
            let mut session = Session::new(&client, true);
            let lean = session.get(|| request(&url), limits, &mut buffer).await;
            let lean = lean.map(|answer| {
                (answer.status.as_u16(), answer.content_type.to_vec(), answer.body.to_vec())
            });
            let general = client.send(request(&url), limits).await.map(|answer| {
                let kind = answer.headers.get(header::CONTENT_TYPE).map_or(Vec::new(), |value| value.as_bytes().to_vec());
                (answer.status.as_u16(), kind, answer.body.to_vec())
            });
            (lean.map_err(|error| error.kind()), general.map_err(|error| error.kind()))
        });
        prop_assert_eq!(lean, general, "{:?}", String::from_utf8_lossy(&answer));
    }
}
