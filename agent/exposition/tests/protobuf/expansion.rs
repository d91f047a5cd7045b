//! What a page should say: prost's types, plainly expanded.

use std::collections::BTreeMap;

use model::histogram::Count;
use model::{Exemplar, Labels};
use prost_types::Timestamp;
use proto::prometheus as wire;
use vedette_exposition::{HistogramForms, format_go_float};

use super::{exemplar_text, sample_text};

fn millis(time: &Timestamp) -> i64 {
    time.seconds * 1000 + i64::from(time.nanos / 1_000_000)
}

fn exemplar_of(exemplar: &wire::Exemplar) -> Exemplar {
    let timestamp = exemplar.timestamp.as_ref().map(millis);
    Exemplar { labels: labels_of(None, &exemplar.label, None), value: exemplar.value(), timestamp }
}

fn labels_of(name: Option<String>, pairs: &[wire::LabelPair], bound: Option<(&str, f64)>) -> Labels {
    let bound = bound.map(|(name, bound)| {
        let mut text = format_go_float(bound);
        if bound.is_finite() && !text.contains(['.', 'e']) {
            text += ".0";
        }
        (name.to_owned(), text)
    });
    let name = name.map(|name| ("__name__".to_owned(), name));
    let pairs = pairs.iter().map(|pair| (pair.name().to_owned(), pair.value().to_owned()));
    Labels::from_pairs(pairs.chain(name).chain(bound))
}

#[allow(clippy::cast_precision_loss, reason = "samples are floats")]
fn either(float: f64, integer: u64) -> f64 {
    if float == 0.0 { integer as f64 } else { float }
}

/// Populated buckets of a side, schemas above 8 reduced to 8.
fn side(spans: &[wire::BucketSpan], counts: &[f64], halvings: u32) -> BTreeMap<i32, String> {
    let (mut cells, mut counts, mut index) = (BTreeMap::new(), counts.iter(), 0_i64);
    for span in spans {
        index += i64::from(span.offset());
        for count in counts.by_ref().take(span.length() as usize) {
            let around = ((index - 1) >> halvings) + 1;
            *cells.entry(i32::try_from(around).expect("small")).or_insert(0.0) += count;
            index += 1;
        }
    }
    cells.into_iter().filter(|(_, count)| *count != 0.0).map(|(index, count)| (index, count.text())).collect()
}

#[allow(clippy::cast_precision_loss, reason = "small numbers")]
fn running(deltas: &[i64]) -> Vec<f64> {
    let mut sum = 0;
    deltas
        .iter()
        .map(|delta| {
            sum += delta;
            sum as f64
        })
        .collect()
}

fn native_of(histogram: &wire::Histogram, gauge: bool) -> String {
    let floats = histogram.sample_count_float() > 0.0 || histogram.zero_count_float() > 0.0;
    let halvings = (histogram.schema() - 8).max(0).unsigned_abs();
    let hint = if gauge { "Gauge" } else { "Unknown" };
    let (kind, zero, count, positive, negative) = if floats {
        let zero = histogram.zero_count_float().text();
        let counts = (histogram.positive_count.clone(), histogram.negative_count.clone());
        ("floats", zero, histogram.sample_count_float().text(), counts.0, counts.1)
    } else {
        let counts = (running(&histogram.positive_delta), running(&histogram.negative_delta));
        ("integers", histogram.zero_count().text(), histogram.sample_count().text(), counts.0, counts.1)
    };
    format!(
        "{kind} {hint} schema {} zero {zero} within {} count {count} sum {} positive {:?} negative {:?}",
        histogram.schema().min(8),
        histogram.zero_threshold(),
        histogram.sample_sum(),
        side(&histogram.positive_span, &positive, halvings),
        side(&histogram.negative_span, &negative, halvings),
    )
}

fn is_native(histogram: &wire::Histogram) -> bool {
    !histogram.positive_span.is_empty()
        || !histogram.negative_span.is_empty()
        || histogram.zero_threshold() > 0.0
        || histogram.zero_count() > 0
        || histogram.zero_count_float() > 0.0
}

