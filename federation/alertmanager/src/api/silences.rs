//! `/api/v2/silences` and `/api/v2/silence/{id}`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::view::read_matchers;
use super::{Params, bad_body, error, json, limits, problem, warn_overlay};
use crate::command::{Command, Rejection, Reply};
use crate::node::Alertmanager;
use crate::silence::{Silence, SilenceMatcher, SilenceState};
use crate::time::{format_ms, parse_ms};

#[derive(Serialize)]
struct StateView {
    state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MatcherView {
    is_equal: bool,
    is_regex: bool,
    name: String,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SilenceView {
    id: String,
    status: StateView,
    updated_at: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    comment: String,
    created_by: String,
    ends_at: String,
    matchers: Vec<MatcherView>,
    starts_at: String,
}

fn view(silence: &Silence, now_ms: i64) -> SilenceView {
    let matcher = |it: &SilenceMatcher| MatcherView {
        is_equal: it.is_equal,
        is_regex: it.is_regex,
        name: it.name.clone(),
        value: it.value.clone(),
    };
    SilenceView {
        id: silence.id.clone(),
        status: StateView { state: silence.state(now_ms).as_str() },
        updated_at: format_ms(silence.updated_at),
        annotations: silence.annotations.clone(),
        comment: silence.comment.clone(),
        created_by: silence.created_by.clone(),
        ends_at: format_ms(silence.ends_at),
        matchers: silence.matchers.iter().map(matcher).collect(),
        starts_at: format_ms(silence.starts_at),
    }
}

pub(super) async fn list(
    State(alertmanager): State<Alertmanager>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let params = Params::new(pairs);
    let node = &alertmanager.0;
    let wanted = match read_matchers(&params, node.options.matcher_mode) {
        Ok(matchers) => matchers,
        Err(answer) => return *answer,
    };
    node.read_barrier().await;
    let now_ms = node.clock.now_ms();
    let mut found: Vec<_> = node.backend().state.read(|state| {
        let has_all = |silence: &Silence| {
            wanted.iter().all(|matcher| {
                silence.matchers.iter().any(|it| {
                    (it.name.as_str(), it.value.as_str(), it.op())
                        == (matcher.name(), matcher.value(), matcher.op())
                })
            })
        };
        state.silences().filter(|silence| has_all(silence)).cloned().collect()
    });
    found.retain(|silence| params.switch(silence.state(now_ms).as_str()));
    found.sort_by_key(|silence| match silence.state(now_ms) {
        state @ SilenceState::Active => (state, silence.ends_at),
        state @ SilenceState::Pending => (state, silence.starts_at),
        state @ SilenceState::Expired => (state, silence.ends_at.saturating_neg()),
    });
    let views: Vec<_> = found.iter().map(|silence| view(silence, now_ms)).collect();
    json(StatusCode::OK, &views)
}

pub(super) async fn get(State(alertmanager): State<Alertmanager>, Path(id): Path<String>) -> Response {
    if let Some(answer) = bad_id("silenceID", "path", &id) {
        return answer;
    }
    let node = &alertmanager.0;
    node.read_barrier().await;
    let now_ms = node.clock.now_ms();
    let found = node.backend().state.read(|state| state.silence(&id).map(|silence| view(silence, now_ms)));
    found.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |found| json(StatusCode::OK, &found))
}

pub(super) async fn expire(State(alertmanager): State<Alertmanager>, Path(id): Path<String>) -> Response {
    if let Some(answer) = bad_id("silenceID", "path", &id) {
        return answer;
    }
    let node = &alertmanager.0;
    match node.write(Command::SilenceExpire { id: id.clone(), now_ms: node.clock.now_ms() }).await {
        Ok(written) => {
            if node.options.log_silences {
                tracing::info!(%id, "a silence was ended");
            }
            let found = written.reply != Reply::Rejected(Rejection::NotFound);
            let status = if found { StatusCode::OK } else { StatusCode::NOT_FOUND };
            warn_overlay(status.into_response(), written.overlay)
        }
        Err(failed) => error(StatusCode::INTERNAL_SERVER_ERROR, &failed.to_string()),
    }
}

/// A silence as a client posts it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    id: Option<String>,
    matchers: Option<Vec<PostedMatcher>>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    created_by: Option<String>,
    comment: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostedMatcher {
    name: Option<String>,
    value: Option<String>,
    is_regex: Option<bool>,
    is_equal: Option<bool>,
}

pub(super) async fn set(State(alertmanager): State<Alertmanager>, body: Bytes) -> Response {
    #[derive(Serialize)]
    struct Answer {
        #[serde(rename = "silenceID")]
        silence_id: String,
    }
    let node = &alertmanager.0;
    let posted: Posted = match serde_json::from_slice(&body) {
        Ok(posted) => posted,
        Err(wrong) => return bad_body("silence", &wrong),
    };
    let now_ms = node.clock.now_ms();
    let silence = match check(posted, now_ms) {
        Ok(silence) => silence,
        Err(answer) => return *answer,
    };
    if let Err(wrong) = limits::check(node, &silence, now_ms) {
        return error(StatusCode::BAD_REQUEST, &wrong);
    }
    let (author, comment) = (silence.created_by.clone(), silence.comment.clone());
    let new_id =
        uuid::Builder::from_random_bytes(node.random.next_u128().to_be_bytes()).into_uuid().to_string();
    match node.write(Command::SilenceSet { silence, new_id, now_ms }).await {
        Ok(written) => match written.reply {
            Reply::Silence(silence_id) => {
                if node.options.log_silences {
                    tracing::info!(id = %silence_id, %author, %comment, "a silence was set");
                }
                warn_overlay(json(StatusCode::OK, &Answer { silence_id }), written.overlay)
            }
            _ => error(StatusCode::NOT_FOUND, "silence not found"),
        },
        Err(failed) => error(StatusCode::INTERNAL_SERVER_ERROR, &failed.to_string()),
    }
}

fn check(posted: Posted, now_ms: i64) -> Result<Silence, Box<Response>> {
    let required = |name: &str| {
        let message = format!("{name} in body is required");
        Box::new(problem(StatusCode::UNPROCESSABLE_ENTITY, 602, &message))
    };
    let refuse = |message: &str| Box::new(error(StatusCode::BAD_REQUEST, message));
    let time = |name: &str, text: Option<String>| {
        let text = text.ok_or_else(|| required(name))?;
        let bad = |message: String| Box::new(problem(StatusCode::BAD_REQUEST, 400, &message));
        Ok::<_, Box<Response>>(parse_ms(&text).map_err(bad)?.unwrap_or(crate::time::UNSET_MS))
    };
    let id = posted.id.unwrap_or_default();
    let comment = posted.comment.ok_or_else(|| required("comment"))?;
    let created_by = posted.created_by.ok_or_else(|| required("createdBy"))?;
    let ends_at = time("endsAt", posted.ends_at)?;
    let posted_matchers = posted.matchers.ok_or_else(|| required("matchers"))?;
    if posted_matchers.is_empty() {
        let message = "matchers in body should have at least 1 items";
        return Err(Box::new(problem(StatusCode::UNPROCESSABLE_ENTITY, 612, message)));
    }
    let starts_at = time("startsAt", posted.starts_at)?;
    let matchers = posted_matchers
        .into_iter()
        .enumerate()
        .map(|(at, it)| {
            let missing = |name: &str| required(&format!("matchers.{at}.{name}"));
            Ok(SilenceMatcher {
                name: it.name.ok_or_else(|| missing("name"))?,
                value: it.value.ok_or_else(|| missing("value"))?,
                is_regex: it.is_regex.ok_or_else(|| missing("isRegex"))?,
                is_equal: it.is_equal.unwrap_or(true),
            })
        })
        .collect::<Result<Vec<_>, Box<Response>>>()?;
    if starts_at >= ends_at {
        return Err(refuse("failed to create silence: start time must be before end time"));
    }
    if ends_at < now_ms {
        return Err(refuse("failed to create silence: end time can't be in the past"));
    }
    let annotations = posted.annotations.unwrap_or_default();
    let silence = Silence {
        id,
        matchers,
        starts_at,
        ends_at,
        updated_at: now_ms,
        created_by,
        comment,
        annotations,
        version: 0,
    };
    silence.validate().map_err(|wrong| refuse(&wrong))?;
    Ok(silence)
}

fn bad_id(name: &str, place: &str, id: &str) -> Option<Response> {
    Uuid::parse_str(id).is_err().then(|| {
        let message = format!("{name} in {place} must be of type uuid: {id:?}");
        problem(StatusCode::UNPROCESSABLE_ENTITY, 601, &message)
    })
}
