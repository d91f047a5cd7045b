//! The alertmanager's own metrics, under Alertmanager's names, and ours under `vedette_alertmanager_`.

use std::time::Duration;

use telemetry::{Counter, Family, Gauge, Histogram, LabelPairs, Registry};

use crate::notify::FailureReason;

/// Integrations whose metrics start at zero, so that a rate sees their first failure.
const INTEGRATIONS: [&str; 18] = [
    "webhook",
    "email",
    "pagerduty",
    "opsgenie",
    "wechat",
    "slack",
    "victorops",
    "pushover",
    "sns",
    "telegram",
    "discord",
    "webex",
    "msteams",
    "msteamsv2",
    "jira",
    "incidentio",
    "rocketchat",
    "mattermost",
];

type Counters = Family<LabelPairs, Counter>;
type Gauges = Family<LabelPairs, Gauge>;
type Histograms = Family<LabelPairs, Histogram, fn() -> Histogram>;

#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) alerts: Gauges,
    pub(crate) received: Counters,
    pub(crate) invalid: Counters,
    pub(crate) limited: Counter,
    pub(crate) silences: Gauges,
    pub(crate) groups: Gauge,
    pub(crate) receivers: Gauge,
    pub(crate) integrations: Gauge,
    pub(crate) inhibition_rules: Gauge,
    pub(crate) members: Gauge,
    pub(crate) failed_peers: Gauge,
    pub(crate) degraded: Gauge,
    pub(crate) degraded_notifications: Counter,
    pub(crate) overlay_failures: Counter,
    notifications: Counters,
    notifications_failed: Counters,
    suppressed: Counters,
    requests: Counters,
    requests_failed: Counters,
    latency: Histograms,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let latency: fn() -> Histogram = || Histogram::new([1.0, 5.0, 10.0, 15.0, 20.0]);
        let metrics = Self {
            alerts: Family::default(),
            received: Family::default(),
            invalid: Family::default(),
            limited: Counter::default(),
            silences: Family::default(),
            groups: Gauge::default(),
            receivers: Gauge::default(),
            integrations: Gauge::default(),
            inhibition_rules: Gauge::default(),
            members: Gauge::default(),
            failed_peers: Gauge::default(),
            degraded: Gauge::default(),
            degraded_notifications: Counter::default(),
            overlay_failures: Counter::default(),
            notifications: Family::default(),
            notifications_failed: Family::default(),
            suppressed: Family::default(),
            requests: Family::default(),
            requests_failed: Family::default(),
            latency: Family::new_with_constructor(latency),
        };
        metrics.announce(registry);
        metrics.start_at_zero();
        metrics
    }

    fn announce(&self, registry: &Registry) {
        let am = |name: &str| format!("alertmanager_{name}");
        registry.register(&am("alerts"), "How many alerts by state.", self.alerts.clone());
        registry.register(
            &am("alerts_received"),
            "The total number of received alerts.",
            self.received.clone(),
        );
        registry.register(
            &am("alerts_invalid"),
            "The total number of received alerts that were invalid.",
            self.invalid.clone(),
        );
        registry.register(
            &am("alerts_limited"),
            "Alerts that were not taken because of --alerts.per-alertname-limit.",
            self.limited.clone(),
        );
        registry.register(&am("silences"), "How many silences by state.", self.silences.clone());
        registry.register(
            &am("dispatcher_aggregation_groups"),
            "Number of active aggregation groups",
            self.groups.clone(),
        );
        registry.register(&am("receivers"), "Number of configured receivers.", self.receivers.clone());
        registry.register(
            &am("integrations"),
            "Number of configured integrations.",
            self.integrations.clone(),
        );
        registry.register(
            &am("inhibition_rules"),
            "Number of configured inhibition rules.",
            self.inhibition_rules.clone(),
        );
        registry.register(
            &am("cluster_members"),
            "Members of the cluster that answer.",
            self.members.clone(),
        );
        registry.register(
            &am("cluster_failed_peers"),
            "Members that do not answer.",
            self.failed_peers.clone(),
        );
        self.announce_notifications(registry);
        let ours = |name: &str| format!("vedette_alertmanager_{name}");
        registry.register(
            &ours("degraded"),
            "1 while this node is cut off from the quorum and sends on its own.",
            self.degraded.clone(),
        );
        registry.register(
            &ours("degraded_notifications"),
            "Notifications sent while cut off from the quorum.",
            self.degraded_notifications.clone(),
        );
        registry.register(
            &ours("overlay_failures"),
            "Writes of the overlay file that failed; what they held is in memory only.",
            self.overlay_failures.clone(),
        );
    }

    fn announce_notifications(&self, registry: &Registry) {
        let am = |name: &str| format!("alertmanager_{name}");
        registry.register(
            &am("notifications"),
            "The total number of attempted notifications.",
            self.notifications.clone(),
        );
        registry.register(
            &am("notifications_failed"),
            "The total number of failed notifications.",
            self.notifications_failed.clone(),
        );
        registry.register(
            &am("notifications_suppressed"),
            "The total number of notifications suppressed for being silenced, inhibited, outside of active time intervals or within muted time intervals.",
            self.suppressed.clone(),
        );
        registry.register(
            &am("notification_requests"),
            "The total number of attempted notification requests.",
            self.requests.clone(),
        );
        registry.register(
            &am("notification_requests_failed"),
            "The total number of failed notification requests.",
            self.requests_failed.clone(),
        );
        registry.register(
            &am("notification_latency_seconds"),
            "The latency of notifications in seconds.",
            self.latency.clone(),
        );
    }

    fn start_at_zero(&self) {
        for integration in INTEGRATIONS {
            let labels = by_integration(integration);
            for counters in [&self.notifications, &self.requests, &self.requests_failed] {
                let _ = counters.get_or_create(&labels);
            }
            let _ = self.latency.get_or_create(&labels);
            for reason in FailureReason::ALL {
                let _ = self.notifications_failed.get_or_create(&by_reason(integration, reason));
            }
        }
        for reason in ["silence", "inhibition", "mute_time_interval", "active_time_interval"] {
            let _ = self.suppressed.get_or_create(&pair("reason", reason));
        }
        for status in ["firing", "resolved"] {
            let _ = self.received.get_or_create(&received(status));
        }
        let _ = self.invalid.get_or_create(&pair("version", "v2"));
    }

    /// A receiver accepted a notification.
    pub(crate) fn notified(&self, integration: &str) {
        self.notifications.get_or_create(&by_integration(integration)).inc();
    }

    /// A notification was given up.
    pub(crate) fn failed(&self, integration: &str, reason: FailureReason) {
        self.notifications.get_or_create(&by_integration(integration)).inc();
        self.notifications_failed.get_or_create(&by_reason(integration, reason)).inc();
    }

    pub(crate) fn requested(&self, integration: &str) {
        self.requests.get_or_create(&by_integration(integration)).inc();
    }

    pub(crate) fn requested_for(&self, integration: &str, took: Duration) {
        self.latency.get_or_create(&by_integration(integration)).observe(took.as_secs_f64());
    }

    pub(crate) fn request_failed(&self, integration: &str) {
        self.requests_failed.get_or_create(&by_integration(integration)).inc();
    }

    pub(crate) fn suppress(&self, reason: &str, count: usize) {
        self.suppressed.get_or_create(&pair("reason", reason)).inc_by(count as u64);
    }

    pub(crate) fn receive(&self, status: &str) {
        self.received.get_or_create(&received(status)).inc();
    }

    pub(crate) fn refuse(&self) {
        self.invalid.get_or_create(&pair("version", "v2")).inc();
    }

    pub(crate) fn count_state(gauges: &Gauges, state: &str, count: usize) {
        gauges.get_or_create(&pair("state", state)).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

fn pair(name: &str, value: &str) -> LabelPairs {
    vec![(name.to_owned(), value.to_owned())]
}

fn by_integration(integration: &str) -> LabelPairs {
    pair("integration", integration)
}

fn by_reason(integration: &str, reason: FailureReason) -> LabelPairs {
    let mut labels = by_integration(integration);
    labels.extend(pair("reason", reason.as_str()));
    labels
}

fn received(status: &str) -> LabelPairs {
    let mut labels = pair("status", status);
    labels.extend(pair("version", "v2"));
    labels
}
