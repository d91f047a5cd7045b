//! `/query`, `/query_range`, `/query_exemplars`, `/format_query`.

use std::fmt::Write as _;
use std::time::Duration;

use model::Series;
use promql::{EvalError, Expr, QueryOptions, Value};
use storage::{BoxFuture, QueryError};

use crate::error::{ApiError, ErrorKind};
use crate::evaluate::Grid;
use crate::json;
use crate::params::{Params, Span};
use crate::reply::Reply;
use crate::state::{Answer, Inner};

/// Most steps between the first and the last point of a range query.
const STEPS_MAX: i64 = 11_000;

const TOO_MANY_STEPS: &str = "exceeded maximum resolution of 11,000 points per timeseries. \
                              Try decreasing the query resolution (?step=XX)";

/// The parameters that both kinds of query share, read in Prometheus's order.
struct Asked {
    expr: Expr,
    options: QueryOptions,
}

/// Counts a query while it waits and runs, also one whose asker goes away.
struct Counted<'a>(&'a Inner);

impl<'a> Counted<'a> {
    fn new(state: &'a Inner) -> Self {
        state.metrics.queries.inc();
        Self(state)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.metrics.queries.dec();
    }
}

/// `/api/v1/query`: the value at one time.
pub(crate) fn instant<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let limit = params.limit()?;
        let at = params.time_or("time", state.parts.clock.now_ms())?;
        let Asked { expr, options } = Asked::read(params)?;
        let querier = state.parts.querier.as_ref();
        run(state, params, limit, state.parts.engine.instant(querier, &expr, at, options)).await
    })
}

/// `/api/v1/query_range`: the values at the steps of a grid.
pub(crate) fn range<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let limit = params.limit()?;
        let (start, end) = (params.time("start")?, params.time("end")?);
        if end < start {
            return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
        }
        let step = params.duration_given("step")?;
        if step <= 0 {
            let what =
                "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(ApiError::parameter("step", what));
        }
        if end.saturating_sub(start) / step > STEPS_MAX {
            return Err(ApiError::bad_data(TOO_MANY_STEPS));
        }
        let Asked { expr, options } = Asked::read(params)?;
        let grid = Grid { start, end, step };
        let querier = state.parts.querier.as_ref();
        run(state, params, limit, state.parts.engine.range(querier, &expr, grid, options)).await
    })
}

/// `/api/v1/query_exemplars`: the query is checked; the store keeps no exemplars, so none are found.
pub(crate) fn exemplars<'a>(_state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let range = params.range()?;
        if range.end < range.start {
            return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
        }
        promql::parse(params.get("query")).map_err(|error| ApiError::bad_data(error.to_string()))?;
        Ok(Reply::raw("[]".to_owned()))
    })
}

/// `/api/v1/format_query`: the query as Prometheus prints it.
pub(crate) fn format<'a>(_state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move { Reply::of(&parse(params)?.to_string()) })
}

fn parse(params: &Params) -> Result<Expr, ApiError> {
    promql::parse(params.get("query")).map_err(|error| ApiError::parameter("query", error.to_string()))
}

impl Asked {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let timeout = params
            .duration("timeout")
            .map_err(|what| ApiError::parameter("timeout", what))?
            .map(|asked| asked.positive().unwrap_or(Duration::ZERO));
        let lookback_delta = params
            .duration("lookback_delta")
            .map_err(|what| ApiError::bad_data(format!("error parsing lookback delta duration: {what}")))?
            .and_then(Span::positive);
        // The limit is applied here, whoever evaluates.
        let options = QueryOptions { lookback_delta, timeout, limit: None };
        Ok(Self { expr: parse(params)?, options })
    }
}

