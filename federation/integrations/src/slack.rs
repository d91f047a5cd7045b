//! The Slack integration: an incoming webhook, or an app's token, with which messages can be updated.

use std::time::Duration;

use alertmanager::{FailureReason, NotifyError, NotifyOutcome, Reason};
use client::{Response, Source};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::answer::{check, head, refused, uncertain};
use crate::common::{Call, Common, Deliver, Job, read};
use crate::settings::{Settings, Text};
use crate::texts::{is_false, json};

/// Where an app's messages go.
const APP_URL: &str = "https://slack.com/api/chat.postMessage";
/// Characters of a title.
const TITLE_MOST: usize = 1024;
/// What is remembered of a message, to update it.
const TS: &str = "threadTs";
const CHANNEL: &str = "channelId";

enum Way {
    /// The URL is the secret.
    Hook(Source),
    App {
        url: Url,
        token: Source,
    },
}

/// One entry of `slack_configs`.
pub(crate) struct Slack {
    way: Way,
    channel: Text,
    username: Text,
    icon_emoji: Text,
    icon_url: Text,
    message_text: Text,
    link_names: bool,
    update: bool,
    timeout: Option<Duration>,
    attachment: AttachmentTexts,
}

struct AttachmentTexts {
    title: Text,
    title_link: Text,
    pretext: Text,
    text: Text,
    fallback: Text,
    callback_id: Text,
    image_url: Text,
    thumb_url: Text,
    footer: Text,
    color: Text,
    fields: Vec<(Text, Text, bool)>,
    actions: Vec<ActionTexts>,
    mrkdwn_in: Vec<String>,
}

struct ActionTexts {
    kind: Text,
    text: Text,
    url: Text,
    style: Text,
    name: Text,
    value: Text,
    confirm: Option<[Text; 4]>,
}

impl Slack {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        let own = |key: &str, name: &str| {
            settings.text_or(key, &format!("{{{{ template \"slack.default.{name}\" . }}}}"))
        };
        let way = match settings.secret("app_token") {
            Some(token) => Way::App { url: settings.url("app_url", APP_URL)?, token },
            None => Way::Hook(settings.secret_url("api_url")?),
        };
        let mut mrkdwn_in: Vec<String> =
            settings.texts("mrkdwn_in")?.iter().map(|text| text.as_str().to_owned()).collect();
        if mrkdwn_in.is_empty() {
            mrkdwn_in = ["fallback", "pretext", "text"].map(str::to_owned).to_vec();
        }
        let short = settings.flag("short_fields").unwrap_or(false);
        let field = |field: Settings<'_>| {
            Ok((field.text("title")?, field.text("value")?, field.flag("short").unwrap_or(short)))
        };
        Ok(Self {
            way,
            channel: settings.text("channel")?,
            username: own("username", "username")?,
            icon_emoji: own("icon_emoji", "iconemoji")?,
            icon_url: own("icon_url", "iconurl")?,
            message_text: settings.text("message_text")?,
            link_names: settings.flag("link_names").unwrap_or(false),
            update: settings.flag("update_message").unwrap_or(false),
            timeout: settings.timeout("timeout"),
            attachment: AttachmentTexts {
                title: own("title", "title")?,
                title_link: own("title_link", "titlelink")?,
                pretext: own("pretext", "pretext")?,
                text: own("text", "text")?,
                fallback: own("fallback", "fallback")?,
                callback_id: own("callback_id", "callbackid")?,
                image_url: settings.text("image_url")?,
                thumb_url: settings.text("thumb_url")?,
                footer: own("footer", "footer")?,
                color: own("color", "color")?,
                fields: settings.list("fields").map(field).collect::<Result<_, String>>()?,
                actions: settings.list("actions").map(|it| action(&it)).collect::<Result<_, _>>()?,
                mrkdwn_in,
            },
        })
    }

    /// Where the message goes, and with which token.
    async fn place(&self) -> Result<(String, Option<String>), NotifyError> {
        match &self.way {
            Way::Hook(url) => Ok((read("api_url_file", url).await?, None)),
            Way::App { url, token } => Ok((url.to_string(), Some(read("app_token_file", token).await?))),
        }
    }
}

fn action(settings: &Settings<'_>) -> Result<ActionTexts, String> {
    let url = settings.text("url")?;
    // A link has none of what a button tells the app.
    let button = url.as_str().is_empty();
    let only = |key: &str| if button { settings.text(key) } else { Ok(Text::default()) };
    let confirm = settings.map("confirm");
    let confirm = match settings.has("confirm") && button {
        true => Some([
            confirm.text("text")?,
            confirm.text("title")?,
            confirm.text("ok_text")?,
            confirm.text("dismiss_text")?,
        ]),
        false => None,
    };
    Ok(ActionTexts {
        kind: settings.text("type")?,
        text: settings.text("text")?,
        style: settings.text("style")?,
        name: only("name")?,
        value: only("value")?,
        url,
        confirm,
    })
}

#[derive(Serialize)]
struct Request {
    #[serde(skip_serializing_if = "String::is_empty")]
    channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ts: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_emoji: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_url: String,
    #[serde(skip_serializing_if = "is_false")]
    link_names: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    attachments: [Attachment; 1],
}

