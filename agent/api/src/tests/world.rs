//! A small process for the API to describe: a few series, one target, one rule group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, SimulatedClock};
use model::{
    AnyHistogram, Exemplar, HistogramSample, IntegerHistogram, Labels, Matcher, Metadata, MetricType,
    RelabelConfig, RelabelParts, Sample, Series, stale_nan,
};
use promql::{Answer, Engine, EngineOptions, EvalError, Expr, QueryOptions, QueryStats, Value, VectorSample};
use storage::{
    BoxFuture, Coverage, ExemplarQuerier, Gap, HistogramSeries, LabelQuery, Querier, QueryError, Select,
    SeriesExemplars, SeriesSet, TimeRange,
};
use telemetry::Registry;

use crate::{
    ActiveTarget, Alert, AlertState, AlertingRule, AlertmanagerStatus, ApiOptions, ApiParts, ApiState, Block,
    BuildInfo, ConfigStatus, Count, DroppedTarget, Evaluate, Grid, HeadStats, Lifecycle, Notices,
    ProcessStatus, RecordingRule, Rule, RuleGroup, RuleHealth, RuleStatus, RuntimeInfo, ScrapePool,
    StoreAdmin, StoreStats, StoreStatus, TargetHealth, TargetMetadata, TargetStatus, Targets, WalReplay,
};

/// What the process takes for now.
pub(crate) const NOW: i64 = 1_700_000_000_500;

/// How this test's process behaves.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) ready: bool,
    pub(crate) stopping: bool,
    pub(crate) enabled: bool,
    /// Whether queries go to the real engine instead of the canned answers.
    pub(crate) evaluates: bool,
    pub(crate) cors_origin: String,
    /// Whether searches are allowed.
    pub(crate) searches: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            ready: true,
            stopping: false,
            enabled: false,
            evaluates: false,
            cors_origin: ".*".to_owned(),
            searches: true,
        }
    }
}

pub(crate) fn state_with(world: World) -> ApiState {
    let options = ApiOptions {
        cors_origin: world.cors_origin.clone(),
        body_max: 1_024,
        lookback: Duration::from_secs(300),
        search_max: world.searches.then_some(3),
        listeners_max: 2,
        ..ApiOptions::default()
    };
    let clock: SharedClock = SimulatedClock::at(NOW);
    let notices = Notices::new(clock.clone());
    notices.raise("Configuration reload has failed.");
    let enabled = world.enabled;
    let world = Arc::new(world);
    let engine: Arc<dyn Evaluate> =
        if world.evaluates { Arc::new(Engine::new(EngineOptions::default())) } else { world.clone() };
    let parts = ApiParts {
        querier: world.clone(),
        exemplars: Some(world.clone()),
        engine,
        clock,
        notices,
        process: world.clone(),
        lifecycle: world.clone(),
        config: world.clone(),
        targets: Some(world.clone()),
        rules: Some(world.clone()),
        alertmanagers: Some(world.clone()),
        admin: enabled.then(|| world.clone() as Arc<dyn StoreAdmin>),
        store: Some(world),
        options,
    };
    ApiState::new(parts, &Registry::new()).expect("a valid origin")
}

