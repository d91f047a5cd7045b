//! `alerting`.

use yaml::http::HTTP;
use yaml::{Checker, Schema, Type, View, field};

use super::scrape::{RELABEL, statics};
use super::services::SIGV4;
use crate::sd::DISCOVERY;

pub(super) static ALERTING: Schema = Schema::new(
    "alerting",
    &[
        field("alert_relabel_configs", Type::List(&Type::Object(&RELABEL)))
            .empty_item("empty or null alert relabeling rule"),
        field("alertmanagers", Type::List(&Type::Object(&ALERTMANAGERS)))
            .empty_item("empty or null alertmanagers section"),
    ],
);

pub(super) static ALERTMANAGERS: Schema = Schema::new(
    "alertmanagers",
    &[
        field("timeout", Type::Duration),
        field("api_version", Type::Check(api_version)),
        field("path_prefix", Type::Text),
        field("scheme", Type::Choice(&["http", "https"])),
        field("sigv4", Type::Object(&SIGV4)).later("signing for AWS"),
        field("relabel_configs", Type::List(&Type::Object(&RELABEL)))
            .empty_item("empty or null Alertmanager target relabeling rule"),
        field("alert_relabel_configs", Type::List(&Type::Object(&RELABEL)))
            .empty_item("empty or null Alertmanager alert relabeling rule"),
    ],
)
.with(&[&DISCOVERY, &HTTP])
.verify(alertmanagers);

fn api_version(text: &str) -> Result<(), String> {
    match text {
        "v2" => Ok(()),
        _ => Err(format!("expected Alertmanager api version to be one of [v2] but got {text}")),
    }
}

fn alertmanagers(view: View<'_>, check: &mut Checker) {
    let other = ["basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file"];
    if let Some(key) = other.into_iter().find(|key| view.has(key)).filter(|_| view.has("sigv4")) {
        check.error(
            view.key_at(key),
            "sigv4 is not allowed when HTTP authentication is configured; expected one of them",
        );
    }
    statics(view, check);
}
