//! One group: evaluates its rules at a time that it is given. Whoever drives it publishes the result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use env::SharedClock;
use model::{Labels, METRIC_NAME};
use parking_lot::RwLock;
use promql::{Engine, Origin, QueryOptions};
use storage::{Cell, Querier};
use template::Environment;
use tokio::sync::Mutex;

use crate::alerting::{AlertingState, Due, Holder, Step, millis};
use crate::config::{AlertingRule, RecordingRule, Rule, RuleExpr, RuleGroup};
use crate::expand::{Expander, Texts};
use crate::overlay::Overlay;
use crate::publish::{Evaluation, GroupKey, RuleOutput, cell};
use crate::reading::{Reading, readings};
use crate::restore::{RestoreOptions, last_states, restore};
use crate::sources::Sources;
use crate::status::{GroupStatus, RuleHealth, RuleStatus, RuleView};

/// What groups evaluate with.
#[derive(Clone)]
pub struct GroupParts {
    /// Evaluates the expressions.
    pub engine: Arc<Engine>,
    /// Where series come from.
    pub querier: Arc<dyn Querier>,
    /// How long evaluations take.
    pub clock: SharedClock,
    /// Who knows of missing data.
    pub holder: Arc<dyn Holder>,
}

impl std::fmt::Debug for GroupParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupParts").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// Times and names that groups evaluate with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// Time between evaluations.
    pub interval: Duration,
    /// How far before its evaluation time the group reads and writes.
    pub query_offset: Duration,
    /// Labels that templates see as external.
    pub external_labels: Labels,
    /// The URL under which the server is reached, without a slash at its end.
    pub external_url: String,
    /// Time after which an alert that still fires is sent again.
    pub resend_delay: Duration,
    /// Longest outage over which `for` is restored.
    pub outage_tolerance: Duration,
    /// Shortest time that a restored alert waits.
    pub for_grace_period: Duration,
    /// Longest time for which an alert may be held because data is missing.
    pub hold_max: Duration,
    /// Whether `for` is restored before `ALERTS` is written.
    pub restore: bool,
}

/// What one rule remembers.
struct RuleState {
    rule: Rule,
    texts: Option<Texts>,
    alerting: AlertingState,
    restored: bool,
    /// Series of the last evaluation that worked.
    series: BTreeSet<Labels>,
    /// Whose data the last evaluation read.
    sources: Sources,
    status: RuleStatus,
}

struct State {
    rules: Vec<RuleState>,
    /// Series of rules that are gone: they get a stale marker next.
    orphans: BTreeSet<Labels>,
    evaluations: u64,
    last_evaluation_ms: Option<i64>,
    evaluation_time: Duration,
}

/// A group with what it remembers.
pub struct GroupRunner {
    key: GroupKey,
    group: RuleGroup,
    settings: GroupSettings,
    parts: GroupParts,
    state: Mutex<State>,
    shown: RwLock<Arc<GroupStatus>>,
}

impl std::fmt::Debug for GroupRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupRunner").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Counts of one evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvaluationCounts {
    /// Rules that were evaluated.
    pub rules: u64,
    /// Rules whose evaluation failed.
    pub failed: u64,
    /// How long it took.
    pub took: Duration,
}

impl GroupRunner {
    /// A group that remembers nothing yet.
    #[must_use]
    pub fn new(group: RuleGroup, settings: GroupSettings, parts: GroupParts) -> Self {
        let rules = group
            .rules
            .iter()
            .map(|rule| RuleState {
                texts: match rule {
                    Rule::Alerting(rule) => Some(Texts::of(rule)),
                    Rule::Recording(_) => None,
                },
                rule: rule.clone(),
                alerting: AlertingState::default(),
                restored: !settings.restore,
                series: BTreeSet::new(),
                sources: Sources::default(),
                status: RuleStatus::default(),
            })
            .collect();
        let state = State {
            rules,
            orphans: BTreeSet::new(),
            evaluations: 0,
            last_evaluation_ms: None,
            evaluation_time: Duration::ZERO,
        };
        let key = GroupKey { file: group.file.clone(), name: group.name.clone() };
        let shown = RwLock::new(Arc::new(show(&group, &settings, &state)));
        Self { key, group, settings, parts, state: Mutex::new(state), shown }
    }

