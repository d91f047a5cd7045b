//! How an empty node comes to belong to a cluster: it asks first, and founds one only when nobody has one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::codec::{self, IdentityRecord, JoinAnswer, JoinCall, JoinOutcome, ProbeAnswer, ProbeCall};
use crate::net::Lane;
use crate::node::Node;
use crate::types::RaftError;
use crate::wire::{self, Call, CallError, Envelope};

/// How long a peer may take to answer.
const ASK_WAIT: Duration = Duration::from_secs(2);
/// A join commits an entry first.
const JOIN_WAIT: Duration = Duration::from_secs(12);
/// Redirects followed for one join.
const MAX_HOPS: usize = 4;
/// Attempts between two log lines about waiting.
const SAY_EVERY: u32 = 20;

/// The founder's id; entries take the ids from 2 on, because the membership and the first leader's
/// blank entry stand at 0 and 1.
const FOUNDER: u64 = 1;

/// Runs until this node belongs to a cluster.
pub(crate) async fn form(node: Arc<Node>) {
    let mut attempts: u32 = 0;
    loop {
        let step = tokio::select! {
            () = node.tasks.stopping() => return,
            step = attempt(&node) => step,
        };
        match step {
            Ok(Step::Formed) => return,
            Ok(Step::Wait(why)) => {
                if attempts.is_multiple_of(SAY_EVERY) {
                    tracing::info!(%why, "this node belongs to no cluster yet");
                }
            }
            Err(error) => {
                node.fail(error.to_string());
                return;
            }
        }
        attempts = attempts.wrapping_add(1);
        // Jitter, so that nodes started together do not ask in step.
        let pause = Duration::from_millis(150 + node.random.next_u64() % 150);
        tokio::select! {
            () = node.tasks.stopping() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

enum Step {
    Formed,
    Wait(String),
}

/// What a listed peer said.
enum Peer {
    Silent(String),
    Myself,
    Empty(String),
    Member { cluster: Vec<u8>, leader: Option<String>, address: String },
}

async fn attempt(node: &Arc<Node>) -> Result<Step, RaftError> {
    if node.options.force_init {
        return found(node).await;
    }
    let mut addresses: Vec<String> = node.options.peers.iter().map(|peer| peer.address.clone()).collect();
    addresses.extend(node.invited.lock().iter().cloned());
    let answers = join_all(addresses.iter().map(|address| ask(node, address))).await;
    for answer in &answers {
        if let Peer::Member { cluster, leader, address } = answer {
            return join(node, cluster, leader.as_deref().unwrap_or(address)).await;
        }
    }
    let mine = &node.options.node_name;
    for answer in &answers {
        match answer {
            Peer::Silent(why) => return Ok(Step::Wait(why.clone())),
            Peer::Empty(name) if name == mine => {
                return Ok(Step::Wait(format!("another empty node has this node's name {name:?}")));
            }
            Peer::Empty(name) if name < mine => {
                return Ok(Step::Wait(format!("{name} is the one to start a cluster")));
            }
            _ => {}
        }
    }
    found(node).await
}

async fn found(node: &Arc<Node>) -> Result<Step, RaftError> {
    let cluster = node.random.next_u128();
    tracing::info!(cluster = format!("{cluster:032x}"), "starting a cluster");
    become_member(node, cluster, FOUNDER, true).await
}

async fn ask(node: &Node, address: &str) -> Peer {
    let call = ProbeCall { label: node.options.cluster_label.clone() };
    let envelope = Envelope { body: codec::encode(&call), ..Envelope::default() };
    let answer = match node.net.pool.channel(address, Lane::Control) {
        Ok(channel) => wire::call(channel, Call::Probe, envelope, ASK_WAIT).await,
        Err(error) => Err(error),
    };
    let answer: Result<ProbeAnswer, _> =
        answer.and_then(|body| codec::decode(&body).map_err(|error| CallError::Refused(error.to_string())));
    match answer {
        Err(error) => Peer::Silent(format!("{address}: {error}")),
        Ok(answer) if answer.nonce == node.nonce => Peer::Myself,
        Ok(answer) if answer.cluster.is_empty() => Peer::Empty(answer.name),
        Ok(answer) => Peer::Member {
            cluster: answer.cluster,
            leader: answer.leader.map(|leader| leader.address),
            address: address.to_owned(),
        },
    }
}

async fn join(node: &Arc<Node>, cluster: &[u8], at: &str) -> Result<Step, RaftError> {
    let call =
        JoinCall { label: node.options.cluster_label.clone(), member: codec::from_member(0, &node.member()) };
    let mut address = at.to_owned();
    for _ in 0..MAX_HOPS {
        let answer = ask_to(node, Call::Join, &call, None, &address).await;
        match answer.map(|answer| (answer.outcome, answer.cluster)) {
            Ok((Some(JoinOutcome::Allocated(id)), cluster)) => {
                let Some(cluster) = codec::cluster_id(&cluster) else {
                    return Ok(Step::Wait(format!("{address}: no cluster id in its answer")));
                };
                tracing::info!(cluster = format!("{cluster:032x}"), id, "joining a cluster");
                return become_member(node, cluster, id, false).await;
            }
            Ok((Some(JoinOutcome::Redirect(to)), _)) => address = to,
            Ok((Some(JoinOutcome::Refused(why)), _)) => return Ok(Step::Wait(format!("{address}: {why}"))),
            Ok(_) => return Ok(Step::Wait(format!("{address}: an answer that is none to a join"))),
            Err(error) => return Ok(Step::Wait(format!("{address}: {error}"))),
        }
    }
    let cluster = codec::cluster_id(cluster).unwrap_or_default();
    Ok(Step::Wait(format!("cluster {cluster:032x} has no settled leader")))
}

/// Sends a join or an admission to one address.
pub(crate) async fn ask_to(
    node: &Node,
    call: Call,
    body: &JoinCall,
    cluster: Option<u128>,
    address: &str,
) -> Result<JoinAnswer, CallError> {
    let channel = node.net.pool.channel(address, Lane::Control)?;
    let envelope = Envelope { cluster, body: codec::encode(body), ..Envelope::default() };
    let answer = wire::call(channel, call, envelope, JOIN_WAIT).await?;
    codec::decode(&answer).map_err(|error| CallError::Refused(error.to_string()))
}

/// Keeps the identity first: an id that was given out is used by this node or by none.
async fn become_member(node: &Arc<Node>, cluster: u128, id: u64, founder: bool) -> Result<Step, RaftError> {
    let identity = IdentityRecord { cluster: cluster.to_be_bytes().to_vec(), node: id, founder };
    let kept = node.store.save_identity(&identity).await;
    kept.map_err(|error| RaftError::Engine(format!("identity: {error}")))?;
    node.run(&identity, cluster).await?;
    Ok(Step::Formed)
}
