//! What templates compute with: Go's values as far as templates can tell them apart.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::CallError;
use crate::time::GoTime;

/// A value. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Go's nil: nothing at all. Prints as `<no value>`.
    #[default]
    Nil,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i64),
    /// `float64`.
    Float(f64),
    /// `string`.
    Text(Arc<str>),
    /// Text that is HTML already and must not be escaped.
    Html(Arc<str>),
    /// Text that is a URL already and may have any scheme.
    Url(Arc<str>),
    /// A slice.
    List(Arc<List>),
    /// A map with text keys.
    Map(Arc<Map>),
    /// `time.Time`.
    Time(GoTime),
    /// `time.Duration` in nanoseconds.
    Duration(i64),
    /// Anything with fields or methods.
    Object(Arc<dyn Object>),
}

/// Containers inside each other that a template may make: printing and dropping them goes that deep.
pub(crate) const NESTING_MAX: usize = 64;

/// A slice that knows how deep it is.
#[derive(Debug)]
pub struct List {
    items: Box<[Value]>,
    depth: usize,
}

impl Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.items
    }
}

/// A map with text keys. A key that is missing reads as the zero value of what the map holds.
#[derive(Clone, Debug)]
pub struct Map {
    entries: BTreeMap<Arc<str>, Value>,
    zero: Value,
    depth: usize,
}

impl Map {
    /// `map[string]string`: a missing key reads as the empty text.
    #[must_use]
    pub fn of_texts<K: Into<Arc<str>>, V: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), Value::Text(value.into())));
        Self { entries: entries.collect(), zero: Value::text(""), depth: 1 }
    }

    /// `map[string]interface{}`: a missing key reads as nil.
    #[must_use]
    pub fn of_any<K: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        let entries: BTreeMap<Arc<str>, Value> =
            entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
        let depth = 1 + entries.values().map(Value::depth).max().unwrap_or(0);
        Self { entries, zero: Value::Nil, depth }
    }

    /// The value of `key`, the zero value where there is none.
    #[must_use]
    pub fn get(&self, key: &str) -> Value {
        self.entries.get(key).unwrap_or(&self.zero).clone()
    }

    /// The entries in order of key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Value)> {
        self.entries.iter()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn type_name(&self) -> &'static str {
        match self.zero {
            Value::Text(_) => "map[string]string",
            _ => "map[string]interface {}",
        }
    }
}

/// A value with a type of its own: Go's structs, and named maps and slices with methods.
pub trait Object: fmt::Debug + Send + Sync {
    /// The type's name in error texts, such as `template.Alert`.
    fn type_name(&self) -> &str;

    /// Names of the fields, in the order in which the value prints.
    fn field_names(&self) -> &[&'static str] {
        &[]
    }

    /// The field of that name.
    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    /// What the method of that name gives for these arguments; `None` when there is no such method.
    fn method(&self, _name: &str, _args: &[Value]) -> Option<Result<Value, CallError>> {
        None
    }

    /// The list or map that the value is underneath; [`Value::Nil`] when it is neither.
    fn contents(&self) -> Value {
        Value::Nil
    }

    /// The name of a field in JSON.
    fn json_name(&self, field: &'static str) -> &'static str {
        field
    }

    /// How the value prints, where that is not its fields or contents.
    fn text(&self) -> Option<String> {
        None
    }
}

impl Value {
    /// A text.
    #[must_use]
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// A list.
    #[must_use]
    pub fn list(items: impl IntoIterator<Item = Value>) -> Self {
        let items: Box<[Value]> = items.into_iter().collect();
        let depth = 1 + items.iter().map(Self::depth).max().unwrap_or(0);
        Self::List(Arc::new(List { items, depth }))
    }

