//! What the tests of integrations share: a server that remembers, a notification, receivers made of a text.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alertmanager::config::AlertmanagerConfig;
use alertmanager::matcher::MatcherMode;
use alertmanager::{Alert, Notification, Notifier, NotifyAlert, NotifyError, NotifyOutcome, Reason, Sent};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request as Incoming, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use env::{SharedClock, SimulatedClock, Tasks};
use model::Labels;
use vedette_integrations::{Context, Endpoints, build};

/// The identity of every notification.
pub(crate) const NID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// 2024-02-29 13:04:05.678 UTC.
pub(crate) const NOW: i64 = 1_709_211_845_678;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Request>>,
    answers: Mutex<VecDeque<Answer>>,
}

/// A server that answers what it was told, and 200 when it was told nothing.
pub(crate) struct Sink {
    address: String,
    shared: Arc<Shared>,
    tasks: Tasks,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let (shared, tasks) = (Arc::new(Shared::default()), Tasks::new());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let stop = tasks.clone();
        tasks.spawn(async move {
            let serve = axum::serve(listener, app);
            let _ = serve.with_graceful_shutdown(async move { stop.stopping().await }).await;
        });
        Self { address, shared, tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests since the last time.
    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.seen.lock().expect("no panic"))
    }

    /// The answer to the next request that has none yet: a status, a content type, headers.
    pub(crate) fn will_answer(&self, args: &[String], body: &str) {
        let status = args.first().and_then(|it| it.parse().ok()).expect("a status");
        let header = |it: &String| match it.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => ("content-type".to_owned(), it.clone()),
        };
        let headers = args.iter().skip(1).map(header).collect();
        let answer = Answer { status, headers, body: body.to_owned() };
        self.shared.answers.lock().expect("no panic").push_back(answer);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Incoming) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 10 << 20).await.expect("a body");
    shared.seen.lock().expect("no panic").push(Request {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).expect("text"),
    });
    let Some(answer) = shared.answers.lock().expect("no panic").pop_front() else {
        return StatusCode::OK.into_response();
    };
    let mut response = (answer.status, answer.body).into_response();
    response.headers_mut().remove("content-type");
    for (name, value) in answer.headers {
        let name = axum::http::HeaderName::try_from(name).expect("a name");
        response.headers_mut().insert(name, value.parse().expect("a value"));
    }
    response
}

/// The integrations of a receiver, written as alertmanager.yml writes them.
pub(crate) fn built(global: &str, receiver: &str, sink: &str) -> Vec<Arc<dyn Notifier>> {
    try_built(global, receiver, sink).expect("a good configuration")
}

pub(crate) fn try_built(global: &str, receiver: &str, sink: &str) -> Result<Vec<Arc<dyn Notifier>>, String> {
    let text = format!(
        "{global}\nroute: {{receiver: team}}\nreceivers:\n- name: team\n{}",
        receiver.lines().map(|line| format!("  {line}\n")).collect::<String>()
    );
    let config = AlertmanagerConfig::parse(&text, Path::new("/etc/am/a.yml"), MatcherMode::Fallback)
        .map_err(|errors| format!("{errors}\n{text}"))?;
    assert!(config.unsupported().is_empty(), "{:?}", config.unsupported());
    let context = Context {
        endpoints: Endpoints {
            pagerduty_v1: format!("{sink}/v1/create_event.json"),
            pushover: format!("{sink}/1/messages.json"),
        },
        ..Context::load(&[], clock()).expect("the default templates")
    };
    build(&config.receivers[0], &context).map_err(|error| error.to_string())
}

pub(crate) fn clock() -> SharedClock {
    SimulatedClock::at(NOW)
}

/// A notification: `firing` or `resolved`; `again`: not the first; `KEY=VALUE`: remembered from the last one;
/// `long`: with an annotation of 600 kB.
pub(crate) fn notification(args: &[String]) -> Notification {
    let firing = args.first().is_some_and(|it| it == "firing");
    let has = |word: &str| args.iter().any(|it| it == word);
    let alert = |instance: &str, resolved| {
        let mut annotations = BTreeMap::from([("summary".to_owned(), "a < b & \"c\"".to_owned())]);
        if has("long") {
            annotations.insert("text".to_owned(), "x".repeat(600_000));
        }
        NotifyAlert {
            alert: Arc::new(Alert {
                labels: Labels::from_pairs([
                    ("alertname", "Down"),
                    ("instance", instance),
                    ("severity", "critical"),
                ]),
                annotations,
                generator_url: "http://prom/graph?g0.expr=up".to_owned(),
                starts_at: NOW - 3_600_000,
                ends_at: NOW,
                updated_at: NOW,
                timeout: false,
            }),
            resolved,
        }
    };
    let remembered = args.iter().filter_map(|it| it.split_once('='));
    Notification {
        receiver: Arc::from("team"),
        group_key: Arc::from("{}/{team=\"db\"}:{alertname=\"Down\"}"),
        reason: if has("again") { Reason::Repeat } else { Reason::First },
        group_labels: Labels::from_pairs([("alertname", "Down")]),
        route_labels: BTreeMap::from([("team".to_owned(), "{{ .CommonLabels.severity }}-db".to_owned())]),
        external_url: "http://am:9093".to_owned(),
        alerts: vec![alert("a:1", !firing), alert("b:2", true)],
        receiver_data: remembered.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    }
}

/// What the alertmanager is told, as text.
pub(crate) fn shown_outcome(outcome: Result<NotifyOutcome, NotifyError>) -> String {
    match outcome {
        Ok(outcome) => {
            let mut out = "accepted\n".to_owned();
            for (name, value) in outcome.receiver_data {
                out.push_str(&format!("remember {name}={value}\n"));
            }
            out
        }
        Err(error) => {
            let retry = if error.retry { "retry" } else { "permanent" };
            let sent = if error.sent == Sent::Maybe { ", perhaps sent" } else { "" };
            let wait = error
                .retry_after
                .map_or_else(String::new, |it: Duration| format!(", after {} s", it.as_secs()));
            format!("{retry}{sent}{wait}, {}\n{error}\n", error.reason.as_str())
        }
    }
}
