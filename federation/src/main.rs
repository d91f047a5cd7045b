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
mod reached;
mod reload;
mod roles;
mod run;
mod settings;
mod to_pair;
mod watchers;

use std::process::ExitCode;

use agent::{cli, heap};
use clap::{Parser, Subcommand};

/// One that says what it holds.
#[global_allocator]
static ALLOCATOR: heap::Allocator = heap::Allocator;

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
    let (Cli { command }, shown) = cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    cli::exit(runtime.map_err(anyhow::Error::new).and_then(|runtime| {
        runtime.block_on(async {
            match command {
                Command::Run(run) => cmd::run::run(*run, shown).await,
                Command::Check(check) => cmd::check::check(&check),
                Command::Cluster { node, command } => cmd::cluster::cluster(&node, command).await,
                Command::Agents { node, command } => cmd::cluster::agents(&node, command).await,
                Command::Demo(demo) => cmd::demo::run(demo).await,
            }
        })
    }))
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
