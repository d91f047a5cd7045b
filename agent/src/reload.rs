//! Reading the configuration again: every file is checked first, and only then the parts are told.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use api::{ConfigStatus, ScrapePool};
use config::{Loaded, Located};
use env::{SharedClock, SharedRandom, Tasks};
use host::HostConfig;
use ingest::Otlp;
use model::Labels;
use notifier::{Notifier, NotifierConfig, PairConfig};
use parking_lot::{Mutex, RwLock};
use rules::{RuleGroup, RuleManager};
use scrape::ScrapeManager;
use serde::Serialize;
use storage::{FrameSource, StreamInfo};
use telemetry::Registry;
use tsdb::Store;
use uplink::{TlsFiles, Uplink, UplinkConfig};
use vedette_agent::cli::WrongConfig;
use vedette_agent::query_log::QueryRecord;
use vedette_agent::rules_status::rules_config;

use crate::cmd::run::RunFlags;
use crate::run::{Agent, exemplars_max, load};

/// An uplink that is replaced has ended its connections by then.
const UPLINK_STOP: Duration = Duration::from_secs(2);

/// The configuration in use, and who is told of a new one.
pub(crate) struct Reloader {
    loaded: RwLock<Loaded>,
    flags: RunFlags,
    told: Told,
    shipping: Shipping,
}

/// Who is told of a new configuration.
pub(crate) struct Told {
    pub(crate) scrape: Arc<ScrapeManager>,
    pub(crate) rules: Arc<RuleManager>,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) queries: Arc<QueryRecord>,
    pub(crate) otlp: Option<Otlp>,
}

impl Reloader {
    pub(crate) fn new(loaded: Loaded, flags: RunFlags, told: Told, shipping: Shipping) -> Arc<Self> {
        Arc::new(Self { loaded: RwLock::new(loaded), flags, told, shipping })
    }

    /// Who is told of a new configuration.
    pub(crate) fn told(&self) -> &Told {
        &self.told
    }

    /// Starts what the configuration names.
    pub(crate) async fn first(&self, groups: Vec<RuleGroup>) -> Result<()> {
        let loaded = self.loaded.read().clone();
        self.told.queries.replace(QueryRecord::open(loaded.global.query_log_file.as_deref())?);
        self.told.scrape.apply(loaded.scrape_configs.clone()).await?;
        self.told.rules.apply(rules_config(&loaded, groups, Duration::ZERO)).await;
        self.shipping.apply(&loaded).await
    }

    /// Reads every file first, and only then tells the parts.
    pub(crate) async fn reload(&self) -> Result<()> {
        let loaded = load(self.flags.config_file.as_deref())?;
        let groups = vedette_agent::check::rule_groups(&loaded).map_err(WrongConfig)?;
        let query_log = QueryRecord::open(loaded.global.query_log_file.as_deref())?;
        // These two refuse what they cannot run before they change anything.
        let name = &self.shipping.name;
        self.told.notifier.apply(notifier_config(&loaded, name))?;
        if let Err(error) = self.told.scrape.apply(loaded.scrape_configs.clone()).await {
            let old = notifier_config(&self.loaded.read(), name);
            self.told.notifier.apply(old)?;
            return Err(error.into());
        }
        self.told.queries.replace(query_log);
        if let Some(otlp) = &self.told.otlp {
            otlp.apply(loaded.otlp.clone());
        }
        self.told.rules.apply(rules_config(&loaded, groups, Duration::ZERO)).await;
        self.shipping.store.set_exemplars_max(exemplars_max(&loaded));
        self.shipping.store.set_out_of_order_window(loaded.storage.out_of_order_window);
        self.shipping.apply(&loaded).await?;
        *self.loaded.write() = loaded;
        Ok(())
    }

    /// How to watch this host, where that is wanted.
    pub(crate) fn host(&self) -> Option<HostConfig> {
        let loaded = self.loaded.read();
        let section = &loaded.vedette.agent.host;
        section.enabled.then(|| HostConfig {
            interval: section.interval.unwrap_or(loaded.global.scrape_interval),
            collectors: section.collectors.clone(),
            ..HostConfig::new(host::host_name())
        })
    }

    /// The page behind `/vedette/cluster.json`.
    pub(crate) fn cluster(&self, node: &str) -> ClusterPage {
        let link = |status: uplink::ReplicaStatus| Link {
            endpoint: status.endpoint,
            name: status.name,
            connected: status.connected,
            lag_frames: status.lag_frames,
            last_error: status.last_error,
        };
        let uplinks =
            self.shipping.running.lock().as_ref().map(|(_, _, uplink)| uplink.status()).unwrap_or_default();
        ClusterPage { node: node.to_owned(), uplinks: uplinks.into_iter().map(link).collect() }
    }
}

impl ConfigStatus for Reloader {
    fn yaml(&self) -> String {
        self.loaded.read().redacted_yaml().to_owned()
    }

    fn external_labels(&self) -> Labels {
        self.loaded.read().global.external_labels.clone()
    }

