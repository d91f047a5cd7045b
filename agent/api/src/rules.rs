//! `/rules` and `/alerts`.

use std::fmt::Write as _;

use model::{Labels, Matcher};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;
use crate::json::{go_float, rfc3339_opt};
use crate::params::{Params, flag};
use crate::reply::Reply;
use crate::state::{Answer, Inner};
use crate::status::{Alert, AlertingRule, RecordingRule, Rule, RuleGroup};

/// What the parameters of `/rules` select.
struct Filter<'a> {
    alerting: bool,
    recording: bool,
    names: Vec<&'a str>,
    groups: Vec<&'a str>,
    files: Vec<&'a str>,
    matcher_sets: Vec<Vec<Matcher>>,
    without_alerts: bool,
}

/// Which groups make a page: so many, from the one that the token names.
struct Paging<'a> {
    groups_max: Option<usize>,
    token: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    groups: Vec<Group>,
    #[serde(skip_serializing_if = "String::is_empty")]
    group_next_token: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    file: String,
    rules: Vec<Shown>,
    #[serde(serialize_with = "go_float")]
    interval: f64,
    limit: u64,
    #[serde(serialize_with = "go_float")]
    evaluation_time: f64,
    #[serde(serialize_with = "rfc3339_opt")]
    last_evaluation: Option<i64>,
}

/// A rule as the page shows it: its kind comes last.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Alerting(Kinded<AlertingRule>),
    Recording(Kinded<RecordingRule>),
}

#[derive(Serialize)]
struct Kinded<T> {
    #[serde(flatten)]
    rule: T,
    r#type: &'static str,
}

pub(crate) fn rules<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let filter = Filter::read(params)?;
        let paging = Paging::read(params)?;
        let groups = state.parts.rules.as_ref().map_or_else(Vec::new, |rules| rules.groups());
        Reply::of(&paging.page(groups, &filter)?)
    })
}

pub(crate) fn alerts<'a>(state: &'a Inner, _params: &'a Params) -> Answer<'a> {
    #[derive(Serialize)]
    struct Page {
        alerts: Vec<Alert>,
    }
    Box::pin(async move {
        let groups = state.parts.rules.as_ref().map_or_else(Vec::new, |rules| rules.groups());
        let alerts = groups
            .into_iter()
            .flat_map(|group| group.rules)
            .flat_map(|rule| match rule {
                Rule::Alerting(rule) => rule.alerts,
                Rule::Recording(_) => Vec::new(),
            })
            .collect();
        Reply::of(&Page { alerts })
    })
}

impl<'a> Filter<'a> {
    fn read(params: &'a Params) -> Result<Self, ApiError> {
        let kind = params.get("type").to_lowercase();
        if !matches!(kind.as_str(), "" | "alert" | "record") {
            return Err(ApiError::parameter("type", format!("not supported value {kind:?}")));
        }
        let asked = params.get("exclude_alerts");
        let without_alerts = if asked.is_empty() { Some(false) } else { flag(asked) }.ok_or_else(|| {
            let what = format!(
                "error converting exclude_alerts: strconv.ParseBool: parsing {asked:?}: invalid syntax"
            );
            ApiError::parameter("exclude_alerts", what)
        })?;
        Ok(Self {
            alerting: kind != "record",
            recording: kind != "alert",
            names: params.all("rule_name[]").collect(),
            groups: params.all("rule_group[]").collect(),
            files: params.all("file[]").collect(),
            matcher_sets: params.matcher_sets().map_err(ApiError::bad_data)?,
            without_alerts,
        })
    }

    fn takes_group(&self, group: &RuleGroup) -> bool {
        let among = |list: &[&str], name: &str| list.is_empty() || list.contains(&name);
        among(&self.groups, &group.name) && among(&self.files, &group.file)
    }

    fn takes_rule(&self, name: &str, labels: &Labels) -> bool {
        let by_name = self.names.is_empty() || self.names.contains(&name);
        let passes = |set: &Vec<Matcher>| set.iter().all(|matcher| matcher.matches_labels(labels));
        by_name && (self.matcher_sets.is_empty() || self.matcher_sets.iter().any(passes))
    }

    fn show(&self, rule: Rule) -> Option<Shown> {
        match rule {
            Rule::Alerting(mut rule) if self.alerting && self.takes_rule(&rule.name, &rule.labels) => {
                if self.without_alerts {
                    rule.alerts.clear();
                }
                Some(Shown::Alerting(Kinded { rule, r#type: "alerting" }))
            }
            Rule::Recording(rule) if self.recording && self.takes_rule(&rule.name, &rule.labels) => {
                Some(Shown::Recording(Kinded { rule, r#type: "recording" }))
            }
            _ => None,
        }
    }
}

impl<'a> Paging<'a> {
    fn read(params: &'a Params) -> Result<Self, ApiError> {
        let token = params.get("group_next_token");
        let groups_max = match params.get("group_limit") {
            "" if token.is_empty() => None,
            "" => {
                let what = "group_limit needs to be present in order to paginate over the groups";
                return Err(ApiError::parameter("group_next_token", what));
            }
            text => Some(text.parse::<usize>().ok().filter(|limit| *limit > 0).ok_or_else(|| {
                ApiError::parameter("group_limit", "group_limit needs to be greater than 0")
            })?),
        };
        Ok(Self { groups_max, token })
    }

    fn page(&self, groups: Vec<RuleGroup>, filter: &Filter<'_>) -> Result<Page, ApiError> {
        let mut page = Page { groups: Vec::new(), group_next_token: String::new() };
        let mut begun = self.token.is_empty();
        for group in groups {
            begun = begun || token_of(&group) == self.token;
            if !begun || !filter.takes_group(&group) {
                continue;
            }
            let token = token_of(&group);
            let shown = Group::show(group, filter);
            if shown.rules.is_empty() {
                continue;
            }
            if self.groups_max.is_some_and(|most| page.groups.len() >= most) {
                page.group_next_token = token;
                break;
            }
            page.groups.push(shown);
        }
        if !begun {
            let what = format!("invalid group_next_token '{}'. were rule groups changed?", self.token);
            return Err(ApiError::parameter("group_next_token", what));
        }
        Ok(page)
    }
}

impl Group {
    fn show(group: RuleGroup, filter: &Filter<'_>) -> Self {
        Self {
            name: group.name,
            file: group.file,
            rules: group.rules.into_iter().filter_map(|rule| filter.show(rule)).collect(),
            interval: group.interval,
            limit: group.limit,
            evaluation_time: group.evaluation_time,
            last_evaluation: group.last_evaluation,
        }
    }
}

/// Names a group in a page's link to the next one.
fn token_of(group: &RuleGroup) -> String {
    let digest = Sha256::digest(format!("{};{}", group.file, group.name));
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
