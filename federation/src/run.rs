//! A federation node's life: started in order, stopped in reverse, within a deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent::cli::WrongConfig;
use agent::lifecycle::{Life, ReloadState, serve_reloads};
use agent::process::Process;
use agent::query_log::QueryRecord;
use agent::safe_mode::RunningQueries;
use agent::signals;
use agent::store_admin::StoreAdmin;
use agent::store_status::ShownStore;
use alertmanager::{Alertmanager, Options, Parts, SharedState};
use anyhow::{Context as _, Result};
use api::{ApiOptions, ApiParts, ApiState, Notices};
use axum::Router;
use config::{Config, Loaded, PeerTls};
use env::{SharedClock, SharedRandom, SystemClock, SystemRandom, Tasks};
use promql::Engine;
use raft::{Peer, Raft, RaftOptions};
use receive::{Agents, ReceiveOptions, Receiver};
use repair::{Pair, PairOptions};
use storage::BoxFuture;
use telemetry::Registry;
use tonic::service::Routes;
use tsdb::{Store, StoreOptions};
use web::{UiInfo, WebOptions, WebServer};

use crate::admin::{self, Admin};
use crate::cmd::run::RunFlags;
use crate::consensus::{Consensus, Machine};
use crate::grpc::{Grpc, GrpcTls};
use crate::marks::Marks;
use crate::members::Members;
use crate::pair_rules::{PairParts, PairRules};
use crate::reload::{Reloader, refuse};
use crate::roles::Role;
use crate::settings::{load_settings, pair_hash};
use crate::watchers::{HeardByPair, LocalNews, Watchers};

/// Everything has stopped within this time of a SIGTERM.
const STOP: Duration = Duration::from_secs(4);
/// Between two rounds of the store's housekeeping.
const MAINTAIN: Duration = Duration::from_secs(10);
/// How often days that may be put together are looked for.
const COMPACT: Duration = Duration::from_secs(60);

/// What is sealed stays in a replica's log for so long besides: a twin that was away for less is repaired frame by
/// frame, and one that was away for longer, or lost its disk, by whole sealed windows behind it.
const LOG_TAIL: Duration = Duration::from_secs(6 * 60 * 60);

/// What every part is given.
pub(crate) struct Node {
    pub(crate) flags: RunFlags,
    pub(crate) members: Members,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) tasks: Tasks,
    pub(crate) registry: Registry,
}

/// A replica's own parts; a witness has none of them.
struct Replica {
    store: Arc<Store>,
    agents: Arc<Agents>,
    pair: Option<Arc<Pair>>,
    marks: Marks,
    services: Vec<Routes>,
}

impl Node {
    /// Runs until a signal or a request to quit.
    pub(crate) async fn run(flags: RunFlags, shown: BTreeMap<String, String>) -> Result<()> {
        let loaded = Config::load(&flags.config_file).map_err(|errors| WrongConfig(errors.to_string()))?;
        refuse(&loaded)?;
        let members = Members::find(&loaded, flags.node_name.clone(), flags.roles.clone())
            .map_err(|error| WrongConfig(error.to_string()))?;
        let node = Self {
            flags,
            members,
            clock: SystemClock::shared(),
            random: SystemRandom::shared(),
            tasks: Tasks::new(),
            registry: Registry::new(),
        };
        telemetry::process_metrics(&node.registry);
        node.start(loaded, shown).await
    }

