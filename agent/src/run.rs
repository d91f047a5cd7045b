//! The agent's life: started in order, stopped in reverse, within a deadline.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::{AlertmanagerStatus, ApiParts, ApiState, Notices};
use axum::Router;
use axum::routing::get;
use config::{Config, Loaded};
use env::{SharedClock, SharedRandom, SystemClock, SystemRandom, Tasks};
use host::Host;
use ingest::{Limits, Otlp, RemoteWrite};
use notifier::{Notifier, NotifierOptions};
use promql::Engine;
use rules::RuleManager;
use scrape::{ScrapeIdentity, ScrapeManager};
use storage::BoxFuture;
use telemetry::Registry;
use tsdb::{Store, StoreOptions};
use vedette_agent::cli::WrongConfig;
use vedette_agent::lifecycle::{Life, ReloadState, serve_reloads};
use vedette_agent::process::Process;
use vedette_agent::query_log::QueryRecord;
use vedette_agent::rules_status::{ShownRules, ToNotifier, rule_options};
use vedette_agent::safe_mode::{Guard, SafeMode, limited};
use vedette_agent::store_status::ShownStore;
use vedette_agent::targets::ShownTargets;
use vedette_agent::{compact, give_back_program, heap, maintain, signals};
use web::{UiInfo, WebOptions, WebServer};

use crate::cmd::run::RunFlags;
use crate::reload::{Reloader, Shipping, Told, refuse_unsupported};

/// Everything has stopped within this time of a SIGTERM.
const STOP: Duration = Duration::from_secs(4);
/// Between two rounds of the store's housekeeping.
const MAINTAIN: Duration = Duration::from_secs(10);
/// How often days that may be put together are looked for.
const COMPACT: Duration = Duration::from_secs(60);
/// What an agent without a file runs with: it watches its own host.
const NO_FILE: &str = "global:\n  scrape_interval: 15s\n";

/// What every part is given.
pub(crate) struct Agent {
    pub(crate) flags: RunFlags,
    pub(crate) name: String,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) tasks: Tasks,
    pub(crate) registry: Registry,
    pub(crate) safe_mode: Arc<SafeMode>,
}

impl Agent {
    /// Runs until a signal or a request to quit.
    pub(crate) async fn run(flags: RunFlags, shown: BTreeMap<String, String>) -> Result<()> {
        let loaded = load(flags.config_file.as_deref())?;
        let name = flags.node_name.clone().or_else(|| loaded.vedette.node_name.clone());
        let (clock, registry) = (SystemClock::shared(), Registry::new());
        // Noted before the store is opened: that may be what ends the process.
        let dir = &flags.common.storage.path;
        let safe_mode = SafeMode::begin(dir, flags.safe_mode(), &clock, &registry);
        let agent = Self {
            flags,
            name: name.unwrap_or_else(host::host_name),
            clock,
            random: SystemRandom::shared(),
            tasks: Tasks::new(),
            registry,
            safe_mode: safe_mode.clone(),
        };
        telemetry::process_metrics(&agent.registry);
        let ended = agent.start(loaded, shown).await;
        safe_mode.ended_in_order();
        ended
    }

