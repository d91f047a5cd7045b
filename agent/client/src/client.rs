//! The client: one request, one whole answer, within limits.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Body as _;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{Builder, Client as Pool};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::config::{Auth, HttpClientConfig, Proxy, Source};
use crate::dial::{Dial, sensitive};
use crate::error::{ClientError, ErrorKind};
use crate::failure::{classify, deepest, handshake};
use crate::files::{Files, Stamp, source_stamp};
use crate::hop::{Hop, address, is_redirect, parse};
use crate::link::Link;
use crate::tls;

/// What one request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first step of connecting to the last byte of the body, redirects included.
    pub timeout: Duration,
    /// Bytes of the body as it comes over the wire.
    pub body_max: u64,
}

/// A whole answer, of any status.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came, still encoded where `Content-Encoding` says so.
    pub body: Bytes,
}

/// An answer whose body went elsewhere.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
}

/// Sends requests; keeps connections alive between them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: HttpClientConfig,
    files: Files,
    dial: Dial,
    plain: Pool<Dial, Full<Bytes>>,
    /// Made at the first use: the host's root certificates cost memory that a plain scrape need not pay.
    secure: Mutex<Option<Secure>>,
}

type SecurePool = Pool<HttpsConnector<Dial>, Full<Bytes>>;

/// What connections with TLS are made with, as long as the files behind it stay as they are.
#[derive(Debug)]
struct Secure {
    stamps: Vec<Option<Stamp>>,
    /// Of these settings.
    number: u64,
    tls: Arc<ClientConfig>,
    pool: Option<SecurePool>,
}

/// Redirects that one request follows.
pub(crate) const REDIRECTS_MAX: usize = 10;
/// How long a connection may wait for its next use: longer than the usual intervals.
const IDLE: Duration = Duration::from_secs(300);
/// Bytes of a body for which room is made before they are there.
pub(crate) const TRUSTED_LENGTH: u64 = 1 << 20;
/// Idle connections kept to one host.
const IDLE_MAX: usize = 16;

impl Client {
    /// A client. Files are read when they are needed; texts in the configuration are checked now.
    ///
    /// # Errors
    /// When the proxy, a certificate, a key, a name or a header in the configuration cannot be used.
    pub fn new(config: &HttpClientConfig) -> Result<Self, ClientError> {
        let dial = Dial::new(&config.proxy)?;
        let inner = Inner {
            plain: pool_builder().build(dial.clone()),
            config: config.clone(),
            files: Files::default(),
            dial,
            secure: Mutex::new(None),
        };
        tls::server_name(&config.tls)?;
        let mut sources = tls::sources(&config.tls).peekable();
        if sources.peek().is_some() && sources.all(|source| matches!(source, crate::Source::Inline(_))) {
            inner.secure_pool()?;
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Sends a request with an absolute URI and waits for the whole answer. The configured
    /// authentication and headers are added; headers that the request has already stay.
    ///
    /// # Errors
    /// See [`ErrorKind`]; [`ClientError::was_sent`] says whether the other side may have seen it.
    pub async fn send(&self, request: Request<Bytes>, limits: Limits) -> Result<Response, ClientError> {
        let mut whole = Vec::new();
        let Head { status, headers } = self.send_into(request, limits, &mut whole).await?;
        Ok(Response { status, headers, body: whole.into() })
    }

    /// The same, with the body in a buffer that the caller uses again; what it held goes.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_into(
        &self,
        request: Request<Bytes>,
        limits: Limits,
        buffer: &mut Vec<u8>,
    ) -> Result<Head, ClientError> {
        let mut hop = Hop::new(request)?;
        let (method, url, origin) = (hop.method.clone(), hop.url.clone(), hop.origin());
        let mut sent = false;
        let work = self.follow(&mut hop, &origin, REDIRECTS_MAX, limits.body_max, &mut sent, buffer);
        // Boxed: the state of a connection in the making is large.
        let outcome = within(limits.timeout, Box::pin(work)).await;
        outcome.map_err(|error| {
            let error = if sent { error.maybe_sent() } else { error };
            error.at(&method, &url)
        })
    }

    /// Whether requests to there go straight to the host that the URL names.
    pub(crate) fn goes_straight(&self, uri: &Uri) -> bool {
        matches!(uri.scheme_str(), Some("http" | "https")) && matches!(self.0.config.proxy, Proxy::None)
    }

    /// Whether it speaks HTTP/2 with those who want nothing else.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.0.config.enable_http2
    }

