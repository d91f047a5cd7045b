//! alertmanager.yml as schemas: global, routes, inhibition, templates; receivers are in their own files.

use yaml::http::{HTTP, TLS, at_most_one};
use yaml::{Checker, Node, Schema, Type, View, field};

use super::receivers::RECEIVER;
use super::time_interval::INTERVAL;

/// The file.
pub(super) static FILE: Schema = Schema::new(
    "alertmanager.yml",
    &[
        field("global", Type::Object(&GLOBAL)),
        field("route", Type::Object(&ROUTE)),
        field("inhibit_rules", Type::List(&Type::Object(&INHIBIT))),
        field("receivers", Type::List(&Type::Object(&RECEIVER))),
        field("templates", Type::TEXTS),
        field("mute_time_intervals", Type::List(&Type::Object(&INTERVAL))),
        field("time_intervals", Type::List(&Type::Object(&INTERVAL))),
        field("tracing", Type::Object(&TRACING)).later("exporting traces"),
        field("event_recorder", Type::Object(&EVENTS)).later("the event recorder"),
    ],
);

/// `global`: what receivers inherit.
static GLOBAL: Schema = Schema::new(
    "global",
    &[
        field("resolve_timeout", Type::Duration),
        field("http_config", Type::Object(&HTTP)),
        field("smtp_from", Type::Text),
        field("smtp_hello", Type::Text),
        field("smtp_smarthost", Type::Check(smarthost)),
        field("smtp_auth_username", Type::Text),
        field("smtp_auth_password", Type::Secret),
        field("smtp_auth_password_file", Type::Text),
        field("smtp_auth_secret", Type::Secret),
        field("smtp_auth_secret_file", Type::Text),
        field("smtp_auth_identity", Type::Text),
        field("smtp_require_tls", Type::Bool),
        field("smtp_tls_config", Type::Object(&TLS)),
        field("smtp_force_implicit_tls", Type::Bool),
        field("slack_api_url", Type::SecretUrl),
        field("slack_api_url_file", Type::Text),
        field("slack_app_token", Type::Secret),
        field("slack_app_token_file", Type::Text),
        field("slack_app_url", Type::Url),
        field("pagerduty_url", Type::Url),
        field("opsgenie_api_url", Type::Url),
        field("opsgenie_api_key", Type::Secret),
        field("opsgenie_api_key_file", Type::Text),
        field("wechat_api_url", Type::Url),
        field("wechat_api_secret", Type::Secret),
        field("wechat_api_secret_file", Type::Text),
        field("wechat_api_corp_id", Type::Text),
        field("victorops_api_url", Type::Url),
        field("victorops_api_key", Type::Secret),
        field("victorops_api_key_file", Type::Text),
        field("telegram_api_url", Type::Url),
        field("telegram_bot_token", Type::Secret),
        field("telegram_bot_token_file", Type::Text),
        field("webex_api_url", Type::Url),
        field("jira_api_url", Type::Url),
        field("rocketchat_api_url", Type::Url),
        field("rocketchat_token", Type::Secret),
        field("rocketchat_token_file", Type::Text),
        field("rocketchat_token_id", Type::Secret),
        field("rocketchat_token_id_file", Type::Text),
        field("mattermost_webhook_url", Type::SecretUrl),
        field("mattermost_webhook_url_file", Type::Text),
    ],
)
.verify(global);

/// Secrets of `global` that may stand in the file or in one of their own.
const GLOBAL_PAIRS: [(&str, &str); 11] = [
    ("smtp_auth_password", "smtp_auth_password_file"),
    ("smtp_auth_secret", "smtp_auth_secret_file"),
    ("slack_api_url", "slack_api_url_file"),
    ("slack_app_token", "slack_app_token_file"),
    ("opsgenie_api_key", "opsgenie_api_key_file"),
    ("wechat_api_secret", "wechat_api_secret_file"),
    ("victorops_api_key", "victorops_api_key_file"),
    ("telegram_bot_token", "telegram_bot_token_file"),
    ("rocketchat_token", "rocketchat_token_file"),
    ("rocketchat_token_id", "rocketchat_token_id_file"),
    ("mattermost_webhook_url", "mattermost_webhook_url_file"),
];

/// Where a Slack app's messages go.
pub(super) const SLACK_APP_URL: &str = "https://slack.com/api/chat.postMessage";

fn global(view: View<'_>, check: &mut Checker) {
    for (inline, file) in GLOBAL_PAIRS {
        let message = format!("at most one of {inline} & {file} must be configured");
        at_most_one(view, check, &[inline, file], &message);
    }
    let token = view.filled("slack_app_token") || view.filled("slack_app_token_file");
    let url = view.filled("slack_api_url") || view.filled("slack_api_url_file");
    let app_url = view.text("slack_app_url").unwrap_or(SLACK_APP_URL);
    if token && url && view.text("slack_api_url") != Some(app_url) {
        check.error(
            view.key_at("slack_app_token"),
            "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must be configured",
        );
    }
}

