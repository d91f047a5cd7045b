//! Connections: straight, or by way of a proxy.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use crate::config::Proxy;
use crate::error::{ClientError, ErrorKind};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    http: HttpConnector,
    proxy: Option<Arc<Route>>,
}

#[derive(Debug)]
struct Route {
    matcher: Matcher,
    connect_headers: HeaderMap,
}

impl Dial {
    pub(crate) fn new(proxy: &Proxy) -> Result<Self, ClientError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let (matcher, headers) = match proxy {
            Proxy::None => return Ok(Self { http, proxy: None }),
            Proxy::Url { url, no_proxy, connect_headers } => {
                if url.scheme() != "http" {
                    let what = format!("proxy_url {:?}: only http:// proxies are supported", url.as_str());
                    return Err(ClientError::new(ErrorKind::BadUrl, what));
                }
                let matcher = Matcher::builder().all(url.as_str()).no(no_proxy.as_str()).build();
                (matcher, connect_headers)
            }
            Proxy::Environment { connect_headers } => (Matcher::from_env(), connect_headers),
        };
        let mut connect = HeaderMap::new();
        for (name, value) in headers {
            connect.append(name, sensitive(value.expose())?);
        }
        Ok(Self { http, proxy: Some(Arc::new(Route { matcher, connect_headers: connect })) })
    }

    /// The header by which a plain request to `uri` shows itself to the proxy.
    pub(crate) fn proxy_authorization(&self, uri: &Uri) -> Option<HeaderValue> {
        if uri.scheme_str() != Some("http") {
            return None;
        }
        self.proxy.as_ref()?.matcher.intercept(uri)?.basic_auth().cloned()
    }
}

/// A header value that is not shown in logs.
pub(crate) fn sensitive(text: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        ClientError::new(ErrorKind::BadFile, "a secret holds bytes that no HTTP header may have")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl Service<Uri> for Dial {
    type Response = Conn;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Conn, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let mut http = self.http.clone();
        let route = self.proxy.as_ref().and_then(|route| {
            route.matcher.intercept(&destination).map(|hit| (hit, route.connect_headers.clone()))
        });
        Box::pin(async move {
            let Some((hit, headers)) = route else {
                return Ok(Conn { stream: http.call(destination).await?, proxied: false });
            };
            if destination.scheme_str() != Some("https") {
                return Ok(Conn { stream: http.call(hit.uri().clone()).await?, proxied: true });
            }
            let mut tunnel = Tunnel::new(hit.uri().clone(), http).with_headers(headers);
            if let Some(auth) = hit.basic_auth() {
                tunnel = tunnel.with_auth(auth.clone());
            }
            // Behind the tunnel it is as if there were no proxy.
            Ok(Conn { stream: tunnel.call(destination).await?, proxied: false })
        })
    }
}

/// A TCP connection that knows whether a proxy reads what is sent.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: TokioIo<TcpStream>,
    proxied: bool,
}

impl Conn {
    /// The connection itself.
    pub(crate) fn into_tcp(self) -> TcpStream {
        self.stream.into_inner()
    }
}

impl Connection for Conn {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.proxied)
    }
}

impl Read for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }
}
