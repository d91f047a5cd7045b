//! The API's errors with their HTTP codes and bodies.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use storage::QueryError;

use crate::json;

/// The code that nginx made customary for "the client went away".
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// What kind of error it is: the body's `errorType`, and with it the HTTP code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    BadData,
    Execution,
    Canceled,
    Timeout,
    Internal,
    Unavailable,
}

impl ErrorKind {
    fn name(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    fn code(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Canceled => {
                StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            // Prometheus's table has no code for `unavailable` either.
            Self::Internal | Self::Unavailable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A request that gets an error body.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct ApiError {
    pub(crate) kind: ErrorKind,
    pub(crate) text: String,
}

impl ApiError {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(crate) fn bad_data(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, text)
    }

    /// A parameter's value is wrong.
    pub(crate) fn parameter(name: &str, what: impl AsRef<str>) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {}", what.as_ref()))
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let kind = match &error {
            QueryError::Limit(_) => ErrorKind::Execution,
            QueryError::Storage { .. } => ErrorKind::Internal,
            QueryError::Unavailable(_) => ErrorKind::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = String::from("{\"status\":\"error\",\"errorType\":\"");
        body.push_str(self.kind.name());
        body.push_str("\",\"error\":");
        json::write_string(&mut body, &self.text);
        body.push('}');
        (self.kind.code(), [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
