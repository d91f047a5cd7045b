//! Joins rules to the configuration, the notifier and the API.

use std::sync::Arc;
use std::time::Duration;

use config::Loaded;
use model::Labels;
use notifier::Notifier;
use rules::{
    AlertSink, AlertState, GroupStatus, Rule, RuleGroup, RuleHealth, RuleManager, RuleView, RulesConfig,
    RulesOptions,
};

use crate::flags::RuleFlags;

/// What holds for all groups.
#[must_use]
pub fn rule_options(flags: &RuleFlags, external_url: &str, hold_max: Duration) -> RulesOptions {
    RulesOptions {
        external_url: external_url.to_owned(),
        resend_delay: flags.resend_delay,
        outage_tolerance: flags.outage_tolerance,
        for_grace_period: flags.grace_period,
        hold_max,
    }
}

/// What a configuration says of its groups; `query_offset` where the file sets none.
#[must_use]
pub fn rules_config(loaded: &Loaded, groups: Vec<RuleGroup>, query_offset: Duration) -> RulesConfig {
    RulesConfig {
        groups,
        evaluation_interval: loaded.global.evaluation_interval,
        query_offset: loaded.global.rule_query_offset.unwrap_or(query_offset),
        external_labels: loaded.global.external_labels.clone(),
    }
}

/// Hands alerts to a notifier.
pub struct ToNotifier(pub Arc<Notifier>);

impl AlertSink for ToNotifier {
    fn send(&self, alerts: Vec<rules::Alert>) {
        let alert = |alert: rules::Alert| notifier::Alert {
            labels: alert.labels,
            annotations: alert.annotations,
            starts_at_ms: alert.starts_at_ms,
            ends_at_ms: alert.ends_at_ms,
            generator_url: alert.generator_url,
        };
        let alerts: Vec<notifier::Alert> = alerts.into_iter().map(alert).collect();
        self.0.send(&alerts);
    }
}

/// Shows a rule manager to the API.
pub struct ShownRules(pub Arc<RuleManager>);

impl api::RuleStatus for ShownRules {
    fn groups(&self) -> Vec<api::RuleGroup> {
        shown(&self.0)
    }
}

/// A rule manager's groups as the API shows them.
#[must_use]
pub fn shown(manager: &RuleManager) -> Vec<api::RuleGroup> {
    manager.groups().iter().map(|group| group_of(group)).collect()
}

fn group_of(group: &GroupStatus) -> api::RuleGroup {
    api::RuleGroup {
        name: group.name.clone(),
        file: group.file.clone(),
        rules: group.rules.iter().map(rule_of).collect(),
        interval: group.interval.as_secs_f64(),
        limit: group.limit as u64,
        evaluation_time: group.evaluation_time.as_secs_f64(),
        last_evaluation: group.last_evaluation_ms,
    }
}

fn rule_of(view: &RuleView) -> api::Rule {
    let health = match view.status.health {
        RuleHealth::Unknown => api::RuleHealth::Unknown,
        RuleHealth::Ok => api::RuleHealth::Ok,
        RuleHealth::Err => api::RuleHealth::Err,
    };
    let (last_error, evaluation_time) =
        (view.status.last_error.clone(), view.status.evaluation_time.as_secs_f64());
    match &view.rule {
        Rule::Recording(rule) => api::Rule::Recording(api::RecordingRule {
            name: rule.record().to_owned(),
            query: rule.expr().to_string(),
            labels: rule.labels().clone(),
            health,
            last_error,
            evaluation_time,
            last_evaluation: view.status.last_evaluation_ms,
        }),
        Rule::Alerting(rule) => api::Rule::Alerting(api::AlertingRule {
            state: state_of(view.shown_state()),
            name: rule.alert().to_owned(),
            query: rule.expr().to_string(),
            duration: rule.hold_for().as_secs_f64(),
            keep_firing_for: rule.keep_firing_for().as_secs_f64(),
            labels: rule.labels().clone(),
            annotations: rule.annotations().clone(),
            alerts: view.alerts.iter().map(alert_of).collect(),
            health,
            last_error,
            evaluation_time,
            last_evaluation: view.status.last_evaluation_ms,
        }),
    }
}

fn alert_of(alert: &rules::ActiveAlert) -> api::Alert {
    api::Alert {
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        state: state_of(alert.state),
        active_at: Some(alert.active_at_ms),
        keep_firing_since: alert.keep_firing_since_ms,
        value: alert.value,
    }
}

fn state_of(state: AlertState) -> api::AlertState {
    match state {
        AlertState::Unknown => api::AlertState::Unknown,
        AlertState::Inactive => api::AlertState::Inactive,
        AlertState::Pending => api::AlertState::Pending,
        AlertState::Firing => api::AlertState::Firing,
    }
}

/// Adds external labels to those of an alert; what the alert has itself stays.
#[must_use]
pub fn with_external(labels: &Labels, external: &Labels) -> Labels {
    let mut builder = labels.to_builder();
    for label in external.iter().filter(|label| !labels.has(&label.name)) {
        builder.set(label.name.clone(), label.value.clone());
    }
    builder.build()
}
