//! What this process can do, as `/api/v1/features` tells it under Prometheus's names.

use std::collections::BTreeMap;

use promql::FUNCTIONS;

use crate::flags::FeatureFlags;

/// Names of a kind, and whether each is there.
type Kind = BTreeMap<String, bool>;

const LANGUAGE: [&str; 13] = [
    "at_modifier",
    "bool",
    "by",
    "duration_expr",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "subqueries",
    "without",
];

const OPERATORS: [&str; 31] = [
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "<=",
    "==",
    "=~",
    ">",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "unless",
];

const TEMPLATES: [&str; 29] = [
    "args",
    "externalURL",
    "first",
    "graphLink",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "label",
    "match",
    "now",
    "parseDuration",
    "pathPrefix",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "urlQueryEscape",
    "value",
];

fn all(names: &[&str]) -> Kind {
    names.iter().map(|name| ((*name).to_owned(), true)).collect()
}

fn with(mut kind: Kind, more: &[(&str, bool)]) -> Kind {
    kind.extend(more.iter().map(|(name, is)| ((*name).to_owned(), *is)));
    kind
}

/// By kind and name, with these flags.
pub(crate) fn of(flags: &BTreeMap<String, String>) -> BTreeMap<String, Kind> {
    let on = |flag: &str| flags.get(flag).is_some_and(|value| value == "true");
    let enabled = FeatureFlags::of(flags.get("enable-feature").map_or("", String::as_str));
    let has = |feature: &str| enabled.has(feature);
    let (experimental, extended) =
        (has("promql-experimental-functions"), has("promql-extended-range-selectors"));
    let fill = has("promql-binop-fill-modifiers");
    let api = [
        ("admin", on("web.enable-admin-api")),
        ("exclude_alerts", true),
        ("label_values_match", true),
        ("lifecycle", on("web.enable-lifecycle")),
        ("openapi_3.1", true),
        ("openapi_3.2", true),
        ("otlp_write_receiver", on("web.enable-otlp-receiver")),
        ("query_stats", true),
        ("query_warnings", true),
        ("remote_write_receiver", on("web.enable-remote-write-receiver")),
        ("time_range_labels", true),
        ("time_range_series", true),
    ];
    let language = [
        ("anchored", extended),
        ("smoothed", extended),
        ("fill", fill),
        ("fill_left", fill),
        ("fill_right", fill),
        ("delayed_name_removal", has("promql-delayed-name-removal")),
        ("per_step_stats", has("promql-per-step-stats")),
        ("type_and_unit_labels", false),
    ];
    let functions =
        FUNCTIONS.iter().map(|function| (function.name.to_owned(), !function.experimental || experimental));
    let kinds = [
        ("api", with(Kind::new(), &api)),
        (
            "otlp_receiver",
            with(Kind::new(), &[("delta_conversion", false), ("native_delta_ingestion", false)]),
        ),
        (
            "prometheus",
            with(Kind::new(), &[("agent_mode", false), ("auto_reload_config", false), ("server_mode", true)]),
        ),
        ("promql", with(all(&LANGUAGE), &language)),
        ("promql_functions", functions.collect()),
        (
            "promql_operators",
            with(all(&OPERATORS), &[("limitk", experimental), ("limit_ratio", experimental)]),
        ),
        ("rules", with(all(&["keep_firing_for", "query_offset"]), &[("concurrent_rule_eval", false)])),
        (
            "scrape",
            with(
                all(&["extra_scrape_metrics"]),
                &[("start_timestamp_zero_ingestion", false), ("type_and_unit_labels", false)],
            ),
        ),
        ("service_discovery_providers", all(&["file", "static"])),
        ("templating_functions", all(&TEMPLATES)),
        (
            "tsdb",
            with(
                all(&["exemplar_storage", "native_histograms"]),
                &[("delayed_compaction", false), ("use_uncached_io", false)],
            ),
        ),
    ];
    kinds.into_iter().map(|(kind, names)| (kind.to_owned(), names)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_turn_features_on() {
        let plain = of(&BTreeMap::new());
        let at = |all: &BTreeMap<String, Kind>, kind: &str, name: &str| all[kind].get(name).copied();
        for (kind, name, is) in [
            ("api", "admin", false),
            ("promql", "anchored", false),
            ("promql", "by", true),
            ("promql_functions", "rate", true),
            ("promql_functions", "mad_over_time", false),
            ("promql_operators", "limitk", false),
            ("templating_functions", "humanize", true),
        ] {
            assert_eq!(at(&plain, kind, name), Some(is), "{kind} {name}");
        }
        let flags = [
            ("web.enable-admin-api", "true"),
            ("enable-feature", "promql-experimental-functions,promql-extended-range-selectors"),
        ];
        let more = of(&flags.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        for (kind, name) in [
            ("api", "admin"),
            ("promql", "smoothed"),
            ("promql_functions", "info"),
            ("promql_operators", "limitk"),
        ] {
            assert_eq!(at(&more, kind, name), Some(true), "{kind} {name}");
        }
    }

    #[test]
    fn every_template_function_that_is_told_of_is_there() {
        let functions =
            template::prometheus_functions(&template::Environment::default(), std::sync::Arc::default());
        for name in TEMPLATES {
            let parsed = template::Template::parse("t", &format!("{{{{ {name} }}}}"), &functions);
            let missing =
                parsed.err().map(|error| error.to_string()).filter(|text| text.contains("not defined"));
            assert_eq!(missing, None, "{name}");
        }
    }
}
