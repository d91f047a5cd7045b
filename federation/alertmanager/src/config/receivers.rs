//! The 18 integrations of a receiver: their keys, and what each needs.

use yaml::http::{HTTP, TLS, at_most_one};
use yaml::{Checker, Node, Schema, Type, View, field};

use super::chat::{DISCORD, MATTERMOST, MSTEAMS, MSTEAMS_V2, ROCKETCHAT, SLACK, TELEGRAM, WEBEX, WECHAT};
use super::schema::smarthost;

/// A receiver.
pub(super) static RECEIVER: Schema = Schema::new(
    "a receiver",
    &[
        field("name", Type::Text),
        field("labels", Type::TEXT_MAP),
        field("webhook_configs", Type::List(&Type::Object(&WEBHOOK))),
        field("email_configs", Type::List(&Type::Object(&EMAIL))),
        field("pagerduty_configs", Type::List(&Type::Object(&PAGERDUTY))),
        field("opsgenie_configs", Type::List(&Type::Object(&OPSGENIE))),
        field("wechat_configs", Type::List(&Type::Object(&WECHAT))),
        field("slack_configs", Type::List(&Type::Object(&SLACK))),
        field("victorops_configs", Type::List(&Type::Object(&VICTOROPS))),
        field("pushover_configs", Type::List(&Type::Object(&PUSHOVER))),
        field("sns_configs", Type::List(&Type::Object(&SNS))),
        field("telegram_configs", Type::List(&Type::Object(&TELEGRAM))),
        field("discord_configs", Type::List(&Type::Object(&DISCORD))),
        field("webex_configs", Type::List(&Type::Object(&WEBEX))),
        field("msteams_configs", Type::List(&Type::Object(&MSTEAMS))),
        field("msteamsv2_configs", Type::List(&Type::Object(&MSTEAMS_V2))),
        field("jira_configs", Type::List(&Type::Object(&JIRA))),
        field("incidentio_configs", Type::List(&Type::Object(&INCIDENTIO))),
        field("rocketchat_configs", Type::List(&Type::Object(&ROCKETCHAT))),
        field("mattermost_configs", Type::List(&Type::Object(&MATTERMOST))),
    ],
)
.verify(receiver);

fn receiver(view: View<'_>, check: &mut Checker) {
    if !view.filled("name") {
        check.error(view.value_at("name"), "missing name in receiver");
    }
}

/// What every integration but email has.
pub(super) static COMMON: Schema = Schema::new(
    "a receiver",
    &[field("send_resolved", Type::Bool), field("http_config", Type::Object(&HTTP))],
);

/// Notes where neither of two keys is set.
pub(super) fn one_of(view: View<'_>, check: &mut Checker, keys: [&str; 2], message: &str) {
    if !keys.iter().any(|key| view.filled(key)) {
        check.error(view.at(), message);
    }
}

/// Notes where neither or both of `key` and `key_file` are set.
pub(super) fn exactly_one(view: View<'_>, check: &mut Checker, key: &str) {
    let file = format!("{key}_file");
    one_of(view, check, [key, &file], &format!("one of {key} or {file} must be configured"));
    at_most(view, check, key);
}

/// Notes where both of `key` and `key_file` are set.
pub(super) fn at_most(view: View<'_>, check: &mut Checker, key: &str) {
    let file = format!("{key}_file");
    at_most_one(view, check, &[key, &file], &format!("at most one of {key} & {file} must be configured"));
}

/// Notes a key that must be filled.
pub(super) fn require(view: View<'_>, check: &mut Checker, key: &str, message: &str) {
    if !view.filled(key) {
        check.error(view.value_at(key), message);
    }
}

static WEBHOOK: Schema = Schema::new(
    "webhook_configs",
    &[
        field("url", Type::Secret),
        field("url_file", Type::Text),
        field("max_alerts", Type::COUNT),
        field("timeout", Type::GoDuration),
        field("payload", Type::Any),
    ],
)
.with(&[&COMMON])
.verify(webhook);

fn webhook(view: View<'_>, check: &mut Checker) {
    exactly_one(view, check, "url");
    let url = view.text("url").filter(|url| !url.contains("{{") && *url != "<secret>" && !url.is_empty());
    if let Some(Err(_)) = url.map(yaml::check_url) {
        check.error(view.value_at("url"), "the URL cannot be parsed; expected one like https://host/path");
    }
}

static THREADING: Schema = Schema::new(
    "threading",
    &[field("enabled", Type::Bool), field("thread_by_date", Type::Choice(&["none", "daily"]))],
);

