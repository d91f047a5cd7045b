//! A webhook receiver that remembers every page, and may be slow or refuse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use env::SystemClock;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One page that arrived.
#[derive(Clone, Debug)]
pub struct Page {
    /// When it arrived, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The webhook's body.
    pub body: Value,
    /// The `Idempotency-Key` header, empty where there was none.
    pub key: String,
    /// Whether the sender was told 200 (it may have been gone by then).
    pub accepted: bool,
}

impl Page {
    /// `firing` or `resolved`.
    #[must_use]
    pub fn status(&self) -> &str {
        self.body["status"].as_str().unwrap_or("")
    }

    /// The names of the alerts on the page, in order.
    #[must_use]
    pub fn alert_names(&self) -> Vec<String> {
        let alerts = self.body["alerts"].as_array().cloned().unwrap_or_default();
        alerts.iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap_or("").to_owned()).collect()
    }
}

/// Draws how long the next answer takes.
type Delay = dyn Fn() -> Duration + Send + Sync;

#[derive(Clone, Default)]
struct Shared {
    pages: Arc<Mutex<Vec<Page>>>,
    delay: Arc<Mutex<Option<Arc<Delay>>>>,
    refuse: Arc<Mutex<bool>>,
}

/// A running sink.
pub struct Sink {
    address: SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Sink {
    /// Listens on a free loopback port.
    ///
    /// # Panics
    /// When no port is free.
    #[allow(clippy::disallowed_methods, reason = "the server ends with the sink")]
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Shared::default();
        let router = Router::new().route("/", post(receive)).with_state(shared.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, shared, server }
    }

    /// Where pages go.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The pages so far, in order of arrival.
    #[must_use]
    pub fn pages(&self) -> Vec<Page> {
        self.shared.pages.lock().clone()
    }

    /// The pages of one status that carry one alert.
    #[must_use]
    pub fn pages_of(&self, alert: &str, status: &str) -> Vec<Page> {
        let of = |page: &Page| page.status() == status && page.alert_names().iter().any(|name| name == alert);
        self.pages().into_iter().filter(of).collect()
    }

    /// Every answer takes as long as `draw` says; the page counts when it arrives.
    pub fn set_delay(&self, draw: impl Fn() -> Duration + Send + Sync + 'static) {
        *self.shared.delay.lock() = Some(Arc::new(draw));
    }

    /// Whether to answer 503 from now on.
    pub fn refuse(&self, refuse: bool) {
        *self.shared.refuse.lock() = refuse;
    }
}

async fn receive(State(shared): State<Shared>, headers: HeaderMap, body: String) -> StatusCode {
    let refused = *shared.refuse.lock();
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or("").to_owned();
    let body = serde_json::from_str(&body).unwrap_or(Value::Null);
    let at_ms = SystemClock::shared().now_ms();
    shared.pages.lock().push(Page { at_ms, body, key, accepted: !refused });
    let delay = shared.delay.lock().clone();
    if let Some(draw) = delay {
        tokio::time::sleep(draw()).await;
    }
    if refused { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}