fn labels(pairs: &[(&'static str, &'static str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn stored() -> Vec<Series> {
    let sample = |ago: i64, value: f64| Sample::new(NOW - ago, value);
    vec![
        Series {
            labels: labels(&[("__name__", "gone"), ("job", "node")]),
            samples: vec![sample(30_000, 1.0), sample(15_000, stale_nan())],
        },
        Series {
            labels: labels(&[("__name__", "old"), ("job", "node")]),
            samples: vec![sample(400_000, 1.0)],
        },
        Series {
            labels: labels(&[("__name__", "up"), ("instance", "a:1"), ("job", "node")]),
            samples: vec![sample(30_000, 0.0), sample(15_000, 1.0)],
        },
        Series { labels: labels(&[("__name__", "up"), ("job", "<b>")]), samples: vec![sample(500, 1e21)] },
    ]
}

fn passes(sets: &[Vec<Matcher>], labels: &Labels) -> bool {
    sets.is_empty() || sets.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(labels)))
}

impl World {
    fn found(query: &LabelQuery) -> Vec<Labels> {
        let inside =
            |series: &Series| series.samples.iter().any(|sample| query.range.contains(sample.timestamp));
        stored()
            .into_iter()
            .filter(|series| inside(series) && passes(&query.matcher_sets, &series.labels))
            .map(|series| series.labels)
            .take(query.limit)
            .collect()
    }

    /// What the tests' expressions come to.
    fn value_of(expr: &str, at: i64) -> Result<Value, EvalError> {
        Ok(match expr {
            "1" => Value::Scalar(Sample::new(at, 1.0)),
            "1000000000000000000000" => Value::Scalar(Sample::new(at, 1e21)),
            "\"a<b\"" => Value::String(at, "a<b".to_owned()),
            "up" => Value::Vector(
                stored()
                    .into_iter()
                    .filter(|series| series.labels.metric_name() == "up")
                    .map(|series| vector_sample(series.labels, at, series.samples[0].value))
                    .collect(),
            ),
            "up[5m]" => Value::Matrix(
                stored().into_iter().filter(|series| series.labels.metric_name() == "up").collect(),
            ),
            "absent" => Value::Vector(Vec::new()),
            "wide" => Value::Matrix(
                (0..3)
                    .map(|number| Series {
                        labels: wide(number),
                        samples: vec![Sample::new(at, 0.5); 20_000],
                    })
                    .collect(),
            ),
            "numbers" => Value::Vector(
                [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-7, 0.000_001, 1e20]
                    .into_iter()
                    .map(|value| vector_sample(Labels::empty(), at, value))
                    .collect(),
            ),
            "timeout" => {
                return Err(EvalError::Timeout("expression evaluation"));
            }
            "canceled" => return Err(EvalError::Canceled("expression evaluation")),
            "broken" => {
                let what = "disk error".to_owned();
                return Err(QueryError::Storage { series: Labels::empty(), what }.into());
            }
            "starting" => return Err(QueryError::Unavailable("starting".to_owned()).into()),
            "large" => return Err(EvalError::TooManySamples("query execution")),
            other => return Err(EvalError::Execution(format!("cannot evaluate {other}"))),
        })
    }
}

/// Histograms so long ago, with so many observations in a bucket; where it `ends`, a marker follows.
fn native(name: &'static str, counts: &[(i64, u64)], ends: bool) -> HistogramSeries {
    let sample = |ago: i64, histogram: IntegerHistogram| HistogramSample {
        timestamp: NOW - ago,
        histogram: Arc::new(AnyHistogram::Integer(histogram)),
    };
    let of = |&(ago, count): &(i64, u64)| {
        let positive = [(0, count), (1, 0), (2, 1)].into_iter().collect();
        let whole = IntegerHistogram {
            count: count + 3,
            zero_threshold: 0.5,
            zero_count: 2,
            sum: 1.5,
            positive,
            ..Default::default()
        };
        sample(ago, whole)
    };
    let marker = ends.then(|| sample(5_000, IntegerHistogram::stale()));
    let samples = counts.iter().map(of).chain(marker).collect();
    HistogramSeries { labels: labels(&[("__name__", name), ("job", "n")]), samples }
}

/// One of three long series.
fn wide(number: usize) -> Labels {
    labels(&[("number", ["1", "2", "3"][number])])
}

fn vector_sample(labels: Labels, timestamp: i64, value: f64) -> VectorSample {
    VectorSample { labels, timestamp, value }
}

fn answer(value: Value) -> Answer {
    Answer {
        value,
        histograms: Vec::new(),
        warnings: Vec::new(),
        infos: Vec::new(),
        coverage: Coverage::default(),
        stats: QueryStats { total_samples: 4, samples_read: 3, peak_samples: 2, ..QueryStats::default() },
        per_step: None,
    }
}

impl Evaluate for World {
    fn instant<'a>(
        &'a self,
        _querier: &'a dyn Querier,
        expr: &'a Expr,
        at: i64,
        options: QueryOptions,
    ) -> BoxFuture<'a, Result<Answer, EvalError>> {
        Box::pin(async move {
            let text = expr.to_string();
            if text == "lookback" {
                let lookback = options.lookback_delta.map_or(0.0, |lookback| lookback.as_secs_f64());
                let value = Sample::new(at, lookback);
                return Ok(answer(Value::Scalar(value)));
            }
            if text == "forever" {
                std::future::pending::<()>().await;
            }
            if text == "gaps" {
                let mut noted = answer(Value::Vector(Vec::new()));
                noted.warnings = (1..=12).map(|number| format!("PromQL warning: {number}")).collect();
                noted.infos = vec!["PromQL info: a & b".to_owned()];
                noted.coverage.gaps.push(Gap { start: 0, end: 1_500, why: "agent a was away".to_owned() });
                return Ok(noted);
            }
            Self::value_of(&text, at).map(answer)
        })
    }

    fn range<'a>(
        &'a self,
        _querier: &'a dyn Querier,
        expr: &'a Expr,
        grid: Grid,
        _options: QueryOptions,
    ) -> BoxFuture<'a, Result<Answer, EvalError>> {
        Box::pin(async move {
            let Value::Vector(found) = Self::value_of(&expr.to_string(), grid.start)? else {
                return Err(EvalError::Execution("no vector".to_owned()));
            };
            let steps =
                || (grid.start..=grid.end).step_by(usize::try_from(grid.step).expect("positive")).take(3);
            let series = |sample: VectorSample| Series {
                labels: sample.labels,
                samples: steps().map(|at| Sample::new(at, sample.value)).collect(),
            };
            Ok(answer(Value::Matrix(found.into_iter().map(series).collect())))
        })
    }
}

