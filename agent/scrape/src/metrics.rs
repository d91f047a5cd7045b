//! What scraping says about itself.

use telemetry::{Counter, Family, Gauge, LabelPairs, Registry};

/// Counters and gauges of all pools; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) pools: Counter,
    pub(crate) pools_failed: Counter,
    pub(crate) pool_reloads: Counter,
    pub(crate) pool_syncs: Family<LabelPairs, Counter>,
    pub(crate) pool_targets: Family<LabelPairs, Gauge>,
    pub(crate) pool_target_limit: Family<LabelPairs, Gauge>,
    pub(crate) over_target_limit: Counter,
    pub(crate) over_sample_limit: Counter,
    pub(crate) over_body_size_limit: Counter,
    pub(crate) over_bucket_limit: Counter,
    pub(crate) out_of_order: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) out_of_bounds: Counter,
    pub(crate) exemplars_out_of_order: Counter,
    pub(crate) over_memory: Counter,
    pub(crate) cache_bytes: Gauge,
    pub(crate) pages_parsed: Counter,
    pub(crate) append_failures: Counter,
    pub(crate) commit_failures: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let metrics = Self::default();
        for (name, help, counter) in [
            ("scrape_pools", "Total number of scrape pool creation attempts.", &metrics.pools),
            (
                "scrape_pools_failed",
                "Total number of scrape pool creations that failed.",
                &metrics.pools_failed,
            ),
            ("scrape_pool_reloads", "Total number of scrape pool reloads.", &metrics.pool_reloads),
            (
                "scrape_pool_exceeded_target_limit",
                "Total number of times scrape pools hit the target limit, during sync or config reload.",
                &metrics.over_target_limit,
            ),
            (
                "scrapes_exceeded_sample_limit",
                "Total number of scrapes that hit the sample limit and were rejected.",
                &metrics.over_sample_limit,
            ),
            (
                "scrapes_exceeded_body_size_limit",
                "Total number of scrapes that hit the body size limit",
                &metrics.over_body_size_limit,
            ),
            (
                "scrapes_exceeded_native_histogram_bucket_limit",
                "Total number of scrapes that hit the native histogram bucket limit and were rejected.",
                &metrics.over_bucket_limit,
            ),
            (
                "scrapes_sample_out_of_order",
                "Total number of samples rejected due to not being out of the expected order.",
                &metrics.out_of_order,
            ),
            (
                "scrapes_sample_duplicate_timestamp",
                "Total number of samples rejected due to duplicate timestamps but different values.",
                &metrics.duplicates,
            ),
            (
                "scrapes_sample_out_of_bounds",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
                &metrics.out_of_bounds,
            ),
            (
                "scrapes_exemplar_out_of_order",
                "Total number of exemplar rejected due to not being out of the expected order.",
                &metrics.exemplars_out_of_order,
            ),
        ] {
            registry.register(&format!("prometheus_target_{name}"), help, counter.clone());
        }
        registry.register(
            "prometheus_target_scrape_pool_sync",
            "Total number of syncs that were executed on a scrape pool.",
            metrics.pool_syncs.clone(),
        );
        registry.register(
            "prometheus_target_scrape_pool_targets",
            "Current number of targets in this scrape pool.",
            metrics.pool_targets.clone(),
        );
        registry.register(
            "prometheus_target_scrape_pool_target_limit",
            "Maximum number of targets allowed in this scrape pool.",
            metrics.pool_target_limit.clone(),
        );
        registry.register(
            "vedette_scrape_pages_parsed",
            "Pages that were parsed in full, because they were new or had other lines than the last one.",
            metrics.pages_parsed.clone(),
        );
        registry.register(
            "vedette_scrape_cache_bytes",
            "About how much is remembered of targets' pages.",
            metrics.cache_bytes.clone(),
        );
        registry.register(
            "vedette_scrape_pages_without_new_series",
            "Pages of which series were left out, because they were new and the memory limit was reached.",
            metrics.over_memory.clone(),
        );
        registry.register(
            "vedette_scrape_append_failures",
            "Rows of scrapes that the store refused.",
            metrics.append_failures.clone(),
        );
        registry.register(
            "vedette_scrape_commit_failures",
            "Scrapes whose rows could not be written to the log.",
            metrics.commit_failures.clone(),
        );
        metrics
    }

    pub(crate) fn job(name: &str) -> LabelPairs {
        vec![("scrape_job".to_owned(), name.to_owned())]
    }

    /// Takes a pool's own lines off the page.
    pub(crate) fn forget(&self, job: &str) {
        let labels = Self::job(job);
        self.pool_syncs.remove(&labels);
        self.pool_targets.remove(&labels);
        self.pool_target_limit.remove(&labels);
    }
}