    fn scrape_pool(&self, name: &str) -> Option<ScrapePool> {
        let loaded = self.loaded.read();
        let job = loaded.scrape_configs.iter().find(|job| job.job_name == name)?;
        let yaml = loaded.job_yaml(name).unwrap_or_default().to_owned();
        Some(ScrapePool { yaml, relabel_configs: job.relabel_configs.clone() })
    }
}

/// What an agent tells of its links.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterPage {
    node: String,
    uplinks: Vec<Link>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    endpoint: String,
    name: String,
    connected: bool,
    lag_frames: u64,
    last_error: String,
}

/// The running uplink, replaced when its configuration changes.
pub(crate) struct Shipping {
    name: String,
    dir: std::path::PathBuf,
    store: Arc<Store>,
    clock: SharedClock,
    random: SharedRandom,
    tasks: Tasks,
    registry: Registry,
    running: Mutex<Option<(UplinkConfig, Labels, Uplink)>>,
    replicas: Arc<Mutex<Replicas>>,
}

/// Who else needs this agent's frames.
enum Replicas {
    /// It is being found out: all of them may be needed.
    Unknown,
    Nobody,
    /// These, until they have them on their disks.
    Some(uplink::Durable),
}

impl Replicas {
    /// The frames of a stream that they need no more.
    fn released(&self, stream: &storage::StreamId) -> storage::IntervalSet {
        match self {
            Self::Unknown => storage::IntervalSet::new(),
            Self::Nobody => std::iter::once(1..=u64::MAX).collect(),
            Self::Some(durable) => durable.of(stream),
        }
    }
}

impl Shipping {
    pub(crate) fn new(agent: &Agent, store: Arc<Store>) -> Self {
        let replicas = Arc::new(Mutex::new(Replicas::Unknown));
        let asked = Arc::clone(&replicas);
        store.ship_frames(move |stream| asked.lock().released(stream));
        Self {
            name: agent.name.clone(),
            dir: agent.flags.common.storage.path.join("uplink"),
            store,
            clock: agent.clock.clone(),
            random: agent.random.clone(),
            tasks: agent.tasks.clone(),
            registry: agent.registry.clone(),
            running: Mutex::new(None),
            replicas,
        }
    }

    async fn apply(&self, loaded: &Loaded) -> Result<()> {
        let labels = external(loaded, &self.name);
        if FrameSource::own_stream(&*self.store).external != labels {
            self.store.renew_epoch(labels.clone())?;
        }
        let wanted = self.config(loaded, &labels);
        let same = self.running.lock().as_ref().map(|(config, ..)| config) == wanted.as_ref();
        if same && wanted.is_some() {
            return Ok(());
        }
        let old = self.running.lock().take();
        *self.replicas.lock() = Replicas::Unknown;
        if let Some((_, _, old)) = old
            && let Err(error) = old.stop(UPLINK_STOP).await
        {
            tracing::warn!(%error, "the old uplink did not stop in time");
        }
        if let Some(config) = wanted {
            let source: Arc<dyn FrameSource> = self.store.clone();
            let uplink = Uplink::start(
                config.clone(),
                &source,
                &self.clock,
                &self.random,
                &self.tasks,
                &self.registry,
            );
            *self.replicas.lock() = Replicas::Some(uplink.durable());
            *self.running.lock() = Some((config, labels, uplink));
        } else {
            *self.replicas.lock() = Replicas::Nobody;
        }
        Ok(())
    }

    fn config(&self, loaded: &Loaded, labels: &Labels) -> Option<UplinkConfig> {
        let section = &loaded.vedette.agent;
        let link = section.federation.as_ref()?;
        Some(UplinkConfig {
            agent: self.name.clone(),
            endpoints: link.endpoints.clone(),
            labels: labels.clone(),
            ha_group: section.ha_group.clone(),
            ephemeral: section.ephemeral,
            flush_interval: link.flush_interval,
            tls: link.tls.as_ref().map(|tls| TlsFiles {
                ca: tls.ca.clone(),
                cert: tls.cert.clone(),
                key: tls.key.clone(),
                server_name: tls.server_name.clone(),
            }),
            cursor_dir: self.dir.clone(),
        })
    }
}

/// Who is told of alerts: those under `alerting`, and the pair, which is told also whose they are.
pub(crate) fn notifier_config(loaded: &Loaded, name: &str) -> NotifierConfig {
    let link = loaded.vedette.agent.federation.as_ref();
    let pair = link
        .filter(|link| !link.alertmanagers.is_empty())
        .map(|link| PairConfig { alertmanagers: link.alertmanagers.clone(), agent: name.to_owned() });
    NotifierConfig { pair, ..loaded.notifier.clone() }
}

/// Labels of everything that leaves this agent: `external_labels`, and `agent` unless they set it.
pub(crate) fn external(loaded: &Loaded, name: &str) -> Labels {
    let labels = &loaded.global.external_labels;
    if labels.has(StreamInfo::AGENT) {
        return labels.clone();
    }
    let mut builder = labels.to_builder();
    builder.set(StreamInfo::AGENT, name);
    builder.build()
}

/// A valid key whose part is not built is refused by `run`, with its place.
pub(crate) fn refuse_unsupported(places: &[Located]) -> Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = places.iter().map(ToString::to_string).collect();
    Err(WrongConfig(lines.join("\n")).into())
}
