//! One test group: its series come in, its rules are evaluated, and what came of them is compared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env::SystemClock;
use model::{AnySample, Labels, Sample, Series};
use promql::script::{MemoryStore, SeriesValue, TimedLoad, parse_values};
use promql::{Engine, EngineOptions};
use rules::{AlertState, Evaluation, GroupParts, GroupRunner, GroupSettings, NeverHold, RuleGroup};
use storage::{Cell, Querier as _, Select, TimeRange};

use super::file::{ExprTest, TestFile, TestGroup};
use super::show::{self, ShownAlert, ShownSample};
use super::{Output, UnitTestOptions};
use crate::go_text;

/// What a group is run with.
pub(super) struct Setup<'a> {
    pub(super) file: &'a TestFile,
    pub(super) group: &'a TestGroup,
    pub(super) rules: &'a [RuleGroup],
    pub(super) options: &'a UnitTestOptions,
}

/// A group under way.
struct Run<'a> {
    setup: &'a Setup<'a>,
    store: Arc<MemoryStore>,
    engine: Arc<Engine>,
    runners: Vec<GroupRunner>,
    errors: Vec<String>,
}

/// Runs a group; gives what was wrong.
pub(super) async fn run(setup: &Setup<'_>, out: &mut Output<'_>) -> Vec<String> {
    let group = setup.group;
    if let Some(test) = group.alerts.iter().find(|test| test.alertname.is_empty()) {
        let at = model::format_duration(test.eval_time);
        let name =
            if group.name.is_empty() { String::new() } else { format!(" (in TestGroup {})", group.name) };
        return vec![format!(
            "an item under alert_rule_test misses required attribute alertname at eval_time {at}{name}"
        )];
    }
    let lines = group.series.iter().map(String::as_str);
    let mut load = match TimedLoad::new(group.start_ms, millis(group.interval), lines) {
        Ok(load) => load,
        Err(error) => return vec![error.to_string()],
    };
    let mut run = Run::new(setup);
    if run.evaluate(&mut load).await {
        for test in &group.exprs {
            run.check_expr(test).await;
        }
        if setup.options.debug {
            run.dump(out).await;
        }
    }
    run.errors
}

impl<'a> Run<'a> {
    fn new(setup: &'a Setup<'a>) -> Self {
        let store = Arc::new(MemoryStore::new());
        let engine = Arc::new(Engine::new(EngineOptions {
            subquery_step: setup.file.evaluation_interval,
            delayed_name_removal: setup.options.delayed_name_removal,
            ..EngineOptions::default()
        }));
        let runner = |group: &RuleGroup| {
            let parts = GroupParts {
                engine: Arc::clone(&engine),
                querier: store.clone(),
                clock: SystemClock::shared(),
                holder: Arc::new(NeverHold),
            };
            GroupRunner::new(group.clone(), settings(group, setup.group), parts)
        };
        let runners = setup.rules.iter().map(runner).collect();
        Self { setup, store, engine, runners, errors: Vec::new() }
    }

    /// Evaluates all rules at every interval, and checks alerts as it goes. Whether every rule worked.
    async fn evaluate(&mut self, load: &mut TimedLoad) -> bool {
        let (group, file) = (self.setup.group, self.setup.file);
        let times = group.alerts.iter().map(|test| test.eval_time);
        let last = times.chain(group.exprs.iter().map(|test| test.eval_time)).max().unwrap_or_default();
        let (last, step) = (millis(last), millis(file.evaluation_interval).max(1));
        let mut after = 0;
        while after <= last {
            let at = group.start_ms.saturating_add(after);
            load.load_until(&self.store, at);
            let mut failed = Vec::new();
            for runner in &self.runners {
                let (evaluation, _) = runner.evaluate_at(at).await;
                write(&self.store, evaluation);
                let status = runner.status();
                let wrong = status.rules.iter().filter(|rule| !rule.status.last_error.is_empty());
                failed.extend(wrong.map(|rule| {
                    let (name, why) = (rule.rule.name(), &rule.status.last_error);
                    format!("    rule: {name}, time: {}, err: {why}", go_text::duration(at))
                }));
            }
            if !failed.is_empty() {
                self.errors.append(&mut failed);
                return false;
            }
            self.check_alerts(after, after.saturating_add(step));
            after = after.saturating_add(step);
        }
        true
    }

    /// Checks what is asked about times in `from..to`, which this evaluation answers.
    fn check_alerts(&mut self, from: i64, to: i64) {
        let mut tests: Vec<_> = self
            .setup
            .group
            .alerts
            .iter()
            .filter(|test| (from..to).contains(&millis(test.eval_time)))
            .collect();
        tests.sort_by_key(|test| test.eval_time);
        for test in tests {
            let mut got = self.firing(&test.alertname);
            let wanted = test.wanted.iter();
            let mut wanted: Vec<_> = wanted
                .map(|(labels, annotations)| ShownAlert::new(labels.clone(), annotations.clone()))
                .collect();
            got.sort();
            wanted.sort();
            if got == wanted {
                continue;
            }
            let name = &self.setup.group.name;
            let name = if name.is_empty() { String::new() } else { format!("    name: {name},\n") };
            let (alert, at) = (&test.alertname, model::format_duration(test.eval_time));
            let what = if self.setup.options.diff {
                format!("\n        diff: {}", show::alerts_diff(&wanted, &got))
            } else {
                format!("\n        exp:{}, \n        got:{}", show::alerts(&wanted), show::alerts(&got))
            };
            self.errors.push(format!("{name}    alertname: {alert}, time: {at}, {what}"));
        }
    }

