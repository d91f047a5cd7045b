//! The loop behind [`crate::agents_up`]: evaluates on the grid, and publishes as the pair's writer.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, Tasks};
use model::Labels;
use receive::Agents;
use repair::{AgentHeard, Local, PairView};
use storage::{Cell, Number};

use crate::agents_up::{INTERVAL, Knowledge, Up, evaluate};
use crate::marks::Marks;

/// The internal group's name in marks.
const GROUP: &str = "vedette-agents";

/// What a replica needs to judge agents.
pub(crate) struct Watchers {
    pub(crate) agents: Arc<Agents>,
    pub(crate) twin: Option<PairView>,
    pub(crate) marks: Marks,
    pub(crate) clock: SharedClock,
}

impl Watchers {
    /// Evaluates at every multiple of the interval until the tasks are stopped.
    pub(crate) async fn run(self, tasks: Tasks) {
        let listening_since = self.clock.monotonic();
        let mut written: BTreeMap<String, Labels> = BTreeMap::new();
        loop {
            let at_ms = next_slot(self.clock.now_ms());
            let wait = Duration::from_millis((at_ms - self.clock.now_ms()).unsigned_abs());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = tasks.stopping() => return,
            }
            let judged = self.judge(self.clock.monotonic().saturating_sub(listening_since));
            if judged.is_empty() && written.is_empty() {
                continue;
            }
            let publish = tokio::select! {
                publish = self.marks.must_publish(GROUP, at_ms) => publish,
                () = tasks.stopping() => return,
            };
            let samples = samples(&judged, &mut written);
            if publish && let Err(error) = self.marks.publish(GROUP, at_ms, &samples) {
                tracing::warn!(%error, "whether agents are up could not be stored");
            }
        }
    }

    fn judge(&self, listening: Duration) -> BTreeMap<String, (Labels, Up)> {
        let own = self.agents.list();
        let (heard, last) =
            (self.twin.as_ref().and_then(PairView::heard), self.twin.as_ref().and_then(PairView::last));
        let now = self.clock.monotonic();
        evaluate(&Knowledge {
            own: &own,
            twin: heard.as_ref().map(|twin| (twin.agents.as_slice(), now.saturating_sub(twin.heard))),
            paired: self.twin.is_some(),
            twin_silent_for: last.map(|twin| now.saturating_sub(twin.heard)),
            listening,
        })
    }
}

/// Which agents either replica hears.
pub(crate) struct HeardByPair {
    pub(crate) agents: Arc<Agents>,
    pub(crate) twin: Option<PairView>,
    pub(crate) clock: SharedClock,
}

impl HeardByPair {
    /// Names of those that were silent for at most `silence`.
    pub(crate) fn within(&self, silence: Duration) -> HashSet<String> {
        let here = self.agents.list().into_iter().map(|agent| (agent.name, agent.silent_for));
        let twin = self.twin.as_ref().and_then(PairView::heard);
        let age =
            twin.as_ref().map_or(Duration::ZERO, |twin| self.clock.monotonic().saturating_sub(twin.heard));
        let there = twin.iter().flat_map(|twin| &twin.agents);
        let there = there
            .map(|agent| (agent.name.clone(), agent.silent_for.map(|silent| silent.saturating_add(age))));
        let heard = here.chain(there).filter(|(_, silent)| silent.is_some_and(|silent| silent <= silence));
        heard.map(|(name, _)| name).collect()
    }
}

/// The next multiple of the interval after `now_ms`.
fn next_slot(now_ms: i64) -> i64 {
    let interval_ms = i64::try_from(INTERVAL.as_millis()).unwrap_or(i64::MAX);
    (now_ms.div_euclid(interval_ms) + 1) * interval_ms
}

/// The samples of one evaluation; a series whose agent is gone or forgotten ends once.
fn samples(
    judged: &BTreeMap<String, (Labels, Up)>,
    written: &mut BTreeMap<String, Labels>,
) -> Vec<(Labels, Cell)> {
    let mut out = Vec::new();
    let mut alive = BTreeMap::new();
    for (name, (labels, up)) in judged {
        let value = match up {
            Up::Heard => 1.0,
            Up::Silent => 0.0,
            Up::Gone => continue,
        };
        out.push((labels.clone(), Cell::Value(Number::from_f64(value))));
        alive.insert(name.clone(), labels.clone());
    }
    for (name, labels) in written.iter() {
        if alive.get(name) != Some(labels) {
            out.push((labels.clone(), Cell::Stale));
        }
    }
    *written = alive;
    out
}

/// What the twin is told about agents, and what it tells.
pub(crate) struct LocalNews {
    pub(crate) agents: Arc<Agents>,
    pub(crate) config_hash: Box<dyn Fn() -> u128 + Send + Sync>,
}

impl Local for LocalNews {
    fn agents(&self) -> Vec<AgentHeard> {
        let heard = |agent: receive::AgentStatus| AgentHeard {
            name: agent.name,
            labels: agent.labels,
            ephemeral: agent.ephemeral,
            silent_for: agent.silent_for,
            forgotten: false,
        };
        let forgotten = |name| AgentHeard {
            name,
            labels: Labels::empty(),
            ephemeral: false,
            silent_for: None,
            forgotten: true,
        };
        let known = self.agents.list().into_iter().map(heard);
        known.chain(self.agents.forgotten().into_iter().map(forgotten)).collect()
    }

    fn learn(&self, met: &[AgentHeard]) {
        let (forgotten, known): (Vec<_>, Vec<_>) = met.iter().partition(|agent| agent.forgotten);
        let known =
            known.into_iter().map(|agent| (agent.name.clone(), agent.labels.clone(), agent.ephemeral));
        let learnt = self.agents.learn(known);
        let forgot = forgotten.into_iter().try_for_each(|agent| self.agents.forget(&agent.name));
        if let Err(error) = learnt.and(forgot) {
            tracing::warn!(%error, "the twin's news of agents could not be written down");
        }
    }

    fn config_hash(&self) -> u128 {
        (self.config_hash)()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_whose_agent_was_forgotten_ends_once() {
        let labels = |name: &str| Labels::from_pairs([("instance", name)]);
        let mut written = BTreeMap::new();
        let judged = BTreeMap::from([
            ("a".to_owned(), (labels("a"), Up::Heard)),
            ("b".to_owned(), (labels("b"), Up::Silent)),
        ]);
        assert_eq!(samples(&judged, &mut written).len(), 2);
        let judged = BTreeMap::from([("b".to_owned(), (labels("b"), Up::Gone))]);
        let ended = samples(&judged, &mut written);
        assert_eq!(ended, [(labels("a"), Cell::Stale), (labels("b"), Cell::Stale)]);
        assert!(samples(&judged, &mut written).is_empty());
    }

    #[test]
    fn slots_are_multiples_of_the_interval() {
        assert_eq!((next_slot(0), next_slot(14_999), next_slot(15_000)), (15_000, 15_000, 30_000));
    }
}
