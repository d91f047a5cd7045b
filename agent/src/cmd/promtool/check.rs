//! `check`: files, metrics, servers, with promtool's words and exit codes.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use client::{Auth, HttpClientConfig, Source};
use config::{Config, Loaded, load_rules_with, parse_rules};
use model::NameValidation;
use rules::RuleGroup;
use yaml::View;

use super::http::Server;
use super::lint::{Lint, LintFlags};
use super::{HttpConfig, LINT, discovered, existing, failed, metrics};

#[derive(Subcommand, Debug)]
pub(super) enum Check {
    /// Check if the config files are valid or not.
    Config(CheckConfig),
    /// Check if the rule files are valid or not.
    Rules(CheckRules),
    /// Pass Prometheus metrics over stdin to lint them for consistency and correctness.
    Metrics {
        /// Print extended information related to the cardinality of the metrics.
        #[arg(long)]
        extended: bool,
    },
    /// Check if the web config files are valid or not.
    WebConfig {
        /// The config files to check.
        #[arg(required = true, value_parser = existing)]
        files: Vec<PathBuf>,
    },
    /// Check if the Prometheus server is healthy.
    Healthy(ServerFlags),
    /// Check if the Prometheus server is ready.
    Ready(ServerFlags),
    /// Perform service discovery for the given job name and report the results, including relabeling. Static
    /// targets and files are read at once.
    ServiceDiscovery {
        /// The prometheus config file.
        #[arg(value_parser = existing)]
        config_file: PathBuf,
        /// The job to run service discovery for.
        job: String,
    },
}

#[derive(Args, Debug)]
pub(super) struct CheckConfig {
    /// The config files to check.
    #[arg(required = true, value_parser = existing)]
    files: Vec<PathBuf>,
    /// Only check the config file syntax, ignoring file and content validation referenced in the config.
    #[arg(long)]
    syntax_only: bool,
    /// Linting checks to apply to the rules and scrape configs specified in the config: all, duplicate-rules, none,
    /// too-long-scrape-interval.
    #[arg(long, default_value = "duplicate-rules")]
    lint: String,
    /// Make lint errors exit with exit code 3.
    #[arg(long)]
    lint_fatal: bool,
    /// Ignore unknown fields in the rule groups read by the config files.
    #[arg(long)]
    ignore_unknown_fields: bool,
    /// Check config file for Prometheus in Agent mode.
    #[arg(long)]
    agent: bool,
    /// The server's maximum query lookback duration, for too-long-scrape-interval.
    #[arg(long = "query.lookback-delta", default_value = "5m", value_parser = vedette_agent::flags::duration)]
    lookback_delta: Duration,
}

#[derive(Args, Debug)]
pub(super) struct CheckRules {
    /// The rule files to check, default is read from standard input.
    #[arg(value_parser = existing)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    lint: LintFlags,
    /// Ignore unknown fields in the rule files.
    #[arg(long)]
    ignore_unknown_fields: bool,
}

#[derive(Args, Debug)]
pub(super) struct ServerFlags {
    #[command(flatten)]
    http: HttpConfig,
    /// The URL for the Prometheus server.
    #[arg(long, default_value = "http://localhost:9090")]
    url: String,
}

/// What checking several things came to.
#[derive(Clone, Copy, Debug, Default)]
struct Verdict {
    errors: bool,
    lints: bool,
}

impl Verdict {
    fn exit(self, lint: &Lint) -> Result<()> {
        match self {
            Self { errors: true, .. } => Err(failed(1)),
            Self { lints: true, .. } if lint.fatal => Err(failed(LINT)),
            _ => Ok(()),
        }
    }
}

pub(super) fn run(check: &Check) -> Result<()> {
    match check {
        Check::Config(flags) => configs(flags),
        Check::Rules(flags) => rules(flags),
        Check::Metrics { extended } => metrics::check(*extended),
        Check::WebConfig { files } => web_configs(files),
        Check::Healthy(flags) => server(flags, "/-/healthy"),
        Check::Ready(flags) => server(flags, "/-/ready"),
        Check::ServiceDiscovery { config_file, job } => discovered::check(config_file, job),
    }
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "promtool's words")]
fn configs(flags: &CheckConfig) -> Result<()> {
    let lint = Lint::new(&flags.lint, flags.lint_fatal, true);
    let mut verdict = Verdict::default();
    for file in &flags.files {
        println!("Checking {}", file.display());
        let paths = match config(file, flags) {
            Err(error) => {
                eprintln!("  FAILED: {error:#}");
                verdict.errors = true;
                Vec::new()
            }
            Ok(loaded) => {
                let long = lint.long_intervals(&loaded, flags.lookback_delta);
                if long.is_empty() {
                    accepted(file, &loaded, flags.syntax_only)
                } else {
                    verdict.lints = true;
                    eprintln!("  FAILED: {}", long.join("\n"));
                    Vec::new()
                }
            }
        };
        println!();
        for path in paths {
            println!("Checking {}", path.display());
            let groups = load_rules_with(&path, NameValidation::Utf8, flags.ignore_unknown_fields);
            said(groups.map_err(|errors| errors.to_string()), &lint, &mut verdict);
        }
    }
    verdict.exit(&lint)
}