static EMAIL: Schema = Schema::new(
    "email_configs",
    &[
        field("send_resolved", Type::Bool),
        field("to", Type::Text),
        field("from", Type::Text),
        field("hello", Type::Text),
        field("smarthost", Type::Check(smarthost)),
        field("auth_username", Type::Text),
        field("auth_password", Type::Secret),
        field("auth_password_file", Type::Text),
        field("auth_secret", Type::Secret),
        field("auth_secret_file", Type::Text),
        field("auth_identity", Type::Text),
        field("headers", Type::TEXT_MAP),
        field("html", Type::Text),
        field("text", Type::Text),
        field("require_tls", Type::Bool),
        field("tls_config", Type::Object(&TLS)),
        field("force_implicit_tls", Type::Bool),
        field("threading", Type::Object(&THREADING)),
    ],
)
.verify(email);

fn email(view: View<'_>, check: &mut Checker) {
    require(view, check, "to", "missing to address in email config");
    at_most(view, check, "auth_password");
    at_most(view, check, "auth_secret");
    let mut seen: Vec<String> = Vec::new();
    for entry in view.get("headers").map_or(&[][..], Node::entries) {
        let name = entry.key.to_ascii_lowercase();
        if seen.contains(&name) {
            check.error(entry.at, format!("duplicate header {:?} in email config", entry.key));
        }
        seen.push(name);
    }
}

static IMAGE: Schema =
    Schema::new("images", &[field("src", Type::Text), field("alt", Type::Text), field("href", Type::Text)]);
static LINK: Schema = Schema::new("links", &[field("href", Type::Text), field("text", Type::Text)]);

static PAGERDUTY: Schema = Schema::new(
    "pagerduty_configs",
    &[
        field("service_key", Type::Secret),
        field("service_key_file", Type::Text),
        field("routing_key", Type::Secret),
        field("routing_key_file", Type::Text),
        field("url", Type::Url),
        field("client", Type::Text),
        field("client_url", Type::Text),
        field("description", Type::Text),
        field("details", Type::Map(&Type::Any)),
        field("images", Type::List(&Type::Object(&IMAGE))),
        field("links", Type::List(&Type::Object(&LINK))),
        field("source", Type::Text),
        field("severity", Type::Text),
        field("class", Type::Text),
        field("component", Type::Text),
        field("group", Type::Text),
        field("timeout", Type::GoDuration),
    ],
)
.with(&[&COMMON])
.verify(pagerduty);

fn pagerduty(view: View<'_>, check: &mut Checker) {
    let keys = ["service_key", "service_key_file", "routing_key", "routing_key_file"];
    if !keys.iter().any(|key| view.filled(key)) {
        check.error(view.at(), "missing service or routing key in PagerDuty config");
    }
    at_most(view, check, "routing_key");
    at_most(view, check, "service_key");
}

static RESPONDER: Schema = Schema::new(
    "responders",
    &[
        field("id", Type::Text),
        field("name", Type::Text),
        field("username", Type::Text),
        field("type", Type::Text),
    ],
)
.verify(responder);

fn responder(view: View<'_>, check: &mut Checker) {
    if !["id", "name", "username"].iter().any(|key| view.filled(key)) {
        check.error(
            view.at(),
            "opsGenieConfig responder has to have at least one of id, username or name specified",
        );
    }
    let kind = view.text_or_empty("type").to_ascii_lowercase();
    let known = ["team", "teams", "user", "escalation", "schedule"].contains(&kind.as_str());
    if !known && !kind.contains("{{") {
        let message = format!(
            "opsGenieConfig responder type {kind:?} does not match valid options; expected team, teams, user, escalation, schedule or a template"
        );
        check.error(view.value_at("type"), message);
    }
}

static OPSGENIE: Schema = Schema::new(
    "opsgenie_configs",
    &[
        field("api_key", Type::Secret),
        field("api_key_file", Type::Text),
        field("api_url", Type::Url),
        field("message", Type::Text),
        field("description", Type::Text),
        field("source", Type::Text),
        field("details", Type::TEXT_MAP),
        field("entity", Type::Text),
        field("responders", Type::List(&Type::Object(&RESPONDER))),
        field("actions", Type::Text),
        field("tags", Type::Text),
        field("note", Type::Text),
        field("priority", Type::Text),
        field("update_alerts", Type::Bool),
    ],
)
.with(&[&COMMON])
.verify(api_key);

fn api_key(view: View<'_>, check: &mut Checker) {
    at_most(view, check, "api_key");
}

static VICTOROPS: Schema = Schema::new(
    "victorops_configs",
    &[
        field("api_key", Type::Secret),
        field("api_key_file", Type::Text),
        field("api_url", Type::Url),
        field("routing_key", Type::Text),
        field("message_type", Type::Text),
        field("state_message", Type::Text),
        field("entity_display_name", Type::Text),
        field("monitoring_tool", Type::Text),
        field("custom_fields", Type::TEXT_MAP),
    ],
)
.with(&[&COMMON])
.verify(victorops);

