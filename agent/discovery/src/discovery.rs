//! One job's discovery: static groups at once, files as they change.

use std::time::Duration;

use env::Tasks;
use model::Labels;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::{DiscoveryConfig, FileSdConfig, TargetGroup};
use crate::file::{Files, folder};
use crate::metrics::DiscoveryMetrics;
use crate::parse::ADDRESS;
use crate::watch::FolderWatch;

/// A running discovery; it ends when dropped.
#[derive(Debug)]
pub struct Discovery {
    groups: watch::Receiver<Vec<TargetGroup>>,
    _stop: DropGuard,
}

/// How long files may go on changing before they are read: a new set is often written file by file.
const SETTLE: Duration = Duration::from_millis(100);

impl Discovery {
    /// Starts; the first set of groups, files included, is there when this returns.
    pub async fn start(config: &DiscoveryConfig, tasks: &Tasks, metrics: &DiscoveryMetrics) -> Self {
        let fixed = static_groups(config);
        let stop = CancellationToken::new();
        if config.files.is_empty() {
            return Self { groups: watch::channel(fixed).1, _stop: stop.drop_guard() };
        }
        let mut job =
            Job { fixed, configs: config.files.clone(), files: Files::default(), metrics: metrics.clone() };
        let folders = config.files.iter().flat_map(FileSdConfig::files).map(|path| folder(path).to_owned());
        // Watched before they are read, so that no change falls between.
        let folders = FolderWatch::new(folders.collect(), metrics.clone());
        let found = job.read(tasks).await;
        let (sender, groups) = watch::channel(found);
        let (ended, stopping) = (stop.clone(), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = stopping.stopping() => {}
                () = job.follow(folders, &stopping, &sender) => {}
            }
        });
        Self { groups, _stop: stop.drop_guard() }
    }

    /// All groups of the job, and a new set whenever they change.
    #[must_use]
    pub fn groups(&self) -> watch::Receiver<Vec<TargetGroup>> {
        self.groups.clone()
    }
}

struct Job {
    fixed: Vec<TargetGroup>,
    configs: Vec<FileSdConfig>,
    files: Files,
    metrics: DiscoveryMetrics,
}

impl Job {
    async fn follow(
        &mut self,
        mut folders: FolderWatch,
        tasks: &Tasks,
        sender: &watch::Sender<Vec<TargetGroup>>,
    ) {
        let interval = self
            .configs
            .iter()
            .map(FileSdConfig::refresh_interval)
            .min()
            .unwrap_or(FileSdConfig::REFRESH_INTERVAL);
        loop {
            if tokio::time::timeout(interval, folders.changed()).await.is_ok() {
                tokio::time::sleep(SETTLE).await;
            }
            folders.add_missing();
            let found = self.read(tasks).await;
            sender.send_if_modified(|groups| {
                let new = *groups != found;
                if new {
                    *groups = found;
                }
                new
            });
        }
    }

    /// Reads the files away from the threads that serve requests.
    async fn read(&mut self, tasks: &Tasks) -> Vec<TargetGroup> {
        let (mut files, configs) = (std::mem::take(&mut self.files), self.configs.clone());
        let metrics = self.metrics.clone();
        let work = tasks.spawn_blocking(move || {
            let groups = files.refresh(&configs, &metrics);
            (files, groups)
        });
        let mut groups = self.fixed.clone();
        match work.await {
            Ok((files, found)) => {
                self.files = files;
                groups.extend(found);
            }
            Err(error) => tracing::error!(%error, "reading files of targets failed"),
        }
        groups
    }
}

fn static_groups(config: &DiscoveryConfig) -> Vec<TargetGroup> {
    let group = |(index, group): (usize, &crate::StaticConfig)| TargetGroup {
        targets: group
            .targets
            .iter()
            .map(|address| Labels::from_pairs([(ADDRESS, address.as_str())]))
            .collect(),
        labels: group.labels.clone(),
        source: index.to_string(),
    };
    config.statics.iter().enumerate().map(group).collect()
}
