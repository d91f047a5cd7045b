//! The pair's anti-entropy: once a second each replica tells what it holds and hears, and pulls what it lacks.
//!
//! There is no leader: each side repairs itself, so any loss, repeat or order of messages ends in the
//! same sets. Frames are copied verbatim and offered to the store like an agent's, which takes each
//! once; what the twin's log has no more is copied as whole sealed windows. Knows `storage`; never knows agents' connections or rules, whose news it only carries.
//! Start reading at [`Pair::start`].

mod digest;
mod exchange;
mod metrics;
mod view;
mod windows;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, Tasks};
use storage::{FrameSink, FrameSource, WindowSink, WindowSource};
use uplink::TlsFiles;

pub use view::{AgentHeard, Local, PairView, TwinView};

use crate::metrics::Metrics;

/// A store that gives frames and sealed windows, and takes them.
pub trait Store: FrameSource + FrameSink + WindowSource + WindowSink {}

impl<T: FrameSource + FrameSink + WindowSource + WindowSink> Store for T {}

/// How a replica keeps in step with its twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairOptions {
    /// This replica's node name.
    pub replica: String,
    /// The twin's node name.
    pub twin: String,
    /// `host:port` of the twin's gRPC listener.
    pub endpoint: String,
    /// How often digests are exchanged.
    pub interval: Duration,
    /// A twin that has not answered for so long is not heard.
    pub silence_max: Duration,
    /// Bytes of sealed windows that are copied a second, at most: what is fresh goes before them.
    pub copy_rate: u64,
    /// Mutual TLS; without it the connection is plain.
    pub tls: Option<TlsFiles>,
}

impl PairOptions {
    /// Default of [`PairOptions::interval`].
    pub const INTERVAL: Duration = Duration::from_secs(1);
    /// Default of [`PairOptions::silence_max`].
    pub const SILENCE_MAX: Duration = Duration::from_secs(5);
    /// Default of [`PairOptions::copy_rate`]: 32 MiB.
    pub const COPY_RATE: u64 = 32 << 20;
}

/// One replica's side of the pair.
pub struct Pair {
    options: PairOptions,
    store: Arc<dyn Store>,
    local: Arc<dyn Local>,
    view: PairView,
    clock: SharedClock,
    tasks: Tasks,
    hashes: digest::EndHashes,
    metrics: Metrics,
}

impl Pair {
    /// Starts to exchange digests with the twin and to pull what is missing, until `tasks` are stopped.
    #[must_use]
    pub fn start(
        options: PairOptions,
        store: Arc<dyn Store>,
        local: Arc<dyn Local>,
        clock: SharedClock,
        tasks: &Tasks,
        registry: &telemetry::Registry,
    ) -> Arc<Self> {
        let view = PairView::new(Arc::clone(&clock), options.silence_max);
        let metrics = Metrics::register(registry);
        let pair = Arc::new(Self {
            options,
            store,
            local,
            view,
            clock,
            tasks: tasks.clone(),
            hashes: digest::EndHashes::default(),
            metrics,
        });
        let (running, stop) = (Arc::clone(&pair), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = running.run() => {}
                () = stop.stopping() => {}
            }
        });
        pair
    }

    /// What the twin last said, and whether it is heard.
    #[must_use]
    pub fn view(&self) -> PairView {
        self.view.clone()
    }
}
