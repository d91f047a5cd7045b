//! Values as JSON, the way Go's `encoding/json` writes them.

use std::fmt::Write as _;

use crate::value::{Limited, Object, Value};

/// A value cannot be written as JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Its text would be over the limit.
    #[error("json: over the limit of {0} bytes of text")]
    TooLong(usize),
    /// JSON has no such number.
    #[error("json: unsupported value: {0}")]
    Unsupported(String),
}

/// The value as JSON of at most `most` bytes.
///
/// # Errors
/// When it is longer, or holds a number that JSON does not have.
pub fn to_json(value: &Value, most: usize) -> Result<String, JsonError> {
    let mut out = Limited { text: String::new(), most };
    write(value, &mut out).map_err(|error| error.unwrap_or(JsonError::TooLong(most)))?;
    Ok(out.text)
}

/// `None`: too long.
type Written = Result<(), Option<JsonError>>;

fn put(out: &mut Limited, text: &str) -> Written {
    out.write_str(text).map_err(|_| None)
}

fn write(value: &Value, out: &mut Limited) -> Written {
    match value {
        Value::Nil => put(out, "null"),
        Value::Bool(value) => put(out, if *value { "true" } else { "false" }),
        Value::Int(value) | Value::Duration(value) => put(out, &value.to_string()),
        Value::Float(value) => put(out, &number(*value)?),
        Value::Text(text) | Value::Html(text) | Value::Url(text) => string(out, text),
        Value::Time(time) => string(out, &time.rfc3339()),
        Value::List(items) => {
            put(out, "[")?;
            for (at, item) in items.iter().enumerate() {
                put(out, if at > 0 { "," } else { "" })?;
                write(item, out)?;
            }
            put(out, "]")
        }
        Value::Map(map) => {
            put(out, "{")?;
            for (at, (key, value)) in map.iter().enumerate() {
                entry(out, at, key, value)?;
            }
            put(out, "}")
        }
        Value::Object(object) => fields(object.as_ref(), out),
    }
}

fn fields(object: &dyn Object, out: &mut Limited) -> Written {
    match object.contents() {
        Value::Nil => {}
        contents => return write(&contents, out),
    }
    put(out, "{")?;
    for (at, name) in object.field_names().iter().enumerate() {
        entry(out, at, object.json_name(name), &object.field(name).unwrap_or_default())?;
    }
    put(out, "}")
}

fn entry(out: &mut Limited, at: usize, key: &str, value: &Value) -> Written {
    put(out, if at > 0 { "," } else { "" })?;
    string(out, key)?;
    put(out, ":")?;
    write(value, out)
}

fn string(out: &mut Limited, text: &str) -> Written {
    put(out, "\"")?;
    put(out, &escape_json(text))?;
    put(out, "\"")
}

fn number(value: f64) -> Result<String, Option<JsonError>> {
    if !value.is_finite() {
        return Err(Some(JsonError::Unsupported(crate::number::general(value, None))));
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        // One digit of an exponent has no zero before it.
        return Ok(crate::number::scientific(value, None).replace("e-0", "e-"));
    }
    Ok(crate::number::fixed(value, None))
}

/// The inside of a JSON string; `<`, `>` and `&` are escaped too, as Go does.
#[must_use]
pub fn escape_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        // Writing to a String cannot fail.
        let _ = match char {
            '"' => out.write_str("\\\""),
            '\\' => out.write_str("\\\\"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\u{8}' => out.write_str("\\b"),
            '\u{c}' => out.write_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => write!(out, "\\u{:04x}", u32::from(char)),
            control if control < ' ' => write!(out, "\\u{:04x}", u32::from(control)),
            other => out.write_char(other),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_gos() {
        let list = Value::list([Value::Float(1e21), Value::Float(0.5), Value::Float(1e-7), Value::Nil]);
        assert_eq!(to_json(&list, 100).as_deref(), Ok("[1e+21,0.5,1e-7,null]"));
        assert_eq!(
            to_json(&Value::text("a<b>&\"\u{1}\n"), 100).as_deref(),
            Ok(r#""a\u003cb\u003e\u0026\"\u0001\n""#)
        );
        assert!(matches!(to_json(&Value::Float(f64::NAN), 100), Err(JsonError::Unsupported(_))));
        assert!(matches!(to_json(&Value::text("long"), 5), Err(JsonError::TooLong(5))));
    }
}
