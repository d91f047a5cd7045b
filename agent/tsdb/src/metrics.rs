//! What a store says about itself, under Prometheus's names where it has one.

use telemetry::{Counter, Gauge, Registry};

use crate::disk::DiskMetrics;
use crate::memory::MemoryMetrics;

/// Counters and gauges of one store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) series: Gauge,
    pub(crate) min_time: Gauge,
    pub(crate) max_time: Gauge,
    pub(crate) appended: Counter,
    pub(crate) out_of_order: Counter,
    pub(crate) out_of_bounds: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) too_old: Counter,
    pub(crate) late: Counter,
    pub(crate) spilled_bytes: Gauge,
    pub(crate) index_bytes: Gauge,
    pub(crate) bytes: Gauge,
    pub(crate) segments: Gauge,
    pub(crate) records_corrupt: Counter,
    /// Those, and segments that are gone.
    pub(crate) log_corruptions: Counter,
    pub(crate) bytes_corrupt: Counter,
    pub(crate) rows_corrupt: Counter,
    pub(crate) rows_adopted: Counter,
    pub(crate) bytes_torn: Counter,
    pub(crate) segments_missing: Counter,
    pub(crate) write_failures: Counter,
    pub(crate) sync_failures: Counter,
    pub(crate) syncs: Counter,
    pub(crate) waiting_bytes: Gauge,
    pub(crate) failing: Gauge,
    pub(crate) frames_shed: Counter,
    pub(crate) rows_shed: Counter,
    pub(crate) frames_own: Counter,
    pub(crate) frames_received: Counter,
    pub(crate) frames_duplicate: Counter,
    pub(crate) frames_clone: Counter,
    pub(crate) time_retentions: Counter,
    pub(crate) size_retentions: Counter,
    pub(crate) sealed_windows: Gauge,
    pub(crate) sealed_bytes: Gauge,
    pub(crate) sealed_cache_bytes: Gauge,
    pub(crate) sealed_damage: Counter,
    pub(crate) deletions_refused: Counter,
    pub(crate) seals: Counter,
    pub(crate) seal_failures: Counter,
    pub(crate) unsealable: Gauge,
    pub(crate) seals_healed: Counter,
    pub(crate) seals_salvaged: Counter,
    pub(crate) frames_lost: Counter,
    pub(crate) trimmed: Counter,
    pub(crate) clock_steps: Counter,
    pub(crate) identity_removed: Counter,
    pub(crate) unshipped_dropped: Counter,
    pub(crate) outliving_bytes: Gauge,
    pub(crate) exemplars: ExemplarMetrics,
    pub(crate) disk: DiskMetrics,
    pub(crate) memory: MemoryMetrics,
    pub(crate) compactions: CompactionMetrics,
}

/// What is said of days, under the names that Prometheus has for its compactions.
#[derive(Clone, Debug, Default)]
pub(crate) struct CompactionMetrics {
    pub(crate) days: Gauge,
    pub(crate) triggered: Counter,
    pub(crate) done: Counter,
    pub(crate) failed: Counter,
    pub(crate) skipped: Counter,
    pub(crate) bytes_written: Counter,
}

