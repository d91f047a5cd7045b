//! `vedette-federation`: replica pairs that receive every agent's samples, repair each other, answer
//! queries, evaluate rules, and deliver alerts through an alertmanager that raft coordinates.

mod admin;
mod agents_up;
mod cmd;
mod consensus;
mod grpc;
mod marks;
mod members;
mod pair_rules;
mod reload;
mod roles;
mod run;
mod settings;
mod watchers;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// Vedette's federation: replica pairs, global alerts.
#[derive(Parser, Debug)]
#[command(name = "vedette-federation", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run this node: replica or witness.
    Run(Box<cmd::run::RunFlags>),
    /// Check files without running anything.
    #[command(subcommand)]
    Check(cmd::check::CheckCommand),
    /// Ask a node about its cluster, or change its members.
    Cluster {
        #[command(flatten)]
        node: cmd::cluster::Node,
        #[command(subcommand)]
        command: cmd::cluster::ClusterCommand,
    },
    /// Agents that the pair knows.
    Agents {
        #[command(flatten)]
        node: cmd::cluster::Node,
        #[command(subcommand)]
        command: cmd::cluster::AgentsCommand,
    },
    /// Run everything on this machine, as `make run` does.
    Demo(cmd::demo::DemoFlags),
}

fn main() -> ExitCode {
    // Before any TLS: every part then agrees on one provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let flags = matches
        .subcommand()
        .and_then(|(name, matches)| Some(agent::flags::shown(Cli::command().find_subcommand(name)?, matches)))
        .unwrap_or_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cmd::failed(&anyhow::Error::new(error)),
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Run(run) => cmd::run::run(*run, flags).await,
            Command::Check(check) => cmd::check::check(&check),
            Command::Cluster { node, command } => cmd::cluster::cluster(&node, command).await,
            Command::Agents { node, command } => cmd::cluster::agents(&node, command).await,
            Command::Demo(demo) => cmd::demo::run(demo).await,
        }
    });
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
