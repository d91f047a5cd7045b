//! The pages beside the API, and the API's limits.

use std::sync::Arc;
use std::time::Duration;

use agent::lifecycle::Life;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use telemetry::{Counter, Gauge, Registry};
use tokio::sync::Semaphore;

const V1_IS_GONE: &str = r#"{"status":"deprecated","error":"API v1 is gone: ask /api/v2"}"#;

/// `/-/healthy`, `/-/ready`, `/-/reload`, and what is left of API v1.
pub(super) fn router(life: Arc<Life>) -> Router {
    Router::new()
        .route("/-/healthy", get(async || "OK"))
        .route("/-/ready", get(async || "OK"))
        .route("/-/reload", post(reload))
        .route("/api/v1/{*rest}", any(gone))
        .with_state(life)
}

async fn reload(State(life): State<Arc<Life>>) -> Response {
    match life.ask_reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(why) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {why}\n")).into_response()
        }
    }
}

async fn gone() -> Response {
    (StatusCode::GONE, [(header::CONTENT_TYPE, "application/json")], V1_IS_GONE).into_response()
}

/// How many requests are answered at a time, and for how long.
#[derive(Clone)]
struct Limits {
    gets: Arc<Semaphore>,
    gets_max: usize,
    timeout: Duration,
    refused: Counter,
    in_flight: Gauge,
}

/// Refuses GETs beyond `gets` at a time, and gives each request no longer than `timeout`; 0: no limit.
pub(super) fn limited(api: Router, gets: usize, timeout: Duration, registry: &Registry) -> Router {
    let gets_max = gets.clamp(1, Semaphore::MAX_PERMITS);
    let limits = Limits {
        gets: Arc::new(Semaphore::new(gets_max)),
        gets_max,
        timeout,
        refused: Counter::default(),
        in_flight: Gauge::default(),
    };
    registry.register(
        "alertmanager_http_concurrency_limit_exceeded",
        "Total number of times an HTTP request failed because the concurrency limit was reached.",
        limits.refused.clone(),
    );
    registry.register(
        "alertmanager_http_requests_in_flight",
        "Current number of HTTP requests being processed.",
        limits.in_flight.clone(),
    );
    api.layer(middleware::from_fn_with_state(limits, limit))
}

async fn limit(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let _permit = if request.method() == Method::GET {
        match limits.gets.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                limits.refused.inc();
                let most = limits.gets_max;
                return unavailable(format!(
                    "Limit of concurrent GET requests reached ({most}), try again later.\n"
                ));
            }
        }
    } else {
        None
    };
    limits.in_flight.inc();
    let answer = if limits.timeout.is_zero() {
        next.run(request).await
    } else {
        match tokio::time::timeout(limits.timeout, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => unavailable(format!("Exceeded configured timeout of {:?}.\n", limits.timeout)),
        }
    };
    limits.in_flight.dec();
    answer
}

fn unavailable(why: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tokio::sync::Notify;

    use super::*;

    fn ask(method: Method) -> Request {
        axum::http::Request::builder().method(method).uri("/slow").body(Body::empty()).expect("a request")
    }

    async fn send(router: &Router, method: Method) -> StatusCode {
        use tower::ServiceExt as _;
        router.clone().oneshot(ask(method)).await.expect("answers").status()
    }

    #[tokio::test]
    async fn gets_beyond_the_limit_are_refused_and_posts_are_not() {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (signal, wait) = (begun.clone(), go_on.clone());
        let slow = get(async move || {
            signal.notify_one();
            wait.notified().await;
        });
        let routes = Router::new().route("/slow", slow.post(async || ()));
        let api = limited(routes, 1, Duration::ZERO, &Registry::new());
        let others = async {
            begun.notified().await;
            assert_eq!(send(&api, Method::GET).await, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(send(&api, Method::POST).await, StatusCode::OK);
            go_on.notify_one();
        };
        let (first, ()) = tokio::join!(send(&api, Method::GET), others);
        assert_eq!(first, StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_given_up() {
        let routes = Router::new().route("/slow", get(std::future::pending::<()>));
        let api = limited(routes, 8, Duration::from_secs(3), &Registry::new());
        assert_eq!(send(&api, Method::GET).await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