impl Querier for World {
    fn select(&self, select: Select) -> BoxFuture<'_, Result<SeriesSet, QueryError>> {
        Box::pin(async move {
            let sets = [select.matchers];
            let mut series: Vec<Series> =
                stored().into_iter().filter(|series| passes(&sets, &series.labels)).collect();
            for series in &mut series {
                series.samples.retain(|sample| select.range.contains(sample.timestamp));
            }
            series.retain(|series| !series.samples.is_empty());
            let mut histograms =
                vec![native("h", &[(30_000, 2), (10_000, 3)], false), native("mixed", &[(20_000, 4)], true)];
            histograms.retain(|series| passes(&sets, &series.labels));
            if histograms.iter().any(|series| series.labels.metric_name() == "mixed") {
                let sample = |ago: i64, value| Sample::new(NOW - ago, value);
                let samples = vec![sample(25_000, 1.0), sample(15_000, 2.0)];
                series.push(Series { labels: labels(&[("__name__", "mixed"), ("job", "n")]), samples });
            }
            Ok(SeriesSet { series, histograms, ..SeriesSet::default() })
        })
    }

    fn series(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<Labels>, Coverage), QueryError>> {
        Box::pin(async move { Ok((Self::found(&query), Coverage::default())) })
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        Box::pin(async move {
            let limit = query.limit;
            let found = Self::found(&LabelQuery { limit: usize::MAX, ..query });
            let names: std::collections::BTreeSet<String> =
                found.iter().flat_map(|labels| labels.iter().map(|label| label.name.to_string())).collect();
            Ok((names.into_iter().take(limit).collect(), Coverage::default()))
        })
    }

    fn label_values(
        &self,
        name: &str,
        query: LabelQuery,
    ) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        let name = name.to_owned();
        Box::pin(async move {
            let found = Self::found(&query);
            let values: std::collections::BTreeSet<String> =
                found.iter().filter_map(|labels| labels.get(&name).map(str::to_owned)).collect();
            Ok((values.into_iter().collect(), Coverage::default()))
        })
    }
}

impl ExemplarQuerier for World {
    fn exemplars(&self, matcher_sets: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        let found = stored().into_iter().filter(|series| passes(matcher_sets, &series.labels));
        let exemplar = |sample: &Sample| Exemplar {
            labels: labels(&[("trace_id", "<1>")]),
            value: sample.value,
            timestamp: Some(sample.timestamp),
        };
        found
            .map(|series| SeriesExemplars {
                exemplars: series.samples.iter().map(exemplar).collect(),
                labels: series.labels,
            })
            .filter(|series| series.exemplars.iter().all(|one| range.contains(one.timestamp.unwrap_or(0))))
            .collect()
    }
}

