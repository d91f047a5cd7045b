//! Our own formats, on disk and on the wire: protobuf messages that do not change with openraft.
//!
//! Fields are only ever added. Unknown fields are skipped, so nodes of neighbouring versions
//! understand each other.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;
use openraft::Membership;
use prost::Message;

use crate::engine::{Entry, LogId, Member, Proposal, SnapshotMeta, StoredMembership, Vote};
use crate::types::LeaderId;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LogIdRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) node: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) index: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct VoteRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) node: u64,
    #[prost(bool, tag = "3")]
    pub(crate) committed: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct EntryRecord {
    #[prost(message, required, tag = "1")]
    pub(crate) id: LogIdRecord,
    #[prost(oneof = "PayloadRecord", tags = "2, 3, 4, 5")]
    pub(crate) payload: Option<PayloadRecord>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum PayloadRecord {
    #[prost(bool, tag = "2")]
    Blank(bool),
    #[prost(bytes = "vec", tag = "3")]
    Command(Vec<u8>),
    /// Takes the entry's index as the id of a new node.
    #[prost(bool, tag = "4")]
    Allocate(bool),
    #[prost(message, tag = "5")]
    Membership(MembershipRecord),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MembershipRecord {
    #[prost(message, repeated, tag = "1")]
    pub(crate) configs: Vec<VotersRecord>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) nodes: Vec<MemberRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct VotersRecord {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) ids: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MemberRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) address: String,
    #[prost(bool, tag = "4")]
    pub(crate) witness: bool,
}

/// What a node is, kept beside its log so that one is never there without the other.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct IdentityRecord {
    /// 16 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) cluster: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(crate) node: u64,
    /// This node founded the cluster: with an empty log it founds it again.
    #[prost(bool, tag = "3")]
    pub(crate) founder: bool,
}

