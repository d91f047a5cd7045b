//! Which series a family's type and help speak of.

use model::MetricType;

/// Whether a series of this name is one of the family's: its own name, or one with a suffix that the
/// type brings along.
#[must_use]
pub fn belongs_to_family(name: &str, family: &str, metric_type: MetricType) -> bool {
    let Some(suffix) = name.strip_prefix(family) else { return false };
    let suffixes: &[&str] = match metric_type {
        MetricType::Counter => &["_total", "_created"],
        MetricType::Histogram => &["_bucket", "_sum", "_count", "_created"],
        MetricType::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
        MetricType::Summary => &["_sum", "_count", "_created"],
        MetricType::Info => &["_info"],
        MetricType::Gauge | MetricType::StateSet | MetricType::Unknown => &[],
    };
    suffix.is_empty() || suffixes.contains(&suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_go_with_the_type() {
        for (name, family, metric_type, belongs) in [
            ("a", "a", MetricType::Gauge, true),
            ("a_sum", "a", MetricType::Gauge, false),
            ("a_sum", "a", MetricType::Summary, true),
            ("a_bucket", "a", MetricType::Histogram, true),
            ("ab_total", "a", MetricType::Counter, false),
            ("a_total", "a", MetricType::Counter, true),
        ] {
            assert_eq!(belongs_to_family(name, family, metric_type), belongs, "{name} of {family}");
        }
    }
}
