//! One connection: its TLS, its requests, its end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use env::Tasks;
use http::{Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::target::Targets;

/// Largest head of a request: one that HTTP/1 keeps whole in memory, and HTTP/2's list of headers.
const HEAD_MAX: usize = 64 << 10;

/// Most requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 250;

/// What every connection of a server shares.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) router: Router,
    pub(crate) prefix: String,
    pub(crate) read_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) tasks: Tasks,
}

/// Runs hyper's helper tasks as ours, so that shutdown knows of them.
#[derive(Clone, Debug)]
struct Spawner(Tasks);

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn(future));
    }
}

impl Shared {
    /// Sets up TLS within the read timeout.
    pub(crate) async fn handshake(
        &self,
        stream: TcpStream,
        config: std::sync::Arc<ServerConfig>,
    ) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
        let accept = TlsAcceptor::from(config).accept(stream);
        tokio::time::timeout(self.read_timeout, accept).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Answers requests until the peer leaves, stands idle too long, or the server stops.
    pub(crate) async fn serve<S>(&self, stream: S, peer: SocketAddr, http2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = Builder::new(Spawner(self.tasks.clone()));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.read_timeout)
            .max_buf_size(HEAD_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX))
            .max_concurrent_streams(STREAMS_MAX);
        let builder = if http2 { builder } else { builder.http1_only() };
        let shared = self.clone();
        let service = service_fn(move |request| {
            let shared = shared.clone();
            async move { Ok::<_, std::convert::Infallible>(shared.answer(request, peer).await) }
        });
        let io = TokioIo::new(Targets::new(Patient::new(stream, self.read_timeout)));
        let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.tasks.stopping() => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(self.drain_timeout, connection).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        tracing::warn!(%peer, "request cut off: it had not ended by the deadline of the stop");
                        Ok(())
                    }
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }

    /// Answers one request, the route prefix taken off.
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let mut request = request.map(Body::new);
        match without_prefix(request.uri(), &self.prefix) {
            Some(uri) => *request.uri_mut() = uri,
            None if request.uri().path() == "/" || request.uri().path() == self.prefix => {
                return redirect(&format!("{}/", self.prefix));
            }
            None => {
                let mut response = Response::new(Body::from("404 page not found\n"));
                *response.status_mut() = StatusCode::NOT_FOUND;
                return response;
            }
        }
        request.extensions_mut().insert(ConnectInfo(peer));
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// The address below the prefix, `None` where it is not below.
fn without_prefix(uri: &Uri, prefix: &str) -> Option<Uri> {
    if prefix.is_empty() {
        return Some(uri.clone());
    }
    let path = uri.path().strip_prefix(prefix).filter(|rest| rest.starts_with('/'))?;
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{path}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn redirect(to: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    if let Ok(to) = to.parse() {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

/// A stream that ends when nothing has moved on it for too long: a peer that never says what protocol it
/// speaks, stops in the middle of a body, or no longer reads.
struct Patient<S> {
    stream: S,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Patient<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, deadline: Box::pin(sleep(patience)) }
    }

    fn moved(&mut self) {
        let deadline = Instant::now() + self.patience;
        self.deadline.as_mut().reset(deadline);
    }

    fn check<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(done) => {
                self.moved();
                Poll::Ready(done)
            }
            Poll::Pending => self.check(context),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(done) => {
                self.moved();
                Poll::Ready(done)
            }
            Poll::Pending => self.check(context),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_taken_off_whole_segments() {
        for (uri, prefix, below) in [
            ("/a?b=c", "", Some("/a?b=c")),
            ("/p/a?b=%20", "/p", Some("/a?b=%20")),
            ("/p/", "/p", Some("/")),
            ("/p", "/p", None),
            ("/pa", "/p", None),
            ("/a", "/p", None),
        ] {
            let found = without_prefix(&uri.parse().expect("valid"), prefix);
            assert_eq!(found.map(|uri| uri.to_string()), below.map(str::to_owned), "{uri}");
        }
    }
}
