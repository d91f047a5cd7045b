//! What a program says of itself when it is asked for help.

use super::read::own_flags;
use super::{Command, Flag, Kind};

const WIDTH: usize = 80;
/// A left column of more goes on a line of its own.
const LEFT_MAX: usize = 30;

/// The help for the last command of a path.
pub(crate) fn usage(path: &[&'static Command]) -> String {
    let Some(command) = path.last() else { return String::new() };
    let names: Vec<&str> = path.iter().map(|command| command.name).collect();
    let mut out =
        format!("usage: {}{}\n\n{}\n\n", names.join(" "), summary(command), command.help.trim_end());
    let flags: Vec<(String, String)> = own_flags()
        .into_iter()
        .chain(path.iter().flat_map(|command| command.flags))
        .filter(|flag| !flag.hidden)
        .map(|flag| (left(flag), flag.help.to_owned()))
        .collect();
    out.push_str("Flags:\n");
    columns(&mut out, &flags);
    if let Some(it) = &command.positional {
        out.push_str("\nArgs:\n");
        columns(&mut out, &[(format!("[<{}>]", it.name), it.help.to_owned())]);
    }
    if !command.commands.is_empty() {
        out.push_str("\nCommands:\n");
        tree(&mut out, command.commands, 1);
    }
    out
}

/// What follows a command's name on its line.
fn summary(command: &Command) -> String {
    let mut out = String::new();
    for flag in command.flags.iter().filter(|flag| flag.required) {
        out.push_str(&format!(" --{}={}", flag.long, flag.long.to_uppercase()));
    }
    if command.flags.iter().any(|flag| !flag.required && !flag.hidden) {
        out.push_str(" [<flags>]");
    }
    if !command.commands.is_empty() {
        out.push_str(" <command> [<args> ...]");
    }
    if let Some(it) = &command.positional {
        out.push_str(&format!(" [<{}>{}]", it.name, if it.many { "..." } else { "" }));
    }
    out
}

fn left(flag: &Flag) -> String {
    let short = flag.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
    let value = match (flag.kind, flag.default) {
        (Kind::Switch, _) => String::new(),
        (Kind::Text | Kind::Texts, Some(default)) => format!("={default:?}"),
        (_, Some(default)) => format!("={default}"),
        (_, None) => format!("={}", flag.long.to_uppercase()),
    };
    format!("{short}--{}{value}", flag.long)
}

fn tree(out: &mut String, commands: &[Command], depth: usize) {
    for command in commands {
        let star = if command.default { "*" } else { "" };
        out.push_str(&format!("{}{}{star}{}\n", "  ".repeat(depth), command.name, summary_in_tree(command)));
        tree(out, command.commands, depth + 1);
    }
}

fn summary_in_tree(command: &Command) -> String {
    summary(command).replace(" <command> [<args> ...]", "")
}

fn columns(out: &mut String, rows: &[(String, String)]) {
    let fits = rows.iter().map(|(left, _)| left.chars().count()).filter(|width| *width < LEFT_MAX);
    let width = fits.max().unwrap_or(LEFT_MAX);
    for (left, right) in rows {
        let mut lines = wrapped(right, WIDTH.saturating_sub(width + 4)).into_iter();
        if left.chars().count() <= width {
            out.push_str(&format!("  {left:<width$}  {}\n", lines.next().unwrap_or_default()));
        } else {
            out.push_str(&format!("  {left}\n"));
        }
        for line in lines {
            out.push_str(&format!("  {:width$}  {line}\n", ""));
        }
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut() {
            if line.is_empty() {
                line.push_str(word);
                continue;
            }
            if line.chars().count() + 1 + word.chars().count() <= width {
                line.push(' ');
                line.push_str(word);
                continue;
            }
        }
        lines.push(word.to_owned());
    }
    lines
}
