//! `load` and `load_with_nhcb`: samples into the store, as Prometheus's would hold them.

use std::sync::Arc;

use model::histogram::ResetHint;
use model::{AnyHistogram, AnySample, FloatHistogram, HistogramSample, Labels, Sample};

use super::buckets::with_custom_buckets;
use super::command::{Command, time};
use super::series::{items, series_end};
use super::{MemoryStore, ScriptError, SeriesLine, SeriesValue, parse_series_line};

/// Series to add, one value each `interval_ms` from time 0.
#[derive(Debug)]
pub(super) struct Load {
    interval_ms: i64,
    series: Vec<SeriesLine>,
    starts: Vec<StartLine>,
}

/// When the counters of a series' samples began, each relative to the sample's own time.
#[derive(Debug)]
struct StartLine {
    labels: Labels,
    offsets_ms: Vec<Option<i64>>,
}

/// Reads the command; with `custom` classic histograms are also added as native ones.
pub(super) fn load(head: &str, body: &[&str], custom: bool) -> Result<Command, ScriptError> {
    let interval = head.split_whitespace().nth(1).unwrap_or_default();
    let mut load = Load { interval_ms: time(interval)?, series: Vec::new(), starts: Vec::new() };
    for line in body {
        let (name, rest) = line.split_at(series_end(line));
        match rest.strip_prefix("@st") {
            Some(offsets) => {
                let labels = parse_series_line(name)?.labels;
                load.starts.push(StartLine { labels, offsets_ms: start_offsets(offsets)? });
            }
            None => load.series.push(parse_series_line(line)?),
        }
    }
    if custom {
        let more = with_custom_buckets(&load.series)?;
        load.series.extend(more);
    }
    Ok(Command::Load(load))
}

/// Durations as series notation writes numbers: `-1mx2`, `-30s-1mx2`, `_`.
fn start_offsets(text: &str) -> Result<Vec<Option<i64>>, ScriptError> {
    let mut out = Vec::new();
    for item in items(text) {
        let invalid = || ScriptError::Invalid(format!("invalid start times: {item}"));
        let (value, times) = match item.rsplit_once('x') {
            Some((value, times)) => (value, Some(times.parse::<usize>().map_err(|_| invalid())?)),
            None => (item, None),
        };
        let blank = value == "_";
        let count = times.unwrap_or(usize::from(blank)) + usize::from(!blank);
        if out.len() + count > super::SERIES_VALUES_MAX {
            return Err(invalid());
        }
        if blank {
            out.extend(std::iter::repeat_n(None, count));
            continue;
        }
        let split = (1..value.len()).rev().find(|at| matches!(value.as_bytes()[*at], b'+' | b'-'));
        let (first, step) = value.split_at(split.unwrap_or(value.len()));
        let plain = |text: &str| time(text.strip_prefix('+').unwrap_or(text)).map_err(|_| invalid());
        let (mut offset, step) = (plain(first)?, if step.is_empty() { 0 } else { plain(step)? });
        for _ in 0..count {
            out.push(Some(offset));
            offset += step;
        }
    }
    Ok(out)
}

impl Load {
    /// Adds everything to a store.
    pub(super) fn apply(&self, store: &MemoryStore) {
        let time = |at: usize| i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(self.interval_ms);
        for line in &self.series {
            for sample in samples(line, &time) {
                store.append(&line.labels, sample);
            }
        }
        for line in &self.starts {
            for (at, offset) in line.offsets_ms.iter().enumerate() {
                if let Some(offset) = offset {
                    store.append_start(&line.labels, time(at), time(at).saturating_add(*offset));
                }
            }
        }
    }
}

/// The samples of a line, histograms as Prometheus's store would hold them; `time` gives the place's time.
pub(super) fn samples(line: &SeriesLine, time: &dyn Fn(usize) -> i64) -> Vec<AnySample> {
    let mut hints = Hints::default();
    let mut sample = |(at, value): (usize, &Option<SeriesValue>)| {
        let timestamp = time(at);
        Some(match value.as_ref()? {
            SeriesValue::Float(value) => {
                hints = Hints::default();
                AnySample::Float(Sample { timestamp, value: *value })
            }
            SeriesValue::Histogram(histogram, _) => {
                let histogram = Arc::new(AnyHistogram::Float(hints.stored(histogram)));
                AnySample::Histogram(HistogramSample { timestamp, histogram })
            }
        })
    };
    line.values.iter().enumerate().filter_map(&mut sample).collect()
}

/// What Prometheus's store makes of the hints about counter resets: it writes chunks without resets in them,
/// and knows nothing about the first histogram of one.
#[derive(Default)]
struct Hints {
    before: Option<FloatHistogram>,
}

impl Hints {
    fn stored(&mut self, histogram: &FloatHistogram) -> FloatHistogram {
        let mut stored = histogram.clone();
        if histogram.reset_hint != ResetHint::Gauge {
            let follows = self.before.as_ref().is_some_and(|before| {
                before.reset_hint != ResetHint::Gauge
                    && before.zero_threshold == histogram.zero_threshold
                    && before.schema == histogram.schema
                    && !histogram.is_reset_after(before)
            });
            stored.reset_hint = if follows { ResetHint::NotReset } else { ResetHint::Unknown };
        }
        self.before = Some(histogram.clone());
        stored
    }
}
