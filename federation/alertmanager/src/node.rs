//! One node's alertmanager: follows leadership, dispatches while it leads or is cut off, takes writes.

use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, SharedRandom, Tasks};
use futures_util::future::join_all;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alert::Alert;
use crate::command::{Command, LeaderId, Reply};
use crate::deliver::Delivery;
use crate::dispatch;
use crate::grid::millis;
use crate::ingest::{TOUCH_EVERY, Touches};
use crate::journal::{Journal, JournalError, Lease, Proposer};
use crate::metrics::Metrics;
use crate::mutes::Mutes;
use crate::options::Options;
use crate::overlay::OverlayJournal;
use crate::settings::Settings;
use crate::shared::SharedState;

/// How often the supervisor looks whether this node still hears a quorum.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often alerts, silences and members are counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// Pause before a write is tried again.
const WRITE_PAUSE: Duration = Duration::from_millis(100);

/// What an alertmanager is made of.
pub struct Parts {
    /// The replicated state that the journal applies to.
    pub state: SharedState,
    /// Where commands go.
    pub journal: Arc<dyn Journal>,
    /// Who may send.
    pub lease: Arc<dyn Lease>,
    /// The configuration.
    pub settings: Settings,
    /// What the operator set beside it.
    pub options: Options,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub random: SharedRandom,
    /// Background tasks.
    pub tasks: Tasks,
    /// Where metrics are registered.
    pub registry: telemetry::Registry,
}

/// One node's alertmanager; clones share it.
#[derive(Clone)]
pub struct Alertmanager(pub(crate) Arc<Node>);

pub(crate) struct Node {
    pub(crate) lease: Arc<dyn Lease>,
    pub(crate) settings: watch::Sender<Arc<Settings>>,
    pub(crate) options: Arc<Options>,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) metrics: Metrics,
    pub(crate) started_ms: i64,
    pub(crate) touches: Touches,
    journal: Arc<dyn Journal>,
    tasks: Tasks,
    /// Monotonic time from which on groups may begin.
    begins_at: Duration,
    quorum: Arc<Backend>,
    /// While this node is, or lately was, without a quorum.
    overlay: RwLock<Option<Arc<Cut>>>,
}

/// A state and the way to change it.
pub(crate) struct Backend {
    pub(crate) state: SharedState,
    pub(crate) proposer: Proposer,
    pub(crate) mutes: Arc<Mutex<Mutes>>,
}

/// The overlay of a node that is cut off.
struct Cut {
    backend: Arc<Backend>,
    journal: Arc<OverlayJournal>,
    /// Writes go to the quorum again; the merge is under way.
    healing: std::sync::atomic::AtomicBool,
}

/// Where a write went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) reply: Reply,
    /// It is known here alone until the cluster is whole.
    pub(crate) overlay: bool,
}

impl Alertmanager {
    /// Starts following leadership; sends from now on whenever it may.
    #[must_use]
    pub fn start(parts: Parts) -> Self {
        let metrics = Metrics::register(&parts.registry);
        let quorum = Backend {
            proposer: Proposer::start(Arc::clone(&parts.journal), &parts.tasks),
            mutes: Arc::new(Mutex::new(Mutes::new(parts.state.clone(), &parts.settings.inhibit_rules))),
            state: parts.state,
        };
        let node = Node {
            lease: parts.lease,
            settings: watch::Sender::new(Arc::new(parts.settings)),
            begins_at: parts.clock.monotonic() + parts.options.start_delay,
            options: Arc::new(parts.options),
            started_ms: parts.clock.now_ms(),
            clock: parts.clock,
            random: parts.random,
            metrics,
            touches: Touches::default(),
            journal: parts.journal,
            tasks: parts.tasks,
            quorum: Arc::new(quorum),
            overlay: RwLock::new(None),
        };
        let node = Arc::new(node);
        node.count_settings();
        if OverlayJournal::exists(&node.options.dir) {
            node.cut_off();
        }
        let (supervisor, toucher) = (Arc::clone(&node), Arc::clone(&node));
        node.tasks.spawn(async move { supervisor.supervise().await });
        node.tasks.spawn(async move { toucher.touch().await });
        Self(node)
    }

    /// Goes on with another configuration. Groups keep their place on the grid.
    pub fn reload(&self, settings: Settings) {
        let node = &self.0;
        let rules = &settings.inhibit_rules;
        for backend in [Some(Arc::clone(&node.quorum)), node.cut().map(|cut| Arc::clone(&cut.backend))] {
            let Some(backend) = backend else { continue };
            *backend.mutes.lock() = Mutes::new(backend.state.clone(), rules);
        }
        node.settings.send_replace(Arc::new(settings));
        node.count_settings();
    }

