//! `run`: flags of a federation node.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use agent::flags::{CommonFlags, duration, listen_address};
use anyhow::{Context as _, Result};
use clap::Args;
use telemetry::LogOptions;

use crate::roles::Roles;
use crate::run::Node;

#[derive(Args, Clone, Debug)]
pub(crate) struct RunFlags {
    /// A prometheus.yml with the key `vedette`.
    #[arg(long = "config.file", value_name = "FILE", default_value = "vedette.yml")]
    pub(crate) config_file: PathBuf,
    /// This node's name, one of vedette.pair; the host's name where absent.
    #[arg(long = "node-name", value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// What this node does: a list out of store, query, rules, alertmanager, witness.
    #[arg(long = "role", value_name = "LIST")]
    pub(crate) roles: Option<Roles>,
    /// Address to listen on for uplinks, the twin and raft.
    #[arg(long = "grpc.listen-address", value_name = "HOST:PORT", default_value = "127.0.0.1:9094", value_parser = listen_address)]
    pub(crate) grpc: SocketAddr,
    /// Address under which the other members reach this node; the configuration's where absent.
    #[arg(long = "grpc.advertise-address", value_name = "HOST:PORT")]
    pub(crate) advertise: Option<String>,
    /// Serve gRPC without TLS on an address that is not loopback.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Start a cluster if this node is empty, whatever the others say.
    #[arg(long = "cluster.force-init")]
    pub(crate) force_init: bool,
    /// Time between two heartbeats of a leader.
    #[arg(long = "raft.heartbeat", default_value = "200ms", value_parser = duration)]
    pub(crate) heartbeat: Duration,
    /// A round trip between members that takes longer counts as lost.
    #[arg(long = "raft.election-min", default_value = "700ms", value_parser = duration)]
    pub(crate) election_min: Duration,
    /// How long a leader's lease is; members without one wait so long and a random time up to it.
    #[arg(long = "raft.election-max", default_value = "1s", value_parser = duration)]
    pub(crate) election_max: Duration,
    /// How long an announced notification of a leader that is gone is waited for before it is sent again.
    #[arg(long = "cluster.peer-timeout", default_value = "15s", value_parser = duration)]
    pub(crate) peer_timeout: Duration,
    /// Allow deleting series and making snapshots over HTTP, at /api/v1/admin/tsdb/. What one replica is told to delete
    /// is hidden at its twin, too.
    #[arg(long = "web.enable-admin-api")]
    pub(crate) admin_api: bool,
    #[command(flatten)]
    pub(crate) common: CommonFlags,
}

pub(crate) async fn run(flags: RunFlags, shown: BTreeMap<String, String>) -> Result<()> {
    telemetry::init_logging(LogOptions { level: flags.common.log.level, format: flags.common.log.format })
        .context("logging")?;
    flags.common.query.features.enable();
    Node::run(flags, shown).await
}
