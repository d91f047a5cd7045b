//! A simulated cluster for tests: time stands still unless all tasks wait, a seed repeats a run, and faults
//! are told, not hoped for. Two nodes that send and a witness that only votes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env::{Clock, SeededRandom, SharedRandom, Tasks};
use futures_util::future::BoxFuture;
use model::Labels;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    Alert, Alertmanager, Applied, Command, FailureReason, GroupBy, Journal, JournalError, LeaderId, Leading,
    Lease, Notification, Notifier, NotifyError, NotifyOutcome, Options, Parts, Peer, Receiver, RouteSpec,
    RouteTree, Sent, Settings, SharedState,
};

/// A clock that follows tokio's, which a test holds.
#[derive(Debug)]
pub(crate) struct PausedClock(tokio::time::Instant);

impl Clock for PausedClock {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + crate::grid::millis(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// What a receiver accepted.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) at: Duration,
    pub(crate) nid: String,
    pub(crate) group_key: String,
    pub(crate) firing: BTreeSet<String>,
    pub(crate) resolved: BTreeSet<String>,
    /// The sender was told so.
    pub(crate) answered: bool,
}

/// How unreliable the world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// Share of proposals whose outcome is not told.
    pub(crate) unknown: f64,
    /// Share of attempts that are accepted but not answered.
    pub(crate) unanswered: f64,
    /// Share of attempts that are refused.
    pub(crate) refused: f64,
    /// Longest time that the receiver takes.
    pub(crate) slow: Duration,
}

impl Faults {
    pub(crate) const NONE: Self = Self { unknown: 0.0, unanswered: 0.0, refused: 0.0, slow: Duration::ZERO };
}

struct Member {
    state: SharedState,
    applied: usize,
    alive: Arc<AtomicBool>,
    connected: bool,
    leading: watch::Sender<Option<Leading>>,
    /// `None` for the witness, and while it is down.
    running: Option<(Alertmanager, Tasks)>,
}

struct Inner {
    log: Vec<(LeaderId, Command)>,
    members: Vec<Member>,
    leader: Option<(usize, LeaderId)>,
    term: u64,
}

/// The cluster and its receiver.
pub(crate) struct World {
    inner: Mutex<Inner>,
    pub(crate) accepted: Mutex<Vec<Accepted>>,
    pub(crate) clock: Arc<PausedClock>,
    pub(crate) random: SharedRandom,
    faults: Mutex<Faults>,
    dir: tempfile::TempDir,
    pub(crate) options: Options,
}

