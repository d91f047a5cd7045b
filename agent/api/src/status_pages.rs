//! `/status/*`, `/metadata`, `/alertmanagers`, `/features`.

use std::collections::{BTreeMap, BTreeSet};

use model::Metadata;
use serde::Serialize;

use crate::error::{ApiError, ErrorKind};
use crate::params::Params;
use crate::reply::Reply;
use crate::state::{Answer, Inner};
use crate::status::{StoreStats, WalReplay};

/// Most and usual number of entries in a list of `/status/tsdb`.
const STATS_MAX: usize = 10_000;
const STATS_DEFAULT: usize = 10;

pub(crate) fn config<'a>(state: &'a Inner, _params: &'a Params) -> Answer<'a> {
    Box::pin(async move { Reply::of(&BTreeMap::from([("yaml", state.parts.config.yaml())])) })
}

pub(crate) fn flags<'a>(state: &'a Inner, _params: &'a Params) -> Answer<'a> {
    Box::pin(async move { Reply::of(&state.parts.process.flags()) })
}

pub(crate) fn runtime<'a>(state: &'a Inner, _params: &'a Params) -> Answer<'a> {
    Box::pin(async move { Reply::of(&state.parts.process.runtime()) })
}

pub(crate) fn build<'a>(state: &'a Inner, _params: &'a Params) -> Answer<'a> {
    Box::pin(async move { Reply::of(&state.parts.process.build()) })
}

pub(crate) fn features<'a>(state: &'a Inner, _params: &'a Params) -> Answer<'a> {
    Box::pin(async move { Reply::of(&state.parts.process.features()) })
}

pub(crate) fn store<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let limit = match params.get("limit") {
            "" => STATS_DEFAULT,
            text => text
                .parse::<usize>()
                .ok()
                .filter(|limit| *limit >= 1)
                .ok_or_else(|| ApiError::bad_data("limit must be a positive number"))?,
        };
        if limit > STATS_MAX {
            return Err(ApiError::bad_data(format!("limit must not exceed {STATS_MAX}")));
        }
        let Some(store) = state.parts.store.clone() else { return Reply::of(&StoreStats::default()) };
        // Counting a million series takes a while, in which others are to be answered.
        let stats = tokio::task::spawn_blocking(move || store.stats(limit)).await;
        Reply::of(&stats.map_err(|error| ApiError::new(ErrorKind::Internal, error.to_string()))?)
    })
}

pub(crate) fn wal_replay<'a>(state: &'a Inner, _params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let replay = state.parts.store.as_ref().map_or_else(WalReplay::default, |store| store.wal_replay());
        Reply::of(&replay)
    })
}

/// The store's sealed parts, as Prometheus lists its blocks.
pub(crate) fn blocks<'a>(state: &'a Inner, _params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let blocks = state.parts.store.as_ref().map_or_else(Vec::new, |store| store.blocks());
        Reply::of(&BTreeMap::from([("blocks", blocks)]))
    })
}

pub(crate) fn alertmanagers<'a>(state: &'a Inner, _params: &'a Params) -> Answer<'a> {
    #[derive(Serialize)]
    struct Address {
        url: String,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        active_alertmanagers: Vec<Address>,
        dropped_alertmanagers: Vec<Address>,
    }
    let addresses = |urls: Vec<String>| urls.into_iter().map(|url| Address { url }).collect();
    Box::pin(async move {
        let (active, dropped) = state
            .parts
            .alertmanagers
            .as_ref()
            .map_or_else(Default::default, |status| (status.active(), status.dropped()));
        Reply::of(&Page {
            active_alertmanagers: addresses(active),
            dropped_alertmanagers: addresses(dropped),
        })
    })
}

/// What is said about a metric family.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Said {
    #[serde(rename = "type")]
    kind: &'static str,
    help: String,
    unit: String,
}

impl Said {
    fn of(metadata: &Metadata) -> Self {
        Self {
            kind: metadata.metric_type.as_str(),
            help: metadata.help.to_string(),
            unit: metadata.unit.to_string(),
        }
    }
}

pub(crate) fn metadata<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let limit = number(params, "limit")?;
        let per_metric = number(params, "limit_per_metric")?.filter(|number| *number > 0);
        let only = params.get("metric");
        let entries = state.parts.targets.as_ref().map_or_else(Vec::new, |targets| targets.metadata());
        let mut by_metric: BTreeMap<String, BTreeSet<Said>> = BTreeMap::new();
        let wanted = |metric: &str| only.is_empty() || metric == only;
        for entry in entries.into_iter().filter(|entry| wanted(&entry.metric)) {
            by_metric.entry(entry.metric).or_default().insert(Said::of(&entry.metadata));
        }
        // What nobody scrapes here now: pushed, or shipped by agents.
        let mut others: BTreeMap<String, BTreeSet<Said>> = BTreeMap::new();
        let stored = state.parts.store.as_ref().map_or_else(Vec::new, |store| store.families());
        for (metric, said) in stored.into_iter().filter(|(metric, _)| wanted(metric)) {
            if !by_metric.contains_key(&metric) {
                others.entry(metric).or_default().insert(Said::of(&said));
            }
        }
        by_metric.append(&mut others);
        let page: BTreeMap<String, Vec<Said>> = by_metric
            .into_iter()
            .take(limit.unwrap_or(usize::MAX))
            .map(|(metric, said)| (metric, said.into_iter().take(per_metric.unwrap_or(usize::MAX)).collect()))
            .collect();
        Reply::of(&page)
    })
}

/// A number of entries; what is absent or negative limits nothing.
pub(crate) fn number(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    match params.get(name) {
        "" => Ok(None),
        text => text
            .parse::<i64>()
            .map(|number| usize::try_from(number).ok())
            .map_err(|_| ApiError::bad_data(format!("{name} must be a number"))),
    }
}