    /// What names the group.
    #[must_use]
    pub fn key(&self) -> &GroupKey {
        &self.key
    }

    /// The group as it is configured.
    #[must_use]
    pub fn group(&self) -> &RuleGroup {
        &self.group
    }

    /// Times and names that it evaluates with.
    #[must_use]
    pub fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    /// What the API shows, as of the last evaluation.
    #[must_use]
    pub fn status(&self) -> Arc<GroupStatus> {
        Arc::clone(&self.shown.read())
    }

    /// The first time on the group's grid after `after_ms`. Groups are spread over their interval by name.
    #[must_use]
    pub fn next_time(&self, after_ms: i64) -> i64 {
        let interval = millis(self.settings.interval).max(1);
        let hash = Labels::from_pairs([("name", self.key.name.as_str()), ("file", self.key.file.as_str())])
            .stable_hash();
        let offset = i64::try_from(hash % interval.unsigned_abs()).unwrap_or(0);
        let base = (after_ms - offset).div_euclid(interval);
        (base + 1).saturating_mul(interval).saturating_add(offset)
    }

    /// Takes over what another runner remembers of rules with the same name and labels. Series of its other
    /// rules become stale at the next evaluation here. Waits for an evaluation that runs there.
    pub async fn inherit(&self, from: &Self) {
        let mut old = from.state.lock().await;
        let mut state = self.state.lock().await;
        let mut left: Vec<RuleState> = std::mem::take(&mut old.rules);
        let names = |rule: &Rule| (rule.name().to_owned(), rule.labels().clone());
        for mine in &mut state.rules {
            let kind = std::mem::discriminant(&mine.rule);
            let same = |other: &RuleState| {
                std::mem::discriminant(&other.rule) == kind && names(&other.rule) == names(&mine.rule)
            };
            let Some(at) = left.iter().position(same) else { continue };
            let other = left.remove(at);
            mine.alerting = other.alerting;
            mine.series = other.series;
            mine.restored = other.restored;
            mine.status = other.status;
        }
        state.evaluations = old.evaluations;
        state.last_evaluation_ms = old.last_evaluation_ms;
        state.orphans = std::mem::take(&mut old.orphans);
        state.orphans.extend(left.into_iter().flat_map(|rule| rule.series));
        *self.shown.write() = Arc::new(show(&self.group, &self.settings, &state));
    }

    /// Evaluates every rule at `at_ms`, in order, each seeing what the ones before it gave.
    pub async fn evaluate_at(&self, at_ms: i64) -> (Evaluation, EvaluationCounts) {
        let mut state = self.state.lock().await;
        let began = self.parts.clock.monotonic();
        let sample_ms = at_ms - millis(self.settings.query_offset);
        let overlay =
            Overlay::new(Arc::clone(&self.parts.querier), sample_ms, Arc::clone(&self.parts.holder));
        let mut evaluation = Evaluation { at_ms, sample_ms, rules: Vec::new() };
        let mut counts = EvaluationCounts::default();
        for (at, rule) in state.rules.iter_mut().enumerate() {
            let rule_began = self.parts.clock.monotonic();
            let result = self.evaluate_rule(rule, &overlay, at_ms, sample_ms).await;
            counts.rules += 1;
            rule.status.last_evaluation_ms = Some(at_ms);
            rule.status.evaluation_time = self.parts.clock.monotonic().saturating_sub(rule_began);
            match result {
                Ok(mut output) => {
                    rule.status.health = RuleHealth::Ok;
                    rule.status.last_error.clear();
                    output.rule = at;
                    overlay.add(output.readings());
                    evaluation.rules.push(output);
                }
                Err(what) => {
                    counts.failed += 1;
                    tracing::warn!(group = %self.key, rule = rule.rule.name(), error = what, "evaluating a rule failed");
                    rule.status.health = RuleHealth::Err;
                    rule.status.last_error = what;
                }
            }
        }
        let orphans = std::mem::take(&mut state.orphans);
        let orphans = without_living(orphans, &state.rules);
        if !orphans.is_empty() {
            evaluation.rules.push(stale_output(orphans));
        }
        state.evaluations += 1;
        state.last_evaluation_ms = Some(at_ms);
        counts.took = self.parts.clock.monotonic().saturating_sub(began);
        state.evaluation_time = counts.took;
        if state.evaluations == 2 {
            self.restore(&mut state, at_ms).await;
        }
        *self.shown.write() = Arc::new(show(&self.group, &self.settings, &state));
        (evaluation, counts)
    }

