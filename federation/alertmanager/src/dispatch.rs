//! The dispatcher of one leader: one loop over one closed event enum.
//!
//! It lives as long as one leadership (or one time of being cut off) and keeps nothing that the state does
//! not have: the next leader builds the same groups again.

mod housekeeping;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use env::Tasks;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alert::{Alert, Fingerprint};
use crate::command::{Anchor, Content, LeaderId, NotifyKey};
use crate::dedup::{Known, Plan, Wishes, plan};
use crate::deliver::{Delivery, Ended, Job};
use crate::grid::{Grid, millis, next_tick};
use crate::groups::{GroupId, Start, Table};
use crate::mutes::Mutes;
use crate::notify::{Notification, Notifier, NotifyAlert, sort_alerts};
use crate::options::Options;
use crate::route::Route;
use crate::settings::{Settings, TimeMute};
use crate::shared::{Feed, SharedState};
use crate::state::State;

/// Sends to one integration at a time; more wait before they are announced.
const SENDS_AT_ONCE: usize = 64;
/// How soon a group looks again at what could not be committed or planned.
const RETRY_MS: i64 = 500;
const BEAT: Duration = Duration::from_secs(1);
/// Alerts that one garbage collection names at most.
const GC_ALERTS: usize = 10_000;

/// What a dispatcher works with.
pub(crate) struct Parts {
    pub(crate) state: SharedState,
    pub(crate) mutes: Arc<Mutex<Mutes>>,
    pub(crate) settings: watch::Receiver<Arc<Settings>>,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) options: Arc<Options>,
    /// This node is cut off.
    pub(crate) degraded: bool,
    /// Monotonic time since which it leads.
    pub(crate) since: Duration,
    pub(crate) tasks: Tasks,
    /// Deliveries, so that whoever ends the dispatcher can wait for them.
    pub(crate) deliveries: TaskTracker,
}

enum Event {
    Changed,
    Due,
    Ended { group: GroupId, integration: usize, ended: Ended },
    Anchored { anchors: Vec<Anchor>, drops: Vec<Arc<str>>, done: bool },
    BeaconSet,
    Beat,
    Reloaded,
}

struct Dispatcher {
    parts: Parts,
    settings: Arc<Settings>,
    grid: Grid,
    table: Table,
    feed: Feed,
    events: mpsc::Sender<Event>,
    anchors: Vec<Anchor>,
    drops: Vec<Arc<str>>,
    /// Keys whose drop is not committed yet: their place in the state no longer counts.
    dropping: HashSet<Arc<str>>,
    anchoring: bool,
    beacon_under_way: bool,
    swept: bool,
    next_beat: Duration,
    next_gc: Duration,
    places: HashMap<(Arc<str>, &'static str, u32), Arc<Semaphore>>,
}

/// Dispatches until `stop`.
pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
    let (sender, mut events) = mpsc::channel(1_024);
    let mut dispatcher = Dispatcher::new(parts, sender);
    loop {
        let clock = Arc::clone(&dispatcher.parts.delivery.clock);
        let now = clock.monotonic();
        let wake = dispatcher.table.next_wake().map(|at| dispatcher.grid.monotonic(at));
        let wait = |until: Duration| until.saturating_sub(now);
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(event) = events.recv() => event,
            Ok(()) = dispatcher.parts.settings.changed() => Event::Reloaded,
            () = dispatcher.feed.changed() => Event::Changed,
            () = tokio::time::sleep(wait(wake.unwrap_or(Duration::MAX))), if wake.is_some() => Event::Due,
            () = tokio::time::sleep(wait(dispatcher.next_beat)) => Event::Beat,
        };
        dispatcher.handle(event);
    }
    dispatcher.parts.delivery.metrics.groups.set(0);
}

