//! The Jira integration: an issue for each group, found again by a label, moved when the group is over.

use std::collections::BTreeMap;
use std::time::Duration;

use alertmanager::{NotifyError, NotifyOutcome};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as value};
use url::Url;
use yaml::Node;

use crate::answer::{check, permanent, refused};
use crate::common::{Call, Common, Deliver, Job};
use crate::payload::rendered;
use crate::settings::{Settings, Text, join};
use crate::texts::json;

/// Characters of a summary and a description.
const SUMMARY_MOST: usize = 255;
const DESCRIPTION_MOST: usize = 32_767;

/// A text, and whether an issue that exists already gets it.
struct Field {
    text: Text,
    update: bool,
}

/// One entry of `jira_configs`.
pub(crate) struct Jira {
    url: Url,
    search: Url,
    /// Whether descriptions are documents of the third API, not texts.
    documents: bool,
    project: Text,
    issue_type: Text,
    summary: Field,
    description: Field,
    labels: Vec<Text>,
    priority: Text,
    fields: Vec<(String, Node)>,
    reopen_transition: String,
    resolve_transition: String,
    wont_fix_resolution: String,
    reopen_duration: Duration,
}

impl Jira {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        let url = settings.url("api_url", "")?;
        let fields = settings.any("fields")?;
        let fields = fields.as_ref().map_or(&[][..], Node::entries).iter();
        Ok(Self {
            search: search_url(&url, &settings.plain("api_type")),
            documents: url.path().trim_end_matches('/').ends_with("/3"),
            url,
            project: settings.text("project")?,
            issue_type: settings.text("issue_type")?,
            summary: field(settings, "summary")?,
            description: field(settings, "description")?,
            labels: settings.texts("labels")?,
            priority: settings.text_or("priority", "{{ template \"jira.default.priority\" . }}")?,
            fields: fields.map(|entry| (entry.key.clone(), entry.value.clone())).collect(),
            reopen_transition: settings.plain("reopen_transition"),
            resolve_transition: settings.plain("resolve_transition"),
            wont_fix_resolution: settings.plain("wont_fix_resolution"),
            reopen_duration: settings.duration("reopen_duration").unwrap_or_default(),
        })
    }

    /// Jira's query for the issue of this group.
    fn query(&self, job: &Job<'_>) -> Result<String, NotifyError> {
        let mut query = String::new();
        if !self.wont_fix_resolution.is_empty() {
            query.push_str(&format!("resolution != {} and ", quoted(&self.wont_fix_resolution)));
        }
        let minutes = self.reopen_duration.as_secs() / 60;
        if job.fires() && !self.reopen_transition.is_empty() && minutes > 0 {
            query.push_str(&format!("(resolutiondate is EMPTY OR resolutiondate >= -{minutes}m) and "));
        } else {
            query.push_str("statusCategory != Done and ");
        }
        let (project, label) = (quoted(&job.text(&self.project)?), quoted(&label(job)));
        query.push_str(&format!(
            "project={project} and labels={label} order by status ASC,resolutiondate DESC"
        ));
        Ok(query)
    }

    async fn find(&self, common: &Common, job: &Job<'_>) -> Result<Option<Issue>, NotifyError> {
        let body = value!({ "fields": ["status"], "jql": self.query(job)?, "maxResults": 2 });
        let mut found: Found = call(common, Method::POST, &self.search, Some(&body)).await?;
        if found.issues.len() > 1 {
            tracing::warn!(
                issue = found.issues[0].key, group = %job.notification.group_key,
                "several Jira issues are of one group; the first is used"
            );
        }
        Ok(if found.issues.is_empty() { None } else { Some(found.issues.swap_remove(0)) })
    }

    fn body(&self, job: &Job<'_>, exists: bool) -> Result<Value, NotifyError> {
        let mut fields = BTreeMap::new();
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        set("project", value!({ "key": job.text(&self.project)? }));
        set("issuetype", value!({ "name": job.text(&self.issue_type)? }));
        if self.summary.update || !exists {
            set("summary", Value::String(job.short(&self.summary.text, SUMMARY_MOST)?));
        }
        if self.description.update || !exists {
            let text = job.short(&self.description.text, DESCRIPTION_MOST)?;
            if let Some(description) = self.described(&text)? {
                set("description", description);
            }
        }
        let mut labels = self.labels.iter().map(|text| job.text(text)).collect::<Result<Vec<_>, _>>()?;
        labels.push(label(job));
        labels.sort();
        set("labels", value!(labels));
        let priority = job.text(&self.priority)?;
        if !priority.is_empty() {
            set("priority", value!({ "name": priority }));
        }
        for (name, node) in &self.fields {
            set(name, rendered(job, node)?);
        }
        Ok(value!({ "fields": fields }))
    }

    fn described(&self, text: &str) -> Result<Option<Value>, NotifyError> {
        if !self.documents {
            return Ok((!text.is_empty()).then(|| Value::String(text.to_owned())));
        }
        if text.trim().is_empty() {
            return Ok(None);
        }
        let document = serde_json::from_str(text.trim());
        document.map(Some).map_err(|error| {
            permanent(format!("description: {error}; expected a JSON document for Jira's third API"))
        })
    }

    /// Moves an issue that is in the wrong state.
    async fn transit(&self, common: &Common, job: &Job<'_>, issue: &Issue) -> Result<(), NotifyError> {
        let Some(status) = &issue.fields.status else { return Ok(()) };
        let done = status.status_category.key == "done";
        let transition = match (job.fires(), done) {
            (true, true) => &self.reopen_transition,
            (false, false) => &self.resolve_transition,
            _ => return Ok(()),
        };
        if transition.is_empty() {
            return Ok(());
        }
        let url = join(&self.url, &format!("issue/{}/transitions", issue.key));
        let known: Transitions = call(common, Method::GET, &url, None).await?;
        let Some(known) = known.transitions.into_iter().find(|known| known.name == *transition) else {
            return Err(refused(format!("can't find transition {transition} for issue {}", issue.key)));
        };
        let body = value!({ "transition": { "id": known.id } });
        send(common, Method::POST, &url, Some(&body)).await.map(|_| ())
    }
}

