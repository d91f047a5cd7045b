//! Classic histograms as native ones with custom buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::{Buckets, Schema, Span};
use model::{BUCKET_LABEL, FloatHistogram, Labels, METRIC_NAME};

use super::{ScriptError, SeriesLine, SeriesValue};

/// A classic histogram at one time.
#[derive(Default)]
struct Classic {
    /// (upper bound, cumulative count).
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

#[derive(Clone, Copy)]
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

/// Which part of which classic histogram a series is.
fn part(labels: &Labels) -> Option<(Labels, Part)> {
    let name = labels.metric_name();
    let bound = || labels.value(BUCKET_LABEL).parse::<f64>().ok().filter(|bound| !bound.is_nan());
    let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
        (base, Part::Bucket(bound()?))
    } else if let Some(base) = name.strip_suffix("_count") {
        (base, Part::Count)
    } else {
        (name.strip_suffix("_sum")?, Part::Sum)
    };
    let mut builder = labels.to_builder();
    builder.set(METRIC_NAME, base);
    builder.remove(BUCKET_LABEL);
    Some((builder.build(), part))
}

/// The native histograms that the classic ones among these series are.
pub(super) fn with_custom_buckets(series: &[SeriesLine]) -> Result<Vec<SeriesLine>, ScriptError> {
    let mut found: BTreeMap<Labels, BTreeMap<usize, Classic>> = BTreeMap::new();
    for line in series {
        let Some((labels, part)) = part(&line.labels) else { continue };
        let histograms = found.entry(labels).or_default();
        for (at, value) in line.values.iter().enumerate() {
            let Some(SeriesValue::Float(value)) = value else { continue };
            let classic = histograms.entry(at).or_default();
            match part {
                Part::Bucket(bound) => classic.buckets.push((bound, *value)),
                Part::Count => classic.count = Some(*value),
                Part::Sum => classic.sum = *value,
            }
        }
    }
    let mut out = Vec::new();
    for (labels, histograms) in found {
        let mut values = Vec::new();
        for (at, classic) in histograms {
            values.resize(at, None);
            let histogram =
                classic.convert().map_err(|what| ScriptError::Invalid(format!("{labels}: {what}")))?;
            values.push(Some(SeriesValue::Histogram(Arc::new(histogram), false)));
        }
        out.push(SeriesLine { labels, values });
    }
    Ok(out)
}

impl Classic {
    fn convert(mut self) -> Result<FloatHistogram, String> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Bounds that are written in several ways are one.
        self.buckets.dedup_by(|a, b| a.0 == b.0);
        let all = self.buckets.last().filter(|(bound, _)| *bound == f64::INFINITY).map(|(_, count)| *count);
        let last = self.buckets.last().map_or(0.0, |(_, count)| *count);
        let count = self.count.or(all).unwrap_or(last);
        if all.is_none() {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut below = 0.0;
        let mut counts = Vec::with_capacity(self.buckets.len());
        for (_, count) in &self.buckets {
            if *count < below {
                return Err("counts of a classic histogram's buckets fall".to_owned());
            }
            counts.push(count - below);
            below = *count;
        }
        let bounds: Vec<f64> =
            self.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite()).collect();
        let length = u32::try_from(counts.len()).unwrap_or(u32::MAX);
        let positive =
            Buckets::new(&[Span { offset: 0, length }], counts).map_err(|error| error.to_string())?;
        let mut histogram = FloatHistogram {
            schema: Schema::Custom(Arc::from(bounds)),
            count,
            sum: self.sum,
            positive,
            ..FloatHistogram::default()
        };
        histogram.compact(0);
        histogram.validate().map_err(|error| error.to_string())?;
        Ok(histogram)
    }
}
