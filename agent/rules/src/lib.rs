//! Recording and alerting groups.

mod config;

pub use config::{AlertingRule, RecordingRule, Rule, RuleError, RuleExpr, RuleField, RuleGroup, RuleParts};