/// A snapshot's head: what its body stands for.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotRecord {
    #[prost(message, optional, tag = "1")]
    pub(crate) last: Option<LogIdRecord>,
    #[prost(message, optional, tag = "2")]
    pub(crate) membership_at: Option<LogIdRecord>,
    #[prost(message, required, tag = "3")]
    pub(crate) membership: MembershipRecord,
    /// Ids that were given out and belong to no member yet.
    #[prost(uint64, repeated, tag = "4")]
    pub(crate) pending: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AppendCall {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: VoteRecord,
    #[prost(message, optional, tag = "2")]
    pub(crate) prev: Option<LogIdRecord>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) entries: Vec<EntryRecord>,
    #[prost(message, optional, tag = "4")]
    pub(crate) committed: Option<LogIdRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AppendAnswer {
    #[prost(oneof = "AppendOutcome", tags = "1, 2, 3, 4, 5")]
    pub(crate) outcome: Option<AppendOutcome>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum AppendOutcome {
    #[prost(bool, tag = "1")]
    Success(bool),
    #[prost(message, tag = "2")]
    Partial(LogIdRecord),
    #[prost(bool, tag = "3")]
    PartialNothing(bool),
    #[prost(bool, tag = "4")]
    Conflict(bool),
    #[prost(message, tag = "5")]
    HigherVote(VoteRecord),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct VoteCall {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: VoteRecord,
    #[prost(message, optional, tag = "2")]
    pub(crate) last: Option<LogIdRecord>,
    #[prost(bool, tag = "3")]
    pub(crate) transfer: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct VoteAnswer {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: VoteRecord,
    #[prost(message, optional, tag = "2")]
    pub(crate) last: Option<LogIdRecord>,
    #[prost(bool, tag = "3")]
    pub(crate) granted: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TransferCall {
    #[prost(message, required, tag = "1")]
    pub(crate) from: VoteRecord,
    #[prost(uint64, tag = "2")]
    pub(crate) to: u64,
    #[prost(message, optional, tag = "3")]
    pub(crate) last: Option<LogIdRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TransferAnswer {
    /// Set when the vote had changed.
    #[prost(message, optional, tag = "1")]
    pub(crate) vote: Option<VoteRecord>,
    /// The log was not there yet.
    #[prost(bool, tag = "2")]
    pub(crate) behind: bool,
    #[prost(message, optional, tag = "3")]
    pub(crate) last: Option<LogIdRecord>,
}

/// Head of a snapshot transfer; the image follows.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotCall {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: VoteRecord,
    #[prost(uint64, tag = "2")]
    pub(crate) size: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotAnswer {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: VoteRecord,
}

/// The leader's answer to a forwarded call.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct LeaderAnswer {
    #[prost(oneof = "LeaderOutcome", tags = "1, 2, 3, 4, 5, 6")]
    pub(crate) outcome: Option<LeaderOutcome>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum LeaderOutcome {
    #[prost(message, tag = "1")]
    Done(DoneRecord),
    /// Ask again: this node does not lead.
    #[prost(bool, tag = "2")]
    NotLeader(bool),
    #[prost(bool, tag = "3")]
    NoQuorum(bool),
    #[prost(string, tag = "4")]
    Unknown(String),
    #[prost(string, tag = "5")]
    Refused(String),
    #[prost(string, tag = "6")]
    NotFound(String),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DoneRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) index: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) reply: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProposeCall {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) command: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(crate) wait_ms: u64,
}

/// A member by id, or by name where the id is 0.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct MemberCall {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProbeCall {
    #[prost(string, tag = "1")]
    pub(crate) label: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProbeAnswer {
    #[prost(string, tag = "1")]
    pub(crate) label: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    /// Tells this process from another of the same name.
    #[prost(uint64, tag = "3")]
    pub(crate) nonce: u64,
    /// 16 bytes, or empty: the node belongs to no cluster.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) cluster: Vec<u8>,
    #[prost(uint64, tag = "5")]
    pub(crate) id: u64,
    #[prost(message, optional, tag = "6")]
    pub(crate) leader: Option<MemberRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct JoinCall {
    #[prost(string, tag = "1")]
    pub(crate) label: String,
    #[prost(message, required, tag = "2")]
    pub(crate) member: MemberRecord,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct JoinAnswer {
    #[prost(oneof = "JoinOutcome", tags = "1, 2, 3, 4, 5, 6")]
    pub(crate) outcome: Option<JoinOutcome>,
    #[prost(bytes = "vec", tag = "15")]
    pub(crate) cluster: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum JoinOutcome {
    /// The new node's id.
    #[prost(uint64, tag = "1")]
    Allocated(u64),
    /// Ask the leader there.
    #[prost(string, tag = "2")]
    Redirect(String),
    #[prost(string, tag = "3")]
    Refused(String),
    #[prost(bool, tag = "4")]
    Voter(bool),
    /// A member that does not vote yet, and why.
    #[prost(string, tag = "5")]
    Learner(String),
    #[prost(bool, tag = "6")]
    Removed(bool),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct InviteCall {
    #[prost(string, tag = "1")]
    pub(crate) label: String,
    #[prost(string, tag = "2")]
    pub(crate) address: String,
}

/// Decodes our own bytes.
pub(crate) fn decode<M: Message + Default>(bytes: &[u8]) -> io::Result<M> {
    M::decode(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Encodes for the wire.
pub(crate) fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// The 16 bytes of a cluster id.
pub(crate) fn cluster_id(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

pub(crate) fn from_log_id(id: &LogId) -> LogIdRecord {
    LogIdRecord { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

pub(crate) fn to_log_id(record: &LogIdRecord) -> LogId {
    LogId::new(engine_leader(record.term, record.node), record.index)
}

pub(crate) fn from_vote(vote: &Vote) -> VoteRecord {
    VoteRecord { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

pub(crate) fn to_vote(record: &VoteRecord) -> Vote {
    Vote { leader_id: engine_leader(record.term, record.node), committed: record.committed }
}

pub(crate) fn leader_id(id: &LogId) -> LeaderId {
    LeaderId { term: id.leader_id.term, node: id.leader_id.node_id }
}

pub(crate) fn from_entry(entry: &Entry) -> EntryRecord {
    let payload = match &entry.payload {
        openraft::EntryPayload::Blank => PayloadRecord::Blank(true),
        openraft::EntryPayload::Normal(Proposal::Command(bytes)) => PayloadRecord::Command(bytes.clone()),
        openraft::EntryPayload::Normal(Proposal::Allocate) => PayloadRecord::Allocate(true),
        openraft::EntryPayload::Membership(members) => PayloadRecord::Membership(from_membership(members)),
    };
    EntryRecord { id: from_log_id(&entry.log_id), payload: Some(payload) }
}

/// An entry of a kind that this version does not know cannot be skipped: nodes would diverge.
pub(crate) fn to_entry(record: EntryRecord) -> io::Result<Entry> {
    let log_id = to_log_id(&record.id);
    let payload = match record.payload {
        Some(PayloadRecord::Blank(_)) => openraft::EntryPayload::Blank,
        Some(PayloadRecord::Command(bytes)) => openraft::EntryPayload::Normal(Proposal::Command(bytes)),
        Some(PayloadRecord::Allocate(_)) => openraft::EntryPayload::Normal(Proposal::Allocate),
        Some(PayloadRecord::Membership(members)) => {
            openraft::EntryPayload::Membership(to_membership(&members)?)
        }
        None => {
            let what = format!("raft entry {}: unknown kind, written by a newer version", record.id.index);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
    };
    Ok(Entry { log_id, payload })
}

pub(crate) fn from_membership(membership: &Membership<u64, Member>) -> MembershipRecord {
    MembershipRecord {
        configs: membership
            .get_joint_config()
            .iter()
            .map(|voters| VotersRecord { ids: voters.iter().copied().collect() })
            .collect(),
        nodes: membership.nodes().map(|(id, member)| from_member(*id, member)).collect(),
    }
}

pub(crate) fn to_membership(record: &MembershipRecord) -> io::Result<Membership<u64, Member>> {
    let configs: Vec<BTreeSet<u64>> =
        record.configs.iter().map(|voters| voters.ids.iter().copied().collect()).collect();
    let nodes: BTreeMap<u64, Member> = record.nodes.iter().map(|node| (node.id, to_member(node))).collect();
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("raft membership: {error}")))
}

pub(crate) fn from_member(id: u64, member: &Member) -> MemberRecord {
    MemberRecord { id, name: member.name.clone(), address: member.address.clone(), witness: member.witness }
}

pub(crate) fn to_member(record: &MemberRecord) -> Member {
    Member { name: record.name.clone(), address: record.address.clone(), witness: record.witness }
}

pub(crate) fn to_snapshot_meta(record: &SnapshotRecord) -> io::Result<SnapshotMeta> {
    Ok(SnapshotMeta {
        last_log_id: record.last.as_ref().map(to_log_id),
        last_membership: StoredMembership::new(
            record.membership_at.as_ref().map(to_log_id),
            to_membership(&record.membership)?,
        ),
    })
}

fn engine_leader(term: u64, node: u64) -> crate::engine::EngineLeaderId {
    crate::engine::EngineLeaderId { term, node_id: node }
}
