//! What a query gave against what a script wants.

use model::{AnyHistogram, AnySample, FloatHistogram, Labels, Sample};

use super::command::{Expectation, Text, Wanted, When};
use super::{SeriesLine, SeriesValue};
use crate::engine::{Answer, Value};
use crate::script::command::Eval;

/// Values may differ by this share.
const EPSILON: f64 = 1e-6;

/// An answer's value: numbers and histograms in one.
pub(super) enum Got {
    Scalar(f64),
    Text(String),
    /// In the answer's order: numbers, then histograms.
    Vector(Vec<(Labels, AnySample)>),
    Matrix(Vec<(Labels, Vec<AnySample>)>),
}

impl Got {
    pub(super) fn of(answer: Answer) -> Self {
        match answer.value {
            Value::Scalar(sample) => Self::Scalar(sample.value),
            Value::String(_, text) => Self::Text(text),
            Value::Vector(samples) => {
                let number = |one: crate::engine::VectorSample| {
                    (one.labels, AnySample::Float(Sample::new(one.timestamp, one.value)))
                };
                let mut all: Vec<(Labels, AnySample)> = samples.into_iter().map(number).collect();
                for series in answer.histograms {
                    let labels = series.labels;
                    all.extend(series.samples.into_iter().map(|one| (labels.clone(), one.into())));
                }
                Self::Vector(all)
            }
            Value::Matrix(series) => {
                let mut all: Vec<(Labels, Vec<AnySample>)> = series
                    .into_iter()
                    .map(|one| (one.labels, one.samples.into_iter().map(AnySample::from).collect()))
                    .collect();
                for series in answer.histograms {
                    let samples = series.samples.into_iter().map(AnySample::from);
                    match all.iter_mut().find(|(labels, _)| *labels == series.labels) {
                        Some((_, known)) => known.extend(samples),
                        None => all.push((series.labels, samples.collect())),
                    }
                }
                for (_, samples) in &mut all {
                    samples.sort_by_key(AnySample::timestamp);
                }
                Self::Matrix(all)
            }
        }
    }
}

pub(super) fn shown(sample: &AnySample) -> String {
    match sample {
        AnySample::Float(sample) => model::format_go_float(sample.value),
        AnySample::Histogram(sample) => {
            let histogram = sample.histogram.to_float();
            histogram.notation().unwrap_or_else(|| histogram.to_string())
        }
    }
}

pub(super) fn shown_value(value: &SeriesValue) -> String {
    match value {
        SeriesValue::Float(value) => model::format_go_float(*value),
        SeriesValue::Histogram(histogram, _) => histogram.notation().unwrap_or_else(|| histogram.to_string()),
    }
}

/// Compares a value; the error says what it is instead.
pub(super) fn compare(got: &Got, eval: &Eval) -> Result<(), String> {
    let wanted = &eval.wanted;
    match got {
        Got::Scalar(value) => match wanted.scalar {
            Some(number) if almost_equal(number, *value) => Ok(()),
            _ => Err(value.to_string()),
        },
        Got::Text(text) if wanted.text.as_ref() == Some(text) => Ok(()),
        Got::Text(text) => Err(format!("{text:?}")),
        Got::Vector(samples) => vector(samples, wanted),
        Got::Matrix(series) => {
            let (start, step) = match (wanted.matrix, eval.when) {
                (Some(place), _) => place,
                (None, When::Range(start, _, step)) => (start, step),
                (None, When::Instant(_)) => return Err("a range vector".to_owned()),
            };
            matrix(series, wanted, start, step)
        }
    }
}

fn vector(samples: &[(Labels, AnySample)], wanted: &Wanted) -> Result<(), String> {
    let all = || {
        let texts: Vec<String> =
            samples.iter().map(|(labels, sample)| format!("{labels} {}", shown(sample))).collect();
        if texts.is_empty() { "nothing".to_owned() } else { texts.join("; ") }
    };
    if samples.len() != wanted.series.len() {
        return Err(all());
    }
    for (at, line) in wanted.series.iter().enumerate() {
        let found = if wanted.ordered {
            samples.get(at).filter(|(labels, _)| *labels == line.labels)
        } else {
            samples.iter().find(|(labels, _)| *labels == line.labels)
        };
        let [Some(value)] = &line.values[..] else {
            return Err(format!("{} wants one value", line.labels));
        };
        if !found.is_some_and(|(_, sample)| same(value, sample)) {
            return Err(all());
        }
    }
    Ok(())
}

