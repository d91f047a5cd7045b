//! What receivers take from `global` where they do not say it themselves, and must have from either.

use yaml::{Checker, View};

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
