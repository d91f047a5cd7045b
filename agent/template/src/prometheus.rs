//! The functions that Prometheus adds to Go's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use model::Labels;

use crate::builtins::query_escape;
use crate::error::CallError;
use crate::functions::{Function, Functions, Kind};
use crate::humanize::{humanize, humanize_1024, humanize_duration, humanize_percentage, short};
use crate::time::GoTime;
use crate::value::{List, Map, Object, Value};

/// What the functions know of the world.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Time of the evaluation, in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// The URL under which the server is reached, without a slash at its end.
    pub external_url: String,
    /// The path of that URL.
    pub path_prefix: String,
}

/// What a query gave: label sets with their values, or why there are none.
pub type QueryAnswer = Result<Vec<(Labels, f64)>, String>;

/// The answers that are known, by query text. A query without one ends the execution with
/// [`ExecError::NeedsQuery`](crate::ExecError::NeedsQuery).
pub type Answers = HashMap<String, QueryAnswer>;

type Answer = Result<Value, CallError>;

const ANY: &[Kind] = &[Kind::Any];
const TEXT: &[Kind] = &[Kind::Text];

/// Go's functions and Prometheus's for one evaluation.
#[must_use]
pub fn prometheus_functions(environment: &Environment, answers: Arc<Answers>) -> Functions {
    let mut functions = Functions::builtin();
    add_samples(&mut functions, answers);
    add_numbers(&mut functions);
    add_texts(&mut functions);
    let now = environment.now_ms as f64 / 1000.0;
    let (url, prefix) = (environment.external_url.clone(), environment.path_prefix.clone());
    functions
        .add("now", Function::new(&[], move |_| Ok(Value::Float(now))))
        .add("externalURL", Function::new(&[], move |_| Ok(Value::text(url.as_str()))))
        .add("pathPrefix", Function::new(&[], move |_| Ok(Value::text(prefix.as_str()))));
    functions
}

/// One result of a query.
#[derive(Debug)]
struct Sample {
    labels: Value,
    value: f64,
}

impl Object for Sample {
    fn type_name(&self) -> &str {
        "*template.sample"
    }

    fn field_names(&self) -> &[&'static str] {
        &["Labels", "Value"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(self.labels.clone()),
            "Value" => Some(Value::Float(self.value)),
            _ => None,
        }
    }
}

fn sample_of(labels: &Labels, value: f64) -> Value {
    Value::object(Sample { labels: Value::Map(Arc::new(Map::of_texts(labels.pairs()))), value })
}

/// A field of a sample, which is the argument at `at`.
fn of_sample(args: &[Value], at: usize, name: &str) -> Answer {
    let found = match &args[at] {
        Value::Object(object) if object.type_name() == "*template.sample" => object.field(name),
        _ => None,
    };
    found.ok_or_else(|| {
        let got = args[at].type_name();
        format!("wrong type for value; expected *template.sample; got {got}").into()
    })
}

fn label_of(sample: &[Value], at: usize, label: &str) -> Answer {
    match of_sample(sample, at, "Labels")? {
        Value::Map(labels) => Ok(labels.get(label)),
        _ => Ok(Value::text("")),
    }
}

fn list_of(value: &Value) -> Result<Arc<List>, CallError> {
    match value {
        Value::List(items) => Ok(Arc::clone(items)),
        other => {
            let got = other.type_name();
            Err(format!("wrong type for value; expected template.queryResult; got {got}").into())
        }
    }
}

fn add_samples(functions: &mut Functions, answers: Arc<Answers>) {
    let query = move |args: &[Value]| {
        let query = text(args, 0);
        match answers.get(query) {
            None => Err(CallError::NeedsQuery(query.to_owned())),
            Some(Err(what)) => Err(CallError::Failed(what.clone())),
            Some(Ok(samples)) => {
                Ok(Value::list(samples.iter().map(|(labels, value)| sample_of(labels, *value))))
            }
        }
    };
    let first = |args: &[Value]| {
        let items = list_of(&args[0])?;
        items.first().cloned().ok_or_else(|| "first() called on vector with no elements".into())
    };
    let sorted = |args: &[Value]| {
        let mut items: Vec<(Arc<str>, Value)> = Vec::new();
        for item in list_of(&args[1])?.iter() {
            let key = label_of(std::slice::from_ref(item), 0, text(args, 0))?;
            items.push((key.as_text().cloned().unwrap_or_default(), item.clone()));
        }
        items.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(Value::list(items.into_iter().map(|(_, item)| item)))
    };
    functions
        .add("query", Function::new(TEXT, query))
        .add("first", Function::new(ANY, first))
        .add("value", Function::new(ANY, |args| of_sample(args, 0, "Value")))
        .add("strvalue", Function::new(ANY, |args| label_of(args, 0, "__value__")))
        .add("label", Function::new(&[Kind::Text, Kind::Any], |args| label_of(args, 1, text(args, 0))))
        .add("sortByLabel", Function::new(&[Kind::Text, Kind::Any], sorted))
        .add(
            "args",
            Function::variadic(&[], Kind::Any, |args| {
                let named = args.iter().enumerate().map(|(at, arg)| (format!("arg{at}"), arg.clone()));
                Value::Map(Arc::new(Map::of_any(named))).not_too_deep()
            }),
        );
}