    /// Takes alerts in: what is news is committed before this returns, refreshes soon after. Each alert must
    /// have labels and end no earlier than it starts; `updated_at` says when it was said.
    ///
    /// # Errors
    /// When the journal did not take them: they must be said again.
    pub async fn receive(&self, alerts: Vec<Alert>) -> Result<(), JournalError> {
        self.0.take_alerts(alerts, self.0.clock.now_ms()).await.map(|_| ())
    }

    /// Whether this node is cut off from the quorum and acts on its own.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.0.cut().is_some()
    }
}

impl Node {
    /// What reads see: the replicated state, or the overlay while there is one.
    pub(crate) fn backend(&self) -> Arc<Backend> {
        self.cut().map_or_else(|| Arc::clone(&self.quorum), |cut| Arc::clone(&cut.backend))
    }

    /// Makes later reads see every write that was answered anywhere before, while there is a quorum.
    pub(crate) async fn read_barrier(&self) {
        if self.cut().is_none() && self.lease.quorum_available() {
            let barrier =
                tokio::time::timeout(self.options.write_patience, self.journal.read_barrier()).await;
            if !matches!(barrier, Ok(Ok(()))) {
                tracing::debug!("no quorum confirmed a read: it is answered from what is known here");
            }
        }
    }

    /// Commits what is news of `alerts`; whether the overlay took any of it.
    pub(crate) async fn take_alerts(&self, alerts: Vec<Alert>, now_ms: i64) -> Result<bool, JournalError> {
        for alert in &alerts {
            self.metrics.receive(if alert.ends_at > now_ms { "firing" } else { "resolved" });
        }
        let commands = self.backend().state.read(|state| self.touches.sort(state, alerts, now_ms));
        let written = join_all(commands.into_iter().map(|command| self.write(command))).await;
        written.into_iter().try_fold(false, |overlay, written| Ok(overlay | written?.overlay))
    }

    /// Commits a command; without a quorum the overlay takes it.
    pub(crate) async fn write(&self, command: Command) -> Result<Written, JournalError> {
        let until = self.clock.monotonic() + self.options.write_patience;
        loop {
            if let Some(cut) = self.cut()
                && !cut.healing.load(std::sync::atomic::Ordering::SeqCst)
            {
                let reply = cut.backend.proposer.propose(command).await?;
                return Ok(Written { reply, overlay: true });
            }
            let left = until.saturating_sub(self.clock.monotonic());
            match tokio::time::timeout(left, self.quorum.proposer.propose(command.clone())).await {
                Ok(Ok(reply)) => return Ok(Written { reply, overlay: false }),
                Ok(Err(JournalError::Refused(reason))) => return Err(JournalError::Refused(reason)),
                Ok(Err(_)) if self.clock.monotonic() < until => tokio::time::sleep(WRITE_PAUSE).await,
                Ok(Err(_)) | Err(_) => {
                    if self.cut().is_none() {
                        self.cut_off();
                    }
                    if let Some(cut) = self.cut() {
                        let reply = cut.backend.proposer.propose(command).await?;
                        return Ok(Written { reply, overlay: true });
                    }
                }
            }
        }
    }

    fn cut(&self) -> Option<Arc<Cut>> {
        self.overlay.read().clone()
    }

    /// Opens the overlay, unless it is open.
    fn cut_off(&self) {
        let mut overlay = self.overlay.write();
        if overlay.is_some() {
            return;
        }
        let state = &self.quorum.state;
        let now_ms = self.clock.now_ms();
        let owner = owner(&self.options.node_name);
        let journal = OverlayJournal::open(state, &self.options.dir, owner, now_ms, self.metrics.clone());
        let rules = self.settings.borrow().inhibit_rules.clone();
        let backend = Backend {
            state: journal.state.clone(),
            proposer: Proposer::start(Arc::clone(&journal) as Arc<dyn Journal>, &self.tasks),
            mutes: Arc::new(Mutex::new(Mutes::new(journal.state.clone(), &rules))),
        };
        *overlay = Some(Arc::new(Cut { backend: Arc::new(backend), journal, healing: false.into() }));
        self.metrics.degraded.set(1);
        tracing::warn!("cut off from the quorum: alerts and silences go to the overlay of this node");
    }