    /// Whether a connection was made with the settings that count now.
    pub(crate) fn is_current(&self, link: &Link) -> bool {
        match link {
            Link::Plain(_) => true,
            // What is wrong with the files is told when a new one is made.
            Link::Secure(_, number) => {
                self.0.secure(|secure| Ok(secure.number)).is_ok_and(|now| now == *number)
            }
        }
    }

    /// Whether a request holds what stands in files, which may change.
    pub(crate) fn reads_secrets(&self) -> bool {
        let HttpClientConfig { auth, headers, .. } = &self.0.config;
        let auth: Vec<&Source> = match auth {
            Some(Auth::Basic { username, password }) => username.iter().chain(password).collect(),
            Some(Auth::Header { credentials, .. }) => vec![credentials],
            None => Vec::new(),
        };
        let mut all = auth.into_iter().chain(headers.iter().map(|(_, source)| source));
        all.any(|source| matches!(source, Source::File(_)))
    }

    /// Whether an answer of that status with a place sends the request there.
    pub(crate) fn follows(&self, status: StatusCode) -> bool {
        self.0.config.follow_redirects && is_redirect(status)
    }

    /// The request's address and all of its headers, as they are sent to the host that its URL names.
    pub(crate) fn address_and_headers(
        &self,
        request: &Request<Bytes>,
    ) -> Result<(Uri, HeaderMap), ClientError> {
        let url = parse(request.uri())?;
        let mut headers = request.headers().clone();
        self.0.add_credentials(&mut headers, &url)?;
        Ok((address(&url)?, headers))
    }

    /// A new connection to the host that a URL names, for HTTP/1.
    pub(crate) async fn connect(&self, uri: Uri) -> Result<Link, ClientError> {
        let secure = match uri.scheme_str() {
            Some("https") => {
                let (tls, number) = self.0.secure(|secure| Ok((Arc::clone(&secure.tls), secure.number)))?;
                Some((tls, number, tls::name_of(&self.0.config.tls, &uri)?))
            }
            _ => None,
        };
        let connected = tower::Service::call(&mut self.0.dial.clone(), uri).await;
        let stream = connected.map_err(|error| ClientError::new(ErrorKind::Connect, deepest(&*error)))?;
        let Some((tls, number, name)) = secure else { return Ok(Link::Plain(stream.into_tcp())) };
        let secured = TlsConnector::from(tls).connect(name, stream.into_tcp()).await;
        Ok(Link::Secure(Box::new(secured.map_err(|error| handshake(&error))?), number))
    }

    /// Sends a request, and again where a redirect leads, at most so often. Credentials are for `origin`.
    pub(crate) async fn follow(
        &self,
        hop: &mut Hop,
        origin: &url::Origin,
        redirects_max: usize,
        body_max: u64,
        sent: &mut bool,
        buffer: &mut Vec<u8>,
    ) -> Result<Head, ClientError> {
        for _ in 0..=redirects_max {
            let trusted = hop.origin() == *origin;
            let response = self.0.once(hop, trusted, sent).await?;
            let location = response.headers().get(LOCATION).cloned();
            match location {
                Some(location) if self.follows(response.status()) => {
                    hop.redirect(response.status(), location.as_bytes(), origin)?;
                }
                _ => return whole(response, body_max, buffer).await,
            }
        }
        Err(ClientError::new(ErrorKind::Redirect, format!("stopped after {REDIRECTS_MAX} redirects")))
    }
}

/// Waits no longer than that.
pub(crate) async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    match tokio::time::timeout(timeout, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ClientError::new(ErrorKind::Timeout, "context deadline exceeded")),
    }
}