fn field(settings: &Settings<'_>, key: &str) -> Result<Field, String> {
    let default = format!("{{{{ template \"jira.default.{key}\" . }}}}");
    let parts = settings.map(key);
    if parts.has("template") || parts.has("enable_update") {
        let update = parts.flag("enable_update").unwrap_or(true);
        return Ok(Field { text: parts.text_or("template", &default)?, update });
    }
    Ok(Field { text: settings.text_or(key, &default)?, update: true })
}

/// Jira Cloud searches under another path, which only its third API has.
fn search_url(url: &Url, kind: &str) -> Url {
    let cloud = match kind {
        "cloud" => true,
        "datacenter" => false,
        _ => url.host_str().is_some_and(|host| host.ends_with("atlassian.net")),
    };
    if !cloud {
        return join(url, "search");
    }
    let mut search = join(url, "search/jql");
    search.set_path(&search.path().replacen("/rest/api/2/", "/rest/api/3/", 1));
    search
}

fn label(job: &Job<'_>) -> String {
    format!("ALERT{{{}}}", job.group_hash())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

async fn send(
    common: &Common,
    method: Method,
    url: &Url,
    body: Option<&Value>,
) -> Result<client::Response, NotifyError> {
    let shown = format!("{method} {}", url.path());
    let body = body.map(json).unwrap_or_default();
    let request = Call { method, ..Call::json(url.clone(), body) }.header("accept-language", "en");
    let named = |error: NotifyError| NotifyError { message: format!("{shown}: {}", error.message), ..error };
    let response = common.send(request).await.map_err(named)?;
    check(&response, &[]).map_err(named)?;
    Ok(response)
}

async fn call<T: for<'de> Deserialize<'de>>(
    common: &Common,
    method: Method,
    url: &Url,
    body: Option<&Value>,
) -> Result<T, NotifyError> {
    let response = send(common, method, url, body).await?;
    serde_json::from_slice(&response.body)
        .map_err(|error| refused(format!("{}: the answer is no JSON of Jira's: {error}", url.path())))
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    issues: Vec<Issue>,
}

#[derive(Deserialize)]
struct Issue {
    key: String,
    #[serde(default)]
    fields: IssueFields,
}

#[derive(Default, Deserialize)]
struct IssueFields {
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    status_category: Category,
}

#[derive(Deserialize)]
struct Category {
    key: String,
}

#[derive(Deserialize)]
struct Transitions {
    #[serde(default)]
    transitions: Vec<Transition>,
}

#[derive(Deserialize, Serialize)]
struct Transition {
    id: String,
    name: String,
}

impl Deliver for Jira {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        match self.find(common, job).await? {
            // What is over needs no issue.
            None if !job.fires() => {}
            None => {
                send(common, Method::POST, &join(&self.url, "issue"), Some(&self.body(job, false)?)).await?;
            }
            Some(issue) => {
                let url = join(&self.url, &format!("issue/{}", issue.key));
                send(common, Method::PUT, &url, Some(&self.body(job, true)?)).await?;
                self.transit(common, job, &issue).await?;
            }
        }
        Ok(NotifyOutcome::default())
    }
}
