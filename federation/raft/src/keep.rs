//! What a member does all the time: beat, watch who leads, hear the others, ask for its place, hand over.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{MissedTickBehavior, interval};

use crate::ask::Deadline;
use crate::codec::{self, JoinCall, JoinOutcome, ProbeAnswer, ProbeCall};
use crate::metrics::gauge_value;
use crate::net::Lane;
use crate::node::{Node, Running};
use crate::types::{Leadership, NodeId};
use crate::wire::{self, Call, Envelope};
use crate::{form, members};

const PING_EVERY: Duration = Duration::from_secs(1);
const PING_WAIT: Duration = Duration::from_secs(1);
const PLACE_EVERY: Duration = Duration::from_millis(300);
/// A member that has heard no leader for this long asks whether it is still a member.
const LOST: Duration = Duration::from_secs(10);

/// Starts the endless work of a node; it waits where the node belongs to no cluster yet.
pub(crate) fn start(node: &Arc<Node>) {
    let run = |work: Work| {
        let (node, stop) = (node.clone(), node.tasks.token());
        node.clone().tasks.spawn(async move {
            let work = async {
                match work {
                    Work::Watch => watch_leadership(&node).await,
                    Work::Beat => beat(&node).await,
                    Work::Ping => ping(&node).await,
                    Work::Place => keep_place(&node).await,
                    Work::HandOver => hand_over(&node).await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    };
    run(Work::Watch);
    run(Work::Beat);
    run(Work::Ping);
    run(Work::Place);
    if node.options.witness {
        run(Work::HandOver);
    }
}

enum Work {
    Watch,
    Beat,
    Ping,
    Place,
    HandOver,
}

async fn running(node: &Node) -> &Running {
    loop {
        if let Some(running) = node.running() {
            return running;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Publishes who leads, and whether the engine still runs.
async fn watch_leadership(node: &Arc<Node>) {
    let running = running(node).await;
    let mut metrics = running.engine.metrics();
    let mut applied = node.machine.applied();
    let mut members_at = None;
    loop {
        let now = metrics.borrow_watched().clone();
        if members_at != *now.membership_config.log_id() {
            members_at = *now.membership_config.log_id();
            let members = now.membership_config.membership();
            node.net.addresses.set(members.nodes().map(|(id, member)| (*id, member.address.clone())));
        }
        if let Err(fatal) = &now.running_state {
            node.fail(fatal.to_string());
            return;
        }
        let to = *applied.borrow_and_update();
        publish(node, node.leadership_now(&now, to));
        let all = &node.net.metrics;
        all.term.set(gauge_value(now.current_term));
        all.applied.set(gauge_value(to.index));
        all.committed.set(gauge_value(now.local_committed.map_or(0, |id| id.index)));
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() {
                node.fail("the engine is gone".to_owned());
                return;
            },
            changed = applied.changed() => if changed.is_err() { return },
        }
    }
}

fn publish(node: &Node, mut now: Leadership) {
    let metrics = &node.net.metrics;
    metrics.leader.set(i64::from(now.is_me));
    metrics.has_leader.set(i64::from(now.leader.is_some()));
    node.leadership.send_if_modified(|before| {
        now.since = before.since;
        if *before == now {
            return false;
        }
        if before.leader_id != now.leader_id && now.leader.is_some() {
            metrics.leader_changes.inc();
            let leader = now.leader.as_ref().map(|leader| leader.name.as_str());
            tracing::info!(leader, term = now.leader_id.term, "the leader changed");
        }
        now.since = node.clock.monotonic();
        *before = now.clone();
        true
    });
}

/// Heartbeats more often than the engine sends them, and a snapshot when enough bytes came together.
async fn beat(node: &Arc<Node>) {
    let running = running(node).await;
    let mut tick = interval(node.options.heartbeat);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if running.engine.is_leader() && running.engine.trigger().heartbeat().await.is_err() {
            return;
        }
        if node.machine.bytes_since_snapshot() >= node.options.snapshot_bytes
            && running.engine.trigger().snapshot().await.is_err()
        {
            return;
        }
    }
}

/// Hears every member, so that a follower too knows who is there.
async fn ping(node: &Arc<Node>) {
    let running = running(node).await;
    let mut tick = interval(PING_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let metrics = running.metrics();
        let membership = metrics.membership_config.membership();
        let others: Vec<(NodeId, String)> = membership
            .nodes()
            .filter(|(id, _)| **id != running.id)
            .map(|(id, member)| (*id, member.address.clone()))
            .collect();
        join_all(others.iter().map(|(id, address)| ping_one(node, running, *id, address))).await;
        node.net.contacts.keep(|id| membership.get_node(&id).is_some());
        let silent = others.iter().filter(|(id, _)| !node.reachable(*id)).count();
        node.net.metrics.members.set(gauge_value(membership.nodes().count() as u64));
        node.net.metrics.unreachable.set(gauge_value(silent as u64));
    }
}

async fn ping_one(node: &Node, running: &Running, id: NodeId, address: &str) {
    let call = ProbeCall { label: node.options.cluster_label.clone() };
    let envelope =
        Envelope { cluster: Some(running.cluster), from: running.id, to: id, body: codec::encode(&call) };
    let Ok(channel) = node.net.pool.channel(address, Lane::Control) else { return };
    let Ok(body) = wire::call(channel, Call::Probe, envelope, PING_WAIT).await else { return };
    // Another node under the old address is not the old node.
    let same = codec::decode::<ProbeAnswer>(&body)
        .is_ok_and(|answer| answer.id == id && codec::cluster_id(&answer.cluster) == Some(running.cluster));
    if same {
        node.net.contacts.heard(id, node.clock.monotonic());
    }
}

/// Asks the leader for a vote, or to know a new address, for as long as either is missing.
async fn keep_place(node: &Arc<Node>) {
    let running = running(node).await;
    let mut said = String::new();
    loop {
        tokio::time::sleep(PLACE_EVERY).await;
        if has_place(node, running) {
            continue;
        }
        match ask_for_place(node, running).await {
            Some(JoinOutcome::Removed(_)) => {
                tracing::error!(
                    node = running.id,
                    "this node was removed from its cluster; empty its raft folder to let it join under a new id"
                );
                return;
            }
            Some(JoinOutcome::Learner(why) | JoinOutcome::Refused(why)) if why != said => {
                tracing::info!(%why, "this node does not vote yet");
                said = why;
            }
            _ => {}
        }
    }
}

fn has_place(node: &Node, running: &Running) -> bool {
    let metrics = running.metrics();
    let membership = metrics.membership_config.membership();
    if !membership.voter_ids().any(|id| id == running.id)
        || membership.get_node(&running.id) != Some(&node.member())
    {
        return false;
    }
    let now = node.clock.monotonic();
    node.last_quorum_contact().is_some_and(|at| now.saturating_sub(at) < LOST)
}

async fn ask_for_place(node: &Node, running: &Running) -> Option<JoinOutcome> {
    let call = JoinCall {
        label: node.options.cluster_label.clone(),
        member: codec::from_member(running.id, &node.member()),
    };
    let metrics = running.metrics();
    let members = metrics.membership_config.membership();
    let mut addresses: Vec<String> =
        members::leader(running).into_iter().map(|(_, member)| member.address).collect();
    addresses.extend(node.options.peers.iter().map(|peer| peer.address.clone()));
    addresses.extend(node.invited.lock().iter().cloned());
    addresses.extend(
        members.nodes().filter(|(id, _)| **id != running.id).map(|(_, member)| member.address.clone()),
    );
    let mut found = None;
    let mut at = 0;
    // Redirects are appended once; the list stays as short as the cluster.
    while at < addresses.len() && at < 16 {
        let answer = form::ask_to(node, Call::Admit, &call, Some(running.cluster), &addresses[at]).await;
        match answer.ok().and_then(|answer| answer.outcome) {
            Some(JoinOutcome::Redirect(to)) if !addresses.contains(&to) => addresses.insert(at + 1, to),
            Some(JoinOutcome::Redirect(_)) | None => {}
            Some(JoinOutcome::Refused(why)) => found = Some(JoinOutcome::Refused(why)),
            Some(outcome) => return Some(outcome),
        }
        at += 1;
    }
    found
}

/// A witness that leads gives leadership to the replica with the longest log, once that has it all.
async fn hand_over(node: &Arc<Node>) {
    let running = running(node).await;
    let mut changes = node.leadership.subscribe();
    loop {
        if changes.borrow_and_update().is_me {
            let metrics = running.metrics();
            let members = metrics.membership_config.membership();
            let replica = members::candidates(node, &metrics)
                .into_iter()
                .find(|(id, _)| members.get_node(id).is_some_and(|member| !member.witness));
            if let Some((target, _)) = replica {
                let deadline = Deadline::after(node.options.election_max * 4);
                tracing::info!(target, "this node is a witness: handing leadership over");
                members::transfer(node, running, target, deadline).await;
            }
        }
        let _ = tokio::time::timeout(node.options.heartbeat, changes.changed()).await;
    }
}
