//! The Pushover integration: everything stands in the URL's query.

use std::time::Duration;

use alertmanager::{NotifyError, NotifyOutcome};
use client::Source;
use url::Url;

use crate::Endpoints;
use crate::answer::check;
use crate::common::{Call, Common, Deliver, Job, read};
use crate::settings::{Settings, Text, check_url};
use crate::texts::cut;

/// Characters of a title, a message and a URL.
const TITLE_MOST: usize = 250;
const MESSAGE_MOST: usize = 1024;
const URL_MOST: usize = 512;

/// One entry of `pushover_configs`.
pub(crate) struct Pushover {
    endpoint: Url,
    user: Source,
    token: Source,
    title: Text,
    message: Text,
    url: Text,
    url_title: Text,
    device: Text,
    sound: Text,
    priority: Text,
    retry: Duration,
    expire: Duration,
    ttl: Option<Duration>,
    html: bool,
    monospace: bool,
}

impl Pushover {
    pub(crate) fn new(settings: &Settings<'_>, endpoints: &Endpoints) -> Result<Self, String> {
        let own =
            |key: &str| settings.text_or(key, &format!("{{{{ template \"pushover.default.{key}\" . }}}}"));
        Ok(Self {
            endpoint: check_url(&endpoints.pushover)?,
            user: settings.needed("user_key")?,
            token: settings.needed("token")?,
            title: own("title")?,
            message: own("message")?,
            url: own("url")?,
            url_title: settings.text("url_title")?,
            device: settings.text("device")?,
            sound: settings.text("sound")?,
            priority: settings.text_or("priority", "{{ if eq .Status \"firing\" }}2{{ else }}0{{ end }}")?,
            retry: settings.timeout("retry").unwrap_or(Duration::from_mins(1)),
            expire: settings.timeout("expire").unwrap_or(Duration::from_hours(1)),
            ttl: settings.timeout("ttl"),
            html: settings.flag("html").unwrap_or(false),
            monospace: settings.flag("monospace").unwrap_or(false),
        })
    }

    fn message(&self, job: &Job<'_>) -> Result<String, NotifyError> {
        let text = if self.html { job.html(&self.message)? } else { job.text(&self.message)? };
        let short = cut(&text, MESSAGE_MOST);
        // An empty message is refused.
        Ok(if short.trim().is_empty() { "(no details)".to_owned() } else { short.trim().to_owned() })
    }

    async fn query(&self, job: &Job<'_>) -> Result<Vec<(&'static str, String)>, NotifyError> {
        let mut query = vec![
            ("token", job.render(&read("token_file", &self.token).await?)?),
            ("user", job.render(&read("user_key_file", &self.user).await?)?),
            ("title", job.short(&self.title, TITLE_MOST)?),
            ("message", self.message(job)?),
            ("url", job.short(&self.url, URL_MOST)?),
            ("url_title", job.text(&self.url_title)?),
            ("priority", job.text(&self.priority)?),
            ("retry", self.retry.as_secs().to_string()),
            ("expire", self.expire.as_secs().to_string()),
            ("device", job.text(&self.device)?),
            ("sound", job.text(&self.sound)?),
        ];
        query.extend(self.html.then(|| ("html", "1".to_owned())));
        query.extend(self.monospace.then(|| ("monospace", "1".to_owned())));
        let ttl = self.ttl.map_or(0, |ttl| ttl.as_secs());
        query.extend((ttl > 0).then(|| ("ttl", ttl.to_string())));
        query.sort();
        Ok(query)
    }
}

impl Deliver for Pushover {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let query = self.query(job).await?;
        let mut url = self.endpoint.clone();
        url.query_pairs_mut().extend_pairs(query);
        let call = Call { content_type: Some("text/plain"), ..Call::json(url, String::new()) };
        check(&common.send(call).await?, &[])?;
        Ok(NotifyOutcome::default())
    }
}