    async fn start(self, loaded: Loaded, shown: BTreeMap<String, String>) -> Result<()> {
        let pair_section = loaded.vedette.federation.pair.clone();
        let tls = pair_section.as_ref().and_then(|pair| pair.tls.clone());
        let grpc_tls = tls.as_ref().map(|tls| GrpcTls {
            cert: tls.cert.clone(),
            key: tls.key.clone(),
            client_ca: tls.ca.clone(),
        });
        let grpc =
            Grpc::bind("--grpc.listen-address", self.flags.grpc, grpc_tls.as_ref(), self.flags.insecure)
                .await?;
        let (life, requests) = Life::new(self.flags.common.web.enable_lifecycle, self.tasks.clone());
        signals::watch(&life, &self.tasks).context("signals")?;
        std::fs::create_dir_all(&self.flags.common.storage.path)
            .with_context(|| self.flags.common.storage.path.display().to_string())?;

        // Before the store is opened: that may be what ends the process.
        let running = match self.members.roles.has(Role::Store) {
            true => RunningQueries::begin(&self.flags.common.storage.path.join("store")),
            false => RunningQueries::default(),
        };
        let config_hash = Arc::new(parking_lot::Mutex::new(pair_hash(&loaded)));
        let replica = if self.members.roles.has(Role::Store) {
            Some(self.replica(&loaded, tls.as_ref(), &config_hash)?)
        } else {
            None
        };
        let state = SharedState::new();
        let raft =
            Arc::new(self.raft(&grpc, tls.as_ref(), pair_section.map(|pair| pair.name), &state).await?);
        let mut services = vec![raft.service()];
        services.extend(replica.iter().flat_map(|replica| replica.services.clone()));
        grpc.serve(services, &self.tasks)?;

        let external_url = self.flags.common.web.external_url_or(self.web_address());
        let alertmanager = self.alertmanager(&loaded, &external_url, &raft, state.clone())?;
        let notices = Notices::new(self.clock.clone());
        let reload = ReloadState::new(&self.clock, &notices, &self.registry);
        let options = self.flags.common.engine_options(&loaded);
        let record = QueryRecord::new(self.clock.clone(), options.max_concurrent, &self.registry);
        let engine = Engine::new(options).noting(running.active()).logging(Some(record.clone()));
        let engine = Arc::new(engine);
        let rules = match &replica {
            Some(replica) if self.members.roles.has(Role::Rules) => {
                let parts = PairParts {
                    marks: replica.marks.clone(),
                    store: replica.store.clone(),
                    engine: engine.clone(),
                    heard: HeardByPair {
                        agents: replica.agents.clone(),
                        twin: replica.pair.as_ref().map(|pair| pair.view()),
                        clock: self.clock.clone(),
                    },
                    alertmanager: alertmanager.clone(),
                    state: state.clone(),
                };
                let started = PairRules::start(&self, &loaded, &external_url, parts);
                Some(started.await?)
            }
            _ => None,
        };
        let clock = self.clock.clone();
        let reloader = Reloader::new(
            loaded,
            alertmanager.clone(),
            rules.clone(),
            record,
            external_url,
            config_hash,
            clock,
        )?;
        let damaged = replica.as_ref().map(|replica| replica.store.clone());
        let process = Process::new(
            self.clock.clone(),
            shown,
            (self.retention(), self.flags.common.storage.memory_max()),
            reload.clone(),
            || None,
            move || damaged.as_ref().map_or(0, |store| store.log_corruptions()),
        );
        let router = self.router(
            &raft,
            replica.as_ref(),
            rules,
            &alertmanager,
            engine,
            process,
            life.clone(),
            reloader.clone(),
            notices.clone(),
        )?;
        let bound = WebServer::bind(self.web_options(), router, &self.tasks, &self.registry).await?;
        for address in bound.local_addrs() {
            tracing::info!(%address, node = %self.members.name, roles = %self.members.roles, "Listening on");
        }
        life.set_ready();
        self.tasks.spawn(bound.serve());
        let again = move || -> BoxFuture<'static, Result<()>> {
            let reloader = reloader.clone();
            Box::pin(async move { reloader.reload().await })
        };
        self.tasks.spawn(serve_reloads(requests, reload, self.clock.clone(), self.tasks.clone(), again));
        self.background(replica.as_ref());
        let waited = self.wait(&raft).await;
        notices.raise("Shutting down...");
        notices.close();
        // Also where consensus failed: its files are closed before the process ends.
        let stopped = self.stop(&raft, replica).await;
        running.ended_in_order();
        waited.and(stopped)
    }

    fn web_address(&self) -> std::net::SocketAddr {
        self.flags.common.web.listen.first().copied().unwrap_or_else(|| ([127, 0, 0, 1], 9093).into())
    }

    fn retention(&self) -> String {
        model::format_duration(self.flags.common.storage.retention_time)
    }

    /// Store, receiver and the line to the twin.
    fn replica(
        &self,
        loaded: &Loaded,
        tls: Option<&PeerTls>,
        config_hash: &Arc<parking_lot::Mutex<u128>>,
    ) -> Result<Replica> {
        let dir = self.flags.common.storage.path.join("store");
        let options = StoreOptions {
            retention_time: self.flags.common.storage.retention_time(&loaded.storage),
            retention_size: self.flags.common.storage.retention_size(&loaded.storage),
            sealed_memory: self.flags.common.storage.sealed_memory(),
            log_tail: LOG_TAIL,
            disk_reserve: self.flags.common.storage.disk_reserve,
            memory_max: self.flags.common.storage.memory_max(),
            ..StoreOptions::new(dir, &self.members.name)
        };
        let store = Store::open(options, self.clock.clone(), self.random.clone(), &self.registry)?;
        agent::heap::count(&store);
        let agents = Arc::new(Agents::load(
            &self.flags.common.storage.path,
            ReceiveOptions::HEARTBEAT,
            self.clock.clone(),
        )?);
        let options = ReceiveOptions {
            replica: self.members.name.clone(),
            heartbeat: ReceiveOptions::HEARTBEAT,
            ack_interval: ReceiveOptions::ACK_INTERVAL,
        };
        let receiver = Receiver::new(
            options,
            store.clone(),
            agents.clone(),
            self.clock.clone(),
            self.tasks.clone(),
            &self.registry,
        );
        let mut services = vec![receiver.service()];
        let pair = self.members.twin.clone().map(|(twin, endpoint)| {
            let options = PairOptions {
                replica: self.members.name.clone(),
                twin,
                endpoint,
                interval: PairOptions::INTERVAL,
                silence_max: PairOptions::SILENCE_MAX,
                copy_rate: PairOptions::COPY_RATE,
                tls: tls.map(uplink_tls),
            };
            let hash = Arc::clone(config_hash);
            let news = LocalNews { agents: agents.clone(), config_hash: Box::new(move || *hash.lock()) };
            Pair::start(
                options,
                store.clone(),
                Arc::new(news),
                self.clock.clone(),
                &self.tasks,
                &self.registry,
            )
        });
        services.extend(pair.iter().map(|pair| pair.service()));
        let marks =
            Marks::new(store.clone(), self.members.name.clone(), pair.as_ref().map(|pair| pair.view()));
        Ok(Replica { store, agents, pair, marks, services })
    }

    async fn raft(
        &self,
        grpc: &Grpc,
        tls: Option<&PeerTls>,
        pair: Option<String>,
        state: &SharedState,
    ) -> Result<Raft> {
        let advertise = self.flags.advertise.clone().or_else(|| self.members.grpc.clone());
        let advertise = advertise.unwrap_or_else(|| grpc.address.to_string());
        let mut options = RaftOptions::new(
            self.flags.common.storage.path.join("raft"),
            self.members.name.clone(),
            advertise,
        );
        options.cluster_label = pair.unwrap_or_default();
        options.peers = self
            .members
            .peers
            .iter()
            .map(|(name, address)| Peer { name: Some(name.clone()), address: address.clone() })
            .collect();
        options.witness = self.members.roles.has(Role::Witness);
        options.force_init = self.flags.force_init;
        options.heartbeat = self.flags.heartbeat;
        options.election_min = self.flags.election_min;
        options.election_max = self.flags.election_max;
        options.tls = tls.map(|tls| raft::TlsFiles {
            ca: tls.ca.clone(),
            cert: tls.cert.clone(),
            key: tls.key.clone(),
            server_name: tls.server_name.clone(),
        });
        let machine = Arc::new(Machine(state.clone()));
        let raft = Raft::start(
            options,
            machine,
            self.clock.clone(),
            self.random.clone(),
            &self.tasks,
            &self.registry,
        )
        .await?;
        Ok(raft)
    }

    fn alertmanager(
        &self,
        loaded: &Loaded,
        external_url: &str,
        raft: &Arc<Raft>,
        state: SharedState,
    ) -> Result<Alertmanager> {
        let file = loaded.vedette.federation.alertmanager_config.as_deref();
        let settings = load_settings(file, external_url, &self.clock)
            .map_err(|why| anyhow::Error::new(WrongConfig(why)))?;
        let mut options =
            Options::new(&self.members.name, self.flags.common.storage.path.join("alertmanager"));
        options.sends = self.members.roles.has(Role::Alertmanager);
        options.peer_timeout = self.flags.peer_timeout;
        let consensus = Consensus::new(Arc::clone(raft), &self.tasks);
        Ok(Alertmanager::start(Parts {
            state,
            journal: consensus.clone(),
            lease: consensus,
            settings,
            options,
            clock: self.clock.clone(),
            random: self.random.clone(),
            tasks: self.tasks.clone(),
            registry: self.registry.clone(),
        }))
    }

    #[allow(clippy::too_many_arguments, reason = "the one place where all parts meet")]
    fn router(
        &self,
        raft: &Arc<Raft>,
        replica: Option<&Replica>,
        rules: Option<Arc<PairRules>>,
        alertmanager: &Alertmanager,
        engine: Arc<Engine>,
        process: Arc<Process>,
        life: Arc<Life>,
        reloader: Arc<Reloader>,
        notices: Arc<Notices>,
    ) -> Result<Router> {
        let twin = replica.and_then(|replica| replica.pair.as_ref()).map(|pair| pair.view());
        let admin = Admin {
            node: self.members.name.clone(),
            raft: Arc::clone(raft),
            agents: replica.map(|replica| replica.agents.clone()),
            twin: self.members.twin.clone().map(|(name, _)| name).zip(twin),
        };
        let parts = ApiParts {
            querier: match replica {
                Some(replica) => replica.store.clone(),
                None => Arc::new(crate::reload::NoSamples),
            },
            exemplars: replica.map(|replica| replica.store.clone() as Arc<dyn storage::ExemplarQuerier>),
            engine,
            clock: self.clock.clone(),
            process,
            lifecycle: life,
            config: reloader,
            targets: None,
            rules: rules.map(|rules| rules as Arc<dyn api::RuleStatus>),
            alertmanagers: None,
            notices,
            store: replica
                .map(|replica| Arc::new(ShownStore(replica.store.clone())) as Arc<dyn api::StoreStatus>),
            admin: replica.filter(|_| self.flags.admin_api).map(|replica| {
                let (store, clock, random) = (replica.store.clone(), self.clock.clone(), self.random.clone());
                Arc::new(StoreAdmin { store, clock, random }) as Arc<dyn api::StoreAdmin>
            }),
            options: ApiOptions {
                app_name: "Vedette federation".to_owned(),
                ..self.flags.common.api_options()
            },
        };
        let api = api::router(ApiState::new(parts, &self.registry).context("--web.cors.origin")?);
        Ok(api.merge(alertmanager.router()).merge(admin::router(admin)))
    }

    fn web_options(&self) -> WebOptions {
        let flags = &self.flags.common.web;
        let listen = if flags.listen.is_empty() { vec![self.web_address()] } else { flags.listen.clone() };
        let pages = if self.members.roles.has(Role::Store) {
            vec!["graph", "alerts", "silences", "cluster"]
        } else {
            vec!["alerts", "silences", "cluster"]
        };
        let ui =
            UiInfo { binary: "federation".to_owned(), pages: pages.into_iter().map(str::to_owned).collect() };
        flags.options(listen, ui)
    }

    fn background(&self, replica: Option<&Replica>) {
        self.tasks.spawn(agent::give_back_program(self.tasks.clone()));
        let Some(replica) = replica else { return };
        let (store, tasks) = (replica.store.clone(), self.tasks.clone());
        self.tasks.spawn(async move { agent::maintain(store, MAINTAIN, || false, tasks).await });
        let (store, tasks) = (replica.store.clone(), self.tasks.clone());
        self.tasks.spawn(async move { agent::compact(store, COMPACT, || false, tasks).await });
        let watchers = Watchers {
            agents: replica.agents.clone(),
            twin: replica.pair.as_ref().map(|pair| pair.view()),
            marks: replica.marks.clone(),
            clock: self.clock.clone(),
        };
        self.tasks.spawn(watchers.run(self.tasks.clone()));
    }

    /// Waits for a signal, a request to quit, or consensus that cannot go on.
    async fn wait(&self, raft: &Raft) -> Result<()> {
        let mut fatal = raft.fatal();
        tokio::select! {
            () = self.tasks.stopping() => Ok(()),
            failed = fatal.wait_for(Option::is_some) => {
                let why = failed.ok().and_then(|why| why.clone()).unwrap_or_default();
                self.tasks.stop();
                Err(anyhow::anyhow!("consensus cannot go on: {why}"))
            }
        }
    }

    async fn stop(self, raft: &Raft, replica: Option<Replica>) -> Result<()> {
        // Leadership first: the others go on without an election.
        if let Err(error) = raft.shutdown(STOP / 2).await {
            tracing::warn!(%error, "consensus did not stop in order");
        }
        if let Err(error) = self.tasks.shutdown(STOP / 2).await {
            tracing::warn!(%error, "some tasks did not stop in time");
        }
        if let Some(replica) = replica {
            replica.store.close().context("closing the store")?;
        }
        tracing::info!("See you next time!");
        Ok(())
    }
}

fn uplink_tls(tls: &PeerTls) -> uplink::TlsFiles {
    uplink::TlsFiles {
        ca: tls.ca.clone(),
        cert: tls.cert.clone(),
        key: tls.key.clone(),
        server_name: tls.server_name.clone(),
    }
}
