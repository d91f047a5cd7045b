//! One request to a target, and the page that comes back.

use std::fmt::Write as _;
use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use client::{Client, ClientError, ErrorKind, Limits, Response};
use exposition::Format;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use model::NameValidation;

use crate::config::{ScrapeConfig, ScrapeProtocol};

/// A page in plain text.
pub(crate) struct Page {
    pub(crate) bytes: Bytes,
    pub(crate) format: Format,
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

/// What all requests of one job have in common.
#[derive(Debug)]
pub(crate) struct Fetcher {
    client: Client,
    accept: String,
    compression: bool,
    fallback: Option<ScrapeProtocol>,
    /// A page of this many bytes is refused.
    body_limit: u64,
}

impl Fetcher {
    pub(crate) fn new(config: &ScrapeConfig) -> Result<Self, ClientError> {
        Ok(Self {
            client: Client::new(&config.http)?,
            accept: accept(&config.scrape_protocols, config.names),
            compression: config.enable_compression,
            fallback: config.fallback_scrape_protocol,
            body_limit: match config.body_size_limit {
                0 => ScrapeConfig::BODY_MAX,
                limit => limit,
            },
        })
    }

    pub(crate) async fn fetch(&self, url: &str, timeout: Duration) -> Result<Page, FetchError> {
        let request = Request::get(url)
            .header(ACCEPT, &self.accept)
            .header(ACCEPT_ENCODING, if self.compression { "gzip" } else { "identity" })
            .header(USER_AGENT, concat!("Vedette/", env!("CARGO_PKG_VERSION")))
            .header("X-Prometheus-Scrape-Timeout-Seconds", timeout.as_secs_f64().to_string())
            .body(Bytes::new())
            .map_err(FetchError::Request)?;
        let limits = Limits { timeout, body_max: self.body_limit };
        let response = self.client.send(request, limits).await.map_err(|error| match error.kind() {
            ErrorKind::BodyTooLarge => FetchError::TooLarge,
            _ => FetchError::Client(error),
        })?;
        if response.status != StatusCode::OK {
            return Err(FetchError::Status(response.status));
        }
        let format = self.format(&response.headers)?;
        Ok(Page { bytes: self.unpack(response)?, format })
    }

    /// The body without its compression, bounded before it is there.
    fn unpack(&self, response: Response) -> Result<Bytes, FetchError> {
        let encoding =
            response.headers.get(CONTENT_ENCODING).map_or("", |value| value.to_str().unwrap_or("?"));
        let bytes = match encoding {
            "" | "identity" => response.body,
            "gzip" => {
                let mut plain = Vec::new();
                flate2::read::MultiGzDecoder::new(response.body.as_ref())
                    .take(self.body_limit)
                    .read_to_end(&mut plain)
                    .map_err(|error| FetchError::Body(format!("reading the gzip body: {error}")))?;
                Bytes::from(plain)
            }
            other => return Err(FetchError::Body(format!("unsupported Content-Encoding {other:?}"))),
        };
        if bytes.len() as u64 >= self.body_limit { Err(FetchError::TooLarge) } else { Ok(bytes) }
    }

    fn format(&self, headers: &HeaderMap) -> Result<Format, FetchError> {
        let content_type = headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
        let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match (media_type.as_str(), self.fallback) {
            ("application/openmetrics-text", _) => Ok(Format::OpenMetrics),
            ("text/plain", _) => Ok(Format::Text),
            (_, Some(ScrapeProtocol::OpenMetrics1 | ScrapeProtocol::OpenMetrics0)) => Ok(Format::OpenMetrics),
            (_, Some(ScrapeProtocol::Text1 | ScrapeProtocol::Text0)) => Ok(Format::Text),
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
    fn formats_are_asked_for_in_order() {
        let all: Vec<_> = ScrapeProtocol::ALL.iter().map(|(_, protocol)| *protocol).collect();
        assert_eq!(
            accept(&all, NameValidation::Utf8),
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