const MEMBERS: usize = 3;
/// The member that only votes.
pub(crate) const WITNESS: usize = 2;

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Arc<Self> {
        Self::with(seed, faults, true)
    }

    /// A world whose nodes act alone when they are cut off, or one whose nodes wait.
    pub(crate) fn with(seed: u64, faults: Faults, alone: bool) -> Arc<Self> {
        Self::set_up(seed, faults, |options| {
            if !alone {
                options.degrade_after = Duration::from_hours(1);
                options.settle = options.degrade_after;
                options.write_patience = Duration::from_hours(1);
            }
        })
    }

    /// A world whose nodes have other options.
    pub(crate) fn set_up(seed: u64, faults: Faults, change: impl FnOnce(&mut Options)) -> Arc<Self> {
        let member = || Member {
            state: SharedState::new(),
            applied: 0,
            alive: Arc::new(AtomicBool::new(false)),
            connected: true,
            leading: watch::Sender::new(None),
            running: None,
        };
        let mut options = Options::new("", PathBuf::new());
        options.peer_timeout = Duration::from_secs(3);
        options.degrade_after = Duration::from_secs(5);
        options.settle = options.degrade_after;
        options.hold = Duration::from_secs(10);
        change(&mut options);
        let inner = Inner {
            log: Vec::new(),
            members: (0..MEMBERS).map(|_| member()).collect(),
            leader: None,
            term: 0,
        };
        let world = Arc::new(Self {
            inner: Mutex::new(inner),
            accepted: Mutex::default(),
            clock: Arc::new(PausedClock(tokio::time::Instant::now())),
            random: SeededRandom::shared(seed),
            faults: Mutex::new(faults),
            dir: tempfile::tempdir().expect("a folder"),
            options,
        });
        (0..MEMBERS).for_each(|at| world.start(at));
        world
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        *self.faults.lock() = faults;
    }

    pub(crate) fn chance(&self, share: f64) -> bool {
        self.random.next_unit() < share
    }

    pub(crate) fn below(&self, most: Duration) -> Duration {
        most.mul_f64(self.random.next_unit())
    }

    /// Starts a member with what its log holds.
    pub(crate) fn start(self: &Arc<Self>, at: usize) {
        let (state, alive) = (SharedState::new(), Arc::new(AtomicBool::new(true)));
        {
            let mut inner = self.inner.lock();
            let member = &mut inner.members[at];
            member.state = state.clone();
            member.applied = 0;
            member.alive = Arc::clone(&alive);
            member.connected = true;
            member.leading.send_replace(None);
            inner.catch_up(at);
        }
        if at == WITNESS {
            return;
        }
        let tasks = Tasks::new();
        let link = Link { world: Arc::clone(self), at, alive: Arc::clone(&alive) };
        let mut options = self.options.clone();
        options.node_name = format!("node-{at}");
        options.dir = self.dir.path().join(&options.node_name);
        let parts = Parts {
            state,
            journal: Arc::new(link.clone()),
            lease: Arc::new(link.clone()),
            settings: settings(Arc::new(link)),
            options,
            clock: Arc::clone(&self.clock) as env::SharedClock,
            random: Arc::clone(&self.random),
            tasks: tasks.clone(),
            registry: telemetry::Registry::new(),
        };
        let alertmanager = Alertmanager::start(parts);
        self.inner.lock().members[at].running = Some((alertmanager, tasks));
    }

    /// Kills a member: from now on nothing that it does reaches anybody.
    pub(crate) fn kill(&self, at: usize) {
        let mut inner = self.inner.lock();
        inner.members[at].alive.store(false, Ordering::SeqCst);
        if let Some((_, tasks)) = inner.members[at].running.take() {
            tasks.stop();
        }
        inner.depose(at);
    }

    /// Cuts a member off from the others, or lets it back.
    pub(crate) fn connect(&self, at: usize, connected: bool) {
        let mut inner = self.inner.lock();
        inner.members[at].connected = connected;
        if connected {
            inner.catch_up(at);
        } else {
            inner.depose(at);
        }
    }

    /// Makes a member the leader, as an election would.
    pub(crate) fn elect(&self, at: usize) -> bool {
        let mut inner = self.inner.lock();
        if !inner.up(at) || !inner.has_quorum() {
            return false;
        }
        inner.term += 1;
        let leader = LeaderId { term: inner.term, node: at as u64 + 1 };
        if let Some((old, _)) = inner.leader.replace((at, leader)) {
            inner.members[old].leading.send_replace(None);
        }
        inner.catch_up(at);
        inner.members[at].leading.send_replace(Some(Leading { leader, since: self.clock.monotonic() }));
        true
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        self.inner.lock().leader.map(|(at, _)| at)
    }

    pub(crate) fn is_alive(&self, at: usize) -> bool {
        self.inner.lock().members[at].alive.load(Ordering::SeqCst)
    }

    pub(crate) fn node(&self, at: usize) -> Option<Alertmanager> {
        self.inner.lock().members[at].running.as_ref().map(|(node, _)| node.clone())
    }

    /// Every committed command, batches taken apart.
    pub(crate) fn committed(&self) -> Vec<Command> {
        let flat = |command: &Command| match command {
            Command::Batch(commands) => commands.clone(),
            one => vec![one.clone()],
        };
        self.inner.lock().log.iter().flat_map(|(_, command)| flat(command)).collect()
    }

    /// Posts alerts to every living node, as Prometheus does.
    pub(crate) async fn post(&self, alerts: &[Alert]) {
        let nodes: Vec<_> = (0..WITNESS).filter_map(|at| self.node(at)).collect();
        for node in nodes {
            // A node that dies meanwhile never answers.
            let _ = tokio::time::timeout(Duration::from_secs(10), node.receive(alerts.to_vec())).await;
        }
    }

    pub(crate) fn firing(&self, group: &str, name: &str) -> Alert {
        let now_ms = self.clock.now_ms();
        alert(group, name, now_ms, now_ms + 240_000, now_ms)
    }
}

pub(crate) fn alert(group: &str, name: &str, starts_at: i64, ends_at: i64, updated_at: i64) -> Alert {
    Alert {
        labels: Labels::from_pairs([("group", group), ("name", name)]),
        annotations: BTreeMap::new(),
        generator_url: String::new(),
        starts_at,
        ends_at,
        updated_at,
        timeout: false,
    }
}

fn settings(notifier: Arc<dyn Notifier>) -> Settings {
    let root = RouteSpec {
        receiver: Some("r".to_owned()),
        group_by: Some(GroupBy::Labels(["group".to_owned()].into())),
        group_wait: Some(Duration::from_secs(1)),
        group_interval: Some(Duration::from_secs(5)),
        repeat_interval: Some(Duration::from_hours(4)),
        ..RouteSpec::default()
    };
    Settings {
        routes: RouteTree::new(&root),
        receivers: vec![Receiver {
            name: Arc::from("r"),
            labels: BTreeMap::new(),
            integrations: vec![notifier],
        }],
        inhibit_rules: Vec::new(),
        intervals: std::collections::HashMap::new(),
        resolve_timeout: Duration::from_mins(5),
        external_url: String::new(),
        original: String::new(),
    }
}

impl Inner {
    fn up(&self, at: usize) -> bool {
        self.members[at].connected && self.members[at].alive.load(Ordering::SeqCst)
    }

    fn has_quorum(&self) -> bool {
        (0..MEMBERS).filter(|at| self.up(*at)).count() > MEMBERS / 2
    }

