//! The functions that every Go template has.

use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::error::CallError;
use crate::format;
use crate::functions::{Function, Kind};
use crate::value::Value;

type Answer = Result<Value, CallError>;

/// All of them, by name.
pub(crate) fn all() -> Vec<(&'static str, Function)> {
    const ANY: &[Kind] = &[Kind::Any];
    const TWO: &[Kind] = &[Kind::Any, Kind::Any];
    let many = |body: fn(&[Value]) -> Answer| Function::variadic(&[], Kind::Any, body);
    let one_or_more = |body: fn(&[Value]) -> Answer| Function::variadic(ANY, Kind::Any, body);
    let two = |body: fn(&[Value]) -> Answer| Function::new(TWO, body);
    vec![
        // Their arguments are evaluated one by one: the executor does it.
        ("and", one_or_more(|args| Ok(args.last().cloned().unwrap_or_default()))),
        ("or", one_or_more(|args| Ok(args.last().cloned().unwrap_or_default()))),
        ("not", Function::new(ANY, |args| Ok(Value::Bool(!args[0].is_true())))),
        ("len", Function::new(ANY, |args| len(&args[0]))),
        ("index", one_or_more(index)),
        ("slice", one_or_more(slice)),
        ("call", one_or_more(call)),
        ("print", many(|args| Ok(format::print(args)?.into()))),
        ("println", many(|args| Ok(format::print_line(args)?.into()))),
        (
            "printf",
            Function::variadic(&[Kind::Text], Kind::Any, |args| {
                let text = args[0].as_text().map_or("", |text| text);
                Ok(format::printf(text, &args[1..])?.into())
            }),
        ),
        ("html", many(|args| Ok(html(&joined(args)?).into()))),
        ("js", many(|args| Ok(js(&joined(args)?).into()))),
        ("urlquery", many(|args| Ok(query_escape(&joined(args)?).into()))),
        ("eq", one_or_more(equal_any)),
        ("ne", two(|args| Ok(Value::Bool(!equal(&args[0], &args[1])?)))),
        ("lt", two(|args| Ok(Value::Bool(order(&args[0], &args[1])? == Some(Ordering::Less))))),
        (
            "le",
            two(|args| {
                let order = order(&args[0], &args[1])?;
                Ok(Value::Bool(matches!(order, Some(Ordering::Less | Ordering::Equal))))
            }),
        ),
        ("gt", two(|args| Ok(Value::Bool(order(&args[0], &args[1])? == Some(Ordering::Greater))))),
        (
            "ge",
            two(|args| {
                let order = order(&args[0], &args[1])?;
                Ok(Value::Bool(matches!(order, Some(Ordering::Greater | Ordering::Equal))))
            }),
        ),
    ]
}

fn len(value: &Value) -> Answer {
    let count = match value.contents() {
        Value::Text(text) | Value::Html(text) | Value::Url(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.len(),
        Value::Nil if matches!(value, Value::Nil) => return Err("len of nil pointer".into()),
        _ => return Err(format!("len of type {}", value.type_name()).into()),
    };
    Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

fn index(args: &[Value]) -> Answer {
    let mut value = args[0].clone();
    if matches!(value, Value::Nil) {
        return Err("index of untyped nil".into());
    }
    for key in &args[1..] {
        value = match value.contents() {
            Value::List(items) => {
                let at = position(key, items.len())?;
                items.get(at).cloned().ok_or_else(|| out_of_range(key))?
            }
            Value::Text(text) => {
                let at = position(key, text.len())?;
                let byte = text.as_bytes().get(at).ok_or_else(|| out_of_range(key))?;
                Value::Int(i64::from(*byte))
            }
            Value::Map(map) => match key.as_text() {
                Some(key) => map.get(key),
                None if matches!(key, Value::Nil) => {
                    return Err("value is nil; should be of type string".into());
                }
                None => {
                    let what = format!("value has type {}; should be string", key.type_name());
                    return Err(what.into());
                }
            },
            Value::Nil if matches!(value, Value::Nil) => return Err("index of nil pointer".into()),
            _ => return Err(format!("can't index item of type {}", value.type_name()).into()),
        };
    }
    Ok(value)
}

fn position(key: &Value, most: usize) -> Result<usize, CallError> {
    match key {
        Value::Int(at) => usize::try_from(*at).ok().filter(|at| *at <= most).ok_or_else(|| out_of_range(key)),
        Value::Nil => Err("cannot index slice/array with nil".into()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name()).into()),
    }
}

fn out_of_range(key: &Value) -> CallError {
    format!("index out of range: {key}").into()
}

fn slice(args: &[Value]) -> Answer {
    let value = args[0].contents();
    let most = match &value {
        Value::Text(_) if args.len() > 3 => return Err("cannot slice string with 3 indexes".into()),
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Nil if matches!(args[0], Value::Nil) => return Err("slice of untyped nil".into()),
        _ => return Err(format!("can't slice item of type {}", args[0].type_name()).into()),
    };
    if args.len() > 4 {
        return Err(format!("too many slice indexes: {}", args.len() - 1).into());
    }
    let mut bounds = [0, most, most];
    for (at, key) in args[1..].iter().enumerate() {
        bounds[at] = position(key, most)?;
    }
    let [start, end, _] = bounds;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}").into());
    }
    Ok(match value {
        Value::Text(text) => Value::text(String::from_utf8_lossy(&text.as_bytes()[start..end]).into_owned()),
        Value::List(items) => Value::list(items[start..end].iter().cloned()),
        _ => Value::Nil,
    })
}

