//! What the uplink says of itself.

use telemetry::{Counter, Family, Gauge, LabelPairs};

/// The uplink's own metrics, by replica.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connected: Family<LabelPairs, Gauge>,
    pub(crate) connects: Family<LabelPairs, Counter>,
    pub(crate) frames_sent: Family<LabelPairs, Counter>,
    pub(crate) bytes_sent: Family<LabelPairs, Counter>,
    pub(crate) frames_acked: Family<LabelPairs, Counter>,
    pub(crate) lag: Family<LabelPairs, Gauge>,
    pub(crate) parked: Family<LabelPairs, Counter>,
    pub(crate) clones: Family<LabelPairs, Counter>,
}

impl Metrics {
    pub(crate) fn register(registry: &telemetry::Registry) -> Self {
        let metrics = Self::default();
        let of = |name: &str| format!("vedette_uplink_{name}");
        registry.register(&of("connected"), "Whether the replica is connected.", metrics.connected.clone());
        registry.register(&of("connects"), "Connections made to the replica.", metrics.connects.clone());
        registry.register(
            &of("frames_sent"),
            "Frames sent to the replica, repeats included.",
            metrics.frames_sent.clone(),
        );
        registry.register(
            &of("sent_bytes"),
            "Compressed bytes of frames sent to the replica.",
            metrics.bytes_sent.clone(),
        );
        registry.register(
            &of("frames_acked"),
            "Frames that the replica has on its disk.",
            metrics.frames_acked.clone(),
        );
        registry.register(
            &of("lag_frames"),
            "Kept frames that the replica has not acknowledged.",
            metrics.lag.clone(),
        );
        registry.register(
            &of("frames_parked"),
            "Frames that the replica refused for good; they stay here and are not sent again.",
            metrics.parked.clone(),
        );
        registry.register(
            &of("clones"),
            "Answers that another machine continued a stream of ours.",
            metrics.clones.clone(),
        );
        metrics
    }
}

/// The label that tells replicas apart.
pub(crate) fn replica(endpoint: &str) -> LabelPairs {
    vec![("replica".to_owned(), endpoint.to_owned())]
}
