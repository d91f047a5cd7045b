//! The public face: one member of one raft group.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, SharedRandom, Tasks};
use telemetry::Registry;
use tokio::sync::watch;
use tonic::service::Routes;

use crate::ask::{self, Deadline};
use crate::codec::{self, InviteCall, LeaderOutcome, MemberCall};
use crate::log::{self, LogStore};
use crate::machine::Machine;
use crate::members;
use crate::metrics::Metrics;
use crate::net::{Addresses, Contacts, Lane, NetShared, Pool};
use crate::node::{Node, Parts};
use crate::options::RaftOptions;
use crate::snapshot::SnapshotDir;
use crate::types::{
    ClusterStatus, Leadership, MemberError, NodeId, ProposeError, RaftError, ReadError, StateMachine,
};
use crate::wire::{self, Call, Envelope};
use crate::{form, keep};

/// One member of a raft group; clones share it.
#[derive(Clone)]
pub struct Raft(Arc<Node>);

impl fmt::Debug for Raft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raft").field("node", &self.0.options.node_name).finish_non_exhaustive()
    }
}

impl Raft {
    /// Opens the log, restores the newest snapshot into `state`, applies what is known to be committed, and
    /// takes part from then on. An empty node asks its peers in the background: mount [`Raft::service`] at once.
    ///
    /// # Errors
    /// Options that cannot work; a log or snapshot that cannot be read.
    pub async fn start(
        options: RaftOptions,
        state: Arc<dyn StateMachine>,
        clock: SharedClock,
        random: SharedRandom,
        tasks: &Tasks,
        registry: &Registry,
    ) -> Result<Self, RaftError> {
        options.check()?;
        let tasks = tasks.child();
        let tls = options.tls.as_ref().map(|files| files.client()).transpose()?;
        let net = NetShared {
            pool: Pool::new(tls),
            contacts: Contacts::default(),
            addresses: Addresses::default(),
            clock: clock.clone(),
            metrics: Metrics::new(registry),
        };
        let fatal = watch::channel(None).0;
        let dir = options.dir.clone();
        let store = LogStore::open(&log::log_dir(&dir), fatal.clone())?;
        let snapshots = dir.join("snapshots");
        let wrong =
            |error: std::io::Error| RaftError::Snapshot { dir: snapshots.clone(), reason: error.to_string() };
        let identity = store.identity().map_err(|error| RaftError::Log { dir, reason: error.to_string() })?;
        let files = SnapshotDir::new(&snapshots).map_err(wrong)?;
        if identity.is_none() {
            files.clear().map_err(wrong)?;
        }
        let machine = Machine::open(state, files, tasks.clone()).map_err(wrong)?;
        let parts = Parts { options, clock, random, tasks, net: Arc::new(net), store, machine, fatal };
        let node = Arc::new(Node::new(parts));
        node.check_snapshot().map_err(wrong)?;
        match identity {
            Some(identity) => {
                let cluster = codec::cluster_id(&identity.cluster)
                    .ok_or_else(|| RaftError::Engine("the stored cluster id is not 16 bytes".to_owned()))?;
                node.run(&identity, cluster).await?;
            }
            None => {
                let forming = node.clone();
                node.tasks.spawn(form::form(forming));
            }
        }
        keep::start(&node);
        Ok(Self(node))
    }

    /// The gRPC service, to be served on the advertised address.
    #[must_use]
    pub fn service(&self) -> Routes {
        wire::routes(self.0.clone())
    }

    /// Adds the gRPC service to a server's other routes.
    #[must_use]
    pub fn add_to(&self, routes: Routes) -> Routes {
        wire::add_to(self.0.clone(), routes)
    }

    /// Has a command applied by every node, and returns what applying it answered.
    ///
    /// Any node takes it and forwards it to the leader. When it returns, this node has applied it.
    ///
    /// # Errors
    /// After `wait` at the latest. [`ProposeError::Timeout`]: the command may still be applied. All others:
    /// it never will be.
    pub async fn propose(&self, command: Vec<u8>, wait: Duration) -> Result<Vec<u8>, ProposeError> {
        ask::propose(&self.0, command, wait).await
    }

    /// Waits until this node has applied everything that anybody saw committed before the call.
    ///
    /// # Errors
    /// After `wait` at the latest, when that could not be confirmed.
    pub async fn read_index(&self, wait: Duration) -> Result<(), ReadError> {
        ask::read_index(&self.0, wait).await
    }

