//! Receivers that are chats.

use yaml::{Checker, Schema, Type, View, field};

use super::receivers::{COMMON, at_most, exactly_one, one_of, require};
use super::schema::SLACK_APP_URL;

static FIELD: Schema = Schema::new(
    "fields",
    &[field("title", Type::Text), field("value", Type::Text), field("short", Type::Bool)],
)
.verify(titled);

fn titled(view: View<'_>, check: &mut Checker) {
    require(view, check, "title", "missing title in Slack field configuration");
    require(view, check, "value", "missing value in Slack field configuration");
}

static CONFIRM: Schema = Schema::new(
    "confirm",
    &[
        field("text", Type::Text),
        field("title", Type::Text),
        field("ok_text", Type::Text),
        field("dismiss_text", Type::Text),
    ],
)
.verify(confirm);

fn confirm(view: View<'_>, check: &mut Checker) {
    require(view, check, "text", "missing text in Slack confirmation configuration");
}

static ACTION: Schema = Schema::new(
    "actions",
    &[
        field("type", Type::Text),
        field("text", Type::Text),
        field("url", Type::Text),
        field("style", Type::Text),
        field("name", Type::Text),
        field("value", Type::Text),
        field("confirm", Type::Object(&CONFIRM)),
    ],
)
.verify(action);

fn action(view: View<'_>, check: &mut Checker) {
    require(view, check, "type", "missing type in Slack action configuration");
    require(view, check, "text", "missing text in Slack action configuration");
    one_of(view, check, ["url", "name"], "missing name or url in Slack action configuration");
}

pub(super) static SLACK: Schema = Schema::new(
    "slack_configs",
    &[
        field("api_url", Type::SecretUrl),
        field("api_url_file", Type::Text),
        field("app_token", Type::Secret),
        field("app_token_file", Type::Text),
        field("app_url", Type::Url),
        field("channel", Type::Text),
        field("username", Type::Text),
        field("color", Type::Text),
        field("title", Type::Text),
        field("title_link", Type::Text),
        field("pretext", Type::Text),
        field("text", Type::Text),
        field("message_text", Type::Text),
        field("fields", Type::List(&Type::Object(&FIELD))),
        field("short_fields", Type::Bool),
        field("footer", Type::Text),
        field("fallback", Type::Text),
        field("callback_id", Type::Text),
        field("icon_emoji", Type::Text),
        field("icon_url", Type::Text),
        field("image_url", Type::Text),
        field("thumb_url", Type::Text),
        field("link_names", Type::Bool),
        field("mrkdwn_in", Type::TEXTS),
        field("actions", Type::List(&Type::Object(&ACTION))),
        field("update_message", Type::Bool),
        field("timeout", Type::GoDuration),
    ],
)
.with(&[&COMMON])
.verify(slack);

fn slack(view: View<'_>, check: &mut Checker) {
    at_most(view, check, "api_url");
    at_most(view, check, "app_token");
    let url = view.filled("api_url") || view.filled("api_url_file");
    let token = view.filled("app_token") || view.filled("app_token_file");
    let app_url = view.text("app_url").unwrap_or(SLACK_APP_URL);
    if url && token && view.text("api_url") != Some(app_url) {
        check.error(
            view.at(),
            "at most one of app_token/app_token_file & api_url/api_url_file must be configured",
        );
    }
    let updates = view.flag("update_message") == Some(true);
    if updates && url && view.text("api_url") != Some(SLACK_APP_URL) {
        check.error(
            view.key_at("update_message"),
            format!(
                "update_message can only be used with api_url set to {SLACK_APP_URL} or with an app token"
            ),
        );
    }
}

pub(super) static WECHAT: Schema = Schema::new(
    "wechat_configs",
    &[
        field("api_secret", Type::Secret),
        field("api_secret_file", Type::Text),
        field("corp_id", Type::Text),
        field("message", Type::Text),
        field("api_url", Type::Url),
        field("to_user", Type::Text),
        field("to_party", Type::Text),
        field("to_tag", Type::Text),
        field("agent_id", Type::Text),
        field("message_type", Type::Choice(&["text", "markdown"])),
    ],
)
.with(&[&COMMON])
.verify(wechat);

fn wechat(view: View<'_>, check: &mut Checker) {
    at_most(view, check, "api_secret");
}

pub(super) static TELEGRAM: Schema = Schema::new(
    "telegram_configs",
    &[
        field("api_url", Type::Url),
        field("bot_token", Type::Secret),
        field("bot_token_file", Type::Text),
        field("chat_id", Type::Int(i64::MIN, i64::MAX)),
        field("chat_id_file", Type::Text),
        field("message_thread_id", Type::Int(i64::MIN, i64::MAX)),
        field("message", Type::Text),
        field("disable_notifications", Type::Bool),
        field("parse_mode", Type::Check(parse_mode)),
    ],
)
.with(&[&COMMON])
.verify(telegram);

fn parse_mode(text: &str) -> Result<(), String> {
    match text {
        "" | "Markdown" | "MarkdownV2" | "HTML" => Ok(()),
        _ => Err("unknown parse_mode on telegram_config, must be Markdown, MarkdownV2, HTML or empty string"
            .to_owned()),
    }
}

