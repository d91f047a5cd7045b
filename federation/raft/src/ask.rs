//! Proposals and linearizable reads: made at the leader, asked for anywhere.

use std::sync::Arc;
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::errors::{ClientWriteError, ForwardReason, LinearizableReadError, RaftError as EngineError};
use tokio::time::Instant;

use crate::codec::{self, DoneRecord, LeaderAnswer, LeaderOutcome, ProposeCall};
use crate::engine::Proposal;
use crate::net::Lane;
use crate::node::{Node, Running};
use crate::options::MAX_COMMAND;
use crate::types::{Leadership, NodeRef, ProposeError, ReadError};
use crate::wire::{self, Call, CallError, Envelope};

/// Pause before the leader is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a leader's answer is still awaited once another leads.
const GRACE: Duration = Duration::from_millis(300);

/// A moment after which nobody waits any more.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    pub(crate) fn passed(self) -> bool {
        self.left().is_zero()
    }
}

/// Proposes at the leader, wherever it is, and waits until this node has applied it.
pub(crate) async fn propose(
    node: &Arc<Node>,
    command: Vec<u8>,
    wait: Duration,
) -> Result<Vec<u8>, ProposeError> {
    let result = propose_within(node, command, Deadline::after(wait)).await;
    node.net.metrics.proposed(match &result {
        Ok(_) => "applied",
        Err(ProposeError::NoLeader) => "no_leader",
        Err(ProposeError::NoQuorum) => "no_quorum",
        Err(ProposeError::Timeout(_)) => "unknown",
        Err(ProposeError::TooLarge { .. } | ProposeError::Stopped(_)) => "refused",
    });
    result
}

