//! openraft's types, with ours filled in: every other file takes them from here.

use std::fmt;

use openraft::alias;
use serde::{Deserialize, Serialize};

openraft::declare_raft_types!(
    /// The types that openraft is built from.
    pub(crate) TypeConfig:
        D = Proposal,
        R = Reply,
        Node = Member,
);

pub(crate) type EngineLeaderId = alias::LeaderIdOf<TypeConfig>;
pub(crate) type LogId = alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = alias::VoteOf<TypeConfig>;
pub(crate) type Entry = alias::EntryOf<TypeConfig>;
pub(crate) type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Metrics = openraft::RaftMetrics<TypeConfig>;
pub(crate) type Engine = openraft::Raft<TypeConfig, crate::machine::Machine>;

/// What goes into the log. The derives are openraft's bounds: our formats are in `codec`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Proposal {
    /// The state machine's bytes.
    Command(Vec<u8>),
    /// Changes nothing but takes an index, which becomes a new node's id.
    Allocate,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(bytes) => write!(f, "command of {} bytes", bytes.len()),
            Self::Allocate => f.write_str("allocate"),
        }
    }
}

/// What applying a command answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply(pub(crate) Vec<u8>);

/// A member, as the replicated membership keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) witness: bool,
}