fn victorops(view: View<'_>, check: &mut Checker) {
    require(view, check, "routing_key", "missing Routing key in VictorOps config");
    api_key(view, check);
    let fixed = [
        "routing_key",
        "message_type",
        "state_message",
        "entity_display_name",
        "monitoring_tool",
        "entity_id",
        "entity_state",
    ];
    for entry in view.get("custom_fields").map_or(&[][..], Node::entries) {
        if fixed.contains(&entry.key.as_str()) {
            let message = format!(
                "victorOps config contains custom field {} which cannot be used as it conflicts with the fixed/static fields",
                entry.key
            );
            check.error(entry.at, message);
        }
    }
}

static PUSHOVER: Schema = Schema::new(
    "pushover_configs",
    &[
        field("user_key", Type::Secret),
        field("user_key_file", Type::Text),
        field("token", Type::Secret),
        field("token_file", Type::Text),
        field("title", Type::Text),
        field("message", Type::Text),
        field("url", Type::Text),
        field("url_title", Type::Text),
        field("device", Type::Text),
        field("sound", Type::Text),
        field("priority", Type::Text),
        field("retry", Type::GoDuration),
        field("expire", Type::GoDuration),
        field("ttl", Type::GoDuration),
        field("html", Type::Bool),
        field("monospace", Type::Bool),
    ],
)
.with(&[&COMMON])
.verify(pushover);

fn pushover(view: View<'_>, check: &mut Checker) {
    exactly_one(view, check, "user_key");
    exactly_one(view, check, "token");
    if view.flag("html") == Some(true) && view.flag("monospace") == Some(true) {
        check.error(view.key_at("monospace"), "at most one of monospace & html must be configured");
    }
}

static SIGV4: Schema = Schema::new(
    "sigv4",
    &[
        field("region", Type::Text),
        field("access_key", Type::Text),
        field("secret_key", Type::Secret),
        field("profile", Type::Text),
        field("role_arn", Type::Text),
        field("external_id", Type::Text),
        field("use_fips_sts_endpoint", Type::Bool),
    ],
)
.verify(sigv4);

fn sigv4(view: View<'_>, check: &mut Checker) {
    if view.filled("access_key") != view.filled("secret_key") {
        check.error(view.at(), "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config");
    }
}

static SNS: Schema = Schema::new(
    "sns_configs",
    &[
        field("api_url", Type::Text),
        field("sigv4", Type::Object(&SIGV4)),
        field("topic_arn", Type::Text),
        field("phone_number", Type::Text),
        field("target_arn", Type::Text),
        field("subject", Type::Text),
        field("message", Type::Text),
        field("attributes", Type::TEXT_MAP),
        field("use_aws_http_client", Type::Bool),
    ],
)
.with(&[&COMMON])
.verify(sns);

fn sns(view: View<'_>, check: &mut Checker) {
    if !["target_arn", "topic_arn", "phone_number"].iter().any(|key| view.filled(key)) {
        check.error(view.at(), "must provide either a Target ARN, Topic ARN, or Phone Number for SNS config");
    }
}

static JIRA: Schema = Schema::new(
    "jira_configs",
    &[
        field("api_url", Type::Url),
        field("api_type", Type::Choice(&["auto", "cloud", "datacenter"])),
        field("project", Type::Text),
        field("summary", Type::Any),
        field("description", Type::Any),
        field("labels", Type::TEXTS),
        field("priority", Type::Text),
        field("issue_type", Type::Text),
        field("reopen_transition", Type::Text),
        field("resolve_transition", Type::Text),
        field("wont_fix_resolution", Type::Text),
        field("reopen_duration", Type::Duration),
        field("fields", Type::Map(&Type::Any)),
    ],
)
.with(&[&COMMON])
.verify(jira);

static JIRA_FIELD: Schema =
    Schema::new("a Jira field", &[field("template", Type::Text), field("enable_update", Type::Bool)]);

fn jira(view: View<'_>, check: &mut Checker) {
    require(view, check, "project", "missing project in jira_config");
    require(view, check, "issue_type", "missing issue_type in jira_config");
    for node in ["summary", "description"].into_iter().filter_map(|key| view.get(key)) {
        if node.text().is_none() {
            check.object(node, &JIRA_FIELD);
        }
    }
}

static INCIDENTIO: Schema = Schema::new(
    "incidentio_configs",
    &[
        field("url", Type::Url),
        field("url_file", Type::Text),
        field("alert_source_token", Type::Secret),
        field("alert_source_token_file", Type::Text),
        field("max_alerts", Type::COUNT),
        field("timeout", Type::GoDuration),
    ],
)
.with(&[&COMMON])
.verify(incidentio);

fn incidentio(view: View<'_>, check: &mut Checker) {
    exactly_one(view, check, "url");
    at_most(view, check, "alert_source_token");
    let token = view.filled("alert_source_token") || view.filled("alert_source_token_file");
    let http = view.map("http_config").has("authorization");
    if !token && !http {
        check.error(
            view.at(),
            "at least one of alert_source_token, alert_source_token_file or http_config.authorization must be configured",
        );
    }
    if token && http {
        check.error(
            view.key_at("http_config"),
            "cannot specify alert_source_token or alert_source_token_file when using http_config.authorization",
        );
    }
}
