//! The outside of the alertmanager: where commands go, and who may send.

use std::sync::Arc;
use std::time::Duration;

use env::Tasks;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use crate::command::{Applied, Command, LeaderId, Reply};
use crate::shared::SharedState;

/// Why a proposal has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Nobody leads; nothing was proposed.
    #[error("no leader")]
    NoLeader,
    /// The leader has no quorum; nothing was proposed.
    #[error("no quorum")]
    NoQuorum,
    /// It may be applied, now or later, or never.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// It can never be proposed, or this node has stopped.
    #[error("{0}")]
    Refused(String),
}

/// Where commands go: a replicated log in front of the [`SharedState`].
pub trait Journal: Send + Sync {
    /// Proposes an encoded command; answers with the encoded reply once it is applied **here**.
    fn propose(&self, command: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, JournalError>>;

    /// Resolves when the state here holds everything that was committed before the call.
    fn read_barrier(&self) -> BoxFuture<'_, Result<(), JournalError>>;
}

/// This node leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leading {
    /// Under this id.
    pub leader: LeaderId,
    /// Since this monotonic time.
    pub since: Duration,
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// `host:port` at which it is reached.
    pub address: String,
    /// It answered lately.
    pub alive: bool,
}

/// Who may send, as consensus knows it.
pub trait Lease: Send + Sync {
    /// Whether this node leads and has applied what earlier leaders committed.
    fn leading(&self) -> watch::Receiver<Option<Leading>>;

    /// This node leads and a quorum confirmed it so lately that nobody else can.
    fn may_send(&self) -> bool;

    /// A leader with a quorum is known, here or elsewhere.
    fn quorum_available(&self) -> bool;

    /// This node hears a leader that has a quorum.
    fn attached(&self) -> bool;

    /// The cluster's id; empty until this node belongs to one.
    fn cluster(&self) -> String;

    /// This node's id; 0 until it has one.
    fn node(&self) -> u64;

    /// Every member, this node included.
    fn peers(&self) -> Vec<Peer>;
}

/// A journal that applies at once: one node without consensus.
#[derive(Debug)]
pub struct LocalJournal {
    state: SharedState,
    leader: LeaderId,
    apply: parking_lot::Mutex<()>,
}

impl LocalJournal {
    /// Applies to `state` in the name of `leader`.
    #[must_use]
    pub fn new(state: SharedState, leader: LeaderId) -> Self {
        Self { state, leader, apply: parking_lot::Mutex::new(()) }
    }
}

impl Journal for LocalJournal {
    fn propose(&self, command: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, JournalError>> {
        let guard = self.apply.lock();
        let index = self.state.read(crate::State::index) + 1;
        let reply = self.state.apply(Applied { index, leader: self.leader }, &command);
        drop(guard);
        Box::pin(std::future::ready(Ok(reply)))
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The lease of a node without consensus: it always leads.
#[derive(Debug)]
pub struct LocalLease {
    leading: watch::Sender<Option<Leading>>,
    peer: Peer,
}

impl LocalLease {
    /// Leads as `leader` since monotonic time `since`; `peer` is this node.
    #[must_use]
    pub fn new(leader: LeaderId, since: Duration, peer: Peer) -> Self {
        Self { leading: watch::Sender::new(Some(Leading { leader, since })), peer }
    }
}

impl Lease for LocalLease {
    fn leading(&self) -> watch::Receiver<Option<Leading>> {
        self.leading.subscribe()
    }

    fn may_send(&self) -> bool {
        true
    }

    fn quorum_available(&self) -> bool {
        true
    }

    fn attached(&self) -> bool {
        true
    }

    fn cluster(&self) -> String {
        String::new()
    }

    fn node(&self) -> u64 {
        self.leading.borrow().map_or(0, |leading| leading.leader.node)
    }

    fn peers(&self) -> Vec<Peer> {
        vec![self.peer.clone()]
    }
}

/// Commands that wait at most; a caller beyond that waits for its turn.
const QUEUE: usize = 4_096;
/// A batch ends at this many commands or bytes.
const BATCH_COMMANDS: usize = 512;
const BATCH_BYTES: usize = 512 << 10;

type Waiting = (Command, oneshot::Sender<Result<Reply, JournalError>>);

/// Proposes commands, those that wait while one is under way together in the next.
#[derive(Clone)]
pub(crate) struct Proposer(mpsc::Sender<Waiting>);

impl Proposer {
    pub(crate) fn start(journal: Arc<dyn Journal>, tasks: &Tasks) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tasks.spawn(run(journal, receiver, tasks.token()));
        Self(sender)
    }

    /// The command's reply, once it is applied here.
    pub(crate) async fn propose(&self, command: Command) -> Result<Reply, JournalError> {
        let stopped = || JournalError::Refused("this node is stopping".to_owned());
        let (sender, receiver) = oneshot::channel();
        self.0.send((command, sender)).await.map_err(|_| stopped())?;
        receiver.await.map_err(|_| JournalError::Unknown("this node is stopping".to_owned()))?
    }
}

async fn run(
    journal: Arc<dyn Journal>,
    mut queue: mpsc::Receiver<Waiting>,
    stop: tokio_util::sync::CancellationToken,
) {
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(waiting) => waiting,
            None => tokio::select! {
                waiting = queue.recv() => match waiting {
                    Some(waiting) => waiting,
                    None => return,
                },
                () = stop.cancelled() => return,
            },
        };
        let mut bytes = size(&first.0);
        let (mut commands, mut answers) = (vec![first.0], vec![first.1]);
        while commands.len() < BATCH_COMMANDS
            && let Ok(waiting) = queue.try_recv()
        {
            bytes += size(&waiting.0);
            if bytes > BATCH_BYTES {
                next = Some(waiting);
                break;
            }
            commands.push(waiting.0);
            answers.push(waiting.1);
        }
        answer(propose_all(&*journal, commands).await, answers);
    }
}

async fn propose_all(journal: &dyn Journal, mut commands: Vec<Command>) -> Result<Vec<Reply>, JournalError> {
    let single = commands.len() == 1;
    let command = if single { commands.remove(0) } else { Command::Batch(commands) };
    let reply = journal.propose(command.encode()).await?;
    match Reply::decode(&reply) {
        Some(Reply::Batch(replies)) => Ok(replies),
        Some(reply) if single => Ok(vec![reply]),
        _ => Err(JournalError::Unknown("the reply is not one of ours".to_owned())),
    }
}

fn answer(
    outcome: Result<Vec<Reply>, JournalError>,
    answers: Vec<oneshot::Sender<Result<Reply, JournalError>>>,
) {
    match outcome {
        Ok(replies) => {
            for (reply, to) in replies.into_iter().zip(answers) {
                let _ = to.send(Ok(reply));
            }
        }
        Err(error) => {
            for to in answers {
                let _ = to.send(Err(error.clone()));
            }
        }
    }
}

/// About how many bytes a command takes.
fn size(command: &Command) -> usize {
    let content = |content: &crate::Content| 10 * (content.firing.len() + content.resolved.len());
    match command {
        Command::AlertUpsert(alerts) => alerts.iter().map(crate::ingest::alert_size).sum(),
        Command::TouchBatch { ends, .. } => 8 * ends.len(),
        Command::Gc { alerts, .. } => 16 * alerts.len(),
        Command::Intent { content: it, .. } | Command::Record { content: it, .. } => 256 + content(it),
        Command::MergeOverlay(_) => BATCH_BYTES,
        Command::GroupAnchor(anchors) => 128 * anchors.len(),
        Command::GroupDrop(keys) => 128 * keys.len(),
        _ => 256,
    }
}
