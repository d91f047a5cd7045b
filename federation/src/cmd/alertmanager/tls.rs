//! `--cluster.tls-config`: the certificates that members show each other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use raft::TlsFiles;
use yaml::{Checker, Schema, Type, View, field};

use crate::grpc::GrpcTls;

static SERVER: Schema = Schema::new(
    "tls_server_config",
    &[
        field("cert_file", Type::Text),
        field("key_file", Type::Text),
        field("client_ca_file", Type::Text),
        field("client_auth_type", Type::Choice(&["RequireAndVerifyClientCert"])),
        field("min_version", Type::Text).later("choosing versions of TLS between members"),
        field("max_version", Type::Text).later("choosing versions of TLS between members"),
        field("cipher_suites", Type::TEXTS).later("choosing ciphers between members"),
        field("curve_preferences", Type::TEXTS).later("choosing curves between members"),
        field("prefer_server_cipher_suites", Type::Bool).later("choosing ciphers between members"),
        field("client_allowed_sans", Type::TEXTS)
            .later("choosing members by the names in their certificates"),
    ],
);

static FILE: Schema = Schema::new(
    "the file",
    &[
        field("tls_server_config", Type::Object(&SERVER)),
        field("tls_client_config", Type::Object(&yaml::http::TLS)),
    ],
);

/// Certificates for both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterTls {
    pub(crate) server: GrpcTls,
    pub(crate) client: TlsFiles,
}

/// Reads the file; paths in it are below its folder.
pub(super) fn load(path: &Path) -> Result<ClusterTls> {
    let text = std::fs::read_to_string(path)?;
    let file: Arc<str> = Arc::from(path.to_string_lossy().as_ref());
    let root = yaml::parse(&file, &text)?;
    let mut check = Checker::new(&file);
    check.object(&root, &FILE);
    let view = View::of(&root);
    let (server, client) = (view.map("tls_server_config"), view.map("tls_client_config"));
    if let Some(later) = check.finish()?.first() {
        bail!("{later}");
    }
    if client.flag("insecure_skip_verify") == Some(true) {
        bail!("tls_client_config.insecure_skip_verify: members always check each other");
    }
    let base = path.parent().unwrap_or(Path::new(""));
    let named = |section: View<'_>, name: &str, key: &str| -> Result<PathBuf> {
        match section.text(key) {
            Some(file) if !file.is_empty() => Ok(yaml::join(base, file)),
            _ => bail!("{name}.{key} is missing; expected a PEM file"),
        }
    };
    let (ours, theirs) = ("tls_server_config", "tls_client_config");
    Ok(ClusterTls {
        server: GrpcTls {
            cert: named(server, ours, "cert_file")?,
            key: named(server, ours, "key_file")?,
            client_ca: named(server, ours, "client_ca_file")?,
        },
        client: TlsFiles {
            ca: named(client, theirs, "ca_file")?,
            cert: named(client, theirs, "cert_file")?,
            key: named(client, theirs, "key_file")?,
            server_name: client.text("server_name").filter(|name| !name.is_empty()).map(str::to_owned),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("tls.yml");
        std::fs::write(&path, text).expect("written");
        match load(&path) {
            Ok(tls) => {
                format!("{} {:?}", tls.client.ca.strip_prefix(dir.path()).is_ok(), tls.client.server_name)
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn both_sections_are_needed_and_checked() {
        let server = "tls_server_config: {cert_file: c, key_file: k, client_ca_file: a, client_auth_type: RequireAndVerifyClientCert}\n";
        let client = "tls_client_config: {cert_file: c, key_file: k, ca_file: a, server_name: n}\n";
        assert_eq!(said(&format!("{server}{client}")), "true Some(\"n\")");
        for (text, part) in [
            (server.to_owned(), "tls_client_config.ca_file is missing"),
            (client.to_owned(), "tls_server_config.cert_file is missing"),
            (format!("{server}tls_client_config: {{insecure_skip_verify: true}}"), "always check each other"),
            ("tls_server_config: {client_auth_type: NoClientCert}".to_owned(), "client_auth_type"),
            ("tls_server_config: {min_version: TLS13}".to_owned(), "choosing versions"),
            ("other: 1".to_owned(), "other"),
        ] {
            assert!(said(&text).contains(part), "{text}: {}", said(&text));
        }
    }
}
