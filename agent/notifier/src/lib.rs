//! Delivers alerts to alertmanagers: a bounded queue each, kept on disk, the newest state of an alert wins.
//!
//! A restart or a long silence of an alertmanager loses no alert: what was not delivered is queued
//! again from the journal. Knows `client`; never knows rules, whose alerts arrive as plain data.
//! Start reading at [`Notifier::send`].

mod alert;
mod config;
mod delivery;
mod destination;
mod journal;
mod metrics;
mod queue;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, SharedRandom, Tasks};
use parking_lot::Mutex;

pub use alert::Alert;
pub use config::{AlertmanagerConfig, NotifierConfig, PairConfig, Scheme};

use crate::delivery::Delivery;
use crate::destination::{Destination, destinations};
use crate::metrics::Metrics;
use crate::queue::Queue;

/// How a notifier keeps and sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifierOptions {
    /// Where the queues' journals are.
    pub dir: PathBuf,
    /// Distinct alerts that wait for one alertmanager, at most; beyond it the oldest resolved one,
    /// else the oldest, is dropped and counted.
    pub capacity: usize,
    /// Alerts in one request, at most.
    pub batch: usize,
}

impl NotifierOptions {
    /// Default of [`NotifierOptions::capacity`], as Prometheus's `--alertmanager.notification-queue-capacity`.
    pub const CAPACITY: usize = 10_000;
    /// Default of [`NotifierOptions::batch`].
    pub const BATCH: usize = 64;

    /// The defaults, with journals in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), capacity: Self::CAPACITY, batch: Self::BATCH }
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// The client's settings are wrong.
    #[error("alertmanager {url}: {source}")]
    Client {
        /// Which one.
        url: String,
        /// Why.
        source: client::ClientError,
    },
    /// A queue's journal cannot be kept.
    #[error("{}: {source}", path.display())]
    Journal {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Takes alerts and delivers each to every alertmanager.
pub struct Notifier {
    options: NotifierOptions,
    clock: SharedClock,
    random: SharedRandom,
    tasks: Tasks,
    metrics: Metrics,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    config: NotifierConfig,
    /// By URL.
    deliveries: BTreeMap<String, Worker>,
}

struct Worker {
    destination: Arc<Destination>,
    queue: Arc<Queue>,
    tasks: Tasks,
}

impl Notifier {
    /// A notifier without alertmanagers; [`Notifier::apply`] names them.
    #[must_use]
    pub fn new(
        options: NotifierOptions,
        clock: SharedClock,
        random: SharedRandom,
        tasks: Tasks,
        registry: &telemetry::Registry,
    ) -> Arc<Self> {
        let metrics = Metrics::register(registry, options.capacity);
        Arc::new(Self { options, clock, random, tasks, metrics, running: Mutex::default() })
    }

    /// Takes a configuration. Queues of alertmanagers that stay go on; what waits for one that is gone is dropped.
    ///
    /// # Errors
    /// When it cannot be used; then the old one stays.
    pub fn apply(&self, config: NotifierConfig) -> Result<(), NotifierError> {
        let wanted = destinations(&config)?;
        let mut running = self.running.lock();
        let mut next = BTreeMap::new();
        for (url, destination) in wanted {
            let queue = match running.deliveries.get(&url) {
                Some(worker) => Arc::clone(&worker.queue),
                None => Arc::new(self.queue(&url)?),
            };
            next.insert(url, (Arc::new(destination), queue));
        }
        for (url, worker) in std::mem::take(&mut running.deliveries) {
            worker.tasks.stop();
            if !next.contains_key(&url) {
                self.metrics.dropped.inc_by(worker.queue.discard() as u64);
            }
        }
        running.deliveries = next
            .into_iter()
            .map(|(url, (destination, queue))| (url, self.start(destination, queue)))
            .collect();
        self.metrics.discovered.set(i64::try_from(running.deliveries.len()).unwrap_or(i64::MAX));
        running.config = config;
        Ok(())
    }

    /// Queues alerts for every alertmanager. They survive this process once this returns.
    pub fn send(&self, alerts: &[Alert]) {
        let running = self.running.lock();
        for worker in running.deliveries.values() {
            let relabelled: Vec<Alert> =
                alerts.iter().filter_map(|alert| worker.destination.relabel(alert)).collect();
            let dropped = worker.queue.push(relabelled);
            self.metrics.dropped.inc_by(dropped as u64);
        }
        self.metrics.measure(running.deliveries.values().map(|worker| worker.queue.len()).sum());
    }

    /// The alertmanagers' URLs.
    #[must_use]
    pub fn alertmanagers(&self) -> Vec<String> {
        self.running.lock().deliveries.keys().cloned().collect()
    }

    /// Waits until every queue is empty, at most `deadline`; what is left stays on disk.
    pub async fn drain(&self, deadline: Duration) {
        let queues: Vec<Arc<Queue>> =
            self.running.lock().deliveries.values().map(|worker| Arc::clone(&worker.queue)).collect();
        let emptied = async {
            for queue in queues {
                queue.emptied().await;
            }
        };
        if tokio::time::timeout(deadline, emptied).await.is_err() {
            tracing::info!(
                "alerts that could not be delivered in time are kept and sent after the next start"
            );
        }
    }

    fn queue(&self, url: &str) -> Result<Queue, NotifierError> {
        Queue::open(&self.options.dir, url, self.options.capacity)
    }

    fn start(&self, destination: Arc<Destination>, queue: Arc<Queue>) -> Worker {
        let tasks = self.tasks.child();
        let delivery = Delivery {
            destination: Arc::clone(&destination),
            queue: Arc::clone(&queue),
            batch: self.options.batch,
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            metrics: self.metrics.clone(),
        };
        let stop = tasks.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = delivery.run() => {}
                () = stop.stopping() => {}
            }
        });
        Worker { destination, queue, tasks }
    }
}
