//! The server: its layers, its listeners, its orderly end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use env::Tasks;
use telemetry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::connection::Shared;
use crate::metrics::{self, WebMetrics};
use crate::options::WebOptions;
use crate::owner::owner_of;
use crate::security::{Security, guard};
use crate::ui::{self, UiState};
use crate::web_config::WebConfigError;

/// First and longest pause after an accept that failed, such as for want of file descriptors.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Another process listens there.
    #[error("{address} is taken by pid {pid} ({name})")]
    Taken {
        /// The wanted address.
        address: SocketAddr,
        /// The process that has it.
        pid: u32,
        /// Its command.
        name: String,
    },
    /// The address cannot be had, for another reason or for one that this process may not see.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The wanted address.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// No address was given.
    #[error("no address to listen on")]
    NoAddress,
    /// The web-config file cannot be used.
    #[error(transparent)]
    Config(#[from] WebConfigError),
}

/// Sets a server up.
#[derive(Debug)]
pub struct WebServer;

/// A server that listens, and answers once [`Bound::serve`] is called.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<TcpListener>,
    local_addrs: Vec<SocketAddr>,
    security: Arc<Security>,
    room: Arc<Semaphore>,
    metrics: WebMetrics,
    shared: Shared,
    tasks: Tasks,
}

impl WebServer {
    /// Reads the web-config file, takes the addresses, and puts `/metrics`, `/vedette/ui.json`, the user
    /// interface and the limits around `router`, which must have neither these routes nor a fallback.
    /// The server stops with `tasks`.
    ///
    /// # Errors
    /// When an address is taken (naming the process that has it) or the web-config file cannot be used.
    pub async fn bind(
        options: WebOptions,
        router: Router,
        tasks: &Tasks,
        registry: &Registry,
    ) -> Result<Bound, WebError> {
        if options.listen.is_empty() {
            return Err(WebError::NoAddress);
        }
        let connections = tasks.child();
        let security = Arc::new(Security::new(options.config_file.clone(), &connections, registry)?);
        let mut listeners = Vec::new();
        let mut local_addrs = Vec::new();
        for address in &options.listen {
            let listener = TcpListener::bind(address).await.map_err(|error| refused(*address, error))?;
            local_addrs.push(listener.local_addr().unwrap_or(*address));
            listeners.push(listener);
        }
        let most = options.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        let metrics = WebMetrics::new(registry, most);
        let router = dress(router, &options, &metrics, &security, registry);
        let shared = Shared {
            router,
            prefix: options.prefix(),
            read_timeout: options.read_timeout,
            drain_timeout: options.drain_timeout,
            tasks: connections,
        };
        let room = Arc::new(Semaphore::new(most));
        Ok(Bound { listeners, local_addrs, security, room, metrics, shared, tasks: tasks.clone() })
    }
}

impl Bound {
    /// The addresses in use, in the order of the options: port 0 has become a real one.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Answers until the tasks are asked to stop; returns when the open requests have ended or the drain
    /// timeout is over.
    pub async fn serve(mut self) {
        let listeners = std::mem::take(&mut self.listeners);
        let server = Arc::new(self);
        let loops: Vec<_> = listeners
            .into_iter()
            .map(|listener| server.tasks.spawn(Arc::clone(&server).accept(listener)))
            .collect();
        for accepting in loops {
            if let Err(error) = accepting.await {
                tracing::error!(%error, "a listener failed");
            }
        }
        // Each connection keeps the deadline itself; the second is for what those leave behind.
        let patience = server.shared.drain_timeout + Duration::from_secs(1);
        if let Err(error) = server.shared.tasks.shutdown(patience).await {
            tracing::warn!(%error, "connections left open");
        }
    }

    /// Takes connections from one listener until the stop.
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut pause = ACCEPT_PAUSE.0;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.tasks.stopping() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause = ACCEPT_PAUSE.0;
                    if !Arc::clone(&self).admit(stream, peer).await {
                        return;
                    }
                }
                Err(error) => {
                    self.metrics.accept_failures.inc();
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSE.1);
                }
            }
        }
    }

    /// Waits for room, then serves the connection in a task; `false` when the stop came first. While one
    /// waits the listener accepts no other: the rest queue in the kernel.
    async fn admit(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) -> bool {
        self.metrics.connections.inc();
        let room = tokio::select! {
            room = Arc::clone(&self.room).acquire_owned() => room,
            () = self.tasks.stopping() => {
                self.metrics.connections.dec();
                return false;
            }
        };
        let tasks = self.shared.tasks.clone();
        drop(tasks.spawn(async move {
            self.attend(stream, peer).await;
            self.metrics.connections.dec();
            drop(room);
        }));
        true
    }

    async fn attend(&self, stream: TcpStream, peer: SocketAddr) {
        // Answers are written whole; waiting to fill packets only delays them.
        let _ = stream.set_nodelay(true);
        let loaded = self.security.current();
        let Some(config) = loaded.tls.clone() else {
            return self.shared.serve(stream, peer, loaded.http2).await;
        };
        match self.shared.handshake(stream, config).await {
            Ok(stream) => self.shared.serve(stream, peer, loaded.http2).await,
            Err(error) => {
                self.metrics.handshake_failures.inc();
                tracing::debug!(%peer, %error, "TLS handshake failed");
            }
        }
    }
}

/// The router with everything that goes around it. Layers apply from the last to the first: a request is
/// first checked, then measured, its answer compressed last but one.
fn dress(
    router: Router,
    options: &WebOptions,
    metrics: &WebMetrics,
    security: &Arc<Security>,
    registry: &Registry,
) -> Router {
    let ui = UiState::new(options);
    let page = Router::new().route("/metrics", get(metrics::page)).with_state(registry.clone());
    let shell = Router::new().route("/vedette/ui.json", get(ui::describe)).fallback(ui::serve).with_state(ui);
    router
        .merge(page)
        .merge(shell)
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn_with_state(metrics.clone(), metrics::measure))
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn_with_state(Arc::clone(security), guard))
}

fn refused(address: SocketAddr, source: io::Error) -> WebError {
    let owner = (source.kind() == io::ErrorKind::AddrInUse).then(|| owner_of(address)).flatten();
    match owner {
        Some(owner) => WebError::Taken { address, pid: owner.pid, name: owner.name },
        None => WebError::Listen { address, source },
    }
}