impl TargetStatus for World {
    fn scrape_pools(&self) -> Vec<String> {
        vec!["blackbox".to_owned(), "node".to_owned()]
    }

    fn targets(&self) -> Targets {
        let active = ActiveTarget {
            discovered_labels: labels(&[("__address__", "a:1"), ("job", "node")]),
            labels: labels(&[("instance", "a:1"), ("job", "node")]),
            scrape_pool: "node".to_owned(),
            scrape_url: "http://a:1/metrics?x=1&y=2".to_owned(),
            global_url: "http://a:1/metrics?x=1&y=2".to_owned(),
            last_error: String::new(),
            last_scrape: Some(NOW),
            last_scrape_duration: 0.25,
            health: TargetHealth::Up,
            scrape_interval: "15s".to_owned(),
            scrape_timeout: "10s".to_owned(),
        };
        let never = ActiveTarget {
            scrape_pool: "blackbox".to_owned(),
            last_scrape: None,
            last_scrape_duration: 0.0,
            health: TargetHealth::Unknown,
            ..active.clone()
        };
        let dropped = DroppedTarget {
            discovered_labels: labels(&[("__address__", "b:1")]),
            scrape_pool: "node".to_owned(),
        };
        Targets {
            active: vec![never, active],
            dropped: vec![dropped],
            dropped_counts: BTreeMap::from([("node".to_owned(), 1)]),
        }
    }

    fn metadata(&self) -> Vec<TargetMetadata> {
        let said = |target, metric: &str, metric_type, help: &str| TargetMetadata {
            target: labels(&[("instance", target), ("job", "node")]),
            metric: metric.to_owned(),
            metadata: Metadata { metric_type, unit: "".into(), help: help.into() },
        };
        vec![
            said("a:1", "requests_total", MetricType::Counter, "Requests."),
            said("a:1", "temperature", MetricType::Gauge, "Warmth."),
            said("b:1", "requests_total", MetricType::Counter, "Requests."),
            said("b:1", "temperature", MetricType::Unknown, ""),
        ]
    }
}

impl RuleStatus for World {
    fn groups(&self) -> Vec<RuleGroup> {
        let alert = Alert {
            labels: labels(&[("alertname", "Down"), ("severity", "page")]),
            annotations: labels(&[("summary", "a is down")]),
            state: AlertState::Firing,
            active_at: Some(NOW),
            keep_firing_since: None,
            value: 0.0,
        };
        let down = AlertingRule {
            state: AlertState::Firing,
            name: "Down".to_owned(),
            query: "up == 0".to_owned(),
            duration: 60.0,
            keep_firing_for: 0.0,
            labels: labels(&[("severity", "page")]),
            annotations: labels(&[("summary", "{{ $labels.instance }} is down")]),
            alerts: vec![alert],
            health: RuleHealth::Ok,
            last_error: String::new(),
            evaluation_time: 0.001,
            last_evaluation: Some(NOW),
        };
        let record = RecordingRule {
            name: "job:up:sum".to_owned(),
            query: "sum by (job) (up)".to_owned(),
            labels: Labels::empty(),
            health: RuleHealth::Err,
            last_error: "too many series".to_owned(),
            evaluation_time: 1.0,
            last_evaluation: None,
        };
        let group = |name: &str, rules| RuleGroup {
            name: name.to_owned(),
            file: "rules.yml".to_owned(),
            rules,
            interval: 15.0,
            limit: 0,
            evaluation_time: 0.002,
            last_evaluation: Some(NOW),
        };
        vec![group("alerts", vec![Rule::Alerting(down)]), group("records", vec![Rule::Recording(record)])]
    }
}

impl AlertmanagerStatus for World {
    fn active(&self) -> Vec<String> {
        vec!["http://am:9093/api/v2/alerts".to_owned()]
    }

    fn dropped(&self) -> Vec<String> {
        Vec::new()
    }
}

impl ConfigStatus for World {
    fn yaml(&self) -> String {
        "global:\n  scrape_interval: 15s\n".to_owned()
    }

    fn external_labels(&self) -> Labels {
        labels(&[("region", "eu")])
    }

