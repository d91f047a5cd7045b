//! The Webex integration: Markdown to a room. Who sends it says `http_config.authorization`.

use alertmanager::{NotifyError, NotifyOutcome};
use serde::Serialize;
use url::Url;

use crate::answer::check;
use crate::common::{Call, Common, Deliver, Job};
use crate::settings::{Settings, Text};
use crate::texts::{cut_bytes, json};

const URL: &str = "https://webexapis.com/v1/messages";
/// Bytes of a message.
const MOST: usize = 7439;

/// One entry of `webex_configs`.
pub(crate) struct Webex {
    url: Url,
    message: Text,
    room: Text,
}

impl Webex {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        Ok(Self {
            url: settings.url("api_url", URL)?,
            message: settings.text_or("message", "{{ template \"webex.default.message\" . }}")?,
            room: settings.text("room_id")?,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    markdown: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    room_id: String,
}

impl Deliver for Webex {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let markdown = cut_bytes(&job.text(&self.message)?, MOST);
        let message = Message { markdown, room_id: job.text(&self.room)? };
        check(&common.send(Call::json(self.url.clone(), json(&message))).await?, &[])?;
        Ok(NotifyOutcome::default())
    }
}
