//! The PagerDuty integration: events of the second API, or of the first where a service key is set.

use std::collections::BTreeMap;
use std::time::Duration;

use alertmanager::{NotifyError, NotifyOutcome};
use client::{Response, Source};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use yaml::{Kind, Node, Position};

use crate::Endpoints;
use crate::answer::{check_with, permanent};
use crate::common::{Call, Common, Deliver, Job, read};
use crate::payload::rendered;
use crate::settings::{Settings, Text};
use crate::texts::json;

const URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// Bytes that PagerDuty takes.
const MOST: usize = 512_000;
/// Characters of a summary.
const SUMMARY_MOST: usize = 1024;
/// Details where the configuration does not give them.
const DETAILS: [(&str, &str); 4] = [
    ("firing", "{{ .Alerts.Firing | toJson }}"),
    ("num_firing", "{{ .Alerts.Firing | len }}"),
    ("num_resolved", "{{ .Alerts.Resolved | len }}"),
    ("resolved", "{{ .Alerts.Resolved | toJson }}"),
];

enum Way {
    First { url: String, key: Source },
    Second { url: Url, key: Source },
}

/// One entry of `pagerduty_configs`.
pub(crate) struct PagerDuty {
    way: Way,
    client: Text,
    client_url: Text,
    description: Text,
    details: Vec<(String, Node)>,
    images: Vec<[Text; 3]>,
    links: Vec<[Text; 2]>,
    source: Text,
    severity: Text,
    class: Text,
    component: Text,
    group: Text,
    timeout: Option<Duration>,
}

impl PagerDuty {
    pub(crate) fn new(settings: &Settings<'_>, endpoints: &Endpoints) -> Result<Self, String> {
        let way = match settings.secret("service_key") {
            Some(key) => Way::First { url: endpoints.pagerduty_v1.clone(), key },
            None => Way::Second { url: settings.url("url", URL)?, key: settings.needed("routing_key")? },
        };
        let client = settings.text_or("client", "{{ template \"pagerduty.default.client\" . }}")?;
        Ok(Self {
            way,
            source: settings.filled_or("source", client.as_str())?,
            client,
            client_url: settings.text_or("client_url", "{{ template \"pagerduty.default.clientURL\" . }}")?,
            description: settings
                .text_or("description", "{{ template \"pagerduty.default.description\" . }}")?,
            details: details(settings)?,
            images: settings
                .list("images")
                .map(|it| Ok([it.text("src")?, it.text("alt")?, it.text("href")?]))
                .collect::<Result<_, String>>()?,
            links: settings
                .list("links")
                .map(|it| Ok([it.text("href")?, it.text("text")?]))
                .collect::<Result<_, String>>()?,
            severity: settings.filled_or("severity", "error")?,
            class: settings.text("class")?,
            component: settings.text("component")?,
            group: settings.text("group")?,
            timeout: settings.timeout("timeout"),
        })
    }

    fn details(&self, job: &Job<'_>) -> Result<Details, NotifyError> {
        let detail = |(name, node): &(String, Node)| {
            let value = rendered(job, node);
            let named = |error: NotifyError| NotifyError {
                message: format!("details {name:?}: {}", error.message),
                ..error
            };
            Ok((name.clone(), value.map_err(named)?))
        };
        self.details.iter().map(detail).collect()
    }

    fn first(&self, job: &Job<'_>, key: String) -> Result<Message, NotifyError> {
        let only_trigger = |text: &Text| if job.fires() { job.text(text) } else { Ok(String::new()) };
        Ok(Message {
            service_key: key,
            incident_key: job.group_hash(),
            event_type: event(job),
            description: job.short(&self.description, SUMMARY_MOST)?,
            client: only_trigger(&self.client)?,
            client_url: only_trigger(&self.client_url)?,
            details: self.details(job)?,
            ..Message::default()
        })
    }

