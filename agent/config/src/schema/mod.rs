//! The whole prometheus.yml as schemas: its keys, their types, and what must hold between them.

mod alerting;
mod scrape;
mod services;
mod vedette;

use yaml::{Checker, Position, Schema, Type, View, field};

pub(crate) use scrape::{SCRAPE, SCRAPE_FILE};

/// The file.
pub(crate) static FILE: Schema = Schema::new(
    "prometheus.yml",
    &[
        field("global", Type::Object(&GLOBAL)),
        field("runtime", Type::Object(&RUNTIME)),
        field("rule_files", Type::TEXTS),
        field("scrape_config_files", Type::TEXTS),
        field("scrape_configs", Type::List(&Type::Object(&SCRAPE)))
            .empty_item("empty or null scrape config section"),
        field("alerting", Type::Object(&alerting::ALERTING)),
        field("storage", Type::Object(&services::STORAGE)),
        field("tracing", Type::Object(&services::TRACING)).later("exporting traces"),
        field("remote_write", Type::List(&Type::Object(&services::REMOTE_WRITE)))
            .later("remote write")
            .empty_item("empty or null remote write config section"),
        field("remote_read", Type::List(&Type::Object(&services::REMOTE_READ)))
            .later("remote read")
            .empty_item("empty or null remote read config section"),
        field("otlp", Type::Object(&services::OTLP)),
        field("vedette", Type::Object(&vedette::VEDETTE)),
    ],
)
.verify(file);

static RUNTIME: Schema = Schema::new(
    "runtime",
    &[field("gogc", Type::Int(i64::MIN, i64::MAX)).moot("memory is not collected as garbage")],
);

/// Limits and formats that `global` sets and a job may override.
static SHARED: Schema = Schema::new(
    "scrape settings",
    &[
        field("scrape_interval", Type::Duration),
        field("scrape_timeout", Type::Duration),
        field("scrape_protocols", Type::TEXTS),
        field("scrape_failure_log_file", Type::Text),
        field("body_size_limit", Type::Size),
        field("sample_limit", Type::COUNT),
        field("target_limit", Type::COUNT),
        field("label_limit", Type::COUNT),
        field("label_name_length_limit", Type::COUNT),
        field("label_value_length_limit", Type::COUNT),
        field("keep_dropped_targets", Type::COUNT),
        field("metric_name_validation_scheme", Type::Check(validation_scheme)),
        field("metric_name_escaping_scheme", Type::Check(escaping_scheme)),
        field("scrape_native_histograms", Type::Bool),
        field("convert_classic_histograms_to_nhcb", Type::Bool),
        field("always_scrape_classic_histograms", Type::Bool),
        field("extra_scrape_metrics", Type::Bool),
    ],
)
.verify(shared);

static GLOBAL: Schema = Schema::new(
    "global",
    &[
        field("evaluation_interval", Type::Duration),
        field("rule_query_offset", Type::Duration),
        field("query_log_file", Type::Text),
        field("external_labels", Type::TEXT_MAP),
    ],
)
.with(&[&SHARED])
.verify(global);

fn validation_scheme(text: &str) -> Result<(), String> {
    match text {
        "" | "legacy" | "utf8" => Ok(()),
        _ => Err(format!(
            "unknown global name validation method specified, must be either '', 'legacy' or 'utf8', got {text}"
        )),
    }
}

fn escaping_scheme(text: &str) -> Result<(), String> {
    match text {
        "" | "allow-utf-8" | "underscores" | "dots" | "values" => Ok(()),
        _ => Err(format!(
            "unknown global name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got {text:?}"
        )),
    }
}

fn global(view: View<'_>, check: &mut Checker) {
    let legacy = view.text("metric_name_validation_scheme") == Some("legacy");
    for entry in view.get("external_labels").map_or(&[][..], yaml::Node::entries) {
        let valid =
            if legacy { model::is_valid_legacy_label_name(&entry.key) } else { !entry.key.is_empty() };
        if !valid {
            check.error(entry.at, format!("{:?} is not a valid label name", entry.key));
        }
    }
    let interval = view.duration("scrape_interval").filter(|set| !set.is_zero());
    let timeout = view.duration("scrape_timeout").filter(|set| !set.is_zero());
    if timeout.unwrap_or_default() > interval.unwrap_or(crate::global::SCRAPE_INTERVAL) {
        check.error(
            view.value_at("scrape_timeout"),
            "global scrape timeout greater than scrape interval; expected at most the interval",
        );
    }
    if legacy && view.text("metric_name_escaping_scheme") == Some("allow-utf-8") {
        check.error(
            view.value_at("metric_name_escaping_scheme"),
            "utf8 metric names requested but validation scheme is not set to UTF8; expected underscores, dots or values",
        );
    }
}

/// Formats that a target may answer in.
const PROTOCOLS: &[&str] = &[
    "OpenMetricsText0.0.1",
    "OpenMetricsText1.0.0",
    "PrometheusText0.0.4",
    "PrometheusText1.0.0",
    "PrometheusProto",
];

fn shared(view: View<'_>, check: &mut Checker) {
    let protocols = view.items("scrape_protocols");
    if view.has("scrape_protocols") && protocols.is_empty() {
        check.error(view.value_at("scrape_protocols"), "scrape_protocols cannot be empty");
    }
    for (at, node) in protocols.iter().enumerate() {
        let word = node.text().unwrap_or_default();
        protocol(word, node.at, check);
        if protocols.iter().take(at).any(|before| before.text() == Some(word)) {
            check.error(node.at, format!("duplicated protocol in scrape_protocols, got {word:?}"));
        }
    }
}

fn protocol(word: &str, at: Position, check: &mut Checker) {
    if !PROTOCOLS.contains(&word) {
        let message = format!("unknown scrape protocol {word}, supported: {}", PROTOCOLS.join(", "));
        check.error(at, message);
    }
}

fn file(view: View<'_>, check: &mut Checker) {
    for (key, what) in [("rule_files", "rule file"), ("scrape_config_files", "scrape config file")] {
        for path in view.items(key) {
            let text = path.text().unwrap_or_default();
            if text.is_empty() || text.split_once('*').is_some_and(|(_, tail)| tail.contains(['/', '*'])) {
                let message = format!(
                    "invalid {what} path {text:?}; expected a path with at most one *, in its last element"
                );
                check.error(path.at, message);
            }
        }
    }
    for (key, what) in [("remote_write", "write"), ("remote_read", "read")] {
        let mut names: Vec<&str> = Vec::new();
        for queue in view.list(key).filter(|queue| queue.filled("name")) {
            let name = queue.text_or_empty("name");
            if names.contains(&name) {
                let message = format!(
                    "found multiple remote {what} configs with job name {name:?}; expected unique names"
                );
                check.error(queue.value_at("name"), message);
            }
            names.push(name);
        }
    }
    let legacy = view.map("global").text("metric_name_validation_scheme") == Some("legacy");
    let strategy = view.map("otlp").text_or_empty("translation_strategy");
    if legacy && matches!(strategy, "NoUTF8EscapingWithSuffixes" | "NoTranslation") {
        check.error(
            view.map("otlp").value_at("translation_strategy"),
            format!("OTLP translation strategy {strategy:?} is not allowed when UTF8 is disabled"),
        );
    }
}
