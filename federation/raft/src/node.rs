//! What the parts of one node share, and the engine once the node belongs to a cluster.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use env::{SharedClock, SharedRandom, Tasks};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Config, Instant, ServerState, SnapshotPolicy, StepDownPolicy};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::codec::IdentityRecord;
use crate::engine::{Engine, Member, Metrics};
use crate::log::LogStore;
use crate::machine::{AppliedTo, Machine};
use crate::net::{Factory, NetShared};
use crate::options::RaftOptions;
use crate::types::{ClusterStatus, LeaderId, Leadership, NodeId, NodeRef, NodeStatus, RaftError};

/// A member that answered within this time is reachable.
const REACHABLE: Duration = Duration::from_secs(5);
/// Proposals under way at this node at once.
const MAX_PROPOSALS: usize = 1_024;

/// One node.
pub(crate) struct Node {
    pub(crate) options: RaftOptions,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) tasks: Tasks,
    pub(crate) net: Arc<NetShared>,
    pub(crate) store: LogStore,
    pub(crate) machine: Machine,
    /// Tells this process from others of its name.
    pub(crate) nonce: u64,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) fatal: watch::Sender<Option<String>>,
    /// The leadership that this node is giving away: it must not act on it any more.
    pub(crate) transferring: Mutex<Option<LeaderId>>,
    /// One membership change at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// Monotonic time of the last append that a leader sent and this node took.
    pub(crate) heard: Mutex<Option<Duration>>,
    /// Addresses that invited this empty node.
    pub(crate) invited: Mutex<Vec<String>>,
    pub(crate) proposals: Semaphore,
    running: OnceLock<Running>,
}

/// A member's engine.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) id: NodeId,
    pub(crate) cluster: u128,
}

/// What a node is made of.
pub(crate) struct Parts {
    pub(crate) options: RaftOptions,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) tasks: Tasks,
    pub(crate) net: Arc<NetShared>,
    pub(crate) store: LogStore,
    pub(crate) machine: Machine,
    pub(crate) fatal: watch::Sender<Option<String>>,
}

