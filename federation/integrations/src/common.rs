//! What all integrations have in common: who they are, how they reach others, what a notification is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alertmanager::config::IntegrationConfig;
use alertmanager::{Notification, Notifier, NotifyError, NotifyOutcome};
use bytes::Bytes;
use client::{Client, Limits, Response, Source};
use env::SharedClock;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, Method, Request};
use sha2::{Digest, Sha256};
use template::{AlertTemplates, Message, MessageAlert, Rendering};

use crate::Context;
use crate::answer::{permanent, unanswered};
use crate::settings::Text;

/// What receivers know us as.
const AGENT: &str = "Alertmanager/0.34.0";
/// Bytes of an answer at most.
const ANSWER_MAX: u64 = 16 << 20;
/// Bytes of a file with a secret at most.
const SECRET_MAX: u64 = 1 << 20;
/// Longer than any notification may take: the caller ends an attempt.
const NO_TIMEOUT: Duration = Duration::from_hours(1);

/// One integration: a common part and one of its own.
pub(crate) struct Integration<D> {
    pub(crate) common: Common,
    pub(crate) deliver: D,
}

/// An integration's own part.
pub(crate) trait Deliver: Send + Sync + 'static {
    /// Tells the receiver.
    fn deliver(
        &self,
        common: &Common,
        job: &Job<'_>,
    ) -> impl Future<Output = Result<NotifyOutcome, NotifyError>> + Send;
}

/// Who an integration is, and its way to others.
pub(crate) struct Common {
    receiver: String,
    kind: &'static str,
    index: u32,
    send_resolved: bool,
    pub(crate) client: Client,
    templates: Arc<AlertTemplates>,
    pub(crate) clock: SharedClock,
}

impl Common {
    pub(crate) fn new(receiver: &str, config: &IntegrationConfig, context: &Context) -> Result<Self, String> {
        Ok(Self {
            receiver: receiver.to_owned(),
            kind: config.kind,
            index: config.index,
            send_resolved: config.send_resolved,
            client: Client::new(&config.http).map_err(|error| error.to_string())?,
            templates: Arc::clone(&context.templates),
            clock: Arc::clone(&context.clock),
        })
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn send(&self, call: Call) -> Result<Response, NotifyError> {
        self.send_with(&self.client, call).await
    }

    /// The same with another client.
    pub(crate) async fn send_with(&self, client: &Client, call: Call) -> Result<Response, NotifyError> {
        let mut request = Request::builder().method(call.method).uri(call.url).header(USER_AGENT, AGENT);
        if let Some(kind) = call.content_type {
            request = request.header(CONTENT_TYPE, kind);
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        // The error would show the URL, which may hold a secret.
        let request = request
            .body(Bytes::from(call.body))
            .map_err(|_| permanent("the URL or a header holds what HTTP cannot carry"))?;
        let limits = Limits { timeout: call.timeout.unwrap_or(NO_TIMEOUT), body_max: ANSWER_MAX };
        client.send(request, limits).await.map_err(|error| unanswered(&error))
    }
}

/// A request to make.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: String,
    pub(crate) timeout: Option<Duration>,
}

impl Call {
    /// JSON to a URL.
    pub(crate) fn json(url: impl Into<String>, body: String) -> Self {
        Self {
            method: Method::POST,
            url: url.into(),
            content_type: Some("application/json"),
            headers: Vec::new(),
            body,
            timeout: None,
        }
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((HeaderName::from_static(name), value.into()));
        self
    }

    /// With an end.
    pub(crate) fn within(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }
}

/// One notification on its way.
pub(crate) struct Job<'a> {
    /// Its identity, the same over all attempts.
    pub(crate) nid: &'a str,
    pub(crate) notification: &'a Notification,
    rendering: Rendering,
    templates: &'a AlertTemplates,
    /// Labels of the route, their templates executed.
    pub(crate) route_labels: BTreeMap<String, String>,
}

