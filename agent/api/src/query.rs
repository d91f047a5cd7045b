//! `/query`, `/query_range`, `/query_exemplars`, `/format_query`, `/parse_query`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use model::{HistogramSample, Labels, Sample, Series};
use promql::{EvalError, Expr, QueryOptions, Value, ValueType};
use storage::{BoxFuture, HistogramSeries, QueryError, SeriesExemplars};

use crate::error::{ApiError, ErrorKind};
use crate::evaluate::Grid;
use crate::json;
use crate::params::{Params, Span};
use crate::reply::Reply;
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
        if !matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector) {
            let got = promql::quote(expr.value_type().documented());
            let what =
                format!("invalid expression type {got} for range query, must be Scalar or instant Vector");
            return Err(ApiError::parameter("query", what));
        }
        let grid = Grid { start, end, step };
        let querier = state.parts.querier.as_ref();
        run(state, params, limit, state.parts.engine.range(querier, &expr, grid, options)).await
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
        let options = QueryOptions { lookback_delta, timeout, limit: None };
        let expr = parse(params)?;
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            // Who allows no time gets no answer, however fast it would be.
            return Err(EvalError::Timeout("query execution").into());
        }
        Ok(Self { expr, options })
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
        Value::Vector(samples) => {
            let left = limit.saturating_sub(samples.len());
            let cut = cut_to(samples, limit);
            cut | cut_histograms(&mut answer.histograms, limit, left)
        }
        Value::Matrix(series) => cut_both(series, &mut answer.histograms, limit),
        Value::Scalar(_) | Value::String(..) => false,
    };
    let mut data = String::from("{\"resultType\":\"");
    write_value(&mut data, &answer.value, &answer.histograms);
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

fn cut_histograms(histograms: &mut Vec<HistogramSeries>, limit: usize, left: usize) -> bool {
    let cut = limit > 0 && histograms.len() > left;
    if cut {
        histograms.truncate(left);
    }
    cut
}

/// Cuts a matrix to its first series, whichever kind of samples they have.
fn cut_both(series: &mut Vec<Series>, histograms: &mut Vec<HistogramSeries>, limit: usize) -> bool {
    if limit == 0 {
        return false;
    }
    let all = joined(series, histograms);
    let Some(first_out) = all.get(limit).map(|(labels, ..)| (*labels).clone()) else { return false };
    series.retain(|one| one.labels < first_out);
    histograms.retain(|one| one.labels < first_out);
    true
}

/// A series with its samples of either kind.
type Both<'a> = (&'a Labels, &'a [Sample], &'a [HistogramSample]);

/// The series of two lists in order of labels, those that are in both once.
fn joined<'a>(series: &'a [Series], histograms: &'a [HistogramSeries]) -> Vec<Both<'a>> {
    let mut all: BTreeMap<&Labels, Both<'a>> = BTreeMap::new();
    for one in series {
        all.insert(&one.labels, (&one.labels, &one.samples, &[]));
    }
    for one in histograms {
        all.entry(&one.labels).or_insert((&one.labels, &[], &[])).2 = &one.samples;
    }
    all.into_values().collect()
}

fn write_value(data: &mut String, value: &Value, histograms: &[HistogramSeries]) {
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
            let found = histograms.iter().filter_map(|one| Some((&one.labels, one.samples.last()?)));
            for (at, (labels, sample)) in (samples.len()..).zip(found) {
                data.push_str(if at > 0 { ",{\"metric\":" } else { "{\"metric\":" });
                json::write_labels(data, labels);
                data.push_str(",\"histogram\":");
                write_histogram(data, sample);
                data.push('}');
            }
            data.push(']');
        }
        Value::Matrix(series) => {
            data.push_str("matrix\",\"result\":[");
            if histograms.is_empty() {
                for (at, one) in series.iter().enumerate() {
                    write_series(data, at, (&one.labels, &one.samples, &[]));
                }
            } else {
                for (at, both) in joined(series, histograms).into_iter().enumerate() {
                    write_series(data, at, both);
                }
            }
            data.push(']');
        }
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

fn write_series(data: &mut String, at: usize, (labels, samples, histograms): Both<'_>) {
    data.push_str(if at > 0 { ",{\"metric\":" } else { "{\"metric\":" });
    json::write_labels(data, labels);
    if !samples.is_empty() {
        data.push_str(",\"values\":[");
        for (at, sample) in samples.iter().enumerate() {
            if at > 0 {
                data.push(',');
            }
            write_point(data, sample.timestamp, sample.value);
        }
        data.push(']');
    }
    if !histograms.is_empty() {
        data.push_str(",\"histograms\":[");
        for (at, sample) in histograms.iter().enumerate() {
            if at > 0 {
                data.push(',');
            }
            write_histogram(data, sample);
        }
        data.push(']');
    }
    data.push('}');
}

fn write_histogram(data: &mut String, sample: &HistogramSample) {
    data.push('[');
    json::write_timestamp(data, sample.timestamp);
    data.push(',');
    json::write_histogram(data, &sample.histogram.to_float());
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
