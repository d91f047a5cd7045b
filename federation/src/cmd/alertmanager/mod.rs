//! `alertmanager`: Alertmanager's flags and file, and nothing but that role; a symlink of that name to this
//! program runs it.

pub(crate) mod peers;
mod spec;
pub(crate) mod tls;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use agent::flags::listen_address;
use alertmanager::Options;
use alertmanager::matcher::MatcherMode;
use anyhow::{Context as _, Result, anyhow, bail};
use env::SystemRandom;
use telemetry::LogOptions;

use super::amtool;
use crate::alone::{Alone, ClusterOptions, WebSettings};
use crate::kingpin::{self, Asked, Call};

/// A cluster that works has its leader by then.
const SETTLE_MIN: Duration = Duration::from_secs(5);
/// GETs at a time where nobody said and there are few cores.
const GETS_MIN: usize = 8;

/// Features that would change what is measured or recorded, and do not yet.
const NOT_BUILT: [&str; 4] =
    ["alert-names-in-metrics", "receiver-name-in-metrics", "group-key-in-metrics", "event-recorder"];

/// Runs the words after the program's name.
#[allow(clippy::print_stderr, reason = "the last words of a command")]
pub(crate) async fn run(words: Vec<String>) -> ExitCode {
    agent::cli::choose_tls();
    let call = kingpin::read(&spec::ALERTMANAGER, words).and_then(|call| match call.asked {
        Some(_) => Ok(call),
        None => call.check().map(|()| call),
    });
    let call = match call {
        Ok(call) => call,
        Err(why) => {
            eprintln!("alertmanager: error: {why}, try --help");
            return ExitCode::FAILURE;
        }
    };
    match call.asked {
        Some(Asked::Help) => say(&kingpin::usage(&call.path)),
        Some(Asked::Version) => say(&amtool::version("alertmanager")),
        None => {
            if let Err(error) = start(&call).await {
                eprintln!("{error:#}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

async fn start(call: &Call) -> Result<()> {
    let text = |flag| call.text(flag).unwrap_or_default();
    let level = text("log.level").parse().map_err(|error| anyhow!("--log.level: {error}"))?;
    let format = text("log.format").parse().map_err(|error| anyhow!("--log.format: {error}"))?;
    telemetry::init_logging(LogOptions { level, format }).context("logging")?;
    tracing::info!(version = alertmanager::STANDS_IN_FOR, "Starting Alertmanager");
    let mode = mode(text("enable-feature"))?;
    if call.is_on("web.systemd-socket") {
        bail!("--web.systemd-socket: sockets of systemd are not built; use --web.listen-address");
    }
    let idle: Vec<&str> = spec::WITHOUT_EFFECT.into_iter().filter(|flag| call.is_given(flag)).collect();
    if !idle.is_empty() {
        tracing::info!(flags = %idle.join(","), "these flags are taken and have no effect here");
    }
    let dir = PathBuf::from(text("storage.path"));
    std::fs::create_dir_all(&dir).with_context(|| format!("--storage.path={}", dir.display()))?;
    let name = match text("cluster.peer-name") {
        "" => peers::kept_name(&dir, &SystemRandom::shared())?,
        name => name.to_owned(),
    };
    let cluster = cluster(call).await?;
    let alone = Alone {
        config_file: PathBuf::from(text("config.file")),
        options: options(call, &name, &dir, mode, cluster.is_some()),
        dir,
        cluster,
        heartbeat: call.duration("raft.heartbeat"),
        election_min: call.duration("raft.election-min"),
        election_max: call.duration("raft.election-max"),
        force_init: call.is_on("raft.force-init"),
        web: web(call)?,
    };
    alone.run().await
}

/// How it listens for HTTP.
fn web(call: &Call) -> Result<WebSettings> {
    let filled = |flag| call.text(flag).filter(|text| !text.is_empty());
    let listen = call
        .texts("web.listen-address")
        .into_iter()
        .map(|address| listen_address(address).map_err(|why| anyhow!("--web.listen-address={why}")))
        .collect::<Result<Vec<SocketAddr>>>()?;
    let gets = match call.count("web.get-concurrency") {
        0 => std::thread::available_parallelism().map_or(GETS_MIN, |cores| cores.get().max(GETS_MIN)),
        most => most,
    };
    Ok(WebSettings {
        listen,
        config_file: filled("web.config.file").map(PathBuf::from),
        external_url: external_url(filled("web.external-url").unwrap_or_default())?,
        route_prefix: filled("web.route-prefix").map(str::to_owned),
        max_connections: call.count("web.max-connections").max(1),
        read_timeout: call.duration("web.read-timeout"),
        gets,
        timeout: call.duration("web.timeout"),
    })
}

fn options(call: &Call, name: &str, dir: &Path, mode: MatcherMode, clustered: bool) -> Options {
    Options {
        peer_timeout: call.duration("cluster.peer-timeout"),
        retention: call.duration("data.retention"),
        keep_resolved: call.duration("alerts.gc-interval"),
        gc_every: call.duration("data.maintenance-interval").max(Duration::from_secs(1)),
        clustered,
        settle: call.duration("cluster.settle-timeout").max(SETTLE_MIN),
        start_delay: call.duration("dispatch.start-delay"),
        matcher_mode: mode,
        max_silences: call.count("silences.max-silences"),
        max_silence_bytes: call.count("silences.max-silence-size-bytes"),
        alerts_per_name: call.count("alerts.per-alertname-limit"),
        log_silences: call.is_on("log.silences"),
        ..Options::new(name, dir.join("alertmanager"))
    }
}

fn mode(features: &str) -> Result<MatcherMode> {
    let mode = amtool::matcher_mode(features)?;
    if let Some(feature) = features.split(',').find(|feature| NOT_BUILT.contains(feature)) {
        bail!("--enable-feature={feature}: known, but not built");
    }
    Ok(mode)
}

/// Checks the URL that users reach this server by.
fn external_url(text: &str) -> Result<String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    match url::Url::parse(text) {
        Err(error) => bail!("--web.external-url: parse {text:?}: {error}"),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => bail!(
            "--web.external-url: {text:?}: invalid {:?} scheme, only 'http' and 'https' are supported",
            url.scheme()
        ),
        Ok(_) => Ok(text.trim_end_matches('/').to_owned()),
    }
}

/// How this node takes part in a cluster; `None` where it is to be none.
async fn cluster(call: &Call) -> Result<Option<ClusterOptions>> {
    let address = call.text("cluster.listen-address").unwrap_or_default();
    let wanted = call.texts("cluster.peer");
    if address.is_empty() {
        if !wanted.is_empty() {
            bail!("--cluster.peer: there is no cluster with an empty --cluster.listen-address");
        }
        return Ok(None);
    }
    let tls = match call.text("cluster.tls-config").unwrap_or_default() {
        "" => None,
        file => Some(tls::load(Path::new(file)).with_context(|| format!("--cluster.tls-config={file}"))?),
    };
    let mut listen = listen_address(address).map_err(|why| anyhow!("--cluster.listen-address={why}"))?;
    let is_open = tls.is_none() && !listen.ip().is_loopback();
    if is_open && wanted.is_empty() && !call.is_given("cluster.listen-address") {
        // Nobody asked for a cluster: nothing is offered to the network.
        listen.set_ip([127, 0, 0, 1].into());
    } else if is_open {
        tracing::warn!(%listen, "members talk without TLS: whoever reaches this address can change this cluster; see --cluster.tls-config");
    }
    let patience = call.duration("cluster.peers-resolve-timeout");
    let public = call.is_on("cluster.allow-insecure-public-advertise-address-discovery");
    let advertise = match call.text("cluster.advertise-address").unwrap_or_default() {
        "" if listen.ip().is_unspecified() => peers::Advertise::Host(peers::own_address(public)?),
        "" => peers::Advertise::Listener,
        address if address.contains(':') => peers::Advertise::Named(address.to_owned()),
        address => bail!("--cluster.advertise-address={address}: expected HOST:PORT"),
    };
    Ok(Some(ClusterOptions {
        listen,
        advertise,
        peers: peers::resolved(&wanted, patience).await,
        label: call.text("cluster.label").unwrap_or_default().to_owned(),
        tls,
    }))
}
