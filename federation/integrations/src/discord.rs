//! The Discord integration: one embed.

use alertmanager::{NotifyError, NotifyOutcome};
use client::Source;
use serde::Serialize;

use crate::answer::check;
use crate::common::{Call, Common, Deliver, Job, read};
use crate::settings::{Settings, Text};
use crate::texts::json;

/// Characters of a title, a message and a content.
const TITLE_MOST: usize = 256;
const MESSAGE_MOST: usize = 4096;
const CONTENT_MOST: usize = 2000;

const RED: u32 = 0x99_2d22;
const GREEN: u32 = 0x2e_cc71;

/// One entry of `discord_configs`.
pub(crate) struct Discord {
    url: Source,
    content: Text,
    title: Text,
    message: Text,
    username: String,
    avatar_url: String,
}

impl Discord {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        let own =
            |key: &str| settings.text_or(key, &format!("{{{{ template \"discord.default.{key}\" . }}}}"));
        Ok(Self {
            url: settings.secret_url("webhook_url")?,
            content: own("content")?,
            title: own("title")?,
            message: own("message")?,
            username: settings.plain("username"),
            avatar_url: settings.plain("avatar_url"),
        })
    }
}

#[derive(Serialize)]
struct Message<'a> {
    content: String,
    embeds: [Embed; 1],
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    avatar_url: &'a str,
}

#[derive(Serialize)]
struct Embed {
    title: String,
    description: String,
    color: u32,
}

impl Deliver for Discord {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let embed = Embed {
            title: job.short(&self.title, TITLE_MOST)?,
            description: job.short(&self.message, MESSAGE_MOST)?,
            color: if job.fires() { RED } else { GREEN },
        };
        let message = Message {
            content: job.short(&self.content, CONTENT_MOST)?,
            embeds: [embed],
            username: &self.username,
            avatar_url: &self.avatar_url,
        };
        let url = read("webhook_url_file", &self.url).await?;
        check(&common.send(Call::json(url, json(&message))).await?, &[])?;
        Ok(NotifyOutcome::default())
    }
}