    /// Notes why a rule's output was not taken.
    pub async fn note_failures(&self, failed: &[(usize, String)]) {
        if failed.is_empty() {
            return;
        }
        let mut state = self.state.lock().await;
        for (at, what) in failed {
            if let Some(rule) = state.rules.get_mut(*at) {
                rule.status.health = RuleHealth::Err;
                rule.status.last_error.clone_from(what);
            }
        }
        *self.shown.write() = Arc::new(show(&self.group, &self.settings, &state));
    }

    /// The group is gone: stale markers for all that it wrote last, or nothing where it wrote nothing.
    pub async fn retire(&self, removed_at_ms: i64) -> Evaluation {
        let mut state = self.state.lock().await;
        let mut series = std::mem::take(&mut state.orphans);
        for rule in &mut state.rules {
            series.append(&mut rule.series);
        }
        let sample_ms = removed_at_ms - millis(self.settings.query_offset);
        let rules = if series.is_empty() { Vec::new() } else { vec![stale_output(series)] };
        Evaluation { at_ms: removed_at_ms, sample_ms, rules }
    }

    async fn evaluate_rule(
        &self,
        state: &mut RuleState,
        overlay: &Overlay,
        at_ms: i64,
        sample_ms: i64,
    ) -> Result<RuleOutput, String> {
        let rule = state.rule.clone();
        // Texts of the rules before may have read more than an expression does.
        overlay.take_sources();
        let elements = self.query(rule.expr(), overlay, sample_ms).await?;
        state.sources = state.sources.renewed(overlay.take_sources());
        let mut output = RuleOutput::default();
        let found: Vec<(Labels, Reading)> = match &rule {
            Rule::Recording(rule) => recorded(rule, elements, self.group.limit)?,
            Rule::Alerting(rule) => {
                self.step_alerts(rule, state, elements, overlay, at_ms).await?;
                output.alerts = state.alerting.due(&Due {
                    at_ms,
                    offset_ms: millis(self.settings.query_offset),
                    resend_delay_ms: millis(self.settings.resend_delay),
                    interval_ms: millis(self.settings.interval),
                    url: &self.generator_url(&rule.expr),
                    holder: self.parts.holder.as_ref(),
                });
                let series = if state.restored { state.alerting.series() } else { Vec::new() };
                series.into_iter().map(|(labels, value)| (labels, Reading::Number(value))).collect()
            }
        };
        let series: BTreeSet<Labels> = found.iter().map(|(labels, _)| labels.clone()).collect();
        for (labels, value) in found {
            match value {
                Reading::Number(value) => output.samples.push((labels, cell(value))),
                Reading::Histogram(histogram) => output.histograms.push((labels, histogram)),
            }
        }
        let vanished = state.series.difference(&series);
        output.samples.extend(vanished.map(|labels| (labels.clone(), Cell::Stale)));
        state.series = series;
        Ok(output)
    }

    async fn query(
        &self,
        expr: &RuleExpr,
        querier: &dyn Querier,
        at_ms: i64,
    ) -> Result<Vec<(Labels, Reading)>, String> {
        let answer = self.parts.engine.instant_with(querier, expr.expr(), at_ms, self.asks()).await;
        readings(answer.map_err(|error| error.to_string())?)
    }

