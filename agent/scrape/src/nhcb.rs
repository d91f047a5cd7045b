//! Classic histograms as native ones with custom buckets (`convert_classic_histograms_to_nhcb`): which lines of
//! a page belong together, and what their values make. Rules are Prometheus's (`util/convertnhcb`).

use std::collections::{HashMap, HashSet};

use model::histogram::{AnyHistogram, Buckets, Count, Histogram, Schema};
use model::{BUCKET_LABEL, Exemplar, Labels, METRIC_NAME, Metadata};

use crate::protobuf_page::{Named, Observed};

/// Which number of a histogram a line has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Role {
    /// The observations up to a bound.
    Bucket(f64),
    Count,
    Sum,
}

/// The lines of one classic histogram, in the page's order.
#[derive(Clone, Debug)]
pub(crate) struct Classic {
    pub(crate) named: Named,
    pub(crate) lines: Vec<(usize, Role)>,
}

/// Finds out which lines belong together.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    found: Vec<Found>,
    by_labels: HashMap<Labels, usize>,
}

/// A classic histogram as the page names it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) labels: Labels,
    pub(crate) metadata: Metadata,
    /// Whether its lines have a time of their own.
    pub(crate) own_time: bool,
    pub(crate) lines: Vec<(usize, Role)>,
}

impl Collector {
    /// Takes a series of a histogram's family, if it is a part of one. `own_time`: whether its line has one.
    pub(crate) fn take(
        &mut self,
        line: usize,
        labels: &Labels,
        family: &str,
        metadata: &Metadata,
        own_time: bool,
    ) -> bool {
        let role = match labels.metric_name().strip_prefix(family) {
            Some("_bucket") => match labels.get(BUCKET_LABEL).and_then(exposition::parse_float) {
                Some(bound) if !bound.is_nan() => Role::Bucket(bound),
                _ => return false,
            },
            Some("_count") => Role::Count,
            Some("_sum") => Role::Sum,
            _ => return false,
        };
        let mut builder = labels.to_builder();
        builder.remove(BUCKET_LABEL).set(METRIC_NAME, family);
        let labels = builder.build();
        let at = *self.by_labels.entry(labels.clone()).or_insert_with(|| {
            self.found.push(Found { labels, metadata: metadata.clone(), own_time, lines: Vec::new() });
            self.found.len() - 1
        });
        self.found[at].lines.push((line, role));
        true
    }

    /// What was found, but for what the page has as native histograms itself.
    pub(crate) fn finish(self, native: &HashSet<Labels>) -> Vec<Found> {
        self.found.into_iter().filter(|found| !native.contains(&found.labels)).collect()
    }
}

impl Classic {
    /// The histogram that its lines make; none where they make no histogram. `value` gives a line's value and
    /// its own time.
    pub(crate) fn observed(
        &self,
        value: impl Fn(usize) -> (f64, Option<i64>),
        exemplars: &[(usize, Exemplar)],
    ) -> Option<Observed> {
        let (mut buckets, mut count, mut sum, mut timestamp) = (Vec::new(), None, 0.0, None);
        for &(line, role) in &self.lines {
            let (value, time) = value(line);
            timestamp = timestamp.or(time);
            match role {
                Role::Bucket(bound) => buckets.push((bound, value)),
                Role::Count => count = Some(value),
                Role::Sum => sum = value,
            }
        }
        let histogram = converted(buckets, count, sum)?;
        let own = |(line, exemplar): &(usize, Exemplar)| {
            let known = exemplar.timestamp.is_some() && self.lines.iter().any(|(own, _)| own == line);
            known.then(|| exemplar.clone())
        };
        Some(Observed { histogram, timestamp, exemplars: exemplars.iter().filter_map(own).collect() })
    }
}

