//! The store as `/api/v1/status/tsdb` shows it.

use std::sync::Arc;

use api::{Block, Count, HeadStats, StoreStats, StoreStatus, WalReplay};
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

fn counts(counts: Vec<tsdb::Count>) -> Vec<Count> {
    counts.into_iter().map(|count| Count { name: count.name, value: count.value }).collect()
}
