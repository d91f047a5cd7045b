//! `/admin/tsdb/*`: deleting series, cleaning up what deletions hide, snapshots.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use crate::error::{ApiError, ErrorKind};
use crate::params::Params;
use crate::reply::Reply;
use crate::state::ApiState;
use crate::status::StoreAdmin;

/// What a snapshot's answer holds.
#[derive(Serialize)]
struct Snapshot {
    /// Its folder's name.
    name: String,
}

/// Hides what the selectors pass.
pub(crate) async fn delete_series(State(state): State<ApiState>, request: Request<Body>) -> Response {
    let answer = async {
        let (admin, params) = asked(&state, request).await?;
        if params.all("match[]").next().is_none() {
            return Err(ApiError::bad_data("no match[] parameter provided"));
        }
        let range = params.range()?;
        let sets = params.matcher_sets().map_err(|what| ApiError::parameter("match[]", what))?;
        for matchers in sets {
            admin.delete(matchers, range).await.map_err(internal)?;
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer.await.unwrap_or_else(IntoResponse::into_response)
}

/// Takes what is hidden off the disk.
pub(crate) async fn clean_tombstones(State(state): State<ApiState>, request: Request<Body>) -> Response {
    let answer = async {
        let (admin, _) = asked(&state, request).await?;
        admin.clean().await.map_err(internal)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer.await.unwrap_or_else(|error: ApiError| error.into_response())
}

/// Makes a copy of the store beside it.
pub(crate) async fn snapshot(State(state): State<ApiState>, request: Request<Body>) -> Response {
    let answer = async {
        let (admin, params) = asked(&state, request).await?;
        let skip_head = match params.get("skip_head") {
            "" | "0" | "f" | "F" | "false" | "False" | "FALSE" => false,
            "1" | "t" | "T" | "true" | "True" | "TRUE" => true,
            other => {
                return Err(ApiError::parameter("skip_head", format!("unable to parse boolean {other:?}")));
            }
        };
        let name = admin.snapshot(skip_head).await.map_err(internal)?;
        Reply::of(&Snapshot { name })
    };
    answer.await.into_response()
}

async fn asked(state: &ApiState, request: Request<Body>) -> Result<(&dyn StoreAdmin, Params), ApiError> {
    let disabled = || ApiError::new(ErrorKind::Unavailable, "admin APIs disabled");
    let admin = state.0.parts.admin.as_deref().ok_or_else(disabled)?;
    Ok((admin, Params::read(request, state.0.parts.options.body_max).await?))
}

fn internal(why: String) -> ApiError {
    ApiError::new(ErrorKind::Internal, why)
}
