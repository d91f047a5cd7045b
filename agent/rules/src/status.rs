//! What the API shows of groups.

use std::time::Duration;

use crate::alert::{ActiveAlert, AlertState};
use crate::config::Rule;

/// Whether a rule's last evaluation worked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleHealth {
    /// There was none yet.
    #[default]
    Unknown,
    /// It worked.
    Ok,
    /// It failed.
    Err,
}

/// How a rule's last evaluation went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleStatus {
    /// Whether it worked.
    pub health: RuleHealth,
    /// Why it failed, empty when it did not.
    pub last_error: String,
    /// How long it took.
    pub evaluation_time: Duration,
    /// When it was, in milliseconds since the Unix epoch.
    pub last_evaluation_ms: Option<i64>,
}

/// A rule as the API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleView {
    /// The rule as configured.
    pub rule: Rule,
    /// How its last evaluation went.
    pub status: RuleStatus,
    /// For an alerting rule: the state of its furthest alert. Before the first evaluation see
    /// [`RuleView::shown_state`].
    pub state: AlertState,
    /// Alerts that are pending or firing.
    pub alerts: Vec<ActiveAlert>,
}

impl RuleView {
    /// The state that the API shows: unknown before the first evaluation.
    #[must_use]
    pub fn shown_state(&self) -> AlertState {
        if self.status.last_evaluation_ms.is_none() { AlertState::Unknown } else { self.state }
    }
}

/// A group as the API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// The file that holds it.
    pub file: String,
    /// Time between evaluations.
    pub interval: Duration,
    /// Most series or alerts of a rule, 0 for no limit.
    pub limit: usize,
    /// How long the last evaluation took.
    pub evaluation_time: Duration,
    /// When it was, in milliseconds since the Unix epoch.
    pub last_evaluation_ms: Option<i64>,
    /// Its rules in order.
    pub rules: Vec<RuleView>,
}
