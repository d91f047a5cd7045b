//! What consensus says about itself.

use telemetry::{Counter, Family, Gauge, Histogram, LabelPairs, Registry, exponential_buckets};

/// The part's metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) term: Gauge,
    pub(crate) leader: Gauge,
    pub(crate) has_leader: Gauge,
    pub(crate) applied: Gauge,
    pub(crate) committed: Gauge,
    pub(crate) members: Gauge,
    pub(crate) unreachable: Gauge,
    pub(crate) leader_changes: Counter,
    pub(crate) handovers: Counter,
    pub(crate) append: Histogram,
    proposals: Family<LabelPairs, Counter>,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let metrics = Self {
            term: Gauge::default(),
            leader: Gauge::default(),
            has_leader: Gauge::default(),
            applied: Gauge::default(),
            committed: Gauge::default(),
            members: Gauge::default(),
            unreachable: Gauge::default(),
            leader_changes: Counter::default(),
            handovers: Counter::default(),
            append: Histogram::new(exponential_buckets(0.000_25, 2.0, 15)),
            proposals: Family::default(),
        };
        let gauge = |name, help, gauge: &Gauge| registry.register(name, help, gauge.clone());
        gauge("vedette_raft_term", "Current term.", &metrics.term);
        gauge("vedette_raft_leader", "1 if this node leads.", &metrics.leader);
        gauge("vedette_raft_has_leader", "1 if this node knows a leader.", &metrics.has_leader);
        gauge("vedette_raft_applied_index", "Index of the last applied entry.", &metrics.applied);
        gauge(
            "vedette_raft_commit_index",
            "Index of the last committed entry known here.",
            &metrics.committed,
        );
        gauge("vedette_raft_members", "Members of the cluster.", &metrics.members);
        gauge(
            "vedette_raft_members_unreachable",
            "Members that did not answer for 5 s.",
            &metrics.unreachable,
        );
        registry.register(
            "vedette_raft_elections",
            "Changes of the leader, as seen by this node.",
            metrics.leader_changes.clone(),
        );
        registry.register("vedette_raft_handovers", "Leaderships handed over.", metrics.handovers.clone());
        registry.register(
            "vedette_raft_append_seconds",
            "Round trips of append calls.",
            metrics.append.clone(),
        );
        registry.register(
            "vedette_raft_proposals",
            "Proposals made here, by outcome.",
            metrics.proposals.clone(),
        );
        metrics
    }

    /// Counts a proposal's outcome.
    pub(crate) fn proposed(&self, outcome: &'static str) {
        self.proposals.get_or_create(&vec![("outcome".to_owned(), outcome.to_owned())]).inc();
    }
}

/// A gauge's value; indices beyond what it holds do not occur.
pub(crate) fn gauge_value(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
