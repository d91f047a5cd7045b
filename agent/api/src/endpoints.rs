//! Every endpoint whose only input are parameters, with what its description says of it.

use crate::state::Endpoint;
use crate::{labels, notices, query, rules, self_metrics, status_pages, targets};

/// One endpoint.
#[derive(Clone, Copy)]
pub(crate) struct Listed {
    /// Below `/api/v1`.
    pub(crate) path: &'static str,
    pub(crate) endpoint: Endpoint,
    /// Whether it may be posted, the parameters as a form.
    pub(crate) posted: bool,
    pub(crate) summary: &'static str,
    /// Its parameters, those that must be given with a `!`.
    pub(crate) params: &'static [&'static str],
    /// Whether it answers before the process is ready.
    pub(crate) always: bool,
}

const fn get(
    path: &'static str,
    endpoint: Endpoint,
    summary: &'static str,
    params: &'static [&'static str],
) -> Listed {
    Listed { path, endpoint, posted: false, summary, params, always: false }
}

const fn form(
    path: &'static str,
    endpoint: Endpoint,
    summary: &'static str,
    params: &'static [&'static str],
) -> Listed {
    Listed { posted: true, ..get(path, endpoint, summary, params) }
}

const fn always(path: &'static str, endpoint: Endpoint, summary: &'static str) -> Listed {
    Listed { always: true, ..get(path, endpoint, summary, &[]) }
}

/// All of them.
pub(crate) const ENDPOINTS: [Listed; 26] = [
    form(
        "/query",
        query::instant,
        "A query's value at one time",
        &["query!", "time", "timeout", "limit", "lookback_delta", "stats"],
    ),
    form(
        "/query_range",
        query::range,
        "A query's values over a range of time",
        &["query!", "start!", "end!", "step!", "timeout", "limit", "lookback_delta", "stats"],
    ),
    form(
        "/query_exemplars",
        query::exemplars,
        "Exemplars of the series that a query selects",
        &["query!", "start", "end"],
    ),
    form("/format_query", query::format, "A query, formatted", &["query!"]),
    form("/parse_query", query::tree, "A query as a tree", &["query!"]),
    form("/series", labels::series, "Series that selectors pass", &["match[]!", "start", "end", "limit"]),
    form("/labels", labels::names, "Label names", &["match[]", "start", "end", "limit"]),
    get(
        "/metadata",
        status_pages::metadata,
        "What targets say about metrics",
        &["limit", "limit_per_metric", "metric"],
    ),
    get("/targets", targets::targets, "Targets, scraped and dropped", &["state", "scrapePool"]),
    get(
        "/targets/metadata",
        targets::metadata,
        "What each target says about metrics",
        &["match_target", "metric", "limit"],
    ),
    get(
        "/targets/relabel_steps",
        targets::relabel_steps,
        "What each relabelling rule of a scrape pool makes of labels",
        &["scrapePool!", "labels!"],
    ),
    get("/scrape_pools", targets::scrape_pools, "Names of the scrape pools", &[]),
    get("/scrape_pools/config", targets::pool_config, "A scrape pool's configuration", &["scrapePool!"]),
    get(
        "/rules",
        rules::rules,
        "Groups of rules with their state",
        &[
            "type",
            "rule_name[]",
            "rule_group[]",
            "file[]",
            "match[]",
            "exclude_alerts",
            "group_limit",
            "group_next_token",
        ],
    ),
    get("/alerts", rules::alerts, "Active alerts", &[]),
    get("/alertmanagers", status_pages::alertmanagers, "Alertmanagers in use, and dropped", &[]),
    get("/status/config", status_pages::config, "The configuration in use", &[]),
    get("/status/flags", status_pages::flags, "Flags with their values", &[]),
    get("/status/runtimeinfo", status_pages::runtime, "How the process runs", &[]),
    get("/status/buildinfo", status_pages::build, "What the program was built from", &[]),
    get("/status/tsdb", status_pages::store, "What the newest part of the store holds most of", &["limit"]),
    get("/status/tsdb/blocks", status_pages::blocks, "The sealed parts of the store", &[]),
    get(
        "/status/self_metrics",
        self_metrics::self_metrics,
        "What the process counts about itself",
        &["metric_name_pattern"],
    ),
    get("/features", status_pages::features, "What the process can do", &[]),
    always("/status/walreplay", status_pages::wal_replay, "How far start-up has come"),
    always("/notifications", notices::list, "What the process has to tell its users"),
];
