//! `vedette-agent`: everything that one host needs: scrapes and watches it, stores, answers queries,
//! evaluates rules, sends alerts, and ships its log to a federation when there is one.

mod cmd;
mod reload;
mod run;

use std::process::ExitCode;

use agent::flags;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use vedette_agent as agent;

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
}

fn main() -> ExitCode {
    // Before any TLS: every part then agrees on one provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let shown = matches
        .subcommand()
        .and_then(|(name, matches)| Some(flags::shown(Cli::command().find_subcommand(name)?, matches)))
        .unwrap_or_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cmd::failed(&anyhow::Error::new(error)),
    };
    let outcome = match cli.command {
        Command::Run(run) => runtime.block_on(cmd::run::run(*run, shown)),
        Command::Check(check) => cmd::check::check(&check),
    };
    outcome.map_or_else(|error| cmd::failed(&error), |()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
