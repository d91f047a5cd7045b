//! `run`: flags of the agent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use telemetry::LogOptions;
use vedette_agent::flags::{CommonFlags, duration};
use vedette_agent::safe_mode::SafeModeOptions;

use crate::run::Agent;

#[derive(Args, Clone, Debug)]
pub(crate) struct RunFlags {
    /// A prometheus.yml; without it the agent watches its own host.
    #[arg(long = "config.file", value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// This agent's name in a federation; the configuration's, else the host's name, where absent.
    #[arg(long = "node-name", value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// Take what others push by Prometheus's remote write, at /api/v1/write.
    #[arg(long = "web.enable-remote-write-receiver")]
    pub(crate) remote_write_receiver: bool,
    /// Take OpenTelemetry's metrics, at /api/v1/otlp/v1/metrics.
    #[arg(long = "web.enable-otlp-receiver")]
    pub(crate) otlp_receiver: bool,
    /// Allow deleting series and making snapshots over HTTP, at /api/v1/admin/tsdb/.
    #[arg(long = "web.enable-admin-api")]
    pub(crate) admin_api: bool,
    /// Which messages of remote write are taken; both by default.
    #[arg(
        long = "web.remote-write-receiver.accepted-protobuf-messages",
        value_name = "MESSAGE",
        value_delimiter = ',',
        value_parser = message
    )]
    pub(crate) accepted_messages: Vec<ingest::Version>,
    /// Start with the minimum after so many unclean ends within --safe-mode.window; 0 never does.
    #[arg(long = "safe-mode.crashes", value_name = "N", default_value_t = 3)]
    pub(crate) safe_mode_crashes: usize,
    /// Unclean ends within this time count; safe mode is left after so long a run.
    #[arg(long = "safe-mode.window", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub(crate) safe_mode_window: Duration,
    #[command(flatten)]
    pub(crate) common: CommonFlags,
}

impl RunFlags {
    /// When safe mode is entered.
    pub(crate) fn safe_mode(&self) -> SafeModeOptions {
        SafeModeOptions { crashes: self.safe_mode_crashes, window: self.safe_mode_window }
    }
}

fn message(name: &str) -> Result<ingest::Version, String> {
    ingest::Version::of_message(name).ok_or_else(|| {
        let all = ingest::Version::ALL.map(ingest::Version::message).join(", ");
        format!("unknown remote write protobuf message {name}, supported: {all}")
    })
}

pub(crate) async fn run(flags: RunFlags, shown: BTreeMap<String, String>) -> anyhow::Result<()> {
    telemetry::init_logging(LogOptions { level: flags.common.log.level, format: flags.common.log.format })
        .context("logging")?;
    flags.common.query.features.enable();
    Agent::run(flags, shown).await
}
