//! The Telegram integration: a bot's message to a chat.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use alertmanager::{NotifyError, NotifyOutcome};
use client::{Response, Source};
use serde::Deserialize;
use url::Url;

use crate::answer::{check_with, head, permanent, uncertain};
use crate::common::{Call, Common, Deliver, Job, read};
use crate::settings::{Settings, Text, join};
use crate::texts::json;

const URL: &str = "https://api.telegram.org";
/// Characters of a message.
const MOST: usize = 4096;
/// What is sent in place of HTML that is too long: it cannot be cut anywhere.
const TOO_LONG: &str = "The notification is longer than Telegram's 4096 characters; \
                        expected a shorter message from its template.";

enum Chat {
    Id(i64),
    File(PathBuf),
}

/// One entry of `telegram_configs`.
pub(crate) struct Telegram {
    url: Url,
    token: Source,
    chat: Chat,
    thread: i64,
    message: Text,
    silent: bool,
    parse_mode: String,
}

impl Telegram {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        let file = settings.plain("chat_id_file");
        Ok(Self {
            url: settings.url("api_url", URL)?,
            token: settings.needed("bot_token")?,
            chat: match settings.int("chat_id").filter(|id| *id != 0) {
                Some(id) => Chat::Id(id),
                None if file.is_empty() => return Err("chat_id: missing".to_owned()),
                None => Chat::File(PathBuf::from(file)),
            },
            thread: settings.int("message_thread_id").unwrap_or(0),
            message: settings.text_or("message", "{{ template \"telegram.default.message\" . }}")?,
            silent: settings.flag("disable_notifications").unwrap_or(false),
            parse_mode: if settings.has("parse_mode") {
                settings.plain("parse_mode")
            } else {
                "HTML".to_owned()
            },
        })
    }

    fn message(&self, job: &Job<'_>) -> Result<String, NotifyError> {
        if self.parse_mode != "HTML" {
            return job.short(&self.message, MOST);
        }
        let html = job.html(&self.message)?;
        if html.chars().count() <= MOST {
            return Ok(html);
        }
        tracing::warn!(receiver = %job.notification.receiver, "a message is over Telegram's limit");
        Ok(TOO_LONG.to_owned())
    }

    async fn chat(&self) -> Result<i64, NotifyError> {
        match &self.chat {
            Chat::Id(id) => Ok(*id),
            Chat::File(path) => {
                let text = read("chat_id_file", &Source::File(path.clone())).await?;
                text.parse().map_err(|_| permanent(format!("chat_id_file {}: no number", path.display())))
            }
        }
    }
}

impl Deliver for Telegram {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let mut body = BTreeMap::from([
            ("chat_id", self.chat().await?.to_string()),
            ("text", self.message(job)?),
            ("disable_web_page_preview", "true".to_owned()),
        ]);
        body.extend(self.silent.then(|| ("disable_notification", "true".to_owned())));
        body.extend((!self.parse_mode.is_empty()).then(|| ("parse_mode", self.parse_mode.clone())));
        body.extend((self.thread != 0).then(|| ("message_thread_id", self.thread.to_string())));
        let token = read("bot_token_file", &self.token).await?;
        let url = join(&self.url, &format!("bot{token}/sendMessage"));
        // Every failure is tried again, as in Alertmanager.
        let again = |error| NotifyError { retry: true, ..error };
        let response = common.send(Call::json(url, json(&body))).await.map_err(again)?;
        judge(&response).map_err(again)?;
        Ok(NotifyOutcome::default())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    ok: bool,
    description: String,
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    retry_after: Option<u64>,
}

fn judge(response: &Response) -> Result<(), NotifyError> {
    let answer: Option<Answer> = serde_json::from_slice(&response.body).ok();
    let said = answer.as_ref().map_or(&response.body[..], |answer| answer.description.as_bytes());
    let wait = answer.as_ref().and_then(|answer| answer.parameters.retry_after).map(Duration::from_secs);
    let later = |error: NotifyError| NotifyError { retry_after: error.retry_after.or(wait), ..error };
    check_with(response, &[], head(said)).map_err(later)?;
    match answer {
        Some(answer) if answer.ok => Ok(()),
        _ => Err(uncertain(format!("Telegram refuses: {}", head(said)))),
    }
}
