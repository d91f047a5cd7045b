//! `/metrics`, and what the server counts about its own requests.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use telemetry::{Counter, Family, Gauge, Histogram, LabelPairs, Registry};
use tokio::time::Instant;

/// Upper bounds of the request durations in seconds, those of Prometheus.
const DURATION_BUCKETS: [f64; 9] = [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];

/// The name under which requests to no known route are counted.
const OTHER: &str = "other";

type Durations = Family<LabelPairs, Histogram, fn() -> Histogram>;

/// The server's own metrics.
#[derive(Clone, Debug)]
pub(crate) struct WebMetrics {
    requests: Family<LabelPairs, Counter>,
    durations: Durations,
    pub(crate) connections: Gauge,
    pub(crate) accept_failures: Counter,
    pub(crate) handshake_failures: Counter,
}

impl WebMetrics {
    pub(crate) fn new(registry: &Registry, connections_max: usize) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            connections: Gauge::default(),
            accept_failures: Counter::default(),
            handshake_failures: Counter::default(),
        };
        registry.register("prometheus_http_requests", "Counter of HTTP requests.", metrics.requests.clone());
        registry.register(
            "prometheus_http_request_duration_seconds",
            "Histogram of latencies for HTTP requests.",
            metrics.durations.clone(),
        );
        registry.register(
            "vedette_web_connections",
            "Open connections, those waiting for room included.",
            metrics.connections.clone(),
        );
        let most: Gauge = Gauge::default();
        most.set(i64::try_from(connections_max).unwrap_or(i64::MAX));
        registry.register("vedette_web_connections_max", "Most connections served at a time.", most);
        registry.register(
            "vedette_web_accept_failures",
            "Connections that could not be accepted.",
            metrics.accept_failures.clone(),
        );
        registry.register(
            "vedette_web_tls_handshake_failures",
            "Connections that ended before TLS was set up.",
            metrics.handshake_failures.clone(),
        );
        metrics
    }
}

/// Counts a request and its time under its route.
pub(crate) async fn measure(State(metrics): State<WebMetrics>, request: Request, next: Next) -> Response {
    let handler = request.extensions().get::<MatchedPath>().map_or_else(
        || OTHER.to_owned(),
        |path| path.as_str().replace("{*", "*").replace('{', ":").replace('}', ""),
    );
    let begun = Instant::now();
    let response = next.run(request).await;
    let handler = ("handler".to_owned(), handler);
    let code = ("code".to_owned(), response.status().as_u16().to_string());
    metrics.durations.get_or_create(&vec![handler.clone()]).observe(begun.elapsed().as_secs_f64());
    metrics.requests.get_or_create(&vec![handler, code]).inc();
    response
}

/// The page of everything that the process counts.
pub(crate) async fn page(State(registry): State<Registry>, headers: HeaderMap) -> Response {
    if wants_openmetrics(&headers) {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], registry.encode_openmetrics()).into_response()
    } else {
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], registry.encode_text()).into_response()
    }
}

/// Whether OpenMetrics has a higher weight in `Accept` than the classic text.
fn wants_openmetrics(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
    let (mut openmetrics, mut classic) = (0.0, 0.0);
    for entry in accept.split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let kind = parts.next().unwrap_or("");
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f64>().ok()).unwrap_or(1.0);
        match kind {
            "application/openmetrics-text" => openmetrics = f64::max(openmetrics, weight),
            "text/plain" => classic = f64::max(classic, weight),
            _ => {}
        }
    }
    openmetrics > classic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heavier_format_wins() {
        for (accept, openmetrics) in [
            ("", false),
            ("*/*", false),
            ("application/openmetrics-text;version=1.0.0", true),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1",
                true,
            ),
            ("text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.2", false),
            ("application/openmetrics-text;q=x,;;;", true),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().expect("a header"))]);
            assert_eq!(wants_openmetrics(&headers), openmetrics, "{accept}");
        }
    }
}
