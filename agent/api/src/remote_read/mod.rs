//! `POST /api/v1/read`: series for other Prometheus servers, as samples or as a stream of chunks.

mod wire;

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use model::{Labels, MatchOp, Matcher};
use storage::{QueryError, Select, SeriesSet};
use telemetry::{Counter, Gauge, Registry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::reply::coverage_warnings;
use crate::state::{ApiState, Inner};
use wire::{Form, Joined, ReadQuery, ReadRequest};

/// Largest request in bytes, as in Prometheus.
const BODY_MAX: usize = 32 << 20;
const SAMPLES_TYPE: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const CHUNKS_TYPE: HeaderValue =
    HeaderValue::from_static("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");

/// Limits of remote read, with Prometheus's defaults.
#[derive(Clone, Copy, Debug)]
pub struct RemoteReadOptions {
    /// Most samples that one query may return (`--storage.remote.read-sample-limit`); 0 for no limit.
    pub samples_max: usize,
    /// Requests that are answered at a time; more wait (`--storage.remote.read-concurrent-limit`).
    pub concurrent_max: usize,
    /// Bytes of a streamed frame, give or take a chunk (`--storage.remote.read-max-bytes-in-frame`).
    pub frame_max: usize,
}

impl Default for RemoteReadOptions {
    fn default() -> Self {
        Self { samples_max: 50_000_000, concurrent_max: 10, frame_max: 1 << 20 }
    }
}

/// Who may read now, and what is counted.
#[derive(Debug)]
pub(crate) struct RemoteRead {
    gate: Arc<Semaphore>,
    metrics: ReadMetrics,
}

#[derive(Clone, Debug, Default)]
struct ReadMetrics {
    queries: Gauge,
    limit: Gauge,
    failed: Counter,
}

impl RemoteRead {
    pub(crate) fn new(options: RemoteReadOptions, registry: &Registry) -> Self {
        let metrics = ReadMetrics::default();
        metrics.limit.set(i64::try_from(options.concurrent_max).unwrap_or(i64::MAX));
        metrics.register(registry);
        Self {
            gate: Arc::new(Semaphore::new(options.concurrent_max.clamp(1, Semaphore::MAX_PERMITS))),
            metrics,
        }
    }
}

impl ReadMetrics {
    fn register(&self, registry: &Registry) {
        registry.register(
            "prometheus_remote_read_handler_queries",
            "The current number of remote read queries that are either in execution or queued on the handler.",
            self.queries.clone(),
        );
        registry.register(
            "vedette_remote_read_handler_queries_max",
            "Remote read queries that are executed at a time.",
            self.limit.clone(),
        );
        registry.register(
            "vedette_remote_read_handler_failed",
            "Remote read requests that ended with an error.",
            self.failed.clone(),
        );
    }
}

/// A request that is being answered.
struct Running {
    metrics: ReadMetrics,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.metrics.queries.dec();
    }
}

/// A request that gets no answer: the code and the words.
#[derive(Debug)]
struct Refusal(StatusCode, String);

pub(crate) async fn read(State(state): State<ApiState>, request: Request<Body>) -> Response {
    let answer = async {
        let running = start(&state.0).await?;
        let bad = |what: String| Refusal(StatusCode::BAD_REQUEST, what);
        let body = axum::body::to_bytes(request.into_body(), BODY_MAX).await;
        let body =
            body.map_err(|error| bad(format!("the body, of which {BODY_MAX} bytes are read: {error}")))?;
        let ReadRequest { queries, form } = wire::read_request(&body).map_err(bad)?;
        drop(body);
        match form {
            Form::Samples => samples(&state.0, queries).await,
            Form::Chunks => Streamed::begin(state.clone(), queries, running).await,
        }
    };
    answer.await.unwrap_or_else(|Refusal(code, text)| {
        state.0.remote_read.metrics.failed.inc();
        (code, format!("{text}\n")).into_response()
    })
}

async fn start(state: &Inner) -> Result<Running, Refusal> {
    let metrics = state.remote_read.metrics.clone();
    metrics.queries.inc();
    let permit = Arc::clone(&state.remote_read.gate).acquire_owned().await;
    match permit {
        Ok(permit) => Ok(Running { metrics, _permit: permit }),
        Err(_) => {
            metrics.queries.dec();
            Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping".to_owned()))
        }
    }
}

async fn samples(state: &Inner, queries: Vec<ReadQuery>) -> Result<Response, Refusal> {
    let mut results = Vec::with_capacity(queries.len());
    for query in queries {
        results.push(select(state, query).await?);
    }
    let body = wire::samples(results)
        .map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let encoding = HeaderValue::from_static("snappy");
    Ok(([(header::CONTENT_TYPE, SAMPLES_TYPE), (header::CONTENT_ENCODING, encoding)], body).into_response())
}

