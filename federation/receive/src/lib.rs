//! The uplink's server: takes every agent's frames, each exactly once, and knows which agents live.
//!
//! At least once on the wire, exactly once in the store: the store's interval set, which it recovers
//! with the frames themselves, is the only account of what was received. Knows `storage` and the
//! uplink's wire format; never knows who reads.
//! Start reading at `Receiver::serve`; [`Agents`] is who was heard, and when.

mod agents;
mod connection;
mod metrics;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, Tasks};
use storage::{FrameSink, FrameSource};

pub use agents::{AgentStatus, Agents, AgentsError, Refused};

use crate::metrics::Metrics;

/// How a replica receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveOptions {
    /// This replica's node name.
    pub replica: String,
    /// Each side of a connection says something at least this often.
    pub heartbeat: Duration,
    /// How often what became durable is acknowledged.
    pub ack_interval: Duration,
}

impl ReceiveOptions {
    /// Default of [`ReceiveOptions::heartbeat`].
    pub const HEARTBEAT: Duration = Duration::from_secs(15);
    /// Default of [`ReceiveOptions::ack_interval`].
    pub const ACK_INTERVAL: Duration = Duration::from_millis(250);
}

/// Takes agents' connections and offers their frames to a store.
pub struct Receiver {
    options: ReceiveOptions,
    sink: Arc<dyn FrameSink>,
    source: Arc<dyn FrameSource>,
    agents: Arc<Agents>,
    clock: SharedClock,
    tasks: Tasks,
    metrics: Metrics,
}

impl Receiver {
    /// A receiver into `store`.
    #[must_use]
    pub fn new<S: FrameSink + FrameSource + 'static>(
        options: ReceiveOptions,
        store: Arc<S>,
        agents: Arc<Agents>,
        clock: SharedClock,
        tasks: Tasks,
        registry: &telemetry::Registry,
    ) -> Arc<Self> {
        let metrics = Metrics::register(registry);
        Arc::new(Self { options, sink: store.clone(), source: store, agents, clock, tasks, metrics })
    }
}