impl<'a> Job<'a> {
    fn new(common: &'a Common, nid: &'a str, notification: &'a Notification) -> Result<Self, NotifyError> {
        let now_ms = common.clock.now_ms();
        let mut message = message(notification);
        let plain = Rendering::new(&message, now_ms);
        for (name, value) in &notification.route_labels {
            let value = common.templates.text(value, &plain);
            let value = value.map_err(|error| permanent(format!("route label {name:?}: {error}")))?;
            message.route_labels.insert(name.clone(), value);
        }
        let rendering = Rendering::new(&message, now_ms);
        let templates = &common.templates;
        Ok(Self { nid, notification, rendering, templates, route_labels: message.route_labels })
    }

    /// The group's identity at services that deduplicate.
    pub(crate) fn group_hash(&self) -> String {
        hex(&Sha256::digest(self.notification.group_key.as_bytes()))
    }

    pub(crate) fn fires(&self) -> bool {
        self.notification.status() == "firing"
    }

    /// What a template gives for this notification.
    pub(crate) fn text(&self, text: &Text) -> Result<String, NotifyError> {
        self.render(text.as_str())
    }

    pub(crate) fn render(&self, text: &str) -> Result<String, NotifyError> {
        self.templates.text(text, &self.rendering).map_err(|error| permanent(error.to_string()))
    }

    /// The same as HTML.
    pub(crate) fn html(&self, text: &Text) -> Result<String, NotifyError> {
        if text.as_str().is_empty() {
            return Ok(String::new());
        }
        self.templates.html(text.as_str(), &self.rendering).map_err(|error| permanent(error.to_string()))
    }

    /// A template's text, cut to so many characters.
    pub(crate) fn short(&self, text: &Text, most: usize) -> Result<String, NotifyError> {
        Ok(crate::texts::cut(&self.text(text)?, most))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The notification as templates see it, without the route's labels.
fn message(notification: &Notification) -> Message {
    let owned = |pairs: BTreeMap<&str, &str>| {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let alerts = notification.alerts.iter().map(|it| MessageAlert {
        resolved: it.resolved,
        labels: owned(it.alert.labels.pairs().collect()),
        annotations: it.alert.annotations.clone(),
        starts_at: it.alert.starts_at,
        ends_at: it.alert.ends_at,
        generator_url: it.alert.generator_url.clone(),
        fingerprint: it.fingerprint().to_string(),
    });
    Message {
        receiver: notification.receiver.to_string(),
        status: notification.status().to_owned(),
        alerts: alerts.collect(),
        reason: notification.reason.as_str().to_owned(),
        group_labels: owned(notification.group_labels.pairs().collect()),
        common_labels: owned(notification.common_labels()),
        common_annotations: owned(notification.common_annotations()),
        route_labels: BTreeMap::new(),
        external_url: notification.external_url.clone(),
    }
}

/// The text of a source, read anew at each use; white space around it is not part of it.
pub(crate) async fn read(what: &str, source: &Source) -> Result<String, NotifyError> {
    let path = match source {
        Source::Inline(text) => return Ok(text.expose().to_owned()),
        Source::File(path) => path,
    };
    let unread = |why: String| permanent(format!("{what} {}: {why}", path.display()));
    let size = tokio::fs::metadata(path).await.map_err(|error| unread(error.to_string()))?.len();
    if size > SECRET_MAX {
        return Err(unread(format!("{size} bytes; expected at most {SECRET_MAX}")));
    }
    let text = tokio::fs::read_to_string(path).await.map_err(|error| unread(error.to_string()))?;
    Ok(text.trim().to_owned())
}

impl<D: Deliver> Notifier for Integration<D> {
    fn integration(&self) -> &'static str {
        self.common.kind
    }

    fn index(&self) -> u32 {
        self.common.index
    }

    fn send_resolved(&self) -> bool {
        self.common.send_resolved
    }

    fn notify<'a>(
        &'a self,
        nid: &'a str,
        notification: &'a Notification,
    ) -> BoxFuture<'a, Result<NotifyOutcome, NotifyError>> {
        Box::pin(async move {
            let outcome = async {
                let job = Job::new(&self.common, nid, notification)?;
                self.deliver.deliver(&self.common, &job).await
            };
            outcome.await.map_err(|error| {
                let Common { receiver, kind, index, .. } = &self.common;
                let group = &notification.group_key;
                let message =
                    format!("receiver {receiver:?}, {kind} {index}, group {group}: {}", error.message);
                NotifyError { message, ..error }
            })
        })
    }
}
