//! The two Microsoft Teams integrations: message cards of connectors, adaptive cards of workflows.

use alertmanager::{NotifyError, NotifyOutcome};
use client::Source;
use serde::Serialize;
use serde_json::json as value;

use crate::answer::check;
use crate::common::{Call, Common, Deliver, Job, read};
use crate::settings::{Settings, Text};
use crate::texts::json;

const RED: &str = "8C1A1A";
const GREEN: &str = "2DC72D";

/// One entry of `msteams_configs`.
pub(crate) struct Teams {
    url: Source,
    title: Text,
    summary: Text,
    text: Text,
}

impl Teams {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        let own =
            |key: &str| settings.text_or(key, &format!("{{{{ template \"msteams.default.{key}\" . }}}}"));
        Ok(Self {
            url: settings.secret_url("webhook_url")?,
            title: own("title")?,
            summary: own("summary")?,
            text: own("text")?,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Card {
    #[serde(rename = "@context")]
    context: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    title: String,
    summary: String,
    text: String,
    theme_color: &'static str,
}

impl Deliver for Teams {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let card = Card {
            context: "http://schema.org/extensions",
            kind: "MessageCard",
            title: job.text(&self.title)?,
            summary: job.text(&self.summary)?,
            text: job.text(&self.text)?,
            theme_color: if job.fires() { RED } else { GREEN },
        };
        post(common, &self.url, json(&card)).await
    }
}

async fn post(common: &Common, url: &Source, body: String) -> Result<NotifyOutcome, NotifyError> {
    let url = read("webhook_url_file", url).await?;
    check(&common.send(Call::json(url, body)).await?, &[])?;
    Ok(NotifyOutcome::default())
}

/// One entry of `msteamsv2_configs`.
pub(crate) struct TeamsV2 {
    url: Source,
    title: Text,
    text: Text,
}

impl TeamsV2 {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        Ok(Self {
            url: settings.secret_url("webhook_url")?,
            title: settings.text_or("title", "{{ template \"msteamsv2.default.title\" . }}")?,
            text: settings.text_or("text", "{{ template \"msteamsv2.default.text\" . }}")?,
        })
    }
}

impl Deliver for TeamsV2 {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let body = value!([
            {
                "type": "TextBlock",
                "text": job.text(&self.title)?,
                "weight": "Bolder",
                "size": "Medium",
                "wrap": true,
                "style": "heading",
                "color": if job.fires() { "Attention" } else { "Good" },
            },
            { "type": "TextBlock", "text": job.text(&self.text)?, "wrap": true },
        ]);
        let message = value!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.2",
                    "body": body,
                    "msteams": { "width": "full" },
                },
            }],
        });
        post(common, &self.url, json(&message)).await
    }
}
