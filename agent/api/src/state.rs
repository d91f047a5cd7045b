//! What the router answers from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use env::SharedClock;
use model::{AnchoredRegex, RegexError};
use storage::{BoxFuture, ExemplarQuerier, Querier};
use telemetry::{Counter, Gauge, Registry};
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::evaluate::Evaluate;
use crate::notices::{LISTENERS_MAX, Notices, listeners};
use crate::params::Params;
use crate::remote_read::{RemoteRead, RemoteReadOptions};
use crate::reply::Reply;
use crate::status::{
    AlertmanagerStatus, ConfigStatus, Lifecycle, ProcessStatus, RuleStatus, StoreAdmin, StoreStatus,
    TargetStatus,
};

/// Limits and names, all with Prometheus's defaults.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// How far back a federation request looks for a sample (`--query.lookback-delta`).
    pub lookback: Duration,
    /// Most samples that a federation request loads (`--query.max-samples`).
    pub samples_max: usize,
    /// Largest posted form in bytes.
    pub body_max: usize,
    /// Regex of the origins whose pages may read answers (`--web.cors.origin`).
    pub cors_origin: String,
    /// Limits of remote read.
    pub remote_read: RemoteReadOptions,
    /// Listeners to what the process has to tell, at most (`--web.max-notifications-subscribers`).
    pub listeners_max: usize,
    /// Most results of a search, where it is enabled (feature `search-api`, `--web.search.max-limit`); 0: any number.
    pub search_max: Option<usize>,
    /// What the health pages call the process.
    pub app_name: String,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            lookback: Duration::from_secs(300),
            samples_max: 50_000_000,
            body_max: 10 << 20,
            cors_origin: ".*".to_owned(),
            remote_read: RemoteReadOptions::default(),
            listeners_max: LISTENERS_MAX,
            search_max: None,
            app_name: "Prometheus Server".to_owned(),
        }
    }
}

/// The parts of the process that the API asks. What a process does not have is `None` and answers empty.
pub struct ApiParts {
    /// Where series come from.
    pub querier: Arc<dyn Querier>,
    /// Where exemplars come from.
    pub exemplars: Option<Arc<dyn ExemplarQuerier>>,
    /// Evaluates queries.
    pub engine: Arc<dyn Evaluate>,
    /// Now.
    pub clock: SharedClock,
    /// The process itself.
    pub process: Arc<dyn ProcessStatus>,
    /// Starting, reloading, stopping.
    pub lifecycle: Arc<dyn Lifecycle>,
    /// The configuration in use.
    pub config: Arc<dyn ConfigStatus>,
    /// What is scraped.
    pub targets: Option<Arc<dyn TargetStatus>>,
    /// What is evaluated.
    pub rules: Option<Arc<dyn RuleStatus>>,
    /// Where alerts go.
    pub alertmanagers: Option<Arc<dyn AlertmanagerStatus>>,
    /// The local store.
    pub store: Option<Arc<dyn StoreStatus>>,
    /// Its administration, where that is enabled.
    pub admin: Option<Arc<dyn StoreAdmin>>,
    /// What there is to tell users.
    pub notices: Arc<Notices>,
    /// Limits and names.
    pub options: ApiOptions,
}

impl fmt::Debug for ApiParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiParts").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Everything that the router needs; clones share it.
#[derive(Clone, Debug)]
pub struct ApiState(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) parts: ApiParts,
    pub(crate) cors_origin: AnchoredRegex,
    pub(crate) metrics: ApiMetrics,
    pub(crate) remote_read: RemoteRead,
    pub(crate) registry: Registry,
    pub(crate) listeners: Arc<Semaphore>,
}

/// What the API says about itself.
#[derive(Debug, Default)]
pub(crate) struct ApiMetrics {
    pub(crate) queries: Gauge,
    pub(crate) federation_errors: Counter,
    pub(crate) federation_warnings: Counter,
}

/// What an endpoint returns.
pub(crate) type Answer<'a> = BoxFuture<'a, Result<Reply, ApiError>>;

/// An endpoint without parts of its path as parameters.
pub(crate) type Endpoint = for<'a> fn(&'a Inner, &'a Params) -> Answer<'a>;

impl ApiState {
    /// Joins the parts and registers the API's metrics.
    ///
    /// # Errors
    /// When `cors_origin` is no regex.
    pub fn new(parts: ApiParts, registry: &Registry) -> Result<Self, RegexError> {
        let cors_origin = AnchoredRegex::new(&parts.options.cors_origin)?;
        let metrics = ApiMetrics::default();
        metrics.register(registry);
        let remote_read = RemoteRead::new(parts.options.remote_read, registry);
        let (registry, listeners) = (registry.clone(), listeners(parts.options.listeners_max));
        Ok(Self(Arc::new(Inner { parts, cors_origin, metrics, remote_read, registry, listeners })))
    }
}

impl ApiMetrics {
    fn register(&self, registry: &Registry) {
        registry.register(
            "prometheus_engine_queries",
            "The current number of queries being executed or waiting.",
            self.queries.clone(),
        );
        registry.register(
            "prometheus_web_federation_errors",
            "Total number of errors that occurred while sending federation responses.",
            self.federation_errors.clone(),
        );
        registry.register(
            "prometheus_web_federation_warnings",
            "Total number of warnings that occurred while sending federation responses.",
            self.federation_warnings.clone(),
        );
    }
}
