//! Prometheus's HTTP API v1, `/federate` and the lifecycle pages, as an axum router.
//!
//! It answers from a [`storage::Querier`], an [`Evaluate`] (the engine of `promql`) and the small status traits of this crate;
//! it opens no socket, knows no store and no scrape manager.

mod admin;
mod endpoints;
mod error;
mod evaluate;
mod federate;
mod json;
mod labels;
mod lifecycle;
mod notices;
mod openapi;
mod params;
mod query;
mod remote_read;
mod reply;
mod result;
mod router;
mod rules;
mod search;
mod self_metrics;
mod similarity;
mod state;
mod status;
mod status_pages;
mod targets;
mod tree;

pub use evaluate::{Evaluate, Grid};
pub use notices::Notices;
pub use params::parse_time;
pub use remote_read::RemoteReadOptions;
pub use router::{gated, router};
pub use state::{ApiOptions, ApiParts, ApiState};
pub use status::{
    ActiveTarget, Alert, AlertState, AlertingRule, AlertmanagerStatus, Block, BuildInfo, ConfigStatus, Count,
    DroppedTarget, HeadStats, Lifecycle, ProcessStatus, RecordingRule, Rule, RuleGroup, RuleHealth,
    RuleStatus, RuntimeInfo, ScrapePool, StoreAdmin, StoreStats, StoreStatus, TargetHealth, TargetMetadata,
    TargetStatus, Targets, WalReplay,
};

#[cfg(test)]
mod tests;
