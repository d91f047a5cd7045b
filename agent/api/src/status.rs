//! What other parts tell the API about themselves: plain data behind small traits.
//!
//! The API knows no scrape manager and no rule engine; whoever runs them implements these traits.
//! Times are milliseconds since the Unix epoch, spans of time are seconds.

use std::collections::BTreeMap;

use model::relabel::RelabelConfig;
use model::{Labels, Matcher, Metadata};
use serde::Serialize;
use storage::{BoxFuture, TimeRange};

use crate::json::{go_float, labels_map, rfc3339_ms, rfc3339_opt, value_e};

/// Whether a target's last scrape worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetHealth {
    /// It worked.
    Up,
    /// It failed.
    Down,
    /// There was none yet.
    Unknown,
}

/// A target that is scraped.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveTarget {
    /// The labels that discovery gave it.
    #[serde(serialize_with = "labels_map")]
    pub discovered_labels: Labels,
    /// The labels after relabelling.
    #[serde(serialize_with = "labels_map")]
    pub labels: Labels,
    /// The job that it belongs to.
    pub scrape_pool: String,
    /// The address that is asked.
    pub scrape_url: String,
    /// The same as others would reach it.
    pub global_url: String,
    /// Why the last scrape failed, empty when it did not.
    pub last_error: String,
    /// When the last scrape began.
    #[serde(serialize_with = "rfc3339_opt")]
    pub last_scrape: Option<i64>,
    /// How long it took, in seconds.
    #[serde(serialize_with = "go_float")]
    pub last_scrape_duration: f64,
    /// Whether it worked.
    pub health: TargetHealth,
    /// Time between scrapes as the configuration writes it, such as `15s`.
    pub scrape_interval: String,
    /// Patience for one scrape, such as `10s`.
    pub scrape_timeout: String,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DroppedTarget {
    /// The labels that discovery gave it.
    #[serde(serialize_with = "labels_map")]
    pub discovered_labels: Labels,
    /// The job that dropped it.
    pub scrape_pool: String,
}

/// Every target.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Those that are scraped, by pool, then in the pool's order.
    pub active: Vec<ActiveTarget>,
    /// Those that are not, as many as are kept.
    pub dropped: Vec<DroppedTarget>,
    /// How many were dropped, by pool.
    pub dropped_counts: BTreeMap<String, u64>,
}

/// What one target's page said about one metric.
#[derive(Clone, Debug)]
pub struct TargetMetadata {
    /// The target's labels.
    pub target: Labels,
    /// The metric family's name.
    pub metric: String,
    /// What was said.
    pub metadata: Metadata,
}

/// The scrape side of the process.
pub trait TargetStatus: Send + Sync {
    /// The names of the scrape pools, in order.
    fn scrape_pools(&self) -> Vec<String>;
    /// Every target.
    fn targets(&self) -> Targets;
    /// What the active targets' pages say about their metrics.
    fn metadata(&self) -> Vec<TargetMetadata>;
}

/// How far an alert has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The rule was not evaluated yet.
    Unknown,
    /// Not active.
    Inactive,
    /// Active, but not for long enough.
    Pending,
    /// Active for long enough.
    Firing,
}

/// Whether a rule's last evaluation worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleHealth {
    /// There was none yet.
    Unknown,
    /// It worked.
    Ok,
    /// It failed.
    Err,
}

/// An active alert.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// The alert's labels.
    #[serde(serialize_with = "labels_map")]
    pub labels: Labels,
    /// The rendered annotations.
    #[serde(serialize_with = "labels_map")]
    pub annotations: Labels,
    /// How far it has come.
    pub state: AlertState,
    /// Since when the expression holds.
    #[serde(serialize_with = "rfc3339_opt", skip_serializing_if = "Option::is_none")]
    pub active_at: Option<i64>,
    /// Since when it fires only because of `keep_firing_for`.
    #[serde(serialize_with = "rfc3339_opt", skip_serializing_if = "Option::is_none")]
    pub keep_firing_since: Option<i64>,
    /// The expression's value.
    #[serde(serialize_with = "value_e")]
    pub value: f64,
}

