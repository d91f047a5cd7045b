//! The Opsgenie integration: alerts are created and closed under an alias that is the group's.

use std::collections::BTreeMap;

use alertmanager::{NotifyError, NotifyOutcome};
use client::Source;
use http::Method;
use serde::Serialize;
use url::Url;

use crate::answer::check;
use crate::common::{Call, Common, Deliver, Job, read};
use crate::settings::{Settings, Text, join};
use crate::texts::json;

const URL: &str = "https://api.opsgenie.com/";
/// Characters of a message.
const MESSAGE_MOST: usize = 130;

/// One entry of `opsgenie_configs`.
pub(crate) struct OpsGenie {
    url: Url,
    key: Source,
    message: Text,
    description: Text,
    source: Text,
    details: Vec<(String, Text)>,
    entity: Text,
    /// Id, name, user name, type.
    responders: Vec<[Text; 4]>,
    actions: Text,
    tags: Text,
    note: Text,
    priority: Text,
    update: bool,
}

impl OpsGenie {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        let responder =
            |it: Settings<'_>| Ok([it.text("id")?, it.text("name")?, it.text("username")?, it.text("type")?]);
        Ok(Self {
            url: settings.base_url("api_url", URL)?,
            key: settings.needed("api_key")?,
            message: settings.text_or("message", "{{ template \"opsgenie.default.message\" . }}")?,
            description: settings
                .text_or("description", "{{ template \"opsgenie.default.description\" . }}")?,
            source: settings.text_or("source", "{{ template \"opsgenie.default.source\" . }}")?,
            details: settings.pairs("details")?,
            entity: settings.text("entity")?,
            responders: settings.list("responders").map(responder).collect::<Result<_, String>>()?,
            actions: settings.text("actions")?,
            tags: settings.text("tags")?,
            note: settings.text("note")?,
            priority: settings.text("priority")?,
            update: settings.flag("update_alerts").unwrap_or(false),
        })
    }

    fn of_alias(&self, alias: &str, what: &str) -> Url {
        let mut url = join(&self.url, &format!("v2/alerts/{alias}/{what}"));
        url.query_pairs_mut().append_pair("identifierType", "alias");
        url
    }

    fn create(&self, job: &Job<'_>, alias: &str) -> Result<Create, NotifyError> {
        let common = job.notification.common_labels().into_iter();
        let mut details: BTreeMap<String, String> =
            common.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, text) in &self.details {
            details.insert(name.clone(), job.text(text)?);
        }
        Ok(Create {
            alias: alias.to_owned(),
            message: job.short(&self.message, MESSAGE_MOST)?,
            description: job.text(&self.description)?,
            details,
            source: job.text(&self.source)?,
            responders: self.responders(job)?,
            tags: parts(&job.text(&self.tags)?),
            note: job.text(&self.note)?,
            priority: job.text(&self.priority)?,
            entity: job.text(&self.entity)?,
            actions: parts(&job.text(&self.actions)?),
        })
    }

    fn responders(&self, job: &Job<'_>) -> Result<Vec<Responder>, NotifyError> {
        let mut found = Vec::new();
        for [id, name, username, kind] in &self.responders {
            let (id, name) = (job.text(id)?, job.text(name)?);
            let (username, kind) = (job.text(username)?, job.text(kind)?);
            // Templates may give none, and several teams at once.
            if [&id, &name, &username].iter().all(|part| part.is_empty()) {
                continue;
            }
            if kind == "teams" {
                found.extend(parts(&name).into_iter().map(|name| Responder {
                    name,
                    kind: "team".to_owned(),
                    ..Responder::default()
                }));
            } else {
                found.push(Responder { id, name, username, kind });
            }
        }
        Ok(found)
    }
}

/// Parts between commas that are not empty.
fn parts(text: &str) -> Vec<String> {
    text.trim().split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[derive(Serialize)]
struct Create {
    alias: String,
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    details: BTreeMap<String, String>,
    source: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    responders: Vec<Responder>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    priority: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    entity: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<String>,
}

#[derive(Default, Serialize)]
struct Responder {
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Deliver for OpsGenie {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let alias = job.group_hash();
        let put = |url: Url, body| Call { method: Method::PUT, ..Call::json(url, body) };
        let mut calls = Vec::new();
        if job.fires() {
            let create = self.create(job, &alias)?;
            calls.push(Call::json(join(&self.url, "v2/alerts"), json(&create)));
            if self.update {
                let message = BTreeMap::from([("message", &create.message)]);
                let description = BTreeMap::from([("description", &create.description)]);
                calls.push(put(self.of_alias(&alias, "message"), json(&message)));
                calls.push(put(self.of_alias(&alias, "description"), json(&description)));
            }
        } else {
            let close = BTreeMap::from([("source", job.text(&self.source)?)]);
            calls.push(Call::json(self.of_alias(&alias, "close"), json(&close)));
        }
        let key = job.render(&read("api_key_file", &self.key).await?)?;
        for call in calls {
            let call = call.header("authorization", format!("GenieKey {key}"));
            check(&common.send(call).await?, &[])?;
        }
        Ok(NotifyOutcome::default())
    }
}
