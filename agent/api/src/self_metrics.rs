//! `/status/self_metrics`: what the process counts about itself, as JSON in the shape of Prometheus's protobuf message
//! for metric families.

use std::collections::BTreeMap;

use exposition::{Entry, Format, Parser};
use model::{AnchoredRegex, Labels, MetricType};
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::params::Params;
use crate::reply::Reply;
use crate::state::{Answer, Inner};

pub(crate) fn self_metrics<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let wanted = match params.get("metric_name_pattern") {
            "" => None,
            text => Some(
                AnchoredRegex::new(text)
                    .map_err(|error| ApiError::parameter("metric_name_pattern", error.to_string()))?,
            ),
        };
        let page = state.registry.encode_text();
        let families = families(&page);
        let shown =
            families.iter().filter(|family| wanted.as_ref().is_none_or(|one| one.is_match(&family.name)));
        Reply::of(&shown.map(Family::json).collect::<Vec<_>>())
    })
}

/// A family of a page.
#[derive(Default)]
struct Family {
    name: String,
    help: String,
    kind: MetricType,
    /// By the labels that a metric has on all of its lines.
    metrics: BTreeMap<Labels, Lines>,
}

/// One metric's lines.
#[derive(Default)]
struct Lines {
    value: f64,
    sum: f64,
    count: f64,
    /// Bounds or quantiles with their values.
    parts: Vec<(f64, f64)>,
}

/// The families of a page of our own, in its order.
fn families(page: &str) -> Vec<Family> {
    let mut found: Vec<Family> = Vec::new();
    let begin = |found: &mut Vec<Family>, name: &str| {
        if found.last().is_none_or(|last| last.name != name) {
            found.push(Family { name: name.to_owned(), ..Family::default() });
        }
    };
    for entry in Parser::new(page.as_bytes(), Format::Text).flatten() {
        match entry {
            Entry::Help { family, help } => {
                begin(&mut found, &family);
                found.last_mut().into_iter().for_each(|last| last.help = help.clone().into_owned());
            }
            Entry::Type { family, metric_type } => {
                begin(&mut found, &family);
                found.last_mut().into_iter().for_each(|last| last.kind = metric_type);
            }
            Entry::Unit { .. } => {}
            Entry::Series(line) => {
                let Ok(labels) = line.labels() else { continue };
                if let Some(last) = found.last_mut() {
                    last.add(&labels, line.value);
                }
            }
        }
    }
    found
}

impl Family {
    fn add(&mut self, labels: &Labels, value: f64) {
        let mut own = labels.to_builder();
        own.remove(model::METRIC_NAME);
        let part = match self.kind {
            MetricType::Histogram => labels.get("le"),
            MetricType::Summary => labels.get("quantile"),
            _ => None,
        };
        if part.is_some() {
            own.remove("le");
            own.remove("quantile");
        }
        let suffix = labels.metric_name().strip_prefix(self.name.as_str()).unwrap_or("").to_owned();
        let lines = self.metrics.entry(own.build()).or_default();
        match (part.map(str::parse::<f64>), suffix.as_str()) {
            (Some(Ok(part)), _) => lines.parts.push((part, value)),
            (None, "_sum") => lines.sum = value,
            (None, "_count") => lines.count = value,
            _ => lines.value = value,
        }
    }

    fn json(&self) -> Value {
        let kind = match self.kind {
            MetricType::Counter => "COUNTER",
            MetricType::Gauge | MetricType::Info => "GAUGE",
            MetricType::Histogram => "HISTOGRAM",
            MetricType::Summary => "SUMMARY",
            _ => "UNTYPED",
        };
        let metric = |(labels, lines): (&Labels, &Lines)| {
            let pairs: Vec<Value> =
                labels.pairs().map(|(name, value)| json!({ "name": name, "value": value })).collect();
            let mut out = Map::new();
            if !pairs.is_empty() {
                out.insert("label".to_owned(), pairs.into());
            }
            out.insert(kind.to_lowercase(), lines.json(kind));
            Value::Object(out)
        };
        let metrics: Vec<Value> = self.metrics.iter().map(metric).collect();
        json!({ "name": self.name, "help": self.help, "type": kind, "metric": metrics })
    }
}

impl Lines {
    fn json(&self, kind: &str) -> Value {
        // 64-bit integers are strings in protobuf's JSON.
        let whole = |value: f64| model::format_float(value);
        let parts = |one: fn(f64, f64, String) -> Value| -> Vec<Value> {
            self.parts.iter().map(|(part, value)| one(*part, *value, whole(*value))).collect()
        };
        match kind {
            "HISTOGRAM" => json!({
                "sampleCount": whole(self.count),
                "sampleSum": number(self.sum),
                "bucket": parts(|bound, _, count| {
                    json!({ "cumulativeCount": count, "upperBound": number(bound) })
                }),
            }),
            "SUMMARY" => json!({
                "sampleCount": whole(self.count),
                "sampleSum": number(self.sum),
                "quantile": parts(|quantile, value, _| {
                    json!({ "quantile": number(quantile), "value": number(value) })
                }),
            }),
            _ => json!({ "value": number(self.value) }),
        }
    }
}

/// A double as protobuf's JSON writes it.
fn number(value: f64) -> Value {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        (if value > 0.0 { "Infinity" } else { "-Infinity" }).into()
    } else {
        value.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_families() {
        let page = "# HELP a_total All.\n# TYPE a_total counter\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\n\
                    # HELP h Times.\n# TYPE h histogram\nh_bucket{x=\"1\",le=\"0.5\"} 1\n\
                    h_bucket{x=\"1\",le=\"+Inf\"} 2\nh_sum{x=\"1\"} 1.5\nh_count{x=\"1\"} 2\n\
                    # TYPE g gauge\ng NaN\n";
        let shown: Vec<Value> = families(page).iter().map(Family::json).collect();
        let wanted = json!([
            {"name": "a_total", "help": "All.", "type": "COUNTER", "metric": [
                {"label": [{"name": "x", "value": "1"}], "counter": {"value": 2.0}},
                {"label": [{"name": "x", "value": "2"}], "counter": {"value": 3.0}},
            ]},
            {"name": "h", "help": "Times.", "type": "HISTOGRAM", "metric": [
                {"label": [{"name": "x", "value": "1"}], "histogram": {
                    "sampleCount": "2", "sampleSum": 1.5, "bucket": [
                        {"cumulativeCount": "1", "upperBound": 0.5},
                        {"cumulativeCount": "2", "upperBound": "Infinity"},
                    ],
                }},
            ]},
            {"name": "g", "help": "", "type": "GAUGE", "metric": [{"gauge": {"value": "NaN"}}]},
        ]);
        assert_eq!(Value::Array(shown), wanted);
    }
}
