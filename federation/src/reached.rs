//! How far each agent's samples have come to this replica, and what follows for its alerts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alertmanager::{Fingerprint, SharedState};
use env::Tasks;
use model::{Labels, METRIC_NAME, Matcher};
use parking_lot::RwLock;
use rules::{ActiveAlert, Due, Holder, Missing, Sources};
use storage::{Querier, Select, StreamInfo, TimeRange};
use tsdb::Store;

use crate::agents_up;
use crate::to_pair::ToPair;
use crate::watchers::HeardByPair;

/// An agent that is not heard casts doubt on an alert for so long after its end. Milliseconds.
const DOUBT_MS: i64 = 60_000;
/// An agent that was not heard for so long may have samples that are not here.
const SILENT: Duration = Duration::from_secs(16);
/// How often it is looked how far each agent has come.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How far the samples of agents have come here: missing data is unknown, not resolved. What an agent that
/// is heard has written is here within the query offset.
pub(crate) struct Reached {
    heard: HeardByPair,
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
        heard: HeardByPair,
        known: &SharedState,
        sink: &Arc<ToPair>,
        store: Arc<Store>,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let through = RwLock::default();
        let reached = Arc::new(Self { heard, known: known.clone(), sink: Arc::clone(sink), through });
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
                let heard = self.heard.within(SILENT);
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

    /// Whether `late` holds for the agent that an alert's labels name; where they name none, for one of those
    /// whose series its last true evaluation read.
    fn is_late(&self, labels: &Labels, sources: &Sources, late: impl Fn(Through) -> bool) -> bool {
        let through = self.through.read();
        let is_late = |agent: &str| through.get(agent).is_some_and(|through| late(*through));
        match labels.get(StreamInfo::AGENT) {
            Some(agent) => is_late(agent),
            None => sources.iter().any(is_late),
        }
    }
}

impl Holder for Reached {
    /// An alert is held while an agent whose samples made it true is silent and has not reached the
    /// evaluation's time. One that is heard holds nothing, however slow its line is: else a line that always
    /// lags would keep every alert for the longest that one may be held.
    fn hold(&self, missing: &Missing<'_>) -> bool {
        let late = |through: Through| !through.heard && through.at_ms < missing.at_ms;
        self.is_late(missing.labels, missing.sources, late)
    }

    fn has_sources(&self) -> bool {
        true
    }

