//! A checked `http_config` becomes the client's own settings.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use client::{Auth, HttpClientConfig, Proxy, Secret, Source, TlsConfig, TlsVersion};

use crate::node::Node;
use crate::view::View;
use crate::walk::Checker;

/// `path` as written, or below `base` where it is relative; an empty path stays empty.
#[must_use]
pub fn join(base: &Path, path: &str) -> PathBuf {
    if path.is_empty() { PathBuf::new() } else { base.join(path) }
}

/// The settings in a map that [`crate::http::HTTP`] has checked; relative files are below `base`.
/// Notes what the client cannot do.
pub fn client_config(view: View<'_>, base: &Path, check: &mut Checker) -> HttpClientConfig {
    HttpClientConfig {
        auth: auth(view, base),
        tls: tls_config(view.map("tls_config"), base, check),
        proxy: proxy(view, check),
        follow_redirects: view.flag("follow_redirects").unwrap_or(true),
        enable_http2: view.flag("enable_http2").unwrap_or(true),
        headers: headers(view, base, check),
    }
}

fn source(view: View<'_>, inline: &str, file: &str, base: &Path) -> Option<Source> {
    let written = view.text(inline).filter(|text| !text.is_empty()).map(Source::inline);
    written.or_else(|| {
        view.text(file).filter(|text| !text.is_empty()).map(|path| Source::File(join(base, path)))
    })
}

fn auth(view: View<'_>, base: &Path) -> Option<Auth> {
    let basic = view.map("basic_auth");
    if basic.node().is_some() {
        return Some(Auth::Basic {
            username: source(basic, "username", "username_file", base),
            password: source(basic, "password", "password_file", base),
        });
    }
    let authorization = view.map("authorization");
    let credentials = source(authorization, "credentials", "credentials_file", base)
        .or_else(|| source(view, "bearer_token", "bearer_token_file", base));
    if authorization.node().is_none() && credentials.is_none() {
        return None;
    }
    let scheme = authorization.text("type").map(str::trim).filter(|scheme| !scheme.is_empty());
    Some(Auth::Header {
        scheme: scheme.unwrap_or("Bearer").to_owned(),
        credentials: credentials.unwrap_or_else(|| Source::inline("")),
    })
}

/// The settings in a map that [`crate::http::TLS`] has checked.
pub fn tls_config(view: View<'_>, base: &Path, check: &mut Checker) -> TlsConfig {
    let cert = source(view, "cert", "cert_file", base);
    let key = source(view, "key", "key_file", base);
    let mut version = |name: &str| match view.text(name) {
        None => None,
        Some("TLS13") => Some(TlsVersion::Tls13),
        Some("TLS12") => Some(TlsVersion::Tls12),
        Some(old) => {
            // An older minimum allows everything that is spoken here; an older maximum nothing.
            if name == "max_version" {
                check.later(view.value_at(name), &format!("{name}: {old}"), "TLS older than 1.2");
            }
            None
        }
    };
    TlsConfig {
        min_version: version("min_version"),
        max_version: version("max_version"),
        ca: source(view, "ca", "ca_file", base),
        identity: cert.zip(key),
        server_name: view.text("server_name").filter(|name| !name.is_empty()).map(str::to_owned),
        insecure_skip_verify: view.flag("insecure_skip_verify").unwrap_or(false),
    }
}

fn proxy(view: View<'_>, check: &mut Checker) -> Proxy {
    let mut connect_headers = Vec::new();
    for entry in view.get("proxy_connect_header").map_or(&[][..], Node::entries) {
        match http::HeaderName::from_str(&entry.key) {
            Ok(name) => connect_headers.extend(
                entry
                    .value
                    .items()
                    .iter()
                    .map(|value| (name.clone(), Secret::new(value.text().unwrap_or_default()))),
            ),
            Err(_) => check.error(entry.at, format!("{:?} is no header name", entry.key)),
        }
    }
    if view.flag("proxy_from_environment") == Some(true) {
        return Proxy::Environment { connect_headers };
    }
    // A configuration that was shown with its secrets masked must load again.
    let Some(text) = view.text("proxy_url").filter(|text| !text.is_empty() && *text != "<secret>") else {
        return Proxy::None;
    };
    match url::Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => {
            Proxy::Url { url, no_proxy: view.text_or_empty("no_proxy").to_owned(), connect_headers }
        }
        Ok(url) if matches!(url.scheme(), "https" | "socks5" | "socks5h") => {
            check.later(
                view.value_at("proxy_url"),
                "proxy_url",
                &format!("a proxy spoken to by {}", url.scheme()),
            );
            Proxy::None
        }
        // Go takes such a text for a URL, and finds no proxy there when it sends.
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            check.later(view.value_at("proxy_url"), "proxy_url", "a proxy without scheme and host");
            Proxy::None
        }
        _ => {
            check.error(
                view.value_at("proxy_url"),
                "proxy_url is no URL of a proxy; expected http://host:port",
            );
            Proxy::None
        }
    }
}

fn headers(view: View<'_>, base: &Path, check: &mut Checker) -> Vec<(http::HeaderName, Source)> {
    let mut found = Vec::new();
    for entry in view.get("http_headers").map_or(&[][..], Node::entries) {
        let Ok(name) = http::HeaderName::from_str(&entry.key) else {
            check.error(entry.at, format!("{:?} is no header name", entry.key));
            continue;
        };
        let values = View::of(&entry.value);
        let inline = values.texts("values").into_iter().chain(values.texts("secrets")).map(Source::inline);
        let files = values.texts("files").into_iter().map(|path| Source::File(join(base, &path)));
        found.extend(inline.chain(files).map(|source| (name.clone(), source)));
    }
    found
}
