//! A query's result as JSON: written piece by piece, and let go of as it is written.

use std::fmt::Write as _;
use std::vec::IntoIter;

use model::{HistogramSample, Labels, Sample, Series};
use promql::{PerStep, QueryStats, Value, VectorSample};
use storage::HistogramSeries;

use crate::evaluate::Grid;
use crate::json;
use crate::reply::Parts;

/// Points of a series that are written in one go.
const POINTS: usize = 1_024;

/// The data of a query's answer.
pub(crate) struct QueryData {
    rows: Rows,
    /// What comes behind the rows.
    tail: String,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Unbegun,
    First,
    Later,
}

/// What is left to write.
enum Rows {
    /// A scalar or a text.
    Single(Value),
    Vector(IntoIter<VectorSample>, IntoIter<HistogramSeries>),
    Matrix(IntoIter<Row>, Option<Open>),
}

/// A series with its samples of either kind.
struct Row {
    labels: Labels,
    samples: Vec<Sample>,
    histograms: Vec<HistogramSample>,
}

/// A series that is being written.
struct Open {
    samples: IntoIter<Sample>,
    histograms: IntoIter<HistogramSample>,
    /// Whether the next point is the first of its list.
    is_first: bool,
}

impl QueryData {
    /// A result, cut to `limit` series where that is above 0; whether it was cut. `stats` is what stands behind it.
    pub(crate) fn new(
        mut value: Value,
        mut histograms: Vec<HistogramSeries>,
        limit: usize,
        stats: String,
    ) -> (Self, bool) {
        let mut cut = false;
        let rows = match value {
            Value::Scalar(_) | Value::String(..) => Rows::Single(value),
            Value::Vector(ref mut samples) => {
                let left = limit.saturating_sub(samples.len());
                cut = cut_to(samples, limit, limit) | cut_to(&mut histograms, limit, left);
                Rows::Vector(std::mem::take(samples).into_iter(), histograms.into_iter())
            }
            Value::Matrix(series) => {
                let mut rows = joined(series, histograms);
                cut = cut_to(&mut rows, limit, limit);
                Rows::Matrix(rows.into_iter(), None)
            }
        };
        (Self { rows, tail: format!("{stats}}}"), state: State::Unbegun }, cut)
    }
}

impl Parts for QueryData {
    fn write(&mut self, out: &mut String) -> bool {
        if self.state == State::Unbegun {
            out.push_str("{\"resultType\":\"");
            out.push_str(match &self.rows {
                Rows::Single(Value::String(..)) => "string\",\"result\":[",
                Rows::Single(_) => "scalar\",\"result\":[",
                Rows::Vector(..) => "vector\",\"result\":[",
                Rows::Matrix(..) => "matrix\",\"result\":[",
            });
            self.state = State::First;
        }
        if let Rows::Single(value) = &self.rows {
            write_single(out, value);
        } else if self.rows.write(out, self.state == State::First) {
            self.state = State::Later;
            return true;
        }
        out.push(']');
        out.push_str(&self.tail);
        false
    }
}

impl Rows {
    /// Writes some more of the rows; false where there are none left.
    fn write(&mut self, out: &mut String, is_first: bool) -> bool {
        let begin = if is_first { "{\"metric\":" } else { ",{\"metric\":" };
        match self {
            Self::Single(_) => false,
            Self::Vector(samples, histograms) => {
                if let Some(VectorSample { labels, timestamp, value }) = samples.next() {
                    out.push_str(begin);
                    json::write_labels(out, &labels);
                    out.push_str(",\"value\":");
                    write_point(out, timestamp, value);
                } else {
                    let Some(one) = histograms.next() else { return false };
                    // A vector's histograms have one sample each.
                    let Some(sample) = one.samples.last() else { return self.write(out, is_first) };
                    out.push_str(begin);
                    json::write_labels(out, &one.labels);
                    out.push_str(",\"histogram\":");
                    write_histogram(out, sample);
                }
                out.push('}');
                true
            }
            Self::Matrix(rows, open) => {
                if let Some(row) = open {
                    if !row.write(out) {
                        *open = None;
                    }
                    return true;
                }
                let Some(Row { labels, samples, histograms }) = rows.next() else { return false };
                out.push_str(begin);
                json::write_labels(out, &labels);
                let (samples, histograms) = (samples.into_iter(), histograms.into_iter());
                *open = Some(Open { samples, histograms, is_first: true });
                true
            }
        }
    }
}

