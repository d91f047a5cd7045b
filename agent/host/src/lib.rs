//! This machine's own metrics, under node_exporter's names and labels.
//!
//! Reads `/proc` and asks the kernel; knows no HTTP: pages become rows of an [`storage::Appender`].
//! Start reading at [`Host::run`]; each file of `collectors` is one of node_exporter's collectors.

mod collectors;
mod page;
mod run;

use std::path::PathBuf;
use std::time::Duration;

pub use collectors::{COLLECTORS, Collectors};
pub use page::{HostSample, Page};
pub use run::Host;

/// What to watch, how often, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// Between two readings.
    pub interval: Duration,
    /// The `job` label; dashboards expect `node`.
    pub job: String,
    /// The `instance` label: the host's name.
    pub instance: String,
    /// Where the kernel's `/proc` is mounted.
    pub proc: PathBuf,
    /// Where the host's root is mounted; mount points are read below it.
    pub root: PathBuf,
    /// Names of the collectors to run, out of [`COLLECTORS`].
    pub collectors: Vec<String>,
}

impl HostConfig {
    /// Default of [`HostConfig::interval`].
    pub const INTERVAL: Duration = Duration::from_secs(15);

    /// The defaults for a host of that name.
    #[must_use]
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            interval: Self::INTERVAL,
            job: "node".to_owned(),
            instance: instance.into(),
            proc: PathBuf::from("/proc"),
            root: PathBuf::from("/"),
            collectors: COLLECTORS.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The host's own name, as `uname -n` gives it.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
