//! How far each agent's samples have come to this replica, and what follows for its alerts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use alertmanager::{Fingerprint, SharedState};
use env::Tasks;
use model::{Labels, METRIC_NAME, Matcher};
use parking_lot::RwLock;
use receive::{AgentStatus, Agents};
use rules::{Due, Holder, Missing};
use storage::{Querier, Select, StreamInfo, TimeRange};
use tsdb::Store;

use crate::to_pair::ToPair;

/// An agent that is not heard casts doubt on an alert for so long after its end. Milliseconds.
const DOUBT_MS: i64 = 60_000;
/// An agent that was not heard for so long may have samples that are not here.
const SILENT: Duration = Duration::from_secs(16);
/// How often it is looked how far each agent has come.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How far the samples of agents have come here: missing data is unknown, not resolved. What an agent that
/// is heard has written is here within the query offset.
pub(crate) struct Reached {
    agents: Arc<Agents>,
    /// What the alertmanager knows.
    known: SharedState,
    sink: Arc<ToPair>,
    through: RwLock<HashMap<String, Through>>,
}

/// How far one agent's samples have come here.
#[derive(Clone, Copy, Debug)]
struct Through {
    at_ms: i64,
    heard: bool,
}

impl Reached {
    /// Starts to look.
    pub(crate) fn start(
        agents: Arc<Agents>,
        known: &SharedState,
        sink: &Arc<ToPair>,
        store: Arc<Store>,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let through = RwLock::default();
        let reached = Arc::new(Self { agents, known: known.clone(), sink: Arc::clone(sink), through });
        tasks.spawn(Arc::clone(&reached).follow(store, tasks.clone()));
        reached
    }

    /// Looks again and again until the tasks are stopped.
    async fn follow(self: Arc<Self>, store: Arc<Store>, tasks: Tasks) {
        loop {
            // Nothing has this name: only the coverage is wanted.
            let matchers = vec![Matcher::equal(METRIC_NAME, "")];
            let select =
                Select { matchers, range: TimeRange { start: i64::MAX, end: i64::MAX }, samples_max: 1 };
            if let Ok(set) = store.select(select).await {
                let heard = |agent: &AgentStatus| agent.silent_for.is_some_and(|silent| silent <= SILENT);
                let heard: HashSet<String> =
                    self.agents.list().into_iter().filter(heard).map(|agent| agent.name).collect();
                let reached = set.coverage.complete_through.into_iter();
                let through = |(agent, at_ms)| {
                    let heard = heard.contains(&agent);
                    (agent, Through { at_ms, heard })
                };
                *self.through.write() = reached.map(through).collect();
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = tasks.stopping() => return,
            }
        }
    }

    /// How far the agent that an alert's labels name has come; none when they name none.
    fn through(&self, labels: &Labels) -> Option<Through> {
        self.through.read().get(labels.get(StreamInfo::AGENT)?).copied()
    }
}

impl Holder for Reached {
    /// An instance whose labels name its agent is held while that agent has not reached the evaluation's
    /// time; one that was behind already when the alert was last true holds nothing.
    fn hold(&self, missing: &Missing<'_>) -> bool {
        let through = self.through(missing.labels).filter(|it| !it.heard).map(|it| it.at_ms);
        through.is_some_and(|through| through < missing.at_ms && through >= missing.last_true_ms)
    }

    /// A replica that was away, or whose line to an agent was, may still see the agent as it was before the
    /// twin told that its alert is over. An agent that is not heard has died since, if it does not soon come:
    /// then what its own death fires must be told.
    fn doubt(&self, labels: &Labels, due: &Due<'_>) -> bool {
        let Some(through) = self.through(labels) else { return false };
        let alert = Fingerprint::of(&self.sink.told_labels(labels));
        let ended = self.known.read(|state| {
            state.alert(alert).filter(|alert| alert.resolved_explicitly()).map(|alert| alert.ends_at)
        });
        ended.is_some_and(|ended| {
            let waits = through.heard || due.at_ms < ended.saturating_add(DOUBT_MS);
            waits && through.at_ms < ended.saturating_sub(due.offset_ms)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use alertmanager::{Alert, Applied, Command, LeaderId};
    use env::SimulatedClock;
    use rules::NeverHold;
    use storage::BoxFuture;

    use super::*;
    use crate::to_pair::Told;

    struct Nobody;

    impl Told for Nobody {
        fn post<'a>(&'a self, _: &'a [rules::Alert]) -> BoxFuture<'a, bool> {
            Box::pin(std::future::ready(true))
        }

        fn knows_end(&self, _: &rules::Alert) -> bool {
            false
        }

        fn goes_on(&self, _: &rules::Alert) -> bool {
            false
        }
    }

    const ENDED: i64 = 1_000_000;
    const OFFSET: i64 = 6_000;

    fn labels() -> Labels {
        Labels::from_pairs([("alertname", "A"), ("agent", "edge")])
    }

    /// A replica whose alertmanager has an alert that ended, or goes on until then.
    fn reached(ended: bool) -> Reached {
        let known = SharedState::new();
        let external = Labels::from_pairs([("pair", "p")]);
        let alert = Alert {
            labels: agent::rules_status::with_external(&labels(), &external),
            annotations: BTreeMap::new(),
            generator_url: String::new(),
            starts_at: 0,
            ends_at: ENDED,
            updated_at: if ended { ENDED } else { ENDED - 1 },
            timeout: false,
        };
        let at = Applied { index: 1, leader: LeaderId::default() };
        let _ = known.apply(at, &Command::AlertUpsert(vec![alert]).encode());
        let folder = tempfile::tempdir().expect("a folder");
        let clock = SimulatedClock::at(0);
        let agents = Agents::load(folder.path(), Duration::from_secs(15), clock).expect("none yet");
        let sink = ToPair::new(Arc::new(Nobody), external, Tasks::new());
        Reached { agents: Arc::new(agents), known, sink: Arc::new(sink), through: RwLock::default() }
    }

    #[test]
    fn only_newer_data_brings_back_what_ended() {
        let after = |ms: i64| ENDED + ms;
        // ended, data reaches, agent heard, evaluated at, in doubt
        let cases = [
            ("data from before the end", true, after(-OFFSET - 1), true, after(1_000), true),
            ("data as new as the end", true, after(-OFFSET), true, after(1_000), false),
            ("it goes on", false, after(-OFFSET - 1), true, after(1_000), false),
            ("still catching up", true, after(-OFFSET - 1), true, after(3_600_000), true),
            ("silent, and may come", true, after(-OFFSET - 1), false, after(DOUBT_MS - 1), true),
            ("silent for good", true, after(-OFFSET - 1), false, after(DOUBT_MS), false),
        ];
        for (name, ended, at_ms, heard, now, want) in cases {
            let reached = reached(ended);
            reached.through.write().insert("edge".to_owned(), Through { at_ms, heard });
            let (resend_delay_ms, interval_ms, url) = (60_000, 1_000, "");
            let holder = &NeverHold;
            let due = Due { at_ms: now, offset_ms: OFFSET, resend_delay_ms, interval_ms, url, holder };
            assert_eq!(reached.doubt(&labels(), &due), want, "{name}");
            let other = Labels::from_pairs([("alertname", "A"), ("agent", "unknown")]);
            assert!(!reached.doubt(&other, &due), "{name}: another agent");
        }
    }
}