    async fn step_alerts(
        &self,
        rule: &AlertingRule,
        state: &mut RuleState,
        elements: Vec<(Labels, Reading)>,
        querier: &dyn Querier,
        at_ms: i64,
    ) -> Result<(), String> {
        let settings = &self.settings;
        let environment = Environment {
            now_ms: at_ms,
            external_url: settings.external_url.clone(),
            path_prefix: path_of(&settings.external_url).to_owned(),
        };
        let external = &settings.external_labels;
        let asks = self.asks();
        let mut expander =
            Expander::new(&self.parts.engine, querier, &rule.alert, environment, external, asks);
        let mut results = Vec::with_capacity(elements.len());
        for (at, (labels, value)) in elements.into_iter().enumerate() {
            // Many alerts with long texts must not keep other tasks waiting.
            if at % 64 == 63 {
                tokio::task::yield_now().await;
            }
            if let Some(texts) = &state.texts {
                results.push(expander.render(texts, &labels, &value).await);
            }
        }
        let step = Step {
            at_ms,
            limit: self.group.limit,
            sources: state.sources.clone(),
            holder: self.parts.holder.as_ref(),
            hold_max_ms: millis(settings.hold_max),
        };
        state.alerting.step(rule, results, &step)
    }

    async fn restore(&self, state: &mut State, at_ms: i64) {
        let options = RestoreOptions {
            outage_tolerance_ms: millis(self.settings.outage_tolerance),
            for_grace_period_ms: millis(self.settings.for_grace_period),
        };
        for rule in state.rules.iter_mut().filter(|rule| !rule.restored) {
            rule.restored = true;
            let Rule::Alerting(alerting) = &rule.rule else { continue };
            match last_states(self.parts.querier.as_ref(), alerting, at_ms, options).await {
                Ok(states) => restore(&mut rule.alerting, alerting, &states, at_ms, options),
                Err(error) => {
                    tracing::error!(group = %self.key, rule = alerting.alert, %error, "restoring an alert's state failed");
                }
            }
        }
    }

    /// Who asks, for the query log.
    fn asks(&self) -> QueryOptions {
        let GroupKey { file, name } = self.key.clone();
        QueryOptions { origin: Some(Arc::new(Origin::RuleGroup { file, name })), ..QueryOptions::default() }
    }

    fn generator_url(&self, expr: &RuleExpr) -> String {
        let query = template::query_escape(&expr.to_string());
        format!("{}/graph?g0.expr={query}&g0.tab=1", self.settings.external_url)
    }
}

/// The series of a recording rule.
fn recorded(
    rule: &RecordingRule,
    elements: Vec<(Labels, Reading)>,
    limit: usize,
) -> Result<Vec<(Labels, Reading)>, String> {
    if limit > 0 && elements.len() > limit {
        return Err(format!("exceeded limit of {limit} with {} series", elements.len()));
    }
    let mut out = BTreeMap::new();
    for (labels, value) in elements {
        let mut builder = labels.to_builder();
        builder.set(METRIC_NAME, rule.record.as_str());
        for label in rule.labels.iter() {
            builder.set(Arc::clone(&label.name), Arc::clone(&label.value));
        }
        if out.insert(builder.build(), value).is_some() {
            return Err(
                "vector contains metrics with the same labelset after applying rule labels".to_owned()
            );
        }
    }
    Ok(out.into_iter().collect())
}

/// Series that no rule writes any more.
fn without_living(orphans: BTreeSet<Labels>, rules: &[RuleState]) -> BTreeSet<Labels> {
    orphans.into_iter().filter(|labels| !rules.iter().any(|rule| rule.series.contains(labels))).collect()
}

fn stale_output(series: BTreeSet<Labels>) -> RuleOutput {
    let samples = series.into_iter().map(|labels| (labels, Cell::Stale)).collect();
    RuleOutput { rule: usize::MAX, samples, ..RuleOutput::default() }
}

fn show(group: &RuleGroup, settings: &GroupSettings, state: &State) -> GroupStatus {
    let rules = state.rules.iter().map(|rule| RuleView {
        rule: rule.rule.clone(),
        status: rule.status.clone(),
        state: rule.alerting.state(),
        alerts: rule.alerting.active().cloned().collect(),
    });
    GroupStatus {
        name: group.name.clone(),
        file: group.file.clone(),
        interval: settings.interval,
        limit: group.limit,
        evaluation_time: state.evaluation_time,
        last_evaluation_ms: state.last_evaluation_ms,
        rules: rules.collect(),
    }
}

/// The path of a URL, without a slash at its end.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |at| rest[at..].trim_end_matches('/'))
}
