//! Remote-write requests over one connection, one after the other.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use env::Tasks;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A connection to a receiver.
pub(crate) struct Push {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    path: &'static str,
}

impl Push {
    /// Connects to `host:port`.
    pub(crate) async fn connect(authority: &str, path: &'static str, tasks: &Tasks) -> Result<Self> {
        let stream =
            TcpStream::connect(authority).await.with_context(|| format!("connecting to {authority}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tasks.spawn(async move {
            // What it fails with, the next request fails with too.
            let _ = connection.await;
        });
        Ok(Self { sender, authority: authority.to_owned(), path })
    }

    /// Sends one request and waits until it is taken.
    pub(crate) async fn send(&mut self, body: Vec<u8>) -> Result<()> {
        let request = Request::post(self.path)
            .header("host", &self.authority)
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await?;
        let answer = tokio::time::timeout(TIMEOUT, self.sender.send_request(request)).await??;
        let status = answer.status();
        let text = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{}{}: {status}: {}", self.authority, self.path, String::from_utf8_lossy(&text));
        }
        Ok(())
    }
}
