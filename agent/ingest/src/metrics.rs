//! What ingestion says about itself.

use telemetry::{Counter, Family, Gauge, LabelPairs, Registry};

/// Counters and gauges of remote write; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) samples: Counter,
    pub(crate) invalid_labels: Counter,
    rejected: Family<LabelPairs, Counter>,
    pub(crate) histograms: Counter,
    pub(crate) exemplars: Counter,
    refused: Family<LabelPairs, Counter>,
    pub(crate) body_bytes: Gauge,
    pub(crate) waiting: Gauge,
    pub(crate) series: Gauge,
    pub(crate) series_bytes: Gauge,
    pub(crate) layouts: Gauge,
    pub(crate) predicted: Counter,
    pub(crate) searched: Counter,
    pub(crate) moved: Counter,
    pub(crate) forgotten: Counter,
    pub(crate) dissolved: Counter,
    pub(crate) metadata_dropped: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let new = Self::default();
        let counters: [(&str, &str, &Counter); 10] = [
            (
                "prometheus_api_remote_write_invalid_labels_samples",
                "Samples received by remote write that were refused for their labels.",
                &new.invalid_labels,
            ),
            ("vedette_remote_write_samples", "Samples taken from remote write.", &new.samples),
            (
                "vedette_remote_write_histograms",
                "Native histograms taken from remote write.",
                &new.histograms,
            ),
            ("vedette_remote_write_exemplars", "Exemplars taken from remote write.", &new.exemplars),
            ("vedette_ingest_series_predicted", "Series found where they were expected.", &new.predicted),
            ("vedette_ingest_series_searched", "Series looked up by their labels.", &new.searched),
            ("vedette_ingest_series_moved", "Series moved for lagging behind their layout.", &new.moved),
            ("vedette_ingest_series_forgotten", "Series forgotten for want of samples.", &new.forgotten),
            ("vedette_ingest_layouts_dissolved", "Layouts given up as too empty.", &new.dissolved),
            ("vedette_ingest_metadata_dropped", "Families without room for metadata.", &new.metadata_dropped),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let gauges: [(&str, &str, &Gauge); 5] = [
            ("vedette_remote_write_body_bytes", "Bytes granted to requests in progress.", &new.body_bytes),
            ("vedette_remote_write_waiting", "Requests that wait for memory.", &new.waiting),
            ("vedette_ingest_series", "Pushed series that are known.", &new.series),
            ("vedette_ingest_series_bytes", "About how many bytes they take.", &new.series_bytes),
            ("vedette_ingest_layouts", "Layouts that pushed series stand in.", &new.layouts),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let families: [(&str, &str, &Family<LabelPairs, Counter>); 2] = [
            ("vedette_remote_write_rejected_samples", "Samples not taken, by reason.", &new.rejected),
            ("vedette_remote_write_refused_requests", "Requests refused, by reason.", &new.refused),
        ];
        for (name, help, family) in families {
            registry.register(name, help, family.clone());
        }
        new
    }

    /// Counts samples that were not taken.
    pub(crate) fn reject(&self, reason: &'static str, count: u64) {
        add(&self.rejected, "reason", reason, count);
    }

    /// Counts a request that was refused whole.
    pub(crate) fn refuse(&self, reason: &'static str) {
        add(&self.refused, "reason", reason, 1);
    }
}

fn add(family: &Family<LabelPairs, Counter>, label: &str, value: &str, count: u64) {
    if count > 0 {
        family.get_or_create(&vec![(label.to_owned(), value.to_owned())]).inc_by(count);
    }
}
