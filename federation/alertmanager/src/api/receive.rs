//! `POST /api/v2/alerts`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::Labels;
use serde::Deserialize;

use super::{bad_body, error, limits, problem, warn_overlay};
use crate::alert::Alert;
use crate::matcher::MatcherMode;
use crate::node::{Alertmanager, Node};
use crate::time::parse_ms;

/// One alert as a client posts it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    starts_at: Option<String>,
    #[serde(default)]
    ends_at: Option<String>,
    #[serde(default, rename = "generatorURL")]
    generator_url: Option<String>,
}

/// Stores what is valid, and answers 400 if anything was not.
pub(super) async fn receive(State(alertmanager): State<Alertmanager>, body: Bytes) -> Response {
    let node = &alertmanager.0;
    let posted: Vec<Posted> = match serde_json::from_slice(&body) {
        Ok(posted) => posted,
        Err(wrong) => return bad_body("alerts", &wrong),
    };
    let now_ms = node.clock.now_ms();
    let (mut alerts, mut wrong) = (Vec::with_capacity(posted.len()), Vec::new());
    for alert in posted {
        match check(node, alert, now_ms) {
            Ok(alert) => alerts.push(alert),
            Err(Invalid::Time(message)) => return problem(StatusCode::BAD_REQUEST, 400, &message),
            Err(Invalid::Alert(message)) => {
                node.metrics.refuse();
                wrong.push(message);
            }
        }
    }
    let alerts = limits::within(node, alerts, now_ms);
    let overlay = match node.take_alerts(alerts, now_ms).await {
        Ok(overlay) => overlay,
        Err(failed) => return error(StatusCode::INTERNAL_SERVER_ERROR, &failed.to_string()),
    };
    let answer = if wrong.is_empty() {
        StatusCode::OK.into_response()
    } else {
        tracing::warn!(count = wrong.len(), first = %wrong[0], "alerts were refused");
        error(StatusCode::BAD_REQUEST, &wrong.join("; "))
    };
    warn_overlay(answer, overlay)
}

enum Invalid {
    /// The request is not of the schema.
    Time(String),
    /// This alert cannot be stored; others can.
    Alert(String),
}

fn check(node: &Node, posted: Posted, now_ms: i64) -> Result<Alert, Invalid> {
    let time = |text: &Option<String>| parse_ms(text.as_deref().unwrap_or("")).map_err(Invalid::Time);
    let (starts, ends) = (time(&posted.starts_at)?, time(&posted.ends_at)?);
    let starts_at = starts.or(ends).unwrap_or(now_ms);
    let ends_at = ends.unwrap_or_else(|| node.resolve_at(now_ms));
    let invalid = |message: String| Err(Invalid::Alert(message));
    if ends_at < starts_at {
        return invalid("start time must be before end time".to_owned());
    }
    let pairs = posted.labels.unwrap_or_default();
    let classic = node.options.matcher_mode == MatcherMode::Classic;
    let is_bad = |name: &&String| name.is_empty() || (classic && !model::is_valid_legacy_label_name(name));
    if let Some(name) = pairs.keys().find(is_bad) {
        return invalid(format!("invalid label set: invalid name {name:?}"));
    }
    let labels = Labels::from_pairs(pairs);
    if labels.is_empty() {
        return invalid("at least one label pair required".to_owned());
    }
    let annotations = posted.annotations.unwrap_or_default();
    if let Some(name) = annotations.keys().find(is_bad) {
        return invalid(format!("invalid annotations: invalid name {name:?}"));
    }
    Ok(Alert {
        labels,
        annotations,
        generator_url: posted.generator_url.unwrap_or_default(),
        starts_at,
        ends_at,
        updated_at: now_ms,
        timeout: ends.is_none(),
    })
}
