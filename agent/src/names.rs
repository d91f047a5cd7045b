//! The names that the program goes by: its own, `prometheus` and `promtool`, which take those programs' syntax.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use clap::{Command, CommandFactory as _, FromArgMatches as _};
use vedette_agent::cli;

use crate::Cli;
use crate::cmd::promtool::{self, Promtool};

/// Where arguments go.
pub(crate) enum Name {
    /// To the program itself.
    Own(Vec<OsString>),
    /// To promtool.
    Promtool(Vec<OsString>),
}

/// Reads the name that the program was called by.
pub(crate) fn read(mut arguments: Vec<OsString>) -> Name {
    let name = arguments.first().and_then(|name| Path::new(name).file_name()).unwrap_or_default().to_owned();
    if name == "promtool" {
        return Name::Promtool(arguments);
    }
    if name == "prometheus" {
        let version = arguments.get(1).is_some_and(|first| first == "--version");
        if !version {
            arguments.insert(1.min(arguments.len()), OsString::from("run"));
        }
        // Prometheus does not start without its file.
        let is_file = |argument: &OsString| {
            let text = argument.to_string_lossy();
            text == "--config.file" || text.starts_with("--config.file=")
        };
        if !version && !arguments.iter().any(is_file) {
            arguments.push(OsString::from("--config.file=prometheus.yml"));
        }
        let command = Cli::command();
        if let Some(run) = command.find_subcommand("run") {
            arguments = without_negations(arguments, run);
        }
    }
    Name::Own(arguments)
}

/// Runs promtool: as there, a wrong command line is exit code 1.
#[allow(clippy::print_stderr, reason = "the last words of a command")]
pub(crate) fn promtool(arguments: Vec<OsString>) -> ExitCode {
    cli::choose_tls();
    let call = Promtool::command()
        .try_get_matches_from(arguments)
        .and_then(|matches| Promtool::from_arg_matches(&matches));
    match call {
        Ok(Promtool { call }) => cli::exit(promtool::run(&call)),
        Err(error) if error.use_stderr() => {
            eprintln!("promtool: error: {}, try --help", explained(&error));
            ExitCode::FAILURE
        }
        Err(asked) => {
            let _ = asked.print();
            ExitCode::SUCCESS
        }
    }
}

/// What is wrong with a command line, in promtool's words.
fn explained(error: &clap::Error) -> String {
    let text = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => match text(ContextKind::InvalidArg) {
            flag if flag.starts_with("--") => format!("unknown long flag '{flag}'"),
            flag if flag.starts_with('-') => format!("unknown short flag '{flag}'"),
            argument => format!("unexpected {argument}"),
        },
        ErrorKind::InvalidSubcommand => {
            format!("expected command but got {:?}", text(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingRequiredArgument => {
            format!("required {} not provided", text(ContextKind::InvalidArg))
        }
        ErrorKind::ValueValidation => std::error::Error::source(error).map_or_else(
            || format!("invalid value {:?}", text(ContextKind::InvalidValue)),
            ToString::to_string,
        ),
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

/// `--no-x` takes back an earlier `--x`, where that is a flag without a value.
fn without_negations(arguments: Vec<OsString>, command: &Command) -> Vec<OsString> {
    let is_switch = |name: &str| {
        let named = command.get_arguments().find(|argument| argument.get_long() == Some(name));
        named.is_some_and(|argument| !argument.get_action().takes_values())
    };
    let mut out: Vec<OsString> = Vec::new();
    for argument in arguments {
        let text = argument.to_string_lossy().into_owned();
        match text.strip_prefix("--no-").filter(|name| is_switch(name)) {
            Some(name) => out.retain(|known| known.as_os_str() != OsStr::new(&format!("--{name}"))),
            None => out.push(argument),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(arguments: &[&str]) -> Vec<String> {
        match read(arguments.iter().map(OsString::from).collect()) {
            Name::Own(arguments) => {
                arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
            }
            Name::Promtool(_) => panic!("promtool"),
        }
    }

    #[test]
    fn prometheus_runs() {
        assert_eq!(own(&["/usr/bin/prometheus"])[1..], ["run", "--config.file=prometheus.yml"]);
        assert_eq!(own(&["prometheus", "--config.file", "x.yml"])[1..], ["run", "--config.file", "x.yml"]);
        assert_eq!(own(&["prometheus", "--version"])[1..], ["--version"]);
        let switched =
            ["prometheus", "--config.file=x", "--web.enable-lifecycle", "--no-web.enable-lifecycle"];
        assert_eq!(own(&switched)[1..], ["run", "--config.file=x"]);
        assert_eq!(own(&["vedette-agent", "run", "--no-x"])[1..], ["run", "--no-x"]);
    }

    #[test]
    fn promtool_goes_its_own_way() {
        let arguments = ["./promtool", "check", "config"].map(OsString::from).to_vec();
        assert!(matches!(read(arguments), Name::Promtool(arguments) if arguments.len() == 3));
    }

    #[test]
    fn flags_do_not_contradict_each_other() {
        Promtool::command().debug_assert();
    }
}
