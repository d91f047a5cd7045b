//! TLS for protocols that are not HTTP: an open connection becomes a secure one.

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::TlsConfig;
use crate::error::{ClientError, ErrorKind};
use crate::failure::handshake;
use crate::files::Files;
use crate::tls;

/// Makes connections secure as `tls_config` says. Certificates and keys in files are read when they are
/// needed.
#[derive(Debug)]
pub struct Secure {
    config: TlsConfig,
    files: Files,
}

impl Secure {
    /// Checks the texts in the configuration.
    ///
    /// # Errors
    /// When a certificate, a key or a name in the configuration cannot be used.
    pub fn new(config: &TlsConfig) -> Result<Self, ClientError> {
        let secure = Self { config: config.clone(), files: Files::default() };
        tls::server_name(config)?;
        let mut sources = tls::sources(config).peekable();
        if sources.peek().is_some() && sources.all(|source| matches!(source, crate::Source::Inline(_))) {
            tls::client_config(config, &secure.files)?;
        }
        Ok(secure)
    }

    /// Speaks TLS on a connection to `host`.
    ///
    /// # Errors
    /// When a file cannot be used, or the other side is not who it should be.
    pub async fn connect(&self, stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, ClientError> {
        let name = match tls::server_name(&self.config)? {
            Some(name) => name,
            None => ServerName::try_from(host.to_owned()).map_err(|error| {
                ClientError::new(
                    ErrorKind::Tls,
                    format!("no certificate can have the name {host:?}: {error}"),
                )
            })?,
        };
        let config = tls::client_config(&self.config, &self.files)?;
        let connector = TlsConnector::from(std::sync::Arc::new(config));
        connector.connect(name, stream).await.map_err(|error| handshake(&error))
    }
}
