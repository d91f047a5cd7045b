//! Answers the other nodes' calls.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use openraft::Snapshot;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest, VoteRequest,
};
use prost::Message;

use crate::codec::{
    self, AppendAnswer, AppendCall, AppendOutcome, SnapshotAnswer, SnapshotCall, TransferAnswer,
};
use crate::codec::{
    InviteCall, JoinCall, LeaderAnswer, MemberCall, ProbeAnswer, ProbeCall, ProposeCall, TransferCall,
};
use crate::codec::{VoteAnswer, VoteCall};
use crate::engine::TypeConfig;
use crate::node::{Node, Running};
use crate::snapshot::Image;
use crate::wire::{Call, Envelope, Refusal};
use crate::{ask, members};

/// A snapshot's limit in bytes, checked before and while it is received.
const MAX_SNAPSHOT: u64 = 1 << 30;
/// Invitations kept at once.
const MAX_INVITED: usize = 16;

/// Answers one call.
pub(crate) async fn handle(node: &Arc<Node>, call: Call, envelope: Envelope) -> Result<Bytes, Refusal> {
    if let Some(reason) = node.stopped() {
        return Err(Refusal::Stopped(reason));
    }
    match call {
        Call::Probe => return probe(node, &parse(&envelope.body)?),
        Call::Invite => return invite(node, parse(&envelope.body)?),
        Call::Join => {
            let call: JoinCall = parse(&envelope.body)?;
            return Ok(codec::encode(&members::join(node, call).await));
        }
        Call::Admit => {
            let running = of_cluster(node, &envelope)?;
            let call: JoinCall = parse(&envelope.body)?;
            return Ok(codec::encode(&members::admit(node, running, call.member).await));
        }
        _ => {}
    }
    let running = for_us(node, &envelope)?;
    match call {
        Call::Append => append(node, running, parse(&envelope.body)?).await,
        Call::Vote | Call::PreVote => vote(running, call, &parse(&envelope.body)?).await,
        Call::TransferLeader => transfer(running, &parse(&envelope.body)?).await,
        Call::Propose => {
            let call: ProposeCall = parse(&envelope.body)?;
            let wait = Duration::from_millis(call.wait_ms);
            answer(ask::propose_here(running, call.command, wait).await)
        }
        Call::ReadIndex => answer(ask::read_index_here(running).await),
        Call::Remove => {
            let call: MemberCall = parse(&envelope.body)?;
            answer(members::remove(node, running, &call).await)
        }
        Call::Handover => {
            let call: MemberCall = parse(&envelope.body)?;
            answer(members::handover(node, running, Some(call.id).filter(|id| *id != 0)).await)
        }
        Call::Probe | Call::Invite | Call::Join | Call::Admit => {
            Err(Refusal::Malformed("unexpected call".to_owned()))
        }
    }
}

/// Takes a whole snapshot and installs it.
pub(crate) async fn snapshot(
    node: &Arc<Node>,
    head: Envelope,
    mut pieces: Pin<Box<dyn Stream<Item = Result<Bytes, Refusal>> + Send>>,
) -> Result<Bytes, Refusal> {
    let running = for_us(node, &head)?;
    let call: SnapshotCall = parse(&head.body)?;
    if call.size > MAX_SNAPSHOT {
        return Err(Refusal::Malformed(format!("a snapshot of {} bytes is over the limit", call.size)));
    }
    let mut bytes = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if (bytes.len() + piece.len()) as u64 > call.size {
            return Err(Refusal::Malformed("a snapshot is longer than announced".to_owned()));
        }
        bytes.extend_from_slice(&piece);
    }
    let image = Image::parse(bytes.freeze()).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let meta = codec::to_snapshot_meta(&image.head).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let vote = codec::to_vote(&call.vote);
    if meta.last_log_id.is_some_and(|last| last.leader_id > vote.leader_id) {
        return Err(Refusal::Malformed("a snapshot is newer than its sender's leadership".to_owned()));
    }
    let installed =
        running.engine.install_full_snapshot(vote, Snapshot { meta, snapshot: image.bytes }).await;
    let installed = installed.map_err(|error| Refusal::Stopped(error.to_string()))?;
    Ok(codec::encode(&SnapshotAnswer { vote: codec::from_vote(&installed.vote) }))
}

