//! The Rocket.Chat integration.

use alertmanager::{NotifyError, NotifyOutcome};
use client::Source;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::answer::{check, head, refused, uncertain};
use crate::common::{Call, Common, Deliver, Job, read};
use crate::settings::{Settings, Text, join};
use crate::texts::json;

const URL: &str = "https://open.rocket.chat/";
/// Characters of a title.
const TITLE_MOST: usize = 1024;

/// One entry of `rocketchat_configs`.
pub(crate) struct RocketChat {
    url: Url,
    token: Source,
    token_id: Source,
    channel: Text,
    emoji: Text,
    icon_url: Text,
    title: Text,
    title_link: Text,
    text: Text,
    image_url: Text,
    thumb_url: Text,
    color: Text,
    fields: Vec<(Text, Text, bool)>,
    /// Text, URL, message.
    actions: Vec<[Text; 3]>,
    link_names: bool,
}

impl RocketChat {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        let own = |key: &str, name: &str| {
            settings.text_or(key, &format!("{{{{ template \"rocketchat.default.{name}\" . }}}}"))
        };
        let short = settings.flag("short_fields").unwrap_or(false);
        let field =
            |it: Settings<'_>| Ok((it.text("title")?, it.text("value")?, it.flag("short").unwrap_or(short)));
        let action = |it: Settings<'_>| Ok([it.text("text")?, it.text("url")?, it.text("msg")?]);
        Ok(Self {
            url: settings.base_url("api_url", URL)?,
            token: settings.needed("token")?,
            token_id: settings.needed("token_id")?,
            channel: settings.text("channel")?,
            emoji: own("emoji", "emoji")?,
            icon_url: own("icon_url", "iconurl")?,
            title: own("title", "title")?,
            title_link: own("title_link", "titlelink")?,
            text: own("text", "text")?,
            image_url: settings.text("image_url")?,
            thumb_url: settings.text("thumb_url")?,
            color: settings.text_or("color", "{{ if eq .Status \"firing\" }}red{{ else }}green{{ end }}")?,
            fields: settings.list("fields").map(field).collect::<Result<_, String>>()?,
            actions: settings.list("actions").map(action).collect::<Result<_, String>>()?,
            link_names: settings.flag("link_names").unwrap_or(false),
        })
    }

    fn attachment(&self, job: &Job<'_>) -> Result<Attachment, NotifyError> {
        let field = |(title, value, short): &(Text, Text, bool)| {
            Ok(Field { title: job.text(title)?, value: job.text(value)?, short: *short })
        };
        let action = |[text, url, msg]: &[Text; 3]| {
            Ok(Action { kind: "button", text: job.text(text)?, url: job.text(url)?, msg: job.text(msg)? })
        };
        Ok(Attachment {
            title: job.short(&self.title, TITLE_MOST)?,
            title_link: job.text(&self.title_link)?,
            text: job.text(&self.text)?,
            image_url: job.text(&self.image_url)?,
            thumb_url: job.text(&self.thumb_url)?,
            color: job.text(&self.color)?,
            fields: self.fields.iter().map(field).collect::<Result<_, NotifyError>>()?,
            actions: self.actions.iter().map(action).collect::<Result<_, NotifyError>>()?,
        })
    }
}

#[derive(Serialize)]
struct Message {
    #[serde(skip_serializing_if = "String::is_empty")]
    channel: String,
    #[serde(rename = "parseUrls", skip_serializing_if = "crate::texts::is_false")]
    parse_urls: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    emoji: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    avatar: String,
    attachments: [Attachment; 1],
}

#[derive(Serialize)]
struct Attachment {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title_link: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    image_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thumb_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    color: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Action>,
}

#[derive(Serialize)]
struct Field {
    short: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
}

#[derive(Serialize)]
struct Action {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    msg: String,
}

#[derive(Deserialize)]
struct Answer {
    success: bool,
    #[serde(default)]
    error: String,
}

impl Deliver for RocketChat {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let message = Message {
            channel: job.text(&self.channel)?,
            parse_urls: self.link_names,
            emoji: job.text(&self.emoji)?,
            avatar: job.text(&self.icon_url)?,
            attachments: [self.attachment(job)?],
        };
        let call = Call::json(join(&self.url, "api/v1/chat.postMessage"), json(&message))
            .header("x-auth-token", read("token_file", &self.token).await?)
            .header("x-user-id", read("token_id_file", &self.token_id).await?);
        let in_channel = |error: NotifyError| NotifyError {
            message: format!("channel {:?}: {}", message.channel, error.message),
            ..error
        };
        let response = common.send(call).await?;
        check(&response, &[]).map_err(in_channel)?;
        let answer: Answer = serde_json::from_slice(&response.body).map_err(|error| {
            in_channel(uncertain(format!("the answer is no JSON of Rocket.Chat's: {error}")))
        })?;
        if answer.success {
            return Ok(NotifyOutcome::default());
        }
        let said = head(answer.error.as_bytes());
        Err(in_channel(refused(format!("error response from Rocket.Chat: {said}"))))
    }
}