impl Node {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            nonce: parts.random.next_u64(),
            options: parts.options,
            clock: parts.clock,
            random: parts.random,
            tasks: parts.tasks,
            net: parts.net,
            store: parts.store,
            machine: parts.machine,
            leadership: watch::channel(Leadership::default()).0,
            fatal: parts.fatal,
            transferring: Mutex::new(None),
            changing: tokio::sync::Mutex::new(()),
            heard: Mutex::new(None),
            invited: Mutex::new(Vec::new()),
            proposals: Semaphore::new(MAX_PROPOSALS),
            running: OnceLock::new(),
        }
    }

    /// Starts the engine of a node that knows who it is.
    pub(crate) async fn run(&self, identity: &IdentityRecord, cluster: u128) -> Result<(), RaftError> {
        let id = identity.node;
        let config =
            Arc::new(self.config().validate().map_err(|error| RaftError::Options(error.to_string()))?);
        let factory = Factory { shared: self.net.clone(), cluster, me: id };
        let engine = Engine::new(id, config, factory, self.store.clone(), self.machine.clone())
            .await
            .map_err(|error| RaftError::Engine(error.to_string()))?;
        if identity.founder && self.store.is_blank().map_err(|error| RaftError::Engine(error.to_string()))? {
            let members = std::collections::BTreeMap::from([(id, self.member())]);
            engine.initialize(members).await.map_err(|error| RaftError::Engine(error.to_string()))?;
        }
        let _ = self.running.set(Running { engine, id, cluster });
        Ok(())
    }

    fn config(&self) -> Config {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Config {
            cluster_name: self.options.cluster_label.clone(),
            // The engine's heartbeat interval is also a heartbeat's time limit. We beat more often than
            // that (`keep::beat`), so that a round trip may take nearly an election timeout.
            heartbeat_interval: millis(self.options.election_min) * 9 / 10,
            election_timeout_min: millis(self.options.election_min),
            election_timeout_max: millis(self.options.election_max),
            install_snapshot_timeout: 60_000,
            max_payload_entries: 512,
            replication_lag_threshold: self.options.keep_entries.max(1_000),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.options.snapshot_entries),
            max_in_snapshot_log_to_keep: self.options.keep_entries,
            purge_batch_size: (self.options.keep_entries / 10).max(1),
            enable_pre_vote: Some(true),
            // A restarted leader must be a new leader: what it had under way is of unknown outcome.
            enable_leader_restore: Some(false),
            removed_leader_step_down: StepDownPolicy::After(millis(self.options.heartbeat)),
            api_channel_size: Some(4_096),
            notification_channel_size: Some(4_096),
            ..Config::default()
        }
    }

    /// The engine, once this node belongs to a cluster.
    pub(crate) fn running(&self) -> Option<&Running> {
        self.running.get()
    }

    /// This node as a member.
    pub(crate) fn member(&self) -> Member {
        Member {
            name: self.options.node_name.clone(),
            address: self.options.advertise.clone(),
            witness: self.options.witness,
        }
    }

    /// Says that consensus cannot go on here.
    pub(crate) fn fail(&self, reason: String) {
        self.fatal.send_if_modified(|fatal| {
            let first = fatal.is_none();
            if first {
                tracing::error!(%reason, "consensus stopped on this node");
                *fatal = Some(reason);
            }
            first
        });
    }

    /// Why consensus stopped here, if it did.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.fatal.borrow().clone()
    }

    /// Works out who leads.
    pub(crate) fn leadership_now(&self, metrics: &Metrics, applied: AppliedTo) -> Leadership {
        let leader = metrics.current_leader.and_then(|id| {
            let member = metrics.membership_config.membership().get_node(&id)?;
            Some((NodeRef { id, name: member.name.clone(), address: member.address.clone() }, member.witness))
        });
        let Some((leader, witness)) = leader.filter(|_| metrics.vote.committed) else {
            return Leadership::default();
        };
        let leader_id = LeaderId { term: metrics.vote.leader_id.term, node: metrics.vote.leader_id.node_id };
        let is_me =
            metrics.state == ServerState::Leader && leader.id == metrics.id && applied.leader == leader_id;
        Leadership { leader: Some(leader), leader_id, is_me, witness, since: Duration::ZERO }
    }

    /// Still the leader, with a quorum's answer fresh enough that no other can have been elected.
    pub(crate) fn lease_valid(&self) -> bool {
        let (Some(running), None) = (self.running(), self.stopped()) else { return false };
        let Ok(leader) = running.engine.as_leader() else { return false };
        let id = LeaderId { term: leader.leader_id().term, node: leader.leader_id().node_id };
        if *self.transferring.lock() == Some(id) || self.leadership.borrow().leader_id != id {
            return false;
        }
        match self.voting(running) {
            Voting::Alone => true,
            Voting::No => false,
            Voting::WithOthers => {
                leader.last_quorum_acked().is_some_and(|at| at.elapsed() < self.options.election_min * 9 / 10)
            }
        }
    }

    /// Monotonic time at which this node last knew that it was connected to a quorum.
    pub(crate) fn last_quorum_contact(&self) -> Option<Duration> {
        let running = self.running()?;
        if let Ok(leader) = running.engine.as_leader() {
            let now = self.clock.monotonic();
            return match self.voting(running) {
                Voting::Alone => Some(now),
                _ => leader.last_quorum_acked().map(|at| now.saturating_sub(at.elapsed())),
            };
        }
        *self.heard.lock()
    }

    fn voting(&self, running: &Running) -> Voting {
        let metrics = running.metrics();
        let membership = metrics.membership_config.membership();
        let all: std::collections::BTreeSet<_> = membership.voter_ids().collect();
        match (all.contains(&running.id), all.len()) {
            (false, _) => Voting::No,
            (true, 1) => Voting::Alone,
            _ => Voting::WithOthers,
        }
    }

    /// Time since a member answered: since `floor` if it never did after that.
    pub(crate) fn silent_for(&self, id: NodeId, floor: Duration) -> Duration {
        let last = self.net.contacts.last(id).unwrap_or_default().max(floor);
        self.clock.monotonic().saturating_sub(last)
    }

    /// Whether a member answered lately.
    pub(crate) fn reachable(&self, id: NodeId) -> bool {
        self.net.contacts.last(id).is_some_and(|at| self.clock.monotonic().saturating_sub(at) < REACHABLE)
    }

    /// The cluster as this node sees it.
    pub(crate) fn status(&self) -> ClusterStatus {
        let Some(running) = self.running() else { return ClusterStatus::default() };
        let metrics = running.metrics();
        let membership = metrics.membership_config.membership();
        let now = self.clock.monotonic();
        let nodes = membership.nodes().map(|(id, member)| {
            let me = *id == running.id;
            let last = if me { Some(now) } else { self.net.contacts.last(*id) };
            let last_contact = last.map(|at| now.saturating_sub(at));
            NodeStatus {
                id: *id,
                name: member.name.clone(),
                address: member.address.clone(),
                voter: membership.voter_ids().any(|voter| voter == *id),
                witness: member.witness,
                reachable: last_contact.is_some_and(|ago| ago < REACHABLE),
                last_contact,
                matched: metrics
                    .replication
                    .as_ref()
                    .and_then(|all| all.get(id)?.as_ref().map(|id| id.index)),
            }
        });
        ClusterStatus {
            cluster_id: format!("{:032x}", running.cluster),
            node_id: running.id,
            term: metrics.current_term,
            leader: metrics.current_leader,
            applied: metrics.last_applied.map_or(0, |id| id.index),
            committed: metrics.local_committed.map_or(0, |id| id.index),
            changing: membership.get_joint_config().len() > 1,
            nodes: nodes.collect(),
        }
    }

    /// Refuses to run where the log needs a snapshot that is not there.
    pub(crate) fn check_snapshot(&self) -> io::Result<()> {
        let (purged, snapshot) = (self.store.purged(), self.machine.snapshot_at());
        if purged.map(|id| id.index) > snapshot.map(|id| id.index) {
            return Err(io::Error::other(format!(
                "the log starts after {} but the newest whole snapshot ends at {}; \
                 empty this node's raft folder to let it join again",
                purged.map_or(0, |id| id.index),
                snapshot.map_or(0, |id| id.index)
            )));
        }
        Ok(())
    }
}

impl Running {
    /// The engine's view of now.
    pub(crate) fn metrics(&self) -> Metrics {
        // Never held over an await: the engine would wait for it.
        self.engine.metrics().borrow_watched().clone()
    }
}

enum Voting {
    No,
    Alone,
    WithOthers,
}
