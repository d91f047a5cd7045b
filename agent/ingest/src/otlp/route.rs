//! The route: headers and body in, an answer once the rows are in the log.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::receiver::{BODY_MAX, Encoding, Otlp, OtlpError, lost};

const PATH: &str = "/api/v1/otlp/v1/metrics";
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The route where the receiver is switched off: it says how to switch it on.
pub fn otlp_disabled<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n";
    Router::new().route(PATH, post(move || async move { (StatusCode::NOT_FOUND, text) }))
}

impl Otlp {
    /// The route `POST /api/v1/otlp/v1/metrics`.
    pub fn router(self) -> Router {
        Router::new().route(PATH, post(answer)).with_state(self)
    }
}

type Refusal = (StatusCode, String);

async fn answer(State(receiver): State<Otlp>, request: Request) -> Response {
    let answered = async {
        let (head, body) = request.into_parts();
        let encoding = encoding(&head.headers)?;
        let packed = packed(&head.headers)?;
        let read = tokio::time::timeout(PATIENCE, Limited::new(body, BODY_MAX).collect()).await;
        let slow = |_| {
            (StatusCode::REQUEST_TIMEOUT, format!("the body did not come within {} s", PATIENCE.as_secs()))
        };
        let body = read.map_err(slow)?.map_err(|error| match error.is::<LengthLimitError>() {
            true => (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is over {BODY_MAX} bytes: send smaller ones"),
            ),
            false => (StatusCode::BAD_REQUEST, format!("cannot read the body: {error}")),
        })?;
        let outcome = receiver.receive(encoding, packed, body.to_bytes().into()).await.map_err(refusal)?;
        if lost(&outcome) > 0 {
            return Err((StatusCode::BAD_REQUEST, outcome.explained.join("\n")));
        }
        Ok(StatusCode::OK.into_response())
    };
    answered.await.unwrap_or_else(|(code, text): Refusal| {
        tracing::warn!(%code, error = text, "an OTLP request is refused");
        (code, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text + "\n").into_response()
    })
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    match kind.split(';').next().unwrap_or("").trim() {
        "application/x-protobuf" => Ok(Encoding::Protobuf),
        "application/json" => Ok(Encoding::Json),
        other => {
            let what = format!(
                "unsupported content type: {other}, supported: [application/json, application/x-protobuf]"
            );
            Err((StatusCode::BAD_REQUEST, what))
        }
    }
}

fn packed(headers: &HeaderMap) -> Result<bool, Refusal> {
    match headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"" | b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(other) => {
            let what = format!(
                "unsupported compression: {}. Only \"gzip\" or no compression supported",
                String::from_utf8_lossy(other)
            );
            Err((StatusCode::BAD_REQUEST, what))
        }
    }
}

fn refusal(error: OtlpError) -> Refusal {
    let code = match &error {
        OtlpError::Gzip(_) | OtlpError::Unpacked | OtlpError::Read(_) | OtlpError::TooLarge(_) => {
            StatusCode::BAD_REQUEST
        }
        OtlpError::Append(_) | OtlpError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, error.to_string())
}
