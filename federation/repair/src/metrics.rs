//! What repair says of itself.

use telemetry::{Counter, Gauge};

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) twin_heard: Gauge,
    pub(crate) exchanges: Counter,
    pub(crate) exchange_failures: Counter,
    pub(crate) missing: Gauge,
    pub(crate) pulled: Counter,
    pub(crate) appended: Counter,
    pub(crate) diverged: Gauge,
    pub(crate) behind: Gauge,
    pub(crate) windows: Counter,
    pub(crate) window_bytes: Counter,
    pub(crate) window_failures: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &telemetry::Registry) -> Self {
        let metrics = Self::default();
        let of = |name: &str| format!("vedette_repair_{name}");
        registry.register(&of("twin_heard"), "Whether the twin answers.", metrics.twin_heard.clone());
        registry.register(&of("exchanges"), "Digests exchanged with the twin.", metrics.exchanges.clone());
        registry.register(
            &of("exchange_failures"),
            "Digests that the twin did not answer.",
            metrics.exchange_failures.clone(),
        );
        registry.register(
            &of("missing_frames"),
            "Frames that the twin keeps and this replica lacks.",
            metrics.missing.clone(),
        );
        registry.register(&of("frames_pulled"), "Frames pulled from the twin.", metrics.pulled.clone());
        registry.register(
            &of("frames_appended"),
            "Pulled frames that were new here.",
            metrics.appended.clone(),
        );
        registry.register(
            &of("diverged_streams"),
            "Streams of which the twin holds other frames under the same names: a copied machine.",
            metrics.diverged.clone(),
        );
        registry.register(
            &of("behind_frames"),
            "Frames that the twin has taken and this replica lacks, and that are not in the twin's log any more.",
            metrics.behind.clone(),
        );
        registry.register(
            &of("windows_copied"),
            "Sealed windows copied from the twin.",
            metrics.windows.clone(),
        );
        registry.register(
            &of("window_bytes_copied"),
            "Bytes of sealed windows copied from the twin.",
            metrics.window_bytes.clone(),
        );
        registry.register(
            &of("window_failures"),
            "Sealed windows that could not be copied from the twin: damaged there, or refused by this disk.",
            metrics.window_failures.clone(),
        );
        metrics
    }
}
