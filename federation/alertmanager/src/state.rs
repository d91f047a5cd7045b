//! The replicated state: what every node holds alike, whatever its configuration.
//!
//! Deterministic and in memory; `apply.rs` changes it, one command at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Fingerprint};
use crate::apply::union;
use crate::command::{self, Anchor, Content, LeaderId, NotifyKey, Reason};
use crate::silence::Silence;

/// What was told to a receiver about a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The last sequence used, sent or not.
    pub seq: u64,
    /// When something was last accepted; none if nothing is known to have been.
    pub told_at: Option<i64>,
    /// What was told as firing and as over.
    pub content: Content,
    /// What may have been told as firing.
    pub maybe_firing: Vec<u64>,
    /// What may have been told as over.
    pub maybe_resolved: Vec<u64>,
    /// What the integration wants to remember.
    pub receiver_data: Vec<(String, String)>,
    /// When it may be forgotten.
    pub expires_at: i64,
}

impl LogEntry {
    /// Somebody may have been told this: what it says as firing must be taken back when it is over, and
    /// what it says as over must be told anew while it fires.
    pub(crate) fn perhaps_told(&mut self, content: &Content) {
        self.maybe_firing = union(&self.maybe_firing, &content.firing);
        self.maybe_resolved = union(&self.maybe_resolved, &content.resolved);
    }
}

/// An announced notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inflight {
    /// Which of its key.
    pub seq: u64,
    /// Who announced it.
    pub leader: LeaderId,
    /// Until when it is sent, for display.
    pub valid_until: i64,
    /// Why.
    pub reason: Reason,
    /// What it says.
    pub content: Content,
}

/// An alert and its short number for batches of refreshes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) alert: Arc<Alert>,
    pub(crate) dense: u64,
}

/// A group's place on its grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) first_flush: i64,
    pub(crate) interval: i64,
}

/// What changed since somebody last looked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Everything may have changed.
    pub(crate) all: bool,
    pub(crate) alerts: BTreeSet<Fingerprint>,
    pub(crate) silences: BTreeSet<String>,
    pub(crate) entries: BTreeSet<NotifyKey>,
    pub(crate) places: BTreeSet<Arc<str>>,
}

impl Changes {
    /// Adds what followers of the state act on.
    pub(crate) fn add_followed(&mut self, other: &Self) {
        self.all |= other.all;
        self.alerts.extend(&other.alerts);
        self.silences.extend(other.silences.iter().cloned());
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.add_followed(other);
        self.entries.extend(other.entries.iter().cloned());
        self.places.extend(other.places.iter().cloned());
    }
}

/// The replicated state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    pub(crate) alerts: BTreeMap<Fingerprint, Stored>,
    pub(crate) dense: BTreeMap<u64, Fingerprint>,
    pub(crate) next_dense: u64,
    pub(crate) silences: BTreeMap<String, Arc<Silence>>,
    pub(crate) entries: BTreeMap<NotifyKey, LogEntry>,
    pub(crate) inflight: BTreeMap<NotifyKey, Inflight>,
    pub(crate) places: BTreeMap<Arc<str>, Place>,
    /// Index of the last command applied.
    pub(crate) index: u64,
    /// Grid time of the last beacon.
    pub(crate) beacon: Option<i64>,
    /// Node → (epoch, part) of the overlay merged last.
    pub(crate) overlays: BTreeMap<u64, (u64, u32)>,
    #[serde(skip)]
    pub(crate) changes: Changes,
}

impl State {
    /// The whole state as bytes.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        command::encode(self)
    }

    /// The state that `bytes` hold; `None` for anything else.
    #[must_use]
    pub fn restore(bytes: &[u8]) -> Option<Self> {
        let mut state: Self = command::decode(bytes)?;
        state.changes.all = true;
        Some(state)
    }

    /// The alert of that identity.
    #[must_use]
    pub fn alert(&self, fingerprint: Fingerprint) -> Option<&Arc<Alert>> {
        self.alerts.get(&fingerprint).map(|stored| &stored.alert)
    }

    /// Every alert, in order of fingerprint; those that are over stay for a while.
    pub fn alerts(&self) -> impl ExactSizeIterator<Item = (Fingerprint, &Arc<Alert>)> {
        self.alerts.iter().map(|(fingerprint, stored)| (*fingerprint, &stored.alert))
    }

    /// Every silence, in order of id.
    pub fn silences(&self) -> impl ExactSizeIterator<Item = &Arc<Silence>> {
        self.silences.values()
    }

    /// The silence of that id.
    #[must_use]
    pub fn silence(&self, id: &str) -> Option<&Arc<Silence>> {
        self.silences.get(id)
    }

    /// What was told about `key`.
    #[must_use]
    pub fn entry(&self, key: &NotifyKey) -> Option<&LogEntry> {
        self.entries.get(key)
    }

    /// What is being told about `key`.
    #[must_use]
    pub fn inflight(&self, key: &NotifyKey) -> Option<&Inflight> {
        self.inflight.get(key)
    }

    /// Everything that is being told, in order of key.
    pub fn all_inflight(&self) -> impl ExactSizeIterator<Item = (&NotifyKey, &Inflight)> {
        self.inflight.iter()
    }

    /// Whether anybody was, is being or may have been told that something of this group fires.
    #[must_use]
    pub fn told_anything(&self, group_key: &Arc<str>) -> bool {
        let nobody: Arc<str> = Arc::from("");
        let from = NotifyKey {
            group_key: Arc::clone(group_key),
            receiver: Arc::clone(&nobody),
            integration: nobody,
            index: 0,
        };
        let told = |entry: &LogEntry| !entry.content.firing.is_empty() || !entry.maybe_firing.is_empty();
        let entries = self.entries.range(&from..).take_while(|(key, _)| key.group_key == *group_key);
        let mut inflight = self.inflight.range(&from..).take_while(|(key, _)| key.group_key == *group_key);
        entries.into_iter().any(|(_, entry)| told(entry)) || inflight.next().is_some()
    }

    /// Index of the last command applied.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many groups have a place on the grid.
    #[must_use]
    pub fn anchors(&self) -> usize {
        self.places.len()
    }

    /// The group's place on its grid as a command carries it.
    #[must_use]
    pub fn anchor(&self, group_key: &str) -> Option<Anchor> {
        self.places.get_key_value(group_key).map(|(key, place)| Anchor {
            group_key: Arc::clone(key),
            first_flush: place.first_flush,
            interval: place.interval,
        })
    }
}
