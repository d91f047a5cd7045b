//! Tells when something happens in a set of folders.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::metrics::DiscoveryMetrics;

/// Watches folders, not files: editors and Kubernetes replace files instead of writing them.
#[derive(Debug)]
pub(crate) struct FolderWatch {
    watcher: Option<RecommendedWatcher>,
    wanted: BTreeSet<PathBuf>,
    watched: BTreeSet<PathBuf>,
    metrics: DiscoveryMetrics,
    changed: Arc<Notify>,
}

impl FolderWatch {
    pub(crate) fn new(wanted: BTreeSet<PathBuf>, metrics: DiscoveryMetrics) -> Self {
        let changed = Arc::new(Notify::new());
        let tell = Arc::clone(&changed);
        let made = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Reading is an event too; only what changes something counts.
            if event.map_or(true, |event| !event.kind.is_access()) {
                tell.notify_one();
            }
        });
        let watcher = match made {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                metrics.watcher_errors.inc();
                tracing::warn!(%error, "folders of targets are not watched; they are read at every refresh_interval");
                None
            }
        };
        let mut watch = Self { watcher, wanted, watched: BTreeSet::new(), metrics, changed };
        watch.add_missing();
        watch
    }

    /// Watches those folders that could not be watched before; they may exist by now.
    pub(crate) fn add_missing(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        // A folder that was removed and made again is another one.
        self.watched.retain(|folder| folder.exists());
        for folder in &self.wanted {
            if self.watched.contains(folder) {
                continue;
            }
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder.clone());
                }
                Err(error) => {
                    self.metrics.watcher_errors.inc();
                    tracing::warn!(folder = %folder.display(), %error, "a folder of targets is not watched yet");
                }
            }
        }
    }

    /// Resolves when something has happened since the last time.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
