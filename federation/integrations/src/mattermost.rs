//! The Mattermost integration: an incoming webhook with attachments.

use alertmanager::{NotifyError, NotifyOutcome};
use client::Source;
use serde::Serialize;

use crate::answer::check;
use crate::common::{Call, Common, Deliver, Job, read};
use crate::settings::{Settings, Text};
use crate::texts::{cut, is_false, json};

/// Characters of a text.
const TEXT_MOST: usize = 16_383;

/// One entry of `mattermost_configs`.
pub(crate) struct Mattermost {
    url: Source,
    channel: Text,
    username: Text,
    icon_url: Text,
    icon_emoji: Text,
    kind: Text,
    card: Text,
    priority: Text,
    requested_ack: bool,
    persistent: bool,
    /// What stands above the attachments, where the file writes attachments.
    text: Text,
    attachments: Vec<AttachmentTexts>,
}

/// The keys of an attachment that are plain texts, in the order in which they are sent.
const TEXTS: [&str; 13] = [
    "fallback",
    "color",
    "pretext",
    "text",
    "author_name",
    "author_link",
    "author_icon",
    "title",
    "title_link",
    "thumb_url",
    "footer",
    "footer_icon",
    "image_url",
];

struct AttachmentTexts {
    texts: Vec<(&'static str, Text)>,
    fields: Vec<(Text, Text, Option<bool>)>,
}

impl AttachmentTexts {
    fn new(settings: &Settings<'_>, default: impl Fn(&str) -> String) -> Result<Self, String> {
        let text = |key: &'static str| Ok((key, settings.text_or(key, &default(key))?));
        let field = |it: Settings<'_>| Ok((it.text("title")?, it.text("value")?, it.flag("short")));
        Ok(Self {
            texts: TEXTS.into_iter().map(text).collect::<Result<_, String>>()?,
            fields: settings.list("fields").map(field).collect::<Result<_, String>>()?,
        })
    }

    fn rendered(&self, job: &Job<'_>) -> Result<Attachment, NotifyError> {
        let mut attachment = Attachment::default();
        for (key, text) in &self.texts {
            *attachment.slot(key) = job.text(text)?;
        }
        attachment.text = cut(&attachment.text, TEXT_MOST);
        for (title, value, short) in &self.fields {
            let field = Field { title: job.text(title)?, value: job.text(value)?, short: *short };
            attachment.fields.push(field);
        }
        Ok(attachment)
    }
}

impl Mattermost {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        let own = |name: &str| format!("{{{{ template \"mattermost.default.{name}\" . }}}}");
        let default = |key: &str| match key {
            "fallback" | "color" | "text" | "title" => own(key),
            "title_link" => own("titlelink"),
            _ => String::new(),
        };
        let mut attachments = settings
            .list("attachments")
            .map(|it| AttachmentTexts::new(&it, |_| String::new()))
            .collect::<Result<Vec<_>, _>>()?;
        let written = !attachments.is_empty();
        // Where there are none, the keys of the receiver are those of one.
        if !written {
            attachments.push(AttachmentTexts::new(settings, default)?);
        }
        let priority = settings.map("priority");
        Ok(Self {
            url: settings.secret_url("webhook_url")?,
            channel: settings.text("channel")?,
            username: settings.text_or("username", &own("username"))?,
            icon_url: settings.text("icon_url")?,
            icon_emoji: settings.text("icon_emoji")?,
            kind: settings.text("type")?,
            card: settings.map("props").text("card")?,
            priority: priority.text("priority")?,
            requested_ack: priority.flag("requested_ack").unwrap_or(false),
            persistent: priority.flag("persistent_notifications").unwrap_or(false),
            text: if written { settings.text_or("text", &own("text"))? } else { Text::default() },
            attachments,
        })
    }

    fn priority(&self, job: &Job<'_>) -> Result<Option<Priority>, NotifyError> {
        if self.priority.as_str().is_empty() {
            return Ok(None);
        }
        let name = match job.text(&self.priority)?.to_lowercase().as_str() {
            "urgent" => "urgent",
            "important" => "important",
            _ => "standard",
        };
        Ok(Some(Priority {
            priority: name,
            requested_ack: self.requested_ack && name != "standard",
            persistent_notifications: self.persistent && name == "urgent",
        }))
    }
}

#[derive(Serialize)]
struct Message {
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_emoji: String,
    attachments: Vec<Attachment>,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    props: Option<Props>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
}

#[derive(Serialize)]
struct Props {
    card: String,
}

#[derive(Serialize)]
struct Priority {
    priority: &'static str,
    #[serde(skip_serializing_if = "is_false")]
    requested_ack: bool,
    #[serde(skip_serializing_if = "is_false")]
    persistent_notifications: bool,
}

#[derive(Default, Serialize)]
struct Attachment {
    #[serde(skip_serializing_if = "String::is_empty")]
    fallback: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    color: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pretext: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author_link: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author_icon: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title_link: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "String::is_empty")]
    thumb_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    footer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    footer_icon: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    image_url: String,
}

impl Attachment {
    fn slot(&mut self, key: &str) -> &mut String {
        match key {
            "fallback" => &mut self.fallback,
            "color" => &mut self.color,
            "pretext" => &mut self.pretext,
            "author_name" => &mut self.author_name,
            "author_link" => &mut self.author_link,
            "author_icon" => &mut self.author_icon,
            "title" => &mut self.title,
            "title_link" => &mut self.title_link,
            "thumb_url" => &mut self.thumb_url,
            "footer" => &mut self.footer,
            "footer_icon" => &mut self.footer_icon,
            "image_url" => &mut self.image_url,
            _ => &mut self.text,
        }
    }
}

#[derive(Serialize)]
struct Field {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    short: Option<bool>,
}

impl Deliver for Mattermost {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let card = job.text(&self.card)?;
        let message = Message {
            text: job.short(&self.text, TEXT_MOST)?,
            channel: job.text(&self.channel)?,
            username: job.text(&self.username)?,
            icon_url: job.text(&self.icon_url)?,
            icon_emoji: job.text(&self.icon_emoji)?,
            attachments: self.attachments.iter().map(|it| it.rendered(job)).collect::<Result<_, _>>()?,
            kind: job.text(&self.kind)?,
            props: (!card.is_empty()).then_some(Props { card }),
            priority: self.priority(job)?,
        };
        let url = read("webhook_url_file", &self.url).await?;
        check(&common.send(Call::json(url, json(&message))).await?, &[]).map_err(|error| NotifyError {
            message: format!("channel {:?}: {}", message.channel, error.message),
            ..error
        })?;
        Ok(NotifyOutcome::default())
    }
}
