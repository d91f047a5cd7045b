//! Route tree, grouping, inhibition, silences, notification log; API v2.
//!
//! Knows no raft: what must be the same on every node is a [`Command`] that goes through a [`Journal`] and
//! is applied to a [`State`]; the leader alone routes, groups and sends.

mod alert;
mod api;
#[cfg(test)]
mod api_tests;
mod apply;
mod command;
pub mod config;
mod dedup;
mod deliver;
mod dispatch;
mod grid;
mod groups;
mod ingest;
mod inhibit;
mod journal;
pub mod matcher;
mod merge;
mod metrics;
mod mutes;
mod node;
mod notify;
mod options;
mod overlay;
mod route;
mod settings;
mod shared;
mod silence;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod sim_tests;
mod state;
mod time;

pub use alert::{Alert, Fingerprint};
pub use api::STANDS_IN_FOR;
pub use command::{
    Anchor, Applied, Command, Content, LeaderId, MergedEntry, MergedSilence, NotifyKey, Overlay, Reason,
    Rejection, Reply,
};
pub use journal::{Journal, JournalError, Leading, Lease, LocalJournal, LocalLease, Peer};
pub use node::{Alertmanager, Parts};
pub use notify::{
    FailureReason, Notification, Notifier, NotifyAlert, NotifyError, NotifyOutcome, Sent, notification_id,
};
pub use options::Options;
pub use route::{GroupBy, Route, RouteSpec, RouteTree, matchers_key, quoted, written_matcher};
pub use settings::{InhibitRule, IntervalCheck, Receiver, Settings, TimeMute};
pub use shared::SharedState;
pub use silence::{Silence, SilenceMatcher, SilenceState};
pub use state::{Inflight, LogEntry, State};
pub use time::format_time;
