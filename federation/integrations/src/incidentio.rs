//! The incident.io integration: the webhook's JSON with a token.

use std::time::Duration;

use alertmanager::{NotifyError, NotifyOutcome};
use client::{Response, Source};
use serde::Deserialize;

use crate::answer::check_with;
use crate::common::{Call, Common, Deliver, Job, read};
use crate::settings::Settings;
use crate::texts::json;
use crate::webhook::{Message, first};

/// Bytes that incident.io takes.
const MOST: usize = 512 * 1024;

/// One entry of `incidentio_configs`.
pub(crate) struct IncidentIo {
    url: Source,
    token: Option<Source>,
    max_alerts: usize,
    timeout: Option<Duration>,
}

impl IncidentIo {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        Ok(Self {
            url: settings.secret_url("url")?,
            token: settings.secret("alert_source_token"),
            max_alerts: settings.count("max_alerts"),
            timeout: settings.timeout("timeout"),
        })
    }
}

impl Deliver for IncidentIo {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let (alerts, truncated) = first(&job.notification.alerts, self.max_alerts);
        let mut message = Message::of(job, &alerts, truncated, "1");
        let mut body = json(&message);
        if body.len() > MOST {
            tracing::warn!(bytes = body.len(), most = MOST, "incident.io gets the first alert alone");
            message.keep_first();
            body = json(&message);
        }
        let url = read("url_file", &self.url).await?;
        let mut call = Call::json(url, body).within(self.timeout);
        if let Some(token) = &self.token {
            let token = read("alert_source_token_file", token).await?;
            call = call.header("authorization", format!("Bearer {token}"));
        }
        let response = common.send(call).await?;
        check_with(&response, &[], details(&response))?;
        Ok(NotifyOutcome::default())
    }
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Refusal {
    message: String,
    error: String,
    errors: Vec<String>,
}

fn details(response: &Response) -> String {
    let said: Refusal = serde_json::from_slice(&response.body).unwrap_or_default();
    let parts = [said.message, said.error, said.errors.join(", ")];
    let text: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    crate::answer::head(text.join(": ").as_bytes())
}