fn telegram(view: View<'_>, check: &mut Checker) {
    at_most(view, check, "bot_token");
    let chat = view.int("chat_id").is_some_and(|id| id != 0);
    if !chat && !view.filled("chat_id_file") {
        check.error(view.at(), "missing chat_id or chat_id_file on telegram_config");
    }
    if chat && view.filled("chat_id_file") {
        check.error(view.key_at("chat_id_file"), "at most one of chat_id & chat_id_file must be configured");
    }
}

pub(super) static DISCORD: Schema = Schema::new(
    "discord_configs",
    &[
        field("webhook_url", Type::SecretUrl),
        field("webhook_url_file", Type::Text),
        field("content", Type::Text),
        field("title", Type::Text),
        field("message", Type::Text),
        field("username", Type::Text),
        field("avatar_url", Type::Text),
    ],
)
.with(&[&COMMON])
.verify(webhook_url);

fn webhook_url(view: View<'_>, check: &mut Checker) {
    exactly_one(view, check, "webhook_url");
}

pub(super) static MSTEAMS: Schema = Schema::new(
    "msteams_configs",
    &[
        field("webhook_url", Type::SecretUrl),
        field("webhook_url_file", Type::Text),
        field("title", Type::Text),
        field("summary", Type::Text),
        field("text", Type::Text),
    ],
)
.with(&[&COMMON])
.verify(webhook_url);

pub(super) static MSTEAMS_V2: Schema = Schema::new(
    "msteamsv2_configs",
    &[
        field("webhook_url", Type::SecretUrl),
        field("webhook_url_file", Type::Text),
        field("title", Type::Text),
        field("text", Type::Text),
    ],
)
.with(&[&COMMON])
.verify(webhook_url);

pub(super) static WEBEX: Schema = Schema::new(
    "webex_configs",
    &[field("api_url", Type::Url), field("message", Type::Text), field("room_id", Type::Text)],
)
.with(&[&COMMON])
.verify(webex);

fn webex(view: View<'_>, check: &mut Checker) {
    require(view, check, "room_id", "missing room_id on webex_config");
    if !view.map("http_config").has("authorization") {
        check.error(view.at(), "missing webex_configs.http_config.authorization");
    }
}

static ROCKETCHAT_FIELD: Schema = Schema::new(
    "fields",
    &[field("title", Type::Text), field("value", Type::Text), field("short", Type::Bool)],
);
static ROCKETCHAT_ACTION: Schema = Schema::new(
    "actions",
    &[
        field("type", Type::Text),
        field("text", Type::Text),
        field("url", Type::Text),
        field("msg", Type::Text),
    ],
);

pub(super) static ROCKETCHAT: Schema = Schema::new(
    "rocketchat_configs",
    &[
        field("api_url", Type::Url),
        field("token", Type::Secret),
        field("token_file", Type::Text),
        field("token_id", Type::Secret),
        field("token_id_file", Type::Text),
        field("channel", Type::Text),
        field("color", Type::Text),
        field("title", Type::Text),
        field("title_link", Type::Text),
        field("text", Type::Text),
        field("fields", Type::List(&Type::Object(&ROCKETCHAT_FIELD))),
        field("short_fields", Type::Bool),
        field("emoji", Type::Text),
        field("icon_url", Type::Text),
        field("image_url", Type::Text),
        field("thumb_url", Type::Text),
        field("link_names", Type::Bool),
        field("actions", Type::List(&Type::Object(&ROCKETCHAT_ACTION))),
    ],
)
.with(&[&COMMON])
.verify(rocketchat);

fn rocketchat(view: View<'_>, check: &mut Checker) {
    at_most(view, check, "token");
    at_most(view, check, "token_id");
}

static CARD: Schema = Schema::new("props", &[field("card", Type::Text)]);
static PRIORITY: Schema = Schema::new(
    "priority",
    &[
        field("priority", Type::Text),
        field("requested_ack", Type::Bool),
        field("persistent_notifications", Type::Bool),
    ],
);

static ATTACHMENT: Schema = Schema::new(
    "attachments",
    &[
        field("fallback", Type::Text),
        field("color", Type::Text),
        field("pretext", Type::Text),
        field("text", Type::Text),
        field("author_name", Type::Text),
        field("author_link", Type::Text),
        field("author_icon", Type::Text),
        field("title", Type::Text),
        field("title_link", Type::Text),
        field("fields", Type::List(&Type::Object(&ROCKETCHAT_FIELD))),
        field("thumb_url", Type::Text),
        field("footer", Type::Text),
        field("footer_icon", Type::Text),
        field("image_url", Type::Text),
    ],
);

pub(super) static MATTERMOST: Schema = Schema::new(
    "mattermost_configs",
    &[
        field("webhook_url", Type::SecretUrl),
        field("webhook_url_file", Type::Text),
        field("channel", Type::Text),
        field("username", Type::Text),
        field("icon_url", Type::Text),
        field("icon_emoji", Type::Text),
        field("attachments", Type::List(&Type::Object(&ATTACHMENT))),
        field("type", Type::Text),
        field("props", Type::Object(&CARD)),
        field("priority", Type::Object(&PRIORITY)),
    ],
)
.with(&[&ATTACHMENT, &COMMON])
.verify(mattermost);

fn mattermost(view: View<'_>, check: &mut Checker) {
    at_most(view, check, "webhook_url");
}
