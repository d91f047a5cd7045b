//! One request to a target, and the page that comes back.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use client::{Answer, Client, ClientError, ErrorKind, Limits, Proxy, Session};
use exposition::Format;
use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::uri::InvalidUri;
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri};
use model::NameValidation;
use url::Host;

use crate::buffers::Buffers;
use crate::config::{ScrapeConfig, ScrapeProtocol};
use crate::gunzip::gunzip;

/// A page in plain text.
#[derive(Clone, Copy)]
pub(crate) struct Page<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) format: PageFormat,
}

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageFormat {
    Text(Format),
    Protobuf,
}

/// No page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Client(ClientError),
    #[error("body size limit exceeded")]
    TooLarge,
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
    #[error("{0}")]
    ContentType(String),
    #[error("{0}")]
    Body(String),
    #[error("{0}")]
    Request(http::Error),
}

/// A connection that waits longer than this for its next use is not kept.
const KEEP_MAX: Duration = Duration::from_secs(300);
const TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// What all requests of one job have in common.
#[derive(Debug)]
pub(crate) struct Fetcher {
    client: Client,
    accept: HeaderValue,
    compression: bool,
    /// Whether requests go to the hosts that their URLs name.
    direct: bool,
    fallback: Option<ScrapeProtocol>,
    /// A page of this many bytes is refused.
    body_limit: u64,
}

impl Fetcher {
    pub(crate) fn new(config: &ScrapeConfig) -> Result<Self, ClientError> {
        Ok(Self {
            client: Client::new(&config.http)?,
            accept: HeaderValue::from_str(&accept(&config.scrape_protocols, config.names))
                .unwrap_or(HeaderValue::from_static("*/*")),
            compression: config.enable_compression,
            direct: matches!(config.http.proxy, Proxy::None),
            fallback: config.fallback_scrape_protocol,
            body_limit: match config.body_size_limit {
                0 => ScrapeConfig::BODY_MAX,
                limit => limit,
            },
        })
    }

    /// The way to one target, which is asked that often.
    pub(crate) fn session(&self, interval: Duration) -> Session {
        Session::new(&self.client, interval <= KEEP_MAX)
    }

    /// Asks for a page; it stands in the buffers then. All requests of a session must be for the same URL.
    pub(crate) async fn fetch<'b>(
        &self,
        session: &mut Session,
        url: &str,
        timeout: Duration,
        buffers: &'b mut Buffers,
    ) -> Result<Page<'b>, FetchError> {
        let uri: Uri = url.parse().map_err(|error: InvalidUri| FetchError::Request(error.into()))?;
        let limits = Limits { timeout, body_max: self.body_limit };
        let request = || self.request(&uri, url, timeout);
        let answer =
            session.get(request, limits, &mut buffers.wire).await.map_err(|error| match error.kind() {
                ErrorKind::BodyTooLarge => FetchError::TooLarge,
                _ => FetchError::Client(error),
            })?;
        if answer.status != StatusCode::OK {
            return Err(FetchError::Status(answer.status));
        }
        let format = self.format(text(&answer.content_type))?;
        Ok(Page { bytes: self.unpack(answer, &mut buffers.plain)?, format })
    }

    fn request(&self, uri: &Uri, url: &str, timeout: Duration) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, self.accept.clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(self.encoding(url)));
        let agent = concat!("Vedette/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let seconds = HeaderValue::from_str(&timeout.as_secs_f64().to_string());
        if let Ok(seconds) = seconds {
            headers.insert(TIMEOUT, seconds);
        }
        request
    }

    /// On one host, packing costs both sides more than the bytes do.
    fn encoding(&self, url: &str) -> &'static str {
        if self.compression && !(self.direct && is_loopback(url)) { "gzip" } else { "identity" }
    }

    /// The body without its compression, bounded before it is there.
    fn unpack<'b>(&self, answer: Answer<'b>, plain: &'b mut Vec<u8>) -> Result<&'b [u8], FetchError> {
        let bytes = match text(&answer.content_encoding) {
            "" | "identity" => answer.body,
            "gzip" => {
                gunzip(answer.body, self.body_limit, plain)
                    .map_err(|error| FetchError::Body(format!("reading the gzip body: {error}")))?;
                plain
            }
            other => return Err(FetchError::Body(format!("unsupported Content-Encoding {other:?}"))),
        };
        if bytes.len() as u64 >= self.body_limit { Err(FetchError::TooLarge) } else { Ok(bytes) }
    }

    fn format(&self, content_type: &str) -> Result<PageFormat, FetchError> {
        let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match (media_type.as_str(), self.fallback) {
            ("application/openmetrics-text", _) => Ok(PageFormat::Text(Format::OpenMetrics)),
            ("text/plain", _) => Ok(PageFormat::Text(Format::Text)),
            ("application/vnd.google.protobuf", _) => Ok(PageFormat::Protobuf),
            (_, Some(ScrapeProtocol::OpenMetrics1 | ScrapeProtocol::OpenMetrics0)) => {
                Ok(PageFormat::Text(Format::OpenMetrics))
            }
            (_, Some(ScrapeProtocol::Text1 | ScrapeProtocol::Text0)) => Ok(PageFormat::Text(Format::Text)),
            (_, Some(ScrapeProtocol::Protobuf)) => Ok(PageFormat::Protobuf),
            ("", None) => Err(FetchError::ContentType(
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol \
                 specified for target"
                    .to_owned(),
            )),
            (_, None) => Err(FetchError::ContentType(format!(
                "received unsupported Content-Type {content_type:?} and no fallback_scrape_protocol \
                 specified for target"
            ))),
        }
    }
}

