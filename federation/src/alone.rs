//! The alertmanager alone, as the name `alertmanager` runs it: consensus, API v2, and nothing of samples.

mod pages;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent::lifecycle::{Life, ReloadState, serve_reloads};
use agent::signals;
use alertmanager::{Alertmanager, Options, Parts, SharedState};
use anyhow::{Context as _, Result};
use axum::Router;
use env::{SharedClock, SharedRandom, SystemClock, SystemRandom, Tasks};
use raft::{Peer, Raft, RaftOptions};
use storage::BoxFuture;
use telemetry::{Gauge, Registry};
use web::{UiInfo, WebOptions, WebServer};

use crate::admin::{self, Admin};
use crate::cmd::alertmanager::peers::Advertise;
use crate::cmd::alertmanager::tls::ClusterTls;
use crate::consensus::{Consensus, Machine};
use crate::grpc::Grpc;
use crate::settings::load_file;

/// Everything has stopped within this time of a SIGTERM.
const STOP: Duration = Duration::from_secs(4);
/// A member without a listener is reached by nobody.
const NOWHERE: &str = "localhost:0";

/// How a node takes part in a cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterOptions {
    pub(crate) listen: SocketAddr,
    pub(crate) advertise: Advertise,
    pub(crate) peers: Vec<String>,
    pub(crate) label: String,
    pub(crate) tls: Option<ClusterTls>,
}

/// What the flags come to.
#[derive(Clone, Debug)]
pub(crate) struct Alone {
    pub(crate) config_file: PathBuf,
    pub(crate) options: Options,
    pub(crate) dir: PathBuf,
    /// `None`: one node, whatever comes.
    pub(crate) cluster: Option<ClusterOptions>,
    pub(crate) heartbeat: Duration,
    pub(crate) election_min: Duration,
    pub(crate) election_max: Duration,
    pub(crate) force_init: bool,
    pub(crate) web: WebSettings,
}

/// How it listens for HTTP.
#[derive(Clone, Debug)]
pub(crate) struct WebSettings {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) external_url: String,
    pub(crate) route_prefix: Option<String>,
    pub(crate) max_connections: usize,
    pub(crate) read_timeout: Duration,
    /// GETs of the API at a time.
    pub(crate) gets: usize,
    /// Longest time for a request to the API; 0: no limit.
    pub(crate) timeout: Duration,
}

/// What every part is given.
struct World {
    clock: SharedClock,
    random: SharedRandom,
    tasks: Tasks,
    registry: Registry,
}

impl Alone {
    /// Runs until a signal.
    pub(crate) async fn run(self) -> Result<()> {
        let world = World {
            clock: SystemClock::shared(),
            random: SystemRandom::shared(),
            tasks: Tasks::new(),
            registry: Registry::new(),
        };
        telemetry::process_metrics(&world.registry);
        let (life, requests) = Life::new(true, world.tasks.clone());
        signals::watch(&life, &world.tasks).context("signals")?;
        world.tasks.spawn(agent::give_back_program(world.tasks.clone()));
        let external_url = self.links();
        let settings = load_file(&self.config_file, &external_url, self.options.matcher_mode, &world.clock)
            .map_err(|why| anyhow::anyhow!("Loading configuration file failed: {why}"))?;

        let state = SharedState::new();
        let raft = Arc::new(self.raft(&world, &state).await?);
        let consensus = Consensus::new(Arc::clone(&raft), &world.tasks);
        let alertmanager = Alertmanager::start(Parts {
            state,
            journal: consensus.clone(),
            lease: consensus,
            settings,
            options: self.options.clone(),
            clock: world.clock.clone(),
            random: world.random.clone(),
            tasks: world.tasks.clone(),
            registry: world.registry.clone(),
        });
        let router = self.router(&world, &raft, &alertmanager, &life);
        let bound = WebServer::bind(self.web_options(), router, &world.tasks, &world.registry).await?;
        for address in bound.local_addrs() {
            tracing::info!(%address, "Listening on");
        }
        life.set_ready();
        world.tasks.spawn(bound.serve());
        let notices = api::Notices::new(world.clock.clone());
        let shown = ReloadState::new(&world.clock, &notices, &world.registry);
        let reload = self.reload(&world, alertmanager, external_url);
        let (clock, tasks) = (world.clock.clone(), world.tasks.clone());
        world.tasks.spawn(serve_reloads(requests, shown, clock, tasks, reload));
        let waited = wait(&world.tasks, &raft).await;
        stop(&world.tasks, &raft).await;
        waited
    }

    /// What links in notifications begin with.
    fn links(&self) -> String {
        if !self.web.external_url.is_empty() {
            return self.web.external_url.clone();
        }
        let port = self.web.listen.first().map_or(0, SocketAddr::port);
        format!("http://{}:{port}", host::host_name())
    }

