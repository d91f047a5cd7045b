//! `check`: configuration, rules and alertmanager files, without running anything.

use std::path::{Path, PathBuf};

use agent::cli::WrongConfig;
use alertmanager::config::AlertmanagerConfig;
use alertmanager::matcher::MatcherMode;
use anyhow::Result;
use clap::Subcommand;
use config::Config;
use env::SystemClock;
use integrations::Context;

/// What a file is worth, in a sentence; or everything that is wrong with it.
type Check = fn(&Path) -> Result<String, String>;

#[derive(Subcommand, Debug)]
pub(crate) enum CheckCommand {
    /// A node's configuration with the rule files and the alertmanager.yml that it names.
    Config {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Rule files.
    Rules {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Alertmanager's own configuration files.
    AlertmanagerConfig {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
pub(crate) fn check(command: &CheckCommand) -> Result<()> {
    let (files, one): (_, Check) = match command {
        CheckCommand::Config { files } => (files, node),
        CheckCommand::Rules { files } => (files, agent::check::rules),
        CheckCommand::AlertmanagerConfig { files } => (files, alertmanager),
    };
    let mut wrong = Vec::new();
    for file in files {
        match one(file) {
            Ok(what) => println!("{}: {what}", file.display()),
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(WrongConfig(wrong.join("\n")).into()) }
}

fn node(path: &Path) -> Result<String, String> {
    let found = agent::check::config(path)?;
    let loaded = Config::load(path).map_err(|errors| errors.to_string())?;
    match &loaded.vedette.federation.alertmanager_config {
        Some(file) => Ok(format!("{found}; {}: {}", file.display(), alertmanager(file)?)),
        None => Ok(found),
    }
}

fn alertmanager(path: &Path) -> Result<String, String> {
    let loaded =
        AlertmanagerConfig::load(path, MatcherMode::default()).map_err(|errors| errors.to_string())?;
    let mut said =
        format!("valid, {} receivers, {} inhibit rules", loaded.receivers.len(), loaded.inhibit_rules.len());
    // Templates, URLs and certificates of every receiver, also of one that no route names.
    let context = Context::load(&loaded.templates, SystemClock::shared())?;
    for receiver in &loaded.receivers {
        integrations::build(receiver, &context).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    for place in loaded.unsupported() {
        said.push_str(&format!("\n  {place}"));
    }
    Ok(said)
}
