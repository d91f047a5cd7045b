//! `query`: instant, range, series, labels, printed as promtool prints them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use env::SystemClock;
use model::Labels;
use serde_json::Value;
use vedette_agent::go_text;

use super::analyze::AnalyzeFlags;
use super::http::{Envelope, Server};
use super::{HttpConfig, failed};

/// How far back and ahead series are asked for where no time is given, in milliseconds.
const FAR_MS: i64 = 9_999 * 3_600_000;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Promql,
    Json,
}

#[derive(Args, Debug)]
pub(super) struct QueryFlags {
    /// Output format of the query.
    #[arg(short = 'o', long, global = true, value_enum, default_value = "promql")]
    format: Format,
    #[command(flatten)]
    http: HttpConfig,
    #[command(subcommand)]
    command: Query,
}

#[derive(Subcommand, Debug)]
enum Query {
    /// Run instant query.
    Instant {
        /// Prometheus server to query.
        server: String,
        /// PromQL query expression.
        expr: String,
        /// Query evaluation time (RFC3339 or Unix timestamp).
        #[arg(long)]
        time: Option<String>,
    },
    /// Run range query.
    Range {
        /// Prometheus server to query.
        server: String,
        /// PromQL query expression.
        expr: String,
        /// Extra headers to send to server.
        #[arg(long, value_name = "KEY=VALUE")]
        header: Vec<String>,
        #[command(flatten)]
        span: Span,
        /// Query step size (duration).
        #[arg(long)]
        step: Option<String>,
    },
    /// Run series query.
    Series {
        /// Prometheus server to query.
        server: String,
        /// Series selector. Can be specified multiple times.
        #[arg(long = "match", required = true)]
        matchers: Vec<String>,
        #[command(flatten)]
        span: Span,
    },
    /// Run labels query.
    Labels {
        /// Prometheus server to query.
        server: String,
        /// Label name to provide label values for.
        name: String,
        /// Series selector. Can be specified multiple times.
        #[arg(long = "match")]
        matchers: Vec<String>,
        #[command(flatten)]
        span: Span,
    },
    /// Run queries against your Prometheus to analyze the usage pattern of certain metrics.
    Analyze(AnalyzeFlags),
}

#[derive(Args, Debug)]
struct Span {
    /// Start time (RFC3339 or Unix timestamp).
    #[arg(long)]
    start: Option<String>,
    /// End time (RFC3339 or Unix timestamp).
    #[arg(long)]
    end: Option<String>,
}

impl Span {
    /// Milliseconds; what is not given is `start` before and `end` after.
    fn read(&self, start: i64, end: i64) -> Result<(i64, i64)> {
        let end = match &self.end {
            Some(text) => time("end", text)?,
            None => end,
        };
        let start = match &self.start {
            Some(text) => time("start", text)?,
            None => start,
        };
        Ok((start, end))
    }
}

fn time(what: &str, text: &str) -> Result<i64> {
    api::parse_time(text).map_err(|error| anyhow!("error parsing {what} time: {error}"))
}

pub(super) fn seconds(millis: i64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "times that a clock shows fit")]
    let seconds = millis as f64 / 1000.0;
    format!("{seconds:.3}")
}

pub(super) fn run(flags: &QueryFlags) -> Result<()> {
    let now = SystemClock::shared().now_ms();
    let server = |url: &str, headers: &[String]| Server::new(url, &flags.http, headers);
    match &flags.command {
        Query::Instant { server: url, expr, time: at } => {
            let at = at.as_deref().map_or(Ok(now), |text| time("evaluation", text))?;
            let form = [("query", expr.clone()), ("time", seconds(at))];
            value(flags.format, server(url, &[])?.ask("/api/v1/query", &form, false))
        }
        Query::Range { server: url, expr, header, span, step } => {
            let end = span.end.as_deref().map_or(Ok(now), |text| time("end", text))?;
            let (start, _) = span.read(end - 300_000, end)?;
            if start >= end {
                bail!("start time is not before end time");
            }
            let step = match step {
                Some(text) => yaml::parse_go_duration(text).map_err(|error| anyhow!("{error}"))?,
                None => Duration::from_secs(u64::try_from((end - start) / 250_000).unwrap_or(1).max(1)),
            };
            let form = [
                ("query", expr.clone()),
                ("start", seconds(start)),
                ("end", seconds(end)),
                ("step", format!("{}", step.as_secs_f64())),
            ];
            value(flags.format, server(url, header)?.ask("/api/v1/query_range", &form, false))
        }
        Query::Series { server: url, matchers, span } => {
            let form = selection(span, now, matchers)?;
            series(flags.format, server(url, &[])?.ask("/api/v1/series", &form, false))
        }
        Query::Labels { server: url, name, matchers, span } => {
            let form = selection(span, now, matchers)?;
            label_values(
                flags.format,
                server(url, &[])?.ask(&format!("/api/v1/label/{name}/values"), &form, true),
            )
        }
        Query::Analyze(analyze) => super::analyze::run(analyze, &flags.http),
    }
}

fn selection(span: &Span, now: i64, matchers: &[String]) -> Result<Vec<(&'static str, String)>> {
    let (start, end) = span.read(now - FAR_MS, now + FAR_MS)?;
    let mut form = vec![("start", seconds(start)), ("end", seconds(end))];
    form.extend(matchers.iter().map(|matcher| ("match[]", matcher.clone())));
    Ok(form)
}

