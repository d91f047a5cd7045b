//! The user interface, built into the binary, and what it needs to know about its server.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};
use serde::Serialize;

use crate::options::{UiInfo, WebOptions};

/// The built user interface; empty where it was not built.
#[derive(RustEmbed)]
#[folder = "ui/dist"]
#[allow_missing = true]
struct Dist;

/// Paths that the one page shows; it finds out itself what each means.
const PAGES: [&str; 12] = [
    "/",
    "/graph",
    "/query",
    "/alerts",
    "/targets",
    "/rules",
    "/silences",
    "/cluster",
    "/status",
    "/config",
    "/flags",
    "/service-discovery",
];

/// Where the built page says that it lives.
const BUILT_BASE: &str = "<base href=\"/\" />";

/// Shown instead of the interface where that was not built.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Vedette</title></head>\
<body><h1>Vedette is running</h1><p>This binary was built without its user interface \
(<code>npm run build</code> in <code>agent/web/ui</code>, then build again).</p>\
<p>The API is at <a href=\"api/v1/status/buildinfo\">/api/v1</a>, the metrics are at \
<a href=\"metrics\">/metrics</a>.</p></body></html>\n";

/// What `/vedette/ui.json` says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UiState {
    #[serde(flatten)]
    info: UiInfo,
    external_url: String,
    path_prefix: String,
}

impl UiState {
    pub(crate) fn new(options: &WebOptions) -> Arc<Self> {
        Arc::new(Self {
            info: options.ui.clone(),
            external_url: options.external_url.clone(),
            path_prefix: options.external_path(),
        })
    }
}

/// `/vedette/ui.json`: which binary this is, which pages it has, where it lives.
pub(crate) async fn describe(State(ui): State<Arc<UiState>>) -> Response {
    ([(header::CACHE_CONTROL, "no-cache")], axum::Json(&*ui)).into_response()
}

/// Whatever no route took: a page, a file of the interface, or nothing.
pub(crate) async fn serve(State(ui): State<Arc<UiState>>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_found();
    }
    let path = request.uri().path();
    let is_page = PAGES.iter().any(|page| {
        let below = path.strip_prefix(page);
        path == *page || *page != "/" && below.is_some_and(|rest| rest.starts_with('/'))
    });
    if is_page {
        return shell(&ui);
    }
    file(path.trim_start_matches('/'), request.headers())
}

/// The one page, told where it lives.
fn shell(ui: &UiState) -> Response {
    let html = Dist::get("index.html")
        .map_or_else(|| NOT_BUILT.to_owned(), |file| String::from_utf8_lossy(&file.data).into_owned());
    let base = format!("<base href=\"{}/\">", escape(&ui.path_prefix));
    let html = if html.contains(BUILT_BASE) {
        html.replacen(BUILT_BASE, &base, 1)
    } else {
        html.replacen("<head>", &format!("<head>{base}"), 1)
    };
    let kind = (header::CONTENT_TYPE, "text/html; charset=utf-8");
    ([kind, (header::CACHE_CONTROL, "no-cache")], html).into_response()
}

/// A file of the interface, compressed ahead of time where there is such a copy and the client takes it.
fn file(name: &str, headers: &HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT_ENCODING).and_then(|accept| accept.to_str().ok());
    let gzip = accepts.is_some_and(|accept| {
        accept.split(',').any(|entry| {
            let (coding, weight) = entry.split_once(';').unwrap_or((entry, ""));
            coding.trim() == "gzip" && weight.trim() != "q=0"
        })
    });
    let compressed = gzip.then(|| Dist::get(&format!("{name}.gz"))).flatten();
    match (Dist::get(name), compressed) {
        (Some(plain), Some(compressed)) => {
            let mut response = send(name, &plain, compressed.data.into_owned());
            response.headers_mut().insert(header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
            response
        }
        (Some(plain), None) => {
            let body = plain.data.clone().into_owned();
            send(name, &plain, body)
        }
        (None, _) => not_found(),
    }
}

fn send(name: &str, file: &EmbeddedFile, body: Vec<u8>) -> Response {
    // Names below assets/ carry a hash of their content, so what they stand for never changes.
    let cache = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let kind = file.metadata.mimetype().to_owned();
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, cache.to_owned()),
            (header::VARY, "Accept-Encoding".to_owned()),
        ],
        body,
    )
        .into_response()
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")], "404 page not found\n")
        .into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}
