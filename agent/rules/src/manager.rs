//! Runs groups: each in its own task, on its own grid.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, Tasks};
use model::Labels;
use parking_lot::Mutex;
use promql::Engine;
use storage::{Appender, Querier};
use telemetry::Registry;
use tokio_util::sync::CancellationToken;

use crate::alert::AlertSink;
use crate::alerting::{Holder, NeverHold, millis};
use crate::config::RuleGroup;
use crate::metrics::RuleMetrics;
use crate::publish::{GroupKey, Publisher, StorePublisher};
use crate::runner::{GroupParts, GroupRunner, GroupSettings};
use crate::status::GroupStatus;

/// Longest sleep: after a step of the clock the grid is found again within it.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// What holds for all groups, with Prometheus's defaults.
#[derive(Clone, Debug)]
pub struct RulesOptions {
    /// The URL under which the server is reached, without a slash at its end (`--web.external-url`).
    pub external_url: String,
    /// Time after which an alert that still fires is sent again (`--rules.alert.resend-delay`).
    pub resend_delay: Duration,
    /// Longest outage over which `for` is restored (`--rules.alert.for-outage-tolerance`).
    pub outage_tolerance: Duration,
    /// Shortest time that a restored alert waits (`--rules.alert.for-grace-period`).
    pub for_grace_period: Duration,
    /// Longest time for which an alert may be held because its data is missing.
    pub hold_max: Duration,
}

impl Default for RulesOptions {
    fn default() -> Self {
        Self {
            external_url: String::new(),
            resend_delay: Duration::from_secs(60),
            outage_tolerance: Duration::from_secs(3600),
            for_grace_period: Duration::from_secs(600),
            hold_max: Duration::from_secs(3600),
        }
    }
}

/// What the configuration says for all groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesConfig {
    /// The groups of all files.
    pub groups: Vec<RuleGroup>,
    /// `global.evaluation_interval`.
    pub evaluation_interval: Duration,
    /// `global.rule_query_offset`.
    pub query_offset: Duration,
    /// `global.external_labels`.
    pub external_labels: Labels,
}

/// What the manager is made of.
pub struct RulesParts {
    /// Evaluates expressions.
    pub engine: Arc<Engine>,
    /// Where series come from.
    pub querier: Arc<dyn Querier>,
    /// Where results go.
    pub publisher: Arc<dyn Publisher>,
    /// Who knows of missing data.
    pub holder: Arc<dyn Holder>,
    /// Now.
    pub clock: SharedClock,
    /// Where groups run.
    pub tasks: Tasks,
}

impl std::fmt::Debug for RulesParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RulesParts").field("engine", &self.engine).finish_non_exhaustive()
    }
}

struct Running {
    runner: Arc<GroupRunner>,
    stop: CancellationToken,
}

/// Runs groups until its tasks stop.
pub struct RuleManager {
    options: RulesOptions,
    parts: RulesParts,
    metrics: RuleMetrics,
    groups: Mutex<BTreeMap<GroupKey, Running>>,
    /// Held while a configuration is applied, so that two never mix. Whether one was applied before.
    applying: tokio::sync::Mutex<bool>,
}

impl std::fmt::Debug for RuleManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuleManager").field("options", &self.options).finish_non_exhaustive()
    }
}

impl RuleManager {
    /// A manager whose results go to a store and a sink, and for which no data is ever late.
    #[allow(clippy::too_many_arguments, reason = "one argument a room that it is joined to")]
    #[must_use]
    pub fn new(
        options: RulesOptions,
        engine: Arc<Engine>,
        querier: Arc<dyn Querier>,
        appender: Arc<dyn Appender>,
        sink: Arc<dyn AlertSink>,
        clock: SharedClock,
        tasks: Tasks,
        registry: &Registry,
    ) -> Self {
        let publisher = Arc::new(StorePublisher::new(appender, sink));
        let holder = Arc::new(NeverHold);
        Self::with_parts(options, RulesParts { engine, querier, publisher, holder, clock, tasks }, registry)
    }

    /// A manager of these parts.
    #[must_use]
    pub fn with_parts(options: RulesOptions, parts: RulesParts, registry: &Registry) -> Self {
        Self {
            options,
            parts,
            metrics: RuleMetrics::new(registry),
            groups: Mutex::default(),
            applying: tokio::sync::Mutex::new(false),
        }
    }

    /// Makes the running groups those of `config`. Unchanged ones run on untouched; a changed one finishes
    /// its evaluation and hands over what it remembers; the series of a removed one become stale.
    pub async fn apply(&self, config: RulesConfig) {
        let mut applied = self.applying.lock().await;
        let mut gone = std::mem::take(&mut *self.groups.lock());
        let mut next = BTreeMap::new();
        for group in config.groups.clone() {
            let settings = self.settings(&group, &config, !*applied);
            let key = GroupKey { file: group.file.clone(), name: group.name.clone() };
            match gone.remove(&key) {
                Some(old) if is_same(&old.runner, &group, &settings) => {
                    next.insert(key, old);
                }
                old => {
                    let runner = Arc::new(GroupRunner::new(group, settings, self.group_parts()));
                    if let Some(old) = old {
                        old.stop.cancel();
                        runner.inherit(&old.runner).await;
                    }
                    next.insert(key, self.start(runner));
                }
            }
        }
        for running in gone.into_values() {
            self.remove(running);
        }
        *self.groups.lock() = next;
        *applied = true;
    }

