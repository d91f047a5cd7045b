//! The route: headers and body in, an answer once the rows are in the log.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::message::Version;
use super::negotiate;
use super::receiver::{Granted, RemoteWrite, WriteError};
use super::write::Written;

const PATH: &str = "/api/v1/write";
/// What a sender waits before it asks a busy server again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// A request that is refused whole: the metric's reason, the code and the words.
struct Refusal(&'static str, StatusCode, String);

/// The route where the receiver is switched off: it says how to switch it on.
pub fn remote_write_disabled<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let text = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n";
    Router::new().route(PATH, post(move || async move { (StatusCode::NOT_FOUND, text) }))
}

impl RemoteWrite {
    /// The route `POST /api/v1/write`.
    pub fn router(self) -> Router {
        Router::new().route(PATH, post(answer)).with_state(self)
    }
}

async fn answer(State(receiver): State<RemoteWrite>, request: Request) -> Response {
    let answered = async {
        let (head, body) = request.into_parts();
        let unsupported = |text| Refusal("media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        let version = negotiate::version(&head.headers).map_err(unsupported)?;
        accepted(&receiver, version).map_err(unsupported)?;
        negotiate::encoding(&head.headers).map_err(unsupported)?;
        let (body, granted) = read(&receiver, &head.headers, body).await?;
        let written = receiver.receive(version, body, granted).await.map_err(refusal)?;
        Ok(respond(version, &written))
    };
    answered.await.unwrap_or_else(|Refusal(reason, code, text)| {
        receiver.0.metrics.refuse(reason);
        tracing::warn!(%code, error = text, "a remote write request is refused");
        let mut response = plain(code, text);
        if code == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    })
}

/// Refuses a message that the operator does not want.
fn accepted(receiver: &RemoteWrite, version: Version) -> Result<(), String> {
    let limits = &receiver.0.limits;
    if limits.accepts(version) {
        return Ok(());
    }
    let others = Version::ALL.into_iter().filter(|version| limits.accepts(*version)).map(Version::message);
    Err(format!(
        "{} protobuf message is not accepted by this server; only accepts {}",
        version.message(),
        others.collect::<Vec<_>>().join(", ")
    ))
}

/// The body, within the limits, and the right to hold it.
async fn read(
    receiver: &RemoteWrite,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Vec<u8>, Granted), Refusal> {
    let (limits, metrics) = (receiver.0.limits, &receiver.0.metrics);
    let too_large = || {
        let text = format!("the request body is over {} bytes: send smaller ones", limits.body);
        Refusal("too_large", StatusCode::BAD_REQUEST, text)
    };
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let size: usize = said.unwrap_or(limits.body);
    if size > limits.body {
        return Err(too_large());
    }
    metrics.waiting.inc();
    let granted = tokio::time::timeout(limits.patience, grant(receiver, size)).await;
    metrics.waiting.dec();
    let Ok(Some(granted)) = granted else {
        let text = "too many remote write requests at a time: try again".to_owned();
        return Err(Refusal("busy", StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let read = tokio::time::timeout(limits.patience, Limited::new(body, limits.body).collect()).await;
    let slow = |_| {
        let text = format!("the body did not come within {} s", limits.patience.as_secs());
        Refusal("slow", StatusCode::REQUEST_TIMEOUT, text)
    };
    match read.map_err(slow)? {
        Ok(body) => Ok((body.to_bytes().into(), granted)),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Refusal("body", StatusCode::BAD_REQUEST, format!("cannot read the body: {error}"))),
    }
}

async fn grant(receiver: &RemoteWrite, size: usize) -> Option<Granted> {
    let units = u32::try_from(size.div_ceil(1 << 10)).unwrap_or(u32::MAX);
    let permit = receiver.0.bodies.clone().acquire_many_owned(units).await.ok()?;
    Some(Granted::new(permit, size, receiver.0.metrics.body_bytes.clone()))
}

fn refusal(error: WriteError) -> Refusal {
    let (reason, code) = match &error {
        WriteError::Snappy(_) | WriteError::Decode(_) => ("malformed", StatusCode::BAD_REQUEST),
        WriteError::TooLarge { .. } => ("too_large", StatusCode::BAD_REQUEST),
        WriteError::Append(_) | WriteError::Stopping => ("store", StatusCode::SERVICE_UNAVAILABLE),
    };
    Refusal(reason, code, error.to_string())
}

/// 204 where everything was taken; 400 where some of it never will be. Version 1 passes over series with
/// invalid labels, as Prometheus does.
fn respond(version: Version, written: &Written) -> Response {
    let outcome = &written.outcome;
    let lost = outcome.out_of_order + outcome.duplicates + outcome.out_of_bounds + outcome.no_room;
    let lost = lost + outcome.too_old + written.malformed;
    if lost + written.invalid > 0 {
        let first = outcome.explained.first().map_or("", String::as_str);
        tracing::warn!(
            lost,
            invalid_labels = written.invalid,
            first,
            "samples of a remote write request dropped"
        );
    }
    let bad = lost > 0 || (version == Version::V2 && written.invalid > 0);
    let mut response = if bad {
        let mut text = outcome.explained.join("\n");
        let more = (lost + written.invalid).saturating_sub(outcome.explained.len() as u64);
        if more > 0 {
            text += &format!("\n... and up to {more} more");
        }
        plain(StatusCode::BAD_REQUEST, text)
    } else {
        StatusCode::NO_CONTENT.into_response()
    };
    if version == Version::V2 {
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", outcome.written),
            ("x-prometheus-remote-write-histograms-written", outcome.histograms),
            ("x-prometheus-remote-write-exemplars-written", outcome.exemplars),
        ] {
            response.headers_mut().insert(name, HeaderValue::from(count));
        }
    }
    response
}

fn plain(code: StatusCode, text: String) -> Response {
    (code, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text + "\n").into_response()
}
