//! The webhook integration: Alertmanager's JSON, version 4, to any HTTP server.

use std::collections::BTreeMap;
use std::time::Duration;

use alertmanager::config::WebhookConfig;
use alertmanager::{FailureReason, Notification, Notifier, NotifyAlert, NotifyError, NotifyOutcome, Sent};
use bytes::Bytes;
use client::{Client, ClientError, ErrorKind, Limits, Response, Source};
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, StatusCode};
use serde::Serialize;

/// What receivers know us as.
const AGENT: &str = "Alertmanager/0.34.0";
/// Bytes of an answer at most; nothing in it matters.
const ANSWER_MAX: u64 = 64 << 20;
/// Longer than any notification may take: the caller ends an attempt.
const NO_TIMEOUT: Duration = Duration::from_hours(1);
/// The end of an alert that still fires, as Go writes the zero time.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// One entry of `webhook_configs`.
#[derive(Debug)]
pub struct Webhook {
    client: Client,
    url: Source,
    index: u32,
    max_alerts: usize,
    timeout: Option<Duration>,
    send_resolved: bool,
}

impl Webhook {
    /// A webhook as configured; `index` is its position in its list.
    ///
    /// # Errors
    /// What is wrong with its URL, certificates or proxy.
    pub fn new(config: &WebhookConfig, index: u32) -> Result<Self, String> {
        if let Source::Inline(url) = &config.url {
            check_url(url.expose())?;
        }
        Ok(Self {
            client: Client::new(&config.http).map_err(|error| error.to_string())?,
            url: config.url.clone(),
            index,
            max_alerts: usize::try_from(config.max_alerts).unwrap_or(usize::MAX),
            timeout: config.timeout.filter(|timeout| !timeout.is_zero()),
            send_resolved: config.send_resolved,
        })
    }

    async fn send(&self, nid: &str, notification: &Notification) -> Result<NotifyOutcome, NotifyError> {
        let url = self.read_url().await.map_err(|why| permanent(why, FailureReason::Other))?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, AGENT)
            .header("Idempotency-Key", nid)
            .body(Bytes::from(body(notification, self.max_alerts)))
            .map_err(|error| permanent(error.to_string(), FailureReason::Other))?;
        let limits = Limits { timeout: self.timeout.unwrap_or(NO_TIMEOUT), body_max: ANSWER_MAX };
        match self.client.send(request, limits).await {
            Ok(response) => judge(&response),
            Err(error) => Err(unanswered(&error)),
        }
    }

    async fn read_url(&self) -> Result<String, String> {
        match &self.url {
            Source::Inline(url) => Ok(url.expose().to_owned()),
            Source::File(path) => {
                let text = tokio::fs::read_to_string(path)
                    .await
                    .map_err(|error| format!("url_file {}: {error}", path.display()))?;
                let url = text.trim();
                check_url(url).map_err(|why| format!("url_file {}: {why}", path.display()))?;
                Ok(url.to_owned())
            }
        }
    }
}

impl Notifier for Webhook {
    fn integration(&self) -> &'static str {
        "webhook"
    }

    fn index(&self) -> u32 {
        self.index
    }

    fn send_resolved(&self) -> bool {
        self.send_resolved
    }

    fn notify<'a>(
        &'a self,
        nid: &'a str,
        notification: &'a Notification,
    ) -> BoxFuture<'a, Result<NotifyOutcome, NotifyError>> {
        Box::pin(self.send(nid, notification))
    }
}

fn check_url(text: &str) -> Result<(), String> {
    if text.contains("{{") {
        return Err("templates in a webhook's url are not supported; expected a plain URL".to_owned());
    }
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(()),
        // The text is a secret and stays out of messages.
        Ok(url) => Err(format!("scheme {:?}; expected http or https", url.scheme())),
        Err(error) => Err(format!("no URL: {error}")),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertView<'a> {
    status: &'static str,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    receiver: String,
    status: &'static str,
    alerts: Vec<AlertView<'a>>,
    #[serde(rename = "notification_reason")]
    notification_reason: &'static str,
    group_labels: BTreeMap<&'a str, &'a str>,
    common_labels: BTreeMap<&'a str, &'a str>,
    common_annotations: BTreeMap<&'a str, &'a str>,
    route_labels: &'a BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: usize,
}