async fn propose_within(
    node: &Arc<Node>,
    command: Vec<u8>,
    deadline: Deadline,
) -> Result<Vec<u8>, ProposeError> {
    if command.len() > MAX_COMMAND {
        return Err(ProposeError::TooLarge { size: command.len(), limit: MAX_COMMAND });
    }
    let permit = tokio::time::timeout(deadline.left(), node.proposals.acquire()).await;
    let _permit =
        permit.map_err(|_| ProposeError::NoQuorum)?.map_err(|e| ProposeError::Stopped(e.to_string()))?;
    let mut why = ProposeError::NoLeader;
    loop {
        if let Some(reason) = node.stopped() {
            return Err(ProposeError::Stopped(reason));
        }
        let Some((running, leader)) = leader_within(node, deadline).await else { return Err(why) };
        let wait_ms = u64::try_from(deadline.left().as_millis()).unwrap_or(u64::MAX);
        let outcome = if leader.id == running.id {
            propose_here(running, command.clone(), deadline.left()).await
        } else {
            let call = ProposeCall { command: command.clone(), wait_ms };
            ask_leader(node, running, &leader, Call::Propose, codec::encode(&call), deadline.left()).await
        };
        match outcome {
            LeaderOutcome::Done(done) => {
                return match applied_within(node, done.index, deadline).await {
                    true => Ok(done.reply),
                    false => Err(ProposeError::Timeout("committed, but not yet applied here".to_owned())),
                };
            }
            LeaderOutcome::Unknown(what) => return Err(ProposeError::Timeout(what)),
            LeaderOutcome::NoQuorum(_) => why = ProposeError::NoQuorum,
            _ => why = ProposeError::NoLeader,
        }
        if deadline.left() <= PAUSE {
            return Err(why);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until this node has applied everything that was committed when the call began.
pub(crate) async fn read_index(node: &Arc<Node>, wait: Duration) -> Result<(), ReadError> {
    let deadline = Deadline::after(wait);
    let mut why = ReadError::NoLeader;
    loop {
        if let Some(reason) = node.stopped() {
            return Err(ReadError::Stopped(reason));
        }
        let Some((running, leader)) = leader_within(node, deadline).await else { return Err(why) };
        let outcome = if leader.id == running.id {
            let here = tokio::time::timeout(deadline.left(), read_index_here(running)).await;
            here.unwrap_or(LeaderOutcome::NoQuorum(true))
        } else {
            ask_leader(node, running, &leader, Call::ReadIndex, bytes::Bytes::new(), deadline.left()).await
        };
        match outcome {
            LeaderOutcome::Done(done) => {
                return if applied_within(node, done.index, deadline).await {
                    Ok(())
                } else {
                    Err(ReadError::Timeout)
                };
            }
            LeaderOutcome::NoQuorum(_) => why = ReadError::NoQuorum,
            _ => why = ReadError::NoLeader,
        }
        if deadline.left() <= PAUSE {
            return Err(why);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Proposes at this node, which must lead.
pub(crate) async fn propose_here(running: &Running, command: Vec<u8>, wait: Duration) -> LeaderOutcome {
    if command.len() > MAX_COMMAND {
        return LeaderOutcome::Refused(format!("a command of {} bytes is over the limit", command.len()));
    }
    write_here(running, Proposal::Command(command), wait).await
}

/// Writes one entry at this node, which must lead.
pub(crate) async fn write_here(running: &Running, proposal: Proposal, wait: Duration) -> LeaderOutcome {
    let written = tokio::time::timeout(wait, running.engine.client_write(proposal)).await;
    match written {
        Ok(Ok(done)) => LeaderOutcome::Done(DoneRecord { index: done.log_id.index, reply: done.data.0 }),
        Ok(Err(EngineError::APIError(error))) => refused(&error),
        Ok(Err(EngineError::Fatal(error))) => LeaderOutcome::Unknown(error.to_string()),
        Err(_) => LeaderOutcome::Unknown("not committed in time".to_owned()),
    }
}

/// Confirms with a quorum that this node leads, and says up to where a read must have applied.
pub(crate) async fn read_index_here(running: &Running) -> LeaderOutcome {
    match running.engine.get_read_linearizer(ReadPolicy::ReadIndex).await {
        Ok(linearizer) => {
            LeaderOutcome::Done(DoneRecord { index: linearizer.read_log_id().index(), reply: Vec::new() })
        }
        Err(EngineError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
            LeaderOutcome::NoQuorum(true)
        }
        Err(_) => LeaderOutcome::NotLeader(true),
    }
}

/// What an engine's refusal means for the caller.
pub(crate) fn refused(error: &ClientWriteError<crate::engine::TypeConfig>) -> LeaderOutcome {
    match error {
        ClientWriteError::ForwardToLeader(forward) if forward.reason == ForwardReason::LeaseExpired => {
            LeaderOutcome::NoQuorum(true)
        }
        ClientWriteError::ForwardToLeader(_) => LeaderOutcome::NotLeader(true),
        ClientWriteError::LogEntryDiscarded(_) => LeaderOutcome::Unknown("the leader changed".to_owned()),
        other => LeaderOutcome::Refused(other.to_string()),
    }
}

/// Forwards a call to the leader, and stops waiting soon after another one took over.
pub(crate) async fn ask_leader(
    node: &Node,
    running: &Running,
    leader: &NodeRef,
    call: Call,
    body: bytes::Bytes,
    wait: Duration,
) -> LeaderOutcome {
    let mut changes = node.leadership.subscribe();
    let replaced = async {
        // The watched value is locked while it is looked at: nothing of it may live on.
        let other = |now: &Leadership| now.leader.as_ref().is_some_and(|now| now.id != leader.id);
        let gone = changes.wait_for(other).await.is_err();
        if gone {
            std::future::pending::<()>().await;
        }
        // The answer of a leader that handed over may still be under way.
        tokio::time::sleep(GRACE).await;
    };
    let envelope = Envelope { cluster: Some(running.cluster), from: running.id, to: leader.id, body };
    let asked = async {
        let channel = node.net.pool.channel(&leader.address, Lane::Log)?;
        wire::call(channel, call, envelope, wait).await
    };
    let answer = tokio::select! {
        answer = asked => answer,
        () = replaced => return LeaderOutcome::Unknown("the leader changed".to_owned()),
    };
    match answer.map(|body| codec::decode::<LeaderAnswer>(&body)) {
        Ok(Ok(LeaderAnswer { outcome: Some(outcome) })) => outcome,
        Ok(_) => LeaderOutcome::Unknown("the leader's answer cannot be read".to_owned()),
        Err(CallError::NotSent(_) | CallError::Refused(_)) => LeaderOutcome::NotLeader(true),
        Err(error) => LeaderOutcome::Unknown(error.to_string()),
    }
}

/// The leader, as soon as one is known.
pub(crate) async fn leader_within(node: &Node, deadline: Deadline) -> Option<(&Running, NodeRef)> {
    let mut changes = node.leadership.subscribe();
    loop {
        let leader = changes.borrow_and_update().leader.clone();
        if let (Some(running), Some(leader)) = (node.running(), leader) {
            return Some((running, leader));
        }
        if deadline.passed() || node.stopped().is_some() {
            return None;
        }
        let _ = tokio::time::timeout(deadline.left(), changes.changed()).await;
    }
}

/// Whether this node applies `index` in time.
pub(crate) async fn applied_within(node: &Node, index: u64, deadline: Deadline) -> bool {
    let mut applied = node.machine.applied();
    let there = applied.wait_for(|to| to.index >= index);
    matches!(tokio::time::timeout(deadline.left(), there).await, Ok(Ok(_)))
}
