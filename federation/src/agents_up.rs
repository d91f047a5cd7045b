//! The pair watches the watchers: `up{job="vedette-agent"}` for every known agent, each 15 seconds.
//!
//! 1 if either replica heard the agent in the last two intervals, else 0, until the agent is removed;
//! an ephemeral agent's series ends after five minutes of silence instead. The writer is the first by
//! name of the replicas that hear each other. A replica that lost its twin and more than half of its
//! agents together writes nothing: it is itself cut off.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{INSTANCE, JOB, Labels, METRIC_NAME};
use receive::AgentStatus;
use repair::AgentHeard;

/// Time between two evaluations.
pub(crate) const INTERVAL: Duration = Duration::from_secs(15);
/// Silence beyond which an ephemeral agent is gone.
const EPHEMERAL_SILENCE: Duration = Duration::from_secs(300);
/// Silences that began within so long of each other began together.
const TOGETHER: Duration = Duration::from_secs(60);
/// The job of the agents' own series.
pub(crate) const AGENT_JOB: &str = "vedette-agent";

/// What an agent's series gets at one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Up {
    /// The value 1.
    Heard,
    /// The value 0.
    Silent,
    /// The stale marker, or nothing where the series has ended already.
    Gone,
}

/// What one replica knows at one evaluation.
pub(crate) struct Knowledge<'a> {
    /// Agents as heard here.
    pub(crate) own: &'a [AgentStatus],
    /// Agents as the twin heard them, and how long ago it said so; `None` when there is a twin and it is silent.
    pub(crate) twin: Option<(&'a [AgentHeard], Duration)>,
    /// Whether this node has a twin at all.
    pub(crate) paired: bool,
    /// Since the twin spoke last; `None` when it has not since this replica started.
    pub(crate) twin_silent_for: Option<Duration>,
    /// Time since this replica began to listen: until two intervals have passed nobody is silent.
    pub(crate) listening: Duration,
}

/// The series to write, by the agent's name; nothing when this replica must not judge.
pub(crate) fn evaluate(known: &Knowledge<'_>) -> BTreeMap<String, (Labels, Up)> {
    let heard_within = INTERVAL * 2;
    let mut silences: BTreeMap<&str, (&Labels, bool, Option<Duration>)> = BTreeMap::new();
    for agent in known.own {
        silences.insert(&agent.name, (&agent.labels, agent.ephemeral, agent.silent_for));
    }
    let lost = silences.values().filter(|(_, _, silent)| lost_with_twin(*silent, known)).count();
    let cut_off = known.paired && known.twin.is_none() && lost * 2 > silences.len();
    if cut_off || known.listening < heard_within {
        return BTreeMap::new();
    }
    for agent in known.twin.iter().flat_map(|(agents, _)| agents.iter()).filter(|agent| !agent.forgotten) {
        let age = known.twin.map_or(Duration::ZERO, |(_, age)| age);
        let there = agent.silent_for.map(|silent| silent + age);
        let entry = silences.entry(&agent.name).or_insert((&agent.labels, agent.ephemeral, there));
        entry.2 = match (entry.2, there) {
            (Some(here), Some(there)) => Some(here.min(there)),
            (here, there) => here.or(there),
        };
    }
    silences
        .into_iter()
        .map(|(name, (labels, ephemeral, silent))| {
            let up = match silent {
                Some(silent) if silent <= heard_within => Up::Heard,
                Some(silent) if ephemeral && silent > EPHEMERAL_SILENCE => Up::Gone,
                None if ephemeral && known.listening > EPHEMERAL_SILENCE => Up::Gone,
                _ => Up::Silent,
            };
            (name.to_owned(), (series(name, labels), up))
        })
        .collect()
}

/// Whether an agent fell silent together with the twin: then the fault is more likely ours.
fn lost_with_twin(silent: Option<Duration>, known: &Knowledge<'_>) -> bool {
    match (silent, known.twin_silent_for) {
        (Some(agent), Some(twin)) => agent > INTERVAL * 2 && agent.abs_diff(twin) <= TOGETHER,
        (None, None) => true,
        _ => false,
    }
}

