//! Rules at a pair: both replicas evaluate every group at the same times; the writer of record
//! publishes, its warm twin steps in when the writer's mark does not come.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::rules_status::{rule_options, rules_config, shown};
use alertmanager::{Alertmanager, SharedState};
use anyhow::Result;
use config::Loaded;
use model::{Labels, METRIC_NAME, Matcher};
use parking_lot::Mutex;
use promql::Engine;
use rules::{
    ALERT_STATE, ALERTS, Alert, AlertSink, Evaluation, GroupKey, Published, Publisher, RuleGroup,
    RuleManager, RuleOutput, RulesParts, StorePublisher,
};
use storage::{BoxFuture, Querier, Select, TimeRange};
use tsdb::Store;

use crate::marks::Marks;
use crate::reached::Reached;
use crate::run::Node;
use crate::to_pair::{Known, ToPair};
use crate::watchers::HeardByPair;

/// Samples of the last moments may still be on their way: the uplink's flush interval and 5 s.
const QUERY_OFFSET: Duration = Duration::from_secs(6);
/// Evaluations for which an alert must have fired here before it is sent although the writer shows none.
const FIRED_HERE: u32 = 2;
/// A resolved alert is sent for so long, as the rules do. Milliseconds.
const RESOLVED_MS: i64 = 15 * 60_000;

/// What rules at a pair work on.
pub(crate) struct PairParts {
    pub(crate) marks: Marks,
    pub(crate) store: Arc<Store>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) heard: HeardByPair,
    pub(crate) alertmanager: Alertmanager,
    /// What the alertmanager knows.
    pub(crate) state: SharedState,
}

/// The running rules of a replica.
pub(crate) struct PairRules {
    manager: RuleManager,
    sink: Arc<ToPair>,
}

impl PairRules {
    /// Starts the groups that the configuration names.
    pub(crate) async fn start(
        node: &Node,
        loaded: &Loaded,
        external_url: &str,
        parts: PairParts,
    ) -> Result<Arc<Self>> {
        let PairParts { marks, store, engine, heard, alertmanager, state } = parts;
        let groups = agent::check::rule_groups(loaded)
            .map_err(|why| anyhow::Error::new(agent::cli::WrongConfig(why)))?;
        let known = Known { alertmanager, state: state.clone() };
        let external = loaded.global.external_labels.clone();
        let sink = Arc::new(ToPair::new(Arc::new(known), external, node.tasks.clone()));
        let holder = Reached::start(heard, &state, &sink, store.clone(), &node.tasks);
        let publisher = PairPublisher {
            marks,
            writer: StorePublisher::new(store.clone(), sink.clone()),
            store: store.clone(),
            sink: sink.clone(),
            fired: Mutex::default(),
            left: Mutex::default(),
        };
        let parts = RulesParts {
            engine,
            querier: store,
            publisher: Arc::new(publisher),
            holder,
            clock: node.clock.clone(),
            tasks: node.tasks.clone(),
        };
        let options =
            rule_options(&node.flags.common.rules, external_url, loaded.vedette.federation.rules_hold);
        let rules = Self { manager: RuleManager::with_parts(options, parts, &node.registry), sink };
        rules.apply(loaded, groups).await;
        Ok(Arc::new(rules))
    }

    /// Goes on with other groups.
    pub(crate) async fn apply(&self, loaded: &Loaded, mut groups: Vec<RuleGroup>) {
        let folder = loaded.path.parent().unwrap_or(Path::new(""));
        for group in &mut groups {
            // Both replicas must give a group one name, wherever their files are.
            if let Ok(relative) = Path::new(&group.file).strip_prefix(folder) {
                group.file = relative.display().to_string();
            }
        }
        self.sink.set_external(loaded.global.external_labels.clone());
        let offset = loaded.vedette.federation.rules_query_offset.unwrap_or(QUERY_OFFSET);
        self.manager.apply(rules_config(loaded, groups, offset)).await;
    }
}

impl api::RuleStatus for PairRules {
    fn groups(&self) -> Vec<api::RuleGroup> {
        shown(&self.manager)
    }
}

/// Publishes as the writer, or watches that the writer does.
struct PairPublisher {
    marks: Marks,
    writer: StorePublisher,
    store: Arc<Store>,
    sink: Arc<ToPair>,
    /// For each group the alerts that fire here, and for how many evaluations.
    fired: Mutex<HashMap<GroupKey, BTreeMap<Labels, u32>>>,
    /// For each group the last word on each alert that this node left to the writer.
    left: Mutex<HashMap<GroupKey, BTreeMap<Labels, Alert>>>,
}

impl Publisher for PairPublisher {
    fn publish<'a>(&'a self, group: &'a GroupKey, evaluation: Evaluation) -> BoxFuture<'a, Published> {
        Box::pin(async move {
            let long = self.count(group, &evaluation);
            let (name, at_ms) = (group.to_string(), evaluation.at_ms);
            if self.marks.must_publish(&name, at_ms).await {
                let evaluation = self.take_over(group, evaluation);
                let mut published = self.writer.publish(group, evaluation).await;
                if let Err(error) = self.marks.publish(&name, at_ms, &[]) {
                    published.failed.push((0, error.to_string()));
                }
                return published;
            }
            self.send_unseen(group, &evaluation, &long).await;
            self.leave(group, evaluation);
            Published::default()
        })
    }

    fn forget(&self, group: &GroupKey) {
        self.fired.lock().remove(group);
        self.left.lock().remove(group);
        self.writer.forget(group);
    }
}