/// Waits for the evaluation and writes its answer.
async fn run(
    state: &Inner,
    params: &Params,
    limit: usize,
    evaluation: BoxFuture<'_, Result<promql::Answer, EvalError>>,
) -> Result<Reply, ApiError> {
    let counted = Counted::new(state);
    let begun = state.parts.clock.monotonic();
    let mut answer = evaluation.await?;
    drop(counted);
    let cut = match &mut answer.value {
        Value::Vector(samples) => cut_to(samples, limit),
        Value::Matrix(series) => cut_to(series, limit),
        Value::Scalar(_) | Value::String(..) => false,
    };
    let mut data = String::from("{\"resultType\":\"");
    write_value(&mut data, &answer.value);
    if !params.get("stats").is_empty() {
        let spent = state.parts.clock.monotonic().saturating_sub(begun);
        write_stats(&mut data, &answer.stats, spent);
    }
    data.push('}');
    Ok(Reply::raw(data).truncated(cut).warn(answer.warnings).cover(&answer.coverage).inform(answer.infos))
}

impl From<EvalError> for ApiError {
    fn from(error: EvalError) -> Self {
        let kind = match &error {
            EvalError::Timeout(_) => ErrorKind::Timeout,
            EvalError::Canceled(_) => ErrorKind::Canceled,
            EvalError::Storage(QueryError::Unavailable(_)) => ErrorKind::Unavailable,
            EvalError::Storage(QueryError::Storage { .. }) => ErrorKind::Internal,
            EvalError::Storage(QueryError::Limit(_))
            | EvalError::TooManySamples(_)
            | EvalError::Execution(_) => ErrorKind::Execution,
        };
        Self::new(kind, error.to_string())
    }
}

fn cut_to<T>(entries: &mut Vec<T>, limit: usize) -> bool {
    let cut = limit > 0 && entries.len() > limit;
    if cut {
        entries.truncate(limit);
    }
    cut
}

fn write_value(data: &mut String, value: &Value) {
    match value {
        Value::Scalar(sample) => {
            // Unlike samples, Go's own encoder writes this one: no padded decimals, never an exponent.
            data.push_str("scalar\",\"result\":[");
            data.push_str(&seconds(sample.timestamp));
            data.push_str(",\"");
            data.push_str(&model::format_float(sample.value));
            data.push_str("\"]");
        }
        Value::String(at, text) => {
            data.push_str("string\",\"result\":[");
            data.push_str(&seconds(*at));
            data.push(',');
            json::write_string(data, text);
            data.push(']');
        }
        Value::Vector(samples) => {
            data.push_str("vector\",\"result\":[");
            for (at, sample) in samples.iter().enumerate() {
                data.push_str(if at > 0 { ",{\"metric\":" } else { "{\"metric\":" });
                json::write_labels(data, &sample.labels);
                data.push_str(",\"value\":");
                write_point(data, sample.timestamp, sample.value);
                data.push('}');
            }
            data.push(']');
        }
        Value::Matrix(series) => {
            data.push_str("matrix\",\"result\":[");
            for (at, series) in series.iter().enumerate() {
                data.push_str(if at > 0 { ",{\"metric\":" } else { "{\"metric\":" });
                write_series(data, series);
                data.push('}');
            }
            data.push(']');
        }
    }
}

fn write_series(data: &mut String, series: &Series) {
    json::write_labels(data, &series.labels);
    if series.samples.is_empty() {
        return;
    }
    data.push_str(",\"values\":[");
    for (at, sample) in series.samples.iter().enumerate() {
        if at > 0 {
            data.push(',');
        }
        write_point(data, sample.timestamp, sample.value);
    }
    data.push(']');
}

fn write_point(data: &mut String, timestamp: i64, value: f64) {
    data.push('[');
    json::write_timestamp(data, timestamp);
    data.push(',');
    json::write_value(data, value);
    data.push(']');
}

fn seconds(millis: i64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "Prometheus divides a float here too")]
    json::number(millis as f64 / 1_000.0)
}

/// The engine does not time its parts, so all of the time is the evaluation's.
fn write_stats(data: &mut String, stats: &promql::QueryStats, spent: Duration) {
    let seconds = json::number(spent.as_secs_f64());
    let (total, read, peak) = (stats.total_samples, stats.samples_read, stats.peak_samples);
    let _ = write!(
        data,
        ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{seconds},\"resultSortTime\":0,\
         \"queryPreparationTime\":0,\"innerEvalTime\":{seconds},\"execQueueTime\":0,\
         \"execTotalTime\":{seconds}}},\"samples\":{{\"totalQueryableSamples\":{total},\
         \"samplesRead\":{read},\"peakSamples\":{peak}}}}}"
    );
}
