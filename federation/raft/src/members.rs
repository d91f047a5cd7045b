//! Who belongs to the cluster: decided at the leader, one change at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::errors::RaftError as EngineError;

use crate::ask::{self, Deadline};
use crate::codec::{
    self, DoneRecord, JoinAnswer, JoinCall, JoinOutcome, LeaderOutcome, MemberCall, MemberRecord,
};
use crate::engine::{Member, Metrics, Proposal};
use crate::node::{Node, Running};
use crate::types::{LeaderId, NodeId};

/// How long a change may take before its outcome counts as unknown.
const CHANGE_WAIT: Duration = Duration::from_secs(10);
/// A node that lacks no more than this many entries may vote.
const NEAR: u64 = 64;

type Change = ChangeMembers<NodeId, Member>;

/// The leader and how to reach it, as this node knows it.
pub(crate) fn leader(running: &Running) -> Option<(NodeId, Member)> {
    let metrics = running.metrics();
    let id = metrics.current_leader?;
    Some((id, metrics.membership_config.membership().get_node(&id)?.clone()))
}

/// Gives an empty node an id that nobody ever had: the index of an entry.
pub(crate) async fn join(node: &Arc<Node>, call: JoinCall) -> JoinAnswer {
    let Some(running) = node.running() else { return refused("this node is empty itself") };
    if call.label != node.options.cluster_label {
        return refused(&format!("the cluster label here is {:?}", node.options.cluster_label));
    }
    if call.member.name.is_empty() || call.member.name.len() > 255 || call.member.address.is_empty() {
        return refused("a member needs a name of 1 to 255 bytes and an address");
    }
    if let Some(answer) = redirect(running) {
        return answer;
    }
    let _changing = node.changing.lock().await;
    if let Some((id, member)) = living_namesake(node, running, &call.member) {
        return refused(&format!(
            "the name {} belongs to node {id} at {}, which answers",
            member.name, member.address
        ));
    }
    match ask::write_here(running, Proposal::Allocate, CHANGE_WAIT).await {
        LeaderOutcome::Done(done) => JoinAnswer {
            outcome: Some(JoinOutcome::Allocated(done.index)),
            cluster: running.cluster.to_be_bytes().to_vec(),
        },
        other => refused(&format!("no id could be given: {}", describe(&other))),
    }
}

/// Takes a node that has an id into the cluster: as a learner first, as a voter once it has caught up and
/// the older nodes of its name have been silent for long enough; they go in the same change.
pub(crate) async fn admit(node: &Arc<Node>, running: &Running, record: MemberRecord) -> JoinAnswer {
    if let Some(answer) = redirect(running) {
        return answer;
    }
    let _changing = node.changing.lock().await;
    let (id, wanted) = (record.id, codec::to_member(&record));
    let metrics = running.metrics();
    let membership = metrics.membership_config.membership();
    match membership.get_node(&id) {
        None if !node.machine.is_pending(id) => return outcome(JoinOutcome::Removed(true)),
        None => return settle(change(running, Change::AddNodes([(id, wanted)].into())).await, "added"),
        Some(known) if *known != wanted => {
            return settle(change(running, Change::SetNodes([(id, wanted)].into())).await, "address changed");
        }
        Some(_) if membership.voter_ids().any(|voter| voter == id) => {
            return outcome(JoinOutcome::Voter(true));
        }
        Some(_) => {}
    }
    let matched = metrics.replication.as_ref().and_then(|all| all.get(&id)?.as_ref().map(|at| at.index));
    let last = metrics.last_log_index.unwrap_or_default();
    if matched.is_none_or(|at| at + NEAR < last) {
        return outcome(JoinOutcome::Learner(format!(
            "has {} of {last} entries",
            matched.unwrap_or_default()
        )));
    }
    let namesakes: BTreeSet<NodeId> = membership
        .nodes()
        .filter(|(other, member)| **other != id && member.name == wanted.name)
        .map(|(id, _)| *id)
        .collect();
    let floor = node.leadership.borrow().since;
    if let Some(other) = namesakes
        .iter()
        .find(|other| **other == running.id || node.silent_for(**other, floor) < node.options.replace_after)
    {
        let wait = node.options.replace_after;
        return outcome(JoinOutcome::Learner(format!(
            "node {other} of the same name has not been silent for {wait:?}"
        )));
    }
    let promoted = change(running, promote(&metrics, id, namesakes)).await;
    match promoted {
        LeaderOutcome::Done(_) => outcome(JoinOutcome::Voter(true)),
        other => settle(other, "promoted"),
    }
}

