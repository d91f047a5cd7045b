//! Stands between an exporter and its scraper, and keeps every page that it passes on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::routing::get;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::ask::Name;

/// A running recorder. Each page ends with `chaos_page N`, N counting from 1.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    pages: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Recorder {
    /// Serves what `upstream` (a URL) serves, on a free loopback port.
    ///
    /// # Panics
    /// When no port is free.
    #[allow(clippy::disallowed_methods, reason = "the server ends with the recorder")]
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let pages: Arc<Mutex<Vec<String>>> = Arc::default();
        let (shared, upstream) = (Arc::clone(&pages), upstream.to_owned());
        let pass = move || {
            let (pages, upstream) = (Arc::clone(&shared), upstream.clone());
            async move {
                let plain = [(CONTENT_TYPE, "text/plain; version=0.0.4")];
                let Ok(answer) = testkit::get(&upstream).await else {
                    return (StatusCode::BAD_GATEWAY, plain, String::new());
                };
                let mut pages = pages.lock();
                let page =
                    format!("{}# TYPE chaos_page gauge\nchaos_page {}\n", answer.body, pages.len() + 1);
                pages.push(page.clone());
                (StatusCode::OK, plain, page)
            }
        };
        let router = Router::new().route("/metrics", get(pass));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, pages, server }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The pages so far; the first is number 1.
    #[must_use]
    pub fn pages(&self) -> Vec<String> {
        self.pages.lock().clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Reads a page of the text format on its own terms: not with the parser that is under test.
///
/// # Panics
/// When a line is not understood.
#[must_use]
pub fn parse_page(page: &str) -> BTreeMap<Name, u64> {
    let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| parse_line(line).unwrap_or_else(|| panic!("not understood: {line}"))).collect()
}

fn parse_line(line: &str) -> Option<(Name, u64)> {
    let end = line.find(['{', ' '])?;
    let mut name = Name::from([("__name__".to_owned(), line[..end].to_owned())]);
    let mut rest = &line[end..];
    if let Some(labels) = rest.strip_prefix('{') {
        rest = labels;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            name.insert(label.to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    Some((name, rest.trim().parse::<f64>().ok()?.to_bits()))
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let page = parse_page("# HELP x y\nup 1\nx{a=\"b\\\"c\",d=\"e,f}\"} +Inf\nempty{} 1e+06\n");
        let name = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Name>()
        };
        let expected = BTreeMap::from([
            (name(&[("__name__", "up")]), 1f64.to_bits()),
            (name(&[("__name__", "x"), ("a", "b\"c"), ("d", "e,f}")]), f64::INFINITY.to_bits()),
            (name(&[("__name__", "empty")]), 1e6f64.to_bits()),
        ]);
        assert_eq!(page, expected);
    }
}
