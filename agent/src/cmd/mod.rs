//! The subcommands, one file each.

pub(crate) mod check;
pub(crate) mod run;

use std::process::ExitCode;

/// A configuration is wrong: exit code 2, as for wrong flags.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongConfig(pub(crate) String);

/// Says why a command failed, and chooses its exit code.
#[allow(clippy::print_stderr, reason = "the last words of a command")]
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("{error:#}");
    if error.is::<WrongConfig>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
