//! What the notifier says of itself, under Prometheus's names.

use telemetry::{Counter, Family, FloatCounter, Gauge, LabelPairs};

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) sent: Family<LabelPairs, Counter>,
    pub(crate) errors: Family<LabelPairs, Counter>,
    pub(crate) seconds: Family<LabelPairs, FloatCounter>,
    pub(crate) dropped: Counter,
    pub(crate) discovered: Gauge,
    length: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &telemetry::Registry, capacity: usize) -> Self {
        let metrics = Self::default();
        let of = |name: &str| format!("prometheus_notifications_{name}");
        registry.register(&of("sent"), "Total number of alerts sent.", metrics.sent.clone());
        registry.register(
            &of("errors"),
            "Total number of sent alerts affected by errors.",
            metrics.errors.clone(),
        );
        registry.register(&of("latency_seconds_sum"), "Seconds spent in requests.", metrics.seconds.clone());
        registry.register(
            &of("dropped"),
            "Alerts given up: the queue was full, the alertmanager refused them or is gone.",
            metrics.dropped.clone(),
        );
        registry.register(
            &of("alertmanagers_discovered"),
            "The number of alertmanagers discovered and active.",
            metrics.discovered.clone(),
        );
        registry.register(
            &of("queue_length"),
            "The number of alert notifications in the queue.",
            metrics.length.clone(),
        );
        let bound: Gauge = Gauge::default();
        bound.set(i64::try_from(capacity).unwrap_or(i64::MAX));
        registry.register(&of("queue_capacity"), "The capacity of the alert notifications queue.", bound);
        metrics
    }

    pub(crate) fn measure(&self, length: usize) {
        self.length.set(i64::try_from(length).unwrap_or(i64::MAX));
    }
}

pub(crate) fn alertmanager(url: &str) -> LabelPairs {
    vec![("alertmanager".to_owned(), url.to_owned())]
}
