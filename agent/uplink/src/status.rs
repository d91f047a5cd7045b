//! How shipping goes, for people.

use std::sync::Arc;

use parking_lot::Mutex;

/// One replica, seen from here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// `host:port` as configured.
    pub endpoint: String,
    /// The replica's own name, once it has said it.
    pub name: String,
    /// Whether a connection stands.
    pub connected: bool,
    /// When the state last changed, milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Kept frames that it has not acknowledged.
    pub lag_frames: u64,
    /// Why the last connection ended; empty when none has.
    pub last_error: String,
}

/// A status that a session writes and others read.
#[derive(Clone, Debug)]
pub(crate) struct SharedStatus(Arc<Mutex<ReplicaStatus>>);

impl SharedStatus {
    pub(crate) fn new(endpoint: &str) -> Self {
        Self(Arc::new(Mutex::new(ReplicaStatus {
            endpoint: endpoint.to_owned(),
            ..ReplicaStatus::default()
        })))
    }

    pub(crate) fn get(&self) -> ReplicaStatus {
        self.0.lock().clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut ReplicaStatus)) {
        change(&mut self.0.lock());
    }
}