async fn append(node: &Node, running: &Running, call: AppendCall) -> Result<Bytes, Refusal> {
    let entries = call.entries.into_iter().map(codec::to_entry).collect::<Result<Vec<_>, _>>();
    let request = AppendEntriesRequest::<TypeConfig> {
        vote: codec::to_vote(&call.vote),
        prev_log_id: call.prev.as_ref().map(codec::to_log_id),
        entries: entries.map_err(|error| Refusal::Malformed(error.to_string()))?,
        leader_commit: call.committed.as_ref().map(codec::to_log_id),
    };
    let first = request.prev_log_id.map_or(0, |id| id.index + 1);
    if request.entries.iter().zip(first..).any(|(entry, index)| entry.log_id.index != index) {
        return Err(Refusal::Malformed("entries do not follow one another".to_owned()));
    }
    let outcome =
        running.engine.append_entries(request).await.map_err(|error| Refusal::Stopped(error.to_string()))?;
    let outcome = match outcome {
        AppendEntriesResponse::Success => AppendOutcome::Success(true),
        AppendEntriesResponse::PartialSuccess(Some(id)) => AppendOutcome::Partial(codec::from_log_id(&id)),
        AppendEntriesResponse::PartialSuccess(None) => AppendOutcome::PartialNothing(true),
        AppendEntriesResponse::Conflict => AppendOutcome::Conflict(true),
        AppendEntriesResponse::HigherVote(vote) => AppendOutcome::HigherVote(codec::from_vote(&vote)),
    };
    if !matches!(outcome, AppendOutcome::HigherVote(_)) {
        *node.heard.lock() = Some(node.clock.monotonic());
    }
    Ok(codec::encode(&AppendAnswer { outcome: Some(outcome) }))
}

async fn vote(running: &Running, call: Call, request: &VoteCall) -> Result<Bytes, Refusal> {
    let request = VoteRequest {
        vote: codec::to_vote(&request.vote),
        last_log_id: request.last.as_ref().map(codec::to_log_id),
        leadership_transfer: request.transfer,
    };
    let answer = match call {
        Call::PreVote => running.engine.pre_vote(request).await,
        _ => running.engine.vote(request).await,
    };
    let answer = answer.map_err(|error| Refusal::Stopped(error.to_string()))?;
    Ok(codec::encode(&VoteAnswer {
        vote: codec::from_vote(&answer.vote),
        last: answer.last_log_id.as_ref().map(codec::from_log_id),
        granted: answer.vote_granted,
    }))
}

async fn transfer(running: &Running, call: &TransferCall) -> Result<Bytes, Refusal> {
    let request = TransferLeaderRequest::new(
        codec::to_vote(&call.from),
        call.to,
        call.last.as_ref().map(codec::to_log_id),
    );
    let outcome = running.engine.handle_transfer_leader(request).await;
    let answer = match outcome.map_err(|error| Refusal::Stopped(error.to_string()))? {
        Ok(()) => TransferAnswer::default(),
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            TransferAnswer { vote: Some(codec::from_vote(&actual)), ..TransferAnswer::default() }
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            TransferAnswer { vote: None, behind: true, last: actual.as_ref().map(codec::from_log_id) }
        }
    };
    Ok(codec::encode(&answer))
}

fn probe(node: &Node, call: &ProbeCall) -> Result<Bytes, Refusal> {
    same_label(node, &call.label)?;
    let mut answer = ProbeAnswer {
        label: node.options.cluster_label.clone(),
        name: node.options.node_name.clone(),
        nonce: node.nonce,
        ..ProbeAnswer::default()
    };
    if let Some(running) = node.running() {
        answer.cluster = running.cluster.to_be_bytes().to_vec();
        answer.id = running.id;
        answer.leader = members::leader(running).map(|(id, member)| codec::from_member(id, &member));
    }
    Ok(codec::encode(&answer))
}

fn invite(node: &Node, call: InviteCall) -> Result<Bytes, Refusal> {
    same_label(node, &call.label)?;
    if let Some(running) = node.running() {
        let what = format!("this node is already {} of cluster {:032x}", running.id, running.cluster);
        return Err(Refusal::NotForUs(what));
    }
    let mut invited = node.invited.lock();
    if !invited.contains(&call.address) && invited.len() < MAX_INVITED {
        invited.push(call.address);
    }
    Ok(Bytes::new())
}

fn same_label(node: &Node, label: &str) -> Result<(), Refusal> {
    if label == node.options.cluster_label {
        return Ok(());
    }
    Err(Refusal::NotForUs(format!(
        "this node's cluster label is {:?}, not {label:?}",
        node.options.cluster_label
    )))
}

fn of_cluster<'a>(node: &'a Node, envelope: &Envelope) -> Result<&'a Running, Refusal> {
    let running = node.running().ok_or_else(|| Refusal::NotForUs("this node is empty".to_owned()))?;
    if envelope.cluster != Some(running.cluster) {
        return Err(Refusal::NotForUs(format!("this node belongs to cluster {:032x}", running.cluster)));
    }
    Ok(running)
}

fn for_us<'a>(node: &'a Node, envelope: &Envelope) -> Result<&'a Running, Refusal> {
    let running = of_cluster(node, envelope)?;
    if envelope.to != running.id {
        return Err(Refusal::NotForUs(format!("this is node {}, not {}", running.id, envelope.to)));
    }
    Ok(running)
}

fn parse<M: Message + Default>(body: &Bytes) -> Result<M, Refusal> {
    codec::decode(body).map_err(|error| Refusal::Malformed(error.to_string()))
}

fn answer(outcome: codec::LeaderOutcome) -> Result<Bytes, Refusal> {
    Ok(codec::encode(&LeaderAnswer { outcome: Some(outcome) }))
}
