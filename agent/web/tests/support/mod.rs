//! A server in this process and a client that says exactly what it is told to.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use env::Tasks;
use telemetry::Registry;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use vedette_web::{UiInfo, WebOptions, WebServer};

/// Longest time for anything a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) registry: Registry,
    pub(crate) tasks: Tasks,
    serving: JoinHandle<()>,
}

/// Options for a free port.
pub(crate) fn options() -> WebOptions {
    let ui = UiInfo { binary: "agent".to_owned(), pages: vec!["graph".to_owned(), "targets".to_owned()] };
    WebOptions::new(vec!["127.0.0.1:0".parse().expect("an address")], ui)
}

impl Server {
    pub(crate) async fn start(options: WebOptions, router: Router) -> Self {
        let (tasks, registry) = (Tasks::new(), Registry::new());
        let bound = WebServer::bind(options, router, &tasks, &registry).await.expect("it binds");
        let address = bound.local_addrs()[0];
        let serving = tasks.spawn(bound.serve());
        Self { address, registry, tasks, serving }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it accepts")
    }

    /// One request on its own connection.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> Answer {
        get(self.connect().await, path, headers).await
    }

    /// Waits until the metrics page has this line.
    pub(crate) async fn has_metric(&self, line: &str) {
        let found = async {
            while !self.registry.encode_text().lines().any(|got| got == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, found).await;
        assert!(waited.is_ok(), "no {line:?} in\n{}", self.registry.encode_text());
    }

    /// Waits for the server's end after the stop.
    pub(crate) async fn ended(self) {
        tokio::time::timeout(PATIENCE, self.serving).await.expect("it ends").expect("no panic");
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request, read until the server closes.
pub(crate) async fn get<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    path: &str,
    headers: &str,
) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    read_answer(stream).await
}

/// Reads until the server closes.
pub(crate) async fn read_answer<S: AsyncRead + Unpin>(mut stream: S) -> Answer {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an end");
    // A peer that closes TLS without a farewell has still answered.
    if let Err(error) = read {
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
    }
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
    Answer { head, body: bytes.split_off(at + 4) }
}