    fn second(&self, job: &Job<'_>, key: String) -> Result<Message, NotifyError> {
        let mut images = Vec::new();
        for [src, alt, href] in &self.images {
            let image = Image { src: job.text(src)?, alt: job.text(alt)?, href: job.text(href)? };
            images.extend((!image.src.is_empty()).then_some(image));
        }
        let mut links = Vec::new();
        for [href, text] in &self.links {
            let link = Link { href: job.text(href)?, text: job.text(text)? };
            links.extend((!link.href.is_empty()).then_some(link));
        }
        Ok(Message {
            routing_key: key,
            dedup_key: job.group_hash(),
            event_action: event(job),
            client: job.text(&self.client)?,
            client_url: job.text(&self.client_url)?,
            images,
            links,
            payload: Some(Payload {
                summary: job.short(&self.description, SUMMARY_MOST)?,
                source: job.text(&self.source)?,
                severity: job.text(&self.severity)?,
                class: job.text(&self.class)?,
                component: job.text(&self.component)?,
                group: job.text(&self.group)?,
                custom_details: self.details(job)?,
            }),
            ..Message::default()
        })
    }
}

fn details(settings: &Settings<'_>) -> Result<Vec<(String, Node)>, String> {
    let own = settings.any("details")?;
    let entries = own.as_ref().map_or(&[][..], Node::entries);
    let mut details: Vec<_> = entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
    for (name, text) in DETAILS {
        if entries.iter().all(|entry| entry.key != name) {
            let kind = Kind::Scalar { text: text.to_owned(), quoted: true };
            details.push((name.to_owned(), Node { at: Position::START, kind }));
        }
    }
    Ok(details)
}

fn event(job: &Job<'_>) -> &'static str {
    if job.fires() { "trigger" } else { "resolve" }
}

type Details = BTreeMap<String, Value>;

#[derive(Default, Serialize)]
struct Message {
    #[serde(skip_serializing_if = "String::is_empty")]
    routing_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    service_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    dedup_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    incident_key: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    event_type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    event_action: &'static str,
    payload: Option<Payload>,
    #[serde(skip_serializing_if = "String::is_empty")]
    client: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_url: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: Details,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Image>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
}

#[derive(Serialize)]
struct Payload {
    summary: String,
    source: String,
    severity: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    class: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    component: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    custom_details: Details,
}

#[derive(Serialize)]
struct Image {
    src: String,
    alt: String,
    href: String,
}

#[derive(Serialize)]
struct Link {
    href: String,
    text: String,
}

/// The event within PagerDuty's limit: details go where it is over.
fn encoded(message: &mut Message) -> String {
    let body = json(message);
    if body.len() <= MOST {
        return body;
    }
    tracing::warn!(bytes = body.len(), most = MOST, "a PagerDuty event is sent without its details");
    let why = format!(
        "Custom details have been removed because the original event exceeds the maximum size of {}KB",
        MOST / 1000
    );
    let details = Details::from([("error".to_owned(), Value::String(why))]);
    match &mut message.payload {
        Some(payload) => payload.custom_details = details,
        None => message.details = details,
    }
    json(message)
}

impl Deliver for PagerDuty {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let (what, source) = match &self.way {
            Way::First { key, .. } => ("service_key", key),
            Way::Second { key, .. } => ("routing_key", key),
        };
        let key = job.render(&read(&format!("{what}_file"), source).await?)?;
        if key.is_empty() {
            return Err(permanent(format!("{what} cannot be empty")));
        }
        let (url, mut message, again) = match &self.way {
            Way::First { url, .. } => (url.clone(), self.first(job, key)?, &[403][..]),
            Way::Second { url, .. } => (url.to_string(), self.second(job, key)?, &[][..]),
        };
        let call = Call::json(url, encoded(&mut message)).within(self.timeout);
        let response = common.send(call).await?;
        check_with(&response, again, details_of(&response))?;
        Ok(NotifyOutcome::default())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    message: String,
    errors: Vec<String>,
}

fn details_of(response: &Response) -> String {
    if response.status != StatusCode::BAD_REQUEST {
        return String::new();
    }
    match serde_json::from_slice::<Refusal>(&response.body) {
        Ok(said) => crate::answer::head(format!("{}: {}", said.message, said.errors.join(",")).as_bytes()),
        Err(_) => String::new(),
    }
}
