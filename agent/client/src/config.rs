//! Checked settings of outbound HTTP: Prometheus's `<http_config>`.

use std::fmt;
use std::path::PathBuf;

use http::HeaderName;
use url::Url;

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: only for what is sent.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A text in the configuration or in a file that is read again whenever it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The text itself.
    Inline(Secret),
    /// The file that holds it; white space at its end is not part of it.
    File(PathBuf),
}

impl Source {
    /// A text that stands in the configuration.
    #[must_use]
    pub fn inline(text: impl Into<String>) -> Self {
        Self::Inline(Secret::new(text))
    }
}

/// How a request says who sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `basic_auth`.
    Basic {
        /// The user's name, sent empty when absent.
        username: Option<Source>,
        /// The password, sent empty when absent.
        password: Option<Source>,
    },
    /// `authorization`: the header `Authorization: SCHEME CREDENTIALS`.
    Header {
        /// `Bearer` unless the configuration says otherwise; never `Basic`.
        scheme: String,
        /// What follows the scheme.
        credentials: Source,
    },
}

/// A version of TLS that rustls speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// `tls_config`. PEM everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Who may sign servers; the host's own roots when absent.
    pub ca: Option<Source>,
    /// Our certificate chain and its key.
    pub identity: Option<(Source, Source)>,
    /// The name that the server's certificate must have, where it is not the URL's host.
    pub server_name: Option<String>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
    /// Oldest version, TLS 1.2 when absent.
    pub min_version: Option<TlsVersion>,
    /// Newest version, TLS 1.3 when absent.
    pub max_version: Option<TlsVersion>,
}

/// Which way requests go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// Straight.
    #[default]
    None,
    /// `proxy_url`: a plain HTTP proxy; targets with TLS are reached through `CONNECT`.
    Url {
        /// The proxy, `http://[user:password@]host:port`.
        url: Url,
        /// `no_proxy`: comma-separated hosts, `.domains`, `host:port`s, addresses and CIDRs that are reached straight.
        no_proxy: String,
        /// `proxy_connect_header`: sent with `CONNECT`.
        connect_headers: Vec<(HeaderName, Secret)>,
    },
    /// `proxy_from_environment`: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in either case.
    Environment {
        /// `proxy_connect_header`: sent with `CONNECT`.
        connect_headers: Vec<(HeaderName, Secret)>,
    },
}

/// `<http_config>`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpClientConfig {
    /// At most one way to authenticate.
    pub auth: Option<Auth>,
    /// How TLS is spoken where the URL asks for it.
    pub tls: TlsConfig,
    /// Which way requests go.
    pub proxy: Proxy,
    /// Whether redirects are followed, at most ten.
    pub follow_redirects: bool,
    /// Whether HTTP/2 is offered over TLS.
    pub enable_http2: bool,
    /// `http_headers`: sent with every request; a name may come several times.
    pub headers: Vec<(HeaderName, Source)>,
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        Self {
            auth: None,
            tls: TlsConfig::default(),
            proxy: Proxy::None,
            follow_redirects: true,
            enable_http2: true,
            headers: Vec::new(),
        }
    }
}
