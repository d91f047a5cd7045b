//! `--http.config.file`: how command line tools reach a server.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use client::HttpClientConfig;
use yaml::{Checker, View};

/// What holds without a file.
#[must_use]
pub fn plain() -> HttpClientConfig {
    HttpClientConfig { follow_redirects: true, enable_http2: true, ..HttpClientConfig::default() }
}

/// Reads a file with Prometheus's `<http_config>`.
///
/// # Errors
/// When it cannot be read, is wrong, or asks for what is not built.
pub fn load(path: &Path) -> Result<HttpClientConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("open {}", path.display()))?;
    let file: Arc<str> = Arc::from(&*path.to_string_lossy());
    let root = yaml::parse(&file, &text)?;
    let mut check = Checker::new(&file);
    check.object(&root, &yaml::http::HTTP);
    let base = path.parent().unwrap_or(Path::new(""));
    let config = yaml::client_config(View::of(&root), base, &mut check);
    if let Some(later) = check.finish()?.first() {
        bail!("{later}");
    }
    Ok(config)
}

/// A part of a URL as it was meant.
#[must_use]
pub fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("k={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}
