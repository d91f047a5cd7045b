//! `/query`, `/query_range`, `/query_exemplars`, `/format_query`.

use std::time::Duration;

use model::{Sample, Series};
use promql::Expr;
use tokio::sync::SemaphorePermit;

use crate::error::{ApiError, ErrorKind};
use crate::evaluate::{EvaluateError, EvaluateOptions, Evaluation, Grid, Value};
use crate::json;
use crate::params::Params;
use crate::reply::Reply;
use crate::state::{Answer, Inner};

/// Most steps between the first and the last point of a range query.
const STEPS_MAX: i64 = 11_000;

const TOO_MANY_STEPS: &str = "exceeded maximum resolution of 11,000 points per timeseries. \
                              Try decreasing the query resolution (?step=XX)";

/// The parameters that both kinds of query share, read in Prometheus's order.
struct Asked {
    expr: Expr,
    timeout: Duration,
    lookback: Duration,
}

/// Times of the parts of an evaluation, in seconds.
struct Timings {
    queue: f64,
    evaluation: f64,
}

/// A slot among the running queries; counts the query while it waits and runs.
struct Slot<'a> {
    state: &'a Inner,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.state.metrics.queries.dec();
    }
}

/// `/api/v1/query`: the value at one time.
pub(crate) fn instant<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let limit = params.limit()?;
        let at = params.time_or("time", state.parts.clock.now_ms())?;
        let asked = Asked::read(state, params)?;
        run(state, params, limit, &asked, |options| {
            state.parts.engine.instant(state.parts.querier.as_ref(), &asked.expr, at, options)
        })
        .await
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
        let asked = Asked::read(state, params)?;
        let grid = Grid { start, end, step };
        run(state, params, limit, &asked, |options| {
            state.parts.engine.range(state.parts.querier.as_ref(), &asked.expr, grid, options)
        })
        .await
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
    fn read(state: &Inner, params: &Params) -> Result<Self, ApiError> {
        let options = &state.parts.options;
        let timeout = match params.duration("timeout").map_err(|what| ApiError::parameter("timeout", what))? {
            Some(asked) => asked.positive().unwrap_or(Duration::ZERO).min(options.query_timeout),
            None => options.query_timeout,
        };
        let lookback = params
            .duration("lookback_delta")
            .map_err(|what| ApiError::bad_data(format!("error parsing lookback delta duration: {what}")))?
            .and_then(crate::params::Span::positive)
            .unwrap_or(options.lookback);
        Ok(Self { expr: parse(params)?, timeout, lookback })
    }
}

/// Waits for a slot, evaluates in the time that is left, and writes the answer.
async fn run<'a, F>(
    state: &'a Inner,
    params: &Params,
    limit: usize,
    asked: &Asked,
    evaluate: F,
) -> Result<Reply, ApiError>
where
    F: FnOnce(EvaluateOptions) -> storage::BoxFuture<'a, Result<Evaluation, EvaluateError>>,
{
    let begun = state.parts.clock.monotonic();
    let slot = take_slot(state, asked.timeout).await?;
    let queue = state.parts.clock.monotonic().saturating_sub(begun);
    let timeout = asked.timeout.saturating_sub(queue);
    let options = EvaluateOptions { lookback: asked.lookback, timeout };
    // The engine keeps the deadline itself; the outer one is for a store that does not answer.
    let evaluation = tokio::time::timeout(timeout, evaluate(options))
        .await
        .map_err(|_| ApiError::new(ErrorKind::Timeout, "query timed out in expression evaluation"))??;
    drop(slot);
    let spent = state.parts.clock.monotonic().saturating_sub(begun);
    let timings =
        Timings { queue: queue.as_secs_f64(), evaluation: spent.saturating_sub(queue).as_secs_f64() };
    Ok(write_answer(evaluation, limit, params.get("stats"), &timings))
}

async fn take_slot(state: &Inner, timeout: Duration) -> Result<Slot<'_>, ApiError> {
    state.metrics.queries.inc();
    match tokio::time::timeout(timeout, state.query_slots.acquire()).await {
        Ok(Ok(permit)) => Ok(Slot { state, _permit: permit }),
        _ => {
            state.metrics.queries.dec();
            Err(ApiError::new(ErrorKind::Timeout, "query timed out in query queue"))
        }
    }
}

impl From<EvaluateError> for ApiError {
    fn from(error: EvaluateError) -> Self {
        let kind = match &error {
            EvaluateError::Execution(_) => ErrorKind::Execution,
            EvaluateError::Timeout(_) => ErrorKind::Timeout,
            EvaluateError::Canceled(_) => ErrorKind::Canceled,
            EvaluateError::Storage(_) => ErrorKind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

fn write_answer(mut evaluation: Evaluation, limit: usize, stats: &str, timings: &Timings) -> Reply {
    let cut = match &mut evaluation.value {
        Value::Vector(samples) => cut_to(samples, limit),
        Value::Matrix(series) => cut_to(series, limit),
        Value::Scalar(_) | Value::String(..) => false,
    };
    let mut data = String::from("{\"resultType\":\"");
    write_value(&mut data, &evaluation.value);
    if !stats.is_empty() {
        write_stats(&mut data, &evaluation, timings);
    }
    data.push('}');
    Reply::raw(data)
        .truncated(cut)
        .warn(evaluation.warnings)
        .cover(&evaluation.coverage)
        .inform(evaluation.infos)
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
            for (at, (labels, sample)) in samples.iter().enumerate() {
                data.push_str(if at > 0 { ",{\"metric\":" } else { "{\"metric\":" });
                json::write_labels(data, labels);
                data.push_str(",\"value\":");
                write_point(data, sample);
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
        write_point(data, sample);
    }
    data.push(']');
}

fn write_point(data: &mut String, sample: &Sample) {
    data.push('[');
    json::write_timestamp(data, sample.timestamp);
    data.push(',');
    json::write_value(data, sample.value);
    data.push(']');
}

fn seconds(millis: i64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "Prometheus divides a float here too")]
    json::number(millis as f64 / 1_000.0)
}

fn write_stats(data: &mut String, evaluation: &Evaluation, timings: &Timings) {
    let (queue, evaluated) = (json::number(timings.queue), json::number(timings.evaluation));
    let total = json::number(timings.queue + timings.evaluation);
    let (read, peak) = (evaluation.samples_read, evaluation.samples_peak);
    data.push_str(&format!(
        ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{evaluated},\"resultSortTime\":0,\
         \"queryPreparationTime\":0,\"innerEvalTime\":{evaluated},\"execQueueTime\":{queue},\
         \"execTotalTime\":{total}}},\"samples\":{{\"totalQueryableSamples\":{read},\
         \"peakSamples\":{peak}}}}}"
    ));
}
