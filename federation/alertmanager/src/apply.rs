//! The rules of the state machine.
//!
//! No rule compares clocks: who may announce or give up a notification follows from leader ids and
//! sequences. Times inside commands are data, so every node computes the same.

use std::sync::Arc;

use crate::alert::{Alert, Fingerprint};
use crate::command::{Anchor, Applied, Command, Content, LeaderId, NotifyKey, Rejection, Reply};
use crate::silence::Silence;
use crate::state::{Inflight, LogEntry, Place, State, Stored};

impl State {
    /// Applies one command. Never fails: what makes no sense is answered with a rejection and changes
    /// nothing.
    pub fn apply(&mut self, at: Applied, command: Command) -> Reply {
        self.index = self.index.max(at.index);
        self.run(at, command)
    }

    fn run(&mut self, at: Applied, command: Command) -> Reply {
        let answer = match command {
            Command::Batch(commands) => {
                return Reply::Batch(commands.into_iter().map(|command| self.run(at, command)).collect());
            }
            Command::SilenceSet { silence, new_id, now_ms } => {
                return self.set_silence(at, silence, new_id, now_ms);
            }
            Command::AlertUpsert(alerts) => {
                alerts.into_iter().for_each(|alert| self.upsert(alert));
                Ok(())
            }
            Command::TouchBatch { at_ms, ends } => {
                self.touch(at_ms, &ends);
                Ok(())
            }
            Command::SilenceExpire { id, now_ms } => self.expire_silence(at, &id, now_ms),
            Command::Gc { now_ms, retention_ms, alerts } => {
                self.collect_garbage(now_ms, retention_ms, &alerts);
                Ok(())
            }
            Command::Intent { leader, key, seq, reason, content, valid_until } => {
                let intent = Inflight { seq, leader, valid_until, reason, content };
                self.announce(at, key, intent)
            }
            Command::Renew { leader, key, seq, valid_until } => self.renew(leader, &key, seq, valid_until),
            Command::Done { key, seq, at_ms, expires_at, receiver_data } => {
                self.done(key, seq, at_ms, expires_at, receiver_data)
            }
            Command::Record { leader, key, seq, content, at_ms, expires_at } => {
                self.record(at, leader, key, seq, content, at_ms, expires_at)
            }
            Command::Failed { leader, key, seq, unknown, expires_at } => {
                self.give_up(leader, key, seq, unknown, expires_at)
            }
            Command::GroupAnchor(anchors) => {
                anchors.into_iter().for_each(|anchor| self.place(anchor));
                Ok(())
            }
            Command::GroupDrop(keys) => {
                for key in keys {
                    self.places.remove(&key);
                }
                Ok(())
            }
            Command::Beacon { grid_ms } => {
                self.beacon = Some(grid_ms);
                Ok(())
            }
            Command::MergeOverlay(overlay) => self.merge_overlay(at, *overlay),
        };
        match answer {
            Ok(()) => Reply::Done,
            Err(rejection) => Reply::Rejected(rejection),
        }
    }

    pub(crate) fn upsert(&mut self, alert: Alert) {
        let fingerprint = alert.fingerprint();
        self.changes.alerts.insert(fingerprint);
        if let Some(stored) = self.alerts.get_mut(&fingerprint) {
            stored.alert = Arc::new(stored.alert.followed_by(&alert));
            return;
        }
        let dense = self.next_dense;
        self.next_dense += 1;
        self.dense.insert(dense, fingerprint);
        self.alerts.insert(fingerprint, Stored { alert: Arc::new(alert), dense });
    }

    fn touch(&mut self, at_ms: i64, ends: &[(u64, i64)]) {
        let mut dense = 0_u64;
        for &(step, after) in ends {
            dense = dense.saturating_add(step);
            let Some(fingerprint) = self.dense.get(&dense) else { continue };
            let Some(stored) = self.alerts.get_mut(fingerprint) else { continue };
            let ends_at = at_ms.saturating_add(after);
            // A change that was committed in between (an end, above all) is not undone.
            let ended = stored.alert.resolved_explicitly();
            if ended || stored.alert.updated_at > at_ms || stored.alert.ends_at >= ends_at {
                continue;
            }
            let alert = Arc::make_mut(&mut stored.alert);
            alert.ends_at = ends_at;
            alert.updated_at = at_ms;
            self.changes.alerts.insert(*fingerprint);
        }
    }

    fn set_silence(&mut self, at: Applied, mut silence: Silence, new_id: String, now_ms: i64) -> Reply {
        silence.updated_at = now_ms;
        silence.version = at.index;
        if !silence.id.is_empty() {
            let Some(old) = self.silences.get(&silence.id) else {
                return Reply::Rejected(Rejection::NotFound);
            };
            if old.can_become(&silence, now_ms) {
                let id = silence.id.clone();
                self.put_silence(silence);
                return Reply::Silence(id);
            }
            let mut old = Silence::clone(old);
            old.expire(now_ms);
            old.version = at.index;
            self.put_silence(old);
        }
        silence.id.clone_from(&new_id);
        silence.starts_at = silence.starts_at.max(now_ms);
        self.put_silence(silence);
        Reply::Silence(new_id)
    }

    fn expire_silence(&mut self, at: Applied, id: &str, now_ms: i64) -> Result<(), Rejection> {
        let mut silence = Silence::clone(self.silences.get(id).ok_or(Rejection::NotFound)?);
        silence.expire(now_ms);
        silence.version = at.index;
        self.put_silence(silence);
        Ok(())
    }

