//! Questions to running servers, over the HTTP that users have.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// A series' labels, its name among them as `__name__`.
pub type Name = BTreeMap<String, String>;
/// Raw samples by series: time in milliseconds to the value's bits.
pub type Samples = BTreeMap<Name, BTreeMap<i64, u64>>;

/// Asks for an expression's value now; `base` is `http://host:port`.
///
/// # Errors
/// When the server does not answer `success`; its words are in the message.
pub async fn instant(base: &str, expression: &str) -> Result<Value> {
    let body = format!("query={}", escape(expression));
    let url = format!("{base}/api/v1/query");
    let answer = testkit::post(&url, "application/x-www-form-urlencoded", &body).await?;
    let json = answer.json()?;
    if json["status"] != "success" {
        bail!("{url} {expression}: {}", answer.body);
    }
    Ok(json["data"]["result"].clone())
}

/// The series of an instant vector with their values.
///
/// # Errors
/// As [`instant`], and when the answer is no vector.
pub async fn vector(base: &str, expression: &str) -> Result<Vec<(Name, f64)>> {
    let result = instant(base, expression).await?;
    let series = result.as_array().context("a vector")?;
    series.iter().map(|one| Ok((name(&one["metric"])?, number(&one["value"][1])?))).collect()
}

/// The raw samples of a range selector such as `up[1h]`.
///
/// # Errors
/// As [`instant`], and when the answer is no matrix.
pub async fn samples(base: &str, selector: &str) -> Result<Samples> {
    let result = instant(base, selector).await?;
    let mut out = Samples::new();
    for one in result.as_array().context("a matrix")? {
        let points = one["values"].as_array().context("values")?;
        let points = points.iter().map(|point| {
            let seconds = point[0].as_f64().context("a time")?;
            #[allow(clippy::cast_possible_truncation, reason = "milliseconds of this century")]
            let at = (seconds * 1000.0).round() as i64;
            Ok((at, number(&point[1])?.to_bits()))
        });
        out.insert(name(&one["metric"])?, points.collect::<Result<_>>()?);
    }
    Ok(out)
}

/// The sum of a metric's samples on the server's own `/metrics`; none when the name is not there.
///
/// # Errors
/// When the page cannot be had.
pub async fn metric(base: &str, metric: &str) -> Result<Option<f64>> {
    let page = testkit::get(&format!("{base}/metrics")).await?.body;
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(metric)?;
        let value =
            rest.strip_prefix(' ').or_else(|| rest.starts_with('{').then(|| rest.rsplit(' ').next())?)?;
        value.parse::<f64>().ok()
    });
    let values: Vec<f64> = values.collect();
    Ok((!values.is_empty()).then(|| values.iter().sum()))
}

/// What a node knows of its cluster, or an agent of its uplinks.
///
/// # Errors
/// When it does not answer.
pub async fn cluster(base: &str) -> Result<Value> {
    testkit::get(&format!("{base}/vedette/cluster.json")).await?.json()
}

/// The alerts that an alertmanager holds.
///
/// # Errors
/// When it does not answer.
pub async fn alerts(base: &str) -> Result<Vec<Value>> {
    let json = testkit::get(&format!("{base}/api/v2/alerts")).await?.json()?;
    Ok(json.as_array().context("a list of alerts")?.clone())
}

fn name(metric: &Value) -> Result<Name> {
    let labels = metric.as_object().context("labels")?;
    Ok(labels.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned())).collect())
}

fn number(value: &Value) -> Result<f64> {
    let text = value.as_str().context("a value in quotes")?;
    text.parse().with_context(|| format!("no number: {text}"))
}

fn escape(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
