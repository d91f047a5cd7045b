//! The webhook against a real HTTP server.

use std::sync::{Arc, Mutex};

use alertmanager::{Alert, Reason};
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use client::HttpClientConfig;
use env::Tasks;
use model::Labels;

use super::*;

fn notification(firing: bool) -> Notification {
    let alert = |instance: &str, resolved| NotifyAlert {
        alert: Arc::new(Alert {
            labels: Labels::from_pairs([("alertname", "Down"), ("instance", instance)]),
            annotations: BTreeMap::from([("summary".to_owned(), "a < b & c".to_owned())]),
            generator_url: "http://p/graph?g0.expr=up".to_owned(),
            starts_at: 1_500,
            ends_at: 61_000,
            updated_at: 1_500,
            timeout: false,
        }),
        resolved,
    };
    Notification {
        receiver: Arc::from("team.x"),
        group_key: Arc::from("{}:{alertname=\"Down\"}"),
        reason: Reason::First,
        group_labels: Labels::from_pairs([("alertname", "Down")]),
        route_labels: BTreeMap::new(),
        external_url: "http://am".to_owned(),
        alerts: vec![alert("a", !firing), alert("b", true)],
        receiver_data: Vec::new(),
    }
}

#[test]
fn the_body_is_alertmanagers() {
    let one = r#"{"status":"firing","labels":{"alertname":"Down","instance":"a"},"annotations":{"summary":"a \u003c b \u0026 c"},"startsAt":"1970-01-01T00:00:01.5Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p/graph?g0.expr=up","fingerprint":"FP"}"#;
    let fingerprint = notification(true).alerts[0].fingerprint().to_string();
    let want = format!(
        "{{\"receiver\":\"team\\\\.x\",\"status\":\"firing\",\"alerts\":[{}],\"notification_reason\":\"first notification\",\
         \"groupLabels\":{{\"alertname\":\"Down\"}},\"commonLabels\":{{\"alertname\":\"Down\",\"instance\":\"a\"}},\
         \"commonAnnotations\":{{\"summary\":\"a \\u003c b \\u0026 c\"}},\"routeLabels\":{{}},\"externalURL\":\"http://am\",\
         \"version\":\"4\",\"groupKey\":\"{{}}:{{alertname=\\\"Down\\\"}}\",\"truncatedAlerts\":1}}\n",
        one.replace("FP", &fingerprint)
    );
    assert_eq!(String::from_utf8(body(&notification(true), 1)).expect("UTF-8"), want);
    let resolved = String::from_utf8(body(&notification(false), 0)).expect("UTF-8");
    assert!(resolved.contains(r#""status":"resolved","alerts":[{"status":"resolved""#), "{resolved}");
    assert!(
        resolved.contains(r#""endsAt":"1970-01-01T00:01:01Z""#)
            && resolved.contains(r#""truncatedAlerts":0"#)
    );
}

type Seen = Arc<Mutex<Vec<(HeaderMap, String)>>>;

async fn server(answer: (StatusCode, Option<&'static str>), tasks: &Tasks) -> (String, Seen) {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let hook = move |headers: HeaderMap, body: String| {
        let log = Arc::clone(&log);
        async move {
            log.lock().expect("no panic").push((headers, body));
            let retry = answer.1.map(|seconds| [("retry-after", seconds)]);
            (answer.0, retry.unwrap_or([("x-nothing", "1")]), "the answer")
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("its address"));
    let stop = tasks.clone();
    tasks.spawn(async move {
        let app = Router::new().route("/hook", post(hook));
        let _ = axum::serve(listener, app).with_graceful_shutdown(async move { stop.stopping().await }).await;
    });
    (url, seen)
}

fn webhook(url: &str, timeout: Option<Duration>) -> Webhook {
    let config = WebhookConfig {
        url: Source::inline(url),
        http: HttpClientConfig::default(),
        max_alerts: 0,
        timeout,
        send_resolved: true,
    };
    Webhook::new(&config, 3).expect("a good configuration")
}

#[tokio::test]
async fn answers_are_judged_by_status() {
    let tasks = Tasks::new();
    for (status, retry_after, want) in [
        (StatusCode::OK, None, None),
        (StatusCode::NO_CONTENT, None, None),
        (StatusCode::INTERNAL_SERVER_ERROR, None, Some((true, Sent::No, FailureReason::ServerError, None))),
        (StatusCode::GATEWAY_TIMEOUT, None, Some((true, Sent::Maybe, FailureReason::ServerError, None))),
        (
            StatusCode::TOO_MANY_REQUESTS,
            Some("7"),
            Some((true, Sent::No, FailureReason::RateLimited, Some(7))),
        ),
        (StatusCode::BAD_REQUEST, None, Some((false, Sent::No, FailureReason::ClientError, None))),
        (StatusCode::FORBIDDEN, None, Some((false, Sent::No, FailureReason::AuthError, None))),
    ] {
        let (url, seen) = server((status, retry_after), &tasks).await;
        let outcome = webhook(&url, None).notify("the-nid", &notification(true)).await;
        let got =
            outcome.err().map(|it| (it.retry, it.sent, it.reason, it.retry_after.map(|it| it.as_secs())));
        assert_eq!(got, want, "{status}");
        let seen = seen.lock().expect("no panic");
        let (headers, _) = &seen[0];
        assert_eq!(headers["idempotency-key"], "the-nid");
        assert_eq!(headers["content-type"], "application/json");
        assert!(headers["user-agent"].to_str().expect("text").starts_with("Alertmanager/"));
    }
    tasks.stop();
}

#[tokio::test]
async fn nobody_there_is_surely_not_sent_and_silence_is_perhaps() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    let silent = webhook(&url, Some(Duration::from_millis(200)));
    let error = silent.notify("n", &notification(true)).await.expect_err("nobody answers");
    assert_eq!(
        (error.retry, error.sent, error.reason),
        (true, Sent::Maybe, FailureReason::ContextDeadlineExceeded)
    );
    assert!(!error.to_string().contains(&url), "the URL is a secret: {error}");
    drop(listener);
    let error = webhook(&url, None).notify("n", &notification(true)).await.expect_err("nobody listens");
    assert_eq!((error.retry, error.sent), (true, Sent::No));
}

#[test]
fn urls_that_cannot_work_are_refused() {
    for url in ["{{ .x }}", "ftp://x", "no url"] {
        assert!(check_url(url).is_err(), "{url}");
    }
    assert_eq!(quote_meta("a.b(c)"), "a\\.b\\(c\\)");
}
