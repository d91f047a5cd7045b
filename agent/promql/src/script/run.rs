//! Running a test script: load, evaluate, compare.

use std::fmt::Write as _;

use model::{AnySample, Labels};

use super::MemoryStore;
use super::at_times::{other_times, pinned};
use super::command::{Command, Eval, When, parse};
use super::compare::{Got, annotations, compare, meets, shown_value};
use crate::ast::Expr;
use crate::engine::{Answer, Engine, EngineOptions};
use crate::features::Features;
use crate::parser::parse_with;

/// How a script went.
#[derive(Clone, Debug, Default)]
pub struct ScriptReport {
    /// The name it was run under.
    pub name: String,
    /// Queries that gave what was wanted.
    pub passed: usize,
    /// Queries that did not, and lines that are no command.
    pub failed: usize,
    /// One entry for each of the failed.
    pub failures: Vec<Failure>,
}

/// A query that did not give what was wanted.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Line in the script, from 1.
    pub line: usize,
    /// The query and what it should have given.
    pub wanted: String,
    /// What it gave.
    pub got: String,
}

/// Runs a script as upstream's runner does: with everything experimental, names removed at the end of a query,
/// and start times used.
///
/// Starts a runtime of its own, so it is not for asynchronous code.
#[must_use]
pub fn run_script(name: &str, text: &str) -> ScriptReport {
    let options =
        EngineOptions { delayed_name_removal: true, use_start_timestamps: true, ..EngineOptions::default() };
    run_script_with(name, text, options)
}

/// Runs a script with these options.
///
/// Starts a runtime of its own, so it is not for asynchronous code.
#[must_use]
pub fn run_script_with(name: &str, text: &str, options: EngineOptions) -> ScriptReport {
    let mut report = ScriptReport { name: name.to_owned(), ..ScriptReport::default() };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report.fail(0, "a runtime".to_owned(), error.to_string());
            return report;
        }
    };
    let store = MemoryStore::new();
    let engine = Engine::new(options);
    for (line, command) in parse(text) {
        match command {
            Err(error) => report.fail(line, "a command".to_owned(), error.to_string()),
            Ok(Command::Clear) => store.clear(),
            Ok(Command::Load(load)) => load.apply(&store),
            Ok(Command::Eval(eval)) => match runtime.block_on(check(&engine, &store, &eval)) {
                Ok(()) => report.passed += 1,
                Err(got) => report.fail(eval.line, describe(&eval), got),
            },
        }
    }
    report
}

impl ScriptReport {
    fn fail(&mut self, line: usize, wanted: String, got: String) {
        self.failed += 1;
        self.failures.push(Failure { line, wanted, got });
    }
}

fn describe(eval: &Eval) -> String {
    let mut text = format!("{} to give", eval.query);
    let wanted = &eval.wanted;
    if wanted.fail.is_some() {
        text.push_str(" an error");
    }
    if let Some(number) = wanted.scalar {
        let _ = write!(text, " {number}");
    }
    for line in &wanted.series {
        let value =
            |value: &Option<super::SeriesValue>| value.as_ref().map_or_else(|| "_".to_owned(), shown_value);
        let values: Vec<String> = line.values.iter().map(value).collect();
        let _ = write!(text, " {} {};", line.labels, values.join(" "));
    }
    text
}

/// Runs one query in all the ways that must give the same; the error says what one gave instead.
async fn check(engine: &Engine, store: &MemoryStore, eval: &Eval) -> Result<(), String> {
    let expr = match parse_with(&eval.query, Features::ALL) {
        Ok(expr) => expr,
        Err(error) => return failed(eval, &error.to_string()),
    };
    once(engine, store, eval, &expr, eval.when).await?;
    let When::Instant(time) = eval.when else { return Ok(()) };
    if depends_on_range(&eval.query) {
        return Ok(());
    }
    let Some(at) = pinned(&expr, time) else { return Ok(()) };
    // As text, so that printing is tested too.
    let text = at.to_string();
    let at = parse_with(&text, Features::ALL).map_err(|error| format!("pinned as {text}: {error}"))?;
    for time in other_times(time) {
        let got = once(engine, store, eval, &at, When::Instant(time)).await;
        got.map_err(|got| format!("pinned as {text} at {time} ms: {got}"))?;
    }
    Ok(())
}

/// Whether a query asks for the range that it is evaluated over.
fn depends_on_range(query: &str) -> bool {
    let query = query.to_ascii_lowercase();
    ["start()", "end()", "range()", "step()"].iter().any(|word| query.contains(word))
}

/// An error of a query that should give one is right where it has the wanted texts.
fn failed(eval: &Eval, error: &str) -> Result<(), String> {
    match &eval.wanted.fail {
        Some(texts) if texts.iter().all(|text| meets(text, error)) => Ok(()),
        _ => Err(error.to_owned()),
    }
}

async fn once(
    engine: &Engine,
    store: &MemoryStore,
    eval: &Eval,
    expr: &Expr,
    when: When,
) -> Result<(), String> {
    let answer = match ask(engine, store, expr, when).await {
        Err(error) => return failed(eval, &error),
        Ok(_) if eval.wanted.fail.is_some() => return Err("no error".to_owned()),
        Ok(answer) => answer,
    };
    annotations(&eval.wanted.warn, &answer.warnings)?;
    annotations(&eval.wanted.info, &answer.infos)?;
    let got = Got::of(answer);
    compare(&got, eval)?;
    match when {
        When::Instant(time) => as_range(engine, store, eval, expr, time, &got).await,
        When::Range(..) => Ok(()),
    }
}

async fn ask(engine: &Engine, store: &MemoryStore, expr: &Expr, when: When) -> Result<Answer, String> {
    let answer = match when {
        When::Instant(time) => engine.instant(store, expr, time).await,
        When::Range(start, end, step) => engine.range(store, expr, start, end, step).await,
    };
    answer.map_err(|error| error.to_string())
}

/// An instant query must give the same as the middle step of a range query.
async fn as_range(
    engine: &Engine,
    store: &MemoryStore,
    eval: &Eval,
    expr: &Expr,
    time: i64,
    got: &Got,
) -> Result<(), String> {
    if eval.wanted.ordered || depends_on_range(&eval.query) || matches!(got, Got::Matrix(_) | Got::Text(_)) {
        return Ok(());
    }
    let minute = 60_000;
    let range = ask(engine, store, expr, When::Range(time - minute, time + minute, minute)).await;
    let in_range = |message: String| format!("as a range query: {message}");
    let Got::Matrix(series) = Got::of(range.map_err(in_range)?) else {
        return Err(in_range("no matrix".to_owned()));
    };
    let at_time = |(labels, samples): (Labels, Vec<AnySample>)| {
        let sample = samples.into_iter().find(|sample| sample.timestamp() == time)?;
        Some((labels, sample))
    };
    let samples: Vec<(Labels, AnySample)> = series.into_iter().filter_map(at_time).collect();
    if let Got::Scalar(_) = got {
        let value = match samples.first() {
            Some((_, AnySample::Float(sample))) => sample.value,
            _ => f64::NAN,
        };
        return compare(&Got::Scalar(value), eval).map_err(in_range);
    }
    compare(&Got::Vector(samples), eval).map_err(in_range)
}
