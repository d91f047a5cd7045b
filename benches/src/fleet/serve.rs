//! The fleet over HTTP: every host's page under one address.
//!
//! - `/h/<host>/metrics`: the host's page at the slot that the clock says; 503 while it is down.
//! - `/targets.json`: all hosts for `file_sd_configs`.
//! - `/served.json`: what was served, by the first word of the readers' `User-Agent`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path as InPath, State};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::get;
use axum::{Router, http};
use env::SharedClock;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Fleet, targets_json};

/// Between two looks at whether the file of targets would change.
const LOOK: Duration = Duration::from_secs(5);
/// Readers that are told apart; the rest count as one.
const READERS_MAX: usize = 64;

/// What one reader got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Pages.
    pub pages: u64,
    /// Series on them.
    pub samples: u64,
    /// Bytes of their bodies as sent.
    pub bytes: u64,
}

/// A fleet's server, to be put behind a listener.
#[derive(Clone, Debug)]
pub struct Server(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    fleet: Fleet,
    clock: SharedClock,
    plain: bool,
    served: Mutex<BTreeMap<String, Served>>,
}

impl Server {
    /// Serves a fleet by a clock; `plain` never compresses, whatever a reader accepts.
    #[must_use]
    pub fn new(fleet: Fleet, clock: SharedClock, plain: bool) -> Self {
        Self(Arc::new(Shared { fleet, clock, plain, served: Mutex::default() }))
    }

    /// The fleet.
    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.0.fleet
    }

    /// The slot that it is now.
    #[must_use]
    pub fn slot(&self) -> u64 {
        self.0.fleet.plan().slot_at(self.0.clock.now_ms()).unwrap_or(0)
    }

    /// What was served so far, by reader.
    #[must_use]
    pub fn served(&self) -> BTreeMap<String, Served> {
        self.0.served.lock().clone()
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/h/{host}/metrics", get(metrics))
            .route("/targets.json", get(targets))
            .route("/served.json", get(served))
            .with_state(self)
    }

    /// Serves until it is dropped, and keeps the targets in a file where one is named.
    ///
    /// # Errors
    /// When the listener fails or the file cannot be written.
    pub async fn serve(self, listener: TcpListener, targets: Option<&Path>) -> io::Result<()> {
        let address = listener.local_addr()?.to_string();
        let keep = self.clone().keep_targets(&address, targets);
        tokio::select! {
            served = axum::serve(listener, self.router()) => served,
            kept = keep => kept,
        }
    }

    async fn keep_targets(self, address: &str, file: Option<&Path>) -> io::Result<()> {
        let Some(file) = file else { return std::future::pending().await };
        let mut written = String::new();
        loop {
            let text = targets_json(self.fleet().plan(), address, self.slot()).to_string();
            if text != written {
                // Readers see the old file or the new one.
                let new = file.with_extension("new");
                std::fs::write(&new, &text)?;
                std::fs::rename(&new, file)?;
                written = text;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn count(&self, headers: &HeaderMap, samples: usize, bytes: usize) {
        let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("-");
        let reader = agent.split(['/', ' ']).next().unwrap_or("-");
        let mut served = self.0.served.lock();
        let reader =
            if served.len() < READERS_MAX || served.contains_key(reader) { reader } else { "others" };
        let one = served.entry(reader.to_owned()).or_default();
        one.pages += 1;
        one.samples += samples as u64;
        one.bytes += bytes as u64;
    }
}

async fn metrics(State(server): State<Server>, InPath(host): InPath<usize>, headers: HeaderMap) -> Response {
    let Some(page) = server.fleet().page(host, server.slot()) else {
        let known = host < server.fleet().plan().hosts;
        let status = if known { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NOT_FOUND };
        return status.into_response();
    };
    let accepts = |value: &http::HeaderValue| value.to_str().is_ok_and(|text| text.contains("gzip"));
    let gzip = !server.0.plain && headers.get_all(ACCEPT_ENCODING).iter().any(accepts);
    let samples = page.series();
    let body = if gzip {
        // Longer than a reader of another page should wait for.
        let pressed = tokio::task::spawn_blocking(move || page.gzip().clone()).await;
        let Ok(pressed) = pressed else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
        pressed
    } else {
        page.body().clone()
    };
    server.count(&headers, samples, body.len());
    let response = Response::builder()
        .header(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")
        .header(VARY, "Accept-Encoding");
    let response = if gzip { response.header(CONTENT_ENCODING, "gzip") } else { response };
    response.body(Body::from(body)).unwrap_or_default()
}

async fn targets(State(server): State<Server>, headers: HeaderMap) -> Json<Value> {
    let address = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost");
    Json(targets_json(server.fleet().plan(), address, server.slot()))
}

async fn served(State(server): State<Server>) -> Json<Value> {
    let one =
        |served: Served| json!({ "pages": served.pages, "samples": served.samples, "bytes": served.bytes });
    Json(server.served().into_iter().map(|(reader, served)| (reader, one(served))).collect())
}