    fn scrape_pool(&self, name: &str) -> Option<ScrapePool> {
        let rule = |parts| RelabelConfig::new(parts).expect("a valid rule");
        let copy = RelabelParts {
            source_labels: Some(vec!["__address__".to_owned()]),
            target_label: Some("host".to_owned()),
            ..RelabelParts::default()
        };
        let only = RelabelParts {
            source_labels: Some(vec!["host".to_owned()]),
            regex: Some("a:.*".to_owned()),
            action: Some("keep".to_owned()),
            ..RelabelParts::default()
        };
        let yaml = "job_name: node\n".to_owned();
        let relabel_configs = vec![rule(copy.clone()), rule(only), rule(copy)];
        (name == "node").then_some(ScrapePool { yaml, relabel_configs })
    }
}

impl StoreAdmin for World {
    fn delete(&self, matchers: Vec<Matcher>, range: TimeRange) -> BoxFuture<'_, Result<(), String>> {
        let names: Vec<_> = matchers.iter().map(Matcher::value).collect();
        let done = match names[..] {
            ["full"] => Err("deleting series: no space left".to_owned()),
            ["up"] | ["node", "gone"] | ["gone", "node"]
                if range == (TimeRange { start: 1_000, end: 2_500 }) =>
            {
                Ok(())
            }
            _ => Err(format!("{names:?} in {range:?}")),
        };
        Box::pin(async move { done })
    }

    fn clean(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn snapshot(&self, skip_head: bool) -> BoxFuture<'_, Result<String, String>> {
        let name = if skip_head { "without-the-head" } else { "20171210T211224Z-2be650b6d019eb54" };
        Box::pin(async { Ok(name.to_owned()) })
    }
}

impl StoreStatus for World {
    fn stats(&self, limit: usize) -> StoreStats {
        let count = |name: &str, value| Count { name: name.to_owned(), value };
        let mut by_name = vec![count("up", 2), count("gone", 1), count("old", 1)];
        by_name.truncate(limit);
        StoreStats {
            head_stats: HeadStats {
                num_series: 4,
                num_label_pairs: 6,
                chunk_count: 4,
                min_time: 1,
                max_time: NOW,
            },
            series_count_by_metric_name: by_name,
            label_value_count_by_label_name: vec![count("__name__", 3)],
            ..StoreStats::default()
        }
    }

    fn families(&self) -> Vec<(String, Metadata)> {
        let said = |metric: &str, help: &str| {
            let metric_type = MetricType::Counter;
            (metric.to_owned(), Metadata { metric_type, unit: "".into(), help: help.into() })
        };
        vec![said("pushed_total", "Pushed."), said("requests_total", "Of an older page.")]
    }

    fn blocks(&self) -> Vec<Block> {
        vec![Block { number: 33, start: 1, end: 7_200_001, samples: 5, level: 1 }]
    }

    fn wal_replay(&self) -> WalReplay {
        WalReplay { min: 1, max: 9, current: 3 }
    }
}

impl ProcessStatus for World {
    fn runtime(&self) -> RuntimeInfo {
        RuntimeInfo {
            start_time: NOW,
            cwd: "/".to_owned(),
            hostname: "host".to_owned(),
            server_time: NOW,
            reload_config_success: false,
            last_config_time: NOW,
            corruption_count: 0,
            goroutine_count: 7,
            gomaxprocs: 2,
            gomemlimit: 1,
            gogc: String::new(),
            godebug: String::new(),
            storage_retention: "15d".to_owned(),
            safe_mode: None,
        }
    }

    fn build(&self) -> BuildInfo {
        BuildInfo { version: "0.1.0".to_owned(), go_version: "rust".to_owned(), ..BuildInfo::default() }
    }

    fn flags(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("web.listen-address".to_owned(), "0.0.0.0:9090".to_owned())])
    }

    fn features(&self) -> BTreeMap<String, BTreeMap<String, bool>> {
        BTreeMap::from([("api".to_owned(), BTreeMap::from([("lifecycle".to_owned(), false)]))])
    }
}

impl Lifecycle for World {
    fn is_ready(&self) -> bool {
        self.ready
    }

    fn is_stopping(&self) -> bool {
        self.stopping
    }

    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Err("prometheus.yml:3:1: unknown field".to_owned()) })
    }

    fn quit(&self) {}
}