    /// Gives the overlay back. Returns whether all of it is committed.
    async fn heal(&self, cut: &Cut) -> bool {
        cut.healing.store(true, std::sync::atomic::Ordering::SeqCst);
        // Writes that were under way are in the overlay once this one is.
        let last = Command::Batch(Vec::new());
        let _ = cut.backend.proposer.propose(last).await;
        for part in cut.journal.parts() {
            let merge = Command::MergeOverlay(Box::new(part));
            // A part that was merged before is merged.
            if let Err(error) = self.quorum.proposer.propose(merge).await {
                tracing::warn!(%error, "the overlay could not be merged yet");
                cut.healing.store(false, std::sync::atomic::Ordering::SeqCst);
                return false;
            }
        }
        *self.overlay.write() = None;
        cut.journal.discard();
        self.metrics.degraded.set(0);
        tracing::info!("the overlay is merged");
        true
    }

    async fn supervise(self: Arc<Self>) {
        let mut leading = self.lease.leading();
        let now = self.clock.monotonic();
        let mut watch = Watch { attached_since: None, detached_since: now, settled: false };
        let mut next_count = now;
        let mut running: Option<(Role, Running)> = None;
        loop {
            watch.look(self.lease.attached(), self.clock.monotonic());
            let role = self.role(&watch, &leading);
            if running.as_ref().map(|(role, _)| role) != role.as_ref() {
                if let Some((_, old)) = running.take() {
                    old.end(matches!(role, Some(Role::Heal))).await;
                }
                running = role.and_then(|role| Some((role, self.run(role)?)));
            }
            if role == Some(Role::Heal)
                && let Some(cut) = self.cut()
                && self.heal(&cut).await
            {
                running = None;
                continue;
            }
            if self.clock.monotonic() >= next_count {
                next_count = self.clock.monotonic() + COUNT_EVERY;
                self.count_peers();
                self.count_state();
            }
            tokio::select! {
                () = self.tasks.stopping() => break,
                changed = leading.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(self.next_look()) => {}
            }
        }
        if let Some((_, old)) = running {
            old.end(false).await;
        }
    }

    /// When the supervisor looks again: at the very moment from which on groups may begin.
    fn next_look(&self) -> Duration {
        match self.begins_at.saturating_sub(self.clock.monotonic()) {
            Duration::ZERO => LOOK_EVERY,
            left => left.min(LOOK_EVERY),
        }
    }

    fn role(&self, watch: &Watch, leading: &watch::Receiver<Option<crate::Leading>>) -> Option<Role> {
        let now = self.clock.monotonic();
        let detached_for = watch.detached_for(now);
        let attached_for = watch.attached_for(now);
        if self.cut().is_some() && attached_for.is_some_and(|it| it >= self.options.heal_after) {
            return Some(Role::Heal);
        }
        if !self.options.sends || now < self.begins_at {
            return None;
        }
        let patience = if watch.settled { self.options.degrade_after } else { self.options.settle };
        if detached_for.is_some_and(|it| it >= patience) {
            self.cut_off();
            return Some(Role::Alone);
        }
        if self.cut().is_some() {
            return None;
        }
        let leading = *leading.borrow();
        leading.map(|leading| Role::Leader(leading.leader, leading.since))
    }

    fn run(&self, role: Role) -> Option<Running> {
        let (backend, leader, since, degraded, origin) = match role {
            Role::Heal => return Some(Running::none()),
            Role::Leader(leader, since) => {
                (Arc::clone(&self.quorum), leader, since, false, self.lease.cluster())
            }
            Role::Alone => {
                let cut = self.cut()?;
                let origin =
                    format!("{}/{}/{}", self.lease.cluster(), self.options.node_name, cut.journal.epoch);
                (Arc::clone(&cut.backend), cut.journal.leader(), self.clock.monotonic(), true, origin)
            }
        };
        let running = Running::none();
        let delivery = Delivery {
            proposer: backend.proposer.clone(),
            lease: (!degraded).then(|| Arc::clone(&self.lease)),
            leader,
            origin,
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            metrics: self.metrics.clone(),
            peer_timeout: self.options.peer_timeout,
            stop: running.stop.clone(),
        };
        let parts = dispatch::Parts {
            state: backend.state.clone(),
            mutes: Arc::clone(&backend.mutes),
            settings: self.settings.subscribe(),
            delivery: Arc::new(delivery),
            options: Arc::clone(&self.options),
            degraded,
            since,
            tasks: self.tasks.clone(),
            deliveries: running.deliveries.clone(),
        };
        let dispatcher = running.deliveries.track_future(dispatch::run(parts, running.stop.clone()));
        let (ended, over) = oneshot::channel();
        self.tasks.spawn(async move {
            dispatcher.await;
            let _ = ended.send(());
        });
        Some(Running { over: Some(over), ..running })
    }