impl Open {
    /// Writes some more points; false once the series is closed.
    fn write(&mut self, out: &mut String) -> bool {
        if self.samples.len() > 0 {
            out.push_str(if self.is_first { ",\"values\":[" } else { "," });
            for (at, sample) in self.samples.by_ref().take(POINTS).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_point(out, sample.timestamp, sample.value);
            }
            self.is_first = self.samples.len() == 0;
        } else if self.histograms.len() > 0 {
            out.push_str(if self.is_first { ",\"histograms\":[" } else { "," });
            for (at, sample) in self.histograms.by_ref().take(POINTS / 16).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_histogram(out, &sample);
            }
            self.is_first = self.histograms.len() == 0;
        } else {
            out.push('}');
            return false;
        }
        if self.is_first {
            out.push(']');
        }
        true
    }
}

/// Cuts to what is `left` of the limit; whether there was something to cut.
fn cut_to<T>(entries: &mut Vec<T>, limit: usize, left: usize) -> bool {
    let cut = limit > 0 && entries.len() > left;
    if cut {
        entries.truncate(left);
    }
    cut
}

/// The series of two lists that are in order of labels, those that are in both once.
fn joined(series: Vec<Series>, histograms: Vec<HistogramSeries>) -> Vec<Row> {
    let mut rows = Vec::with_capacity(series.len().max(histograms.len()));
    let mut others = histograms.into_iter().peekable();
    for one in series {
        while let Some(before) = others.next_if(|other| other.labels < one.labels) {
            rows.push(Row { labels: before.labels, samples: Vec::new(), histograms: before.samples });
        }
        let same = others.next_if(|other| other.labels == one.labels);
        let histograms = same.map_or_else(Vec::new, |same| same.samples);
        rows.push(Row { labels: one.labels, samples: one.samples, histograms });
    }
    let alone =
        |one: HistogramSeries| Row { labels: one.labels, samples: Vec::new(), histograms: one.samples };
    rows.extend(others.map(alone));
    rows
}

fn write_single(out: &mut String, value: &Value) {
    match value {
        Value::Scalar(sample) => {
            // Unlike samples, Go's own encoder writes this one: no padded decimals, never an exponent.
            out.push_str(&seconds(sample.timestamp));
            out.push_str(",\"");
            out.push_str(&model::format_float(sample.value));
            out.push('"');
        }
        Value::String(at, text) => {
            out.push_str(&seconds(*at));
            out.push(',');
            json::write_string(out, text);
        }
        Value::Vector(_) | Value::Matrix(_) => {}
    }
}

fn write_histogram(out: &mut String, sample: &HistogramSample) {
    out.push('[');
    json::write_timestamp(out, sample.timestamp);
    out.push(',');
    json::write_histogram(out, &sample.histogram.to_float());
    out.push(']');
}

fn write_point(out: &mut String, timestamp: i64, value: f64) {
    out.push('[');
    json::write_timestamp(out, timestamp);
    out.push(',');
    json::write_value(out, value);
    out.push(']');
}

fn seconds(millis: i64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "Prometheus divides a float here too")]
    json::number(millis as f64 / 1_000.0)
}

/// What a query cost. The engine does not time its parts, so all of the time but the waiting is the evaluation's.
pub(crate) fn write_stats(out: &mut String, stats: &QueryStats, per_step: Option<&PerStep>, grid: Grid) {
    let time = |time: std::time::Duration| json::number(time.as_secs_f64());
    let evaluation = time(stats.took.saturating_sub(stats.queued));
    let (queued, took) = (time(stats.queued), time(stats.took));
    let _ = write!(
        out,
        ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{evaluation},\"resultSortTime\":0,\
         \"queryPreparationTime\":0,\"innerEvalTime\":{evaluation},\"execQueueTime\":{queued},\
         \"execTotalTime\":{took}}},\"samples\":{{"
    );
    let mut steps = |name: &str, counts: Option<&Vec<u64>>| {
        let Some(counts) = counts else { return };
        let _ = write!(out, "\"{name}\":[");
        for (at, (time, count)) in grid.times().zip(counts).enumerate() {
            out.push_str(if at > 0 { ",[" } else { "[" });
            out.push_str(&seconds(time));
            let _ = write!(out, ",{count}]");
        }
        out.push_str("],");
    };
    steps("totalQueryableSamplesPerStep", per_step.map(|all| &all.total_samples));
    steps("samplesReadPerStep", per_step.map(|all| &all.samples_read));
    let (total, read, peak) = (stats.total_samples, stats.samples_read, stats.peak_samples);
    let _ =
        write!(out, "\"totalQueryableSamples\":{total},\"samplesRead\":{read},\"peakSamples\":{peak}}}}}");
}
