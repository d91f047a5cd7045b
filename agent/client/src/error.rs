//! What can go wrong with a request. The kind says what the caller does; the text says where it happened.

use std::fmt;

use http::Method;
use url::Url;

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The URL cannot be used; trying again will not help.
    BadUrl,
    /// A file with a password, key or certificate is missing or wrong.
    BadFile,
    /// No connection: refused, unknown host, unreachable.
    Connect,
    /// No secure connection: the other side's certificate, or ours, or the versions.
    Tls,
    /// No whole answer in time.
    Timeout,
    /// The answer is over the limit.
    BodyTooLarge,
    /// More than ten redirects, or one that leads nowhere.
    Redirect,
    /// What came is no HTTP, or the connection broke.
    Protocol,
}

/// A request without an answer, or a client that cannot be made.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ClientError {
    kind: ErrorKind,
    place: String,
    what: String,
    sent: bool,
    http2_only: bool,
}

impl ClientError {
    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, place: String::new(), what: what.into(), sent: false, http2_only: false }
    }

    /// The same error, naming the request that it hit.
    pub(crate) fn at(mut self, method: &Method, url: &Url) -> Self {
        let method = method.as_str();
        let (first, rest) = method.split_at(method.len().min(1));
        self.place = format!("{first}{} {:?}", rest.to_lowercase(), without_password(url));
        self
    }

    /// The same, for a request whose URL may be none.
    pub(crate) fn of<T>(self, request: &http::Request<T>) -> Self {
        match Url::parse(&request.uri().to_string()) {
            Ok(url) => self.at(request.method(), &url),
            Err(_) => self,
        }
    }

    pub(crate) fn maybe_sent(mut self) -> Self {
        self.sent = true;
        self
    }

    /// The same, where the other side refused HTTP/1.
    pub(crate) fn for_http2(mut self, only: bool) -> Self {
        self.http2_only = only;
        self
    }

    /// Whether the other side refused HTTP/1.
    pub(crate) fn is_for_http2(&self) -> bool {
        self.http2_only
    }

    /// What kind of trouble it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the request may have reached the other side. False: surely not.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        self.sent
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            return f.write_str(&self.what);
        }
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// The URL as it may be shown.
fn without_password(url: &Url) -> String {
    let mut shown = url.clone();
    if shown.password().is_some() {
        // Fails only for URLs that cannot have a password.
        let _ = shown.set_password(Some("xxxxx"));
    }
    shown.into()
}