/// A header's value; `?` where it is no text.
fn text(value: &[u8]) -> &str {
    let is_text = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| is_text).unwrap_or("?")
}

/// Whether a URL names this host by one of its own addresses.
fn is_loopback(url: &str) -> bool {
    match url::Url::parse(url).as_ref().map(url::Url::host) {
        Ok(Some(Host::Ipv4(address))) => address.is_loopback(),
        Ok(Some(Host::Ipv6(address))) => address.is_loopback(),
        Ok(Some(Host::Domain(name))) => name == "localhost",
        _ => false,
    }
}

/// The formats in order of preference, with falling weights.
fn accept(protocols: &[ScrapeProtocol], names: NameValidation) -> String {
    let escaping = match names {
        NameValidation::Utf8 => "allow-utf-8",
        NameValidation::Legacy => "underscores",
    };
    let mut header = String::new();
    let mut weight = 6;
    for protocol in protocols {
        let (media_type, escaped) = match protocol {
            ScrapeProtocol::OpenMetrics1 => ("application/openmetrics-text;version=1.0.0", true),
            ScrapeProtocol::OpenMetrics0 => ("application/openmetrics-text;version=0.0.1", false),
            ScrapeProtocol::Text1 => ("text/plain;version=1.0.0", true),
            ScrapeProtocol::Text0 => ("text/plain;version=0.0.4", false),
            ScrapeProtocol::Protobuf => (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
                false,
            ),
        };
        header.push_str(media_type);
        if escaped {
            let _ = write!(header, ";escaping={escaping}");
        }
        let _ = write!(header, ";q=0.{weight},");
        weight -= 1;
    }
    let _ = write!(header, "*/*;q=0.{weight}");
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_asked_for_where_a_network_lies_between() {
        let mut config = ScrapeConfig::new("j");
        let encoding = |config: &ScrapeConfig, url| Fetcher::new(config).expect("a fetcher").encoding(url);
        for (url, encoding_there) in [
            ("http://127.0.0.1:9100/metrics", "identity"),
            ("https://127.9.9.9/", "identity"),
            ("http://[::1]:9100/metrics?a=b", "identity"),
            ("http://LOCALHOST:9100/metrics", "identity"),
            ("http://localhost.example:9100/metrics", "gzip"),
            ("http://10.0.0.1:9100/metrics", "gzip"),
            ("http://[fe80::1]:9100/metrics", "gzip"),
        ] {
            assert_eq!(encoding(&config, url), encoding_there, "{url}");
        }
        config.http.proxy = Proxy::Environment { connect_headers: Vec::new() };
        assert_eq!(encoding(&config, "http://127.0.0.1/"), "gzip", "the proxy's own loopback");
        config.enable_compression = false;
        assert_eq!(encoding(&config, "http://10.0.0.1/"), "identity");
    }

    #[test]
    fn formats_are_asked_for_in_order() {
        assert_eq!(
            accept(&ScrapeProtocol::by_default(true), NameValidation::Utf8),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
        );
        assert_eq!(
            accept(&ScrapeProtocol::by_default(false), NameValidation::Utf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(
            accept(&[ScrapeProtocol::Text0], NameValidation::Legacy),
            "text/plain;version=0.0.4;q=0.6,*/*;q=0.5"
        );
    }
}