/// Removes a member; its id never comes back.
pub(crate) async fn remove(node: &Arc<Node>, running: &Running, call: &MemberCall) -> LeaderOutcome {
    if redirect(running).is_some() {
        return LeaderOutcome::NotLeader(true);
    }
    let _changing = node.changing.lock().await;
    let metrics = running.metrics();
    let membership = metrics.membership_config.membership();
    let wanted =
        |id: NodeId, member: &Member| if call.id == 0 { member.name == call.name } else { id == call.id };
    let found: Vec<NodeId> =
        membership.nodes().filter(|(id, member)| wanted(**id, member)).map(|(id, _)| *id).collect();
    let [id] = found.as_slice() else {
        let what = if call.id == 0 { call.name.clone() } else { call.id.to_string() };
        return match found.is_empty() {
            true => LeaderOutcome::NotFound(what),
            false => LeaderOutcome::Refused(format!("{what} names nodes {found:?}: say which id")),
        };
    };
    let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
    if voters.len() == 1 && voters.contains(id) {
        return LeaderOutcome::Refused("the last voter cannot be removed".to_owned());
    }
    if *id == running.id {
        // The next leader removes it: a leader that leaves in its own change leads without a vote.
        return match handover(node, running, None).await {
            LeaderOutcome::Done(_) => LeaderOutcome::NotLeader(true),
            other => other,
        };
    }
    let ids = BTreeSet::from([*id]);
    change(running, if voters.contains(id) { Change::RemoveVoters(ids) } else { Change::RemoveNodes(ids) })
        .await
}

/// Hands leadership over: to `to`, or to the best other voter.
pub(crate) async fn handover(node: &Arc<Node>, running: &Running, to: Option<NodeId>) -> LeaderOutcome {
    let metrics = running.metrics();
    if metrics.current_leader != Some(running.id) {
        return LeaderOutcome::NotLeader(true);
    }
    if let Some(to) = to.filter(|to| !metrics.membership_config.membership().voter_ids().any(|id| id == *to))
    {
        return LeaderOutcome::NotFound(to.to_string());
    }
    if to == Some(running.id) {
        return LeaderOutcome::Done(DoneRecord::default());
    }
    let Some((target, _)) =
        candidates(node, &metrics).into_iter().find(|(id, _)| to.is_none_or(|to| to == *id))
    else {
        return LeaderOutcome::Refused("no other voter answers".to_owned());
    };
    let deadline = Deadline::after(node.options.election_max * 4);
    transfer(node, running, target, deadline).await
}