    /// Commits gathered refreshes, wherever they arrived.
    async fn touch(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.tasks.stopping() => return,
                () = tokio::time::sleep(TOUCH_EVERY) => {}
            }
            let now_ms = self.clock.now_ms();
            let backend = self.backend();
            let commands = backend.state.read(|state| self.touches.take(state, now_ms));
            for command in commands {
                if let Err(error) = self.write(command).await {
                    tracing::debug!(%error, "refreshes were not committed; their senders come again");
                }
            }
        }
    }

    fn count_settings(&self) {
        let settings = self.settings.borrow();
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.metrics.receivers.set(count(settings.receivers.len()));
        self.metrics.integrations.set(count(settings.receivers.iter().map(|it| it.integrations.len()).sum()));
        self.metrics.inhibition_rules.set(count(settings.inhibit_rules.len()));
    }

    fn count_state(&self) {
        let now_ms = self.clock.now_ms();
        let backend = self.backend();
        let mut mutes = backend.mutes.lock();
        mutes.sync();
        let (mut active, mut suppressed, mut silences) = (0, 0, [0_usize; 3]);
        backend.state.read(|state| {
            for (fingerprint, alert) in state.alerts().filter(|(_, alert)| !alert.resolved_at(now_ms)) {
                let muted = mutes.of(fingerprint, &alert.labels, now_ms, state, |it| !it.resolved_at(now_ms));
                *if muted.is_muted() { &mut suppressed } else { &mut active } += 1;
            }
            for silence in state.silences() {
                silences[silence.state(now_ms) as usize] += 1;
            }
        });
        for (state, count) in [("active", active), ("suppressed", suppressed), ("unprocessed", 0)] {
            Metrics::count_state(&self.metrics.alerts, state, count);
        }
        for (state, count) in ["active", "pending", "expired"].into_iter().zip(silences) {
            Metrics::count_state(&self.metrics.silences, state, count);
        }
    }

    fn count_peers(&self) {
        let peers = self.lease.peers();
        let alive = i64::try_from(peers.iter().filter(|peer| peer.alive).count()).unwrap_or(i64::MAX);
        self.metrics.members.set(alive);
        self.metrics.failed_peers.set(i64::try_from(peers.len()).unwrap_or(i64::MAX) - alive);
    }

    /// Milliseconds since the Unix epoch by which an alert without an end is over.
    pub(crate) fn resolve_at(&self, now_ms: i64) -> i64 {
        now_ms.saturating_add(millis(self.settings.borrow().resolve_timeout))
    }
}

/// The node's number in [`Command::MergeOverlay`]: its id may not be known yet, its name always is.
fn owner(name: &str) -> u64 {
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// What a node does just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Leader(LeaderId, Duration),
    Alone,
    Heal,
}

/// A dispatcher and its deliveries.
struct Running {
    stop: CancellationToken,
    deliveries: TaskTracker,
    over: Option<oneshot::Receiver<()>>,
}

impl Running {
    fn none() -> Self {
        Self { stop: CancellationToken::new(), deliveries: TaskTracker::new(), over: None }
    }

    /// Ends the dispatcher; deliveries under way end by themselves, and are waited for if told so.
    async fn end(self, deliveries_too: bool) {
        self.stop.cancel();
        if let Some(over) = self.over {
            let _ = over.await;
        }
        if deliveries_too {
            self.deliveries.close();
            self.deliveries.wait().await;
        }
    }
}

/// For how long this node has heard a quorum, or has not.
struct Watch {
    attached_since: Option<Duration>,
    detached_since: Duration,
    /// It has heard one since it started.
    settled: bool,
}

impl Watch {
    fn look(&mut self, attached: bool, now: Duration) {
        self.settled |= attached;
        match (attached, self.attached_since) {
            (true, None) => self.attached_since = Some(now),
            (false, Some(_)) => {
                self.attached_since = None;
                self.detached_since = now;
            }
            _ => {}
        }
    }

    fn attached_for(&self, now: Duration) -> Option<Duration> {
        self.attached_since.map(|since| now.saturating_sub(since))
    }

    fn detached_for(&self, now: Duration) -> Option<Duration> {
        self.attached_since.is_none().then(|| now.saturating_sub(self.detached_since))
    }
}
