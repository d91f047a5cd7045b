//! The VictorOps (Splunk On-Call) integration.

use std::collections::BTreeMap;

use alertmanager::{NotifyError, NotifyOutcome};
use client::Source;
use url::Url;

use crate::answer::check;
use crate::common::{Call, Common, Deliver, Job, read};
use crate::settings::{Settings, Text, join};
use crate::texts::json;

const URL: &str = "https://alert.victorops.com/integrations/generic/20131114/alert/";
/// Characters of a state message.
const MESSAGE_MOST: usize = 20_480;

/// One entry of `victorops_configs`.
pub(crate) struct VictorOps {
    url: Url,
    key: Source,
    routing_key: Text,
    message_type: Text,
    state_message: Text,
    entity_display_name: Text,
    monitoring_tool: Text,
    custom_fields: Vec<(String, Text)>,
}

impl VictorOps {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        let own =
            |key: &str| settings.text_or(key, &format!("{{{{ template \"victorops.default.{key}\" . }}}}"));
        Ok(Self {
            url: settings.base_url("api_url", URL)?,
            key: settings.needed("api_key")?,
            routing_key: settings.text("routing_key")?,
            message_type: settings.text_or("message_type", "CRITICAL")?,
            state_message: own("state_message")?,
            entity_display_name: own("entity_display_name")?,
            monitoring_tool: own("monitoring_tool")?,
            custom_fields: settings.pairs("custom_fields")?,
        })
    }

    fn message(&self, job: &Job<'_>) -> Result<BTreeMap<String, String>, NotifyError> {
        let kind = job.text(&self.message_type)?;
        let kind = match kind.as_str() {
            _ if !job.fires() => "RECOVERY",
            "INFO" | "WARNING" => kind.as_str(),
            _ => "CRITICAL",
        };
        let mut message = BTreeMap::from([
            ("message_type".to_owned(), kind.to_owned()),
            ("entity_id".to_owned(), job.group_hash()),
            ("entity_display_name".to_owned(), job.text(&self.entity_display_name)?),
            ("state_message".to_owned(), job.short(&self.state_message, MESSAGE_MOST)?),
            ("monitoring_tool".to_owned(), job.text(&self.monitoring_tool)?),
        ]);
        for (name, text) in &self.custom_fields {
            message.insert(name.clone(), job.text(text)?);
        }
        Ok(message)
    }
}

impl Deliver for VictorOps {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let key = read("api_key_file", &self.key).await?;
        let url = join(&self.url, &format!("{key}/{}", job.text(&self.routing_key)?));
        check(&common.send(Call::json(url, json(&self.message(job)?))).await?, &[])?;
        Ok(NotifyOutcome::default())
    }
}
