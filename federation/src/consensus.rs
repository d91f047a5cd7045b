//! Joins raft and the alertmanager, which do not know each other: state machine, journal and lease.

use std::sync::Arc;
use std::time::Duration;

use alertmanager::{Journal, JournalError, Leading, Lease, Peer, SharedState};
use env::Tasks;
use futures_util::future::BoxFuture;
use raft::{Leadership, ProposeError, Raft, ReadError, StateMachine};
use tokio::sync::watch;

/// A command that is not committed by then may still be: its proposer looks again.
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// A read that could not be confirmed by then is answered from what is here.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The alertmanager's state as raft drives it.
pub(crate) struct Machine(pub(crate) SharedState);

impl StateMachine for Machine {
    fn apply(&self, at: raft::Applied, command: &[u8]) -> Vec<u8> {
        self.0.apply(alertmanager::Applied { index: at.index, leader: leader_id(at.leader) }, command)
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.snapshot()
    }

    fn restore(&self, bytes: &[u8]) -> Result<(), String> {
        self.0.restore(bytes).map_err(|error| error.to_string())
    }
}

/// Raft as the alertmanager's journal and lease.
pub(crate) struct Consensus {
    raft: Arc<Raft>,
    leading: watch::Receiver<Option<Leading>>,
}

impl Consensus {
    /// Follows `raft` until the tasks are stopped.
    pub(crate) fn new(raft: Arc<Raft>, tasks: &Tasks) -> Arc<Self> {
        let mut leadership = raft.leadership();
        let (sender, watching) = watch::channel(leading(&leadership.borrow_and_update()));
        let stop = tasks.token();
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    changed = leadership.changed() => if changed.is_err() { return },
                    () = stop.cancelled() => return,
                }
                let now = leading(&leadership.borrow_and_update());
                sender.send_if_modified(|before| std::mem::replace(before, now) != now);
            }
        });
        Arc::new(Self { raft, leading: watching })
    }
}

/// This node leads, and as one that may send.
fn leading(leadership: &Leadership) -> Option<Leading> {
    (leadership.is_me && !leadership.witness)
        .then(|| Leading { leader: leader_id(leadership.leader_id), since: leadership.since })
}

fn leader_id(leader: raft::LeaderId) -> alertmanager::LeaderId {
    alertmanager::LeaderId { term: leader.term, node: leader.node }
}

impl Journal for Consensus {
    fn propose(&self, command: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, JournalError>> {
        Box::pin(async move {
            self.raft.propose(command, PROPOSE_TIMEOUT).await.map_err(|error| match error {
                ProposeError::NoLeader => JournalError::NoLeader,
                ProposeError::NoQuorum => JournalError::NoQuorum,
                ProposeError::Timeout(why) => JournalError::Unknown(why),
                other => JournalError::Refused(other.to_string()),
            })
        })
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move {
            self.raft.read_index(READ_TIMEOUT).await.map_err(|error| match error {
                ReadError::NoLeader => JournalError::NoLeader,
                other => JournalError::Unknown(other.to_string()),
            })
        })
    }
}

impl Lease for Consensus {
    fn leading(&self) -> watch::Receiver<Option<Leading>> {
        self.leading.clone()
    }

    fn may_send(&self) -> bool {
        self.leading.borrow().is_some() && self.raft.lease_valid()
    }

    fn quorum_available(&self) -> bool {
        self.raft.attached()
    }

    fn attached(&self) -> bool {
        self.raft.attached()
    }

    fn cluster(&self) -> String {
        self.raft.status().cluster_id
    }

    fn node(&self) -> u64 {
        self.raft.status().node_id
    }

    fn peers(&self) -> Vec<Peer> {
        let status = self.raft.status();
        let peer = |node: raft::NodeStatus| Peer {
            alive: node.reachable || node.id == status.node_id,
            name: node.name,
            address: node.address,
        };
        status.nodes.into_iter().map(peer).collect()
    }
}