/// A histogram from bounds and cumulative counts in any order. None where counts fall, are negative, or do not
/// add up.
fn converted(mut buckets: Vec<(f64, f64)>, count: Option<f64>, sum: f64) -> Option<AnyHistogram> {
    // Stable: of two values for one bound the first counts.
    buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    buckets.dedup_by(|(later, _), (first, _)| later == first);
    let count = count.or_else(|| buckets.last().map(|(_, count)| *count))?;
    if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        buckets.push((f64::INFINITY, count));
    }
    let falls = buckets.windows(2).any(|pair| pair[1].1 < pair[0].1);
    let fits = |count: f64| count >= 0.0;
    if falls || !fits(count) || !buckets.iter().all(|(_, count)| fits(*count)) {
        return None;
    }
    let bounds: Vec<f64> =
        buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite() || *bound < 0.0).collect();
    let schema = Schema::Custom(bounds.into());
    let whole = |count: f64| count.fract() == 0.0 && count <= 9_007_199_254_740_992.0;
    let counts: Vec<f64> = buckets.iter().map(|(_, count)| *count).collect();
    if !(whole(count) && counts.iter().all(|count| whole(*count))) {
        return finished(schema, count, sum, differences(&counts, 0.0, |a, b| a - b))
            .map(AnyHistogram::Float);
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, small and not negative"
    )]
    let counts: Vec<u64> = counts.iter().map(|count| *count as u64).collect();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "likewise")]
    let count = count as u64;
    if counts.last() != Some(&count) {
        return None;
    }
    finished(schema, count, sum, differences(&counts, 0, |a, b| a - b)).map(AnyHistogram::Integer)
}

fn differences<C: Copy>(cumulative: &[C], zero: C, minus: impl Fn(C, C) -> C) -> Vec<C> {
    let before = std::iter::once(zero).chain(cumulative.iter().copied());
    cumulative.iter().copied().zip(before).map(|(count, before)| minus(count, before)).collect()
}

fn finished<C: Count>(schema: Schema, count: C, sum: f64, counts: Vec<C>) -> Option<Histogram<C>> {
    let positive: Buckets<C> = (0..).zip(counts).collect();
    let mut histogram = Histogram { schema, count, sum, positive, ..Histogram::default() };
    histogram.compact(2);
    histogram.validate().is_ok().then_some(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(buckets: &[(f64, f64)], count: Option<f64>) -> Option<String> {
        converted(buckets.to_vec(), count, 2.5).map(|histogram| match histogram {
            AnyHistogram::Integer(one) => one.to_string(),
            AnyHistogram::Float(one) => format!("float {one}"),
        })
    }

    #[test]
    fn buckets_become_custom_ones() {
        let infinity = f64::INFINITY;
        for (buckets, count, expected) in [
            (
                &[(0.5, 1.0), (1.0, 3.0), (infinity, 4.0)][..],
                Some(4.0),
                Some("{count:4, sum:2.5, [-Inf,0.5]:1, (0.5,1]:2, (1,+Inf]:1}"),
            ),
            (
                &[(1.0, 3.0), (0.5, 1.0)],
                Some(4.0),
                Some("{count:4, sum:2.5, [-Inf,0.5]:1, (0.5,1]:2, (1,+Inf]:1}"),
            ),
            (&[(0.5, 1.0), (0.5, 2.0)], None, Some("{count:1, sum:2.5, [-Inf,0.5]:1}")),
            (&[(0.5, 0.5)], Some(1.0), Some("float {count:1, sum:2.5, [-Inf,0.5]:0.5, (0.5,+Inf]:0.5}")),
            (&[], Some(3.0), Some("{count:3, sum:2.5, [-Inf,+Inf]:3}")),
            (&[(0.5, 2.0), (1.0, 1.0)], Some(2.0), None),
            (&[(0.5, -1.0)], Some(2.0), None),
            (&[(infinity, 2.0)], Some(3.0), None),
            (&[(0.5, f64::NAN)], Some(3.0), None),
            (&[], None, None),
        ] {
            assert_eq!(text(buckets, count).as_deref(), expected, "{buckets:?} {count:?}");
        }
    }
}
