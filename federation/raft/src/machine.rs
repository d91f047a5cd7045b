//! The state machine as openraft drives it: position and state change together, snapshots are files.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use env::Tasks;
use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, Snapshot, alias};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::codec::{self, SnapshotRecord};
use crate::engine::{Entry, LogId, Proposal, Reply, SnapshotMeta, StoredMembership, TypeConfig};
use crate::snapshot::{Image, SnapshotDir};
use crate::types::{Applied, LeaderId, StateMachine};

type EngineSnapshot = alias::SnapshotOf<TypeConfig, Bytes>;

/// Ids given out and not used yet: more than this, and the oldest are forgotten.
const MAX_PENDING: usize = 64;

/// The state machine; clones share it.
#[derive(Clone)]
pub(crate) struct Machine(Arc<Shared>);

struct Shared {
    state: Arc<dyn StateMachine>,
    /// Held while the state changes, so that a snapshot and its position belong together.
    position: Mutex<Position>,
    current: Mutex<Option<Image>>,
    dir: SnapshotDir,
    applied: watch::Sender<AppliedTo>,
    bytes: AtomicU64,
    tasks: Tasks,
}

#[derive(Clone, Default)]
struct Position {
    last: Option<LogId>,
    membership: StoredMembership,
    pending: BTreeSet<u64>,
}

/// How far this node has applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AppliedTo {
    pub(crate) index: u64,
    pub(crate) leader: LeaderId,
}

impl Machine {
    /// Restores the newest snapshot into `state`.
    pub(crate) fn open(state: Arc<dyn StateMachine>, dir: SnapshotDir, tasks: Tasks) -> io::Result<Self> {
        let shared = Shared {
            state,
            position: Mutex::default(),
            current: Mutex::new(None),
            dir,
            applied: watch::channel(AppliedTo::default()).0,
            bytes: AtomicU64::new(0),
            tasks,
        };
        let machine = Self(Arc::new(shared));
        if let Some(image) = machine.0.dir.newest()? {
            machine.restore(&image)?;
            *machine.0.current.lock() = Some(image);
        }
        Ok(machine)
    }

    /// Follows what is applied here.
    pub(crate) fn applied(&self) -> watch::Receiver<AppliedTo> {
        self.0.applied.subscribe()
    }

    /// Whether `id` was given out and never became a member.
    pub(crate) fn is_pending(&self, id: u64) -> bool {
        self.0.position.lock().pending.contains(&id)
    }

    /// Bytes of commands applied since the last snapshot.
    pub(crate) fn bytes_since_snapshot(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// The last entry that the stored snapshot covers.
    pub(crate) fn snapshot_at(&self) -> Option<LogId> {
        self.0.current.lock().as_ref().and_then(|image| image.head.last.as_ref().map(codec::to_log_id))
    }

    fn restore(&self, image: &Image) -> io::Result<()> {
        let meta = codec::to_snapshot_meta(&image.head)?;
        let mut position = self.0.position.lock();
        self.0
            .state
            .restore(&image.body)
            .map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?;
        position.last = meta.last_log_id;
        position.membership = meta.last_membership;
        position.pending = image.head.pending.iter().copied().collect();
        self.tell(&position);
        Ok(())
    }

    fn apply_entry(&self, entry: &Entry) -> Reply {
        let mut position = self.0.position.lock();
        let (id, mut reply) = (entry.log_id, Reply::default());
        match &entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(Proposal::Allocate) => {
                position.pending.insert(id.index);
                if position.pending.len() > MAX_PENDING {
                    position.pending.pop_first();
                }
            }
            EntryPayload::Normal(Proposal::Command(bytes)) => {
                self.0.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                let at = Applied { index: id.index, leader: codec::leader_id(&id) };
                reply = Reply(self.0.state.apply(at, bytes));
            }
            EntryPayload::Membership(membership) => {
                for (node, _) in membership.nodes() {
                    position.pending.remove(node);
                }
                position.membership = StoredMembership::new(Some(id), membership.clone());
            }
        }
        position.last = Some(id);
        self.tell(&position);
        reply
    }

    fn tell(&self, position: &Position) {
        if let Some(id) = &position.last {
            self.0.applied.send_replace(AppliedTo { index: id.index, leader: codec::leader_id(id) });
        }
    }

    fn capture(&self) -> Image {
        let position = self.0.position.lock();
        let head = SnapshotRecord {
            last: position.last.as_ref().map(codec::from_log_id),
            membership_at: position.membership.log_id().as_ref().map(codec::from_log_id),
            membership: codec::from_membership(position.membership.membership()),
            pending: position.pending.iter().copied().collect(),
        };
        let body = self.0.state.snapshot();
        self.0.bytes.store(0, Ordering::Relaxed);
        drop(position);
        Image::new(head, &body)
    }

    /// Stores an image unless a newer one is there.
    async fn keep(&self, image: Image) -> io::Result<()> {
        let shared = self.0.clone();
        let work = move || {
            // Held over the write: a slow build must not replace what was installed meanwhile.
            let mut current = shared.current.lock();
            if current.as_ref().is_none_or(|stored| stored.index() <= image.index()) {
                shared.dir.store(&image)?;
                *current = Some(image);
            }
            Ok(())
        };
        self.0.tasks.spawn_blocking(work).await.map_err(io::Error::other)?
    }
}

/// State and position of one moment, to be stored.
pub(crate) struct Builder {
    machine: Machine,
    image: Image,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<EngineSnapshot, io::Error> {
        self.machine.keep(self.image.clone()).await?;
        to_snapshot(&self.image)
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let position = self.0.position.lock();
        Ok((position.last, position.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let reply = self.apply_entry(&entry);
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    /// Never overlaps with `apply`, and takes the state right here.
    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { machine: self.clone(), image: self.capture() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> Result<(), io::Error> {
        let image = Image::parse(snapshot)?;
        if image.head.last.as_ref().map(codec::to_log_id) != meta.last_log_id {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "snapshot: its head names another entry"));
        }
        self.restore(&image)?;
        self.keep(image).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<EngineSnapshot>, io::Error> {
        let current = self.0.current.lock().clone();
        current.as_ref().map(to_snapshot).transpose()
    }
}

fn to_snapshot(image: &Image) -> io::Result<EngineSnapshot> {
    Ok(Snapshot { meta: codec::to_snapshot_meta(&image.head)?, snapshot: image.bytes.clone() })
}
