//! What the rules say about themselves, under Prometheus's names.

use telemetry::{Counter, Family, FloatGauge, Gauge, Histogram, LabelPairs, Registry, exponential_buckets};

use crate::publish::{Evaluation, GroupKey, Published};
use crate::runner::EvaluationCounts;

/// Metrics of all groups; each is labelled with its group.
#[derive(Clone, Debug)]
pub(crate) struct RuleMetrics {
    evaluations: Family<LabelPairs, Counter>,
    failures: Family<LabelPairs, Counter>,
    iterations: Family<LabelPairs, Counter>,
    missed: Family<LabelPairs, Counter>,
    interval: Family<LabelPairs, FloatGauge>,
    last_duration: Family<LabelPairs, FloatGauge>,
    last_evaluation: Family<LabelPairs, FloatGauge>,
    last_samples: Family<LabelPairs, Gauge>,
    rules: Family<LabelPairs, Gauge>,
    duration: Histogram,
}

impl RuleMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let metrics = Self {
            evaluations: Family::default(),
            failures: Family::default(),
            iterations: Family::default(),
            missed: Family::default(),
            interval: Family::default(),
            last_duration: Family::default(),
            last_evaluation: Family::default(),
            last_samples: Family::default(),
            rules: Family::default(),
            duration: Histogram::new(exponential_buckets(0.001, 4.0, 9)),
        };
        metrics.register(registry);
        metrics
    }

    fn register(&self, registry: &Registry) {
        let counters = [
            ("prometheus_rule_evaluations", "The total number of rule evaluations.", &self.evaluations),
            (
                "prometheus_rule_evaluation_failures",
                "The total number of rule evaluation failures.",
                &self.failures,
            ),
            (
                "prometheus_rule_group_iterations",
                "The total number of scheduled rule group evaluations, whether executed or missed.",
                &self.iterations,
            ),
            (
                "prometheus_rule_group_iterations_missed",
                "The total number of rule group evaluations missed due to slow rule group evaluation.",
                &self.missed,
            ),
        ];
        for (name, help, metric) in counters {
            registry.register(name, help, metric.clone());
        }
        let floats = [
            ("prometheus_rule_group_interval_seconds", "The interval of a rule group.", &self.interval),
            (
                "prometheus_rule_group_last_duration_seconds",
                "The duration of the last rule group evaluation.",
                &self.last_duration,
            ),
            (
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "The timestamp of the last rule group evaluation in seconds.",
                &self.last_evaluation,
            ),
        ];
        for (name, help, metric) in floats {
            registry.register(name, help, metric.clone());
        }
        let gauges = [
            (
                "prometheus_rule_group_last_evaluation_samples",
                "The number of samples returned during the last rule group evaluation.",
                &self.last_samples,
            ),
            ("prometheus_rule_group_rules", "The number of rules.", &self.rules),
        ];
        for (name, help, metric) in gauges {
            registry.register(name, help, metric.clone());
        }
        registry.register(
            "prometheus_rule_group_duration_seconds",
            "The duration of rule group evaluations.",
            self.duration.clone(),
        );
    }

    /// The group exists from now on.
    pub(crate) fn begin(&self, group: &GroupKey, rules: usize, interval: std::time::Duration) {
        let labels = labels(group);
        self.rules.get_or_create(&labels).set(i64::try_from(rules).unwrap_or(i64::MAX));
        self.interval.get_or_create(&labels).set(interval.as_secs_f64());
        for counter in [&self.evaluations, &self.failures, &self.iterations, &self.missed] {
            drop(counter.get_or_create(&labels));
        }
    }

    /// The group is gone.
    pub(crate) fn end(&self, group: &GroupKey) {
        let labels = labels(group);
        for counter in [&self.evaluations, &self.failures, &self.iterations, &self.missed] {
            counter.remove(&labels);
        }
        for gauge in [&self.interval, &self.last_duration, &self.last_evaluation] {
            gauge.remove(&labels);
        }
        self.last_samples.remove(&labels);
        self.rules.remove(&labels);
    }

    pub(crate) fn missed(&self, group: &GroupKey, count: u64) {
        let labels = labels(group);
        self.missed.get_or_create(&labels).inc_by(count);
        self.iterations.get_or_create(&labels).inc_by(count);
    }

    pub(crate) fn evaluated(&self, group: &GroupKey, evaluation: &Evaluation, counts: EvaluationCounts) {
        let labels = labels(group);
        self.iterations.get_or_create(&labels).inc();
        self.evaluations.get_or_create(&labels).inc_by(counts.rules);
        self.failures.get_or_create(&labels).inc_by(counts.failed);
        self.last_duration.get_or_create(&labels).set(counts.took.as_secs_f64());
        #[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
        let at = evaluation.at_ms as f64 / 1000.0;
        self.last_evaluation.get_or_create(&labels).set(at);
        let samples: usize = evaluation.rules.iter().map(|rule| rule.samples.len()).sum();
        self.last_samples.get_or_create(&labels).set(i64::try_from(samples).unwrap_or(i64::MAX));
        self.duration.observe(counts.took.as_secs_f64());
    }

    pub(crate) fn published(&self, group: &GroupKey, published: &Published) {
        let failed = published.failed.len() as u64;
        if failed > 0 {
            self.failures.get_or_create(&labels(group)).inc_by(failed);
        }
    }
}

fn labels(group: &GroupKey) -> LabelPairs {
    vec![("rule_group".to_owned(), group.to_string())]
}
