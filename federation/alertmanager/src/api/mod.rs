//! Alertmanager's HTTP API v2, served by every node from what it holds.

mod alerts;
mod groups;
mod limits;
mod receive;
mod silences;
mod status;
mod view;

use std::collections::HashMap;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::node::Alertmanager;
pub use status::STANDS_IN_FOR;

/// Bytes of a request body at most. Alertmanager has no limit; this one only keeps a mistake from filling
/// the memory.
const MAX_BODY: usize = 256 << 20;

impl Alertmanager {
    /// The routes below `/api/v2`, with their full paths.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/api/v2/status", get(status::status))
            .route("/api/v2/receivers", get(status::receivers))
            .route("/api/v2/alerts", get(alerts::list).post(receive::receive))
            .route("/api/v2/alerts/groups", get(groups::list))
            .route("/api/v2/silences", get(silences::list).post(silences::set))
            .route("/api/v2/silence/{id}", get(silences::get).delete(silences::expire))
            .route("/api/v2/{*rest}", get(unknown).post(unknown))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(middleware::from_fn(headers))
            .with_state(self.clone())
    }
}

async fn unknown(request: Request) -> Response {
    let message = format!("path {} was not found", request.uri().path());
    problem(StatusCode::NOT_FOUND, 404, &message)
}

/// What every answer says: not to be stored, and readable by any page.
async fn headers(request: Request, next: Next) -> Response {
    let cross_origin = request.headers().contains_key(header::ORIGIN);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if cross_origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    response
}

/// A JSON body, ended by a line break as Go's encoder ends it.
fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// An error as the handlers answer it: a JSON string.
fn error(status: StatusCode, message: &str) -> Response {
    json(status, &message)
}

/// An error as the schema check answers it: a code and a message.
fn problem(status: StatusCode, code: u16, message: &str) -> Response {
    #[derive(Serialize)]
    struct Problem<'a> {
        code: u16,
        message: &'a str,
    }
    json(status, &Problem { code, message })
}

/// A body that is no JSON of the expected shape.
fn bad_body(what: &str, error: &serde_json::Error) -> Response {
    problem(StatusCode::BAD_REQUEST, 400, &format!("parsing {what} body from \"\" failed, because {error}"))
}

/// The answer to a write that is known here alone until the cluster is whole.
fn warn_overlay(mut response: Response, overlay: bool) -> Response {
    if overlay {
        let warning = "199 vedette \"no quorum: kept on this node until the cluster is whole\"";
        response.headers_mut().insert(header::WARNING, HeaderValue::from_static(warning));
    }
    response
}

/// The query's parameters; one name can come several times.
struct Params(HashMap<String, Vec<String>>);

impl Params {
    fn new(pairs: Vec<(String, String)>) -> Self {
        let mut params: HashMap<String, Vec<String>> = HashMap::new();
        for (name, value) in pairs {
            params.entry(name).or_default().push(value);
        }
        Self(params)
    }

    fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    fn last(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }

    /// A switch that is on unless it is turned off.
    fn switch(&self, name: &str) -> bool {
        const ON: [&str; 10] = ["true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"];
        self.last(name).is_none_or(|value| ON.contains(&value.to_ascii_lowercase().as_str()))
    }
}