    /// What the pair itself says of an agent does not wait for that agent.
    fn source<'a>(&self, series: &'a Labels) -> Option<&'a str> {
        series.get(StreamInfo::AGENT).filter(|_| !agents_up::is_ours(series))
    }

    /// A replica that was away, or whose line to an agent was, may still see the agent as it was before the
    /// twin told that its alert is over. An agent that is not heard has died since, if it does not soon come:
    /// then what its own death fires must be told.
    /// An alert of many agents waits no longer for one that is heard than for one that is not: among
    /// thousands, somebody is always late.
    fn doubt(&self, alert: &ActiveAlert, due: &Due<'_>) -> bool {
        let told = Fingerprint::of(&self.sink.told_labels(&alert.labels));
        let ended = self.known.read(|state| {
            state.alert(told).filter(|alert| alert.resolved_explicitly()).map(|alert| alert.ends_at)
        });
        let names_one = alert.labels.get(StreamInfo::AGENT).is_some();
        ended.is_some_and(|ended| {
            let soon = due.at_ms < ended.saturating_add(DOUBT_MS);
            self.is_late(&alert.labels, &alert.sources, |through| {
                (soon || names_one && through.heard) && through.at_ms < ended.saturating_sub(due.offset_ms)
            })
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

    fn active(labels: Labels, read: &[&str]) -> ActiveAlert {
        let rule = rule();
        let mut state = rules::AlertingState::default();
        let sources = Sources::from_iter(read.iter().copied());
        let step = rules::Step { at_ms: 0, limit: 0, sources, holder: &NeverHold, hold_max_ms: 0 };
        let result = rules::Rendered { labels, annotations: Labels::empty(), value: 1.0 };
        state.step(&rule, vec![result], &step).expect("one alert");
        state.active().next().expect("it is active").clone()
    }

    fn rule() -> rules::AlertingRule {
        let (alert, expr) = ("A".to_owned(), "x".to_owned());
        let parts = rules::RuleParts { alert, expr, ..rules::RuleParts::default() };
        let rule = rules::Rule::new(parts, &Labels::empty(), model::NameValidation::Utf8);
        let rules::Rule::Alerting(rule) = rule.expect("a rule") else { panic!("it alerts") };
        rule
    }

    fn reached(ended: bool) -> Reached {
        reached_of(&labels(), ended)
    }

    /// A replica whose alertmanager has an alert that ended, or goes on until then.
    fn reached_of(labels: &Labels, ended: bool) -> Reached {
        let known = SharedState::new();
        let external = Labels::from_pairs([("pair", "p")]);
        let alert = Alert {
            labels: agent::rules_status::with_external(labels, &external),
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
        let agents = receive::Agents::load(folder.path(), Duration::from_secs(15), clock.clone());
        let agents = agents.expect("none yet");
        let sink = ToPair::new(Arc::new(Nobody), external, Tasks::new());
        let heard = HeardByPair { agents: Arc::new(agents), twin: None, clock };
        Reached { heard, known, sink: Arc::new(sink), through: RwLock::default() }
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
            assert_eq!(reached.doubt(&active(labels(), &[]), &due), want, "{name}");
            let other = Labels::from_pairs([("alertname", "A"), ("agent", "unknown")]);
            assert!(!reached.doubt(&active(other, &["edge"]), &due), "{name}: another agent");
        }
    }

    /// An alert without the agent's name, of an evaluation that read several agents.
    #[test]
    fn an_alert_of_many_agents_waits_a_minute_for_those_it_read() {
        let total = Labels::from_pairs([("alertname", "A")]);
        // read, heard, evaluated after the end, in doubt
        for (read, heard, after, want) in [
            (&["edge", "other"][..], true, DOUBT_MS - 1, true),
            (&["edge"], false, DOUBT_MS - 1, true),
            (&["edge"], true, DOUBT_MS, false),
            (&["other"], true, 1_000, false),
        ] {
            let reached = reached_of(&total, true);
            let behind = Through { at_ms: ENDED - OFFSET - 1, heard };
            reached.through.write().insert("edge".to_owned(), behind);
            reached.through.write().insert("other".to_owned(), Through { at_ms: ENDED, heard: true });
            let (resend_delay_ms, interval_ms, url, holder) = (60_000, 1_000, "", &NeverHold);
            let at_ms = ENDED + after;
            let due = Due { at_ms, offset_ms: OFFSET, resend_delay_ms, interval_ms, url, holder };
            let doubted = reached.doubt(&active(total.clone(), read), &due);
            assert_eq!(doubted, want, "{read:?}, heard: {heard}, {after} ms after the end");
        }
    }

    #[test]
    fn what_a_silent_agent_had_made_true_is_held() {
        const AT: i64 = 2_000_000;
        let named = |agent| Labels::from_pairs([("alertname", "A"), ("agent", agent)]);
        let total = Labels::from_pairs([("alertname", "A")]);
        // labels, read, silent agent reaches, held
        let cases = [
            ("its agent is silent", named("silent"), vec!["silent"], AT - 300_000, true),
            ("its agent fell silent after the evaluation", named("silent"), vec!["silent"], AT, false),
            ("its agent is heard, and behind", named("heard"), vec!["heard", "silent"], AT - 1, false),
            ("one of many is silent", total.clone(), vec!["heard", "silent"], AT - 1, true),
            ("none of many is silent", total.clone(), vec!["heard"], AT - 1, false),
            ("nobody's", total, vec![], AT - 1, false),
        ];
        let rule = rule();
        for (name, labels, read, reaches, want) in cases {
            let reached = reached(false);
            let behind = |heard, at_ms| Through { at_ms, heard };
            reached.through.write().insert("silent".to_owned(), behind(false, reaches));
            reached.through.write().insert("heard".to_owned(), behind(true, AT - 60_000));
            let sources = Sources::from_iter(read);
            let missing = Missing {
                rule: &rule,
                labels: &labels,
                last_true_ms: AT - 15_000,
                sources: &sources,
                at_ms: AT,
            };
            assert_eq!(reached.hold(&missing), want, "{name}");
        }
    }

    #[test]
    fn what_the_pair_says_of_an_agent_does_not_wait_for_it() {
        let reached = reached(false);
        let series = |job| Labels::from_pairs([("__name__", "up"), ("job", job), ("agent", "edge")]);
        assert_eq!(reached.source(&series("node")), Some("edge"));
        assert_eq!(reached.source(&series("vedette-agent")), None);
    }
}
