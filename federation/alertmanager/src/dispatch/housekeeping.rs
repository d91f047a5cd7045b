//! What a dispatcher does beside telling: beacons, anchors, garbage, what earlier leaders left, reloads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{BEAT, Dispatcher, Event, GC_ALERTS};
use crate::command::{Anchor, Command, NotifyKey};
use crate::grid::{millis, next_tick};

impl Dispatcher {
    pub(super) fn beat(&mut self) {
        let now = self.parts.delivery.clock.monotonic();
        self.next_beat = now + BEAT;
        if !self.beacon_under_way && self.table.len() > 0 {
            self.beacon_under_way = true;
            let command = Command::Beacon { grid_ms: self.grid.at(now) };
            let (delivery, events) = (Arc::clone(&self.parts.delivery), self.events.clone());
            self.parts.tasks.spawn(async move {
                let _ = delivery.proposer.propose(command).await;
                let _ = events.send(Event::BeaconSet).await;
            });
        }
        if !self.swept && self.waited_out() {
            self.swept = true;
            self.sweep();
        }
        if now >= self.next_gc {
            self.next_gc = now + self.parts.options.gc_every;
            self.collect_garbage();
        }
    }

    /// Gives up what earlier leaders announced and no group here will look at.
    fn sweep(&mut self) {
        let (table, settings, me) = (&self.table, &self.settings, self.me());
        let mine = |key: &NotifyKey| {
            table.of_key(&key.group_key).iter().filter_map(|id| table.get(*id)).any(|group| {
                let receiver =
                    settings.routes.get(group.route).and_then(|route| settings.receiver(&route.receiver));
                receiver.is_some_and(|receiver| {
                    receiver.name == key.receiver
                        && receiver
                            .integrations
                            .iter()
                            .any(|it| it.integration() == &*key.integration && it.index() == key.index)
                })
            })
        };
        let lost: Vec<_> = self.parts.state.read(|state| {
            let foreign = state.all_inflight().filter(|(key, intent)| intent.leader != me && !mine(key));
            foreign.map(|(key, intent)| (key.clone(), intent.seq)).collect()
        });
        let expires_at = self.parts.delivery.clock.now_ms() + millis(self.parts.options.retention);
        for (key, seq) in lost {
            self.propose(Command::Failed { leader: me, key, seq, unknown: true, expires_at });
        }
    }

    fn collect_garbage(&mut self) {
        let now_ms = self.parts.delivery.clock.now_ms();
        let retention_ms = millis(self.parts.options.retention);
        let keep_ms = millis(self.parts.options.keep_resolved);
        let table = &self.table;
        let (alerts, others) = self.parts.state.read(|state| {
            let old = state.alerts().filter(|(fingerprint, alert)| {
                alert.resolved_at(now_ms.saturating_sub(keep_ms)) && !table.holds(*fingerprint)
            });
            let alerts: Vec<_> = old.map(|(it, alert)| (it, alert.updated_at)).take(GC_ALERTS).collect();
            let others = state.silences().any(|it| it.ends_at.saturating_add(retention_ms) < now_ms)
                || state.entries.values().any(|it| it.expires_at <= now_ms);
            (alerts, others)
        });
        if !alerts.is_empty() || others {
            self.propose(Command::Gc { now_ms, retention_ms, alerts });
        }
    }

    /// Proposes what may fail: it is seen again at the next occasion.
    fn propose(&self, command: Command) {
        let delivery = Arc::clone(&self.parts.delivery);
        self.parts.tasks.spawn(async move {
            if let Err(error) = delivery.proposer.propose(command).await {
                tracing::debug!(%error, "housekeeping was not committed");
            }
        });
    }

    pub(super) fn commit_anchors(&mut self) {
        if self.anchoring || (self.anchors.is_empty() && self.drops.is_empty()) {
            return;
        }
        self.anchoring = true;
        let anchors = std::mem::take(&mut self.anchors);
        let drops = std::mem::take(&mut self.drops);
        let (delivery, events) = (Arc::clone(&self.parts.delivery), self.events.clone());
        self.parts.tasks.spawn(async move {
            let drop = Command::GroupDrop(drops.clone());
            let set = Command::GroupAnchor(anchors.clone());
            let mut done = drops.is_empty() || delivery.proposer.propose(drop).await.is_ok();
            done &= anchors.is_empty() || delivery.proposer.propose(set).await.is_ok();
            if !done {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let _ = events.send(Event::Anchored { anchors, drops, done }).await;
        });
    }

    /// Groups stay where they are on their grid; one past its first flush waits a whole interval from
    /// now, but never more than two since its last tick, so that reloads cannot starve it.
    pub(super) fn reload(&mut self) {
        let now = self.grid_now();
        self.settings = Arc::clone(&self.parts.settings.borrow_and_update());
        let old = std::mem::take(&mut self.table);
        let places: HashMap<_, _> =
            old.iter().map(|group| (Arc::clone(&group.key), (group.first_flush, group.interval))).collect();
        self.places.clear();
        let state = self.parts.state.clone();
        self.grid.ran_until = now;
        state.read(|state| {
            for (fingerprint, alert) in state.alerts() {
                self.add(state, fingerprint, alert);
            }
        });
        let ids: Vec<_> = places
            .keys()
            .flat_map(|key| {
                self.table.of_key(key).iter().map(|id| (Arc::clone(key), *id)).collect::<Vec<_>>()
            })
            .collect();
        for (key, id) in ids {
            let Some(&(first_flush, old_interval)) = places.get(&key) else { continue };
            let settings = Arc::clone(&self.settings);
            let Some(group) = self.table.get_mut(id) else { continue };
            let Some(route) = settings.routes.get(group.route) else { continue };
            let interval = millis(route.group_interval);
            group.interval = interval;
            group.first_flush = first_flush;
            if first_flush <= now {
                let last = next_tick(first_flush, old_interval, now) - old_interval;
                group.first_flush = (now + interval).min(last + 2 * interval);
            }
            group.due = group.first_flush.max(now);
            let anchor = Anchor { group_key: key, first_flush: group.first_flush, interval };
            self.anchors.push(anchor);
            self.table.queue(id);
        }
        self.drop_lost_anchors();
    }
}
