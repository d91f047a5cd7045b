//! Task spawning that shutdown can wait for.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Every task of a process (or of one part): asked to stop together, waited for together.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// Some tasks had not ended at the deadline.
#[derive(Debug, thiserror::Error)]
#[error("{count} tasks were still running {} ms after they were asked to stop", after.as_millis())]
pub struct TasksStillRunning {
    /// How many tasks are left.
    pub count: usize,
    /// How long was waited.
    pub after: Duration,
}

impl Tasks {
    /// No task yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tasks of a part: they stop when the whole stops, or alone through [`Tasks::shutdown`].
    #[must_use]
    pub fn child(&self) -> Self {
        Self { tracker: TaskTracker::new(), stop: self.stop.child_token() }
    }

    /// Runs `future` in the background. It must end soon after [`Tasks::stopping`] resolves.
    #[allow(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(future)
    }

    /// Runs blocking work on a thread of its own pool.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tracker.spawn_blocking(work)
    }

    /// Resolves once a stop was asked for.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The token behind [`Tasks::stopping`], for code that selects on it.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Asks every task to stop and returns at once.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Asks every task to stop and waits until they have, at most `deadline`.
    ///
    /// # Errors
    /// When tasks are left at the deadline.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), TasksStillRunning> {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait())
            .await
            .map_err(|_| TasksStillRunning { count: self.tracker.len(), after: deadline })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_waits_for_every_task() {
        let tasks = Tasks::new();
        let inner = tasks.clone();
        let handle = tasks.spawn(async move {
            inner.stopping().await;
            7
        });
        tasks.shutdown(Duration::from_secs(5)).await.expect("the task ends");
        assert_eq!(handle.await.expect("no panic"), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_hangs_is_counted() {
        let tasks = Tasks::new();
        tasks.spawn(std::future::pending::<()>());
        let error = tasks.shutdown(Duration::from_secs(1)).await.expect_err("it never ends");
        assert_eq!(error.count, 1);
    }

    #[tokio::test]
    async fn a_child_stops_with_the_whole_but_not_the_other_way_round() {
        let whole = Tasks::new();
        let part = whole.child();
        part.stop();
        assert!(!whole.is_stopping());
        whole.stop();
        assert!(whole.child().is_stopping());
    }
}
