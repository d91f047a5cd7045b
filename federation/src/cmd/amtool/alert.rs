//! `alert query` and `alert add`.

use alertmanager::matcher::MatcherMode;
use anyhow::Result;

use super::http::{Operation, Server, Verb, body, query as parameters};
use super::input;
use super::show::Show;
use super::views::{Alert, Moment, NewAlert};
use crate::kingpin::Call;

const GET: Operation = Operation {
    method: Verb::Get,
    path: "/alerts",
    name: "getAlerts",
    refusals: &[(400, "BadRequest", true), (500, "InternalServerError", true)],
};

const POST: Operation = Operation {
    method: Verb::Post,
    path: "/alerts",
    name: "postAlerts",
    refusals: &[(400, "BadRequest", true), (500, "InternalServerError", true)],
};

/// Prints the alerts that are asked for.
pub(super) async fn query(call: &Call, mode: MatcherMode) -> Result<()> {
    let filters = input::with_alertname(&call.positional, mode);
    let states = ["active", "inhibited", "silenced", "unprocessed"];
    let none = !states.iter().any(|state| call.is_on(state));
    let mut pairs: Vec<(&str, &str)> = states
        .iter()
        .map(|state| {
            (*state, if call.is_on(state) || (none && *state == "active") { "true" } else { "false" })
        })
        .collect();
    pairs.extend(call.text("receiver").filter(|name| !name.is_empty()).map(|name| ("receiver", name)));
    pairs.extend(filters.iter().map(|filter| ("filter", filter.as_str())));
    let server = Server::new(call).await?;
    let alerts: Option<Vec<Alert>> = server.ask(GET, &format!("/alerts{}", parameters(&pairs)), None).await?;
    Show::new(call).alerts(alerts.unwrap_or_default())
}

/// Sends an alert.
pub(super) async fn add(call: &Call, mode: MatcherMode) -> Result<()> {
    let labels = input::labels(&input::with_alertname(&call.positional, mode), mode, "labels")?;
    let annotations = input::labels(&call.texts("annotation"), mode, "annotations")?;
    let time = |flag| {
        Ok::<_, anyhow::Error>(
            input::time(call.text(flag).unwrap_or_default())?.map_or(Moment::UNSET, Moment),
        )
    };
    let alert = NewAlert {
        annotations,
        starts_at: time("start")?,
        ends_at: time("end")?,
        generator_url: call.text("generator-url").unwrap_or_default().to_owned(),
        labels,
    };
    let server = Server::new(call).await?;
    server.send(POST, "/alerts", body(&[alert])?).await.map(drop)
}