/// No value is a function here: templates get none.
fn call(args: &[Value]) -> Answer {
    match &args[0] {
        Value::Nil => Err("call of nil".into()),
        other => Err(format!("non-function of type {}", other.type_name()).into()),
    }
}

/// What escapers are given, as one text.
pub(crate) fn joined(args: &[Value]) -> Result<String, CallError> {
    match args {
        [Value::Text(text) | Value::Html(text) | Value::Url(text)] => Ok(text.to_string()),
        args => {
            let shown: Vec<_> = args
                .iter()
                .map(|arg| if matches!(arg, Value::Nil) { Value::text("<no value>") } else { arg.clone() })
                .collect();
            Ok(format::print(&shown)?)
        }
    }
}

/// What Go's templates can compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basic {
    Bool,
    Int,
    Float,
    Text,
}

fn basic(value: &Value) -> Option<Basic> {
    match value {
        Value::Bool(_) => Some(Basic::Bool),
        Value::Int(_) | Value::Duration(_) => Some(Basic::Int),
        Value::Float(_) => Some(Basic::Float),
        Value::Text(_) | Value::Html(_) | Value::Url(_) => Some(Basic::Text),
        _ => None,
    }
}

const INCOMPATIBLE: &str = "incompatible types for comparison";

fn equal_any(args: &[Value]) -> Answer {
    if args.len() < 2 {
        return Err("missing argument for comparison".into());
    }
    for other in &args[1..] {
        if equal(&args[0], other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal(one: &Value, other: &Value) -> Result<bool, CallError> {
    match (one, other) {
        (Value::Nil, Value::Nil) => return Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => return Ok(false),
        (Value::Time(one), Value::Time(other)) => return Ok(one == other),
        _ => {}
    }
    match (basic(one), basic(other)) {
        (Some(kind), Some(same)) if kind == same => Ok(order(one, other)? == Some(Ordering::Equal)),
        (Some(_), Some(_)) => Err(INCOMPATIBLE.into()),
        _ => {
            let odd = if basic(one).is_none() { one } else { other };
            Err(format!("non-comparable type {}", odd.type_name()).into())
        }
    }
}

/// `None` where a NaN is compared.
fn order(one: &Value, other: &Value) -> Result<Option<Ordering>, CallError> {
    match (one, other) {
        (Value::Int(one) | Value::Duration(one), Value::Int(other) | Value::Duration(other)) => {
            Ok(Some(one.cmp(other)))
        }
        (Value::Float(one), Value::Float(other)) => Ok(one.partial_cmp(other)),
        (
            Value::Text(_) | Value::Html(_) | Value::Url(_),
            Value::Text(_) | Value::Html(_) | Value::Url(_),
        ) => Ok(Some(one.as_text().cmp(&other.as_text()))),
        (Value::Bool(one), Value::Bool(other)) => Ok(Some(one.cmp(other))),
        _ if basic(one).is_none() || basic(other).is_none() => Err("invalid type for comparison".into()),
        _ => Err(INCOMPATIBLE.into()),
    }
}

/// Go's `HTMLEscapeString`.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// Go's `JSEscapeString`.
fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        // Writing to a String cannot fail.
        let _ = match char {
            '\\' => out.write_str("\\\\"),
            '\'' => out.write_str("\\'"),
            '"' => out.write_str("\\\""),
            '<' | '>' | '&' | '=' => write!(out, "\\u{:04X}", u32::from(char)),
            control if control < ' ' => write!(out, "\\u{:04X}", u32::from(control)),
            control if control.is_control() => write!(out, "\\u{:04X}", u32::from(control)),
            other => out.write_char(other),
        };
    }
    out
}

/// Go's `url.QueryEscape`: a text as a value in a URL's query.
#[must_use]
pub fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            b' ' => out.push('+'),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}