fn add_numbers(functions: &mut Functions) {
    let number =
        |body: fn(f64) -> String| Function::new(ANY, move |args| Ok(body(to_float(&args[0])?).into()));
    functions
        .add("humanize", number(humanize))
        .add("humanize1024", number(humanize_1024))
        .add("humanizeDuration", number(humanize_duration))
        .add("humanizePercentage", number(humanize_percentage))
        .add(
            "humanizeTimestamp",
            Function::new(ANY, |args| {
                let value = to_float(&args[0])?;
                if !value.is_finite() {
                    return Ok(short(value).into());
                }
                Ok(to_time(value)?.to_string().into())
            }),
        )
        .add("toTime", Function::new(ANY, |args| Ok(Value::Time(to_time(to_float(&args[0])?)?))))
        .add(
            "toDuration",
            Function::new(ANY, |args| {
                let value = to_float(&args[0])?;
                Ok(Value::Duration(nanoseconds(value, "duration")?))
            }),
        )
        .add(
            "parseDuration",
            Function::new(TEXT, |args| {
                let duration = model::parse_duration(text(args, 0)).map_err(|error| error.to_string())?;
                Ok(Value::Float(duration.as_secs_f64()))
            }),
        );
}

/// What `humanize` and its like take: numbers, and texts that are numbers.
pub(crate) fn to_float(value: &Value) -> Result<f64, CallError> {
    match value {
        Value::Float(value) => Ok(*value),
        #[allow(clippy::cast_precision_loss, reason = "what Prometheus does")]
        Value::Int(value) => Ok(*value as f64),
        #[allow(clippy::cast_precision_loss, reason = "what Prometheus does")]
        Value::Duration(nanos) => Ok(*nanos as f64 / 1e9),
        Value::Text(text) => parse_float(text)
            .ok_or_else(|| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax").into()),
        other => Err(format!("can't convert {} to float", other.type_name()).into()),
    }
}

fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    match unsigned.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "infinity" => Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY }),
        plain if plain.starts_with(|char: char| char.is_ascii_digit() || char == '.') => text.parse().ok(),
        _ => None,
    }
}

fn nanoseconds(seconds: f64, what: &str) -> Result<i64, CallError> {
    let nanos = seconds * 1e9;
    if !(nanos > i64::MIN as f64 && nanos < i64::MAX as f64) {
        let shown = crate::number::general(seconds, None);
        let plural = if what == "timestamp" { "timestamp" } else { what };
        return Err(format!(
            "{shown} cannot be represented as a nanoseconds {plural} since it overflows int64"
        )
        .into());
    }
    #[allow(clippy::cast_possible_truncation, reason = "checked to be in range")]
    Ok(nanos as i64)
}

fn to_time(seconds: f64) -> Result<GoTime, CallError> {
    if !seconds.is_finite() {
        return Err("value is NaN or Inf".into());
    }
    let nanos = nanoseconds(seconds, "timestamp")?;
    GoTime::from_ms(nanos.div_euclid(1_000_000)).ok_or_else(|| "value is out of range".into())
}

pub(crate) fn text(args: &[Value], at: usize) -> &str {
    args.get(at).and_then(Value::as_text).map_or("", |text| text)
}

fn add_texts(functions: &mut Functions) {
    let changed = |body: fn(&str) -> String| Function::new(TEXT, move |args| Ok(body(text(args, 0)).into()));
    let replaced = |args: &[Value]| {
        let regex = compile(text(args, 0))?;
        Ok(regex.replace_all(text(args, 2), text(args, 1)).into_owned().into())
    };
    functions
        .add("title", changed(title))
        .add("toUpper", changed(str::to_uppercase))
        .add("toLower", changed(str::to_lowercase))
        .add("stripPort", changed(strip_port))
        .add("stripDomain", changed(strip_domain))
        .add("urlQueryEscape", changed(query_escape))
        .add("graphLink", changed(|expr| format!("/graph?g0.expr={}&g0.tab=0", query_escape(expr))))
        .add("tableLink", changed(|expr| format!("/graph?g0.expr={}&g0.tab=1", query_escape(expr))))
        .add("safeHtml", Function::new(TEXT, |args| Ok(Value::Html(text(args, 0).into()))))
        .add(
            "match",
            Function::new(&[Kind::Text, Kind::Text], |args| {
                Ok(Value::Bool(compile(text(args, 0))?.is_match(text(args, 1))))
            }),
        )
        .add("reReplaceAll", Function::new(&[Kind::Text, Kind::Text, Kind::Text], replaced));
}

pub(crate) fn compile(pattern: &str) -> Result<regex::Regex, CallError> {
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| format!("error parsing regexp: {error}").into())
}

/// First letter of each word in upper case, the rest as it is.
pub(crate) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for char in text.chars() {
        let letter = char.is_alphanumeric() || (in_word && matches!(char, '\'' | '_' | '’'));
        if letter && !in_word {
            out.extend(char.to_uppercase());
        } else {
            out.push(char);
        }
        in_word = letter;
    }
    out
}

/// Host and port, as Go's `net.SplitHostPort` finds them.
fn split_port(address: &str) -> Option<(&str, &str)> {
    let (host, port) = address.rsplit_once(':')?;
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').map(|host| (host, port));
    }
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

fn strip_port(address: &str) -> String {
    split_port(address).map_or(address, |(host, _)| host).to_owned()
}

fn strip_domain(address: &str) -> String {
    let (host, port) = split_port(address).unwrap_or((address, ""));
    if host.parse::<IpAddr>().is_ok() {
        return address.to_owned();
    }
    let short = host.split('.').next().unwrap_or(host);
    if port.is_empty() { short.to_owned() } else { format!("{short}:{port}") }
}