fn classic_of(
    name: &str,
    metric: &wire::Metric,
    histogram: &wire::Histogram,
    timestamp: Option<i64>,
    out: &mut Vec<String>,
) {
    let created = histogram.created_timestamp.as_ref().map(millis);
    let total = either(histogram.sample_count_float(), histogram.sample_count());
    let mut line = |suffix: &str, bound: Option<f64>, value: f64, exemplar: Option<&wire::Exemplar>| {
        let labels =
            labels_of(Some(format!("{name}{suffix}")), &metric.label, bound.map(|bound| ("le", bound)));
        let exemplar = exemplar.map_or_else(String::new, |exemplar| exemplar_text(&exemplar_of(exemplar)));
        out.push(sample_text(&labels, &value.to_string(), timestamp, created) + &exemplar);
    };
    line("_count", None, total, None);
    line("_sum", None, histogram.sample_sum(), None);
    for bucket in &histogram.bucket {
        let value = either(bucket.cumulative_count_float(), bucket.cumulative_count());
        line("_bucket", Some(bucket.upper_bound()), value, bucket.exemplar.as_ref());
        if bucket.upper_bound() == f64::INFINITY {
            return;
        }
    }
    line("_bucket", Some(f64::INFINITY), total, None);
}

fn summary_of(name: &str, metric: &wire::Metric, timestamp: Option<i64>, out: &mut Vec<String>) {
    let summary = metric.summary.clone().unwrap_or_default();
    let created = summary.created_timestamp.as_ref().map(millis);
    let mut line = |suffix: &str, quantile: Option<f64>, value: f64| {
        let bound = quantile.map(|quantile| ("quantile", quantile));
        let labels = labels_of(Some(format!("{name}{suffix}")), &metric.label, bound);
        out.push(sample_text(&labels, &value.to_string(), timestamp, created));
    };
    line("_count", None, either(0.0, summary.sample_count()));
    line("_sum", None, summary.sample_sum());
    for quantile in &summary.quantile {
        line("", Some(quantile.quantile()), quantile.value());
    }
}

fn metric_of(
    family: &wire::MetricFamily,
    metric: &wire::Metric,
    forms: HistogramForms,
    out: &mut Vec<String>,
) {
    let name = family.name();
    let timestamp = metric.timestamp_ms.filter(|at| *at != 0);
    let simple = |value: f64, created: Option<i64>, exemplar: Option<&wire::Exemplar>| {
        let labels = labels_of(Some(name.to_owned()), &metric.label, None);
        let exemplar = exemplar.map_or_else(String::new, |exemplar| exemplar_text(&exemplar_of(exemplar)));
        sample_text(&labels, &value.to_string(), timestamp, created) + &exemplar
    };
    match family.r#type() {
        wire::MetricType::Gauge => out.push(simple(metric.gauge.unwrap_or_default().value(), None, None)),
        wire::MetricType::Untyped => out.push(simple(metric.untyped.unwrap_or_default().value(), None, None)),
        wire::MetricType::Counter => {
            let counter = metric.counter.clone().unwrap_or_default();
            let created = counter.created_timestamp.as_ref().map(millis);
            out.push(simple(counter.value(), created, counter.exemplar.as_ref()));
        }
        wire::MetricType::Summary => summary_of(name, metric, timestamp, out),
        kind @ (wire::MetricType::Histogram | wire::MetricType::GaugeHistogram) => {
            let histogram = metric.histogram.clone().unwrap_or_default();
            let native = is_native(&histogram) && forms != HistogramForms::Classic;
            if native {
                let labels = labels_of(Some(name.to_owned()), &metric.label, None);
                let created = histogram.created_timestamp.as_ref().map(millis);
                let value = native_of(&histogram, kind == wire::MetricType::GaugeHistogram);
                let mut text = sample_text(&labels, &value, timestamp, created);
                let own: Vec<&wire::Exemplar> = if histogram.exemplars.is_empty() {
                    histogram.bucket.iter().filter_map(|bucket| bucket.exemplar.as_ref()).collect()
                } else {
                    histogram.exemplars.iter().collect()
                };
                for exemplar in own.into_iter().filter(|exemplar| exemplar.timestamp.is_some()) {
                    text += &exemplar_text(&exemplar_of(exemplar));
                }
                out.push(text);
            }
            if !native || (forms == HistogramForms::Both && !histogram.bucket.is_empty()) {
                classic_of(name, metric, &histogram, timestamp, out);
            }
        }
    }
}

pub(super) fn expanded(families: &[wire::MetricFamily], forms: HistogramForms) -> Vec<String> {
    let mut out = Vec::new();
    for family in families.iter().filter(|family| !family.metric.is_empty()) {
        if !family.help().is_empty() {
            out.push(format!("help {} {:?}", family.name(), family.help()));
        }
        if !family.unit().is_empty() {
            out.push(format!("unit {} {}", family.name(), family.unit()));
        }
        let kind = match family.r#type() {
            wire::MetricType::Untyped => "unknown".to_owned(),
            kind => kind.as_str_name().to_lowercase().replace('_', ""),
        };
        out.push(format!("type {} {kind}", family.name()));
        for metric in &family.metric {
            metric_of(family, metric, forms, &mut out);
        }
    }
    out
}
