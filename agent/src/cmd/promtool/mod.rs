//! `promtool`: Prometheus's tool by its own syntax, under that name (`argv[0]`, a symlink will do) and as a subcommand.
//! What is not there says so; exit codes are promtool's: 1 failed, 3 lint.

mod analyze;
mod check;
mod debug;
mod discovered;
mod http;
mod lint;
mod metrics;
mod promql;
mod push;
mod query;
mod tsdb;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};
use vedette_agent::cli::Quiet;
use vedette_agent::flags::FeatureFlags;

use super::test::TestRules;

/// A lint found something.
const LINT: u8 = 3;

/// Tooling for the Prometheus monitoring system, by Vedette.
#[derive(Parser, Debug)]
#[command(name = "promtool", version)]
pub(crate) struct Promtool {
    #[command(flatten)]
    pub(crate) call: Call,
}

#[derive(Args, Debug)]
pub(crate) struct Call {
    /// Enable experimental commands.
    #[arg(long, global = true)]
    experimental: bool,
    /// Comma separated feature names to enable, those of the language.
    #[arg(long = "enable-feature", value_name = "FEATURE", global = true)]
    features: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Check the resources for validity.
    #[command(subcommand)]
    Check(check::Check),
    /// Run query against a Prometheus server.
    Query(query::QueryFlags),
    /// Fetch debug information.
    #[command(subcommand)]
    Debug(debug::Debug),
    /// Push to a Prometheus server.
    Push(push::PushFlags),
    /// Unit testing.
    Test(TestFlags),
    /// Run tsdb commands.
    #[command(subcommand)]
    Tsdb(tsdb::Tsdb),
    /// PromQL formatting and editing. Requires the --experimental flag.
    #[command(subcommand)]
    Promql(promql::Promql),
}

#[derive(Args, Debug)]
struct TestFlags {
    /// File path to store JUnit XML test results.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(subcommand)]
    command: Test,
}

#[derive(Subcommand, Debug)]
enum Test {
    /// Unit tests for rules.
    Rules(Box<TestRules>),
}

/// `--enable-feature`, before anything is parsed.
#[allow(clippy::print_stdout, reason = "promtool warns there")]
fn enable(features: &FeatureFlags) {
    features.enable();
    for feature in features.unknown() {
        println!("  WARNING: Unknown option for --enable-feature: {feature:?}");
    }
}

/// Where a command asks, and how.
#[derive(Args, Clone, Debug)]
struct HttpConfig {
    /// HTTP client configuration file for promtool to connect to Prometheus.
    #[arg(long = "http.config.file", value_name = "FILENAME", global = true)]
    http_config: Option<PathBuf>,
}

/// Runs a command.
///
/// # Errors
/// When it fails; what was wrong was said, or is the error's text.
pub(crate) fn run(call: &Call) -> Result<()> {
    let features = FeatureFlags::of(&call.features.join(","));
    enable(&features);
    match &call.command {
        Command::Check(check) => check::run(check),
        Command::Query(flags) => query::run(flags),
        Command::Debug(debug) => debug::run(debug),
        Command::Push(push) => push::run(push),
        Command::Test(TestFlags { junit, command: Test::Rules(flags) }) => {
            super::test::rules(flags, &features, junit.as_deref())
        }
        Command::Tsdb(tsdb) => tsdb::run(tsdb),
        Command::Promql(_) if !call.experimental => {
            bail!("This command is experimental and requires the --experimental flag to be set.")
        }
        Command::Promql(command) => promql::run(command),
    }
}

/// A file that is there.
fn existing(text: &str) -> std::result::Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.exists() { Ok(path) } else { Err(format!("path '{text}' does not exist")) }
}

/// Failed, and said why.
fn failed(code: u8) -> anyhow::Error {
    Quiet(code).into()
}
