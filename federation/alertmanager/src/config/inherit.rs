//! What receivers take from `global` where they do not say it themselves, and must have from either.

use std::path::Path;

use client::TlsConfig;
use yaml::{Checker, Entry, Kind, Node, View};

use super::IntegrationConfig;

/// An integration's list, its name, and whether it sends what is over where the file does not say it.
/// In the order in which a receiver's integrations are asked.
const KINDS: [(&str, &str, bool); 18] = [
    ("webhook_configs", "webhook", true),
    ("email_configs", "email", false),
    ("pagerduty_configs", "pagerduty", true),
    ("opsgenie_configs", "opsgenie", true),
    ("wechat_configs", "wechat", false),
    ("slack_configs", "slack", false),
    ("victorops_configs", "victorops", true),
    ("pushover_configs", "pushover", true),
    ("sns_configs", "sns", true),
    ("telegram_configs", "telegram", true),
    ("discord_configs", "discord", true),
    ("webex_configs", "webex", true),
    ("msteams_configs", "msteams", true),
    ("msteamsv2_configs", "msteamsv2", true),
    ("jira_configs", "jira", true),
    ("incidentio_configs", "incidentio", true),
    ("rocketchat_configs", "rocketchat", false),
    ("mattermost_configs", "mattermost", true),
];

/// Keys that stand for the same thing, in an integration and in `global`: where the integration sets none of
/// them, it takes all of `global`'s.
type Group = (&'static str, &'static [(&'static str, &'static str)]);

const GROUPS: &[Group] = &[
    ("email", &[("smarthost", "smtp_smarthost")]),
    ("email", &[("from", "smtp_from")]),
    ("email", &[("hello", "smtp_hello")]),
    ("email", &[("auth_username", "smtp_auth_username")]),
    ("email", &[("auth_password", "smtp_auth_password"), ("auth_password_file", "smtp_auth_password_file")]),
    ("email", &[("auth_secret", "smtp_auth_secret"), ("auth_secret_file", "smtp_auth_secret_file")]),
    ("email", &[("auth_identity", "smtp_auth_identity")]),
    ("email", &[("require_tls", "smtp_require_tls")]),
    ("email", &[("force_implicit_tls", "smtp_force_implicit_tls")]),
    (
        "slack",
        &[
            ("api_url", "slack_api_url"),
            ("api_url_file", "slack_api_url_file"),
            ("app_token", "slack_app_token"),
            ("app_token_file", "slack_app_token_file"),
        ],
    ),
    ("slack", &[("app_url", "slack_app_url")]),
    ("pagerduty", &[("url", "pagerduty_url")]),
    ("opsgenie", &[("api_url", "opsgenie_api_url")]),
    ("opsgenie", &[("api_key", "opsgenie_api_key"), ("api_key_file", "opsgenie_api_key_file")]),
    ("wechat", &[("api_url", "wechat_api_url")]),
    ("wechat", &[("api_secret", "wechat_api_secret"), ("api_secret_file", "wechat_api_secret_file")]),
    ("wechat", &[("corp_id", "wechat_api_corp_id")]),
    ("victorops", &[("api_url", "victorops_api_url")]),
    ("victorops", &[("api_key", "victorops_api_key"), ("api_key_file", "victorops_api_key_file")]),
    ("telegram", &[("api_url", "telegram_api_url")]),
    ("telegram", &[("bot_token", "telegram_bot_token"), ("bot_token_file", "telegram_bot_token_file")]),
    ("webex", &[("api_url", "webex_api_url")]),
    ("jira", &[("api_url", "jira_api_url")]),
    ("rocketchat", &[("api_url", "rocketchat_api_url")]),
    ("rocketchat", &[("token", "rocketchat_token"), ("token_file", "rocketchat_token_file")]),
    ("rocketchat", &[("token_id", "rocketchat_token_id"), ("token_id_file", "rocketchat_token_id_file")]),
    (
        "mattermost",
        &[("webhook_url", "mattermost_webhook_url"), ("webhook_url_file", "mattermost_webhook_url_file")],
    ),
];

/// The integrations of a receiver, with what they take from `global`.
pub(super) fn integrations(
    receiver: View<'_>,
    global: View<'_>,
    base: &Path,
    check: &mut Checker,
) -> Vec<IntegrationConfig> {
    let mut found = Vec::new();
    for (list, kind, send_resolved) in KINDS {
        for (entry, index) in receiver.list(list).zip(0..) {
            found.push(integration(entry, global, (kind, index, send_resolved), base, check));
        }
    }
    found
}

