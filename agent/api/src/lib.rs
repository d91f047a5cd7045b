//! Prometheus's HTTP API v1, `/federate` and the lifecycle pages, as an axum router.
//!
//! It answers from a [`storage::Querier`], an [`Evaluate`] (the engine of `promql`) and the small status traits of this crate;
//! it opens no socket, knows no store and no scrape manager.

mod admin;
mod error;
mod evaluate;
mod federate;
mod json;
mod labels;
mod lifecycle;
mod params;
mod query;
mod remote_read;
mod reply;
mod router;
mod rules;
mod state;
mod status;
mod status_pages;
mod targets;
mod tree;

pub use evaluate::{Evaluate, Grid};
pub use params::parse_time;
pub use remote_read::RemoteReadOptions;
pub use router::{gated, router};
pub use state::{ApiOptions, ApiParts, ApiState};
pub use status::{
    ActiveTarget, Alert, AlertState, AlertingRule, AlertmanagerStatus, BuildInfo, ConfigStatus, Count,
    DroppedTarget, HeadStats, Lifecycle, ProcessStatus, RecordingRule, Rule, RuleGroup, RuleHealth,
    RuleStatus, RuntimeInfo, StoreAdmin, StoreStats, StoreStatus, TargetHealth, TargetMetadata, TargetStatus,
    Targets, WalReplay,
};

#[cfg(test)]
mod tests;
