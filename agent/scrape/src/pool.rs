//! The loops of one job, kept in step with what discovery finds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use discovery::{Discovery, TargetGroup};
use model::Labels;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::ScrapeConfig;
use crate::labels::{Found, Outcome, populate};
use crate::metrics::Metrics;
use crate::scrape_loop::{Job, LoopHandle};
use crate::target::{Key, Target};

/// Loops by what identifies their targets.
pub(crate) type Loops = HashMap<Key, LoopHandle>;

/// What readers see of a pool.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) active: Vec<Arc<Target>>,
    pub(crate) dropped: Vec<Labels>,
    pub(crate) dropped_count: u64,
}

/// A running pool.
pub(crate) struct Pool {
    pub(crate) job: Arc<Job>,
    pub(crate) shown: Arc<Mutex<Shown>>,
    stop: CancellationToken,
    task: JoinHandle<Loops>,
}

impl Pool {
    /// Starts a pool; loops of an earlier one go on here where their targets do, the others end.
    pub(crate) fn start(job: Arc<Job>, discovery: Discovery, earlier: Option<Pool>) -> Self {
        let (stop, shown) = (CancellationToken::new(), Arc::new(Mutex::new(Shown::default())));
        let mut members = Members { job: Arc::clone(&job), shown: Arc::clone(&shown), loops: Loops::new() };
        let stopped = stop.clone();
        let task = job.tasks.spawn(async move {
            let earlier = match earlier {
                Some(pool) => pool.dissolve().await,
                None => Loops::new(),
            };
            members.follow(discovery, earlier, &stopped).await;
            members.loops
        });
        Self { job, shown, stop, task }
    }

    /// Ends the pool but not its loops.
    async fn dissolve(self) -> Loops {
        self.stop.cancel();
        let loops = self.task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a scrape pool failed");
            Loops::new()
        });
        for member in loops.values() {
            member.stop();
        }
        loops
    }

    /// Ends the pool and its loops, in the background: all its series get stale markers.
    pub(crate) fn retire(self) {
        let job = Arc::clone(&self.job);
        job.tasks.clone().spawn(async move {
            for member in self.dissolve().await.into_values() {
                member.retire(&job);
            }
        });
    }
}

struct Members {
    job: Arc<Job>,
    shown: Arc<Mutex<Shown>>,
    loops: Loops,
}

impl Members {
    async fn follow(&mut self, discovery: Discovery, mut earlier: Loops, stop: &CancellationToken) {
        let mut groups: watch::Receiver<Vec<TargetGroup>> = discovery.groups();
        loop {
            let found = groups.borrow_and_update().clone();
            self.sync(&found, std::mem::take(&mut earlier));
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.job.tasks.stopping() => return,
                changed = groups.changed() => if changed.is_err() {
                    // Nothing follows: the job has static targets only.
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = self.job.tasks.stopping() => return,
                    }
                },
            }
        }
    }

    /// Starts and ends loops so that they are those of the targets that were found.
    fn sync(&mut self, groups: &[TargetGroup], mut earlier: Loops) {
        let (wanted, dropped, dropped_count) = self.wanted(groups);
        let mut loops = Loops::with_capacity(wanted.len());
        let mut active = Vec::with_capacity(wanted.len());
        self.limit(wanted.len());
        for (key, found) in wanted {
            let running = self.loops.remove(&key);
            let member = match running {
                Some(member) if same_timing(&member.target.found, &found) => {
                    member.target.rediscovered(found.discovered);
                    member
                }
                other => {
                    let before = other.or_else(|| earlier.remove(&key));
                    LoopHandle::start(&self.job, Target::new(found), before)
                }
            };
            active.push(Arc::clone(&member.target));
            loops.insert(key, member);
        }
        for gone in std::mem::replace(&mut self.loops, loops).into_values().chain(earlier.into_values()) {
            gone.retire(&self.job);
        }
        let labels = Metrics::job(&self.job.config.job_name);
        let metrics = &self.job.sink.metrics;
        metrics.pool_targets.get_or_create(&labels).set(i64::try_from(active.len()).unwrap_or(i64::MAX));
        metrics.pool_syncs.get_or_create(&labels).inc();
        *self.shown.lock() = Shown { active, dropped, dropped_count };
    }

    /// The targets to scrape in the order of their labels; of equal ones the first. The dropped ones, and how many.
    fn wanted(&self, groups: &[TargetGroup]) -> (BTreeMap<Key, Found>, Vec<Labels>, u64) {
        let config = &self.job.config;
        let keep = match config.keep_dropped_targets {
            0 => ScrapeConfig::DROPPED_MAX,
            limit => limit,
        };
        let (mut wanted, mut dropped, mut dropped_count) = (BTreeMap::new(), Vec::new(), 0);
        for outcome in groups.iter().flat_map(|group| populate(config, group)) {
            match outcome {
                Ok(Outcome::Scraped(found)) => {
                    wanted.entry((found.labels.clone(), found.url.clone())).or_insert(*found);
                }
                Ok(Outcome::Dropped(labels)) => {
                    if dropped_count < keep {
                        dropped.push(labels);
                    }
                    dropped_count += 1;
                }
                Err(error) => {
                    tracing::error!(scrape_pool = %config.job_name, %error, "creating a target failed");
                }
            }
        }
        (wanted, dropped, dropped_count)
    }

    fn limit(&self, targets: usize) {
        let limit = self.job.config.target_limit;
        let labels = Metrics::job(&self.job.config.job_name);
        let metrics = &self.job.sink.metrics;
        metrics.pool_target_limit.get_or_create(&labels).set(i64::try_from(limit).unwrap_or(i64::MAX));
        let error = (limit > 0 && targets as u64 > limit).then(|| {
            metrics.over_target_limit.inc();
            format!("target_limit exceeded (number of targets: {targets}, limit: {limit})").into()
        });
        *self.job.forced_error.lock() = error;
    }
}

fn same_timing(one: &Found, other: &Found) -> bool {
    (one.interval, one.timeout) == (other.interval, other.timeout)
}
