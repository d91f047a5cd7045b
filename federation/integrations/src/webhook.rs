//! The webhook integration: Alertmanager's JSON, version 4, or a payload of one's own, to any HTTP server.

use std::collections::BTreeMap;
use std::time::Duration;

use alertmanager::{Notification, NotifyAlert, NotifyError, NotifyOutcome};
use client::Source;
use serde::Serialize;
use template::quote_meta;
use yaml::Node;

use crate::answer::{check, permanent};
use crate::common::{Call, Common, Deliver, Job, read};
use crate::payload::rendered;
use crate::settings::{Settings, check_url};
use crate::texts::json;

/// The end of an alert that still fires, as Go writes the zero time.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// One entry of `webhook_configs`.
pub(crate) struct Webhook {
    url: Source,
    max_alerts: usize,
    timeout: Option<Duration>,
    payload: Option<Node>,
}

impl Webhook {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        // In the configuration it may be a template: then it is checked at each use.
        let url = if settings.text("url")?.as_str().contains("{{") {
            settings.needed("url")?
        } else {
            settings.secret_url("url")?
        };
        Ok(Self {
            url,
            max_alerts: settings.count("max_alerts"),
            timeout: settings.timeout("timeout"),
            payload: settings.any("payload")?,
        })
    }
}

impl Deliver for Webhook {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let url = job.render(&read("url_file", &self.url).await?)?;
        check_url(&url).map_err(|why| permanent(format!("url: {why}")))?;
        let body = match &self.payload {
            Some(payload) => json(&rendered(job, payload)?),
            None => {
                let (alerts, truncated) = first(&job.notification.alerts, self.max_alerts);
                json(&Message::of(job, &alerts, truncated, "4"))
            }
        };
        let call = Call::json(url, body).header("idempotency-key", job.nid).within(self.timeout);
        check(&common.send(call).await?, &[])?;
        Ok(NotifyOutcome::default())
    }
}

/// The first `most` alerts (0: all), and how many are left out.
pub(crate) fn first(alerts: &[NotifyAlert], most: usize) -> (Vec<NotifyAlert>, usize) {
    let shown = if most == 0 { alerts.len() } else { alerts.len().min(most) };
    (alerts[..shown].to_vec(), alerts.len() - shown)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertView {
    status: &'static str,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

/// A notification as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    receiver: String,
    status: &'static str,
    alerts: Vec<AlertView>,
    #[serde(rename = "notification_reason")]
    notification_reason: &'static str,
    group_labels: BTreeMap<String, String>,
    common_labels: BTreeMap<String, String>,
    common_annotations: BTreeMap<String, String>,
    route_labels: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: String,
    version: &'static str,
    group_key: String,
    truncated_alerts: usize,
}

impl Message {
    /// Of these alerts of a notification, from which so many others are left out.
    pub(crate) fn of(
        job: &Job<'_>,
        alerts: &[NotifyAlert],
        truncated_alerts: usize,
        version: &'static str,
    ) -> Self {
        let part = Notification { alerts: alerts.to_vec(), ..job.notification.clone() };
        Self {
            receiver: quote_meta(&part.receiver),
            status: part.status(),
            alerts: part.alerts.iter().map(alert).collect(),
            notification_reason: part.reason.as_str(),
            group_labels: owned(part.group_labels.pairs()),
            common_labels: owned(part.common_labels()),
            common_annotations: owned(part.common_annotations()),
            route_labels: job.route_labels.clone(),
            external_url: part.external_url.clone(),
            version,
            group_key: part.group_key.to_string(),
            truncated_alerts,
        }
    }

    /// Leaves the first alert alone.
    pub(crate) fn keep_first(&mut self) {
        self.alerts.truncate(1);
    }
}

fn owned<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn alert(it: &NotifyAlert) -> AlertView {
    AlertView {
        status: it.status(),
        labels: owned(it.alert.labels.pairs()),
        annotations: it.alert.annotations.clone(),
        starts_at: alertmanager::format_time(it.alert.starts_at),
        ends_at: if it.resolved { alertmanager::format_time(it.alert.ends_at) } else { ZERO_TIME.to_owned() },
        generator_url: it.alert.generator_url.clone(),
        fingerprint: it.fingerprint().to_string(),
    }
}