/// The message as Go's encoder writes it: `<`, `>`, `&` and line separators escaped, a line break at
/// the end.
fn body(notification: &Notification, max_alerts: usize) -> Vec<u8> {
    let all = notification.alerts.len();
    let shown = if max_alerts == 0 { all } else { all.min(max_alerts) };
    let shown_part = Notification { alerts: notification.alerts[..shown].to_vec(), ..notification.clone() };
    let message = Message {
        receiver: quote_meta(&notification.receiver),
        status: shown_part.status(),
        alerts: shown_part.alerts.iter().map(alert).collect(),
        notification_reason: notification.reason.as_str(),
        group_labels: notification.group_labels.pairs().collect(),
        common_labels: shown_part.common_labels(),
        common_annotations: shown_part.common_annotations(),
        route_labels: &notification.route_labels,
        external_url: &notification.external_url,
        version: "4",
        group_key: &notification.group_key,
        truncated_alerts: all - shown,
    };
    let text = serde_json::to_string(&message).expect("string keys and no type of ours fails to serialise");
    let mut escaped = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            c => escaped.push(c),
        }
    }
    escaped.push('\n');
    escaped.into_bytes()
}

fn alert(it: &NotifyAlert) -> AlertView<'_> {
    AlertView {
        status: it.status(),
        labels: it.alert.labels.pairs().collect(),
        annotations: &it.alert.annotations,
        starts_at: alertmanager::format_time(it.alert.starts_at),
        ends_at: if it.resolved { alertmanager::format_time(it.alert.ends_at) } else { ZERO_TIME.to_owned() },
        generator_url: &it.alert.generator_url,
        fingerprint: it.fingerprint().to_string(),
    }
}

/// Escapes what a regular expression would take for more than itself.
fn quote_meta(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

fn judge(response: &Response) -> Result<NotifyOutcome, NotifyError> {
    let status = response.status;
    if status.is_success() {
        return Ok(NotifyOutcome::default());
    }
    let reason = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FailureReason::AuthError,
        StatusCode::TOO_MANY_REQUESTS => FailureReason::RateLimited,
        status if status.is_server_error() => FailureReason::ServerError,
        status if status.is_client_error() => FailureReason::ClientError,
        _ => FailureReason::Other,
    };
    // A gateway that got no answer does not know what its server did.
    let gateway = matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
    let seconds = response.headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok()?.trim().parse().ok());
    let head: String = String::from_utf8_lossy(&response.body).chars().take(200).collect();
    Err(NotifyError {
        retry: status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
        sent: if gateway { Sent::Maybe } else { Sent::No },
        retry_after: seconds.map(Duration::from_secs),
        reason,
        message: format!("unexpected status code {}: {head}", status.as_u16()),
    })
}

fn unanswered(error: &ClientError) -> NotifyError {
    let reason = match error.kind() {
        ErrorKind::Timeout => FailureReason::ContextDeadlineExceeded,
        _ => FailureReason::Other,
    };
    NotifyError {
        retry: error.kind() != ErrorKind::BadUrl,
        sent: if error.was_sent() { Sent::Maybe } else { Sent::No },
        retry_after: None,
        reason,
        message: kind_text(error.kind()).to_owned(),
    }
}

/// What happened without the URL, which is a secret.
fn kind_text(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::BadUrl => "the URL cannot be used",
        ErrorKind::BadFile => "a file with a password, key or certificate is missing or wrong",
        ErrorKind::Connect => "no connection",
        ErrorKind::Tls => "no secure connection",
        ErrorKind::Timeout => "no whole answer in time",
        ErrorKind::BodyTooLarge => "the answer is too long",
        ErrorKind::Redirect => "redirected too often, or nowhere",
        ErrorKind::Protocol => "the connection broke, or the answer is no HTTP",
    }
}

fn permanent(message: String, reason: FailureReason) -> NotifyError {
    NotifyError { retry: false, sent: Sent::No, retry_after: None, reason, message }
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
