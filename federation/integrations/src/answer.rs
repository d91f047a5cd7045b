//! What an answer, or none, means for a notification.

use std::time::Duration;

use alertmanager::{FailureReason, NotifyError, Sent};
use client::{ClientError, ErrorKind, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;

/// Characters of an answer that an error quotes.
const QUOTED: usize = 200;

/// Whether an answer's status is a success. A server's own failures are tried again, and 429, and what
/// `again` lists.
pub(crate) fn check(response: &Response, again: &[u16]) -> Result<(), NotifyError> {
    check_with(response, again, head(&response.body))
}

/// The same, with what the error says about the answer.
pub(crate) fn check_with(response: &Response, again: &[u16], details: String) -> Result<(), NotifyError> {
    let status = response.status;
    if status.is_success() {
        return Ok(());
    }
    // A gateway that got no answer does not know what its server did.
    let gateway = matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
    let seconds = response.headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok()?.trim().parse().ok());
    let colon = if details.is_empty() { "" } else { ": " };
    Err(NotifyError {
        retry: status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || again.contains(&status.as_u16()),
        sent: if gateway { Sent::Maybe } else { Sent::No },
        retry_after: seconds.map(Duration::from_secs),
        reason: reason(status),
        message: format!("unexpected status code {}{colon}{details}", status.as_u16()),
    })
}

/// The kind of failure that a status is.
pub(crate) fn reason(status: StatusCode) -> FailureReason {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FailureReason::AuthError,
        StatusCode::TOO_MANY_REQUESTS => FailureReason::RateLimited,
        status if status.is_server_error() => FailureReason::ServerError,
        status if status.is_client_error() => FailureReason::ClientError,
        _ => FailureReason::Other,
    }
}

/// The beginning of an answer's body.
pub(crate) fn head(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim().chars().take(QUOTED).collect()
}

/// A receiver that says no in an answer of status 200.
pub(crate) fn refused(message: impl Into<String>) -> NotifyError {
    NotifyError { reason: FailureReason::ClientError, ..permanent(message) }
}

/// What trying again cannot help.
pub(crate) fn permanent(message: impl Into<String>) -> NotifyError {
    NotifyError {
        retry: false,
        sent: Sent::No,
        retry_after: None,
        reason: FailureReason::Other,
        message: message.into(),
    }
}

/// What trying again can help; the receiver may have got it.
pub(crate) fn uncertain(message: impl Into<String>) -> NotifyError {
    NotifyError { retry: true, sent: Sent::Maybe, ..permanent(message) }
}

/// A request without an answer.
pub(crate) fn unanswered(error: &ClientError) -> NotifyError {
    let reason = match error.kind() {
        ErrorKind::Timeout => FailureReason::ContextDeadlineExceeded,
        _ => FailureReason::Other,
    };
    NotifyError {
        retry: error.kind() != ErrorKind::BadUrl,
        sent: if error.was_sent() { Sent::Maybe } else { Sent::No },
        retry_after: None,
        reason,
        message: kind_text(error.kind()).to_owned(),
    }
}

/// What happened without the URL, which may be a secret.
pub(crate) fn kind_text(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::BadUrl => "the URL cannot be used",
        ErrorKind::BadFile => "a file with a password, key or certificate is missing or wrong",
        ErrorKind::Connect => "no connection",
        ErrorKind::Tls => "no secure connection",
        ErrorKind::Timeout => "no whole answer in time",
        ErrorKind::BodyTooLarge => "the answer is too long",
        ErrorKind::Redirect => "redirected too often, or nowhere",
        ErrorKind::Protocol => "the connection broke, or the answer is no HTTP",
    }
}
