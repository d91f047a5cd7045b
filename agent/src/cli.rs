//! What both programs do between their command line and a subcommand.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::flags;

/// A configuration is wrong: exit code 2, as for wrong flags.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongConfig(pub String);

/// A command failed and has said why: only its exit code is left to give.
#[derive(Debug, thiserror::Error)]
#[error("exit code {0}")]
pub struct Quiet(pub u8);

/// Reads the command line, or explains it and exits; also gives the subcommand's flags as they were
/// called, defaults included, for the status page.
#[must_use]
pub fn parse<C: Parser>() -> (C, BTreeMap<String, String>) {
    parse_from(std::env::args_os().collect())
}

/// As [`parse`], from these arguments, the program's name first.
#[must_use]
pub fn parse_from<C: Parser>(arguments: Vec<OsString>) -> (C, BTreeMap<String, String>) {
    choose_tls();
    let matches = C::command().get_matches_from(arguments);
    let cli = C::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let shown = matches
        .subcommand()
        .and_then(|(name, matches)| Some(flags::shown(C::command().find_subcommand(name)?, matches)))
        .unwrap_or_default();
    (cli, shown)
}

/// Before any TLS: every part then agrees on one provider.
pub fn choose_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The exit code of a command, its last words said.
#[allow(clippy::print_stderr, reason = "the last words of a command")]
#[must_use]
pub fn exit(outcome: Result<(), anyhow::Error>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if let Some(Quiet(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    eprintln!("{error:#}");
    if error.is::<WrongConfig>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
