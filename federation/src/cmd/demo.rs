//! `demo`: the whole system on one machine: an agent on this host, two replicas, a witness, a webhook
//! sink that prints its pages.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::routing::post;
use clap::Args;
use env::Tasks;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use web::{UiInfo, WebOptions, WebServer};

/// Files of the demo: name and content. They are written once; the operator's changes stay.
const FILES: [(&str, &str); 4] = [
    ("agent.yml", include_str!("../../../deploy/demo/agent.yml")),
    ("federation.yml", include_str!("../../../deploy/demo/federation.yml")),
    ("alertmanager.yml", include_str!("../../../deploy/demo/alertmanager.yml")),
    ("rules.yml", include_str!("../../../deploy/demo/rules.yml")),
];
/// Where pages go.
const SINK: &str = "127.0.0.1:9095";
/// All of the processes end within this time of a Ctrl-C; what has not is killed.
const STOP: Duration = Duration::from_secs(4);

#[derive(Args, Debug)]
pub(crate) struct DemoFlags {
    /// The agent's binary.
    #[arg(long, value_name = "FILE")]
    agent: PathBuf,
    /// Where configuration and data are kept; a later run goes on from there.
    #[arg(long, value_name = "DIR", default_value = ".vedette")]
    dir: PathBuf,
}

/// One process of the demo.
struct Member {
    name: &'static str,
    http: &'static str,
    grpc: Option<&'static str>,
    flags: &'static [&'static str],
}

const MEMBERS: [Member; 4] = [
    Member { name: "a", http: "127.0.0.1:9093", grpc: Some("127.0.0.1:9094"), flags: &[] },
    Member { name: "b", http: "127.0.0.1:9193", grpc: Some("127.0.0.1:9194"), flags: &[] },
    Member { name: "w", http: "127.0.0.1:9293", grpc: Some("127.0.0.1:9294"), flags: &["--role=witness"] },
    Member { name: "agent", http: "127.0.0.1:9090", grpc: None, flags: &["--web.enable-lifecycle"] },
];

/// Runs until Ctrl-C.
pub(crate) async fn run(flags: DemoFlags) -> Result<()> {
    let dir = prepare(&flags.dir)?;
    let tasks = Tasks::new();
    free_ports(&tasks).await?;
    sink(&tasks).await?;
    let mut children = Vec::new();
    for member in &MEMBERS {
        children.push((member.name, start(member, &flags.agent, &dir)?));
    }
    say(&dir);
    wait(&mut children, &dir).await?;
    stop(&mut children).await;
    // The sink ends with this process; its last page has been printed.
    let _ = tasks.shutdown(Duration::from_millis(500)).await;
    Ok(())
}

fn prepare(dir: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(dir.join("targets")).with_context(|| dir.display().to_string())?;
    for (name, content) in FILES {
        let path = dir.join(name);
        if !path.exists() {
            std::fs::write(&path, content).with_context(|| path.display().to_string())?;
        }
    }
    dir.canonicalize().with_context(|| dir.display().to_string())
}

/// Names the owner of a port before anything is started.
async fn free_ports(tasks: &Tasks) -> Result<()> {
    let grpc = MEMBERS.iter().filter_map(|member| member.grpc);
    let all = MEMBERS.iter().map(|member| member.http).chain(grpc).chain([SINK]);
    let listen: Vec<SocketAddr> =
        all.map(str::parse).collect::<Result<_, _>>().context("the demo's own addresses")?;
    let ui = UiInfo { binary: "demo".to_owned(), pages: Vec::new() };
    let registry = telemetry::Registry::new();
    // Bound and let go at once: the error of a taken port names its owner.
    let bound =
        WebServer::bind(WebOptions::new(listen, ui), Router::new(), &tasks.child(), &registry).await?;
    drop(bound);
    Ok(())
}

async fn sink(tasks: &Tasks) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(SINK).await.with_context(|| SINK.to_owned())?;
    let router = Router::new().route("/", post(print_page));
    let stop = tasks.token();
    tasks.spawn(async move {
        let server = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the webhook sink ended");
        }
    });
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the demo's purpose is to show pages")]
async fn print_page(body: String) {
    let page: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let status = page["status"].as_str().unwrap_or("?").to_uppercase();
    println!("PAGE {status} {}", page["groupKey"].as_str().unwrap_or(""));
    for alert in page["alerts"].as_array().into_iter().flatten() {
        let labels = alert["labels"].as_object().into_iter().flatten();
        let shown: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
        let summary = alert["annotations"]["summary"].as_str().unwrap_or("");
        println!("     {:8} {}  {summary}", alert["status"].as_str().unwrap_or("?"), shown.join(" "));
    }
}

fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}

fn start(member: &Member, agent: &Path, dir: &Path) -> Result<Child> {
    let (program, config) = match member.grpc {
        Some(_) => (std::env::current_exe().context("this program's own path")?, "federation.yml"),
        None => (agent.to_path_buf(), "agent.yml"),
    };
    let path = log(dir, member.name);
    let out = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    let mut command = Command::new(&program);
    command
        .arg("run")
        .arg(format!("--config.file={}", dir.join(config).display()))
        .arg(format!("--storage.tsdb.path={}", dir.join(format!("data-{}", member.name)).display()))
        .arg(format!("--web.listen-address={}", member.http))
        .arg(format!("--web.external-url=http://{}", member.http))
        .args(member.flags)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        // Ctrl-C reaches this process alone, which then stops the others in order.
        .process_group(0)
        .kill_on_drop(true);
    if let Some(grpc) = member.grpc {
        command.arg(format!("--node-name={}", member.name)).arg(format!("--grpc.listen-address={grpc}"));
    }
    command.spawn().with_context(|| program.display().to_string())
}

#[allow(clippy::print_stdout, reason = "the URLs are what the operator needs next")]
fn say(dir: &Path) {
    println!("Vedette runs. Ctrl-C stops all of it; state stays in {}.", dir.display());
    println!("  agent on this host   http://127.0.0.1:9090/graph");
    println!("  replica a            http://127.0.0.1:9093/alerts");
    println!("  replica b            http://127.0.0.1:9193/alerts");
    println!("  witness              http://127.0.0.1:9293/cluster");
    println!("  configuration, logs  {}", dir.display());
    println!("Pages that arrive at the webhook are printed below. The tour is in README.md.");
}

/// Waits for Ctrl-C or SIGTERM. A process that ends by itself, or is killed to see what happens, is
/// named; the others go on, as they would on machines of their own.
#[allow(clippy::print_stdout, reason = "the operator is told")]
async fn wait(children: &mut [(&'static str, Child)], dir: &Path) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut ends: FuturesUnordered<_> =
        children.iter_mut().map(|(name, child)| async move { (*name, child.wait().await) }).collect();
    let mut left = ends.len();
    while left > 0 {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            Some((name, status)) = ends.next() => {
                left -= 1;
                let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                println!("{name} ended ({how}); its log is {}", log(dir, name).display());
            }
        }
    }
    bail!("every process has ended")
}

/// SIGTERM to all, the agent first; SIGKILL to what is left at the deadline.
async fn stop(children: &mut [(&'static str, Child)]) {
    for (_, child) in children.iter().rev() {
        if let Some(id) =
            child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            // It may have ended already.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
    }
    let all = futures_util::future::join_all(children.iter_mut().map(|(_, child)| child.wait()));
    if tokio::time::timeout(STOP, all).await.is_err() {
        for (name, child) in children {
            if matches!(child.try_wait(), Ok(None)) {
                tracing::warn!(name, "did not stop in time and is killed");
                let _ = child.kill().await;
            }
        }
    }
}
