//! Running a test script: load, evaluate, compare.

use std::fmt::Write as _;

use model::{AnchoredRegex, Labels, Sample, Series};

use super::command::{Command, Eval, Expectation, Load, Text, Wanted, When, parse};
use super::{MemoryStore, SeriesLine};
use crate::engine::{Answer, Engine, EngineOptions, Value, VectorSample};
use crate::parser::parse as parse_query;

/// Values may differ by this share.
const EPSILON: f64 = 1e-6;

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
    /// Series that were not loaded, because they hold what this engine does not know.
    pub unsupported_series: usize,
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

/// Runs a script as upstream's runner does: names are removed at the end of a query.
///
/// Starts a runtime of its own, so it is not for asynchronous code.
#[must_use]
pub fn run_script(name: &str, text: &str) -> ScriptReport {
    run_script_with(name, text, EngineOptions { delayed_name_removal: true, ..EngineOptions::default() })
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
            Ok(Command::Load(load)) => {
                report.unsupported_series += load.unsupported;
                add(&store, load);
            }
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

fn add(store: &MemoryStore, load: Load) {
    for line in load.series {
        let times = (0..).map(|at: i64| at.saturating_mul(load.interval_ms));
        for (timestamp, value) in times.zip(&line.values) {
            if let Some(value) = *value {
                store.append(&line.labels, Sample { timestamp, value });
            }
        }
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
        let _ = write!(text, " {} {:?}", line.labels, line.values);
    }
    text
}

/// Runs one query; the error says what it gave instead.
async fn check(engine: &Engine, store: &MemoryStore, eval: &Eval) -> Result<(), String> {
    let answer = ask(engine, store, eval, eval.when).await;
    let answer = match (answer, &eval.wanted.fail) {
        (Err(error), Some(texts)) => {
            let met = texts.iter().all(|text| meets(text, &error));
            return if met { Ok(()) } else { Err(error) };
        }
        (Ok(_), Some(_)) => return Err("no error".to_owned()),
        (Err(error), None) => return Err(error),
        (Ok(answer), None) => answer,
    };
    if let Some(error) = &eval.wanted.unsupported {
        return Err(error.to_string());
    }
    annotations(&eval.wanted.warn, &answer.warnings)?;
    annotations(&eval.wanted.info, &answer.infos)?;
    compare(&answer.value, eval)?;
    as_range(engine, store, eval, &answer).await
}

async fn ask(engine: &Engine, store: &MemoryStore, eval: &Eval, when: When) -> Result<Answer, String> {
    let expr = parse_query(&eval.query).map_err(|error| error.to_string())?;
    let answer = match when {
        When::Instant(time) => engine.instant(store, &expr, time).await,
        When::Range(start, end, step) => engine.range(store, &expr, start, end, step).await,
    };
    answer.map_err(|error| error.to_string())
}

/// An instant query must give the same as the middle step of a range query.
async fn as_range(engine: &Engine, store: &MemoryStore, eval: &Eval, answer: &Answer) -> Result<(), String> {
    let When::Instant(time) = eval.when else { return Ok(()) };
    let boundaries = ["start()", "end()", "range()", "step()"];
    let differs = eval.wanted.ordered || boundaries.iter().any(|word| eval.query.contains(word));
    if differs || matches!(answer.value, Value::Matrix(_) | Value::String(..)) {
        return Ok(());
    }
    let minute = 60_000;
    let range = ask(engine, store, eval, When::Range(time - minute, time + minute, minute)).await;
    let in_range = |message: String| format!("as a range query: {message}");
    let Value::Matrix(series) = range.map_err(in_range)?.value else {
        return Err(in_range("no matrix".to_owned()));
    };
    let at_time = |one: Series| {
        let sample = one.samples.iter().find(|sample| sample.timestamp == time)?;
        Some(VectorSample { labels: one.labels, timestamp: time, value: sample.value })
    };
    let samples: Vec<VectorSample> = series.into_iter().filter_map(at_time).collect();
    if let Value::Scalar(_) = answer.value {
        let value = samples.first().map_or(f64::NAN, |sample| sample.value);
        return compare(&Value::Scalar(Sample::new(time, value)), eval).map_err(in_range);
    }
    compare(&Value::Vector(samples), eval).map_err(in_range)
}

fn meets(condition: &Text, text: &str) -> bool {
    match condition {
        Text::Any => true,
        Text::Exact(wanted) => text == wanted,
        // Upstream looks for the expression anywhere.
        Text::Regex(regex) => {
            AnchoredRegex::new(&format!(".*(?:{regex}).*")).is_ok_and(|regex| regex.is_match(text))
        }
    }
}

fn annotations(wanted: &Expectation, found: &[String]) -> Result<(), String> {
    if wanted.none && !found.is_empty() {
        return Err(format!("annotations {found:?}"));
    }
    if wanted.texts.is_empty() {
        return Ok(());
    }
    let all_met = wanted.texts.iter().all(|condition| found.iter().any(|text| meets(condition, text)));
    let all_wanted = found.iter().all(|text| wanted.texts.iter().any(|condition| meets(condition, text)));
    if all_met && all_wanted {
        Ok(())
    } else {
        Err(format!("annotations {found:?}, wanted {:?}", wanted.texts))
    }
}

fn compare(value: &Value, eval: &Eval) -> Result<(), String> {
    let wanted = &eval.wanted;
    match value {
        Value::Scalar(sample) => match wanted.scalar {
            Some(number) if almost_equal(number, sample.value) => Ok(()),
            _ => Err(sample.value.to_string()),
        },
        Value::String(_, text) if wanted.text.as_ref() == Some(text) => Ok(()),
        Value::String(_, text) => Err(format!("{text:?}")),
        Value::Vector(samples) => vector(samples, wanted),
        Value::Matrix(series) => {
            let (start, step) = match (wanted.matrix, eval.when) {
                (Some(place), _) => place,
                (None, When::Range(start, _, step)) => (start, step),
                (None, When::Instant(_)) => return Err("a range vector".to_owned()),
            };
            matrix(series, wanted, start, step)
        }
    }
}

fn vector(samples: &[VectorSample], wanted: &Wanted) -> Result<(), String> {
    let shown = || samples.iter().map(|sample| format!("{} {}; ", sample.labels, sample.value)).collect();
    if samples.len() != wanted.series.len() {
        return Err(shown());
    }
    for (at, line) in wanted.series.iter().enumerate() {
        let found = if wanted.ordered {
            samples.get(at).filter(|sample| sample.labels == line.labels)
        } else {
            samples.iter().find(|sample| sample.labels == line.labels)
        };
        let [Some(number)] = line.values[..] else {
            return Err(format!("{} wants one value", line.labels));
        };
        if !found.is_some_and(|sample| almost_equal(number, sample.value)) {
            return Err(shown());
        }
    }
    Ok(())
}

fn matrix(series: &[Series], wanted: &Wanted, start: i64, step: i64) -> Result<(), String> {
    let find = |labels: &Labels| series.iter().find(|one| one.labels == *labels);
    let with_values = |line: &&SeriesLine| line.values.iter().any(Option::is_some);
    let lines: Vec<&SeriesLine> = wanted.series.iter().filter(with_values).collect();
    let shown = || format!("{series:?}");
    if lines.len() != series.len() {
        return Err(shown());
    }
    for line in lines {
        let found = find(&line.labels).ok_or_else(shown)?;
        let times = (0..).map(|at: i64| start + at * step);
        let points: Vec<Sample> = times
            .zip(&line.values)
            .filter_map(|(timestamp, value)| Some(Sample { timestamp, value: (*value)? }))
            .collect();
        let same = |(a, b): (&Sample, &Sample)| a.timestamp == b.timestamp && almost_equal(a.value, b.value);
        if points.len() != found.samples.len() || !points.iter().zip(&found.samples).all(same) {
            return Err(shown());
        }
    }
    Ok(())
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a == b || a.is_nan() && b.is_nan() {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}
