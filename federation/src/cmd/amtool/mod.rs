//! `amtool`: Alertmanager's tool by its own syntax, under that name (`argv[0]`, a symlink will do) and as
//! subcommands. What it prints and its exit codes are amtool's.

mod alert;
mod check_config;
mod http;
mod import;
mod input;
mod routes;
mod show;
mod silence;
mod silence_add;
mod spec;
mod status;
mod table;
mod template;
mod views;

use std::io::Write as _;
use std::process::ExitCode;

use agent::cli::Quiet;
use alertmanager::STANDS_IN_FOR;
use anyhow::Result;

pub(crate) use input::matcher_mode;

use crate::kingpin::{self, Asked, Call};

/// A failure that ends with one line break; amtool's others end with two.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Plain(String);

fn plain(text: impl Into<String>) -> anyhow::Error {
    Plain(text.into()).into()
}

/// Runs the words after the program's name.
pub(crate) async fn run(words: Vec<String>) -> ExitCode {
    agent::cli::choose_tls();
    let outcome = match call(words) {
        Ok(Some(call)) => execute(&call).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    outcome.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

#[allow(clippy::print_stderr, reason = "the last words of a command")]
fn fail(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref() {
        Some(Quiet(code)) => return ExitCode::from(*code),
        None if error.is::<Plain>() => eprintln!("amtool: error: {error}"),
        None => eprintln!("amtool: error: {error:#}\n"),
    }
    ExitCode::FAILURE
}

/// Prints to standard output. Nobody reads on where that fails.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Warns on standard error.
fn warn(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Reads the line; `None` where it asked for words alone.
fn call(words: Vec<String>) -> Result<Option<Call>> {
    let file = input::defaults().map_err(|why| anyhow::anyhow!("could not load config file: {why}"))?;
    let mut call = kingpin::read(&spec::AMTOOL, words).map_err(anyhow::Error::msg)?;
    call.take_defaults(&file);
    if call.asked == Some(Asked::Version) {
        say(&version("amtool"));
        return Ok(None);
    }
    let command = call.command();
    if call.asked == Some(Asked::Help) || command.is_empty() {
        say(&kingpin::usage(&call.path));
        return Ok(None);
    }
    call.check().map_err(anyhow::Error::msg)?;
    let asks = matches!(command[0], "alert" | "silence" | "cluster") || command == ["config", "show"];
    if asks && call.text("alertmanager.url").is_none() {
        return Err(plain("required flag --alertmanager.url not provided"));
    }
    Ok(Some(call))
}

async fn execute(call: &Call) -> Result<()> {
    let mode = matcher_mode(call.text("enable-feature").unwrap_or_default())?;
    match call.command().as_slice() {
        ["alert", "query"] => alert::query(call, mode).await,
        ["alert", "add"] => alert::add(call, mode).await,
        ["silence", "query"] => silence::query(call, mode).await,
        ["silence", "add"] => silence_add::add(call, mode).await,
        ["silence", "expire"] => silence::expire(call).await,
        ["silence", "update"] => silence::update(call).await,
        ["silence", "import"] => import::import(call).await,
        ["check-config"] => check_config::check(&call.positional, mode),
        ["cluster", "show"] => status::cluster(call).await,
        ["config", "show"] => status::config(call).await,
        ["config", "routes", "show"] => routes::show(call, mode).await,
        ["config", "routes", "test"] => routes::test(call, mode).await,
        ["template", "render"] => template::render(call),
        other => Err(anyhow::anyhow!("no command {}", other.join(" "))),
    }
}

/// What `--version` prints.
pub(crate) fn version(program: &str) -> String {
    format!(
        "{program}, version {STANDS_IN_FOR} (branch: HEAD, revision: vedette-{})\n  build user:       vedette\n  build date:       \n  go version:       none\n  platform:         {}/{}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}