/// Says that a file is good; gives the rule files that are to be checked next.
#[allow(clippy::print_stdout, reason = "promtool's words")]
fn accepted(file: &Path, loaded: &Loaded, syntax_only: bool) -> Vec<PathBuf> {
    let paths = if syntax_only { Vec::new() } else { loaded.rule_paths() };
    if !paths.is_empty() {
        println!("  SUCCESS: {} rule files found", paths.len());
    }
    for place in loaded.unsupported().iter().chain(loaded.moot()) {
        println!("  WARNING: {place}");
    }
    println!(" SUCCESS: {} is valid prometheus config file syntax", file.display());
    paths
}

fn config(file: &Path, flags: &CheckConfig) -> Result<Loaded> {
    let loaded = Config::load(file)?;
    if flags.agent {
        agent_mode(file)?;
    }
    if !flags.syntax_only {
        loaded.check_files()?;
        for job in &loaded.scrape_configs {
            credentials(&job.http)?;
            file_sd(job)?;
        }
    }
    Ok(loaded)
}

/// Prometheus's agent has no rules, no alerts, and nothing to read from.
fn agent_mode(file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let root = yaml::parse(&std::sync::Arc::from(&*file.to_string_lossy()), &text)?;
    let view = View::of(&root);
    for key in ["alerting", "rule_files", "remote_read"] {
        if view.has(key) {
            bail!("field {key} is not allowed in agent mode");
        }
    }
    if view.items("remote_write").is_empty() {
        bail!("at least one remote_write target must be specified in agent mode");
    }
    Ok(())
}

fn credentials(http: &HttpClientConfig) -> Result<()> {
    let exists = |what: &str, source: &Source| match source {
        Source::File(path) => match std::fs::metadata(path) {
            Err(error) => bail!("error checking {what} {:?}: {error}", path.display().to_string()),
            Ok(_) => Ok(()),
        },
        Source::Inline(_) => Ok(()),
    };
    if let Some(Auth::Header { credentials, .. }) = &http.auth {
        exists("authorization credentials or bearer token file", credentials)?;
    }
    if let Some((cert, key)) = &http.tls.identity {
        exists("client cert file", cert)?;
        exists("client key file", key)?;
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "promtool warns there")]
fn file_sd(job: &scrape::ScrapeConfig) -> Result<()> {
    for pattern in job.discovery.files.iter().flat_map(|files| files.files()) {
        let found = discovery::target_files(pattern);
        if found.is_empty() {
            let (file, job) = (pattern.display().to_string(), &job.job_name);
            println!("  WARNING: file {file:?} for file_sd in scrape job {job:?} does not exist");
        }
        for path in found {
            if let Err(error) = discovery::read_target_file(&path) {
                bail!("checking SD file {:?}: {error}", path.display().to_string());
            }
        }
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "promtool's words")]
fn rules(flags: &CheckRules) -> Result<()> {
    let lint = Lint::new(&flags.lint.lint, flags.lint.lint_fatal, false);
    let mut verdict = Verdict::default();
    if flags.files.is_empty() {
        println!("Checking standard input");
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        let groups = parse_rules(&text, Path::new("-"), NameValidation::Utf8);
        said(groups.map_err(|errors| errors.to_string()), &lint, &mut verdict);
    }
    for file in &flags.files {
        println!("Checking {}", file.display());
        let groups = load_rules_with(file, NameValidation::Utf8, flags.ignore_unknown_fields);
        said(groups.map_err(|errors| errors.to_string()), &lint, &mut verdict);
    }
    verdict.exit(&lint)
}

/// Says what a rule file is worth.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "promtool's words")]
fn said(groups: Result<Vec<RuleGroup>, String>, lint: &Lint, verdict: &mut Verdict) {
    let groups = match groups {
        Ok(groups) => groups,
        Err(error) => {
            eprintln!("  FAILED:\n{error}");
            verdict.errors = true;
            return;
        }
    };
    match lint.duplicates(&groups) {
        Some(what) => {
            eprintln!("  FAILED:\n{what}");
            verdict.lints = true;
        }
        None => {
            println!("  SUCCESS: {} rules found", groups.iter().map(|group| group.rules.len()).sum::<usize>())
        }
    }
    println!();
}

#[allow(clippy::print_stderr, reason = "promtool's words")]
fn web_configs(files: &[PathBuf]) -> Result<()> {
    let mut wrong = false;
    for file in files {
        match web::check_web_config(file) {
            Ok(()) => eprintln!("{} SUCCESS", file.display()),
            Err(error) => {
                eprintln!("{} FAILED: {error}", file.display());
                wrong = true;
            }
        }
    }
    if wrong { Err(failed(1)) } else { Ok(()) }
}

#[allow(clippy::print_stderr, reason = "promtool's words")]
fn server(flags: &ServerFlags, path: &str) -> Result<()> {
    let response = Server::new(&flags.url, &flags.http, &[])?.get(path, Duration::from_secs(10))?;
    if response.status != http::StatusCode::OK {
        bail!("check failed: URL={}, status={}", flags.url, response.status.as_u16());
    }
    eprintln!("  SUCCESS:  {}", String::from_utf8_lossy(&response.body));
    Ok(())
}
