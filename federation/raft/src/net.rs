//! How openraft reaches the other members.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::SharedClock;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2, alias};
use parking_lot::Mutex;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::codec::{
    self, AppendAnswer, AppendCall, AppendOutcome, SnapshotAnswer, SnapshotCall, TransferAnswer,
    TransferCall, VoteAnswer, VoteCall,
};
use crate::engine::{Member, TypeConfig, Vote};
use crate::metrics::Metrics;
use crate::types::NodeId;
use crate::wire::{self, Call, CallError, Envelope};

/// How long an append with entries may take: a slow link is slow, not dead.
const APPEND_WAIT: Duration = Duration::from_secs(5);
const CONNECT_WAIT: Duration = Duration::from_secs(1);
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Addresses with an open channel; a pair has four.
const MAX_CHANNELS: usize = 64;

/// A lane of its own per kind, so that a snapshot holds up no heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    Control,
    Log,
    Snapshot,
}

/// Channels by address.
pub(crate) struct Pool {
    tls: Option<ClientTlsConfig>,
    channels: Mutex<HashMap<(String, Lane), Channel>>,
}

impl Pool {
    pub(crate) fn new(tls: Option<ClientTlsConfig>) -> Self {
        Self { tls, channels: Mutex::default() }
    }

    /// A channel that connects when it is used, and again after it broke.
    pub(crate) fn channel(&self, address: &str, lane: Lane) -> Result<Channel, CallError> {
        let key = (address.to_owned(), lane);
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(&key) {
            return Ok(channel.clone());
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let wrong = |error: tonic::transport::Error| CallError::NotSent(format!("{address}: {error}"));
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(wrong)?
            .connect_timeout(CONNECT_WAIT)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(KEEPALIVE))
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true);
        if let Some(tls) = &self.tls {
            endpoint = endpoint.tls_config(tls.clone()).map_err(wrong)?;
        }
        let channel = endpoint.connect_lazy();
        if channels.len() >= MAX_CHANNELS {
            channels.clear();
        }
        channels.insert(key, channel.clone());
        Ok(channel)
    }
}

/// When each member last answered, on this node's monotonic clock.
#[derive(Default)]
pub(crate) struct Contacts(Mutex<HashMap<NodeId, Duration>>);

impl Contacts {
    pub(crate) fn heard(&self, id: NodeId, now: Duration) {
        self.0.lock().insert(id, now);
    }

    pub(crate) fn last(&self, id: NodeId) -> Option<Duration> {
        self.0.lock().get(&id).copied()
    }

    /// Forgets who is no member.
    pub(crate) fn keep(&self, is_member: impl Fn(NodeId) -> bool) {
        self.0.lock().retain(|id, _| is_member(*id));
    }
}

/// Where each member listens now: the engine keeps a network for as long as its member, also when it moves.
#[derive(Default)]
pub(crate) struct Addresses(Mutex<HashMap<NodeId, String>>);

impl Addresses {
    /// Replaces all by what the membership says.
    pub(crate) fn set(&self, members: impl Iterator<Item = (NodeId, String)>) {
        *self.0.lock() = members.collect();
    }

    fn of(&self, id: NodeId) -> Option<String> {
        self.0.lock().get(&id).cloned()
    }
}

/// What every network of this node shares.
pub(crate) struct NetShared {
    pub(crate) pool: Pool,
    pub(crate) contacts: Contacts,
    pub(crate) addresses: Addresses,
    pub(crate) clock: SharedClock,
    pub(crate) metrics: Metrics,
}

/// Makes networks to members.
pub(crate) struct Factory {
    pub(crate) shared: Arc<NetShared>,
    pub(crate) cluster: u128,
    pub(crate) me: NodeId,
}

/// The way to one member.
pub(crate) struct Network {
    shared: Arc<NetShared>,
    cluster: u128,
    me: NodeId,
    target: NodeId,
    /// Where the member was when this network was made.
    address: String,
    lane: Lane,
}

impl Factory {
    fn network(&self, target: NodeId, member: &Member, lane: Lane) -> Network {
        let (shared, address) = (self.shared.clone(), member.address.clone());
        Network { shared, cluster: self.cluster, me: self.me, target, address, lane }
    }
}

