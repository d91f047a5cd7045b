//! What the replicated log carries, and what applying it answers.
//!
//! The encoding is postcard behind one version byte. Variants and fields are only ever appended, and a
//! node that meets a version or a variant that it does not know answers [`Rejection::Malformed`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Fingerprint};
use crate::silence::Silence;

const VERSION: u8 = 1;

/// Who led when something was decided: ordered, and unique in a cluster's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaderId {
    /// The election's term.
    pub term: u64,
    /// The node that won it.
    pub node: u64,
}

/// Where in the log a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entry's index.
    pub index: u64,
    /// The leader that wrote it.
    pub leader: LeaderId,
}

/// What a notification log entry is about: one group at one integration of one receiver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NotifyKey {
    /// The group, as Alertmanager writes it.
    pub group_key: Arc<str>,
    /// The receiver's name.
    pub receiver: Arc<str>,
    /// The integration's name.
    pub integration: Arc<str>,
    /// Its position in its own list.
    pub index: u32,
}

/// Why a notification is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Nobody was told of this group yet.
    First,
    /// Alerts fire that were not told.
    NewAlerts,
    /// Nothing fires any more.
    AllResolved,
    /// Some are over.
    SomeResolved,
    /// Time to say it again.
    Repeat,
}

impl Reason {
    /// As Alertmanager spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first notification",
            Self::NewAlerts => "new alerts added to the group",
            Self::AllResolved => "all alerts resolved",
            Self::SomeResolved => "some alerts resolved",
            Self::Repeat => "repeat interval elapsed",
        }
    }
}

/// What one notification says: hashes of alerts, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Alerts that fire.
    pub firing: Vec<u64>,
    /// Alerts that are over.
    pub resolved: Vec<u64>,
}

/// A group's place on its grid, in grid milliseconds (see `grid.rs`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The group, as Alertmanager writes it.
    pub group_key: Arc<str>,
    /// Its first flush: later ones are whole intervals after it.
    pub first_flush: i64,
    /// Its group interval in milliseconds.
    pub interval: i64,
}

/// A silence as an overlay changed it, and the version that it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedSilence {
    /// The silence.
    pub silence: Silence,
    /// Version at the fork; none for a new one.
    pub base: Option<u64>,
}

/// A notification log entry as an overlay left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedEntry {
    /// What it is about.
    pub key: NotifyKey,
    /// Its sequence at the fork; 0 for a new one.
    pub base: u64,
    /// The entry.
    pub entry: crate::state::LogEntry,
}

/// What an isolated node did, in parts of bounded size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// The node.
    pub node: u64,
    /// Grows with each overlay of a node.
    pub epoch: u64,
    /// Position of this part, from 1.
    pub part: u32,
    /// Alerts it received.
    pub alerts: Vec<Alert>,
    /// Silences it changed.
    pub silences: Vec<MergedSilence>,
    /// Notifications it sent.
    pub entries: Vec<MergedEntry>,
    /// Groups it made.
    pub anchors: Vec<Anchor>,
}

