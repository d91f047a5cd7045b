//! `tls_server_config` to a rustls configuration, with ring as the one provider.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use serde::Deserialize;

/// The section as YAML has it; a file and its inline twin exclude each other.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsConfig {
    cert: Option<String>,
    cert_file: Option<PathBuf>,
    key: Option<String>,
    key_file: Option<PathBuf>,
    client_auth_type: Option<String>,
    client_ca: Option<String>,
    client_ca_file: Option<PathBuf>,
    client_allowed_sans: Option<Vec<String>>,
    cipher_suites: Option<Vec<String>>,
    curve_preferences: Option<Vec<String>>,
    min_version: Option<String>,
    max_version: Option<String>,
    /// Always so with rustls' own order; accepted since it is often written.
    #[serde(rename = "prefer_server_cipher_suites")]
    _prefer_server_cipher_suites: Option<bool>,
}

impl TlsConfig {
    /// The files that the section names.
    pub(crate) fn files(&self, folder: &Path) -> Vec<PathBuf> {
        [&self.cert_file, &self.key_file, &self.client_ca_file]
            .into_iter()
            .flatten()
            .map(|file| folder.join(file))
            .collect()
    }
}

/// Builds the server's side of TLS. Errors name the setting and the file.
pub(crate) fn server_config(
    tls: &TlsConfig,
    folder: &Path,
    http2: bool,
) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(provider(tls)?);
    let versions = versions(tls)?;
    let verifier = client_verifier(tls, folder, &provider)?;
    if tls.key.is_none() && tls.key_file.is_none() {
        return Err("missing key or key_file in tls_server_config".to_owned());
    }
    let cert = material("cert", tls.cert.as_deref(), tls.cert_file.as_deref(), folder)?
        .ok_or("missing cert or cert_file in tls_server_config")?;
    let key = material("key", tls.key.as_deref(), tls.key_file.as_deref(), folder)?
        .ok_or("missing key or key_file in tls_server_config")?;
    let chain = certificates("cert", &cert)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| format!("key: {error}"))?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| format!("tls_server_config: {error}"))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|error| format!("certificate and key: {error}"))?;
    config.alpn_protocols = if http2 { vec![b"h2".to_vec()] } else { Vec::new() };
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(Arc::new(config))
}

/// A PEM text given inline or by file.
fn material(
    name: &str,
    inline: Option<&str>,
    file: Option<&Path>,
    folder: &Path,
) -> Result<Option<String>, String> {
    match (inline.filter(|text| !text.is_empty()), file) {
        (Some(_), Some(_)) => Err(format!("only one of {name} and {name}_file may be given")),
        (Some(text), None) => Ok(Some(text.to_owned())),
        (None, Some(file)) => {
            let file = folder.join(file);
            let read = std::fs::read_to_string(&file);
            read.map(Some).map_err(|error| format!("{name}_file {}: {error}", file.display()))
        }
        (None, None) => Ok(None),
    }
}

fn certificates(name: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{name}: {error}"))?;
    if chain.is_empty() { Err(format!("{name}: no certificate in it")) } else { Ok(chain) }
}

fn client_verifier(
    tls: &TlsConfig,
    folder: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    if tls.client_allowed_sans.as_ref().is_some_and(|sans| !sans.is_empty()) {
        return Err("client_allowed_sans is not supported".to_owned());
    }
    let ca = material("client_ca", tls.client_ca.as_deref(), tls.client_ca_file.as_deref(), folder)?;
    let optional = match tls.client_auth_type.as_deref().unwrap_or("") {
        // A certificate that is asked for and not looked at is as good as none.
        "" | "NoClientCert" | "RequestClientCert" => {
            return match ca {
                None => Ok(None),
                Some(_) => Err("client CA's have been configured without a Client Auth Policy".to_owned()),
            };
        }
        "VerifyClientCertIfGiven" => true,
        "RequireAndVerifyClientCert" => false,
        other => {
            return Err(format!(
                "client_auth_type {other:?} is not supported, expected one of NoClientCert, \
                 RequestClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert"
            ));
        }
    };
    let ca = ca.ok_or("client_auth_type needs client CA's: client_ca or client_ca_file")?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca", &ca)? {
        roots.add(certificate).map_err(|error| format!("client_ca: {error}"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map(Some).map_err(|error| format!("client_ca: {error}"))
}

/// ring with the cipher suites and curves that the section names, in its order.
fn provider(tls: &TlsConfig) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    if let Some(names) = tls.cipher_suites.as_ref().filter(|names| !names.is_empty()) {
        let all = std::mem::take(&mut provider.cipher_suites);
        // Those of TLS 1.3 cannot be chosen, in Prometheus either.
        provider.cipher_suites.extend(all.iter().filter(|suite| suite.tls13().is_some()).copied());
        for name in names {
            // Go names the suites as the registry does, rustls puts TLS13 before its newer ones.
            let known =
                all.iter().find(|suite| format!("{:?}", suite.suite()).replace("TLS13_", "TLS_") == *name);
            let suite = known.ok_or_else(|| format!("unknown or unsafe cipher suite {name:?}"))?;
            if suite.tls13().is_none() {
                provider.cipher_suites.push(*suite);
            }
        }
    }
    if let Some(names) = tls.curve_preferences.as_ref().filter(|names| !names.is_empty()) {
        provider.kx_groups = names
            .iter()
            .map(|name| match name.as_str() {
                "CurveP256" => Ok(ring::kx_group::SECP256R1),
                "CurveP384" => Ok(ring::kx_group::SECP384R1),
                "X25519" => Ok(ring::kx_group::X25519),
                other => {
                    Err(format!("unknown curve {other:?}, expected one of CurveP256, CurveP384, X25519"))
                }
            })
            .collect::<Result<_, _>>()?;
    }
    Ok(provider)
}

fn versions(tls: &TlsConfig) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let number = |name: &str, text: Option<&str>, default: u8| match text {
        None | Some("") => Ok(default),
        Some("TLS12") => Ok(2),
        Some("TLS13") => Ok(3),
        Some(other) => Err(format!("{name} {other:?} is not supported, expected TLS12 or TLS13")),
    };
    let least = number("min_version", tls.min_version.as_deref(), 2)?;
    let most = number("max_version", tls.max_version.as_deref(), 3)?;
    let all: [(u8, &'static SupportedProtocolVersion); 2] = [(3, &version::TLS13), (2, &version::TLS12)];
    let chosen: Vec<_> = all
        .into_iter()
        .filter_map(|(number, version)| (least..=most).contains(&number).then_some(version))
        .collect();
    if chosen.is_empty() { Err("min_version is above max_version".to_owned()) } else { Ok(chosen) }
}