    /// The node of consensus; it is served to others where there may be others.
    async fn raft(&self, world: &World, state: &SharedState) -> Result<Raft> {
        let name = self.options.node_name.clone();
        let dir = self.dir.join("raft");
        let (mut options, grpc) = match &self.cluster {
            None => (RaftOptions::new(dir, name, NOWHERE.to_owned()), None),
            Some(cluster) => {
                let tls = cluster.tls.as_ref().map(|tls| &tls.server);
                let grpc = Grpc::bind("--cluster.listen-address", cluster.listen, tls, true).await?;
                let port = grpc.address.port();
                let advertise = match &cluster.advertise {
                    Advertise::Listener => grpc.address.to_string(),
                    Advertise::Host(ip) => SocketAddr::new(*ip, port).to_string(),
                    Advertise::Named(address) => address.clone(),
                };
                let mut options = RaftOptions::new(dir, name, advertise);
                options.cluster_label.clone_from(&cluster.label);
                let peer = |address: &String| Peer { name: None, address: address.clone() };
                options.peers = cluster.peers.iter().map(peer).collect();
                options.tls = cluster.tls.as_ref().map(|tls| tls.client.clone());
                (options, Some(grpc))
            }
        };
        options.force_init = self.force_init;
        options.heartbeat = self.heartbeat;
        options.election_min = self.election_min;
        options.election_max = self.election_max;
        let machine = Arc::new(Machine(state.clone()));
        let (clock, random) = (world.clock.clone(), world.random.clone());
        let raft = Raft::start(options, machine, clock, random, &world.tasks, &world.registry).await?;
        if let Some(grpc) = grpc {
            tracing::info!(cluster = %grpc.address, name = %self.options.node_name, "members are listened to");
            grpc.serve(vec![raft.service()], &world.tasks)?;
        }
        Ok(raft)
    }

    fn router(
        &self,
        world: &World,
        raft: &Arc<Raft>,
        alertmanager: &Alertmanager,
        life: &Arc<Life>,
    ) -> Router {
        let api = pages::limited(alertmanager.router(), self.web.gets, self.web.timeout, &world.registry);
        let admin =
            Admin { node: self.options.node_name.clone(), raft: Arc::clone(raft), agents: None, twin: None };
        api.merge(pages::router(Arc::clone(life))).merge(admin::router(admin))
    }

    fn web_options(&self) -> WebOptions {
        let pages = ["alerts", "silences", "cluster"].map(str::to_owned).to_vec();
        let path = || {
            let (_, rest) = self.web.external_url.split_once("://")?;
            rest.split_once('/').map(|(_, path)| path.to_owned())
        };
        WebOptions {
            config_file: self.web.config_file.clone(),
            max_connections: self.web.max_connections,
            read_timeout: self.web.read_timeout,
            drain_timeout: STOP / 2,
            route_prefix: self.web.route_prefix.clone().or_else(path).unwrap_or_default(),
            external_url: self.web.external_url.clone(),
            ..WebOptions::new(self.web.listen.clone(), UiInfo { binary: "federation".to_owned(), pages })
        }
    }

    /// Reads the file again: all or nothing.
    fn reload(
        &self,
        world: &World,
        alertmanager: Alertmanager,
        external_url: String,
    ) -> impl Fn() -> BoxFuture<'static, Result<()>> + use<> {
        let (works, since) = (Gauge::default(), Gauge::default());
        let register = |name: &str, help, gauge: &Gauge| {
            world.registry.register(&format!("alertmanager_config_last_reload_{name}"), help, gauge.clone());
        };
        register("successful", "Whether the last configuration reload attempt was successful.", &works);
        let help = "Timestamp of the last successful configuration reload.";
        register("success_timestamp_seconds", help, &since);
        works.set(1);
        since.set(world.clock.now_ms() / 1_000);
        let (path, mode, clock) = (self.config_file.clone(), self.options.matcher_mode, world.clock.clone());
        move || {
            let read = load_file(&path, &external_url, mode, &clock);
            works.set(i64::from(read.is_ok()));
            let outcome = read.map_err(anyhow::Error::msg).map(|settings| {
                alertmanager.reload(settings);
                since.set(clock.now_ms() / 1_000);
            });
            Box::pin(std::future::ready(outcome))
        }
    }
}

/// Waits for a signal, or for consensus that cannot go on.
async fn wait(tasks: &Tasks, raft: &Raft) -> Result<()> {
    let mut fatal = raft.fatal();
    tokio::select! {
        () = tasks.stopping() => Ok(()),
        failed = fatal.wait_for(Option::is_some) => {
            let why = failed.ok().and_then(|why| why.clone()).unwrap_or_default();
            tasks.stop();
            Err(anyhow::anyhow!("consensus cannot go on: {why}"))
        }
    }
}

async fn stop(tasks: &Tasks, raft: &Raft) {
    // Leadership first: the others go on without an election.
    if let Err(error) = raft.shutdown(STOP / 2).await {
        tracing::warn!(%error, "consensus did not stop in order");
    }
    if let Err(error) = tasks.shutdown(STOP / 2).await {
        tracing::warn!(%error, "some tasks did not stop in time");
    }
    tracing::info!("See you next time!");
}
