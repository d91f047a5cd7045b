//! The running process as `/api/v1/status/*` shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{BuildInfo, ProcessStatus, RuntimeInfo};
use env::SharedClock;
use tokio::runtime::Handle;

use crate::lifecycle::ReloadState;

/// Facts about this process that do not change, and the last reload.
pub struct Process {
    clock: SharedClock,
    start_ms: i64,
    flags: BTreeMap<String, String>,
    retention: String,
    memory_max: u64,
    reload: Arc<ReloadState>,
    safe_mode: Box<dyn Fn() -> Option<String> + Send + Sync>,
    corruptions: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Process {
    /// A process that starts now, with these flags; how long it keeps samples, and at how many bytes of memory it begins
    /// no new series. `safe_mode` says why the
    /// process runs with the minimum, while it does; `corruptions` how many damages of its log were met.
    #[must_use]
    pub fn new(
        clock: SharedClock,
        flags: BTreeMap<String, String>,
        (retention, memory_max): (String, u64),
        reload: Arc<ReloadState>,
        safe_mode: impl Fn() -> Option<String> + Send + Sync + 'static,
        corruptions: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Arc<Self> {
        let start_ms = clock.now_ms();
        let (safe_mode, corruptions) = (Box::new(safe_mode), Box::new(corruptions));
        Arc::new(Self { clock, start_ms, flags, retention, memory_max, reload, safe_mode, corruptions })
    }
}

/// The Prometheus that this program stands in for: Grafana reads from it which requests a server knows.
pub const STANDS_IN_FOR: &str = "3.14.0";

/// What this program was built from.
#[must_use]
pub fn build_info() -> BuildInfo {
    BuildInfo {
        version: STANDS_IN_FOR.to_owned(),
        revision: concat!("vedette-", env!("CARGO_PKG_VERSION")).to_owned(),
        branch: String::new(),
        build_user: String::new(),
        build_date: String::new(),
        go_version: concat!("rust", env!("CARGO_PKG_RUST_VERSION")).to_owned(),
    }
}

impl ProcessStatus for Process {
    fn runtime(&self) -> RuntimeInfo {
        let (success, at_ms) = self.reload.last();
        RuntimeInfo {
            start_time: self.start_ms,
            cwd: std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default(),
            hostname: host::host_name(),
            server_time: self.clock.now_ms(),
            reload_config_success: success,
            last_config_time: at_ms,
            corruption_count: (self.corruptions)(),
            goroutine_count: Handle::try_current()
                .map_or(0, |tokio| tokio.metrics().num_alive_tasks() as u64),
            gomaxprocs: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
            gomemlimit: self.memory_max,
            gogc: String::new(),
            godebug: String::new(),
            storage_retention: self.retention.clone(),
            safe_mode: (self.safe_mode)(),
        }
    }

    fn build(&self) -> BuildInfo {
        build_info()
    }

    fn flags(&self) -> BTreeMap<String, String> {
        self.flags.clone()
    }

    fn features(&self) -> BTreeMap<String, BTreeMap<String, bool>> {
        crate::features::of(&self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_one_that_grafana_can_compare() {
        let numbers: Vec<u64> = build_info().version.split('.').map(|part| part.parse().unwrap()).collect();
        assert!(numbers.len() == 3 && numbers[0] >= 3, "{numbers:?}");
        assert_eq!(build_info().revision, format!("vedette-{}", env!("CARGO_PKG_VERSION")));
    }
}
