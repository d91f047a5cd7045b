//! The lines of a test script as commands.

use super::load::{Load, load};
use super::{ScriptError, SeriesLine, parse_series_line};
use crate::quote::unquote;

/// What a script says.
#[derive(Debug)]
pub(super) enum Command {
    /// Forget all samples.
    Clear,
    /// Add samples.
    Load(Load),
    /// Run a query and compare.
    Eval(Box<Eval>),
}

/// When a query is evaluated.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// At one time, in milliseconds.
    Instant(i64),
    /// From, to, step, in milliseconds.
    Range(i64, i64, i64),
}

/// A query and what must come of it.
#[derive(Debug)]
pub(super) struct Eval {
    /// Line of the command, from 1.
    pub(super) line: usize,
    pub(super) when: When,
    pub(super) query: String,
    pub(super) wanted: Wanted,
}

/// What must come of a query.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Expected to fail, with these texts.
    pub(super) fail: Option<Vec<Text>>,
    pub(super) ordered: bool,
    pub(super) warn: Expectation,
    pub(super) info: Expectation,
    pub(super) scalar: Option<f64>,
    pub(super) text: Option<String>,
    /// Start and step of an expected range vector.
    pub(super) matrix: Option<(i64, i64)>,
    pub(super) series: Vec<SeriesLine>,
}

/// What must hold for annotations of one kind.
#[derive(Debug, Default)]
pub(super) struct Expectation {
    /// None may come up.
    pub(super) none: bool,
    /// Each must come up, and nothing else.
    pub(super) texts: Vec<Text>,
}

/// A condition on a text.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Any,
    Exact(String),
    Regex(String),
}

fn invalid<T>(message: impl Into<String>) -> Result<T, ScriptError> {
    Err(ScriptError::Invalid(message.into()))
}

/// Reads a script. A wrong line is given with its number, and reading goes on behind its block.
pub(super) fn parse(text: &str) -> Vec<(usize, Result<Command, ScriptError>)> {
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim())
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if lines[at].is_empty() {
            at += 1;
            continue;
        }
        let head = lines[at];
        let length = lines[at + 1..].iter().take_while(|line| !line.is_empty()).count();
        let mut body = &lines[at + 1..at + 1 + length];
        let command = match head.split_whitespace().next().unwrap_or_default() {
            "clear" => {
                body = &[];
                Ok(Command::Clear)
            }
            "load" => load(head, body, false),
            "load_with_nhcb" => load(head, body, true),
            word if word == "eval" || word.starts_with("eval_") => eval(at + 1, head, body),
            other => invalid(format!("unknown command {other:?}")),
        };
        commands.push((at + 1, command));
        at += 1 + body.len();
    }
    commands
}

/// A duration, or seconds, with an optional sign; in milliseconds.
pub(super) fn time(text: &str) -> Result<i64, ScriptError> {
    let (negative, plain) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let seconds = match model::parse_duration(plain) {
        Ok(duration) => duration.as_secs_f64(),
        Err(_) => plain.parse().map_err(|_| ScriptError::Invalid(format!("invalid time {text:?}")))?,
    };
    let millis = (seconds * 1000.0).round() as i64;
    Ok(if negative { -millis } else { millis })
}

fn word<'t>(rest: &mut &'t str) -> &'t str {
    let text = rest.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after.trim_start();
    word
}

fn keyword(rest: &mut &str, wanted: &str) -> Result<(), ScriptError> {
    match word(rest) {
        found if found == wanted => Ok(()),
        found => invalid(format!("expected {wanted:?}, got {found:?}")),
    }
}

fn range(rest: &mut &str) -> Result<(i64, i64, i64), ScriptError> {
    keyword(rest, "from")?;
    let start = time(word(rest))?;
    keyword(rest, "to")?;
    let end = time(word(rest))?;
    keyword(rest, "step")?;
    Ok((start, end, time(word(rest))?))
}

fn eval(line: usize, head: &str, body: &[&str]) -> Result<Command, ScriptError> {
    let mut rest = head;
    let mut wanted = Wanted::default();
    match word(&mut rest) {
        "eval" => {}
        "eval_fail" => wanted.fail = Some(Vec::new()),
        "eval_ordered" => wanted.ordered = true,
        "eval_warn" => wanted.warn.texts.push(Text::Any),
        "eval_info" => wanted.info.texts.push(Text::Any),
        other => return invalid(format!("unknown command {other:?}")),
    }
    let when = match word(&mut rest) {
        "instant" => {
            keyword(&mut rest, "at")?;
            When::Instant(time(word(&mut rest))?)
        }
        "range" => {
            let (start, end, step) = range(&mut rest)?;
            When::Range(start, end, step)
        }
        other => return invalid(format!("expected \"instant\" or \"range\", got {other:?}")),
    };
    let query = rest.to_owned();
    for text in body {
        expectation(text, &mut wanted)?;
    }
    Ok(Command::Eval(Box::new(Eval { line, when, query, wanted })))
}

fn expectation(line: &str, wanted: &mut Wanted) -> Result<(), ScriptError> {
    if let Some(text) = line.strip_prefix("expected_fail_message") {
        wanted.fail.get_or_insert_default().push(Text::Exact(text.trim().to_owned()));
        return Ok(());
    }
    if let Some(text) = line.strip_prefix("expected_fail_regexp") {
        wanted.fail.get_or_insert_default().push(Text::Regex(text.trim().to_owned()));
        return Ok(());
    }
    if let Some(mut rest) = line.strip_prefix("expect ") {
        return expect(&mut rest, wanted);
    }
    if let Ok(number) = line.parse() {
        wanted.scalar = Some(number);
        return Ok(());
    }
    wanted.series.push(parse_series_line(line)?);
    Ok(())
}

fn expect(rest: &mut &str, wanted: &mut Wanted) -> Result<(), ScriptError> {
    match word(rest) {
        "ordered" => wanted.ordered = true,
        "no_warn" => wanted.warn.none = true,
        "no_info" => wanted.info.none = true,
        "warn" => wanted.warn.texts.push(condition(rest)?),
        "info" => wanted.info.texts.push(condition(rest)?),
        "fail" => wanted.fail.get_or_insert_default().push(condition(rest)?),
        "string" => {
            let text = unquote(rest.trim()).map_err(|what| ScriptError::Invalid(what.to_owned()))?;
            wanted.text = Some(text);
        }
        "range" => {
            keyword(rest, "vector")?;
            let (start, _, step) = range(rest)?;
            wanted.matrix = Some((start, step));
        }
        other => return invalid(format!("unknown expectation {other:?}")),
    }
    Ok(())
}

fn condition(rest: &str) -> Result<Text, ScriptError> {
    let rest = rest.trim();
    if rest.is_empty() {
        return Ok(Text::Any);
    }
    if let Some(text) = rest.strip_prefix("msg:") {
        return Ok(Text::Exact(text.trim().to_owned()));
    }
    if let Some(text) = rest.strip_prefix("regex:") {
        return Ok(Text::Regex(text.trim().to_owned()));
    }
    invalid(format!("expected \"msg:\" or \"regex:\", got {rest:?}"))
}
