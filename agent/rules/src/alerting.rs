//! The state machine of an alerting rule: results in, series and alerts out. Pure: time is an argument.

use std::collections::{BTreeMap, HashSet};

use model::Labels;

use crate::alert::{ActiveAlert, Alert, AlertState};
use crate::config::AlertingRule;
use crate::sources::Sources;

/// How long a resolved alert is remembered and sent again.
const RESOLVED_RETENTION_MS: i64 = 15 * 60_000;

/// One element of the expression's result, with labels and annotations written out.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Labels of the alert.
    pub labels: Labels,
    /// Annotations of the alert.
    pub annotations: Labels,
    /// Value of the element.
    pub value: f64,
}

/// An alert whose element is gone, for [`Holder`] to judge.
#[derive(Debug)]
pub struct Missing<'a> {
    /// The rule.
    pub rule: &'a AlertingRule,
    /// The alert's labels.
    pub labels: &'a Labels,
    /// The last evaluation whose result had it, in milliseconds since the Unix epoch.
    pub last_true_ms: i64,
    /// Whose data that evaluation read.
    pub sources: &'a Sources,
    /// The time that is being evaluated.
    pub at_ms: i64,
}

/// Knows which data has not arrived yet.
pub trait Holder: Send + Sync {
    /// Whether the element may be missing only because its data is: then the alert stays as it is.
    fn hold(&self, missing: &Missing<'_>) -> bool;

    /// Whether somebody who had newer data than there is here said that the alert is over: then it is not
    /// said to fire.
    fn doubt(&self, _alert: &ActiveAlert, _due: &Due<'_>) -> bool {
        false
    }

    /// Whether [`Holder::source`] has an answer for some series; else nobody looks at whose are read.
    fn has_sources(&self) -> bool {
        false
    }

    /// Whose data a series is, for [`ActiveAlert::sources`]; nothing is noted of a series without an answer.
    fn source<'a>(&self, _series: &'a Labels) -> Option<&'a str> {
        None
    }
}

/// Nothing is ever late: what one's own store scraped itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverHold;

impl Holder for NeverHold {
    fn hold(&self, _missing: &Missing<'_>) -> bool {
        false
    }
}

/// What an evaluation of the rule needs besides its result.
pub struct Step<'a> {
    /// The time, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Most active alerts, 0 for no limit.
    pub limit: usize,
    /// Whose data the evaluation read.
    pub sources: Sources,
    /// Who knows of missing data.
    pub holder: &'a dyn Holder,
    /// How long an alert may be held, in milliseconds.
    pub hold_max_ms: i64,
}

impl std::fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("at_ms", &self.at_ms).field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// What decides which alerts are due.
pub struct Due<'a> {
    /// The time, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// How far behind its time the evaluation read.
    pub offset_ms: i64,
    /// Time after which an alert that still fires is due again.
    pub resend_delay_ms: i64,
    /// Time between evaluations.
    pub interval_ms: i64,
    /// Where the expression can be looked at.
    pub url: &'a str,
    /// Who knows of missing data.
    pub holder: &'a dyn Holder,
}

impl std::fmt::Debug for Due<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Due").field("at_ms", &self.at_ms).field("url", &self.url).finish_non_exhaustive()
    }
}

/// What a rule remembers between evaluations.
#[derive(Clone, Debug, Default)]
pub struct AlertingState {
    /// Alerts by their labels; resolved ones stay for a while.
    pub(crate) active: BTreeMap<Labels, ActiveAlert>,
}

impl AlertingState {
    /// The alerts that are pending or firing.
    pub fn active(&self) -> impl Iterator<Item = &ActiveAlert> {
        self.active.values().filter(|alert| alert.resolved_at_ms.is_none())
    }

    /// Takes a result.
    ///
    /// # Errors
    /// When two elements become one alert, or there are more than the limit allows: then all alerts are
    /// forgotten.
    pub fn step(
        &mut self,
        rule: &AlertingRule,
        results: Vec<Rendered>,
        step: &Step<'_>,
    ) -> Result<(), String> {
        let mut given = HashSet::with_capacity(results.len());
        for result in &results {
            if !given.insert(result.labels.clone()) {
                return Err(
                    "vector contains metrics with the same labelset after applying alert labels".to_owned()
                );
            }
        }
        for result in results {
            self.take(result, step);
        }
        let mut active = 0;
        self.active.retain(|labels, alert| {
            let (keep, counts) = advance(rule, alert, given.contains(labels), step);
            active += usize::from(counts);
            keep
        });
        if step.limit > 0 && active > step.limit {
            self.active.clear();
            return Err(format!("exceeded limit of {} with {active} alerts", step.limit));
        }
        Ok(())
    }

