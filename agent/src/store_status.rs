//! The store as `/api/v1/status/tsdb` shows it.

use std::sync::Arc;

use api::{Block, Count, HeadStats, StoreStats, StoreStatus, WalReplay};
use model::{Metadata, MetricType};
use tsdb::Store;

/// Shows a store to the API.
pub struct ShownStore(pub Arc<Store>);

impl StoreStatus for ShownStore {
    fn stats(&self, limit: usize) -> StoreStats {
        let (status, most) = (self.0.status(), self.0.cardinality(limit));
        StoreStats {
            head_stats: HeadStats {
                num_series: status.series,
                num_label_pairs: most.pairs,
                chunk_count: 0,
                min_time: status.min_time.unwrap_or(0),
                max_time: status.max_time.unwrap_or(0),
            },
            series_count_by_metric_name: counts(most.series_by_metric),
            label_value_count_by_label_name: counts(most.values_by_label),
            memory_in_bytes_by_label_name: counts(most.bytes_by_label),
            series_count_by_label_value_pair: counts(most.series_by_pair),
        }
    }

    fn families(&self) -> Vec<(String, Metadata)> {
        let named = |(name, said): (String, Vec<Arc<Metadata>>)| {
            said.into_iter()
                .map(move |one| (family(&name, one.metric_type).to_owned(), Metadata::clone(&one)))
        };
        let mut all: Vec<_> = self.0.metadata().into_iter().flat_map(named).collect();
        all.dedup();
        all
    }

    fn blocks(&self) -> Vec<Block> {
        let block = |part: tsdb::SealedPart| Block {
            number: part.number,
            start: part.start,
            end: part.end,
            samples: part.samples,
            level: if part.is_day { 2 } else { 1 },
        };
        self.0.sealed_parts().into_iter().map(block).collect()
    }

    fn wal_replay(&self) -> WalReplay {
        // The log is read before the listener opens: whoever can ask sees it done.
        let segments = self.0.status().segments;
        WalReplay { min: 0, max: segments, current: segments }
    }
}

/// The family of a series, by its name and type.
fn family(name: &str, metric_type: MetricType) -> &str {
    let endings: &[&str] = match metric_type {
        MetricType::Histogram => &["_bucket", "_sum", "_count"],
        MetricType::Summary => &["_sum", "_count"],
        MetricType::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
        _ => &[],
    };
    endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

fn counts(counts: Vec<tsdb::Count>) -> Vec<Count> {
    counts.into_iter().map(|count| Count { name: count.name, value: count.value }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_of_families() {
        for (name, metric_type, wanted) in [
            ("a_total", MetricType::Counter, "a_total"),
            ("a_sum", MetricType::Gauge, "a_sum"),
            ("a_sum", MetricType::Summary, "a"),
            ("a_bucket", MetricType::Histogram, "a"),
            ("a", MetricType::Histogram, "a"),
            ("a_gcount", MetricType::GaugeHistogram, "a"),
        ] {
            assert_eq!(family(name, metric_type), wanted, "{name} {metric_type:?}");
        }
    }
}
