//! What the receiver says of itself.

use telemetry::{Counter, Family, Gauge, LabelPairs};

/// The receiver's own metrics. `received = appended + duplicate + refused` holds at all times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) received: Counter,
    pub(crate) appended: Counter,
    pub(crate) duplicate: Counter,
    pub(crate) refused: Family<LabelPairs, Counter>,
    pub(crate) connections_refused: Counter,
    pub(crate) connected: Gauge,
    pub(crate) skew: Family<LabelPairs, Gauge>,
}

impl Metrics {
    pub(crate) fn register(registry: &telemetry::Registry) -> Self {
        let metrics = Self::default();
        let of = |name: &str| format!("vedette_receive_{name}");
        registry.register(&of("frames_received"), "Frames that agents sent.", metrics.received.clone());
        registry.register(&of("frames_appended"), "Frames that were new.", metrics.appended.clone());
        registry.register(
            &of("frames_duplicate"),
            "Frames that were here already.",
            metrics.duplicate.clone(),
        );
        registry.register(
            &of("frames_refused"),
            "Frames that were not taken, by reason.",
            metrics.refused.clone(),
        );
        registry.register(
            &of("connections_refused"),
            "Connections refused because a live agent has the name.",
            metrics.connections_refused.clone(),
        );
        registry.register(&of("agents_connected"), "Agents connected now.", metrics.connected.clone());
        registry.register(
            &of("agent_clock_skew_milliseconds"),
            "The agent's clock less ours when it last said hello.",
            metrics.skew.clone(),
        );
        metrics
    }

    pub(crate) fn refuse(&self, reason: &str) {
        self.refused.get_or_create(&vec![("reason".to_owned(), reason.to_owned())]).inc();
    }
}
