//! `/query`, `/query_range`, `/query_exemplars`, `/format_query`, `/parse_query`.

use std::sync::Arc;
use std::time::Duration;

use promql::{EvalError, Expr, Origin, QueryOptions, ValueType};
use storage::{BoxFuture, QueryError, SeriesExemplars};

use crate::error::{ApiError, ErrorKind};
use crate::evaluate::Grid;
use crate::json;
use crate::params::{Params, Span};
use crate::reply::Reply;
use crate::result::{QueryData, write_stats};
use crate::state::{Answer, Inner};
use crate::tree::write_tree;

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
        let evaluation = state.parts.engine.instant(querier, &expr, at, options);
        run(state, params, limit, Grid { start: at, end: at, step: 1 }, evaluation).await
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
        if !matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector) {
            let got = promql::quote(expr.value_type().documented());
            let what =
                format!("invalid expression type {got} for range query, must be Scalar or instant Vector");
            return Err(ApiError::parameter("query", what));
        }
        let grid = Grid { start, end, step };
        let querier = state.parts.querier.as_ref();
        let evaluation = state.parts.engine.range(querier, &expr, grid, options);
        run(state, params, limit, grid, evaluation).await
    })
}

/// `/api/v1/query_exemplars`: exemplars of the series that the query's selectors select.
pub(crate) fn exemplars<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let range = params.range()?;
        if range.end < range.start {
            return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
        }
        let expr =
            promql::parse(params.get("query")).map_err(|error| ApiError::bad_data(error.to_string()))?;
        if expr.selectors().is_empty() {
            return Ok(Reply::nothing());
        }
        let sets: Vec<_> = expr.selectors().iter().map(|selector| selector.matchers.clone()).collect();
        let found = state.parts.exemplars.as_ref().map(|exemplars| exemplars.exemplars(&sets, range));
        let mut data = String::from("[");
        for (at, series) in found.unwrap_or_default().iter().enumerate() {
            if at > 0 {
                data.push(',');
            }
            write_exemplars(&mut data, series);
        }
        data.push(']');
        Ok(Reply::raw(data))
    })
}

/// `/api/v1/format_query`: the query as Prometheus formats it.
pub(crate) fn format<'a>(_state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move { Reply::of(&parse(params)?.pretty()) })
}

/// `/api/v1/parse_query`: the query's tree.
pub(crate) fn tree<'a>(_state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let mut data = String::new();
        write_tree(&mut data, &parse(params)?);
        Ok(Reply::raw(data))
    })
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
        let asker = params.asker();
        let origin = Origin::Http {
            query: params.get("query").to_owned(),
            client: asker.client.clone(),
            method: asker.method.clone(),
            path: asker.path.clone(),
        };
        let per_step_stats = params.get("stats") == "all";
        let origin = Some(Arc::new(origin));
        let options = QueryOptions { lookback_delta, timeout, limit: None, per_step_stats, origin };
        let expr = parse(params)?;
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            // Who allows no time gets no answer, however fast it would be.
            return Err(EvalError::Timeout("query execution").into());
        }
        Ok(Self { expr, options })
    }
}

/// Waits for the evaluation and begins its answer.
async fn run(
    state: &Inner,
    params: &Params,
    limit: usize,
    grid: Grid,
    evaluation: BoxFuture<'_, Result<promql::Answer, EvalError>>,
) -> Result<Reply, ApiError> {
    let counted = Counted::new(state);
    let answer = evaluation.await?;
    drop(counted);
    let (mut stats, asked) = (String::new(), params.get("stats"));
    if !asked.is_empty() {
        write_stats(&mut stats, &answer.stats, answer.per_step.as_ref(), grid);
    }
    let odd = (!matches!(asked, "" | "true" | "all")).then(|| {
        format!(
            "value {asked:?} for parameter \"stats\" is deprecated and will be rejected in the next major release, \
             use \"true\" or \"all\""
        )
    });
    let (data, cut) = QueryData::new(answer.value, answer.histograms, limit, stats);
    let reply = Reply::parts(data).truncated(cut).warn(answer.warnings).warn(odd);
    Ok(reply.cover(&answer.coverage).inform(answer.infos))
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

fn write_exemplars(data: &mut String, series: &SeriesExemplars) {
    data.push_str("{\"seriesLabels\":");
    json::write_labels(data, &series.labels);
    data.push_str(",\"exemplars\":[");
    for (at, exemplar) in series.exemplars.iter().enumerate() {
        data.push_str(if at > 0 { ",{\"labels\":" } else { "{\"labels\":" });
        json::write_labels(data, &exemplar.labels);
        data.push_str(",\"value\":");
        json::write_value(data, exemplar.value);
        data.push_str(",\"timestamp\":");
        json::write_timestamp(data, exemplar.timestamp.unwrap_or_default());
        data.push('}');
    }
    data.push_str("]}");
}
