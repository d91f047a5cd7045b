//! API v2 as clients see it: exact bodies, codes and headers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use env::{SeededRandom, SimulatedClock, Tasks};
use tower::ServiceExt as _;

use crate::config::AlertmanagerConfig;
use crate::matcher::MatcherMode;
use crate::{Alertmanager, LeaderId, LocalJournal, LocalLease, Options, Parts, Peer, Settings, SharedState};

const CONFIG: &str = "\
route: {receiver: default, group_by: [job], routes: [{receiver: pager, matchers: ['severity=\"page\"']}]}
inhibit_rules: [{source_matchers: ['severity=\"page\"'], target_matchers: ['severity=\"warn\"'], equal: [job]}]
receivers: [{name: default}, {name: pager}]
";

/// 2023-11-14T22:13:20Z.
const NOW: i64 = 1_700_000_000_000;

struct Server {
    router: Router,
    clock: Arc<SimulatedClock>,
    tasks: Tasks,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let config =
            AlertmanagerConfig::parse(CONFIG, "am.yml".as_ref(), MatcherMode::Fallback).expect("good");
        let settings = Settings::from_config::<()>(&config, "http://am", |_| Ok(Vec::new())).expect("good");
        let (state, clock, tasks) = (SharedState::new(), SimulatedClock::at(NOW), Tasks::new());
        let leader = LeaderId { term: 1, node: 1 };
        let peer = Peer { name: "n".to_owned(), address: "127.0.0.1:9094".to_owned(), alive: true };
        let parts = Parts {
            journal: Arc::new(LocalJournal::new(state.clone(), leader)),
            lease: Arc::new(LocalLease::new(leader, Duration::ZERO, peer)),
            state,
            settings,
            options: Options::new("n", dir.path().to_owned()),
            clock: Arc::clone(&clock) as env::SharedClock,
            random: SeededRandom::shared(1),
            tasks: tasks.clone(),
            registry: telemetry::Registry::new(),
        };
        Self { router: Alertmanager::start(parts).router(), clock, tasks, _dir: dir }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned()));
        let response = self.router.clone().oneshot(request.expect("a request")).await.expect("an answer");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    async fn get(&self, path: &str) -> String {
        let (status, body) = self.ask("GET", path, "").await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

const PAGE: &str = r#"{"labels":{"alertname":"A","job":"j","severity":"page"},"annotations":{"s":"t"},"generatorURL":"http://p"}"#;
const WARN: &str = r#"{"labels":{"alertname":"B","job":"j","severity":"warn","empty":""},"startsAt":"0001-01-01T00:00:00.000Z"}"#;

#[tokio::test]
async fn alerts_are_stored_and_shown() {
    let server = Server::start();
    assert_eq!(server.get("/api/v2/alerts").await, "[]\n");
    let answer = server.ask("POST", "/api/v2/alerts", &format!("[{PAGE},{WARN}]")).await;
    assert_eq!(answer, (StatusCode::OK, String::new()));
    let page = concat!(
        r#"{"annotations":{"s":"t"},"endsAt":"2023-11-14T22:18:20.000Z","fingerprint":"FP","receivers":[{"name":"pager"}],"#,
        r#""startsAt":"2023-11-14T22:13:20.000Z","status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":"active"},"#,
        r#""updatedAt":"2023-11-14T22:13:20.000Z","generatorURL":"http://p","labels":{"alertname":"A","job":"j","severity":"page"}}"#
    );
    let labels = model::Labels::from_pairs([("alertname", "A"), ("job", "j"), ("severity", "page")]);
    let fingerprint = crate::Fingerprint::of(&labels).to_string();
    let page = page.replace("FP", &fingerprint);
    assert_eq!(server.get("/api/v2/alerts?receiver=pag.*").await, format!("[{page}]\n"));
    let warn = server.get("/api/v2/alerts?filter=alertname%3D%22B%22").await;
    assert!(
        warn.contains(&format!(r#""inhibitedBy":["{fingerprint}"]"#))
            && warn.contains(r#""state":"suppressed""#)
    );
    assert!(!warn.contains("empty"), "{warn}");
    let count = |body: String| body.matches("\"fingerprint\"").count();
    for (query, want) in [
        ("", 2),
        ("?inhibited=false", 1),
        ("?active=false", 1),
        ("?active=false&inhibited=false", 0),
        ("?receiver=page", 0),
        ("?filter=job%3D%22j%22&filter=severity%3D~%22p.*%22", 1),
    ] {
        assert_eq!(count(server.get(&format!("/api/v2/alerts{query}")).await), want, "{query}");
    }
    let groups = server.get("/api/v2/alerts/groups").await;
    let shape = r#""labels":{"job":"j"},"receiver":{"name":"pager"},"routeLabels":{}}]"#;
    assert!(
        groups.starts_with(r#"[{"alerts":[{"annotations""#) && groups.trim_end().ends_with(shape),
        "{groups}"
    );
    server.clock.advance(Duration::from_secs(301));
    assert_eq!(server.get("/api/v2/alerts").await, "[]\n", "over by the resolve timeout");
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_the_rest_is_stored() {
    let server = Server::start();
    let (status, body) = server.ask("POST", "/api/v2/alerts", &format!("[{{\"labels\":{{}}}},{PAGE}]")).await;
    assert_eq!((status, body.as_str()), (StatusCode::BAD_REQUEST, "\"at least one label pair required\"\n"));
    assert!(server.get("/api/v2/alerts").await.contains("pager"));
    for (method, path, body, want) in [
        ("POST", "/api/v2/alerts", "[{", 400),
        ("POST", "/api/v2/alerts", r#"[{"labels":{"a":"b"},"startsAt":"soon"}]"#, 400),
        ("GET", "/api/v2/alerts?filter=%7B", "", 400),
        ("GET", "/api/v2/alerts?receiver=%28", "", 400),
        ("GET", "/api/v2/silence/no-uuid", "", 422),
        ("GET", "/api/v2/silence/6d0d6b3b-3f0e-4f6e-9a3c-000000000000", "", 404),
        ("DELETE", "/api/v2/silence/6d0d6b3b-3f0e-4f6e-9a3c-000000000000", "", 404),
        ("POST", "/api/v2/silences", "{}", 422),
        ("GET", "/api/v2/nothing", "", 404),
    ] {
        assert_eq!(server.ask(method, path, body).await.0.as_u16(), want, "{method} {path} {body}");
    }
}

fn silence(id: &str, name: &str, value: &str, ends: &str) -> String {
    format!(
        r#"{{"id":"{id}","matchers":[{{"name":"{name}","value":"{value}","isRegex":false}}],"startsAt":"2023-11-14T22:13:20Z","endsAt":"{ends}","createdBy":"me","comment":"c"}}"#
    )
}

#[tokio::test]
async fn silences_are_made_changed_and_ended() {
    let server = Server::start();
    server.ask("POST", "/api/v2/alerts", &format!("[{PAGE}]")).await;
    let made = server.ask("POST", "/api/v2/silences", &silence("", "job", "j", "2023-11-14T23:00:00Z")).await;
    assert_eq!(made.0, StatusCode::OK);
    let id = made.1.trim_start_matches("{\"silenceID\":\"").trim_end_matches("\"}\n").to_owned();
    let shown = format!(
        concat!(
            r#"{{"id":"{}","status":{{"state":"active"}},"updatedAt":"2023-11-14T22:13:20.000Z","comment":"c","createdBy":"me","#,
            r#""endsAt":"2023-11-14T23:00:00.000Z","matchers":[{{"isEqual":true,"isRegex":false,"name":"job","value":"j"}}],"#,
            r#""startsAt":"2023-11-14T22:13:20.000Z"}}"#
        ),
        id
    );
    assert_eq!(server.get(&format!("/api/v2/silence/{id}")).await, format!("{shown}\n"));
    assert_eq!(server.get("/api/v2/silences?filter=job%3D%22j%22").await, format!("[{shown}]\n"));
    assert_eq!(server.get("/api/v2/silences?filter=job%3D%22k%22").await, "[]\n");
    assert_eq!(server.get("/api/v2/alerts?silenced=false").await, "[]\n");
    let longer =
        server.ask("POST", "/api/v2/silences", &silence(&id, "job", "j", "2023-11-14T23:30:00Z")).await;
    assert!(longer.1.contains(&id), "an extension keeps the id");
    let other =
        server.ask("POST", "/api/v2/silences", &silence(&id, "job", "k", "2023-11-14T23:30:00Z")).await;
    assert!(other.0 == StatusCode::OK && !other.1.contains(&id), "other matchers make another silence");
    assert!(server.get(&format!("/api/v2/silence/{id}")).await.contains(r#""state":"expired""#));
    let second = server.ask("DELETE", &format!("/api/v2/silence/{id}"), "").await;
    assert_eq!(second, (StatusCode::OK, String::new()));
    for (body, want) in [
        (
            silence("", "job", "", "2023-11-14T23:00:00Z"),
            "invalid silence: at least one matcher must not match the empty string",
        ),
        (
            silence("", "", "j", "2023-11-14T23:00:00Z"),
            "invalid silence: invalid label matcher 0: invalid label name \\\"\\\"",
        ),
        (
            silence("", "job", "j", "2023-11-14T22:13:20Z"),
            "failed to create silence: start time must be before end time",
        ),
    ] {
        assert_eq!(
            server.ask("POST", "/api/v2/silences", &body).await,
            (StatusCode::BAD_REQUEST, format!("\"{want}\"\n"))
        );
    }
    let unknown = silence("6d0d6b3b-3f0e-4f6e-9a3c-000000000000", "job", "j", "2023-11-14T23:00:00Z");
    assert_eq!(server.ask("POST", "/api/v2/silences", &unknown).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn status_and_receivers_are_as_amtool_expects() {
    let server = Server::start();
    let status = server.get("/api/v2/status").await;
    let start = r#"{"cluster":{"name":"n","peers":[{"address":"127.0.0.1:9094","name":"n"}],"status":"ready"},"config":{"original":""#;
    assert!(status.starts_with(start), "{status}");
    assert!(
        status.contains(r#""uptime":"2023-11-14T22:13:20.000Z""#) && status.contains(r#""version":"0.34."#),
        "{status}"
    );
    let receivers =
        r#"[{"labels":{"name":"default"},"name":"default"},{"labels":{"name":"pager"},"name":"pager"}]"#;
    assert_eq!(server.get("/api/v2/receivers").await, format!("{receivers}\n"));
}
