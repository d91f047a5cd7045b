//! What the caller decides about the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// Addresses, limits and names; the limits default to Prometheus's.
#[derive(Clone, Debug)]
pub struct WebOptions {
    /// Where to listen (`--web.listen-address`).
    pub listen: Vec<SocketAddr>,
    /// Prometheus's web-config file: TLS, headers, users (`--web.config.file`).
    pub config_file: Option<PathBuf>,
    /// Most connections at a time; more wait (`--web.max-connections`).
    pub max_connections: usize,
    /// Longest time to read a request's head, for a connection to stand idle, and for a TLS handshake
    /// (`--web.read-timeout`).
    pub read_timeout: Duration,
    /// Longest time for open requests to end after the stop was asked for.
    pub drain_timeout: Duration,
    /// The path that all routes live under, empty or `/` for none (`--web.route-prefix`).
    pub route_prefix: String,
    /// The address that users know the server by, empty where nobody said (`--web.external-url`).
    pub external_url: String,
    /// What the user interface is told.
    pub ui: UiInfo,
}

/// Which binary serves the user interface and what it can show.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UiInfo {
    /// `agent` or `federation`.
    pub binary: String,
    /// Names of the pages to show, such as `graph`, `targets`, `alerts`, `silences`, `cluster`.
    pub pages: Vec<String>,
}

impl WebOptions {
    /// Prometheus's defaults for one binary: 512 connections, 5 minutes, no prefix.
    #[must_use]
    pub fn new(listen: Vec<SocketAddr>, ui: UiInfo) -> Self {
        Self {
            listen,
            config_file: None,
            max_connections: 512,
            read_timeout: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(4),
            route_prefix: String::new(),
            external_url: String::new(),
            ui,
        }
    }

    /// The route prefix without its last slash: empty, or `/a/b`.
    pub(crate) fn prefix(&self) -> String {
        clean_prefix(&self.route_prefix)
    }

    /// The path that browsers see before the routes: the external URL's, else the route prefix.
    pub(crate) fn external_path(&self) -> String {
        let Some((_, rest)) = self.external_url.split_once("://") else { return self.prefix() };
        clean_prefix(rest.find('/').map_or("", |at| &rest[at..]))
    }
}

fn clean_prefix(text: &str) -> String {
    let inner = text.trim_matches('/');
    if inner.is_empty() { String::new() } else { format!("/{inner}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_start_with_a_slash_and_end_without() {
        let mut options = WebOptions::new(Vec::new(), UiInfo { binary: "agent".into(), pages: Vec::new() });
        for (route, external, prefix, path) in [
            ("", "", "", ""),
            ("/", "http://host:1", "", ""),
            ("prom/", "", "/prom", "/prom"),
            ("/", "https://host/a/b/", "", "/a/b"),
            ("/a/b", "https://host/c", "/a/b", "/c"),
        ] {
            options.route_prefix = route.to_owned();
            options.external_url = external.to_owned();
            assert_eq!((options.prefix(), options.external_path()), (prefix.to_owned(), path.to_owned()));
        }
    }
}
