//! What others see of consensus: ids, the state machine they bring, leadership, status, errors.

use std::path::PathBuf;
use std::time::Duration;

/// A member's id: given by the cluster, never given twice.
pub type NodeId = u64;

/// Who led when something was decided: ordered, and unique in the cluster's history.
///
/// Several leaders can share a term, so the term alone fences nothing. `0, 0` is nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderId {
    /// The election's term.
    pub term: u64,
    /// The node that won it.
    pub node: NodeId,
}

/// Where in the log a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entry's index: strictly increasing, with holes where raft writes entries of its own.
    pub index: u64,
    /// The leader that proposed it.
    pub leader: LeaderId,
}

/// What the log's commands build, the same on every node.
///
/// Held in memory: raft persists the log and the snapshots, and applies again after a restart. The
/// calls never overlap.
pub trait StateMachine: Send + Sync + 'static {
    /// Applies a committed command and returns the answer for its proposer. Must be deterministic,
    /// and must not fail: a command that makes no sense is answered, not refused.
    fn apply(&self, at: Applied, command: &[u8]) -> Vec<u8>;

    /// The whole state as bytes.
    fn snapshot(&self) -> Vec<u8>;

    /// Replaces the whole state.
    ///
    /// # Errors
    /// When the bytes are no snapshot of this machine; the state must then be unchanged.
    fn restore(&self, bytes: &[u8]) -> Result<(), String>;
}

/// A member as others reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeRef {
    /// Its id.
    pub id: NodeId,
    /// Its `--node-name`.
    pub name: String,
    /// `host:port` of its gRPC listener.
    pub address: String,
}

/// Who leads, as this node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if one is known. Not a proof that it still leads.
    pub leader: Option<NodeRef>,
    /// Its leader id; `0, 0` without a leader.
    pub leader_id: LeaderId,
    /// This node leads and has applied everything that earlier leaders committed.
    pub is_me: bool,
    /// The leader is a witness: nothing is sent from it, and it hands over soon.
    pub witness: bool,
    /// Monotonic time of this change.
    pub since: Duration,
}

/// The cluster as one node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterStatus {
    /// 32 hexadecimal digits; empty until this node belongs to a cluster.
    pub cluster_id: String,
    /// This node's id; 0 until it has one.
    pub node_id: NodeId,
    /// The current term.
    pub term: u64,
    /// The leader, if known.
    pub leader: Option<NodeId>,
    /// Index of the last applied entry.
    pub applied: u64,
    /// Index of the last committed entry known here.
    pub committed: u64,
    /// A change of members is under way: until it is through, it takes a majority of those before and one of
    /// those after.
    pub changing: bool,
    /// Every member, by id.
    pub nodes: Vec<NodeStatus>,
}

/// One member as another sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// `host:port` of its gRPC listener.
    pub address: String,
    /// Counts for quorums.
    pub voter: bool,
    /// Votes, but holds no samples and sends nothing.
    pub witness: bool,
    /// Answered within the last five seconds.
    pub reachable: bool,
    /// Time since it last answered; none if it never did.
    pub last_contact: Option<Duration>,
    /// Index up to which its log equals the leader's: known at the leader only.
    pub matched: Option<u64>,
}

/// Why consensus could not start or stopped.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RaftError {
    /// An option that cannot work.
    #[error("raft options: {0}")]
    Options(String),
    /// The log could not be opened or written.
    #[error("raft log {}: {reason}", dir.display())]
    Log {
        /// The log's folder.
        dir: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// The state machine cannot be rebuilt.
    #[error("raft snapshot in {}: {reason}", dir.display())]
    Snapshot {
        /// The snapshots' folder.
        dir: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// A certificate or key could not be used.
    #[error("raft TLS: {0}")]
    Tls(String),
    /// The consensus engine gave up.
    #[error("raft engine: {0}")]
    Engine(String),
}

/// Why a proposal has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No leader was known before the deadline; nothing was proposed.
    #[error("no leader")]
    NoLeader,
    /// The leader has no quorum; nothing was proposed.
    #[error("the leader has no quorum")]
    NoQuorum,
    /// The command may still be applied, or not.
    #[error("outcome unknown: {0}")]
    Timeout(String),
    /// The command is over the limit, in bytes; nothing was proposed.
    #[error("a command of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// This node's consensus stopped; nothing was proposed.
    #[error("stopped: {0}")]
    Stopped(String),
}

/// Why a read cannot be linearizable now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader was known before the deadline.
    #[error("no leader")]
    NoLeader,
    /// The leader could not confirm that it leads before the deadline.
    #[error("the leader has no quorum")]
    NoQuorum,
    /// This node had not applied enough at the deadline.
    #[error("this node lags behind the leader")]
    Timeout,
    /// This node's consensus stopped.
    #[error("stopped: {0}")]
    Stopped(String),
}

/// Why the membership was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// No leader was known before the deadline.
    #[error("no leader")]
    NoLeader,
    /// No member has this name or id.
    #[error("no member {0}")]
    NotFound(String),
    /// The change is not allowed now.
    #[error("refused: {0}")]
    Refused(String),
    /// The change may or may not have happened.
    #[error("outcome unknown: {0}")]
    Timeout(String),
}

/// One command of a log on disk, see [`read_log`](crate::read_log): index, leader, bytes.
pub type LoggedCommand = (u64, LeaderId, Vec<u8>);
