//! Starting, reloading, stopping: what the lifecycle pages and signals do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::{Lifecycle, Notices};
use env::{SharedClock, Tasks};
use parking_lot::Mutex;
use storage::BoxFuture;
use telemetry::{Gauge, Registry};
use tokio::sync::{mpsc, oneshot};

/// Reloads that wait, at most: each reads the same file, so more are pointless.
const WAITING_MAX: usize = 4;

/// How the last reload went.
#[derive(Debug)]
pub struct ReloadState {
    last: Mutex<(bool, i64)>,
    success: Gauge,
    success_seconds: Gauge,
    notices: Arc<Notices>,
}

/// What users are told while the last reload is one that failed.
const RELOAD_FAILED: &str = "Configuration reload has failed.";

impl ReloadState {
    /// No reload yet; the configuration that the process started with counts as the first.
    #[must_use]
    pub fn new(clock: &SharedClock, notices: &Arc<Notices>, registry: &Registry) -> Arc<Self> {
        let (success, success_seconds) = (Gauge::default(), Gauge::default());
        registry.register(
            "prometheus_config_last_reload_successful",
            "Whether the last configuration reload attempt was successful.",
            success.clone(),
        );
        registry.register(
            "prometheus_config_last_reload_success_timestamp_seconds",
            "Timestamp of the last successful configuration reload.",
            success_seconds.clone(),
        );
        let notices = Arc::clone(notices);
        let state = Self { last: Mutex::new((true, 0)), success, success_seconds, notices };
        state.record(true, clock.now_ms());
        Arc::new(state)
    }

    /// Takes note of a reload. The time is that of the last one that worked.
    pub fn record(&self, success: bool, now_ms: i64) {
        let mut last = self.last.lock();
        last.0 = success;
        if success {
            last.1 = now_ms;
            self.success_seconds.set(now_ms / 1_000);
            self.notices.settle(RELOAD_FAILED);
        } else {
            self.notices.raise(RELOAD_FAILED);
        }
        self.success.set(i64::from(success));
    }

    /// Whether the last reload worked, and when one last did (milliseconds since the Unix epoch).
    #[must_use]
    pub fn last(&self) -> (bool, i64) {
        *self.last.lock()
    }
}

/// A reload that somebody waits for.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// The process's life as others may steer it.
pub struct Life {
    ready: AtomicBool,
    enabled: bool,
    tasks: Tasks,
    reloads: mpsc::Sender<ReloadRequest>,
}

impl Life {
    /// A life that is not ready yet, and where requests for a reload arrive. `enabled` is
    /// `--web.enable-lifecycle`; `tasks` stop when somebody asks the process to quit.
    #[must_use]
    pub fn new(enabled: bool, tasks: Tasks) -> (Arc<Self>, mpsc::Receiver<ReloadRequest>) {
        let (reloads, requests) = mpsc::channel(WAITING_MAX);
        (Arc::new(Self { ready: AtomicBool::new(false), enabled, tasks, reloads }), requests)
    }

    /// From now on queries are answered.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::SeqCst);
    }

    /// Asks for a reload and waits for how it went.
    ///
    /// # Errors
    /// Why the old configuration stays.
    pub async fn ask_reload(&self) -> Result<(), String> {
        let (sender, outcome) = oneshot::channel();
        let stopping = |_| "the process is stopping".to_owned();
        self.reloads.send(sender).await.map_err(|_| "the process is stopping".to_owned())?;
        outcome.await.map_err(stopping)?
    }
}

/// Answers requests for a reload until the tasks are stopped; `reload` takes everything or nothing.
pub async fn serve_reloads(
    mut requests: mpsc::Receiver<ReloadRequest>,
    state: Arc<ReloadState>,
    clock: SharedClock,
    tasks: Tasks,
    reload: impl Fn() -> BoxFuture<'static, anyhow::Result<()>>,
) {
    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            () = tasks.stopping() => return,
        };
        let Some(request) = request else { return };
        let outcome = reload().await.map_err(|error| format!("{error:#}"));
        state.record(outcome.is_ok(), clock.now_ms());
        match &outcome {
            Ok(()) => tracing::info!("Completed loading of configuration file"),
            Err(error) => tracing::error!(%error, "the configuration could not be loaded; the old one stays"),
        }
        // Whoever asked may be gone.
        let _ = request.send(outcome);
    }
}

impl Lifecycle for Life {
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    fn is_stopping(&self) -> bool {
        self.tasks.is_stopping()
    }

    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.ask_reload())
    }

    fn quit(&self) {
        self.tasks.stop();
    }
}
