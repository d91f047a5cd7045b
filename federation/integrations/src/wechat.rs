//! The WeChat Work integration: a token that holds two hours, then the message.

use std::time::Duration;

use alertmanager::{NotifyError, NotifyOutcome};
use client::Source;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::answer::{check, head, permanent, reason, refused, uncertain};
use crate::common::{Call, Common, Deliver, Job, read};
use crate::settings::{Settings, Text, join};
use crate::texts::json;

const URL: &str = "https://qyapi.weixin.qq.com/cgi-bin/";
/// How long a token is used.
const TOKEN_HOLDS: Duration = Duration::from_hours(2);
/// The token is over: a new one helps.
const TOKEN_EXPIRED: i64 = 42_001;

/// A token, and when on the monotonic clock it was given.
struct Token {
    text: String,
    since: Duration,
}

/// One entry of `wechat_configs`.
pub(crate) struct WeChat {
    url: Url,
    secret: Source,
    corp_id: Text,
    message: Text,
    markdown: bool,
    to_user: Text,
    to_party: Text,
    to_tag: Text,
    agent_id: Text,
    token: Mutex<Option<Token>>,
}

impl WeChat {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        let own =
            |key: &str| settings.text_or(key, &format!("{{{{ template \"wechat.default.{key}\" . }}}}"));
        Ok(Self {
            url: settings.base_url("api_url", URL)?,
            secret: settings.needed("api_secret")?,
            corp_id: settings.text("corp_id")?,
            message: own("message")?,
            markdown: settings.plain("message_type") == "markdown",
            to_user: own("to_user")?,
            to_party: own("to_party")?,
            to_tag: own("to_tag")?,
            agent_id: own("agent_id")?,
            token: Mutex::new(None),
        })
    }

    fn known_token(&self, now: Duration) -> Option<String> {
        let token = self.token.lock();
        let token = token.as_ref().filter(|token| now.saturating_sub(token.since) <= TOKEN_HOLDS)?;
        Some(token.text.clone())
    }

    async fn token(&self, common: &Common, job: &Job<'_>) -> Result<String, NotifyError> {
        let now = common.clock.monotonic();
        if let Some(token) = self.known_token(now) {
            return Ok(token);
        }
        let secret = job.render(&read("api_secret_file", &self.secret).await?)?;
        let mut url = join(&self.url, "gettoken");
        url.query_pairs_mut()
            .append_pair("corpid", &job.text(&self.corp_id)?)
            .append_pair("corpsecret", &secret);
        let call = Call { method: Method::GET, content_type: None, ..Call::json(url, String::new()) };
        let response = common.send(call).await?;
        check(&response, &[])?;
        let answer: Given = serde_json::from_slice(&response.body)
            .map_err(|error| permanent(format!("the token's answer is no JSON of WeChat's: {error}")))?;
        if answer.access_token.is_empty() {
            return Err(refused("no token for this corp_id and api_secret"));
        }
        *self.token.lock() = Some(Token { text: answer.access_token.clone(), since: now });
        Ok(answer.access_token)
    }

    fn body(&self, job: &Job<'_>) -> Result<String, NotifyError> {
        let content = job.text(&self.message)?;
        let (text, markdown) =
            if self.markdown { (String::new(), content) } else { (content, String::new()) };
        Ok(json(&Message {
            text: Content { content: text },
            touser: job.text(&self.to_user)?,
            toparty: job.text(&self.to_party)?,
            totag: job.text(&self.to_tag)?,
            agentid: job.text(&self.agent_id)?,
            safe: "0",
            msgtype: if self.markdown { "markdown" } else { "text" },
            markdown: Content { content: markdown },
        }))
    }
}

#[derive(Serialize)]
struct Message {
    text: Content,
    #[serde(skip_serializing_if = "String::is_empty")]
    touser: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    toparty: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    totag: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    agentid: String,
    safe: &'static str,
    msgtype: &'static str,
    markdown: Content,
}

#[derive(Serialize)]
struct Content {
    content: String,
}

#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    access_token: String,
}

#[derive(Deserialize)]
struct Answer {
    errcode: i64,
    #[serde(default)]
    errmsg: String,
}

impl Deliver for WeChat {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let body = self.body(job)?;
        let token = self.token(common, job).await?;
        let mut url = join(&self.url, "message/send");
        url.query_pairs_mut().append_pair("access_token", &token);
        let response = common.send(Call::json(url, body)).await?;
        if response.status != StatusCode::OK {
            // Any other status is tried again.
            let error = check(&response, &[]).err().unwrap_or_else(|| permanent("unexpected status code"));
            return Err(NotifyError { retry: true, reason: reason(response.status), ..error });
        }
        let answer: Answer = serde_json::from_slice(&response.body)
            .map_err(|error| uncertain(format!("the answer is no JSON of WeChat's: {error}")))?;
        match answer.errcode {
            0 => Ok(NotifyOutcome::default()),
            TOKEN_EXPIRED => {
                *self.token.lock() = None;
                Err(NotifyError { retry: true, ..refused(head(answer.errmsg.as_bytes())) })
            }
            code => Err(refused(format!("error {code}: {}", head(answer.errmsg.as_bytes())))),
        }
    }
}