/// An answer that is written while it is sent: a frame is made when the one before has gone.
struct Streamed {
    state: ApiState,
    queries: VecDeque<ReadQuery>,
    /// The number of the query whose series are being sent.
    query: i64,
    series: std::vec::IntoIter<Joined>,
    frames: VecDeque<Vec<u8>>,
    _running: Running,
}

impl Streamed {
    /// The first query is answered before the response begins, so that its failure has a code.
    async fn begin(state: ApiState, queries: Vec<ReadQuery>, running: Running) -> Result<Response, Refusal> {
        let mut queries = VecDeque::from(queries);
        let series = match queries.pop_front() {
            Some(first) => select(&state.0, first).await?,
            None => Vec::new(),
        };
        let (series, frames) = (series.into_iter(), VecDeque::new());
        let streamed = Self { state, queries, query: 0, series, frames, _running: running };
        let body = Body::from_stream(stream::try_unfold(streamed, Self::next));
        Ok(([(header::CONTENT_TYPE, CHUNKS_TYPE)], body).into_response())
    }

    async fn next(mut self) -> Result<Option<(Vec<u8>, Self)>, std::io::Error> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(Some((frame, self)));
            }
            if let Some(series) = self.series.next() {
                let frame_max = self.state.0.parts.options.remote_read.frame_max;
                self.frames = wire::frames(&series, self.query, frame_max).into();
                continue;
            }
            let Some(query) = self.queries.pop_front() else { return Ok(None) };
            self.query += 1;
            // The connection breaks off: a reader must not take what there is for the whole.
            let selected = select(&self.state.0, query).await.map_err(|Refusal(_, text)| {
                self.state.0.remote_read.metrics.failed.inc();
                std::io::Error::other(text)
            })?;
            self.series = selected.into_iter();
        }
    }
}

async fn select(state: &Inner, query: ReadQuery) -> Result<Vec<Joined>, Refusal> {
    let external = state.parts.config.external_labels();
    let limit = state.parts.options.remote_read.samples_max;
    let matchers = query.matchers.into_iter().map(|matcher| as_stored(matcher, &external)).collect();
    let samples_max = if limit == 0 { usize::MAX } else { limit };
    let selected = state.parts.querier.select(Select { matchers, range: query.range, samples_max }).await;
    let set = selected.map_err(|error| match error {
        QueryError::Limit(_) => Refusal(StatusCode::BAD_REQUEST, format!("exceeded sample limit ({limit})")),
        other => Refusal(StatusCode::INTERNAL_SERVER_ERROR, other.to_string()),
    })?;
    for warning in coverage_warnings(&set.coverage) {
        tracing::warn!(%warning, "the answer to a remote read query is incomplete");
    }
    Ok(joined(set, &external))
}

/// A reader's selector names the external labels, which a store may not have on its series: what must equal
/// one may also be absent.
fn as_stored(matcher: Matcher, external: &Labels) -> Matcher {
    let names_external =
        matcher.op() == MatchOp::Equal && external.get(matcher.name()) == Some(matcher.value());
    if !names_external {
        return matcher;
    }
    let mut pattern = "|".to_owned();
    for letter in matcher.value().chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    Matcher::new(matcher.name(), MatchOp::Regex, pattern).unwrap_or(matcher)
}

/// Series with the external labels that they lack, in order of their labels.
fn joined(set: SeriesSet, external: &Labels) -> Vec<Joined> {
    let with_external = |labels: &Labels| {
        let mut builder = labels.to_builder();
        for label in external.iter().filter(|label| !labels.has(&label.name)) {
            builder.set(Arc::clone(&label.name), Arc::clone(&label.value));
        }
        builder.build()
    };
    let mut histograms = set.histograms.into_iter().peekable();
    let mut out = Vec::with_capacity(set.series.len());
    let alone = |series: storage::HistogramSeries, floats| Joined {
        labels: with_external(&series.labels),
        floats,
        histograms: series.samples,
    };
    for series in set.series {
        while let Some(before) = histograms.next_if(|other| other.labels < series.labels) {
            out.push(alone(before, Vec::new()));
        }
        match histograms.next_if(|other| other.labels == series.labels) {
            Some(same) => out.push(alone(same, series.samples)),
            None => out.push(Joined {
                labels: with_external(&series.labels),
                floats: series.samples,
                histograms: Vec::new(),
            }),
        }
    }
    out.extend(histograms.map(|series| alone(series, Vec::new())));
    out.sort_by(|one, two| one.labels.cmp(&two.labels));
    out
}

#[cfg(test)]
mod tests;
