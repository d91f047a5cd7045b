//! Recording and alerting groups.
//!
//! The core decides: an [`AlertingState`] turns results into alerts, a [`GroupRunner`] evaluates one group
//! at a time that it is given. The shell acts: [`RuleManager`] runs each group on its grid and hands what
//! it gives to a [`Publisher`]. Another shell (a replica pair) drives the same runners and decides itself
//! who publishes. Knows no store and no alertmanager, only [`storage`]'s traits and an [`AlertSink`].

mod alert;
mod alerting;
mod config;
mod expand;
mod manager;
mod metrics;
mod overlay;
mod publish;
mod reading;
mod restore;
mod runner;
mod sources;
mod status;

pub use alert::{
    ALERT_NAME, ALERT_STATE, ALERTS, ALERTS_FOR_STATE, ActiveAlert, Alert, AlertSink, AlertState,
};
pub use alerting::{AlertingState, Due, Holder, Missing, NeverHold, Rendered, Step};
pub use config::{AlertingRule, RecordingRule, Rule, RuleError, RuleExpr, RuleField, RuleGroup, RuleParts};
pub use manager::{RuleManager, RulesConfig, RulesOptions, RulesParts};
pub use publish::{Evaluation, GroupKey, Published, Publisher, RuleOutput, StorePublisher};
pub use runner::{EvaluationCounts, GroupParts, GroupRunner, GroupSettings};
pub use sources::Sources;
pub use status::{GroupStatus, RuleHealth, RuleStatus, RuleView};