    /// Containers inside each other.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::List(list) => list.depth,
            Self::Map(map) => map.depth,
            _ => 0,
        }
    }

    /// How many bytes a function reads of it, roughly.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Text(text) | Self::Html(text) | Self::Url(text) => text.len(),
            Self::List(list) => list.len() * 16,
            Self::Map(map) => map.len() * 64,
            _ => 8,
        }
    }

    /// The value, unless it is nested deeper than templates may nest.
    pub(crate) fn not_too_deep(self) -> Result<Self, CallError> {
        if self.depth() > NESTING_MAX {
            return Err(format!("lists and maps inside each other, more than {NESTING_MAX} deep").into());
        }
        Ok(self)
    }

    /// The text of `%v`, where it is not longer than `most` bytes.
    pub(crate) fn show(&self, most: usize) -> Result<String, TooLong> {
        let mut out = Limited { text: String::new(), most };
        write!(out, "{self}").map_err(|_| TooLong)?;
        Ok(out.text)
    }

    /// An object.
    #[must_use]
    pub fn object(object: impl Object + 'static) -> Self {
        Self::Object(Arc::new(object))
    }

    /// The type's name in error texts.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Html(_) => "template.HTML",
            Self::Url(_) => "template.URL",
            Self::List(_) => "[]interface {}",
            Self::Map(map) => map.type_name(),
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Object(object) => object.type_name(),
        }
    }

    /// Whether `{{if}}` takes it for true: not zero, not empty, not nil.
    #[must_use]
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Duration(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) | Self::Html(text) | Self::Url(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Time(_) => true,
            Self::Object(object) => match object.contents() {
                Self::Nil => true,
                contents => contents.is_true(),
            },
        }
    }

    /// The text of a text.
    #[must_use]
    pub fn as_text(&self) -> Option<&Arc<str>> {
        match self {
            Self::Text(text) | Self::Html(text) | Self::Url(text) => Some(text),
            _ => None,
        }
    }

    /// The list or map underneath; the value itself where it is no object.
    #[must_use]
    pub fn contents(&self) -> Self {
        match self {
            Self::Object(object) => object.contents(),
            other => other.clone(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

/// Prints as Go's `%v`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("<no value>"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => f.write_str(&crate::number::general(*value, None)),
            Self::Text(text) | Self::Html(text) | Self::Url(text) => f.write_str(text),
            Self::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    let gap = if at > 0 { " " } else { "" };
                    write!(f, "{gap}{}", Inner(item))?;
                }
                f.write_str("]")
            }
            Self::Map(map) => {
                f.write_str("map[")?;
                for (at, (key, value)) in map.iter().enumerate() {
                    let gap = if at > 0 { " " } else { "" };
                    write!(f, "{gap}{key}:{}", Inner(value))?;
                }
                f.write_str("]")
            }
            Self::Time(time) => write!(f, "{time}"),
            Self::Duration(nanos) => f.write_str(&crate::time::duration_text(*nanos)),
            Self::Object(object) => show_object(object.as_ref(), f),
        }
    }
}

/// A text that would be over its limit.
#[derive(Debug)]
pub(crate) struct TooLong;

/// Takes text up to a length. Shared values print once for each place, so that little data can be much text.
pub(crate) struct Limited {
    pub(crate) text: String,
    pub(crate) most: usize,
}

impl fmt::Write for Limited {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() > self.most {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// A value inside another one: nil there has its own name.
struct Inner<'a>(&'a Value);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Nil => f.write_str("<nil>"),
            value => write!(f, "{value}"),
        }
    }
}

fn show_object(object: &dyn Object, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(text) = object.text() {
        return f.write_str(&text);
    }
    match object.contents() {
        Value::Nil => {}
        contents => return write!(f, "{contents}"),
    }
    f.write_str("{")?;
    for (at, name) in object.field_names().iter().enumerate() {
        let gap = if at > 0 { " " } else { "" };
        write!(f, "{gap}{}", Inner(&object.field(name).unwrap_or_default()))?;
    }
    f.write_str("}")
}
