//! TLS, client certificates, users and headers from the web-config file.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use support::{Server, options};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vedette_web::WebOptions;

/// An authority and what it issues.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// A certificate for a name, and its key.
    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.signed_by(&key, &self.issuer).expect("signed"), key)
    }

    /// Writes a server's certificate and key; each writing has a later time than the one before.
    fn write(&self, folder: &Path, turn: u64) -> CertificateDer<'static> {
        let (certificate, key) = self.issue("localhost");
        for (name, text) in [("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())] {
            let file = folder.join(name);
            std::fs::write(&file, text).expect("written");
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + turn);
            std::fs::File::options()
                .write(true)
                .open(&file)
                .and_then(|file| file.set_modified(time))
                .expect("stamped");
        }
        certificate.der().clone()
    }

    async fn connect(
        &self,
        server: &Server,
        client: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match client {
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate], key).expect("a client certificate")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await
    }
}

fn configured(folder: &Path, text: &str) -> WebOptions {
    let file = folder.join("web.yml");
    std::fs::write(&file, text).expect("written");
    let mut options = options();
    options.config_file = Some(file);
    options
}

fn hello() -> Router {
    Router::new().route("/hello", get(|| async { "hello" }))
}

const TLS: &str = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n";

#[tokio::test]
async fn certificates_are_read_again_when_they_change() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let first = authority.write(folder.path(), 1);
    let server = Server::start(configured(folder.path(), TLS), hello()).await;
    let shown = |stream: &TlsStream<_>| stream.get_ref().1.peer_certificates().expect("shown")[0].clone();

    let stream = authority.connect(&server, None).await.expect("trusted");
    assert_eq!(shown(&stream), first);
    assert_eq!(support::get(stream, "/hello", "").await.text(), "hello");

    let second = authority.write(folder.path(), 2);
    assert_eq!(shown(&authority.connect(&server, None).await.expect("trusted")), second);

    // What cannot be used changes nothing and is counted once.
    std::fs::write(folder.path().join("cert.pem"), "no certificate").expect("written");
    for _ in 0..2 {
        assert_eq!(shown(&authority.connect(&server, None).await.expect("trusted")), second);
    }
    server.has_metric("vedette_web_config_reload_failures_total 1").await;
}

#[tokio::test]
async fn only_clients_of_the_authority_get_in() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    authority.write(folder.path(), 1);
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).expect("written");
    let text = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  \
        client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  min_version: TLS12\n  \
        max_version: TLS12\n";
    let server = Server::start(configured(folder.path(), text), hello()).await;
    let client = |(certificate, key): (rcgen::Certificate, KeyPair)| {
        Some((certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).expect("a key")))
    };

    let stream = authority.connect(&server, client(authority.issue("ann"))).await.expect("let in");
    assert_eq!(support::get(stream, "/hello", "").await.text(), "hello");
    assert!(authority.connect(&server, None).await.is_err(), "let in without a certificate");
    let stranger = client(Authority::new().issue("eve"));
    assert!(authority.connect(&server, stranger).await.is_err(), "let in by another authority");
    server.has_metric("vedette_web_tls_handshake_failures_total 2").await;
}

#[tokio::test]
async fn users_need_their_password_and_everybody_gets_the_headers() {
    let folder = tempfile::tempdir().expect("a folder");
    let hash = bcrypt::hash("secret", 4).expect("hashed");
    let text = format!(
        "http_server_config: {{headers: {{X-Frame-Options: deny}}}}\nbasic_auth_users: {{ann: '{hash}'}}\n"
    );
    let server = Server::start(configured(folder.path(), &text), hello()).await;
    for (credentials, status) in [
        ("", 401),
        ("Authorization: Basic YW5uOnNlY3JldA==\r\n", 200),
        ("Authorization: Basic YW5uOndyb25n\r\n", 401),
        ("Authorization: Bearer YW5uOnNlY3JldA==\r\n", 401),
        ("Authorization: Basic ???\r\n", 401),
    ] {
        let answer = server.get("/hello", credentials).await;
        assert_eq!(answer.status(), status, "{credentials:?}");
        assert!(answer.head.contains("x-frame-options: deny"), "{}", answer.head);
        assert_eq!(answer.head.contains("www-authenticate: basic"), status == 401);
    }
}