/// What is said of exemplars.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExemplarMetrics {
    pub(crate) in_storage: Gauge,
    pub(crate) series: Gauge,
    pub(crate) last_seconds: Gauge,
    pub(crate) max: Gauge,
    pub(crate) bytes: Gauge,
    pub(crate) appended: Counter,
    pub(crate) out_of_order: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let new = Self::default();
        let gauges: [(&str, &str, &Gauge); 13] = [
            ("prometheus_tsdb_head_series", "Series in the head.", &new.series),
            ("prometheus_tsdb_head_min_time", "Oldest time in the head, in milliseconds.", &new.min_time),
            ("prometheus_tsdb_head_max_time", "Newest time in the head, in milliseconds.", &new.max_time),
            ("vedette_tsdb_head_spilled_bytes", "Bytes of the head that are in files.", &new.spilled_bytes),
            ("prometheus_tsdb_storage_blocks_bytes", "Bytes of the log and of sealed windows.", &new.bytes),
            ("vedette_tsdb_sealed_windows", "Windows of two hours that are sealed.", &new.sealed_windows),
            ("vedette_tsdb_sealed_bytes", "Bytes of sealed windows.", &new.sealed_bytes),
            (
                "vedette_tsdb_sealed_cache_bytes",
                "Memory that caches and write buffers of sealed data take up.",
                &new.sealed_cache_bytes,
            ),
            (
                "vedette_tsdb_unsealable_windows",
                "Windows of two hours of which no frame can be sealed as yet.",
                &new.unsealable,
            ),
            ("vedette_log_segments", "Segments of the log.", &new.segments),
            (
                "vedette_log_outliving_bytes",
                "Bytes past retention that stay because a replica does not have them.",
                &new.outliving_bytes,
            ),
            ("vedette_log_waiting_bytes", "Bytes that wait for the disk.", &new.waiting_bytes),
            ("vedette_log_failing", "1 while the log takes nothing.", &new.failing),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let counters: [(&str, &str, &Counter); 35] = [
            ("prometheus_tsdb_head_samples_appended", "Own samples taken.", &new.appended),
            (
                "prometheus_tsdb_out_of_order_samples",
                "Own samples older than their series.",
                &new.out_of_order,
            ),
            (
                "prometheus_tsdb_too_old_samples",
                "Own samples older than the out-of-order window.",
                &new.too_old,
            ),
            (
                "prometheus_tsdb_head_out_of_order_samples_appended",
                "Own samples taken although their series had newer ones.",
                &new.late,
            ),
            ("prometheus_tsdb_out_of_bound_samples", "Own samples too new or too old.", &new.out_of_bounds),
            (
                "prometheus_tsdb_time_retentions",
                "Windows and segments dropped for their age.",
                &new.time_retentions,
            ),
            (
                "prometheus_tsdb_size_retentions",
                "Windows and segments dropped for their size.",
                &new.size_retentions,
            ),
            ("vedette_tsdb_seals", "Windows sealed, late frames of one that is among them.", &new.seals),
            ("vedette_tsdb_seal_failures", "Windows that could not be sealed.", &new.seal_failures),
            (
                "vedette_log_lost_frames",
                "Frames taken earlier that a damaged log has lost.",
                &new.frames_lost,
            ),
            ("vedette_tsdb_seals_healed", "Damaged windows sealed anew from the log.", &new.seals_healed),
            (
                "vedette_tsdb_seals_salvaged",
                "Damaged windows sealed anew from what can be read of them.",
                &new.seals_salvaged,
            ),
            ("vedette_tsdb_sealed_damage", "Places of sealed data that cannot be read.", &new.sealed_damage),
            (
                "vedette_tsdb_deletions_refused",
                "Deletions of other stores that are not in force here: there are too many.",
                &new.deletions_refused,
            ),
            ("vedette_log_trimmed_segments", "Segments dropped because all of them is sealed.", &new.trimmed),
            (
                "vedette_log_unshipped_dropped_frames",
                "Frames dropped that a replica does not have.",
                &new.unshipped_dropped,
            ),
            (
                "vedette_tsdb_identity_removed_records",
                "Records of groups, layouts, shapes and streams removed because no window has them any more.",
                &new.identity_removed,
            ),
            (
                "vedette_tsdb_clock_set_back",
                "Times that the clock was set back by a second or more.",
                &new.clock_steps,
            ),
            ("vedette_tsdb_duplicate_samples", "Own samples with a second value.", &new.duplicates),
            ("prometheus_tsdb_wal_corruptions", "Damages of the log.", &new.log_corruptions),
            ("vedette_log_corrupt_records", "Damaged stretches and records.", &new.records_corrupt),
            ("vedette_log_corrupt_bytes", "Damaged bytes.", &new.bytes_corrupt),
            ("vedette_log_corrupt_rows", "Rows that contradict their frame.", &new.rows_corrupt),
            (
                "vedette_tsdb_head_adopted_rows",
                "Rows of the log that the start found as tiles and did not replay.",
                &new.rows_adopted,
            ),
            ("vedette_log_missing_segments", "Segments that are gone, or never were.", &new.segments_missing),
            ("vedette_log_torn_bytes", "Bytes at the log's end that were no whole record.", &new.bytes_torn),
            ("vedette_log_write_failures", "Writes that failed.", &new.write_failures),
            ("vedette_log_sync_failures", "Syncs that failed.", &new.sync_failures),
            ("vedette_log_syncs", "Syncs.", &new.syncs),
            ("vedette_log_shed_frames", "Own frames that neither disk nor memory took.", &new.frames_shed),
            ("vedette_log_shed_rows", "Rows of these.", &new.rows_shed),
            ("vedette_log_own_frames", "Frames that this store wrote itself.", &new.frames_own),
            ("vedette_log_received_frames", "Frames taken from others.", &new.frames_received),
            ("vedette_log_duplicate_frames", "Frames offered again.", &new.frames_duplicate),
            ("vedette_log_clone_frames", "Frames of a copied writer, refused.", &new.frames_clone),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let help = "Bytes that the index over series' own labels takes up.";
        registry.register("vedette_tsdb_index_bytes", help, new.index_bytes.clone());
        new.exemplars.register(registry);
        new.compactions.register(registry);
        new.disk.register(registry);
        new.memory.register(registry);
        new
    }

    /// So many stretches or records of the log are damaged.
    pub(crate) fn found_corrupt(&self, records: u64) {
        self.records_corrupt.inc_by(records);
        self.log_corruptions.inc_by(records);
    }
}

impl CompactionMetrics {
    fn register(&self, registry: &Registry) {
        registry.register("vedette_tsdb_sealed_days", "Days that are one set of blocks.", self.days.clone());
        let counters: [(&str, &str, &Counter); 5] = [
            ("prometheus_tsdb_compactions_triggered", "Times that days were looked for.", &self.triggered),
            ("prometheus_tsdb_compactions", "Days put together out of their windows.", &self.done),
            ("prometheus_tsdb_compactions_failed", "Days that could not be put together.", &self.failed),
            (
                "prometheus_tsdb_compactions_skipped",
                "Times that days waited because the disk has no room for a copy.",
                &self.skipped,
            ),
            ("vedette_tsdb_compaction_bytes", "Bytes of days written.", &self.bytes_written),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
    }
}

impl ExemplarMetrics {
    fn register(&self, registry: &Registry) {
        let gauges: [(&str, &str, &Gauge); 5] = [
            ("prometheus_tsdb_exemplar_exemplars_in_storage", "Exemplars in memory.", &self.in_storage),
            (
                "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
                "Series with exemplars.",
                &self.series,
            ),
            (
                "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
                "The timestamp of the oldest exemplar in memory.",
                &self.last_seconds,
            ),
            ("prometheus_tsdb_exemplar_max_exemplars", "Exemplars that are kept at most.", &self.max),
            ("vedette_tsdb_exemplar_bytes", "About how many bytes exemplars take up.", &self.bytes),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let appended = self.appended.clone();
        registry.register("prometheus_tsdb_exemplar_exemplars_appended", "Exemplars taken.", appended);
        registry.register(
            "prometheus_tsdb_exemplar_out_of_order_exemplars",
            "Exemplars before their series' newest.",
            self.out_of_order.clone(),
        );
    }
}