#[derive(Serialize)]
struct Attachment {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title_link: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pretext: String,
    text: String,
    fallback: String,
    callback_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Action>,
    #[serde(skip_serializing_if = "String::is_empty")]
    image_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thumb_url: String,
    footer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    color: String,
    mrkdwn_in: Vec<String>,
}

#[derive(Serialize)]
struct Field {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    short: bool,
}

#[derive(Serialize)]
struct Action {
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    style: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<Confirm>,
}

#[derive(Serialize)]
struct Confirm {
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ok_text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    dismiss_text: String,
}

impl AttachmentTexts {
    fn rendered(&self, job: &Job<'_>) -> Result<Attachment, NotifyError> {
        let field = |(title, value, short): &(Text, Text, bool)| {
            Ok(Field { title: job.text(title)?, value: job.text(value)?, short: *short })
        };
        Ok(Attachment {
            title: job.short(&self.title, TITLE_MOST)?,
            title_link: job.text(&self.title_link)?,
            pretext: job.text(&self.pretext)?,
            text: job.text(&self.text)?,
            fallback: job.text(&self.fallback)?,
            callback_id: job.text(&self.callback_id)?,
            fields: self.fields.iter().map(field).collect::<Result<_, NotifyError>>()?,
            actions: self.actions.iter().map(|it| it.rendered(job)).collect::<Result<_, _>>()?,
            image_url: job.text(&self.image_url)?,
            thumb_url: job.text(&self.thumb_url)?,
            footer: job.text(&self.footer)?,
            color: job.text(&self.color)?,
            mrkdwn_in: self.mrkdwn_in.clone(),
        })
    }
}

impl ActionTexts {
    fn rendered(&self, job: &Job<'_>) -> Result<Action, NotifyError> {
        let confirm = match &self.confirm {
            Some([text, title, ok, dismiss]) => Some(Confirm {
                text: job.text(text)?,
                title: job.text(title)?,
                ok_text: job.text(ok)?,
                dismiss_text: job.text(dismiss)?,
            }),
            None => None,
        };
        Ok(Action {
            kind: job.text(&self.kind)?,
            text: job.text(&self.text)?,
            url: job.text(&self.url)?,
            style: job.text(&self.style)?,
            name: job.text(&self.name)?,
            value: job.text(&self.value)?,
            confirm,
        })
    }
}

impl Deliver for Slack {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let mut request = Request {
            channel: job.text(&self.channel)?,
            ts: String::new(),
            username: job.text(&self.username)?,
            icon_emoji: job.text(&self.icon_emoji)?,
            icon_url: job.text(&self.icon_url)?,
            link_names: self.link_names,
            text: job.text(&self.message_text)?,
            attachments: [self.attachment.rendered(job)?],
        };
        let (mut url, token) = self.place().await?;
        // A group that fires anew gets a message of its own.
        if self.update && job.notification.reason != Reason::First {
            let known = |key: &str| job.notification.receiver_data.iter().find(|(name, _)| name == key);
            if let (Some((_, ts)), Some((_, channel))) = (known(TS), known(CHANNEL)) {
                url = url.replacen("chat.postMessage", "chat.update", 1);
                (request.ts, request.channel) = (ts.clone(), channel.clone());
            }
        }
        let mut call = Call::json(url, json(&request)).within(self.timeout);
        if let Some(token) = token {
            call = call.header("authorization", format!("Bearer {token}"));
        }
        let in_channel = |error: NotifyError| NotifyError {
            message: format!("channel {:?}: {}", request.channel, error.message),
            ..error
        };
        let response = common.send(call).await?;
        check(&response, &[]).map_err(in_channel)?;
        let outcome = accepted(&response).map_err(in_channel)?;
        Ok(if self.update { outcome } else { NotifyOutcome::default() })
    }
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    ts: String,
}

/// Slack also refuses with status 200.
fn accepted(response: &Response) -> Result<NotifyOutcome, NotifyError> {
    let kind = response.headers.get(http::header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    if !kind.unwrap_or_default().starts_with("application/json") {
        return match response.body.as_ref() {
            b"ok" => Ok(NotifyOutcome::default()),
            body => Err(refused(format!("received an error response from Slack: {}", head(body)))),
        };
    }
    let answer: Answer = serde_json::from_slice(&response.body)
        .map_err(|error| uncertain(format!("the answer is no JSON of Slack's: {error}")))?;
    if !answer.ok {
        let limited = answer.error == "ratelimited" || answer.error == "rate_limited";
        let error = refused(format!("error response from Slack: {}", head(answer.error.as_bytes())));
        let reason = if limited { FailureReason::RateLimited } else { error.reason };
        return Err(NotifyError { retry: limited, reason, ..error });
    }
    if answer.ts.is_empty() || answer.channel.is_empty() {
        return Ok(NotifyOutcome::default());
    }
    let data = vec![(TS.to_owned(), answer.ts), (CHANNEL.to_owned(), answer.channel)];
    Ok(NotifyOutcome { receiver_data: data })
}
