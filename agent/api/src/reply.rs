//! The envelope of a successful answer.

use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;
use storage::Coverage;

use crate::error::{ApiError, ErrorKind};
use crate::json;

/// Most warnings, and most infos, in one answer.
const NOTES_MAX: usize = 10;

/// What is said when a limit cut an answer short.
const TRUNCATED: &str = "results truncated due to limit";

/// An answer's data, already JSON, and what there is to say about it.
#[derive(Debug)]
pub(crate) struct Reply {
    data: String,
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Reply {
    /// An answer that is JSON already.
    pub(crate) fn raw(data: String) -> Self {
        Self { data, warnings: Vec::new(), infos: Vec::new() }
    }

    /// An answer to be written as JSON.
    pub(crate) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, ApiError> {
        json::to_json(value).map(Self::raw).map_err(|error| {
            ApiError::new(ErrorKind::Internal, format!("error marshaling json response: {error}"))
        })
    }

    /// Adds warnings, each text once.
    pub(crate) fn warn(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        self
    }

    /// Adds remarks of less weight.
    pub(crate) fn inform(mut self, infos: impl IntoIterator<Item = String>) -> Self {
        self.infos.extend(infos);
        self
    }

    /// Says that a limit cut the answer short, where it did.
    pub(crate) fn truncated(self, was: bool) -> Self {
        self.warn(was.then(|| TRUNCATED.to_owned()))
    }

    /// Says what the answer does not cover.
    pub(crate) fn cover(self, coverage: &Coverage) -> Self {
        self.warn(coverage_warnings(coverage))
    }
}

/// A coverage's warnings and gaps as sentences.
pub(crate) fn coverage_warnings(coverage: &Coverage) -> Vec<String> {
    let gaps = coverage.gaps.iter().map(|gap| {
        format!(
            "data is missing from {} to {}: {}",
            json::rfc3339(gap.start),
            json::rfc3339(gap.end),
            gap.why
        )
    });
    coverage.warnings.iter().cloned().chain(gaps).collect()
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut body = String::with_capacity(self.data.len() + 64);
        body.push_str("{\"status\":\"success\",\"data\":");
        body.push_str(&self.data);
        write_notes(&mut body, "warnings", &self.warnings);
        write_notes(&mut body, "infos", &self.infos);
        body.push('}');
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

fn write_notes(body: &mut String, key: &str, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    let more = notes.len().saturating_sub(NOTES_MAX);
    let tail = (more > 0).then(|| format!("{more} more {key} omitted"));
    body.push_str(",\"");
    body.push_str(key);
    body.push_str("\":[");
    for (at, note) in notes.iter().take(NOTES_MAX).chain(tail.as_ref()).enumerate() {
        if at > 0 {
            body.push(',');
        }
        json::write_string(body, note);
    }
    body.push(']');
}
