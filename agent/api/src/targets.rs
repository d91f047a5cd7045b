//! `/targets`, `/targets/metadata`, `/scrape_pools`.

use std::collections::BTreeMap;

use model::Labels;
use serde::Serialize;

use crate::error::ApiError;
use crate::json::labels_map;
use crate::params::Params;
use crate::reply::Reply;
use crate::state::{Answer, Inner};
use crate::status::{ActiveTarget, DroppedTarget, Targets};
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