    fn take(&mut self, result: Rendered, step: &Step<'_>) {
        match self.active.get_mut(&result.labels) {
            Some(alert) if alert.state != AlertState::Inactive => {
                alert.value = result.value;
                alert.annotations = result.annotations;
                alert.last_true_ms = step.at_ms;
                alert.sources.clone_from(&step.sources);
            }
            _ => {
                let mut alert =
                    ActiveAlert::new(result.labels.clone(), result.annotations, result.value, step.at_ms);
                alert.sources.clone_from(&step.sources);
                self.active.insert(result.labels, alert);
            }
        }
    }

    /// `ALERTS` and `ALERTS_FOR_STATE` of the active alerts.
    #[must_use]
    pub fn series(&self) -> Vec<(Labels, f64)> {
        let mut out = Vec::new();
        for alert in self.active() {
            #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
            let since = alert.active_at_ms.div_euclid(1000) as f64;
            out.push((alert.alerts_series(), 1.0));
            out.push((alert.for_state_series(), since));
        }
        out
    }

    /// The alerts that are due; they count as sent.
    pub fn due(&mut self, due: &Due<'_>) -> Vec<Alert> {
        let resend_after = due.resend_delay_ms.max(due.interval_ms);
        let valid_until = due.at_ms.saturating_add(resend_after.saturating_mul(4));
        let mut out = Vec::new();
        for alert in self.active.values_mut() {
            if !alert.needs_sending(due.at_ms, due.resend_delay_ms) {
                continue;
            }
            if alert.resolved_at_ms.is_none() && due.holder.doubt(alert, due) {
                continue;
            }
            alert.last_sent_ms = Some(due.at_ms);
            out.push(Alert {
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at_ms: alert.fired_at_ms,
                ends_at_ms: alert.resolved_at_ms.unwrap_or(valid_until),
                resolved: alert.resolved_at_ms.is_some(),
                said_at_ms: due.at_ms,
                generator_url: due.url.to_owned(),
            });
        }
        out
    }

    /// The state of the furthest alert.
    #[must_use]
    pub fn state(&self) -> AlertState {
        self.active().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive)
    }
}

/// Moves one alert on; whether it is remembered, and whether it counts as active.
fn advance(rule: &AlertingRule, alert: &mut ActiveAlert, given: bool, step: &Step<'_>) -> (bool, bool) {
    let at = step.at_ms;
    let held = !given && alert.state != AlertState::Inactive && is_held(rule, alert, step);
    if given {
        alert.keep_firing_since_ms = None;
        alert.held_since_ms = None;
    } else if !held {
        let keeps_firing = alert.state == AlertState::Firing && {
            let since = *alert.keep_firing_since_ms.get_or_insert(at);
            at - since < millis(rule.keep_firing_for)
        };
        if !keeps_firing {
            alert.keep_firing_since_ms = None;
            return (stop(alert, at), false);
        }
    }
    if alert.state == AlertState::Pending && !held && at - alert.active_at_ms >= millis(rule.hold_for) {
        alert.state = AlertState::Firing;
        alert.fired_at_ms = at;
    }
    (true, true)
}

fn is_held(rule: &AlertingRule, alert: &mut ActiveAlert, step: &Step<'_>) -> bool {
    let missing = Missing {
        rule,
        labels: &alert.labels,
        last_true_ms: alert.last_true_ms,
        sources: &alert.sources,
        at_ms: step.at_ms,
    };
    if !step.holder.hold(&missing) {
        alert.held_since_ms = None;
        return false;
    }
    let since = *alert.held_since_ms.get_or_insert(step.at_ms);
    step.at_ms - since < step.hold_max_ms
}

/// The alert's element is gone. Whether it is still remembered.
fn stop(alert: &mut ActiveAlert, at: i64) -> bool {
    match alert.state {
        AlertState::Pending => false,
        AlertState::Inactive => {
            alert.resolved_at_ms.is_some_and(|resolved| at - resolved <= RESOLVED_RETENTION_MS)
        }
        _ => {
            alert.state = AlertState::Inactive;
            alert.resolved_at_ms = Some(at);
            true
        }
    }
}

pub(crate) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