    fn firing(&self, name: &str) -> Vec<ShownAlert> {
        let mut found = Vec::new();
        for runner in &self.runners {
            for rule in runner.status().rules.iter().filter(|rule| rule.rule.name() == name) {
                let firing = rule.alerts.iter().filter(|alert| alert.state == AlertState::Firing);
                found.extend(
                    firing.map(|alert| ShownAlert::new(alert.labels.clone(), alert.annotations.clone())),
                );
            }
        }
        found
    }

    async fn check_expr(&mut self, test: &ExprTest) {
        let at = model::format_duration(test.eval_time);
        let title = format!("    expr: {}, time: {at},", promql::quote(&test.expr));
        let both = match self.samples(test).await {
            Ok(mut got) => wanted(test).map(|mut wanted| {
                got.sort_by(|a, b| a.labels.cmp(&b.labels));
                wanted.sort_by(|a, b| a.labels.cmp(&b.labels));
                (wanted, got)
            }),
            Err(error) => Err(error),
        };
        match both {
            Err(error) => self.errors.push(format!("{title} err: {error}")),
            Ok((wanted, got)) if show::same(&wanted, &got, self.setup.file.fuzzy) => {}
            Ok((wanted, got)) => {
                let (wanted, got) = (show::samples(&wanted), show::samples(&got));
                self.errors.push(format!("{title}\n        exp: {wanted}\n        got: {got}"));
            }
        }
    }

    async fn samples(&self, test: &ExprTest) -> Result<Vec<ShownSample>, String> {
        let expr = promql::parse(&test.expr).map_err(|error| error.to_string())?;
        let at = self.setup.group.start_ms.saturating_add(millis(test.eval_time));
        let answer = self.engine.instant(&*self.store, &expr, at).await.map_err(|error| error.to_string())?;
        let number = |labels, value| ShownSample { labels, value, histogram: String::new() };
        let mut found = match answer.value {
            promql::Value::Scalar(sample) => vec![number(Labels::empty(), sample.value)],
            promql::Value::Vector(samples) => {
                samples.into_iter().map(|sample| number(sample.labels, sample.value)).collect()
            }
            _ => return Err("rule result is not a vector or scalar".to_owned()),
        };
        for series in answer.histograms {
            let Some(sample) = series.samples.last() else { continue };
            let histogram = show::histogram(&sample.histogram.to_float());
            found.push(ShownSample { labels: series.labels, value: 0.0, histogram });
        }
        Ok(found)
    }

    /// Everything that is in the store, as `--debug` shows it.
    async fn dump(&self, out: &mut Output<'_>) {
        let any = model::Matcher::new(model::METRIC_NAME, model::MatchOp::Regex, ".+");
        let Ok(any) = any else { return };
        let select = Select { matchers: vec![any], range: TimeRange::ALL, samples_max: usize::MAX };
        let Ok(set) = self.store.select(select).await else { return };
        let mut all: BTreeMap<Labels, Vec<AnySample>> = BTreeMap::new();
        for Series { labels, samples } in set.series {
            all.entry(labels).or_default().extend(samples.into_iter().map(AnySample::from));
        }
        for series in set.histograms {
            all.entry(series.labels).or_default().extend(series.samples.into_iter().map(AnySample::from));
        }
        out.say_err("DEBUG: Dump of all data (input_series and rules):");
        for (labels, mut samples) in all {
            samples.sort_by_key(AnySample::timestamp);
            out.say_err(&format!("{} =>", go_text::labels(&labels)));
            for sample in &samples {
                out.say_err(&show::point(sample));
            }
        }
    }
}

fn settings(group: &RuleGroup, test: &TestGroup) -> GroupSettings {
    let none = Duration::ZERO;
    GroupSettings {
        interval: group.interval.unwrap_or(test.interval),
        query_offset: group.query_offset.unwrap_or(none),
        external_labels: test.external_labels.clone(),
        external_url: test.external_url.clone(),
        resend_delay: none,
        outage_tolerance: none,
        for_grace_period: none,
        hold_max: none,
        // ALERTS is there from the first evaluation on.
        restore: false,
    }
}

/// Results go where the input series are, so that other groups and later evaluations read them.
fn write(store: &MemoryStore, evaluation: Evaluation) {
    let timestamp = evaluation.sample_ms;
    for output in evaluation.rules {
        for (labels, cell) in output.samples {
            let value = match cell {
                Cell::Value(number) => number.to_f64(),
                Cell::Stale => model::stale_nan(),
                Cell::Absent => continue,
            };
            store.append_newer(&labels, Sample { timestamp, value });
        }
        for (labels, histogram) in output.histograms {
            store.append_newer(&labels, model::HistogramSample { timestamp, histogram });
        }
    }
}

fn wanted(test: &ExprTest) -> Result<Vec<ShownSample>, String> {
    let read = |sample: &super::file::WantedSample| {
        let text = sample.labels.trim();
        let labels = match text {
            "" => Labels::empty(),
            text => promql::parse_series(text).map_err(|error| error.to_string())?,
        };
        let histogram = if sample.histogram.is_empty() {
            String::new()
        } else {
            let values = parse_values(&sample.histogram).map_err(|error| error.to_string())?;
            match &values[..] {
                [Some(SeriesValue::Histogram(histogram, _))] => show::histogram(histogram),
                [Some(SeriesValue::Float(value))] => {
                    return Err(format!("expected histogram, got {}", model::format_go_float(*value)));
                }
                other => return Err(format!("expected 1 value, got {}", other.iter().flatten().count())),
            }
        };
        let value = if histogram.is_empty() { sample.value } else { 0.0 };
        Ok(ShownSample { labels, value, histogram })
    };
    let labelled = |sample: &super::file::WantedSample| {
        read(sample).map_err(|error: String| format!("labels {}: {error}", promql::quote(&sample.labels)))
    };
    test.wanted.iter().map(labelled).collect()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