    fn catch_up(&mut self, at: usize) -> Option<Vec<u8>> {
        let mut last = None;
        while self.members[at].applied < self.log.len() {
            let index = self.members[at].applied;
            let (leader, command) = self.log[index].clone();
            let applied = Applied { index: index as u64 + 1, leader };
            last = Some(self.members[at].state.apply(applied, &command.encode()));
            self.members[at].applied += 1;
        }
        last
    }

    fn depose(&mut self, at: usize) {
        self.members[at].leading.send_replace(None);
        if self.leader.is_some_and(|(leader, _)| leader == at) {
            self.leader = None;
        }
    }

    /// The leader that a member can commit through.
    fn reachable_leader(&self, at: usize) -> Result<LeaderId, JournalError> {
        let (leader, id) = self.leader.ok_or(JournalError::NoLeader)?;
        if !self.up(at) || !self.up(leader) {
            return Err(JournalError::NoLeader);
        }
        if self.has_quorum() { Ok(id) } else { Err(JournalError::NoQuorum) }
    }
}

/// One life of one member, as its alertmanager sees the world.
#[derive(Clone)]
struct Link {
    world: Arc<World>,
    at: usize,
    alive: Arc<AtomicBool>,
}

impl Link {
    /// The dead do nothing.
    async fn live(&self) {
        if !self.alive.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    fn commit(&self, command: Vec<u8>) -> Result<Vec<u8>, JournalError> {
        let lost = JournalError::Unknown("simulated".to_owned());
        let unknown = self.world.faults.lock().unknown;
        let mut inner = self.world.inner.lock();
        let leader = inner.reachable_leader(self.at)?;
        if self.world.chance(unknown / 2.0) {
            return Err(lost);
        }
        inner.log.push((leader, Command::decode(&command).expect("a command")));
        let mut reply = None;
        for at in 0..MEMBERS {
            if inner.up(at) {
                let answer = inner.catch_up(at);
                if at == self.at {
                    reply = answer;
                }
            }
        }
        if self.world.chance(unknown / 2.0) { Err(lost) } else { reply.ok_or(lost) }
    }
}

impl Journal for Link {
    fn propose(&self, command: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, JournalError>> {
        Box::pin(async move {
            tokio::time::sleep(self.world.below(Duration::from_millis(20))).await;
            self.live().await;
            let reply = self.commit(command);
            tokio::time::sleep(self.world.below(Duration::from_millis(20))).await;
            self.live().await;
            reply
        })
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async move { self.world.inner.lock().reachable_leader(self.at).map(drop) })
    }
}

impl Lease for Link {
    fn leading(&self) -> watch::Receiver<Option<Leading>> {
        self.world.inner.lock().members[self.at].leading.subscribe()
    }

    fn may_send(&self) -> bool {
        let inner = self.world.inner.lock();
        let leads = inner.leader.is_some_and(|(at, _)| at == self.at);
        leads && self.alive.load(Ordering::SeqCst) && inner.reachable_leader(self.at).is_ok()
    }

    fn quorum_available(&self) -> bool {
        self.attached()
    }

    fn attached(&self) -> bool {
        self.world.inner.lock().reachable_leader(self.at).is_ok()
    }

    fn cluster(&self) -> String {
        "cluster".to_owned()
    }

    fn node(&self) -> u64 {
        self.at as u64 + 1
    }

    fn peers(&self) -> Vec<Peer> {
        Vec::new()
    }
}

impl Notifier for Link {
    fn integration(&self) -> &'static str {
        "webhook"
    }

    fn index(&self) -> u32 {
        0
    }

    fn send_resolved(&self) -> bool {
        true
    }

    fn notify<'a>(
        &'a self,
        nid: &'a str,
        notification: &'a Notification,
    ) -> BoxFuture<'a, Result<NotifyOutcome, NotifyError>> {
        Box::pin(async move {
            let faults = *self.world.faults.lock();
            tokio::time::sleep(self.world.below(faults.slow)).await;
            self.live().await;
            let error = |sent| NotifyError {
                retry: true,
                sent,
                retry_after: None,
                reason: FailureReason::Other,
                message: "simulated".to_owned(),
            };
            if self.world.chance(faults.refused) {
                return Err(error(Sent::No));
            }
            let answered = !self.world.chance(faults.unanswered);
            let names = |resolved: bool| {
                let those = notification.alerts.iter().filter(|it| it.resolved == resolved);
                those.map(|it| it.alert.labels.value("name").to_owned()).collect()
            };
            self.world.accepted.lock().push(Accepted {
                at: self.world.clock.monotonic(),
                nid: nid.to_owned(),
                group_key: notification.group_key.to_string(),
                firing: names(false),
                resolved: names(true),
                answered,
            });
            tokio::time::sleep(self.world.below(faults.slow)).await;
            self.live().await;
            if answered { Ok(NotifyOutcome::default()) } else { Err(error(Sent::Maybe)) }
        })
    }
}