    pub(crate) fn put_silence(&mut self, silence: Silence) {
        self.changes.silences.insert(silence.id.clone());
        self.silences.insert(silence.id.clone(), Arc::new(silence));
    }

    fn collect_garbage(&mut self, now_ms: i64, retention_ms: i64, alerts: &[(Fingerprint, i64)]) {
        for (fingerprint, updated_at) in alerts {
            if self.alert(*fingerprint).is_some_and(|alert| alert.updated_at == *updated_at)
                && let Some(stored) = self.alerts.remove(fingerprint)
            {
                self.dense.remove(&stored.dense);
                self.changes.alerts.insert(*fingerprint);
            }
        }
        let changed = &mut self.changes.silences;
        self.silences.retain(|id, silence| {
            let keep = silence.ends_at.saturating_add(retention_ms) >= now_ms;
            if !keep {
                changed.insert(id.clone());
            }
            keep
        });
        let inflight = &self.inflight;
        self.entries.retain(|key, entry| entry.expires_at > now_ms || inflight.contains_key(key));
    }

    /// Accepts an announcement of the leader that wrote the entry, unless that key is past this
    /// sequence or a leader that is newer has announced. Repeating one's own is harmless: a proposer
    /// whose answer was lost asks again.
    fn announce(&mut self, at: Applied, key: NotifyKey, intent: Inflight) -> Result<(), Rejection> {
        if at.leader != intent.leader {
            return Err(Rejection::NotLeader);
        }
        let last = self.entries.get(&key).map_or(0, |entry| entry.seq);
        if last + 1 != intent.seq {
            return Err(Rejection::Sequence(last));
        }
        if let Some(old) = self.inflight.get(&key) {
            let own_again = old.leader == intent.leader && old.seq == intent.seq;
            if old.leader >= intent.leader && !own_again {
                return Err(Rejection::InFlight);
            }
        }
        self.changes.entries.insert(key.clone());
        self.inflight.insert(key, intent);
        Ok(())
    }

    fn renew(
        &mut self,
        leader: LeaderId,
        key: &NotifyKey,
        seq: u64,
        valid_until: i64,
    ) -> Result<(), Rejection> {
        let inflight = self.inflight.get_mut(key).filter(|it| it.seq == seq && it.leader == leader);
        inflight.ok_or(Rejection::NoIntent)?.valid_until = valid_until;
        Ok(())
    }

    /// A true report of an accepted notification is welcome from any leader.
    fn done(
        &mut self,
        key: NotifyKey,
        seq: u64,
        at_ms: i64,
        expires_at: i64,
        receiver_data: Vec<(String, String)>,
    ) -> Result<(), Rejection> {
        let intent = take_inflight(self, &key, |intent| intent.seq == seq)?;
        self.changes.entries.insert(key.clone());
        let entry = self.entries.entry(key).or_default();
        *entry = LogEntry {
            seq: entry.seq.max(seq),
            told_at: Some(at_ms),
            content: intent.content,
            maybe_firing: Vec::new(),
            maybe_resolved: Vec::new(),
            receiver_data,
            expires_at,
        };
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one command")]
    fn record(
        &mut self,
        at: Applied,
        leader: LeaderId,
        key: NotifyKey,
        seq: u64,
        content: Content,
        at_ms: i64,
        expires_at: i64,
    ) -> Result<(), Rejection> {
        if at.leader != leader {
            return Err(Rejection::NotLeader);
        }
        if self.inflight.contains_key(&key) {
            return Err(Rejection::InFlight);
        }
        let entry = self.entries.get(&key);
        let last = entry.map_or(0, |entry| entry.seq);
        if last + 1 != seq {
            return Err(Rejection::Sequence(last));
        }
        let receiver_data = entry.map(|entry| entry.receiver_data.clone()).unwrap_or_default();
        let told = LogEntry {
            seq,
            told_at: Some(at_ms),
            content,
            maybe_firing: Vec::new(),
            maybe_resolved: Vec::new(),
            receiver_data,
            expires_at,
        };
        self.changes.entries.insert(key.clone());
        self.entries.insert(key, told);
        Ok(())
    }

    /// The sequence is used up: what comes next must not look like what may have been received.
    fn give_up(
        &mut self,
        leader: LeaderId,
        key: NotifyKey,
        seq: u64,
        unknown: bool,
        expires_at: i64,
    ) -> Result<(), Rejection> {
        let intent = take_inflight(self, &key, |intent| intent.seq == seq && intent.leader <= leader)?;
        self.changes.entries.insert(key.clone());
        let entry = self.entries.entry(key).or_default();
        entry.seq = entry.seq.max(seq);
        entry.expires_at = entry.expires_at.max(expires_at);
        if unknown {
            entry.perhaps_told(&intent.content);
        }
        Ok(())
    }

    pub(crate) fn place(&mut self, anchor: Anchor) {
        let place = Place { first_flush: anchor.first_flush, interval: anchor.interval };
        self.changes.places.insert(Arc::clone(&anchor.group_key));
        self.places.insert(anchor.group_key, place);
    }
}

fn take_inflight(
    state: &mut State,
    key: &NotifyKey,
    accept: impl Fn(&Inflight) -> bool,
) -> Result<Inflight, Rejection> {
    match state.inflight.get(key) {
        Some(intent) if accept(intent) => state.inflight.remove(key).ok_or(Rejection::NoIntent),
        _ => Err(Rejection::NoIntent),
    }
}

/// Two sorted sets as one.
pub(crate) fn union(one: &[u64], other: &[u64]) -> Vec<u64> {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all.dedup();
    all
}