    /// What the API shows, by file, then name.
    #[must_use]
    pub fn groups(&self) -> Vec<Arc<GroupStatus>> {
        self.groups.lock().values().map(|running| running.runner.status()).collect()
    }

    fn settings(&self, group: &RuleGroup, config: &RulesConfig, restore: bool) -> GroupSettings {
        GroupSettings {
            interval: group.interval.unwrap_or(config.evaluation_interval),
            query_offset: group.query_offset.unwrap_or(config.query_offset),
            external_labels: config.external_labels.clone(),
            external_url: self.options.external_url.clone(),
            resend_delay: self.options.resend_delay,
            outage_tolerance: self.options.outage_tolerance,
            for_grace_period: self.options.for_grace_period,
            hold_max: self.options.hold_max,
            restore,
        }
    }

    fn group_parts(&self) -> GroupParts {
        GroupParts {
            engine: Arc::clone(&self.parts.engine),
            querier: Arc::clone(&self.parts.querier),
            clock: Arc::clone(&self.parts.clock),
            holder: Arc::clone(&self.parts.holder),
        }
    }

    fn start(&self, runner: Arc<GroupRunner>) -> Running {
        self.metrics.begin(runner.key(), runner.group().rules.len(), runner.settings().interval);
        let stop = self.parts.tasks.token().child_token();
        let shell = Shell {
            runner: Arc::clone(&runner),
            publisher: Arc::clone(&self.parts.publisher),
            clock: Arc::clone(&self.parts.clock),
            metrics: self.metrics.clone(),
            stop: stop.clone(),
        };
        self.parts.tasks.spawn(shell.run());
        Running { runner, stop }
    }

    /// Two intervals later, so that another process that takes the group over has its samples first.
    fn remove(&self, running: Running) {
        running.stop.cancel();
        let runner = running.runner;
        self.metrics.end(runner.key());
        let removed_at_ms = self.parts.clock.now_ms();
        let publisher = Arc::clone(&self.parts.publisher);
        let tasks = self.parts.tasks.clone();
        self.parts.tasks.spawn(async move {
            tokio::select! {
                () = tasks.stopping() => return,
                () = tokio::time::sleep(runner.settings().interval * 2) => {}
            }
            let evaluation = runner.retire(removed_at_ms).await;
            if !evaluation.rules.is_empty() {
                publisher.publish(runner.key(), evaluation).await;
            }
            publisher.forget(runner.key());
        });
    }
}

/// Whether a group may run on. New external labels alone do not restart it, as in Prometheus.
fn is_same(runner: &GroupRunner, group: &RuleGroup, settings: &GroupSettings) -> bool {
    let old = runner.settings();
    runner.group() == group && old.interval == settings.interval && old.query_offset == settings.query_offset
}

/// The loop of one group.
struct Shell {
    runner: Arc<GroupRunner>,
    publisher: Arc<dyn Publisher>,
    clock: SharedClock,
    metrics: RuleMetrics,
    stop: CancellationToken,
}

impl Shell {
    async fn run(self) {
        let interval = millis(self.runner.settings().interval).max(1);
        let mut at = self.runner.next_time(self.clock.now_ms());
        loop {
            at = match self.wait_for(at, interval).await {
                Some(at) => at,
                None => return,
            };
            // An evaluation that has begun is finished: its state and its samples belong together.
            self.evaluate(at).await;
            let missed = (self.clock.now_ms() - at).div_euclid(interval).max(0);
            if missed > 0 {
                self.metrics.missed(self.runner.key(), missed.unsigned_abs());
            }
            at = at.saturating_add(interval.saturating_mul(missed + 1));
        }
    }

    /// Waits until `at`; a clock that was set back gives an earlier time. `None` when the group stops.
    async fn wait_for(&self, at: i64, interval: i64) -> Option<i64> {
        let mut at = at;
        loop {
            let now = self.clock.now_ms();
            if self.stop.is_cancelled() {
                return None;
            }
            if now >= at {
                return Some(at);
            }
            if at - now > interval.saturating_mul(2) {
                at = self.runner.next_time(now);
                continue;
            }
            let left = Duration::from_millis((at - now).unsigned_abs()).min(SLEEP_MAX);
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    async fn evaluate(&self, at: i64) {
        let key = self.runner.key();
        let (evaluation, counts) = self.runner.evaluate_at(at).await;
        self.metrics.evaluated(key, &evaluation, counts);
        let published = self.publisher.publish(key, evaluation).await;
        self.metrics.published(key, &published);
        self.runner.note_failures(&published.failed).await;
    }
}
