//! `/-/healthy`, `/-/ready`, `/-/reload`, `/-/quit`, and the gate that keeps requests out before the
//! process is ready.

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::state::ApiState;
use crate::status::BuildInfo;

/// Says which of two reasons a refused request has: the process is starting, or it is stopping.
const STOPPING_HEADER: &str = "x-prometheus-stopping";

pub(crate) async fn healthy(State(state): State<ApiState>) -> String {
    format!("{} is Healthy.\n", state.0.parts.options.app_name)
}

pub(crate) async fn ready(State(state): State<ApiState>) -> Response {
    unready(&state)
        .unwrap_or_else(|| format!("{} is Ready.\n", state.0.parts.options.app_name).into_response())
}

/// Answers 503 while the process is not ready.
pub(crate) async fn gate(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    match unready(&state) {
        Some(response) => response,
        None => next.run(request).await,
    }
}

pub(crate) async fn reload(State(state): State<ApiState>) -> Response {
    let lifecycle = &state.0.parts.lifecycle;
    if !lifecycle.is_enabled() {
        return disabled();
    }
    match lifecycle.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {error}\n")).into_response()
        }
    }
}

pub(crate) async fn quit(State(state): State<ApiState>) -> Response {
    let lifecycle = &state.0.parts.lifecycle;
    if !lifecycle.is_enabled() {
        return disabled();
    }
    lifecycle.quit();
    "Requesting termination... Goodbye!".into_response()
}

/// A GET where only POST and PUT do something.
pub(crate) async fn post_only() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed").into_response()
}

pub(crate) async fn version(State(state): State<ApiState>) -> Json<BuildInfo> {
    Json(state.0.parts.process.build())
}

fn disabled() -> Response {
    (StatusCode::FORBIDDEN, "Lifecycle API is not enabled.").into_response()
}

fn unready(state: &ApiState) -> Option<Response> {
    let lifecycle = &state.0.parts.lifecycle;
    let stopping = lifecycle.is_stopping();
    (stopping || !lifecycle.is_ready()).then(|| {
        let header = (STOPPING_HEADER, if stopping { "true" } else { "false" });
        (StatusCode::SERVICE_UNAVAILABLE, [header], "Service Unavailable").into_response()
    })
}
