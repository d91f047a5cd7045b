//! Asking a server: URLs, `--http.config.file`, the API's envelope.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use client::{Auth, Client, Limits, Response, Source};
use http::{HeaderName, HeaderValue, Request, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;
use vedette_agent::http_config::{self, percent_decoded};

use super::HttpConfig;

/// Bytes that an answer may have.
const BODY_MAX: u64 = 1 << 30;

/// A server to ask.
pub(super) struct Server {
    client: Client,
    base: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    runtime: tokio::runtime::Runtime,
}

/// What the API said.
#[derive(Deserialize)]
pub(super) struct Envelope {
    status: String,
    pub(super) data: Option<Box<RawValue>>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

impl Server {
    /// A server by its URL, which may carry a user and have no scheme.
    pub(super) fn new(url: &str, config: &HttpConfig, headers: &[String]) -> Result<Self> {
        let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let mut base = Url::parse(&whole).with_context(|| format!("parse {url:?}"))?;
        let mut settings = match &config.http_config {
            Some(path) => http_config::load(path).context("Failed to load HTTP config file")?,
            None => http_config::plain(),
        };
        if !base.username().is_empty() {
            if config.http_config.is_some() {
                bail!("Cannot set base auth in the server URL and use a http.config.file at the same time");
            }
            let source = |text: &str| Some(Source::inline(percent_decoded(text)));
            settings.auth = Some(Auth::Basic {
                username: source(base.username()),
                password: source(base.password().unwrap_or_default()),
            });
            let cleared = base.set_username("").and_then(|()| base.set_password(None));
            cleared.map_err(|()| anyhow!("parse {url:?}: no host"))?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let headers = headers.iter().map(|pair| header(pair)).collect::<Result<_>>()?;
        Ok(Self { client: Client::new(&settings)?, base, headers, runtime })
    }

    /// The URL of a path below the server's own.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }

    /// Gets a path.
    pub(super) fn get(&self, path: &str, timeout: Duration) -> Result<Response> {
        self.send(Request::get(self.at(path)), Bytes::new(), timeout)
    }

    /// Posts to the server's own URL.
    pub(super) fn post(&self, headers: &[(&str, &str)], body: Bytes, timeout: Duration) -> Result<Response> {
        let mut request = Request::post(self.base.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request, body, timeout)
    }

    fn send(&self, mut request: http::request::Builder, body: Bytes, timeout: Duration) -> Result<Response> {
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let agent = concat!("promtool/", env!("CARGO_PKG_VERSION"));
        let request = request.header(header::USER_AGENT, agent).body(body)?;
        let limits = Limits { timeout, body_max: BODY_MAX };
        Ok(self.runtime.block_on(self.client.send(request, limits))?)
    }

    /// Asks the API with a posted form, or where `get` with a query string.
    ///
    /// # Errors
    /// With the API's kind and text, or why there is no answer.
    pub(super) fn ask(&self, path: &str, form: &[(&str, String)], get: bool) -> Result<Envelope> {
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        pairs.extend_pairs(form);
        let text = pairs.finish();
        let timeout = Duration::from_secs(120);
        let response = if get {
            self.get(&format!("{path}?{text}"), timeout)?
        } else {
            let request = Request::post(self.at(path))
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            self.send(request, Bytes::from(text), timeout)?
        };
        let status = response.status;
        let envelope: Envelope = serde_json::from_slice(&response.body).map_err(|error| {
            let body = String::from_utf8_lossy(&response.body).trim().chars().take(500).collect::<String>();
            if status.is_success() {
                anyhow!("bad_response: {error}")
            } else {
                let kind =
                    if status.is_server_error() { "server_error: server" } else { "client_error: client" };
                anyhow!("{kind} error: {} (detail: {body})", status.as_u16())
            }
        })?;
        if envelope.status != "success" {
            bail!("{}: {}", envelope.error_type, envelope.error);
        }
        Ok(envelope)
    }
}

/// `NAME=VALUE`.
fn header(pair: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = key_value(pair)?;
    Ok((name.parse()?, value.parse()?))
}

/// A pair as kingpin takes it.
pub(super) fn key_value(pair: &str) -> Result<(&str, &str)> {
    pair.split_once('=').with_context(|| format!("expected KEY=VALUE got '{pair}'"))
}