    async fn start(self, loaded: Loaded, shown: BTreeMap<String, String>) -> Result<()> {
        let groups = vedette_agent::check::rule_groups(&loaded).map_err(WrongConfig)?;
        let (life, requests) = Life::new(self.flags.common.web.enable_lifecycle, self.tasks.clone());
        signals::watch(&life, &self.tasks).context("signals")?;
        let store = self.store(&loaded)?;
        let options = self.flags.common.engine_options(&loaded);
        let active = self.safe_mode.active_queries();
        let record = QueryRecord::new(self.clock.clone(), options.max_concurrent, &self.registry);
        let limited = Engine::new(limited(&options)).noting(active.clone()).logging(Some(record.clone()));
        let engine = Arc::new(Engine::new(options).noting(active).logging(Some(record.clone())));
        let queries = Arc::new(Guard { mode: self.safe_mode.clone(), engine: engine.clone(), limited });
        let external_url = self.flags.common.web.external_url_or(self.web_address());

        let options = NotifierOptions {
            capacity: self.flags.common.rules.queue_capacity,
            ..NotifierOptions::new(self.flags.common.storage.path.join("notifier"))
        };
        let notifier = Notifier::new(
            options,
            self.clock.clone(),
            self.random.clone(),
            self.tasks.clone(),
            &self.registry,
        );
        notifier.apply(crate::reload::notifier_config(&loaded, &self.name))?;
        let rules = Arc::new(RuleManager::new(
            rule_options(&self.flags.common.rules, &external_url, Duration::ZERO),
            engine.clone(),
            store.clone(),
            store.clone(),
            Arc::new(ToNotifier(notifier.clone())),
            self.clock.clone(),
            self.tasks.clone(),
            &self.registry,
        ));
        let scrape = Arc::new(self.scrape_manager(&loaded, &store));
        let counted = Arc::downgrade(&scrape);
        store.count_memory("scrape", move || counted.upgrade().map_or(0, |scrape| scrape.memory()));
        let counted = Arc::downgrade(&scrape);
        store.count_memory("buffers", move || counted.upgrade().map_or(0, |scrape| scrape.idle_buffers()));
        heap::count(&store);
        let shipping = Shipping::new(&self, store.clone());
        let notices = Notices::new(self.clock.clone());
        let reload = ReloadState::new(&self.clock, &notices, &self.registry);
        let otlp = self.otlp(&loaded, &store);
        let reloader = Reloader::new(
            loaded,
            self.flags.clone(),
            Told {
                scrape: scrape.clone(),
                rules: rules.clone(),
                notifier: notifier.clone(),
                queries: record,
                otlp,
            },
            shipping,
        );
        let (safe_mode, damaged) = (self.safe_mode.clone(), store.clone());
        let process = Process::new(
            self.clock.clone(),
            shown,
            (self.retention(), self.flags.common.storage.memory_max()),
            reload.clone(),
            move || safe_mode.why(),
            move || damaged.log_corruptions(),
        );
        let router = self.router(&store, queries, process, life.clone(), &reloader, notices.clone())?;
        // The listener is bound before anything is scraped: a port that is taken stops the start here.
        let bound = WebServer::bind(self.web_options(), router, &self.tasks, &self.registry).await?;
        for address in bound.local_addrs() {
            tracing::info!(%address, node = %self.name, "Listening on");
        }
        reloader.first(groups).await?;
        self.watch_host(&reloader, &store);
        let (housekeeping, tasks, safe_mode) = (store.clone(), self.tasks.clone(), self.safe_mode.clone());
        let is_safe = move || safe_mode.is_active();
        self.tasks.spawn(async move { maintain(housekeeping, MAINTAIN, is_safe, tasks).await });
        let (compacting, tasks, safe_mode) = (store.clone(), self.tasks.clone(), self.safe_mode.clone());
        let is_safe = move || safe_mode.is_active();
        self.tasks.spawn(async move { compact(compacting, COMPACT, is_safe, tasks).await });
        self.tasks.spawn(self.safe_mode.clone().leave_when_stable(notices.clone(), self.tasks.clone()));
        self.tasks.spawn(give_back_program(self.tasks.clone()));
        self.tasks.spawn(bound.serve());
        let again = move || -> BoxFuture<'static, Result<()>> {
            let reloader = reloader.clone();
            Box::pin(async move { reloader.reload().await })
        };
        self.tasks.spawn(serve_reloads(requests, reload, self.clock.clone(), self.tasks.clone(), again));
        life.set_ready();
        tracing::info!("Server is ready to receive web requests.");
        self.tasks.stopping().await;
        notices.raise("Shutting down...");
        notices.close();
        self.stop(&store, &scrape, &notifier).await
    }

    fn web_address(&self) -> SocketAddr {
        self.flags.common.web.listen.first().copied().unwrap_or_else(|| ([0, 0, 0, 0], 9090).into())
    }

    fn retention(&self) -> String {
        model::format_duration(self.flags.common.storage.retention_time)
    }

    fn store(&self, loaded: &Loaded) -> Result<Arc<Store>> {
        let options = StoreOptions {
            external: crate::reload::external(loaded, &self.name),
            retention_time: self.flags.common.storage.retention_time(&loaded.storage),
            retention_size: self.flags.common.storage.retention_size(&loaded.storage),
            disk_reserve: self.flags.common.storage.disk_reserve,
            memory_max: self.flags.common.storage.memory_max(),
            out_of_order_window: loaded.storage.out_of_order_window,
            exemplars_max: exemplars_max(loaded),
            sealed_memory: self.flags.common.storage.sealed_memory(),
            ..StoreOptions::new(&self.flags.common.storage.path, &self.name)
        };
        let store = Store::open(options, self.clock.clone(), self.random.clone(), &self.registry)?;
        if self.flags.common.query.features.has("st-storage") {
            store.keep_starts();
        }
        let status = store.status();
        tracing::info!(
            series = status.series,
            samples = status.samples,
            segments = status.segments,
            "the log is read"
        );
        Ok(store)
    }

    fn scrape_manager(&self, loaded: &Loaded, store: &Arc<Store>) -> ScrapeManager {
        let host_name = host::host_name();
        let seed = model::Labels::from_pairs([("host", host_name.as_str())]).stable_hash();
        let identity =
            ScrapeIdentity { host_name, offset_seed: seed ^ loaded.global.external_labels.stable_hash() };
        ScrapeManager::new(store.clone(), self.clock.clone(), &self.tasks, &self.registry, identity)
    }

    fn router(
        &self,
        store: &Arc<Store>,
        queries: Arc<Guard>,
        process: Arc<Process>,
        life: Arc<Life>,
        reloader: &Arc<Reloader>,
        notices: Arc<Notices>,
    ) -> Result<Router> {
        let Told { scrape, rules, notifier, .. } = reloader.told();
        let parts = ApiParts {
            querier: store.clone(),
            exemplars: Some(store.clone()),
            engine: queries,
            clock: self.clock.clone(),
            process,
            lifecycle: life,
            config: reloader.clone(),
            targets: Some(Arc::new(ShownTargets(scrape.clone()))),
            rules: Some(Arc::new(ShownRules(rules.clone()))),
            alertmanagers: Some(Arc::new(ShownAlertmanagers(notifier.clone()))),
            store: Some(Arc::new(ShownStore(store.clone()))),
            notices,
            admin: self.flags.admin_api.then(|| self.admin(store)),
            options: self.flags.common.api_options(),
        };
        let state = ApiState::new(parts, &self.registry).context("--web.cors.origin")?;
        let pushed = api::gated(state.clone(), self.push_routes(store).merge(self.otlp_routes(reloader)));
        let api = api::router(state);
        let (name, links) = (self.name.clone(), reloader.clone());
        let cluster = get(move || {
            let page = links.cluster(&name);
            async move { axum::Json(page) }
        });
        Ok(api.route("/vedette/cluster.json", cluster).merge(pushed))
    }

    fn admin(&self, store: &Arc<Store>) -> Arc<dyn api::StoreAdmin> {
        let (store, clock, random) = (store.clone(), self.clock.clone(), self.random.clone());
        Arc::new(vedette_agent::store_admin::StoreAdmin { store, clock, random })
    }

    /// Where others push to.
    fn push_routes(&self, store: &Arc<Store>) -> Router {
        if !self.flags.remote_write_receiver {
            return ingest::remote_write_disabled();
        }
        let wanted = &self.flags.accepted_messages;
        let accepted = ingest::Version::ALL.map(|one| wanted.is_empty() || wanted.contains(&one));
        let (limits, clock) = (Limits { accepted, ..Limits::default() }, self.clock.clone());
        RemoteWrite::new(store.clone(), limits, clock, &self.random, &self.tasks, &self.registry).router()
    }

    /// OpenTelemetry's metrics.
    fn otlp_routes(&self, reloader: &Reloader) -> Router {
        reloader.told().otlp.as_ref().map_or_else(ingest::otlp_disabled, |otlp| otlp.clone().router())
    }

    fn otlp(&self, loaded: &Loaded, store: &Arc<Store>) -> Option<Otlp> {
        self.flags.otlp_receiver.then(|| {
            let (clock, config) = (self.clock.clone(), loaded.otlp.clone());
            Otlp::new(store.clone(), config, clock, &self.random, &self.tasks, &self.registry)
        })
    }

    fn web_options(&self) -> WebOptions {
        let flags = &self.flags.common.web;
        let listen = if flags.listen.is_empty() { vec![self.web_address()] } else { flags.listen.clone() };
        let pages = ["graph", "targets", "alerts", "cluster"];
        let ui = UiInfo { binary: "agent".to_owned(), pages: pages.into_iter().map(str::to_owned).collect() };
        flags.options(listen, ui)
    }

    fn watch_host(&self, reloader: &Reloader, store: &Arc<Store>) {
        let Some(config) = reloader.host() else { return };
        let host = Host::new(config, store.clone(), self.clock.clone(), &self.registry);
        self.tasks.spawn(host.run(self.tasks.clone()));
    }

    async fn stop(self, store: &Store, scrape: &ScrapeManager, notifier: &Notifier) -> Result<()> {
        if let Err(error) = scrape.stop(STOP / 4).await {
            tracing::warn!(%error, "some scrapes did not stop in time");
        }
        notifier.drain(STOP / 4).await;
        if let Err(error) = self.tasks.shutdown(STOP / 2).await {
            tracing::warn!(%error, "some tasks did not stop in time");
        }
        store.close().context("closing the store")?;
        tracing::info!("See you next time!");
        Ok(())
    }
}

/// How many exemplars are kept.
pub(crate) fn exemplars_max(loaded: &Loaded) -> usize {
    loaded.storage.exemplars_max.unwrap_or(StoreOptions::EXEMPLARS_MAX)
}

/// Loads the file, or what stands for it; what is valid and not built is refused with its place.
pub(crate) fn load(path: Option<&Path>) -> Result<Loaded> {
    let loaded = match path {
        Some(path) => Config::load(path),
        None => Config::parse(NO_FILE, Path::new("vedette.yml")),
    };
    let loaded = loaded.map_err(|errors| WrongConfig(errors.to_string()))?;
    refuse_unsupported(loaded.unsupported())?;
    vedette_agent::check::warn_moot(&loaded);
    Ok(loaded)
}

/// Where alerts go, as the API shows it.
struct ShownAlertmanagers(Arc<Notifier>);

impl AlertmanagerStatus for ShownAlertmanagers {
    fn active(&self) -> Vec<String> {
        self.0.alertmanagers()
    }

    fn dropped(&self) -> Vec<String> {
        Vec::new()
    }
}
