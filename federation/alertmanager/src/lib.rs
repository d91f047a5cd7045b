//! Route tree, grouping, inhibition, silences, notification log; API v2.
//!
//! Knows no raft: what must be the same on every node is a [`Command`] that goes through a journal and is
//! applied to a [`State`]; the leader alone routes, groups and sends.

mod alert;
mod apply;
mod command;
mod merge;
mod shared;
mod silence;
mod state;

pub use alert::{Alert, Fingerprint};
pub use command::{
    Anchor, Applied, Command, Content, LeaderId, MergedEntry, MergedSilence, NotifyKey, Overlay, Reason, Rejection,
    Reply,
};
pub use shared::SharedState;
pub use silence::{Silence, SilenceMatcher, SilenceState};
pub use state::{Inflight, LogEntry, State};
