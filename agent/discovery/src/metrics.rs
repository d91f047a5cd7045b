//! What discovery says about itself.

use telemetry::{Counter, Registry};

/// Counters of all jobs' discoveries together; clones count together.
#[derive(Clone, Debug, Default)]
pub struct DiscoveryMetrics {
    pub(crate) read_errors: Counter,
    pub(crate) watcher_errors: Counter,
}

impl DiscoveryMetrics {
    /// Registers the counters.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "prometheus_sd_file_read_errors",
            "The number of File-SD read errors.",
            metrics.read_errors.clone(),
        );
        registry.register(
            "prometheus_sd_file_watcher_errors",
            "The number of File-SD errors caused by filesystem watch failures.",
            metrics.watcher_errors.clone(),
        );
        metrics
    }
}
