//! `/targets`, `/targets/metadata`, `/targets/relabel_steps`, `/scrape_pools`, `/scrape_pools/config`.

use std::collections::BTreeMap;

use model::Labels;
use model::relabel::{self, RelabelConfig};
use serde::Serialize;

use crate::error::ApiError;
use crate::json::labels_map;
use crate::params::Params;
use crate::reply::Reply;
use crate::state::{Answer, Inner};
use crate::status::{ActiveTarget, DroppedTarget, ScrapePool, Targets};
use crate::status_pages::number;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    active_targets: Vec<ActiveTarget>,
    dropped_targets: Vec<DroppedTarget>,
    dropped_target_counts: Option<BTreeMap<String, u64>>,
}

pub(crate) fn targets<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let wanted = params.get("state").to_lowercase();
        let all = wanted.is_empty() || wanted == "any";
        let pool = params.get("scrapePool");
        let in_pool = |name: &str| pool.is_empty() || pool == name;
        let found = state.parts.targets.as_ref().map_or_else(Targets::default, |targets| targets.targets());
        let mut page =
            Page { active_targets: Vec::new(), dropped_targets: Vec::new(), dropped_target_counts: None };
        if all || wanted == "active" {
            page.active_targets =
                found.active.into_iter().filter(|target| in_pool(&target.scrape_pool)).collect();
        }
        if all || wanted == "dropped" {
            page.dropped_targets =
                found.dropped.into_iter().filter(|target| in_pool(&target.scrape_pool)).collect();
            page.dropped_target_counts = Some(found.dropped_counts);
        }
        Reply::of(&page)
    })
}

pub(crate) fn scrape_pools<'a>(state: &'a Inner, _params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let pools = state.parts.targets.as_ref().map_or_else(Vec::new, |targets| targets.scrape_pools());
        Reply::of(&BTreeMap::from([("scrapePools", pools)]))
    })
}

/// A scrape pool that the request names.
fn named_pool(state: &Inner, params: &Params) -> Result<ScrapePool, ApiError> {
    let name = params.get("scrapePool");
    let found = state.parts.config.scrape_pool(name);
    found.ok_or_else(|| {
        ApiError::bad_data(format!("error retrieving scrape config: scrape pool {name:?} not found"))
    })
}

fn given<'a>(params: &'a Params, name: &str) -> Result<&'a str, ApiError> {
    match params.get(name) {
        "" => Err(ApiError::bad_data(format!("no {name} parameter provided"))),
        text => Ok(text),
    }
}

pub(crate) fn pool_config<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        given(params, "scrapePool")?;
        Reply::of(&BTreeMap::from([("yaml", named_pool(state, params)?.yaml)]))
    })
}

/// What one rule makes of what the one before it gave.
#[derive(Serialize)]
struct Step {
    rule: Rule,
    #[serde(serialize_with = "labels_map")]
    output: Labels,
    keep: bool,
}

/// A rule as Prometheus's configuration is written in JSON; what is empty is left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_labels: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    separator: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    regex: String,
    #[serde(skip_serializing_if = "is_zero")]
    modulus: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    target_label: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    replacement: String,
    action: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Rule {
    fn of(rule: &RelabelConfig) -> Self {
        let parts = rule.parts();
        Self {
            source_labels: parts.source_labels.unwrap_or_default(),
            separator: parts.separator.unwrap_or_default(),
            regex: parts.regex.unwrap_or_default(),
            modulus: parts.modulus.unwrap_or_default(),
            target_label: parts.target_label.unwrap_or_default(),
            replacement: parts.replacement.unwrap_or_default(),
            action: parts.action.unwrap_or_default(),
        }
    }
}

pub(crate) fn relabel_steps<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        given(params, "scrapePool")?;
        let pairs: BTreeMap<String, String> = serde_json::from_str(given(params, "labels")?)
            .map_err(|error| ApiError::bad_data(format!("error parsing labels: {error}")))?;
        let pool = named_pool(state, params)?;
        let mut kept = Some(Labels::from_pairs(pairs));
        let steps: Vec<Step> = pool
            .relabel_configs
            .iter()
            .map(|rule| {
                kept = kept.take().and_then(|labels| relabel::process(&labels, std::slice::from_ref(rule)));
                let output = kept.clone().unwrap_or_else(Labels::empty);
                Step { rule: Rule::of(rule), output, keep: kept.is_some() }
            })
            .collect();
        Reply::of(&BTreeMap::from([("steps", steps)]))
    })
}

#[derive(Serialize)]
struct Said {
    #[serde(serialize_with = "labels_map")]
    target: Labels,
    #[serde(skip_serializing_if = "String::is_empty")]
    metric: String,
    #[serde(rename = "type")]
    kind: &'static str,
    help: String,
    unit: String,
}

pub(crate) fn metadata<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let limit = number(params, "limit")?;
        let matchers = match params.get("match_target") {
            "" => Vec::new(),
            text => promql::parse_metric_selector(text)
                .map_err(|error| ApiError::parameter("match_target", error.to_string()))?,
        };
        let only = params.get("metric");
        let entries = state.parts.targets.as_ref().map_or_else(Vec::new, |targets| targets.metadata());
        let said: Vec<Said> = entries
            .into_iter()
            .filter(|entry| only.is_empty() || entry.metric == only)
            .filter(|entry| matchers.iter().all(|matcher| matcher.matches_labels(&entry.target)))
            .take(limit.unwrap_or(usize::MAX))
            .map(|entry| Said {
                target: entry.target,
                // Who asked for one metric knows its name.
                metric: if only.is_empty() { entry.metric } else { String::new() },
                kind: entry.metadata.metric_type.as_str(),
                help: entry.metadata.help.to_string(),
                unit: entry.metadata.unit.to_string(),
            })
            .collect();
        Reply::of(&said)
    })
}