    /// Follows who leads.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.subscribe()
    }

    /// Whether this node leads, is not handing over, and a quorum answered something it sent within the last
    /// nine tenths of `election_min`: no other node can lead yet.
    #[must_use]
    pub fn lease_valid(&self) -> bool {
        self.0.lease_valid()
    }

    /// Monotonic time (on the clock given at start) at which this node last knew that it was connected to a
    /// quorum: as leader by its members' answers, as follower by its leader's appends. None if never.
    #[must_use]
    pub fn last_quorum_contact(&self) -> Option<Duration> {
        self.0.last_quorum_contact()
    }

    /// Whether [`Raft::last_quorum_contact`] is less than `election_max` ago.
    #[must_use]
    pub fn attached(&self) -> bool {
        let now = self.0.clock.monotonic();
        self.last_quorum_contact().is_some_and(|at| now.saturating_sub(at) < self.0.options.election_max)
    }

    /// Set once consensus cannot go on here, with the reason: the process should exit.
    #[must_use]
    pub fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.0.fatal.subscribe()
    }

    /// The cluster as this node sees it.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        self.0.status()
    }

    /// Invites the empty node at `address` and waits until it votes; returns its id.
    ///
    /// # Errors
    /// When it does not answer, belongs to a cluster already, or does not vote after `wait`.
    pub async fn add(&self, address: &str, wait: Duration) -> Result<NodeId, MemberError> {
        let deadline = Deadline::after(wait);
        let call = InviteCall {
            label: self.0.options.cluster_label.clone(),
            address: self.0.options.advertise.clone(),
        };
        let envelope = Envelope { body: codec::encode(&call), ..Envelope::default() };
        let refused = |error: wire::CallError| MemberError::Refused(format!("{address}: {error}"));
        let channel = self.0.net.pool.channel(address, Lane::Control).map_err(refused)?;
        wire::call(channel, Call::Invite, envelope, deadline.left()).await.map_err(refused)?;
        loop {
            let found = self.status().nodes.into_iter().find(|node| node.address == address && node.voter);
            if let Some(node) = found {
                return Ok(node.id);
            }
            if deadline.passed() {
                return Err(MemberError::Timeout(format!("{address} was invited but does not vote yet")));
            }
            tokio::time::sleep(Duration::from_millis(50).min(deadline.left())).await;
        }
    }

    /// Removes a member by name or by id (as decimal digits); its id never comes back.
    ///
    /// # Errors
    /// When nobody is called that, when it is the last voter, or when there is no quorum for the change.
    pub async fn remove(&self, member: &str, wait: Duration) -> Result<(), MemberError> {
        let named = self.status().nodes.iter().any(|node| node.name == member);
        let call = match member.parse() {
            Ok(id) if !named => MemberCall { id, name: String::new() },
            _ => MemberCall { id: 0, name: member.to_owned() },
        };
        self.at_leader(Call::Remove, call, wait).await
    }

    /// Hands leadership to `to`, or to the best other voter.
    ///
    /// # Errors
    /// When `to` is no voter, when no other voter answers, or when it has not taken over after a few election
    /// timeouts.
    pub async fn transfer(&self, to: Option<NodeId>, wait: Duration) -> Result<(), MemberError> {
        let call = MemberCall { id: to.unwrap_or_default(), name: String::new() };
        self.at_leader(Call::Handover, call, wait).await
    }

    /// Hands leadership over if this node has it, stops, and closes the log.
    ///
    /// # Errors
    /// When the engine had already failed, or tasks were left after `wait`.
    pub async fn shutdown(&self, wait: Duration) -> Result<(), RaftError> {
        let deadline = Deadline::after(wait);
        let node = &self.0;
        let mut result = Ok(());
        if let Some(running) = node.running() {
            if running.engine.is_leader()
                && running.metrics().membership_config.membership().voter_ids().count() > 1
            {
                let handed = members::handover(node, running, None);
                let _ = tokio::time::timeout(deadline.left() / 2, handed).await;
            }
            node.tasks.stop();
            let stopped = running.engine.shutdown().await;
            result = stopped.map_err(|error| RaftError::Engine(error.to_string()));
        }
        let left = node.tasks.shutdown(deadline.left().max(Duration::from_millis(100))).await;
        node.store.close().await;
        node.fatal.send_if_modified(|fatal| {
            fatal.get_or_insert_with(|| "shut down".to_owned());
            false
        });
        result.and(left.map_err(|error| RaftError::Engine(error.to_string())))
    }

    #[cfg(test)]
    pub(crate) fn node(&self) -> &Node {
        &self.0
    }

    async fn at_leader(&self, call: Call, body: MemberCall, wait: Duration) -> Result<(), MemberError> {
        let deadline = Deadline::after(wait);
        loop {
            let Some((running, leader)) = ask::leader_within(&self.0, deadline).await else {
                return Err(MemberError::NoLeader);
            };
            let outcome = if leader.id == running.id {
                match call {
                    Call::Remove => members::remove(&self.0, running, &body).await,
                    _ => members::handover(&self.0, running, Some(body.id).filter(|id| *id != 0)).await,
                }
            } else {
                ask::ask_leader(&self.0, running, &leader, call, codec::encode(&body), deadline.left()).await
            };
            match outcome {
                LeaderOutcome::Done(_) => return Ok(()),
                LeaderOutcome::NotFound(what) => return Err(MemberError::NotFound(what)),
                LeaderOutcome::Refused(why) => return Err(MemberError::Refused(why)),
                LeaderOutcome::Unknown(why) => return Err(MemberError::Timeout(why)),
                LeaderOutcome::NotLeader(_) | LeaderOutcome::NoQuorum(_) if deadline.passed() => {
                    return Err(MemberError::NoLeader);
                }
                LeaderOutcome::NotLeader(_) | LeaderOutcome::NoQuorum(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}
