//! Delivery to a real server that refuses, is away, and comes back.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use discovery::StaticConfig;
use env::{SystemClock, SystemRandom, Tasks};
use model::Labels;
use parking_lot::Mutex;
use vedette_notifier::{Alert, AlertmanagerConfig, Notifier, NotifierConfig, NotifierOptions};

#[derive(Clone, Default)]
struct Alertmanager {
    status: Arc<Mutex<u16>>,
    taken: Arc<Mutex<Vec<serde_json::Value>>>,
}

async fn take(State(state): State<Alertmanager>, body: String) -> StatusCode {
    let status = StatusCode::from_u16(*state.status.lock()).expect("a status");
    if status.is_success() {
        let alerts: Vec<serde_json::Value> = serde_json::from_str(&body).expect("alerts");
        state.taken.lock().extend(alerts);
    }
    status
}

async fn listen(state: &Alertmanager, tasks: &Tasks) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let router = Router::new().route("/api/v2/alerts", post(take)).with_state(state.clone());
    let server = axum::serve(listener, router);
    tasks.spawn(async move { server.await.expect("served") });
    address
}

fn start(dir: &std::path::Path, address: &str, tasks: &Tasks) -> Arc<Notifier> {
    let options = NotifierOptions::new(dir);
    let registry = telemetry::Registry::new();
    let notifier =
        Notifier::new(options, SystemClock::shared(), SystemRandom::shared(), tasks.clone(), &registry);
    let statics = vec![StaticConfig { targets: vec![address.to_owned()], labels: Labels::empty() }];
    let alertmanagers = vec![AlertmanagerConfig { statics, ..AlertmanagerConfig::default() }];
    notifier.apply(NotifierConfig { alertmanagers, ..NotifierConfig::default() }).expect("valid");
    notifier
}

fn alert(name: &str, ends_at_ms: i64) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", name)]),
        annotations: Labels::empty(),
        starts_at_ms: 1_000,
        ends_at_ms,
        generator_url: String::new(),
    }
}

#[tokio::test]
async fn what_an_alertmanager_could_not_take_arrives_after_a_restart() {
    let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
    let state = Alertmanager { status: Arc::new(Mutex::new(503)), ..Alertmanager::default() };
    let address = listen(&state, &tasks).await;
    let first_life = Tasks::new();
    let notifier = start(dir.path(), &address, &first_life);
    notifier.send(&[alert("a", 9_000), alert("b", 9_000)]);
    notifier.send(&[alert("a", 2_000)]);
    first_life.stop();
    drop(notifier);
    *state.status.lock() = 200;
    let notifier = start(dir.path(), &address, &tasks);
    notifier.drain(Duration::from_secs(20)).await;
    let taken = state.taken.lock().clone();
    let mut seen: Vec<_> =
        taken.iter().map(|alert| (alert["labels"]["alertname"].as_str(), alert["endsAt"].as_str())).collect();
    seen.sort_unstable();
    assert_eq!(seen, [(Some("a"), Some("1970-01-01T00:00:02Z")), (Some("b"), Some("1970-01-01T00:00:09Z"))]);
}

#[tokio::test]
async fn a_batch_that_is_refused_for_good_does_not_block_the_next() {
    let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
    let state = Alertmanager { status: Arc::new(Mutex::new(400)), ..Alertmanager::default() };
    let address = listen(&state, &tasks).await;
    let notifier = start(dir.path(), &address, &tasks);
    notifier.send(&[alert("poison", 9_000)]);
    notifier.drain(Duration::from_secs(20)).await;
    *state.status.lock() = 200;
    notifier.send(&[alert("good", 9_000)]);
    notifier.drain(Duration::from_secs(20)).await;
    assert_eq!(state.taken.lock().len(), 1);
}