impl PairPublisher {
    /// Counts evaluations for which alerts fire here; gives those that have fired long enough.
    fn count(&self, group: &GroupKey, evaluation: &Evaluation) -> HashSet<Labels> {
        let mut fired = self.fired.lock();
        let before = fired.remove(group).unwrap_or_default();
        let firing = firing_series(evaluation);
        let now: BTreeMap<Labels, u32> = firing
            .map(|labels| (before.get(&labels).map_or(1, |count| count.saturating_add(1)), labels))
            .map(|(count, labels)| (labels, count))
            .collect();
        let long =
            now.iter().filter(|(_, count)| **count >= FIRED_HERE).map(|(labels, _)| labels.clone()).collect();
        fired.insert(group.clone(), now);
        long
    }

    /// Remembers what the writer is trusted to have sent: the rules here count it as sent.
    fn leave(&self, group: &GroupKey, evaluation: Evaluation) {
        let mut left = self.left.lock();
        let alerts = left.entry(group.clone()).or_default();
        alerts.retain(|_, alert| {
            !alert.resolved || evaluation.at_ms.saturating_sub(alert.ends_at_ms) <= RESOLVED_MS
        });
        let due = evaluation.rules.into_iter().flat_map(|rule| rule.alerts);
        alerts.extend(due.map(|alert| (alert.labels.clone(), alert)));
    }

    /// Adds to an evaluation what was left to a writer that may have died before it sent it.
    fn take_over(&self, group: &GroupKey, mut evaluation: Evaluation) -> Evaluation {
        let Some(mut left) = self.left.lock().remove(group) else { return evaluation };
        for alert in evaluation.rules.iter().flat_map(|rule| &rule.alerts) {
            left.remove(&alert.labels);
        }
        if !left.is_empty() {
            let alerts = left.into_values().collect();
            evaluation.rules.push(RuleOutput { rule: usize::MAX, alerts, ..RuleOutput::default() });
        }
        evaluation
    }

    /// Sends alerts that have fired here for long enough and that the writer's `ALERTS` does not show, and
    /// those that are over here and that it does not show either: a writer that was started again knows
    /// nothing of an alert that ended meanwhile.
    async fn send_unseen(&self, group: &GroupKey, evaluation: &Evaluation, long: &HashSet<Labels>) {
        let over = evaluation.rules.iter().flat_map(|rule| &rule.alerts).any(|alert| alert.resolved);
        if long.is_empty() && !over {
            return;
        }
        let matchers = vec![Matcher::equal(METRIC_NAME, ALERTS), Matcher::equal(ALERT_STATE, "firing")];
        let range = TimeRange { start: evaluation.sample_ms, end: evaluation.sample_ms };
        let select = Select { matchers, range, samples_max: 1_000_000 };
        // What cannot be read shows nothing: one page too many is better than none.
        let seen = self.store.select(select).await.map(|set| set.series).unwrap_or_default();
        let seen: HashSet<Labels> = seen.into_iter().map(|series| alert_labels(&series.labels)).collect();
        let unseen = |alert: &&Alert| {
            (alert.resolved || long.contains(&alert.labels)) && !seen.contains(&alert.labels)
        };
        let due = evaluation.rules.iter().flat_map(|rule| &rule.alerts);
        let mut unseen: Vec<Alert> = due.filter(unseen).cloned().collect();
        // One that was due when it had not fired for long enough yet is not due again so soon.
        if let Some(left) = self.left.lock().get_mut(group) {
            let early = |labels: &Labels, alert: &mut Alert| {
                !alert.resolved && long.contains(labels) && !seen.contains(labels)
            };
            unseen.extend(left.extract_if(.., early).map(|(_, alert)| alert));
        }
        let firing = unseen.iter().filter(|alert| !alert.resolved).count();
        if firing > 0 {
            tracing::warn!(alerts = firing, "the writer does not show alerts that fire here; sending them");
        }
        if !unseen.is_empty() {
            self.sink.send(unseen);
        }
    }
}

/// The labels of the alerts that fire in an evaluation.
fn firing_series(evaluation: &Evaluation) -> impl Iterator<Item = Labels> + '_ {
    let samples = evaluation.rules.iter().flat_map(|rule| &rule.samples);
    samples
        .filter(|(labels, cell)| {
            labels.metric_name() == ALERTS
                && labels.value(ALERT_STATE) == "firing"
                && matches!(cell, storage::Cell::Value(_))
        })
        .map(|(labels, _)| alert_labels(labels))
}

/// From a series of `ALERTS` to the alert that it stands for.
fn alert_labels(series: &Labels) -> Labels {
    series.filtered(|name| name != METRIC_NAME && name != ALERT_STATE)
}

#[cfg(test)]
mod tests {
    use storage::{Cell, Number};

    use super::*;

    #[test]
    fn only_firing_series_count_as_fired() {
        let series = |state: &str, cell| {
            let labels = [(METRIC_NAME, ALERTS), (ALERT_STATE, state), ("alertname", "A")];
            (Labels::from_pairs(labels), cell)
        };
        let one = Cell::Value(Number::from_f64(1.0));
        let samples = vec![series("pending", one), series("firing", one), series("firing", Cell::Stale)];
        let output = RuleOutput { rule: 0, samples, ..RuleOutput::default() };
        let evaluation = Evaluation { at_ms: 0, sample_ms: 0, rules: vec![output] };
        let fired: Vec<Labels> = firing_series(&evaluation).collect();
        assert_eq!(fired, [Labels::from_pairs([("alertname", "A")])]);
    }
}
