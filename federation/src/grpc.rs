//! The gRPC listener that uplinks, the twin and raft share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use env::Tasks;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

/// Certificate files of the listener, PEM; clients must show a certificate of the authority's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrpcTls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: PathBuf,
}

/// A bound listener, not yet serving.
pub(crate) struct Grpc {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
    tls: Option<ServerTlsConfig>,
}

impl Grpc {
    /// Binds the listener that `flag` names. Without TLS only loopback is served, unless `insecure` is said.
    pub(crate) async fn bind(
        flag: &str,
        address: SocketAddr,
        tls: Option<&GrpcTls>,
        insecure: bool,
    ) -> Result<Self> {
        if tls.is_none() && !address.ip().is_loopback() && !insecure {
            bail!(
                "{flag}={address}: not loopback and without TLS; set vedette.pair.tls_config in the configuration, \
                 or say --insecure where the network itself is trusted"
            );
        }
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) => {
                bail!("{flag}={address}: {}", web::describe_bind_error(address, &error))
            }
        };
        let address = listener.local_addr().context("the gRPC listener's own address")?;
        let tls = tls.map(server_tls).transpose()?;
        Ok(Self { listener, address, tls })
    }

    /// Serves until the tasks are stopped.
    pub(crate) fn serve(self, services: Vec<Routes>, tasks: &Tasks) -> Result<()> {
        let mut server = Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .tcp_nodelay(true)
            .initial_stream_window_size(2 << 20)
            .initial_connection_window_size(16 << 20);
        if let Some(tls) = self.tls {
            server = server.tls_config(tls).context("gRPC TLS")?;
        }
        let mut routers = services.into_iter().map(Routes::into_axum_router);
        let first = routers.next().unwrap_or_default();
        let merged = routers.fold(first, |all, one| {
            // Every service brings its own fallback; one is enough.
            all.merge(one.reset_fallback())
        });
        let (incoming, stop) = (TcpListenerStream::new(self.listener), tasks.token());
        let router = server.add_routes(Routes::from(merged));
        tasks.spawn(async move {
            if let Err(error) = router.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await {
                tracing::error!(%error, "the gRPC listener ended");
            }
        });
        Ok(())
    }
}

fn server_tls(files: &GrpcTls) -> Result<ServerTlsConfig> {
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| path.display().to_string());
    Ok(ServerTlsConfig::new()
        .identity(Identity::from_pem(read(&files.cert)?, read(&files.key)?))
        .client_ca_root(Certificate::from_pem(read(&files.client_ca)?)))
}
