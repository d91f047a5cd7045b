//! Command lines as kingpin reads them, which Alertmanager's programs are built with: flags anywhere, default
//! subcommands, `--no-x`, defaults from a file, and its words for what is wrong.

mod help;
mod read;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub(crate) use help::usage;
pub(crate) use read::read;

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No value: `--x` and `--no-x`.
    Switch,
    /// Anything.
    Text,
    /// Anything, as often as one likes.
    Texts,
    /// Go's `1h30m`.
    Duration,
    /// A whole number, or one with decimals.
    Number,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A file that is there.
    File,
}

/// One flag.
#[derive(Debug)]
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) kind: Kind,
    pub(crate) default: Option<&'static str>,
    pub(crate) required: bool,
    pub(crate) hidden: bool,
    pub(crate) help: &'static str,
}

/// A flag with a value.
pub(crate) const fn flag(long: &'static str, kind: Kind, help: &'static str) -> Flag {
    Flag { long, short: None, kind, default: None, required: false, hidden: false, help }
}

impl Flag {
    pub(crate) const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    pub(crate) const fn default(self, text: &'static str) -> Self {
        Self { default: Some(text), ..self }
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(crate) const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    fn repeats(&self) -> bool {
        self.kind == Kind::Texts
    }
}

/// What stands on the line beside flags and commands.
#[derive(Debug)]
pub(crate) struct Positional {
    pub(crate) name: &'static str,
    /// Any number of them; else one at most.
    pub(crate) many: bool,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
}

/// A program or one of its commands.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) flags: &'static [Flag],
    pub(crate) positional: Option<Positional>,
    pub(crate) commands: &'static [Command],
    /// Meant where its parent is called without a command.
    pub(crate) default: bool,
}

impl Command {
    /// A command with nothing to it yet.
    pub(crate) const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, flags: &[], positional: None, commands: &[], default: false }
    }

    fn default_command(&self) -> Option<&'static Command> {
        self.commands.iter().find(|command| command.default)
    }
}

/// What is asked for instead of running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Help,
    Version,
}

/// A command line that was understood.
#[derive(Debug)]
pub(crate) struct Call {
    /// The program and its commands, down to the one that is called.
    pub(crate) path: Vec<&'static Command>,
    pub(crate) positional: Vec<String>,
    pub(crate) asked: Option<Asked>,
    given: Vec<(&'static Flag, String)>,
    from_file: BTreeMap<&'static str, String>,
}

impl Call {
    /// The names of the commands, without the program's.
    pub(crate) fn command(&self) -> Vec<&'static str> {
        self.path.iter().skip(1).map(|command| command.name).collect()
    }

    /// Takes defaults from a file: for the program's flags and those of the command that is called.
    pub(crate) fn take_defaults(&mut self, file: &BTreeMap<String, String>) {
        let ends = self.path.first().into_iter().chain(self.path.iter().skip(1).last());
        for flag in ends.flat_map(|command| command.flags) {
            if let Some(text) = file.get(flag.long) {
                let text = match (flag.kind, text.as_str()) {
                    (Kind::Switch, "1" | "t" | "T" | "TRUE" | "True") => "true",
                    (Kind::Switch, "0" | "f" | "F" | "FALSE" | "False") => "false",
                    (_, other) => other,
                };
                self.from_file.insert(flag.long, text.to_owned());
            }
        }
    }

    fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.path.iter().flat_map(|command| command.flags)
    }

    /// Whether the line itself has the flag.
    pub(crate) fn is_given(&self, long: &str) -> bool {
        self.given.iter().any(|(flag, _)| flag.long == long)
    }

    /// A flag's value: the line's, else the file's, else its default.
    pub(crate) fn text(&self, long: &str) -> Option<&str> {
        let given =
            self.given.iter().rev().find(|(flag, _)| flag.long == long).map(|(_, text)| text.as_str());
        given
            .or_else(|| self.from_file.get(long).map(String::as_str))
            .or_else(|| self.flags().find(|flag| flag.long == long)?.default)
    }

    /// Every value of a flag that may be repeated.
    pub(crate) fn texts(&self, long: &str) -> Vec<&str> {
        let given: Vec<&str> =
            self.given.iter().filter(|(flag, _)| flag.long == long).map(|(_, text)| text.as_str()).collect();
        if given.is_empty() { self.text(long).into_iter().collect() } else { given }
    }

    /// Whether a switch is on.
    pub(crate) fn is_on(&self, long: &str) -> bool {
        self.text(long) == Some("true")
    }

    /// A duration, which was checked.
    pub(crate) fn duration(&self, long: &str) -> Duration {
        self.text(long).and_then(|text| yaml::parse_go_duration(text).ok()).unwrap_or_default()
    }

    /// A whole number, which was checked: 0 where it is negative.
    pub(crate) fn count(&self, long: &str) -> usize {
        let number: f64 = self.text(long).and_then(|text| text.parse().ok()).unwrap_or_default();
        if number < 1.0 { 0 } else { number as usize }
    }

    /// Checks every value, and that what is needed is there.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (at, (flag, text)) in self.given.iter().enumerate() {
            if !flag.repeats() && self.given[..at].iter().any(|(before, _)| before.long == flag.long) {
                return Err(format!("flag '{}' cannot be repeated", flag.long));
            }
            check_value(flag.kind, text)?;
        }
        for flag in self.flags() {
            if let Some(text) = self.from_file.get(flag.long) {
                check_value(flag.kind, text)?;
            }
            if flag.required && self.text(flag.long).is_none() {
                return Err(format!("required flag --{} not provided", flag.long));
            }
        }
        let kind = self.path.iter().rev().find_map(|command| command.positional.as_ref());
        kind.map_or(Ok(()), |it| self.positional.iter().try_for_each(|text| check_value(it.kind, text)))
    }
}

fn check_value(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Text | Kind::Texts => Ok(()),
        Kind::Switch if matches!(text, "true" | "false") => Ok(()),
        Kind::Switch => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
        Kind::Duration => yaml::parse_go_duration(text).map(drop),
        Kind::Number => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(()),
            _ => Err(format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
        },
        Kind::Choice(words) if words.contains(&text) => Ok(()),
        Kind::Choice(words) => Err(format!("enum value must be one of {}, got '{text}'", words.join(","))),
        Kind::File => match std::fs::metadata(Path::new(text)) {
            Err(_) => Err(format!("path '{text}' does not exist")),
            Ok(there) if there.is_dir() => Err(format!("'{text}' is a directory")),
            Ok(_) => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests;
