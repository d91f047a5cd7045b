//! `vedette-federation`: replica pairs that receive every agent's samples, repair each other, answer
//! queries, evaluate rules, and deliver alerts through an alertmanager that raft coordinates.

mod admin;
mod agents_up;
mod alone;
mod cmd;
mod consensus;
mod grpc;
mod kingpin;
mod marks;
mod members;
mod names;
mod pair_rules;
mod reached;
mod reload;
mod roles;
mod run;
mod settings;
mod to_pair;
mod watchers;

use std::collections::BTreeMap;
use std::process::ExitCode;

use agent::{cli, heap};
use clap::{Parser, Subcommand};
use cmd::cluster::ClusterCommand;

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
        command: ClusterCommand,
    },
    /// Agents that the pair knows.
    Agents {
        #[command(flatten)]
        node: cmd::cluster::Node,
        #[command(subcommand)]
        command: cmd::cluster::AgentsCommand,
    },
    /// Show or send alerts, as amtool's `alert`.
    #[command(disable_help_flag = true)]
    Alert(Words),
    /// Show, make, change or end silences, as amtool's `silence`.
    #[command(disable_help_flag = true)]
    Silence(Words),
    /// Check alertmanager.yml files, as amtool's `check-config`.
    #[command(disable_help_flag = true)]
    CheckConfig(Words),
    /// The alertmanager's configuration and routes, as amtool's `config`.
    #[command(disable_help_flag = true)]
    Config(Words),
    /// Render templates, as amtool's `template`.
    #[command(disable_help_flag = true)]
    Template(Words),
    /// Run everything on this machine, as `make run` does.
    Demo(cmd::demo::DemoFlags),
}

/// What amtool reads by itself.
#[derive(clap::Args, Debug)]
struct Words {
    /// See --help.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    words: Vec<String>,
}

impl Words {
    async fn run(self, command: &[&str]) -> ExitCode {
        let command = command.iter().map(|word| (*word).to_owned());
        Box::pin(cmd::amtool::run(command.chain(self.words).collect())).await
    }
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::exit(Err(error.into())),
    };
    match names::read(std::env::args_os().collect()) {
        names::Name::Own(arguments) => {
            let (Cli { command }, shown) = cli::parse_from(arguments);
            runtime.block_on(run(command, shown))
        }
        names::Name::Amtool(words) => runtime.block_on(cmd::amtool::run(words)),
        names::Name::Alertmanager(words) => runtime.block_on(cmd::alertmanager::run(words)),
    }
}

async fn run(command: Command, shown: BTreeMap<String, String>) -> ExitCode {
    cli::exit(match command {
        Command::Run(run) => Box::pin(cmd::run::run(*run, shown)).await,
        Command::Check(check) => cmd::check::check(&check),
        Command::Cluster { command: ClusterCommand::Show(words), .. } => {
            return words.run(&["cluster", "show"]).await;
        }
        Command::Cluster { node, command } => cmd::cluster::cluster(&node, command).await,
        Command::Agents { node, command } => cmd::cluster::agents(&node, command).await,
        Command::Demo(demo) => Box::pin(cmd::demo::run(demo)).await,
        Command::Alert(words) => return words.run(&["alert"]).await,
        Command::Silence(words) => return words.run(&["silence"]).await,
        Command::CheckConfig(words) => return words.run(&["check-config"]).await,
        Command::Config(words) => return words.run(&["config"]).await,
        Command::Template(words) => return words.run(&["template"]).await,
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