impl Inner {
    /// `trusted`: the URL's host is the one that the configuration's credentials are for.
    async fn once(
        &self,
        hop: &Hop,
        trusted: bool,
        sent: &mut bool,
    ) -> Result<http::Response<hyper::body::Incoming>, ClientError> {
        let uri: Uri = address(&hop.url)?;
        let mut request = Request::new(Full::new(hop.body.clone()));
        *request.method_mut() = hop.method.clone();
        *request.headers_mut() = hop.headers.clone();
        if trusted {
            self.add_credentials(request.headers_mut(), &hop.url)?;
        }
        if let Some(value) = self.dial.proxy_authorization(&uri) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, value);
        }
        let secure = hop.url.scheme() == "https";
        *request.uri_mut() = uri;
        let connection = capture_connection(&mut request);
        let guard = SentGuard { connection, sent };
        let answer = if secure {
            self.secure_pool()?.request(request).await
        } else {
            self.plain.request(request).await
        };
        drop(guard);
        answer.map_err(|error| classify(&error))
    }

    fn add_credentials(&self, headers: &mut HeaderMap, url: &Url) -> Result<(), ClientError> {
        for (name, source) in &self.config.headers {
            headers.append(name, sensitive(self.files.text(source)?.expose())?);
        }
        if headers.contains_key(AUTHORIZATION) {
            return Ok(());
        }
        let text = |source: &Option<crate::Source>| {
            source.as_ref().map(|source| self.files.text(source)).transpose().map(Option::unwrap_or_default)
        };
        let value = match &self.config.auth {
            Some(Auth::Basic { username, password }) => {
                basic(text(username)?.expose(), text(password)?.expose())
            }
            Some(Auth::Header { scheme, credentials }) => {
                format!("{scheme} {}", self.files.text(credentials)?.expose())
            }
            None if !url.username().is_empty() => basic(url.username(), url.password().unwrap_or("")),
            None => return Ok(()),
        };
        headers.insert(AUTHORIZATION, sensitive(&value)?);
        Ok(())
    }

    /// What connections with TLS are made with, made anew when a file behind it changed.
    fn secure<T>(&self, take: impl FnOnce(&mut Secure) -> Result<T, ClientError>) -> Result<T, ClientError> {
        let stamps: Vec<_> =
            tls::sources(&self.config.tls).map(source_stamp).collect::<Result<_, ClientError>>()?;
        let mut known = self.secure.lock();
        if let Some(secure) = known.as_mut().filter(|secure| secure.stamps == stamps) {
            return take(secure);
        }
        let mut tls = tls::client_config(&self.config.tls, &self.files)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let number = known.as_ref().map_or(0, |before| before.number + 1);
        take(known.insert(Secure { stamps, number, tls: Arc::new(tls), pool: None }))
    }

    /// The connections of the general way.
    fn secure_pool(&self) -> Result<SecurePool, ClientError> {
        self.secure(|secure| {
            if let Some(pool) = &secure.pool {
                return Ok(pool.clone());
            }
            Ok(secure.pool.insert(self.pool(ClientConfig::clone(&secure.tls))?).clone())
        })
    }

    fn pool(&self, mut tls: ClientConfig) -> Result<SecurePool, ClientError> {
        // The connector says itself which versions of HTTP it speaks.
        tls.alpn_protocols.clear();
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let builder = match tls::server_name(&self.config.tls)? {
            Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name)),
            None => builder,
        };
        let connector = if self.config.enable_http2 {
            builder.enable_all_versions().wrap_connector(self.dial.clone())
        } else {
            builder.enable_http1().wrap_connector(self.dial.clone())
        };
        Ok(pool_builder().build(connector))
    }
}

/// Notes, also when the request is given up, whether a connection had been made for it.
struct SentGuard<'a> {
    connection: hyper_util::client::legacy::connect::CaptureConnection,
    sent: &'a mut bool,
}

impl Drop for SentGuard<'_> {
    fn drop(&mut self) {
        *self.sent |= self.connection.connection_metadata().is_some();
    }
}

fn pool_builder() -> Builder {
    let mut builder = Pool::<(), ()>::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(IDLE_MAX);
    builder
}

fn basic(username: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    format!("Basic {pair}")
}

/// Reads the whole body. Room is made for the length that the other side names, up to a limit.
async fn whole(
    response: http::Response<hyper::body::Incoming>,
    body_max: u64,
    buffer: &mut Vec<u8>,
) -> Result<Head, ClientError> {
    let (parts, mut incoming) = response.into_parts();
    buffer.clear();
    let named = incoming.size_hint().exact().unwrap_or(0).min(body_max).min(TRUSTED_LENGTH);
    buffer.reserve(usize::try_from(named).unwrap_or(0));
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| ClientError::new(ErrorKind::Protocol, deepest(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        if (buffer.len() + data.len()) as u64 > body_max {
            return Err(ClientError::new(ErrorKind::BodyTooLarge, "body size limit exceeded"));
        }
        buffer.extend_from_slice(&data);
    }
    Ok(Head { status: parts.status, headers: parts.headers })
}
