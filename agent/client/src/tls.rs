//! TLS settings as rustls wants them.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};

use crate::config::{Source, TlsConfig, TlsVersion};
use crate::error::{ClientError, ErrorKind};
use crate::files::Files;

/// What rustls needs, from what the configuration says. Reads files.
pub(crate) fn client_config(tls: &TlsConfig, files: &Files) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls)?)
        .map_err(|error| bad("tls_config", &error))?;
    let verifier: Arc<dyn ServerCertVerifier> = match &tls.ca {
        _ if tls.insecure_skip_verify => Arc::new(AnyCertificate(Arc::clone(&provider))),
        Some(source) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(source, files)? {
                roots.add(certificate).map_err(|error| bad(&name("CA certificate", source), &error))?;
            }
            rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| bad(&name("CA certificate", source), &error))?
        }
        None => Arc::new(
            rustls_platform_verifier::Verifier::new(provider)
                .map_err(|error| bad("the host's root certificates", &error))?,
        ),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let Some((chain, key)) = &tls.identity else { return Ok(builder.with_no_client_auth()) };
    let pem = files.text(key)?;
    let private = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes())
        .map_err(|error| bad(&name("client key", key), &error))?;
    builder
        .with_client_auth_cert(certificates(chain, files)?, private)
        .map_err(|error| bad(&name("client certificate", chain), &error))
}

/// The name that `server_name` asks certificates to have.
pub(crate) fn server_name(tls: &TlsConfig) -> Result<Option<ServerName<'static>>, ClientError> {
    tls.server_name
        .clone()
        .map(|text| {
            ServerName::try_from(text.clone()).map_err(|error| bad(&format!("server_name {text:?}"), &error))
        })
        .transpose()
}

/// The name that the certificate of a URL's host must have.
pub(crate) fn name_of(tls: &TlsConfig, uri: &http::Uri) -> Result<ServerName<'static>, ClientError> {
    if let Some(name) = server_name(tls)? {
        return Ok(name);
    }
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|error| {
        ClientError::new(ErrorKind::Tls, format!("no certificate can have the name {host:?}: {error}"))
    })
}

/// Every source whose change asks for a new configuration.
pub(crate) fn sources(tls: &TlsConfig) -> impl Iterator<Item = &Source> {
    let identity = tls.identity.iter().flat_map(|(chain, key)| [chain, key]);
    tls.ca.iter().chain(identity)
}

fn versions(tls: &TlsConfig) -> Result<Vec<&'static SupportedProtocolVersion>, ClientError> {
    let min = tls.min_version.unwrap_or(TlsVersion::Tls12);
    let max = tls.max_version.unwrap_or(TlsVersion::Tls13);
    let all = [(TlsVersion::Tls12, &rustls::version::TLS12), (TlsVersion::Tls13, &rustls::version::TLS13)];
    let chosen: Vec<_> = all
        .into_iter()
        .filter(|(version, _)| (min..=max).contains(version))
        .map(|(_, version)| version)
        .collect();
    if chosen.is_empty() {
        return Err(bad("tls_config", &"min_version is above max_version"));
    }
    Ok(chosen)
}

fn certificates(source: &Source, files: &Files) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let pem = files.text(source)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose().as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(bad(&name("certificate", source), &"no PEM certificate in it")),
        Err(error) => Err(bad(&name("certificate", source), &error)),
    }
}

fn name(what: &str, source: &Source) -> String {
    match source {
        Source::Inline(_) => what.to_owned(),
        Source::File(path) => format!("{what} {}", path.display()),
    }
}

fn bad(place: &str, what: &dyn std::fmt::Display) -> ClientError {
    ClientError::new(ErrorKind::BadFile, format!("unable to use {place}: {what}"))
}

/// `insecure_skip_verify`: takes any certificate, but not any signature.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