/// Whether a series is one that [`evaluate`] gives.
pub(crate) fn is_ours(series: &Labels) -> bool {
    series.get(METRIC_NAME) == Some("up") && series.get(JOB) == Some(AGENT_JOB)
}

/// `up` with the agent's labels; job and instance are ours.
fn series(name: &str, labels: &Labels) -> Labels {
    let mut builder = labels.to_builder();
    builder.set(METRIC_NAME, "up").set(JOB, AGENT_JOB).set(INSTANCE, name);
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &str, silent: Option<u64>) -> AgentStatus {
        AgentStatus {
            name: name.to_owned(),
            labels: Labels::from_pairs([("agent", name), ("site", "x")]),
            ephemeral: name.starts_with('e'),
            connected: silent == Some(0),
            address: String::new(),
            silent_for: silent.map(Duration::from_secs),
        }
    }

    fn twin(name: &str, silent: Option<u64>) -> AgentHeard {
        let labels = Labels::from_pairs([("agent", name)]);
        AgentHeard {
            name: name.to_owned(),
            labels,
            ephemeral: false,
            silent_for: silent.map(Duration::from_secs),
            forgotten: false,
        }
    }

    fn judged(own: &[AgentStatus], twin: Option<&[AgentHeard]>, paired: bool) -> Vec<(String, Up)> {
        let known = Knowledge {
            own,
            twin: twin.map(|agents| (agents, Duration::from_secs(1))),
            paired,
            twin_silent_for: Some(Duration::from_secs(90)),
            listening: Duration::from_secs(3_600),
        };
        evaluate(&known).into_iter().map(|(name, (_, up))| (name, up)).collect()
    }

    #[test]
    fn heard_by_either_is_up() {
        let agents = [own("a", Some(100)), own("b", Some(3)), own("c", Some(31))];
        let there = [twin("a", Some(29)), twin("c", Some(31)), twin("d", None)];
        let up = |name: &str, up| (name.to_owned(), up);
        assert_eq!(
            judged(&agents, Some(&there), true),
            [up("a", Up::Heard), up("b", Up::Heard), up("c", Up::Silent), up("d", Up::Silent)]
        );
    }

    #[test]
    fn a_replica_that_is_itself_cut_off_judges_nobody() {
        let agents = [own("a", Some(100)), own("b", Some(100)), own("c", Some(1))];
        assert!(judged(&agents, None, true).is_empty());
        assert_eq!(judged(&agents, Some(&[]), true).len(), 3, "the twin is heard");
        assert_eq!(judged(&agents, None, false).len(), 3, "a node alone has nobody to ask");
        let later = [own("a", Some(900))];
        assert_eq!(judged(&later, None, true).len(), 1, "it fell silent long before the twin did");
    }

    #[test]
    fn an_ephemeral_agent_ends_and_a_new_listener_waits() {
        assert_eq!(judged(&[own("e", Some(301))], None, false), [("e".to_owned(), Up::Gone)]);
        assert_eq!(judged(&[own("e", Some(299))], None, false), [("e".to_owned(), Up::Silent)]);
        let agents = [own("a", None)];
        let fresh = Knowledge {
            own: &agents,
            twin: None,
            paired: false,
            twin_silent_for: None,
            listening: Duration::from_secs(29),
        };
        assert!(evaluate(&fresh).is_empty());
    }

    #[test]
    fn the_series_carries_the_agents_labels() {
        let agents = [own("a", Some(0))];
        let known = Knowledge {
            own: &agents,
            twin: None,
            paired: false,
            twin_silent_for: None,
            listening: Duration::from_secs(60),
        };
        let expected =
            [("__name__", "up"), ("agent", "a"), ("instance", "a"), ("job", "vedette-agent"), ("site", "x")];
        assert_eq!(evaluate(&known)["a"].0, Labels::from_pairs(expected));
    }
}
