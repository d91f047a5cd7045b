//! What a replica knows of its twin, and what it tells it.

use std::sync::Arc;
use std::time::Duration;

use env::SharedClock;
use model::Labels;
use parking_lot::RwLock;

/// An agent as one replica hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentHeard {
    /// Its node name.
    pub name: String,
    /// Labels of everything that it ships.
    pub labels: Labels,
    /// Whether silence means gone rather than down.
    pub ephemeral: bool,
    /// Since its last frame or heartbeat; `None` when it was not heard since the replica started.
    pub silent_for: Option<Duration>,
    /// An operator removed it: the other replica forgets it too, unless it is connected there.
    pub forgotten: bool,
}

/// What the twin is told besides the frames' names.
pub trait Local: Send + Sync {
    /// Every agent that this replica knows.
    fn agents(&self) -> Vec<AgentHeard>;
    /// Takes note of agents that only the twin has met.
    fn learn(&self, met: &[AgentHeard]);
    /// A hash over the rules and external labels, which a pair must have in common.
    fn config_hash(&self) -> u128;
}

/// What the twin last said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinView {
    /// Its node name.
    pub replica: String,
    /// The agents as it heard them when it spoke.
    pub agents: Vec<AgentHeard>,
    /// Whether its rules and external labels are ours.
    pub same_config: bool,
    /// Samples before this time are gone there.
    pub floor_ms: i64,
    /// When it spoke, on this replica's monotonic clock.
    pub heard: Duration,
}

/// A shared, always current look at the twin.
#[derive(Clone, Debug)]
pub struct PairView {
    twin: Arc<RwLock<Option<TwinView>>>,
    clock: SharedClock,
    silence_max: Duration,
}

impl PairView {
    pub(crate) fn new(clock: SharedClock, silence_max: Duration) -> Self {
        Self { twin: Arc::default(), clock, silence_max }
    }

    pub(crate) fn update(&self, twin: TwinView) {
        *self.twin.write() = Some(twin);
    }

    /// What the twin last said, if it ever spoke.
    #[must_use]
    pub fn last(&self) -> Option<TwinView> {
        self.twin.read().clone()
    }

    /// What the twin last said, if that was just now.
    #[must_use]
    pub fn heard(&self) -> Option<TwinView> {
        let now = self.clock.monotonic();
        self.last().filter(|twin| now.saturating_sub(twin.heard) <= self.silence_max)
    }
}

#[cfg(test)]
mod tests {
    use env::{Clock as _, SimulatedClock};

    use super::*;

    #[test]
    fn a_silent_twin_is_not_heard() {
        let clock = SimulatedClock::at(0);
        let view = PairView::new(clock.clone(), Duration::from_secs(5));
        assert!(view.last().is_none());
        view.update(TwinView {
            replica: "b".into(),
            agents: Vec::new(),
            same_config: true,
            floor_ms: 0,
            heard: clock.monotonic(),
        });
        clock.advance(Duration::from_secs(5));
        assert!(view.heard().is_some());
        clock.advance(Duration::from_millis(1));
        assert!(view.heard().is_none() && view.last().is_some());
    }
}
