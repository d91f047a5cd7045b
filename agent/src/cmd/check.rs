//! `check`: configuration, rule and web-config files, without running anything.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Subcommand;
use vedette_agent::check;
use vedette_agent::cli::WrongConfig;

/// What a file is worth, in a sentence; or everything that is wrong with it.
type Check = fn(&Path) -> Result<String, String>;

#[derive(Subcommand, Debug)]
pub(crate) enum CheckCommand {
    /// A prometheus.yml with the rule files that it names.
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
    /// Web-config files: TLS, headers, users.
    WebConfig {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
pub(crate) fn check(command: &CheckCommand) -> Result<()> {
    let (files, one): (_, Check) = match command {
        CheckCommand::Config { files } => (files, check::config),
        CheckCommand::Rules { files } => (files, check::rules),
        CheckCommand::WebConfig { files } => (files, web_config),
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

fn web_config(path: &Path) -> Result<String, String> {
    web::check_web_config(path).map(|()| "valid".to_owned()).map_err(|error| error.to_string())
}