fn matrix(series: &[(Labels, Vec<AnySample>)], wanted: &Wanted, start: i64, step: i64) -> Result<(), String> {
    let with_values = |line: &&SeriesLine| line.values.iter().any(Option::is_some);
    let lines: Vec<&SeriesLine> = wanted.series.iter().filter(with_values).collect();
    let all = || {
        let text = |(labels, samples): &(Labels, Vec<AnySample>)| {
            let samples: Vec<String> =
                samples.iter().map(|one| format!("{}@{}", shown(one), one.timestamp())).collect();
            format!("{labels} {}", samples.join(" "))
        };
        let texts: Vec<String> = series.iter().map(text).collect();
        if texts.is_empty() { "nothing".to_owned() } else { texts.join("; ") }
    };
    if lines.len() != series.len() {
        return Err(all());
    }
    for line in lines {
        let (_, found) = series.iter().find(|(labels, _)| *labels == line.labels).ok_or_else(all)?;
        let times = (0..).map(|at: i64| start + at * step);
        let points: Vec<(i64, &SeriesValue)> = times
            .zip(&line.values)
            .filter_map(|(timestamp, value)| Some((timestamp, value.as_ref()?)))
            .collect();
        let same = |((time, value), sample): (&(i64, &SeriesValue), &AnySample)| {
            *time == sample.timestamp() && same(value, sample)
        };
        if points.len() != found.len() || !points.iter().zip(found).all(same) {
            return Err(all());
        }
    }
    Ok(())
}

fn same(wanted: &SeriesValue, found: &AnySample) -> bool {
    match (wanted, found) {
        (SeriesValue::Float(wanted), AnySample::Float(found)) => almost_equal(*wanted, found.value),
        (SeriesValue::Histogram(wanted, hinted), AnySample::Histogram(found)) => {
            let mut found = match &*found.histogram {
                AnyHistogram::Float(histogram) => histogram.clone(),
                AnyHistogram::Integer(histogram) => histogram.to_float(),
            };
            let mut wanted = (**wanted).clone();
            if *hinted && wanted.reset_hint != found.reset_hint {
                return false;
            }
            wanted.compact(0);
            found.compact(0);
            same_histogram(&wanted, &found)
        }
        _ => false,
    }
}

fn same_histogram(wanted: &FloatHistogram, found: &FloatHistogram) -> bool {
    let sides = [(&wanted.positive, &found.positive), (&wanted.negative, &found.negative)];
    wanted.schema == found.schema
        && almost_equal(wanted.count, found.count)
        && almost_equal(wanted.sum, found.sum)
        && almost_equal(wanted.zero_threshold, found.zero_threshold)
        && almost_equal(wanted.zero_count, found.zero_count)
        && sides.iter().all(|(wanted, found)| {
            wanted.spans() == found.spans()
                && wanted.counts().iter().zip(found.counts()).all(|(a, b)| almost_equal(*a, *b))
        })
}

/// Whether a text meets a condition.
pub(super) fn meets(condition: &Text, text: &str) -> bool {
    match condition {
        Text::Any => true,
        Text::Exact(wanted) => text == wanted,
        // Upstream looks for the expression anywhere.
        Text::Regex(regex) => {
            model::AnchoredRegex::new(&format!(".*(?:{regex}).*")).is_ok_and(|regex| regex.is_match(text))
        }
    }
}

/// Compares warnings or infos.
pub(super) fn annotations(wanted: &Expectation, found: &[String]) -> Result<(), String> {
    if wanted.none && !found.is_empty() {
        return Err(format!("annotations {found:?}"));
    }
    if wanted.texts.is_empty() {
        return Ok(());
    }
    let all_met = wanted.texts.iter().all(|condition| found.iter().any(|text| meets(condition, text)));
    let all_wanted = found.iter().all(|text| wanted.texts.iter().any(|condition| meets(condition, text)));
    if all_met && all_wanted {
        Ok(())
    } else {
        Err(format!("annotations {found:?}, wanted {:?}", wanted.texts))
    }
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a == b || a.is_nan() && b.is_nan() {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}
