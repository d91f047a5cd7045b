//! Reading the configuration again: all or nothing.

use std::sync::Arc;

use agent::cli::WrongConfig;
use agent::query_log::QueryRecord;
use alertmanager::Alertmanager;
use anyhow::Result;
use api::{ConfigStatus, ScrapePool};
use config::{Config, Loaded};
use env::SharedClock;
use model::Labels;
use parking_lot::{Mutex, RwLock};
use storage::{BoxFuture, Coverage, LabelQuery, Querier, QueryError, Select, SeriesSet};

use crate::pair_rules::PairRules;
use crate::settings::{load_settings, pair_hash};

/// The configuration in use, and who is told of a new one.
pub(crate) struct Reloader {
    loaded: RwLock<Loaded>,
    alertmanager: Alertmanager,
    rules: Option<Arc<PairRules>>,
    queries: Arc<QueryRecord>,
    external_url: String,
    config_hash: Arc<Mutex<u128>>,
    clock: SharedClock,
}

impl Reloader {
    pub(crate) fn new(
        loaded: Loaded,
        alertmanager: Alertmanager,
        rules: Option<Arc<PairRules>>,
        queries: Arc<QueryRecord>,
        external_url: String,
        config_hash: Arc<Mutex<u128>>,
        clock: SharedClock,
    ) -> Result<Arc<Self>> {
        queries.replace(QueryRecord::open(loaded.global.query_log_file.as_deref())?);
        Ok(Arc::new(Self {
            loaded: RwLock::new(loaded),
            alertmanager,
            rules,
            queries,
            external_url,
            config_hash,
            clock,
        }))
    }

    /// Reads every file first, and only then tells the parts.
    pub(crate) async fn reload(&self) -> Result<()> {
        let path = self.loaded.read().path.clone();
        let loaded = Config::load(&path).map_err(|errors| WrongConfig(errors.to_string()))?;
        refuse(&loaded)?;
        let groups = agent::check::rule_groups(&loaded).map_err(WrongConfig)?;
        let file = loaded.vedette.federation.alertmanager_config.as_deref();
        let settings = load_settings(file, &self.external_url, &self.clock).map_err(WrongConfig)?;
        let query_log = QueryRecord::open(loaded.global.query_log_file.as_deref())?;
        self.alertmanager.reload(settings);
        self.queries.replace(query_log);
        if let Some(rules) = &self.rules {
            rules.apply(&loaded, groups).await;
        }
        *self.config_hash.lock() = pair_hash(&loaded);
        *self.loaded.write() = loaded;
        Ok(())
    }
}

impl ConfigStatus for Reloader {
    fn yaml(&self) -> String {
        self.loaded.read().redacted_yaml().to_owned()
    }

    fn external_labels(&self) -> Labels {
        self.loaded.read().global.external_labels.clone()
    }

    /// A node scrapes nothing.
    fn scrape_pool(&self, _name: &str) -> Option<ScrapePool> {
        None
    }
}

/// A valid key whose part a federation node does not have is refused by `run`, with its place.
pub(crate) fn refuse(loaded: &Loaded) -> Result<()> {
    let mut lines: Vec<String> = loaded.unsupported().iter().map(ToString::to_string).collect();
    let mut refuse = |key: &str, instead: &str| {
        lines.push(format!(
            "{}: {key} is valid, but a federation node does not have it; {instead}",
            loaded.path.display()
        ));
    };
    if !loaded.scrape_configs.is_empty() {
        refuse("scrape_configs", "expected them in an agent's configuration");
    }
    if !loaded.notifier.alertmanagers.is_empty() {
        refuse("alerting", "a node's rules alert through its own vedette.alertmanager_config");
    }
    if !loaded.storage.out_of_order_window.is_zero() {
        refuse(
            "storage.tsdb.out_of_order_time_window",
            "set it at the agents: what they take late is taken here whenever it comes",
        );
    }
    if loaded.otlp != Default::default() {
        refuse("otlp", "expected it in an agent's configuration");
    }
    agent::check::warn_moot(loaded);
    if lines.is_empty() { Ok(()) } else { Err(WrongConfig(lines.join("\n")).into()) }
}

/// What a witness answers queries from.
pub(crate) struct NoSamples;

impl NoSamples {
    fn coverage() -> Coverage {
        let warning = "this node is a witness and holds no samples: ask a replica".to_owned();
        Coverage { warnings: vec![warning], ..Coverage::default() }
    }
}

impl Querier for NoSamples {
    fn select(&self, _: Select) -> BoxFuture<'_, Result<SeriesSet, QueryError>> {
        Box::pin(async { Ok(SeriesSet { coverage: Self::coverage(), ..SeriesSet::default() }) })
    }

    fn series(&self, _: LabelQuery) -> BoxFuture<'_, Result<(Vec<Labels>, Coverage), QueryError>> {
        Box::pin(async { Ok((Vec::new(), Self::coverage())) })
    }

    fn label_names(&self, _: LabelQuery) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        Box::pin(async { Ok((Vec::new(), Self::coverage())) })
    }

    fn label_values(
        &self,
        _: &str,
        _: LabelQuery,
    ) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        Box::pin(async { Ok((Vec::new(), Self::coverage())) })
    }
}
