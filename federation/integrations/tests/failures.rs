//! What happens when a receiver is not there, is silent, or when what it needs is not there.

mod support;

use std::time::Duration;

use alertmanager::{FailureReason, Sent};
use support::{NID, Sink, built, notification, try_built};

fn firing() -> alertmanager::Notification {
    notification(&["firing".to_owned()])
}

/// Every integration that speaks HTTP, with everything at one address.
fn all(url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("webhook", format!("webhook_configs: [{{url: {url}/secret}}]")),
        ("slack", format!("slack_configs: [{{api_url: {url}/secret}}]")),
        ("pagerduty", format!("pagerduty_configs: [{{routing_key: secret, url: {url}/}}]")),
        ("pagerduty", "pagerduty_configs: [{service_key: secret}]".to_owned()),
        ("opsgenie", format!("opsgenie_configs: [{{api_key: secret, api_url: {url}/}}]")),
        ("victorops", format!("victorops_configs: [{{api_key: secret, routing_key: r, api_url: {url}/}}]")),
        ("pushover", "pushover_configs: [{token: secret, user_key: secret}]".to_owned()),
        ("wechat", format!("wechat_configs: [{{api_secret: secret, corp_id: c, api_url: {url}/}}]")),
        ("telegram", format!("telegram_configs: [{{bot_token: secret, chat_id: 1, api_url: {url}}}]")),
        (
            "sns",
            format!(
                "sns_configs: [{{api_url: {url}/, topic_arn: a, sigv4: {{region: r, access_key: a, secret_key: secret}}}}]"
            ),
        ),
        ("discord", format!("discord_configs: [{{webhook_url: {url}/secret}}]")),
        (
            "webex",
            format!(
                "webex_configs: [{{room_id: r, api_url: {url}/, http_config: {{authorization: {{credentials: secret}}}}}}]"
            ),
        ),
        ("msteams", format!("msteams_configs: [{{webhook_url: {url}/secret}}]")),
        ("msteamsv2", format!("msteamsv2_configs: [{{webhook_url: {url}/secret}}]")),
        ("jira", format!("jira_configs: [{{api_url: {url}, project: p, issue_type: t}}]")),
        ("incidentio", format!("incidentio_configs: [{{url: {url}/, alert_source_token: secret}}]")),
        ("rocketchat", format!("rocketchat_configs: [{{api_url: {url}, token: secret, token_id: i}}]")),
        ("mattermost", format!("mattermost_configs: [{{webhook_url: {url}/secret}}]")),
    ]
}

#[tokio::test]
async fn statuses_mean_the_same_to_all() {
    let sink = Sink::start().await;
    for (kind, receiver) in all(&sink.url()) {
        let notifier = &built("", &receiver, &sink.url())[0];
        let first_pagerduty = receiver.contains("service_key");
        for (status, retry, sent, reason) in [
            (500, true, Sent::No, FailureReason::ServerError),
            (502, true, Sent::Maybe, FailureReason::ServerError),
            (503, true, Sent::No, FailureReason::ServerError),
            (429, true, Sent::No, FailureReason::RateLimited),
            (400, false, Sent::No, FailureReason::ClientError),
            (401, false, Sent::No, FailureReason::AuthError),
            (403, false, Sent::No, FailureReason::AuthError),
            (404, false, Sent::No, FailureReason::ClientError),
        ] {
            // These two try again what others do not.
            let retry = retry || kind == "telegram" || (first_pagerduty && status == 403);
            sink.will_answer(&[status.to_string(), "retry-after=3".to_owned()], "no secret here");
            let error = notifier.notify(NID, &firing()).await.expect_err(kind);
            assert_eq!(
                (error.retry, error.sent, error.reason),
                (retry, sent, reason),
                "{kind} {status}: {error}"
            );
            assert_eq!(error.retry_after, Some(Duration::from_secs(3)), "{kind} {status}");
            let head =
                format!("receiver \"team\", {kind} 0, group {{}}/{{team=\"db\"}}:{{alertname=\"Down\"}}: ");
            assert!(error.to_string().starts_with(&head), "{error}");
        }
    }
}

#[tokio::test]
async fn nobody_there_is_surely_not_sent_and_shows_no_secret() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    drop(listener);
    for (kind, receiver) in all(&url) {
        let notifier = &built("", &receiver, &url)[0];
        let error = notifier.notify(NID, &firing()).await.expect_err(kind);
        assert_eq!((error.retry, error.sent), (true, Sent::No), "{kind}: {error}");
        assert!(!error.to_string().contains("secret") && !error.to_string().contains(&url), "{error}");
    }
}

#[tokio::test]
async fn silence_is_perhaps_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    for receiver in [
        format!("webhook_configs: [{{url: {url}/, timeout: 200ms}}]"),
        format!("slack_configs: [{{api_url: {url}/, timeout: 200ms}}]"),
        format!("pagerduty_configs: [{{routing_key: k, url: {url}/, timeout: 200ms}}]"),
        format!("incidentio_configs: [{{url: {url}/, alert_source_token: t, timeout: 200ms}}]"),
    ] {
        let error = built("", &receiver, &url)[0].notify(NID, &firing()).await.expect_err("nobody answers");
        let wanted = (true, Sent::Maybe, FailureReason::ContextDeadlineExceeded);
        assert_eq!((error.retry, error.sent, error.reason), wanted, "{receiver}: {error}");
    }
}

#[tokio::test]
async fn secrets_in_files_are_read_at_each_send() {
    let (sink, folder) = (Sink::start().await, tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("key");
    let receiver =
        format!("opsgenie_configs: [{{api_key_file: {}, api_url: {}/}}]", path.display(), sink.url());
    let notifier = &built("", &receiver, &sink.url())[0];
    let error = notifier.notify(NID, &firing()).await.expect_err("no file");
    assert!(!error.retry && error.to_string().contains("api_key_file"), "{error}");
    for key in ["one", "two"] {
        std::fs::write(&path, format!("{key}\n")).expect("written");
        notifier.notify(NID, &firing()).await.expect("sent");
        assert_eq!(sink.take()[0].headers["authorization"], format!("GenieKey {key}"));
    }
}

#[test]
fn what_cannot_work_is_refused_when_it_is_made() {
    for (receiver, what) in [
        (
            "webhook_configs: [{url: 'ftp://x'}]",
            "receiver \"team\", webhook 0: url: scheme \"ftp\"; expected http or https",
        ),
        (
            "slack_configs: [{api_url: 'http://x/', title: '{{ .x'}]",
            "slack 0: title: template: :1: unclosed action",
        ),
        (
            "slack_configs: [{api_url: 'http://x/', actions: [{type: a, text: '{{ nope }}', url: u}]}]",
            "text: template: :1: function \"nope\" not defined",
        ),
        (
            "webhook_configs: [{url: 'http://x/', payload: {a: ['{{ end }}']}}]",
            "payload: template: :1: unexpected {{end}}",
        ),
        ("email_configs: [{to: a@b, from: c@d, smarthost: 'h:x'}]", "smarthost: \"x\" is no port"),
        (
            "email_configs: [{to: a@b, from: c@d, smarthost: 'h:25', headers: {'a b': c}}]",
            "headers: \"a b\" is no header name",
        ),
        (
            "email_configs: [{to: a@b, from: c@d, smarthost: 'h:25', tls_config: {ca: nothing}}]",
            "no PEM certificate",
        ),
    ] {
        let error = try_built("", receiver, "http://127.0.0.1:1").err().expect(receiver);
        assert!(error.contains(what), "{receiver}\n{error}\nwanted {what}");
    }
}