/// The other voters that answer, best first: replicas before witnesses, then the longest log.
pub(crate) fn candidates(node: &Node, metrics: &Metrics) -> Vec<(NodeId, u64)> {
    let membership = metrics.membership_config.membership();
    let mut found: Vec<(bool, u64, NodeId)> = membership
        .voter_ids()
        .filter(|id| *id != metrics.id && node.reachable(*id))
        .filter_map(|id| {
            let matched = metrics.replication.as_ref()?.get(&id)?.as_ref()?.index;
            Some((membership.get_node(&id)?.witness, u64::MAX - matched, id))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|(_, behind, id)| (id, u64::MAX - behind)).collect()
}

/// Waits until `target` has the whole log, gives leadership to it and waits until this node has lost it.
pub(crate) async fn transfer(
    node: &Node,
    running: &Running,
    target: NodeId,
    deadline: Deadline,
) -> LeaderOutcome {
    let mine = running.metrics().vote;
    let me = LeaderId { term: mine.leader_id.term, node: mine.leader_id.node_id };
    let mut changes = node.leadership.subscribe();
    let mut asked = false;
    while !deadline.passed() {
        let metrics = running.metrics();
        if metrics.vote != mine || metrics.current_leader != Some(running.id) {
            node.net.metrics.handovers.inc();
            return LeaderOutcome::Done(DoneRecord::default());
        }
        let matched =
            metrics.replication.as_ref().and_then(|all| all.get(&target)?.as_ref().map(|at| at.index));
        if !asked && matched >= metrics.last_log_index {
            // From here on this node must not act as leader, even if the call to the target is lost.
            *node.transferring.lock() = Some(me);
            if let Err(error) = running.engine.trigger().transfer_leader(target).await {
                return LeaderOutcome::Unknown(error.to_string());
            }
            asked = true;
        }
        let wait = deadline.left().min(Duration::from_millis(20));
        let _ = tokio::time::timeout(wait, changes.changed()).await;
    }
    LeaderOutcome::Unknown(format!("node {target} has not taken over yet"))
}

fn promote(metrics: &Metrics, id: NodeId, namesakes: BTreeSet<NodeId>) -> Change {
    let voters: BTreeSet<NodeId> = metrics.membership_config.membership().voter_ids().collect();
    let (old_voters, old_learners): (BTreeSet<_>, BTreeSet<_>) =
        namesakes.iter().partition(|id| voters.contains(id));
    let mut changes = vec![Change::AddVoterIds(BTreeSet::from([id]))];
    if !old_voters.is_empty() {
        changes.push(Change::RemoveVoters(old_voters));
    }
    if !old_learners.is_empty() {
        changes.push(Change::RemoveNodes(old_learners));
    }
    Change::Batch(changes)
}

async fn change(running: &Running, change: Change) -> LeaderOutcome {
    tracing::info!(%change, "membership change");
    let changed = tokio::time::timeout(CHANGE_WAIT, running.engine.change_membership(change, false)).await;
    match changed {
        Ok(Ok(done)) => LeaderOutcome::Done(DoneRecord { index: done.log_id.index, reply: Vec::new() }),
        Ok(Err(EngineError::APIError(error))) => ask::refused(&error),
        Ok(Err(EngineError::Fatal(error))) => LeaderOutcome::Unknown(error.to_string()),
        Err(_) => LeaderOutcome::Unknown("not committed in time".to_owned()),
    }
}

fn living_namesake(node: &Node, running: &Running, record: &MemberRecord) -> Option<(NodeId, Member)> {
    let metrics = running.metrics();
    let mut nodes = metrics.membership_config.membership().nodes();
    nodes
        .find(|(id, member)| member.name == record.name && (**id == running.id || node.reachable(**id)))
        .map(|(id, member)| (*id, member.clone()))
}

/// Where the leader is, unless it is here.
fn redirect(running: &Running) -> Option<JoinAnswer> {
    match leader(running) {
        Some((id, _)) if id == running.id => None,
        Some((_, member)) => Some(outcome(JoinOutcome::Redirect(member.address))),
        None => Some(refused("no leader is known here")),
    }
}

fn settle(result: LeaderOutcome, done: &str) -> JoinAnswer {
    match result {
        LeaderOutcome::Done(_) => outcome(JoinOutcome::Learner(done.to_owned())),
        other => refused(&describe(&other)),
    }
}

fn describe(result: &LeaderOutcome) -> String {
    match result {
        LeaderOutcome::Done(_) => "done".to_owned(),
        LeaderOutcome::NotLeader(_) => "not the leader".to_owned(),
        LeaderOutcome::NoQuorum(_) => "no quorum".to_owned(),
        LeaderOutcome::Unknown(what) | LeaderOutcome::Refused(what) | LeaderOutcome::NotFound(what) => {
            what.clone()
        }
    }
}

fn refused(why: &str) -> JoinAnswer {
    outcome(JoinOutcome::Refused(why.to_owned()))
}

fn outcome(outcome: JoinOutcome) -> JoinAnswer {
    JoinAnswer { outcome: Some(outcome), cluster: Vec::new() }
}