fn integration(
    view: View<'_>,
    global: View<'_>,
    (kind, index, send_resolved): (&'static str, u32, bool),
    base: &Path,
    check: &mut Checker,
) -> IntegrationConfig {
    let or_global =
        |key: &str, general: &str| if view.has(key) { view.map(key) } else { global.map(general) };
    let mut entries = view.node().map_or(&[][..], Node::entries).to_vec();
    for (_, keys) in GROUPS.iter().filter(|(of, _)| *of == kind) {
        if keys.iter().any(|(own, _)| view.filled(own)) {
            continue;
        }
        for (own, general) in *keys {
            let Some(value) = global.get(general) else { continue };
            entries.retain(|entry| entry.key != *own);
            entries.push(Entry { key: (*own).to_owned(), at: value.at, value: value.clone() });
        }
    }
    // These two are taken as they are written.
    let tls = match kind {
        "email" => yaml::tls_config(or_global("tls_config", "smtp_tls_config"), Path::new(""), check),
        _ => TlsConfig::default(),
    };
    let base = if kind == "incidentio" && view.has("http_config") { Path::new("") } else { base };
    let http = or_global("http_config", "http_config");
    let merged = (kind == "msteamsv2").then(|| with_proxy(http, global.map("http_config")));
    let http = merged.as_ref().map_or(http, View::of);
    IntegrationConfig {
        kind,
        index,
        send_resolved: view.flag("send_resolved").unwrap_or(send_resolved),
        http: yaml::client_config(http, base, check),
        tls,
        settings: Node { at: view.at(), kind: Kind::Map(entries) },
    }
}

/// This receiver alone takes the general proxy also where it has an `http_config` of its own.
fn with_proxy(http: View<'_>, general: View<'_>) -> Node {
    const PROXY: &str = "proxy_url";
    let mut entries = http.node().map_or(&[][..], Node::entries).to_vec();
    if let (false, Some(value)) = (http.has(PROXY), general.get(PROXY)) {
        entries.retain(|entry| entry.key != PROXY);
        entries.push(Entry { key: PROXY.to_owned(), at: value.at, value: value.clone() });
    }
    Node { at: http.at(), kind: Kind::Map(entries) }
}

/// An integration, its keys of which one must be set, the keys of `global` that stand in for them,
/// and the message where neither is there.
type Need = (&'static str, &'static [&'static str], &'static [&'static str], &'static str);

const NEEDS: &[Need] = &[
    ("email_configs", &["smarthost"], &["smtp_smarthost"], "no global SMTP smarthost set"),
    ("email_configs", &["from"], &["smtp_from"], "no global SMTP from set"),
    (
        "slack_configs",
        &["api_url", "api_url_file", "app_token", "app_token_file"],
        &["slack_api_url", "slack_api_url_file", "slack_app_token", "slack_app_token_file"],
        "no Slack API URL nor App token set either inline or in a file",
    ),
    (
        "opsgenie_configs",
        &["api_key", "api_key_file"],
        &["opsgenie_api_key", "opsgenie_api_key_file"],
        "no global OpsGenie API Key set either inline or in a file",
    ),
    (
        "wechat_configs",
        &["api_secret", "api_secret_file"],
        &["wechat_api_secret", "wechat_api_secret_file"],
        "no global Wechat Api Secret set either inline or in a file",
    ),
    ("wechat_configs", &["corp_id"], &["wechat_api_corp_id"], "no global Wechat CorpID set"),
    (
        "victorops_configs",
        &["api_key", "api_key_file"],
        &["victorops_api_key", "victorops_api_key_file"],
        "no global VictorOps API Key set either inline or in a file",
    ),
    (
        "telegram_configs",
        &["bot_token", "bot_token_file"],
        &["telegram_bot_token", "telegram_bot_token_file"],
        "missing bot_token or bot_token_file on telegram_config",
    ),
    ("jira_configs", &["api_url"], &["jira_api_url"], "no global Jira Cloud URL set"),
    (
        "rocketchat_configs",
        &["token", "token_file"],
        &["rocketchat_token", "rocketchat_token_file"],
        "no global Rocketchat Token set either inline or in a file",
    ),
    (
        "rocketchat_configs",
        &["token_id", "token_id_file"],
        &["rocketchat_token_id", "rocketchat_token_id_file"],
        "no global Rocketchat TokenID set either inline or in a file",
    ),
    (
        "mattermost_configs",
        &["webhook_url", "webhook_url_file"],
        &["mattermost_webhook_url", "mattermost_webhook_url_file"],
        "no global Mattermost webhook URL set either inline or in a file",
    ),
];

/// Notes what a receiver lacks.
pub(super) fn check_needs(receiver: View<'_>, global: View<'_>, check: &mut Checker) {
    for (list, own, inherited, message) in NEEDS {
        if inherited.iter().any(|key| global.filled(key)) {
            continue;
        }
        for entry in receiver.list(list).filter(|entry| !own.iter().any(|key| entry.filled(key))) {
            check.error(entry.at(), *message);
        }
    }
    slack_updates(receiver, global, check);
}

/// A message can be updated only through Slack's own API.
fn slack_updates(receiver: View<'_>, global: View<'_>, check: &mut Checker) {
    let own = ["api_url", "api_url_file", "app_token", "app_token_file"];
    let inherits_url = global.filled("slack_api_url_file")
        || global.text("slack_api_url").is_some_and(|url| url != super::schema::SLACK_APP_URL);
    let token = global.filled("slack_app_token") || global.filled("slack_app_token_file");
    for entry in receiver.list("slack_configs") {
        let updates = entry.flag("update_message") == Some(true);
        if updates && inherits_url && !token && !own.iter().any(|key| entry.filled(key)) {
            check.error(
                entry.key_at("update_message"),
                format!(
                    "update_message can only be used with api_url set to {} or with an app token",
                    super::schema::SLACK_APP_URL
                ),
            );
        }
    }
}