impl Dispatcher {
    fn new(mut parts: Parts, events: mpsc::Sender<Event>) -> Self {
        let settings = Arc::clone(&parts.settings.borrow_and_update());
        let clock = &parts.delivery.clock;
        let now = clock.monotonic();
        let grid = Grid::start(parts.state.read(|state| state.beacon), clock.now_ms(), now);
        let feed = parts.state.feed();
        let next_gc = now + parts.options.gc_every;
        let mut dispatcher = Self {
            parts,
            settings,
            grid,
            table: Table::default(),
            feed,
            events,
            anchors: Vec::new(),
            drops: Vec::new(),
            dropping: HashSet::new(),
            anchoring: false,
            beacon_under_way: false,
            swept: false,
            next_beat: now,
            next_gc,
            places: HashMap::new(),
        };
        dispatcher.take_changes();
        dispatcher.drop_lost_anchors();
        dispatcher
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Changed => self.take_changes(),
            Event::Due => self.flush_due(),
            Event::Ended { group, integration, ended } => self.ended(group, integration, &ended),
            Event::Anchored { anchors, drops, done } => {
                self.anchoring = false;
                if !done {
                    self.anchors.splice(0..0, anchors);
                    self.drops.splice(0..0, drops);
                    return;
                }
                self.dropping = self.drops.iter().cloned().collect();
            }
            Event::BeaconSet => self.beacon_under_way = false,
            Event::Beat => self.beat(),
            Event::Reloaded => self.reload(),
        }
        self.commit_anchors();
        let groups = i64::try_from(self.table.len()).unwrap_or(i64::MAX);
        self.parts.delivery.metrics.groups.set(groups);
    }

    fn grid_now(&self) -> i64 {
        self.grid.at(self.parts.delivery.clock.monotonic())
    }

    fn me(&self) -> LeaderId {
        self.parts.delivery.leader
    }

    /// When no earlier leader can be sending any more.
    fn free_at(&self) -> Duration {
        self.parts.since + self.parts.options.peer_timeout + self.parts.options.drift
    }

    fn waited_out(&self) -> bool {
        self.parts.delivery.clock.monotonic() >= self.free_at()
    }

    /// How much longer than it says an alert without an explicit end counts as firing: its sender may be
    /// cut off from here, or all of us were away.
    fn hold_ms(&self) -> i64 {
        let hold = millis(self.parts.options.hold);
        let since = self.parts.delivery.clock.monotonic().saturating_sub(self.parts.since);
        if self.grid.after_outage && since < self.parts.options.hold {
            i64::MAX
        } else if self.parts.degraded {
            hold
        } else {
            0
        }
    }

    fn take_changes(&mut self) {
        let changes = self.feed.take();
        let state = self.parts.state.clone();
        state.read(|state| {
            if changes.all {
                for (fingerprint, alert) in state.alerts() {
                    self.add(state, fingerprint, alert);
                }
                return;
            }
            for fingerprint in changes.alerts {
                match state.alert(fingerprint) {
                    Some(alert) => self.add(state, fingerprint, alert),
                    None => {
                        for group in self.table.forget(fingerprint) {
                            self.drop_if_empty(group);
                        }
                    }
                }
            }
        });
    }

    fn add(&mut self, state: &State, fingerprint: Fingerprint, alert: &Alert) {
        let settings = Arc::clone(&self.settings);
        let now_ms = self.parts.delivery.clock.now_ms();
        for at in settings.routes.matches(&alert.labels) {
            let Some(route) = settings.routes.get(at) else { continue };
            let labels = route.group_labels(&alert.labels);
            let id = match self.table.find(at, &labels) {
                Some(id) => id,
                None => {
                    let key: Arc<str> = route.group_key(&labels).into();
                    // What is over and was never told needs no group.
                    if alert.resolved_at(now_ms) && !state.told_anything(&key) {
                        continue;
                    }
                    let start = self.start(state, &key, route, alert, now_ms);
                    self.table.create(at, labels, key, start)
                }
            };
            self.table.join(id, fingerprint);
        }
    }

    fn start(&mut self, state: &State, key: &Arc<str>, route: &Route, alert: &Alert, now_ms: i64) -> Start {
        let interval = millis(route.group_interval);
        if let Some(place) = state.places.get(key).filter(|_| !self.dropping.contains(key)) {
            let ran_until = self.grid.ran_until;
            return Start { first_flush: place.first_flush, interval: place.interval, ran_until };
        }
        let (now, wait) = (self.grid_now(), millis(route.group_wait));
        let first_flush = if self.grid.after_outage && self.grid.at(self.parts.since) + 1_000 > now {
            // Sources of inhibition and silences may still be on their way.
            now + wait.min(30_000)
        } else if alert.starts_at.saturating_add(wait) < now_ms {
            now
        } else {
            now + wait
        };
        self.anchors.push(Anchor { group_key: Arc::clone(key), first_flush, interval });
        Start { first_flush, interval, ran_until: i64::MIN }
    }

    fn drop_if_empty(&mut self, id: GroupId) {
        if let Some(key) = self.table.remove_if_empty(id) {
            self.anchors.retain(|anchor| anchor.group_key != key);
            self.drops.push(Arc::clone(&key));
            self.dropping.insert(key);
        }
    }

    fn drop_lost_anchors(&mut self) {
        let table = &self.table;
        let lost: Vec<_> = self
            .parts
            .state
            .read(|state| state.places.keys().filter(|key| table.of_key(key).is_empty()).cloned().collect());
        self.drops.extend(lost);
    }

    fn flush_due(&mut self) {
        let now = self.grid_now();
        self.parts.mutes.lock().sync();
        while let Some(id) = self.table.pop_due(now) {
            self.flush(id, now);
        }
    }

    /// Looks at one group: all its integrations at a tick, some of them in between.
    fn flush(&mut self, id: GroupId, now: i64) {
        let Some(group) = self.table.get_mut(id) else { return };
        let ticks = now >= group.due;
        let retry = group.retry.take_if(|(at, _)| *at <= now || ticks).map(|(_, which)| which);
        if ticks {
            group.due = next_tick(group.first_flush, group.interval, now);
            if !group.running.is_empty() {
                group.overdue = true;
                self.table.queue(id);
                return;
            }
            group.unfinished = false;
        }
        let only = if ticks { None } else { retry };
        self.look(id, only.as_ref());
        self.table.queue(id);
        self.finish(id);
    }

    /// Plans for the integrations of a group and starts what they need.
    fn look(&mut self, id: GroupId, only: Option<&BTreeSet<usize>>) {
        let settings = Arc::clone(&self.settings);
        let now_ms = self.parts.delivery.clock.now_ms();
        let Some(route) = self.table.get(id).and_then(|group| settings.routes.get(group.route)) else {
            return;
        };
        let alerts = self.alerts_to_tell(id, route, &settings, now_ms);
        let Some(receiver) = settings.receiver(&route.receiver) else { return };
        if alerts.is_empty() {
            return;
        }
        for (at, notifier) in receiver.integrations.iter().enumerate() {
            let wanted = only.is_none_or(|only| only.contains(&at));
            let idle = self.table.get(id).is_some_and(|group| !group.running.contains(&at));
            if wanted && idle {
                self.tell(id, at, notifier, route, &alerts, now_ms);
            }
        }
    }

    /// The group's alerts that nothing mutes; notes which are over.
    fn alerts_to_tell(
        &mut self,
        id: GroupId,
        route: &Route,
        settings: &Settings,
        now_ms: i64,
    ) -> Vec<NotifyAlert> {
        let hold = self.hold_ms();
        let is_over = |alert: &Alert| {
            let until = if alert.resolved_explicitly() { now_ms } else { now_ms.saturating_sub(hold) };
            alert.resolved_at(until)
        };
        let Some(group) = self.table.get_mut(id) else { return Vec::new() };
        let members = &group.members;
        let (mut alerts, mut silenced, mut inhibited) = (Vec::with_capacity(members.len()), 0, 0);
        let mut over = Vec::new();
        let mut mutes = self.parts.mutes.lock();
        self.parts.state.read(|state| {
            for fingerprint in members {
                let Some(alert) = state.alert(*fingerprint) else { continue };
                let resolved = is_over(alert);
                if resolved {
                    over.push((*fingerprint, alert.updated_at));
                }
                let muted = mutes.of(*fingerprint, &alert.labels, now_ms, state, |it| !is_over(it));
                if muted.inhibited_by.is_some() {
                    inhibited += 1;
                } else if muted.is_muted() {
                    silenced += 1;
                } else {
                    alerts.push(NotifyAlert { alert: Arc::clone(alert), resolved });
                }
            }
        });
        drop(mutes);
        group.over = over;
        let metrics = &self.parts.delivery.metrics;
        metrics.suppress("inhibition", inhibited);
        metrics.suppress("silence", silenced);
        match settings.muted_by(route, now_ms) {
            TimeMute::Open => {}
            TimeMute::Muted(_) => {
                metrics.suppress("mute_time_interval", alerts.len());
                alerts.clear();
            }
            TimeMute::Inactive(_) => {
                metrics.suppress("active_time_interval", alerts.len());
                alerts.clear();
            }
        }
        sort_alerts(&mut alerts);
        alerts
    }

    fn tell(
        &mut self,
        id: GroupId,
        at: usize,
        notifier: &Arc<dyn Notifier>,
        route: &Route,
        alerts: &[NotifyAlert],
        now_ms: i64,
    ) {
        let options = Arc::clone(&self.parts.options);
        let (me, waited_out) = (self.me(), self.waited_out());
        let free_at = self.grid.at(self.free_at());
        let Some(group) = self.table.get_mut(id) else { return };
        let key = NotifyKey {
            group_key: Arc::clone(&group.key),
            receiver: Arc::clone(&route.receiver),
            integration: Arc::from(notifier.integration()),
            index: notifier.index(),
        };
        let content = content_of(alerts);
        let damping = if self.parts.degraded { options.repeat_damping } else { Duration::ZERO };
        let repeat = route.repeat_interval.saturating_add(damping);
        let wishes = Wishes { send_resolved: notifier.send_resolved(), repeat_ms: millis(repeat) };
        let (planned, receiver_data) = self.parts.state.read(|state| {
            let known = Known { entry: state.entry(&key), inflight: state.inflight(&key) };
            let data = known.entry.map(|entry| entry.receiver_data.clone()).unwrap_or_default();
            (plan(known, &content, wishes, now_ms, me, waited_out), data)
        });
        match planned {
            Plan::Nothing => return,
            Plan::Wait => {
                group.unfinished = true;
                retry(group, free_at, at);
                return;
            }
            Plan::Send { .. } | Plan::Record { .. } | Plan::GiveUp { .. } => {}
        }
        let mut told = alerts.to_vec();
        if !wishes.send_resolved {
            told.retain(|alert| !alert.resolved);
        }
        let notification = Notification {
            receiver: Arc::clone(&route.receiver),
            group_key: Arc::clone(&group.key),
            reason: crate::Reason::First,
            group_labels: group.labels.clone(),
            route_labels: route.labels.clone(),
            external_url: self.settings.external_url.clone(),
            alerts: told,
            receiver_data,
        };
        group.running.insert(at);
        let patience = route.group_interval.max(Duration::from_secs(10));
        let keep = options.retention.min(route.repeat_interval.saturating_mul(2));
        let places = self.places(&key, notifier);
        let job = Job {
            key,
            plan: planned,
            content,
            notifier: Arc::clone(notifier),
            notification,
            patience,
            keep,
            places,
        };
        self.start_delivery(id, at, job);
    }

    fn places(&mut self, key: &NotifyKey, notifier: &Arc<dyn Notifier>) -> Arc<Semaphore> {
        let of = (Arc::clone(&key.receiver), notifier.integration(), notifier.index());
        Arc::clone(self.places.entry(of).or_insert_with(|| Arc::new(Semaphore::new(SENDS_AT_ONCE))))
    }

    fn start_delivery(&self, group: GroupId, integration: usize, job: Job) {
        let (delivery, events) = (Arc::clone(&self.parts.delivery), self.events.clone());
        let degraded = self.parts.degraded;
        let task = async move {
            let ended = delivery.run(job).await;
            if degraded && ended == Ended::Told {
                delivery.metrics.degraded_notifications.inc();
            }
            // Nobody listens after the end of the leadership.
            let _ = events.send(Event::Ended { group, integration, ended }).await;
        };
        self.parts.tasks.spawn(self.parts.deliveries.track_future(task));
    }

    fn ended(&mut self, id: GroupId, integration: usize, ended: &Ended) {
        let now = self.grid_now();
        let Some(group) = self.table.get_mut(id) else { return };
        group.running.remove(&integration);
        match ended {
            Ended::Told => {}
            Ended::Failed => group.unfinished = true,
            Ended::Stale | Ended::Stopped => {
                group.unfinished = true;
                retry(group, now + RETRY_MS, integration);
            }
        }
        self.table.queue(id);
        self.finish(id);
    }

    /// After everybody was told: forgets what is over, and the group when it is empty.
    fn finish(&mut self, id: GroupId) {
        let Some(group) = self.table.get_mut(id) else { return };
        if !group.running.is_empty() {
            return;
        }
        let over = std::mem::take(&mut group.over);
        let (complete, overdue) =
            (!group.unfinished && group.retry.is_none(), std::mem::take(&mut group.overdue));
        if complete {
            let state = self.parts.state.clone();
            for (fingerprint, updated_at) in over {
                let unchanged =
                    state.read(|state| state.alert(fingerprint).is_none_or(|it| it.updated_at == updated_at));
                if unchanged {
                    self.table.leave(id, fingerprint);
                }
            }
            self.drop_if_empty(id);
        }
        if overdue && self.table.get(id).is_some() {
            self.parts.mutes.lock().sync();
            if let Some(group) = self.table.get_mut(id) {
                group.unfinished = false;
            }
            self.look(id, None);
            self.table.queue(id);
        }
    }
}

fn retry(group: &mut crate::groups::Group, at: i64, integration: usize) {
    let (when, which) = group.retry.get_or_insert_with(|| (at, BTreeSet::new()));
    *when = (*when).min(at);
    which.insert(integration);
}

fn content_of(alerts: &[NotifyAlert]) -> Content {
    let hashes = |resolved: bool| {
        let mut all: Vec<u64> = alerts
            .iter()
            .filter(|it| it.resolved == resolved)
            .map(|it| it.alert.labels.stable_hash())
            .collect();
        all.sort_unstable();
        all
    };
    Content { firing: hashes(false), resolved: hashes(true) }
}