#[allow(clippy::print_stderr, reason = "promtool's words")]
fn answered(answer: Result<Envelope>) -> Result<Envelope> {
    answer.map_err(|error| {
        eprintln!("query error: {error:#}");
        failed(1)
    })
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
fn value(format: Format, answer: Result<Envelope>) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Data {
        #[serde(rename = "resultType")]
        kind: String,
        result: Box<serde_json::value::RawValue>,
    }
    let data = answered(answer)?.data;
    let data: Data = serde_json::from_str(data.as_ref().map_or("null", |data| data.get()))?;
    match format {
        // As the server wrote it, so that no number changes.
        Format::Json => println!("{}", data.result),
        Format::Promql => println!("{}", shown(&data.kind, &serde_json::from_str(data.result.get())?)),
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
fn series(format: Format, answer: Result<Envelope>) -> Result<()> {
    let envelope = answered(answer)?;
    let raw = envelope.data.as_ref().map_or("[]", |data| data.get());
    match format {
        Format::Json => println!("{raw}"),
        Format::Promql => {
            for labels in serde_json::from_str::<Vec<BTreeMap<String, String>>>(raw)? {
                println!("{}", go_text::labels(&Labels::from_pairs(labels)));
            }
        }
    }
    Ok(())
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the answer is what was asked for")]
fn label_values(format: Format, answer: Result<Envelope>) -> Result<()> {
    let envelope = answered(answer)?;
    for warning in &envelope.warnings {
        eprintln!("query warning: {warning}");
    }
    let raw = envelope.data.as_ref().map_or("[]", |data| data.get());
    match format {
        Format::Json => println!("{raw}"),
        Format::Promql => {
            for value in serde_json::from_str::<Vec<String>>(raw)? {
                println!("{value}");
            }
        }
    }
    Ok(())
}

/// A result as Prometheus's client library prints it.
fn shown(kind: &str, result: &Value) -> String {
    let items = || result.as_array().map_or(&[][..], Vec::as_slice).iter();
    match kind {
        "scalar" => format!("scalar: {} @[{}]", number(&result[1]), &result[0]),
        "string" => text(&result[1]),
        "vector" => {
            let one = |item: &Value| {
                let point = if item["value"].is_array() { &item["value"] } else { &item["histogram"] };
                format!("{} => {}", metric(&item["metric"]), pair(point))
            };
            items().map(one).collect::<Vec<_>>().join("\n")
        }
        _ => {
            let one = |item: &Value| {
                let points = |key: &str| item[key].as_array().map_or(&[][..], Vec::as_slice).iter().map(pair);
                let all: Vec<String> = points("values").chain(points("histograms")).collect();
                format!("{} =>\n{}", metric(&item["metric"]), all.join("\n"))
            };
            items().map(one).collect::<Vec<_>>().join("\n")
        }
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value without an exponent, as the client library writes it.
fn number(value: &Value) -> String {
    let text = text(value);
    text.parse().map_or(text, model::format_float)
}

fn pair(point: &Value) -> String {
    let value = if point[1].is_object() { histogram(&point[1]) } else { number(&point[1]) };
    format!("{value} @[{}]", point[0])
}

fn histogram(histogram: &Value) -> String {
    let six = |value: &Value| {
        text(value).parse::<f64>().map_or_else(|_| text(value), |number| format!("{number:.6}"))
    };
    let bucket = |bucket: &Value| {
        let open = if matches!(bucket[0].as_i64(), Some(1 | 3)) { '[' } else { '(' };
        let close = if matches!(bucket[0].as_i64(), Some(0 | 3)) { ']' } else { ')' };
        format!("{open}{},{}{close}:{}", text(&bucket[1]), text(&bucket[2]), text(&bucket[3]))
    };
    let buckets = histogram["buckets"].as_array().map_or(&[][..], Vec::as_slice).iter().map(bucket);
    let buckets: Vec<String> = buckets.collect();
    format!(
        "Count: {}, Sum: {}, Buckets: [{}]",
        six(&histogram["count"]),
        six(&histogram["sum"]),
        buckets.join(" ")
    )
}

/// `up{job="x"}`.
pub(super) fn metric(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten();
    let all =
        Labels::from_pairs(pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())));
    let name = all.metric_name().to_owned();
    let rest = all.without_name();
    if rest.is_empty() && !name.is_empty() {
        return name;
    }
    format!("{name}{}", go_text::labels(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_as_promtool_does() {
        for (kind, json, wanted) in [
            ("scalar", r#"[1.5,"2e-07"]"#, "scalar: 0.0000002 @[1.5]"),
            ("string", r#"[1,"x"]"#, "x"),
            ("vector", "[]", ""),
            (
                "vector",
                r#"[{"metric":{"__name__":"up","job":"a"},"value":[1435781451.781,"1"]},{"metric":{},"value":[2,"NaN"]}]"#,
                "up{job=\"a\"} => 1 @[1435781451.781]\n{} => NaN @[2]",
            ),
            (
                "vector",
                r#"[{"metric":{"__name__":"h"},"histogram":[1,{"count":"3","sum":"4.5","buckets":[[0,"1","2","3"],[3,"-0.5","0.5","1"]]}]}]"#,
                "h => Count: 3.000000, Sum: 4.500000, Buckets: [(1,2]:3 [-0.5,0.5]:1] @[1]",
            ),
            (
                "matrix",
                r#"[{"metric":{"__name__":"a"},"values":[[1,"2"],[3,"4"]]},{"metric":{"b":"c"},"values":[[1,"5"]]}]"#,
                "a =>\n2 @[1]\n4 @[3]\n{b=\"c\"} =>\n5 @[1]",
            ),
        ] {
            assert_eq!(shown(kind, &serde_json::from_str(json).expect("JSON")), wanted);
        }
    }

    #[test]
    fn times_have_three_decimals() {
        assert_eq!([seconds(1), seconds(-1), seconds(1_500)], ["0.001", "-0.001", "1.500"]);
    }
}
