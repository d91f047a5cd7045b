//! Ships a store's frames to the replicas of a pair: one gRPC stream to each, each with its own cursor.
//!
//! The store is the buffer: there is no second queue. A replica's own account of what it received is
//! the truth; what is kept here per replica is a hint that survives restarts. Knows `storage`;
//! never knows the federation, which it meets only over `proto`.
//! Start reading at [`Uplink::start`]; `session` is one connection's life.

mod config;
mod cursor;
mod durable;
mod forks;
mod metrics;
mod session;
mod shipping;
mod status;
pub mod wire;

use std::sync::Arc;

use env::{SharedClock, SharedRandom, Tasks};
use storage::FrameSource;

pub use config::{TlsFiles, UplinkConfig};
pub use durable::Durable;
pub use status::ReplicaStatus;

use crate::durable::Acknowledged;
use crate::forks::Forks;
use crate::metrics::Metrics;
use crate::session::Shipper;
use crate::status::SharedStatus;

/// A running uplink to every configured replica.
#[derive(Debug)]
pub struct Uplink {
    statuses: Vec<SharedStatus>,
    acknowledged: Vec<Acknowledged>,
    tasks: Tasks,
}

impl Uplink {
    /// Starts to ship `source`'s frames to every endpoint of `config`, until `tasks` are stopped.
    pub fn start(
        config: UplinkConfig,
        source: &Arc<dyn FrameSource>,
        clock: &SharedClock,
        random: &SharedRandom,
        tasks: &Tasks,
        registry: &telemetry::Registry,
    ) -> Self {
        let metrics = Metrics::register(registry);
        Self::start_with(config, source, clock, random, tasks, metrics)
    }

    fn start_with(
        config: UplinkConfig,
        source: &Arc<dyn FrameSource>,
        clock: &SharedClock,
        random: &SharedRandom,
        tasks: &Tasks,
        metrics: Metrics,
    ) -> Self {
        let tasks = tasks.child();
        let config = Arc::new(config);
        let forks = Arc::new(Forks::load(&config.cursor_dir));
        let (mut statuses, mut acknowledged) = (Vec::new(), Vec::new());
        for endpoint in &config.endpoints {
            let status = SharedStatus::new(endpoint);
            statuses.push(status.clone());
            let heard = Acknowledged::default();
            acknowledged.push(heard.clone());
            let shipper = Shipper {
                endpoint: endpoint.clone(),
                config: Arc::clone(&config),
                source: Arc::clone(source),
                clock: Arc::clone(clock),
                random: Arc::clone(random),
                forks: Arc::clone(&forks),
                metrics: metrics.clone(),
                status,
                acknowledged: heard,
                tasks: tasks.clone(),
            };
            tasks.spawn(shipper.run());
        }
        Self { statuses, acknowledged, tasks }
    }

    /// How shipping to each replica goes.
    #[must_use]
    pub fn status(&self) -> Vec<ReplicaStatus> {
        self.statuses.iter().map(SharedStatus::get).collect()
    }

    /// What all replicas have on their disks; it goes on to tell so when the uplink has ended.
    #[must_use]
    pub fn durable(&self) -> Durable {
        Durable(self.acknowledged.clone())
    }

    /// Ends every connection; what is not acknowledged is sent again after the next start.
    ///
    /// # Errors
    /// When a connection has not ended at the deadline.
    pub async fn stop(&self, deadline: std::time::Duration) -> Result<(), env::TasksStillRunning> {
        self.tasks.shutdown(deadline).await
    }
}
