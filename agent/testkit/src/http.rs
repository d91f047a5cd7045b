//! A plain HTTP client for tests: one request, one connection.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: hyper::HeaderMap,
    /// Body as text.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.body).with_context(|| format!("no JSON: {}", self.body))
    }
}

/// GET `http://host:port/path`.
///
/// # Errors
/// When there is no answer in time.
pub async fn get(url: &str) -> Result<Answer> {
    request("GET", url, "", "").await
}

/// POST with a content type.
///
/// # Errors
/// When there is no answer in time.
pub async fn post(url: &str, content_type: &str, body: &str) -> Result<Answer> {
    request("POST", url, content_type, body).await
}

/// Any method.
///
/// # Errors
/// When there is no answer in time.
pub async fn request(method: &str, url: &str, content_type: &str, body: &str) -> Result<Answer> {
    tokio::time::timeout(TIMEOUT, send(method, url, content_type, body)).await.context("no answer in time")?
}

#[allow(clippy::disallowed_methods, reason = "a connection's driver ends with its connection")]
async fn send(method: &str, url: &str, content_type: &str, body: &str) -> Result<Answer> {
    let uri: hyper::Uri = url.parse().context("a URL")?;
    let authority = uri.authority().context("a host")?.as_str().to_owned();
    let stream =
        TcpStream::connect(&authority).await.with_context(|| format!("connecting to {authority}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request =
        hyper::Request::builder().method(method).uri(uri.path_and_query().map_or("/", |p| p.as_str()));
    request = request.header("host", authority);
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body.to_owned())))?).await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    driver.abort();
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
