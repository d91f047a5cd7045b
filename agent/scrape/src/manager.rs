//! All scrape jobs of a process.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use client::ClientError;
use discovery::{Discovery, DiscoveryMetrics};
use env::{SharedClock, Tasks, TasksStillRunning};
use parking_lot::Mutex;
use storage::Appender;
use telemetry::Registry;
use tokio::sync::mpsc;

use crate::buffers::IdleBuffers;
use crate::config::ScrapeConfig;
use crate::failure_log::FailureLogs;
use crate::fetch::Fetcher;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::schedule::Alarm;
use crate::scrape_loop::Job;
use crate::sink::Sink;
use crate::status::{DroppedTarget, TargetMetadata, TargetsSnapshot};
use crate::texts::Texts;

/// Commits that may wait for the log at once.
const COMMITS_MAX: usize = 1024;
/// About what a target takes up besides what is remembered of its pages: its task, its connection, its labels.
const TARGET_BYTES: usize = 4 << 10;

/// What a process knows about itself that its scrapes depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeIdentity {
    /// This host's name as others reach it, for the URLs of loopback targets.
    pub host_name: String,
    /// Spreads the moments of scrapes between processes with the same targets: a hash of host name
    /// and external labels.
    pub offset_seed: u64,
}

/// A configuration cannot be scraped with.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// A job's HTTP settings lack something.
    #[error("scrape job {job:?}: {error}")]
    Http {
        /// The job's name.
        job: String,
        /// What they lack.
        error: ClientError,
    },
    /// A file for failures cannot be opened.
    #[error("scrape_failure_log_file {}: {error}", path.display())]
    FailureLog {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// Runs the pools of all jobs. Cheap to share behind an `Arc`.
pub struct ScrapeManager {
    pools: Mutex<BTreeMap<String, Pool>>,
    /// One change at a time.
    applying: tokio::sync::Mutex<()>,
    sink: Sink,
    clock: SharedClock,
    tasks: Tasks,
    identity: ScrapeIdentity,
    alarm: Arc<Alarm>,
    failures: Arc<FailureLogs>,
    discovery_metrics: DiscoveryMetrics,
}

impl ScrapeManager {
    /// A manager without jobs. Its tasks are `tasks`' children: they stop with them, or with [`ScrapeManager::stop`].
    #[must_use]
    pub fn new(
        appender: Arc<dyn Appender>,
        clock: SharedClock,
        tasks: &Tasks,
        registry: &Registry,
        identity: ScrapeIdentity,
    ) -> Self {
        let (tasks, metrics) = (tasks.child(), Metrics::new(registry));
        let (commits, waiting) = mpsc::channel(COMMITS_MAX);
        let (watching, stopping) = (metrics.clone(), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stopping.stopping() => {}
                () = Sink::watch(watching, waiting) => {}
            }
        });
        Self {
            pools: Mutex::default(),
            applying: tokio::sync::Mutex::default(),
            sink: Sink { appender, metrics, commits },
            clock,
            tasks,
            identity,
            alarm: Arc::default(),
            failures: Arc::default(),
            discovery_metrics: DiscoveryMetrics::new(registry),
        }
    }

    /// About how many bytes are remembered of targets and their pages.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let pools = self.pools.lock();
        let targets = |pool: &Pool| pool.shown.lock().active.len() * TARGET_BYTES;
        let bytes = pools.values().map(|pool| targets(pool) + pool.job.texts.bytes());
        self.sink.metrics.cache_bytes.get().unsigned_abs() + bytes.sum::<usize>() as u64
    }

    /// Bytes that wait for the next pages.
    #[must_use]
    pub fn idle_buffers(&self) -> u64 {
        self.pools.lock().values().map(|pool| pool.job.buffers.bytes() as u64).sum()
    }

    /// Makes these the jobs. Jobs that stay as they are go on undisturbed; of a changed job those
    /// targets that stay keep their series; all others end with stale markers.
    ///
    /// # Errors
    /// When one job cannot be made: nothing has changed then.
    pub async fn apply(&self, configs: Vec<ScrapeConfig>) -> Result<(), ScrapeError> {
        let _one = self.applying.lock().await;
        let metrics = &self.sink.metrics;
        let files = configs.iter().filter_map(|config| config.failure_log.as_deref());
        let opened =
            FailureLogs::open(files).map_err(|(path, error)| ScrapeError::FailureLog { path, error })?;
        let mut names = Vec::with_capacity(configs.len());
        let mut changed = Vec::new();
        for config in configs {
            names.push(config.job_name.clone());
            let before = self.pools.lock().get(&config.job_name).map(|pool| pool.job.config == config);
            if before == Some(true) {
                continue;
            }
            let counter = if before.is_none() { &metrics.pools } else { &metrics.pool_reloads };
            counter.inc();
            let fetcher = Fetcher::new(&config).map_err(|error| {
                metrics.pools_failed.inc();
                ScrapeError::Http { job: config.job_name.clone(), error }
            })?;
            changed.push((config, fetcher));
        }
        self.failures.replace(opened);
        self.retire_all_but(&names);
        for (config, fetcher) in changed {
            let discovery = Discovery::start(&config.discovery, &self.tasks, &self.discovery_metrics).await;
            let name = config.job_name.clone();
            let job = Arc::new(Job {
                config,
                fetcher,
                sink: self.sink.clone(),
                clock: Arc::clone(&self.clock),
                tasks: self.tasks.clone(),
                forced_error: Mutex::new(None),
                offset_seed: self.identity.offset_seed,
                alarm: Arc::clone(&self.alarm),
                buffers: IdleBuffers::default(),
                texts: Texts::default(),
                failures: Arc::clone(&self.failures),
            });
            let mut pools = self.pools.lock();
            let earlier = pools.remove(&name);
            pools.insert(name, Pool::start(job, discovery, earlier));
        }
        Ok(())
    }

    fn retire_all_but(&self, names: &[String]) {
        let mut pools = self.pools.lock();
        let (stay, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut *pools).into_iter().partition(|(name, _)| names.contains(name));
        *pools = stay;
        for (name, pool) in gone {
            self.sink.metrics.forget(&name);
            pool.retire();
        }
    }

    /// The names of the jobs, in order.
    #[must_use]
    pub fn jobs(&self) -> Vec<String> {
        self.pools.lock().keys().cloned().collect()
    }

    /// Every target.
    #[must_use]
    pub fn targets(&self) -> TargetsSnapshot {
        let mut snapshot = TargetsSnapshot::default();
        for (name, pool) in self.pools.lock().iter() {
            let shown = pool.shown.lock();
            let active = shown.active.iter().map(|target| target.shown(name, &self.identity.host_name));
            snapshot.active.extend(active);
            snapshot.dropped.extend(shown.dropped.iter().map(|labels| DroppedTarget {
                discovered_labels: labels.clone(),
                scrape_pool: name.clone(),
            }));
            snapshot.dropped_counts.insert(name.clone(), shown.dropped_count);
        }
        snapshot
    }

    /// What the targets' last good pages said of their families.
    #[must_use]
    pub fn metadata(&self) -> Vec<TargetMetadata> {
        let pools = self.pools.lock();
        pools
            .values()
            .flat_map(|pool| {
                pool.shown.lock().active.iter().map(|target| target.metadata()).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Ends all jobs without stale markers: the next process goes on with their series. Scrapes in
    /// flight are given up.
    ///
    /// # Errors
    /// When loops have not ended at the deadline.
    pub async fn stop(&self, deadline: Duration) -> Result<(), TasksStillRunning> {
        self.tasks.shutdown(deadline).await
    }
}