/// An alerting rule.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertingRule {
    /// The state of its furthest alert.
    pub state: AlertState,
    /// The alert's name.
    pub name: String,
    /// The expression.
    pub query: String,
    /// `for` in seconds.
    #[serde(serialize_with = "go_float")]
    pub duration: f64,
    /// `keep_firing_for` in seconds.
    #[serde(serialize_with = "go_float")]
    pub keep_firing_for: f64,
    /// The labels that it adds, as written.
    #[serde(serialize_with = "labels_map")]
    pub labels: Labels,
    /// The annotations, as written.
    #[serde(serialize_with = "labels_map")]
    pub annotations: Labels,
    /// The alerts that are active.
    pub alerts: Vec<Alert>,
    /// Whether the last evaluation worked.
    pub health: RuleHealth,
    /// Why it failed, empty when it did not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// How long it took, in seconds.
    #[serde(serialize_with = "go_float")]
    pub evaluation_time: f64,
    /// When it was.
    #[serde(serialize_with = "rfc3339_opt")]
    pub last_evaluation: Option<i64>,
}

/// A recording rule.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordingRule {
    /// The metric's name.
    pub name: String,
    /// The expression.
    pub query: String,
    /// The labels that it adds.
    #[serde(serialize_with = "labels_map")]
    pub labels: Labels,
    /// Whether the last evaluation worked.
    pub health: RuleHealth,
    /// Why it failed, empty when it did not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    /// How long it took, in seconds.
    #[serde(serialize_with = "go_float")]
    pub evaluation_time: f64,
    /// When it was.
    #[serde(serialize_with = "rfc3339_opt")]
    pub last_evaluation: Option<i64>,
}

/// A rule of either kind.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Makes alerts.
    Alerting(AlertingRule),
    /// Makes series.
    Recording(RecordingRule),
}

/// Rules that are evaluated together.
#[derive(Clone, Debug)]
pub struct RuleGroup {
    /// The group's name, unique in its file.
    pub name: String,
    /// The file that holds it.
    pub file: String,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// Seconds between evaluations.
    pub interval: f64,
    /// Most series or alerts of a rule, 0 for no limit.
    pub limit: u64,
    /// How long the last evaluation took, in seconds.
    pub evaluation_time: f64,
    /// When it was.
    pub last_evaluation: Option<i64>,
}

/// The rule side of the process.
pub trait RuleStatus: Send + Sync {
    /// Every group, by file, then name.
    fn groups(&self) -> Vec<RuleGroup>;
}

/// Where alerts are sent.
pub trait AlertmanagerStatus: Send + Sync {
    /// The addresses in use.
    fn active(&self) -> Vec<String>;
    /// The addresses that relabelling dropped.
    fn dropped(&self) -> Vec<String>;
}

/// How the targets of one scrape pool are made and scraped.
#[derive(Clone, Debug, Default)]
pub struct ScrapePool {
    /// Its configuration as YAML, secrets hidden, with what it takes from the global one.
    pub yaml: String,
    /// The rules that make targets of what is discovered.
    pub relabel_configs: Vec<RelabelConfig>,
}

/// The configuration in use.
pub trait ConfigStatus: Send + Sync {
    /// The whole of it as YAML, secrets hidden.
    fn yaml(&self) -> String;
    /// `global.external_labels`.
    fn external_labels(&self) -> Labels;
    /// One scrape pool's part of it.
    fn scrape_pool(&self, name: &str) -> Option<ScrapePool>;
}

/// A name and how many or much of something it stands for.
#[derive(Clone, Debug, Serialize)]
pub struct Count {
    /// What is counted.
    pub name: String,
    /// How many, or how many bytes.
    pub value: u64,
}

/// What the newest part of the store holds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadStats {
    /// Series.
    pub num_series: u64,
    /// Different (name, value) pairs.
    pub num_label_pairs: u64,
    /// Chunks.
    pub chunk_count: u64,
    /// Time of the oldest sample.
    pub min_time: i64,
    /// Time of the newest sample.
    pub max_time: i64,
}

/// Where a store's series come from; each list is the longest first.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreStats {
    /// Totals.
    pub head_stats: HeadStats,
    /// Series by metric name.
    pub series_count_by_metric_name: Vec<Count>,
    /// Values by label name.
    pub label_value_count_by_label_name: Vec<Count>,
    /// Bytes of values by label name.
    pub memory_in_bytes_by_label_name: Vec<Count>,
    /// Series by `name=value`.
    pub series_count_by_label_value_pair: Vec<Count>,
}

/// How far start-up has come in reading the log.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct WalReplay {
    /// First segment.
    pub min: u64,
    /// Last segment.
    pub max: u64,
    /// The segment being read.
    pub current: u64,
}

