//! Hosts to be scraped: pages of real exporters, the same for everybody who asks within a scrape interval.
//!
//! `fleet serve` serves them, `fleet config` prints what scrapes them, `fleet page` shows one, `fleet write` makes
//! files of remote-write requests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use env::SystemClock;
use tokio::net::TcpListener;
use vedette_benches::fleet::{Fleet, FleetFlags, Server, WriteRequests, prometheus_yml};

/// Hosts to be scraped: pages of real exporters, the same for everybody who asks within an interval.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    fleet: FleetFlags,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the hosts at `/h/N/metrics` until told to stop.
    Serve {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:9900")]
        listen: SocketAddr,
        /// Never compress, whatever a scraper accepts.
        #[arg(long)]
        plain: bool,
        /// Keep the targets in this file for `file_sd_configs`; it follows the churn of labels.
        #[arg(long, value_name = "FILE")]
        targets: Option<PathBuf>,
    },
    /// Print a prometheus.yml that scrapes the hosts of `fleet serve`.
    Config {
        /// Where `fleet serve` listens.
        #[arg(long, default_value = "127.0.0.1:9900")]
        listen: SocketAddr,
        /// Name the file of `fleet serve --targets` instead of listing the targets.
        #[arg(long, value_name = "FILE")]
        targets: Option<PathBuf>,
    },
    /// Print one host's page at one slot.
    Page {
        /// Which host, from 0.
        host: usize,
        /// Which slot, from 0.
        slot: u64,
    },
    /// Write remote-write 1 requests, one file a host and slot, in order of their names.
    Write {
        /// The folder; created where missing.
        #[arg(long)]
        out: PathBuf,
        /// How many slots.
        #[arg(long, default_value_t = 10)]
        slots: u64,
    },
}

const HOSTS: usize = 100;
const INTERVAL: Duration = Duration::from_secs(15);

#[allow(clippy::print_stderr, reason = "why it stopped")]
fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "what was asked for")]
fn run(cli: &Cli) -> Result<()> {
    let plan = cli.fleet.plan(HOSTS, INTERVAL);
    match &cli.command {
        Command::Serve { listen, plain, targets } => {
            let server = Server::new(Fleet::new(plan), SystemClock::shared(), *plain);
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(serve(server, *listen, targets.as_deref()))
        }
        Command::Config { listen, targets } => {
            let file = targets.as_ref().map(|file| file.display().to_string());
            print!("{}", prometheus_yml(&plan, &listen.to_string(), file.as_deref()));
            Ok(())
        }
        Command::Page { host, slot } => {
            let Some(page) = Fleet::new(plan).page(*host, *slot) else {
                bail!("host {host} does not answer at slot {slot}")
            };
            print!("{}", String::from_utf8_lossy(page.body()));
            Ok(())
        }
        Command::Write { out, slots } => {
            let (requests, samples) = write(&Fleet::new(plan), out, *slots)?;
            println!("{requests} requests with {samples} samples in {}", out.display());
            Ok(())
        }
    }
}

async fn serve(server: Server, listen: SocketAddr, targets: Option<&Path>) -> Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
    tokio::select! {
        served = server.serve(listener, targets) => Ok(served?),
        stop = tokio::signal::ctrl_c() => Ok(stop?),
    }
}

fn write(fleet: &Fleet, out: &Path, slots: u64) -> Result<(usize, usize)> {
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let (mut requests, mut count, mut samples) = (WriteRequests::new(fleet), 0, 0);
    for (slot, host) in (0..slots).flat_map(|slot| (0..fleet.plan().hosts).map(move |host| (slot, host))) {
        let Some(body) = requests.request(host, slot) else { continue };
        let path = out.join(format!("{slot:08}-{host:06}.snappy"));
        std::fs::write(&path, &body.body).with_context(|| path.display().to_string())?;
        (count, samples) = (count + 1, samples + body.samples);
    }
    Ok((count, samples))
}