impl RaftNetworkFactory<TypeConfig> for Factory {
    type Network = Network;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> Network {
        self.network(target, node, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Member) -> Network {
        self.network(target, node, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Member) -> Network {
        self.network(target, node, Lane::Snapshot)
    }
}

impl Network {
    fn envelope(&self, body: Bytes) -> Envelope {
        Envelope { cluster: Some(self.cluster), from: self.me, to: self.target, body }
    }

    fn channel(&self) -> Result<Channel, CallError> {
        let moved = self.shared.addresses.of(self.target);
        self.shared.pool.channel(moved.as_deref().unwrap_or(&self.address), self.lane)
    }

    async fn ask(&self, call: Call, body: Bytes, wait: Duration) -> Result<Bytes, CallError> {
        let channel = self.channel()?;
        let answer = wire::call(channel, call, self.envelope(body), wait).await?;
        self.shared.contacts.heard(self.target, self.shared.clock.monotonic());
        Ok(answer)
    }

    fn rpc_error(&self, action: RPCTypes, error: &CallError) -> RPCError<TypeConfig> {
        match error {
            CallError::NotSent(_) | CallError::Refused(_) => RPCError::Unreachable(Unreachable::new(error)),
            CallError::Unanswered(_) => RPCError::Network(NetworkError::new(error)),
            CallError::TimedOut(timeout) => {
                RPCError::Timeout(Timeout { action, id: self.me, target: self.target, timeout: *timeout })
            }
        }
    }

    async fn ask_vote(
        &self,
        call: Call,
        rpc: VoteRequest<TypeConfig>,
        wait: Duration,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let body = VoteCall {
            vote: codec::from_vote(&rpc.vote),
            last: rpc.last_log_id.as_ref().map(codec::from_log_id),
            transfer: rpc.leadership_transfer,
        };
        let answer = self.ask(call, codec::encode(&body), wait).await;
        let answer = answer.map_err(|error| self.rpc_error(RPCTypes::Vote, &error))?;
        let answer: VoteAnswer = codec::decode(&answer).map_err(malformed)?;
        Ok(VoteResponse {
            vote: codec::to_vote(&answer.vote),
            vote_granted: answer.granted,
            last_log_id: answer.last.as_ref().map(codec::to_log_id),
        })
    }
}

impl RaftNetworkV2<TypeConfig> for Network {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let wait =
            if rpc.entries.is_empty() { option.hard_ttl() } else { option.hard_ttl().max(APPEND_WAIT) };
        let body = AppendCall {
            vote: codec::from_vote(&rpc.vote),
            prev: rpc.prev_log_id.as_ref().map(codec::from_log_id),
            entries: rpc.entries.iter().map(codec::from_entry).collect(),
            committed: rpc.leader_commit.as_ref().map(codec::from_log_id),
        };
        let started = self.shared.clock.monotonic();
        let answer = self.ask(Call::Append, codec::encode(&body), wait).await;
        self.shared.metrics.append.observe((self.shared.clock.monotonic() - started).as_secs_f64());
        let answer = answer.map_err(|error| self.rpc_error(RPCTypes::AppendEntries, &error))?;
        let answer: AppendAnswer = codec::decode(&answer).map_err(malformed)?;
        match answer.outcome {
            Some(AppendOutcome::Success(_)) => Ok(AppendEntriesResponse::Success),
            Some(AppendOutcome::Partial(id)) => {
                Ok(AppendEntriesResponse::PartialSuccess(Some(codec::to_log_id(&id))))
            }
            Some(AppendOutcome::PartialNothing(_)) => Ok(AppendEntriesResponse::PartialSuccess(None)),
            Some(AppendOutcome::Conflict(_)) => Ok(AppendEntriesResponse::Conflict),
            Some(AppendOutcome::HigherVote(vote)) => {
                Ok(AppendEntriesResponse::HigherVote(codec::to_vote(&vote)))
            }
            None => Err(malformed(io::Error::other("append answer of an unknown kind"))),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(Call::Vote, rpc, option.hard_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(Call::PreVote, rpc, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: alias::SnapshotOf<TypeConfig, Bytes>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let image = snapshot.snapshot;
        let head = SnapshotCall { vote: codec::from_vote(&vote), size: image.len() as u64 };
        let send = async {
            let channel = self.channel()?;
            wire::send_snapshot(channel, self.envelope(codec::encode(&head)), image, option.hard_ttl()).await
        };
        let answer = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            answer = send => answer,
        };
        let answer = answer.map_err(|error| match self.rpc_error(RPCTypes::InstallSnapshot, &error) {
            RPCError::Timeout(timeout) => StreamingError::Timeout(timeout),
            RPCError::Network(network) => StreamingError::Network(network),
            _ => StreamingError::Unreachable(Unreachable::new(&error)),
        })?;
        self.shared.contacts.heard(self.target, self.shared.clock.monotonic());
        let answer: SnapshotAnswer =
            codec::decode(&answer).map_err(|error| StreamingError::Network(NetworkError::new(&error)))?;
        Ok(SnapshotResponse::new(codec::to_vote(&answer.vote)))
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let body = TransferCall {
            from: codec::from_vote(req.from_leader()),
            to: *req.to_node_id(),
            last: req.last_log_id().map(codec::from_log_id),
        };
        let answer = self.ask(Call::TransferLeader, codec::encode(&body), option.hard_ttl()).await;
        let answer = answer.map_err(|error| self.rpc_error(RPCTypes::TransferLeader, &error))?;
        let answer: TransferAnswer = codec::decode(&answer).map_err(malformed)?;
        Ok(match answer {
            TransferAnswer { vote: Some(vote), .. } => Err(TransferLeaderError::VoteChanged {
                expected: *req.from_leader(),
                actual: codec::to_vote(&vote),
            }),
            TransferAnswer { behind: true, last, .. } => Err(TransferLeaderError::LogNotFlushed {
                expected: req.last_log_id().copied(),
                actual: last.as_ref().map(codec::to_log_id),
            }),
            _ => Ok(()),
        })
    }
}

fn malformed(error: io::Error) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&error))
}
