//! Alerts: what a rule remembers of each, and what is told about it.

use model::{Labels, METRIC_NAME};

use crate::sources::Sources;

/// Label that names the alert.
pub const ALERT_NAME: &str = "alertname";
/// Label of `ALERTS` that tells the state.
pub const ALERT_STATE: &str = "alertstate";
/// Series that is 1 while an alert is active.
pub const ALERTS: &str = "ALERTS";
/// Series whose value is the time since which an alert is active, in seconds since the Unix epoch.
pub const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";

/// How far an alert has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// The rule was not evaluated yet.
    Unknown,
    /// Not active.
    Inactive,
    /// Active, but not for long enough.
    Pending,
    /// Active for long enough.
    Firing,
}

impl AlertState {
    /// The word in `ALERTS` and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// An alert to be sent. Times are in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What identifies it, `alertname` among them.
    pub labels: Labels,
    /// What it tells people.
    pub annotations: Labels,
    /// When it began to fire.
    pub starts_at_ms: i64,
    /// When it was resolved; for a firing alert, until when it counts as firing without being sent again.
    pub ends_at_ms: i64,
    /// Whether it is resolved.
    pub resolved: bool,
    /// The evaluation that says so.
    pub said_at_ms: i64,
    /// Where its expression can be looked at.
    pub generator_url: String,
}

/// Takes alerts to be sent on. Must not block.
pub trait AlertSink: Send + Sync {
    /// Takes alerts; each replaces what was taken before under its labels.
    fn send(&self, alerts: Vec<Alert>);
}

/// What a rule remembers of an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveAlert {
    /// What identifies it.
    pub labels: Labels,
    /// What it tells people, as of the last evaluation that gave it.
    pub annotations: Labels,
    /// How far it has come.
    pub state: AlertState,
    /// The expression's value, as of the last evaluation that gave it.
    pub value: f64,
    /// Since when the expression holds; moved by a restore.
    pub active_at_ms: i64,
    /// When it began to fire.
    pub fired_at_ms: i64,
    /// When it stopped firing.
    pub resolved_at_ms: Option<i64>,
    /// Since when it fires only because of `keep_firing_for`.
    pub keep_firing_since_ms: Option<i64>,
    /// The last evaluation whose result had it.
    pub last_true_ms: i64,
    /// Whose data that evaluation read, where the [`Holder`](crate::Holder) wants to know.
    pub sources: Sources,
    /// Since when its data is missing, so that it is neither true nor false.
    pub held_since_ms: Option<i64>,
    /// When it was last sent.
    pub last_sent_ms: Option<i64>,
}

impl ActiveAlert {
    pub(crate) fn new(labels: Labels, annotations: Labels, value: f64, at_ms: i64) -> Self {
        Self {
            labels,
            annotations,
            state: AlertState::Pending,
            value,
            active_at_ms: at_ms,
            fired_at_ms: at_ms,
            resolved_at_ms: None,
            keep_firing_since_ms: None,
            last_true_ms: at_ms,
            sources: Sources::default(),
            held_since_ms: None,
            last_sent_ms: None,
        }
    }

    /// Whether it is due: firing or resolved, and not sent for `resend_delay_ms` or not since it was resolved.
    pub(crate) fn needs_sending(&self, at_ms: i64, resend_delay_ms: i64) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        match (self.last_sent_ms, self.resolved_at_ms) {
            (None, _) => true,
            (Some(sent), Some(resolved)) if resolved > sent => true,
            (Some(sent), _) => sent + resend_delay_ms < at_ms,
        }
    }

    /// The labels of its `ALERTS` series.
    pub(crate) fn alerts_series(&self) -> Labels {
        let mut builder = self.labels.to_builder();
        builder.set(METRIC_NAME, ALERTS).set(ALERT_STATE, self.state.as_str());
        builder.build()
    }

    /// The labels of its `ALERTS_FOR_STATE` series.
    pub(crate) fn for_state_series(&self) -> Labels {
        let mut builder = self.labels.to_builder();
        builder.set(METRIC_NAME, ALERTS_FOR_STATE);
        builder.build()
    }
}