/// A change of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Alerts that are new or changed.
    AlertUpsert(Vec<Alert>),
    /// Later ends of alerts that are otherwise unchanged: (distance from the previous dense id, end less
    /// `at_ms`), in order of dense id.
    TouchBatch {
        /// When the refreshes arrived.
        at_ms: i64,
        /// The refreshes.
        ends: Vec<(u64, i64)>,
    },
    /// Creates a silence, changes it in place, or ends it and begins another.
    SilenceSet {
        /// The silence; without an id it is a new one.
        silence: Silence,
        /// The id that a new one gets.
        new_id: String,
        /// The proposer's time.
        now_ms: i64,
    },
    /// Ends a silence.
    SilenceExpire {
        /// Which.
        id: String,
        /// The proposer's time.
        now_ms: i64,
    },
    /// Forgets what nobody needs: named alerts if unchanged since, ended silences, old log entries.
    Gc {
        /// The leader's time.
        now_ms: i64,
        /// How long ended silences stay, in milliseconds.
        retention_ms: i64,
        /// (alert, its `updated_at` when the leader looked).
        alerts: Vec<(Fingerprint, i64)>,
    },
    /// Announces a notification: only its leader may then send it.
    Intent {
        /// Who announces.
        leader: LeaderId,
        /// About what.
        key: NotifyKey,
        /// Which notification of that key, from 1.
        seq: u64,
        /// Why.
        reason: Reason,
        /// What it says.
        content: Content,
        /// Until when it is sent, for display; no rule compares it.
        valid_until: i64,
    },
    /// The announced notification takes longer.
    Renew {
        /// Who announced.
        leader: LeaderId,
        /// About what.
        key: NotifyKey,
        /// Which.
        seq: u64,
        /// Until when, for display.
        valid_until: i64,
    },
    /// The receiver accepted an announced notification.
    Done {
        /// About what.
        key: NotifyKey,
        /// Which.
        seq: u64,
        /// When, in the sender's time.
        at_ms: i64,
        /// When the entry may be forgotten.
        expires_at: i64,
        /// What the integration wants to remember.
        receiver_data: Vec<(String, String)>,
    },
    /// Nothing had to be sent, but it counts as told.
    Record {
        /// Who decided.
        leader: LeaderId,
        /// About what.
        key: NotifyKey,
        /// Which.
        seq: u64,
        /// What counts as told.
        content: Content,
        /// When, in the leader's time.
        at_ms: i64,
        /// When the entry may be forgotten.
        expires_at: i64,
    },
    /// An announced notification is given up.
    Failed {
        /// Who gives it up.
        leader: LeaderId,
        /// About what.
        key: NotifyKey,
        /// Which.
        seq: u64,
        /// The receiver may have got it all the same.
        unknown: bool,
        /// When the entry may be forgotten.
        expires_at: i64,
    },
    /// Groups were made or moved on their grid.
    GroupAnchor(Vec<Anchor>),
    /// Groups are gone.
    GroupDrop(Vec<Arc<str>>),
    /// The leader's grid time: how far ticks have run.
    Beacon {
        /// Grid milliseconds.
        grid_ms: i64,
    },
    /// Takes in what a node did while it was cut off.
    MergeOverlay(Box<Overlay>),
    /// Several at once, in order.
    Batch(Vec<Command>),
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rejection {
    /// The entry was written by another leader than the one that claims it.
    NotLeader,
    /// Another notification of that key came between: this is the last sequence used.
    Sequence(u64),
    /// That key has an announced notification of a leader that is not older.
    InFlight,
    /// That notification is not announced (any more).
    NoIntent,
    /// That part of an overlay was merged before.
    Merged,
    /// No such silence.
    NotFound,
    /// The bytes are no command.
    Malformed,
}

/// What applying a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is applied.
    Done,
    /// It is a no-op.
    Rejected(Rejection),
    /// The id under which a silence now stands.
    Silence(String),
    /// One answer for each command of a batch.
    Batch(Vec<Reply>),
}

impl Command {
    /// The command as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The command that `bytes` hold; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }
}

impl Reply {
    /// The answer as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The answer that `bytes` hold; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION])
        .expect("a vector takes every byte, and our types have no unsized parts")
}

pub(crate) fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    let (&version, rest) = bytes.split_first()?;
    if version != VERSION {
        return None;
    }
    match postcard::take_from_bytes(rest) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_survive_their_encoding_and_garbage_is_refused() {
        let command = Command::Batch(vec![
            Command::Beacon { grid_ms: 7 },
            Command::TouchBatch { at_ms: 1, ends: vec![(1, 2), (3, -4)] },
        ]);
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes), Some(command));
        for at in 0..bytes.len() {
            assert_eq!(Command::decode(&bytes[..at]), None, "cut at {at}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Command::decode(&longer), None);
        assert_eq!(Command::decode(&[9, 9, 9]), None);
    }
}
