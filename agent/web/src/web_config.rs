//! Prometheus's web-config file: read, checked, resolved against its own folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderName, HeaderValue};
use rustls::ServerConfig;
use serde::Deserialize;

use crate::tls::{self, TlsConfig};

/// The only headers that the file may set, as in Prometheus's exporter toolkit.
const HEADERS_ALLOWED: [&str; 5] = [
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
    "x-xss-protection",
    "content-security-policy",
];

/// A web-config file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", file.display())]
pub struct WebConfigError {
    /// The web-config file.
    pub file: PathBuf,
    /// What is wrong, with line and column where the YAML is.
    pub what: String,
}

/// Reads a web-config file with all the files that it names, as a start would.
///
/// # Errors
/// When the file, or a certificate or key that it names, cannot be read or used.
pub fn check_web_config(file: &Path) -> Result<(), WebConfigError> {
    Loaded::read(file).map(drop)
}

/// The file as YAML has it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(default)]
    tls_server_config: Option<TlsConfig>,
    #[serde(default)]
    http_server_config: Option<RawHttp>,
    #[serde(default)]
    basic_auth_users: Option<BTreeMap<String, String>>,
    /// Prometheus's own limit on failed logins; ours is the bcrypt queue.
    #[serde(default)]
    rate_limit: Option<RawRateLimit>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    #[serde(default)]
    http2: Option<bool>,
    #[serde(default)]
    headers: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRateLimit {
    #[serde(default)]
    burst: Option<u64>,
    #[serde(default)]
    interval: Option<String>,
}

/// A checked file, ready for use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    /// How to speak TLS, or that nobody does.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Whether HTTP/2 is offered.
    pub(crate) http2: bool,
    /// Headers for every answer.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Users and their bcrypt hashes; empty means that everybody may.
    pub(crate) users: BTreeMap<String, String>,
    /// The files behind this, with what they looked like.
    files: Vec<(PathBuf, Option<SystemTime>)>,
}

impl Loaded {
    /// No file: no TLS, no users.
    pub(crate) fn open() -> Self {
        Self { http2: true, ..Self::default() }
    }

    /// Reads and checks a file.
    pub(crate) fn read(file: &Path) -> Result<Self, WebConfigError> {
        let fail = |what: String| WebConfigError { file: file.to_owned(), what };
        let text = std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
        let raw: Option<RawConfig> =
            serde_saphyr::from_str(&text).map_err(|error| fail(error.to_string()))?;
        let raw = raw.unwrap_or_default();
        if raw.rate_limit.is_some_and(|limit| limit.burst.is_some() || limit.interval.is_some()) {
            return Err(fail("rate_limit is not supported".to_owned()));
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        let http = raw.http_server_config.unwrap_or(RawHttp { http2: None, headers: None });
        let http2 = http.http2.unwrap_or(true);
        let mut files = vec![file.to_owned()];
        let tls = match &raw.tls_server_config {
            Some(tls) => {
                files.extend(tls.files(folder));
                Some(tls::server_config(tls, folder, http2).map_err(&fail)?)
            }
            None => None,
        };
        let users = raw.basic_auth_users.unwrap_or_default();
        for (user, hash) in &users {
            bcrypt::HashParts::from_str(hash)
                .map_err(|error| fail(format!("basic_auth_users: {user:?}: not a bcrypt hash: {error}")))?;
        }
        let headers = check_headers(http.headers.unwrap_or_default()).map_err(fail)?;
        let files = files.into_iter().map(|file| (file.clone(), modified(&file))).collect();
        Ok(Self { tls, http2, headers, users, files })
    }

    /// Whether a file behind this changed since it was read.
    pub(crate) fn is_outdated(&self) -> bool {
        self.files.iter().any(|(file, was)| modified(file) != *was)
    }

    /// Takes note of how the files look now, so that a broken change is tried once.
    pub(crate) fn keep_with_new_times(&self) -> Self {
        let mut kept = self.clone();
        for (file, time) in &mut kept.files {
            *time = modified(file);
        }
        kept
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

fn check_headers(
    headers: BTreeMap<String, Option<String>>,
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let mut checked = Vec::new();
    for (name, value) in headers {
        let value = value.unwrap_or_default();
        if !HEADERS_ALLOWED.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!("HTTP header {name:?} can not be configured"));
        }
        if value.is_empty() {
            continue;
        }
        let parsed = HeaderName::from_str(&name).ok().zip(HeaderValue::from_str(&value).ok());
        checked.push(parsed.ok_or_else(|| format!("HTTP header {name:?} has an invalid value"))?);
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Loaded, WebConfigError> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("web.yml");
        std::fs::write(&file, text).expect("written");
        Loaded::read(&file)
    }

    #[test]
    fn an_empty_file_protects_nothing() {
        for text in ["", "# nothing\n", "basic_auth_users:\n"] {
            let loaded = read(text).expect(text);
            assert!(loaded.tls.is_none() && loaded.users.is_empty() && loaded.http2, "{text:?}");
        }
    }

    #[test]
    fn wrong_files_are_refused_by_name() {
        for (text, part) in [
            ("basic_auth_user: {}\n", "basic_auth_user"),
            ("basic_auth_users: {ann: secret}\n", "not a bcrypt hash"),
            ("http_server_config: {headers: {X-Powered-By: us}}\n", "can not be configured"),
            ("tls_server_config: {cert_file: a.pem}\n", "key"),
            ("tls_server_config: {cert_file: a.pem, key_file: b.pem}\n", "a.pem"),
            ("tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}\n", "TLS10"),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAnyClientCert}\n",
                "RequireAnyClientCert",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}\n",
                "client CA",
            ),
            ("tls_server_config: [1\n", "web.yml"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(part) && error.contains("web.yml"), "{text:?}: {error}");
        }
    }

    #[test]
    fn headers_are_read() {
        let loaded =
            read("http_server_config:\n  http2: false\n  headers: {X-Frame-Options: deny}\n").expect("valid");
        assert!(!loaded.http2);
        assert_eq!(loaded.headers[0].0, "x-frame-options");
    }
}