pub(super) fn smarthost(text: &str) -> Result<(), String> {
    let missing = || format!("address {text}: missing port in address; expected host:port");
    if text.is_empty() {
        return Ok(());
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(missing)?;
    if port.is_empty() || (host.contains(':') && !host.starts_with('[')) {
        return Err(missing());
    }
    Ok(())
}

/// A route, the root as well as those below it.
static ROUTE: Schema = Schema::new(
    "a route",
    &[
        field("receiver", Type::Text),
        field("group_by", Type::TEXTS),
        field("match", Type::TEXT_MAP),
        field("match_re", Type::TEXT_MAP),
        field("matchers", Type::TEXTS),
        field("mute_time_intervals", Type::TEXTS),
        field("active_time_intervals", Type::TEXTS),
        field("continue", Type::Bool),
        field("routes", Type::List(&Type::Object(&ROUTE))),
        field("group_wait", Type::Duration),
        field("group_interval", Type::Duration),
        field("repeat_interval", Type::Duration),
        field("labels", Type::TEXT_MAP),
    ],
)
.verify(route);

fn route(view: View<'_>, check: &mut Checker) {
    let mut seen: Vec<&str> = Vec::new();
    for node in view.items("group_by") {
        let name = node.text().unwrap_or_default();
        if name.is_empty() {
            check.error(node.at, format!("invalid label name {name:?} in group_by list"));
        }
        if seen.contains(&name) {
            check.error(node.at, format!("duplicated label {name:?} in group_by"));
        }
        seen.push(name);
    }
    if seen.contains(&"...") && seen.len() > 1 {
        check.error(
            view.value_at("group_by"),
            "cannot have wildcard group_by (`...`) and other labels at the same time",
        );
    }
    for key in ["group_interval", "repeat_interval"] {
        if view.duration(key).is_some_and(|interval| interval.is_zero()) {
            check.error(view.value_at(key), format!("{key} cannot be zero"));
        }
    }
    for key in ["match", "match_re"] {
        label_names(view, key, check);
    }
}

/// Notes label names of the map `key` that are none, and expressions that are missing.
fn label_names(view: View<'_>, key: &str, check: &mut Checker) {
    for entry in view.get(key).map_or(&[][..], Node::entries) {
        if entry.key.is_empty() {
            check.error(entry.at, format!("invalid label name {:?}", entry.key));
        }
        if key.ends_with("_re") && entry.value.is_null() {
            check.error(
                entry.value.at,
                format!("invalid regexp value for {:?}; expected an expression", entry.key),
            );
        }
    }
}

static INHIBIT: Schema = Schema::new(
    "inhibit_rules",
    &[
        field("name", Type::Text),
        field("source_match", Type::TEXT_MAP),
        field("source_match_re", Type::TEXT_MAP),
        field("source_matchers", Type::TEXTS),
        field("target_match", Type::TEXT_MAP),
        field("target_match_re", Type::TEXT_MAP),
        field("target_matchers", Type::TEXTS),
        field("equal", Type::TEXTS),
    ],
)
.verify(inhibit);

fn inhibit(view: View<'_>, check: &mut Checker) {
    for key in ["source_match", "source_match_re", "target_match", "target_match_re"] {
        label_names(view, key, check);
    }
    for node in view.items("equal").iter().filter(|node| node.text().is_none_or(str::is_empty)) {
        check.error(node.at, "invalid label name \"\" in equal list");
    }
}

static TRACING: Schema = Schema::new(
    "tracing",
    &[
        field("client_type", Type::Choice(&["http", "grpc"])),
        field("endpoint", Type::Text),
        field("sampling_fraction", Type::Float),
        field("insecure", Type::Bool),
        field("tls_config", Type::Object(&TLS)),
        field("headers", Type::Map(&Type::Any)),
        field("compression", Type::Choice(&["", "gzip"])),
        field("timeout", Type::Duration),
    ],
)
.verify(tracing);

fn tracing(view: View<'_>, check: &mut Checker) {
    if !view.filled("endpoint") {
        check.error(view.value_at("endpoint"), "tracing endpoint must be set");
    }
}

static FILE_OUTPUT: Schema = Schema::new("file_outputs", &[field("path", Type::Text)]);
static WEBHOOK_OUTPUT: Schema = Schema::new(
    "webhook_outputs",
    &[
        field("url", Type::SecretUrl),
        field("http_config", Type::Object(&HTTP)),
        field("timeout", Type::Duration),
        field("workers", Type::COUNT),
        field("max_retries", Type::COUNT),
        field("retry_backoff", Type::Duration),
        field("batch", Type::Bool),
        field("batch_max_events", Type::COUNT),
        field("batch_max_bytes", Type::COUNT),
        field("batch_flush_interval", Type::Duration),
    ],
);
static KAFKA_OUTPUT: Schema = Schema::new(
    "kafka_outputs",
    &[
        field("brokers", Type::TEXTS),
        field("topic", Type::Text),
        field("client_id", Type::Text),
        field("format", Type::Text),
        field("acks", Type::Text),
        field("compression", Type::Text),
        field("buffer_size", Type::COUNT),
        field("tls_config", Type::Object(&TLS)),
    ],
);
static EVENTS: Schema = Schema::new(
    "event_recorder",
    &[
        field("file_outputs", Type::List(&Type::Object(&FILE_OUTPUT))),
        field("webhook_outputs", Type::List(&Type::Object(&WEBHOOK_OUTPUT))),
        field("kafka_outputs", Type::List(&Type::Object(&KAFKA_OUTPUT))),
        field("stdout_outputs", Type::List(&Type::Any)),
    ],
);
