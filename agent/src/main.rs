//! `vedette-agent`: everything that one host needs: scrapes and watches it, stores, answers queries,
//! evaluates rules, sends alerts, and ships its log to a federation when there is one.

mod cmd;
mod names;
mod reload;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vedette_agent::{cli, heap};

/// One that says what it holds.
#[global_allocator]
static ALLOCATOR: heap::Allocator = heap::Allocator;

/// Vedette's agent: one host's metrics, rules and alerts, with Prometheus's files, flags and API.
#[derive(Parser, Debug)]
#[command(name = "vedette-agent", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the agent.
    Run(Box<cmd::run::RunFlags>),
    /// Check files without running anything.
    #[command(subcommand)]
    Check(cmd::check::CheckCommand),
    /// Run test scripts.
    #[command(subcommand)]
    Test(cmd::test::TestCommand),
    /// Prometheus's promtool, with its own syntax; a symlink of that name to this program does the same.
    Promtool(Box<cmd::promtool::Call>),
    /// Look into a store that nobody runs on, or into a snapshot.
    #[command(subcommand)]
    Tsdb(cmd::tsdb::TsdbCommand),
}

fn main() -> ExitCode {
    let arguments = match names::read(std::env::args_os().collect()) {
        names::Name::Own(arguments) => arguments,
        names::Name::Promtool(arguments) => return names::promtool(arguments),
    };
    let (Cli { command }, shown) = cli::parse_from(arguments);
    cli::exit(match command {
        Command::Run(run) => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(anyhow::Error::new)
            .and_then(|runtime| runtime.block_on(cmd::run::run(*run, shown))),
        Command::Promtool(call) => cmd::promtool::run(&call),
        Command::Check(check) => cmd::check::check(&check),
        Command::Test(test) => cmd::test::test(&test),
        Command::Tsdb(tsdb) => cmd::tsdb::tsdb(&tsdb),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