/// A sealed part of the store.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Tells it from others that begin at the same time.
    pub number: u32,
    /// Its first time, in milliseconds since the Unix epoch.
    pub start: i64,
    /// No sample is at that time or later.
    pub end: i64,
    /// Samples.
    pub samples: u64,
    /// How often its samples were written together anew: 1 for a window, 2 for a day.
    pub level: u32,
}

/// As Prometheus writes a block's `meta.json`.
impl Serialize for Block {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ulid = crate::json::ulid(self.start, self.number);
        serde_json::json!({
            "ulid": ulid,
            "minTime": self.start,
            "maxTime": self.end,
            "stats": { "numSamples": self.samples },
            "compaction": { "level": self.level, "sources": [ulid] },
            "version": 1,
        })
        .serialize(serializer)
    }
}

/// The store.
pub trait StoreStatus: Send + Sync {
    /// Its largest contributors, at most `limit` in each list.
    fn stats(&self, limit: usize) -> StoreStats;
    /// What was said of the families whose samples it has, also of those that were pushed or come from agents.
    fn families(&self) -> Vec<(String, Metadata)>;
    /// Its sealed parts, oldest first.
    fn blocks(&self) -> Vec<Block>;
    /// How far start-up has come.
    fn wal_replay(&self) -> WalReplay;
}

/// What an administrator may do to the store; an error says what could not be done, and why.
pub trait StoreAdmin: Send + Sync {
    /// Hides samples for good.
    fn delete(&self, matchers: Vec<Matcher>, range: TimeRange) -> BoxFuture<'_, Result<(), String>>;
    /// Takes what is hidden off the disk.
    fn clean(&self) -> BoxFuture<'_, Result<(), String>>;
    /// Makes a copy beside the store, without what is not in blocks yet if told so; gives its folder's name.
    fn snapshot(&self, skip_head: bool) -> BoxFuture<'_, Result<String, String>>;
}

/// The running process.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeInfo {
    /// When the process started.
    #[serde(serialize_with = "rfc3339_ms")]
    pub start_time: i64,
    /// Its working directory.
    #[serde(rename = "CWD")]
    pub cwd: String,
    /// The host's name.
    pub hostname: String,
    /// What the process takes for now.
    #[serde(serialize_with = "rfc3339_ms")]
    pub server_time: i64,
    /// Whether the last reload worked.
    pub reload_config_success: bool,
    /// When the last one worked.
    #[serde(serialize_with = "rfc3339_ms")]
    pub last_config_time: i64,
    /// Damaged records that were found in the log.
    pub corruption_count: u64,
    /// Tasks.
    pub goroutine_count: u64,
    /// Worker threads.
    #[serde(rename = "GOMAXPROCS")]
    pub gomaxprocs: u64,
    /// The memory budget in bytes.
    #[serde(rename = "GOMEMLIMIT")]
    pub gomemlimit: u64,
    /// Always empty: there is no garbage collector.
    #[serde(rename = "GOGC")]
    pub gogc: String,
    /// Always empty.
    #[serde(rename = "GODEBUG")]
    pub godebug: String,
    /// How long samples are kept, such as `15d`.
    pub storage_retention: String,
    /// Why it runs with the minimum, while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe_mode: Option<String>,
}

/// The program.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildInfo {
    /// Its version.
    pub version: String,
    /// The commit that it was built from.
    pub revision: String,
    /// The branch that held it.
    pub branch: String,
    /// Who built it.
    pub build_user: String,
    /// When.
    pub build_date: String,
    /// The compiler, where Prometheus names Go's version.
    pub go_version: String,
}

/// The process.
pub trait ProcessStatus: Send + Sync {
    /// How it runs.
    fn runtime(&self) -> RuntimeInfo;
    /// What it was built from.
    fn build(&self) -> BuildInfo;
    /// Its flags with their values, defaults included.
    fn flags(&self) -> BTreeMap<String, String>;
    /// What it can do: category, feature, whether it is on.
    fn features(&self) -> BTreeMap<String, BTreeMap<String, bool>>;
}

/// Starting, reloading, stopping.
pub trait Lifecycle: Send + Sync {
    /// Whether the process can answer queries.
    fn is_ready(&self) -> bool;
    /// Whether it is on its way down.
    fn is_stopping(&self) -> bool;
    /// Whether `/-/reload` and `/-/quit` are allowed (`--web.enable-lifecycle`).
    fn is_enabled(&self) -> bool;
    /// Reads the configuration again; the error is for the one who asked.
    fn reload(&self) -> BoxFuture<'_, Result<(), String>>;
    /// Begins the orderly stop and returns at once.
    fn quit(&self);
}
