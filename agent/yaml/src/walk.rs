//! Walks a tree along a schema and collects what is wrong, what is not built yet, what has no effect and
//! what is secret.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::{ConfigErrors, Located, Position};
use crate::field::Field;
use crate::node::{Entry, Kind, Node};
use crate::scalar::{check_url, parse_bool, parse_float, parse_go_duration, parse_int, parse_size};
use crate::schema::{Schema, Type};
use crate::view::View;

/// Errors in one file at most; more would only hide the first.
const MAX_ERRORS: usize = 50;

/// Collects what a walk finds in one file.
#[derive(Debug)]
pub struct Checker {
    file: Arc<str>,
    errors: Vec<Located>,
    later: Vec<Located>,
    moot: Vec<Located>,
    secrets: HashSet<Position>,
    lenient: bool,
}

impl Checker {
    /// Nothing found yet in `file`.
    #[must_use]
    pub fn new(file: &Arc<str>) -> Self {
        Self {
            file: Arc::clone(file),
            errors: Vec::new(),
            later: Vec::new(),
            moot: Vec::new(),
            secrets: HashSet::new(),
            lenient: false,
        }
    }

    /// Passes over keys that a schema does not have.
    pub fn ignore_unknown_keys(&mut self) {
        self.lenient = true;
    }

    /// Notes an error, on one line.
    pub fn error(&mut self, at: Position, message: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            let message = one_line(message.into());
            self.errors.push(Located { file: Arc::clone(&self.file), at, message });
        }
    }

    /// Notes something valid that is not built: `what` names it.
    pub fn later(&mut self, at: Position, key: &str, what: &str) {
        let message = format!(
            "{key} is valid, but {what} is not available in this version; expected a configuration without it"
        );
        self.later.push(Located { file: Arc::clone(&self.file), at, message });
    }

    /// Takes the valid keys that have no effect here, in order of place.
    #[must_use]
    pub fn take_moot(&mut self) -> Vec<Located> {
        self.moot.sort_by_key(|note| note.at);
        std::mem::take(&mut self.moot)
    }

    /// Marks a value that must not be shown.
    pub fn secret(&mut self, node: &Node) {
        self.secrets.insert(node.at);
    }

    /// How many errors there are so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.errors.len()
    }

    /// Places of values that must not be shown.
    #[must_use]
    pub fn secrets(&self) -> &HashSet<Position> {
        &self.secrets
    }

    /// The valid things that are not built, in order of place.
    ///
    /// # Errors
    /// Everything that is wrong, in order of place.
    pub fn finish(mut self) -> Result<Vec<Located>, ConfigErrors> {
        if !self.errors.is_empty() {
            self.errors.sort_by_key(|error| error.at);
            self.errors.dedup();
            return Err(ConfigErrors(self.errors));
        }
        self.later.sort_by_key(|note| note.at);
        Ok(self.later)
    }

    /// Checks a map against `schema`; nothing at all counts as an empty map. Returns whether it was
    /// without errors.
    pub fn object(&mut self, node: &Node, schema: &'static Schema) -> bool {
        let before = self.count();
        match &node.kind {
            Kind::Null => {}
            Kind::Map(entries) => {
                for entry in entries {
                    self.entry(entry, schema);
                }
            }
            _ => self
                .error(node.at, format!("expected {}, a map of keys; got {}", schema.what, node.describe())),
        }
        if self.count() == before {
            self.verify(View::of(node), schema);
        }
        self.count() == before
    }

    fn verify(&mut self, view: View<'_>, schema: &'static Schema) {
        for part in schema.parts {
            self.verify(view, part);
        }
        if let Some(verify) = schema.verify {
            verify(view, self);
        }
    }

    fn entry(&mut self, entry: &Entry, schema: &'static Schema) {
        let Some(field) = schema.find(&entry.key) else {
            if self.lenient {
                return;
            }
            let message =
                format!("unknown key {:?} in {}; {}", entry.key, schema.what, expected(&entry.key, schema));
            return self.error(entry.at, message);
        };
        if entry.value.is_null() {
            return;
        }
        let good = self.field(field, &entry.value);
        if let Some(what) = field.later.filter(|_| good && !is_off(field.kind, &entry.value)) {
            self.later(entry.at, field.name, what);
        }
        if let Some(why) = field.moot.filter(|_| good) {
            let message = format!("{} has no effect here: {why}", field.name);
            self.moot.push(Located { file: Arc::clone(&self.file), at: entry.at, message });
        }
    }

    fn field(&mut self, field: &Field, value: &Node) -> bool {
        let before = self.count();
        if let (Type::List(Type::Object(_)), Kind::List(items)) = (&field.kind, &value.kind) {
            for item in items.iter().filter(|item| item.is_null()) {
                let message = field
                    .empty_item
                    .map_or_else(|| format!("empty or null section in {}", field.name), str::to_owned);
                self.error(item.at, format!("{message}; expected a map of keys"));
            }
        }
        self.value(field.name, field.kind, value);
        self.count() == before
    }

    fn value(&mut self, name: &str, kind: Type, node: &Node) {
        if node.is_null() {
            return;
        }
        match (kind, &node.kind) {
            (Type::Any, _) => {}
            (Type::Object(schema), _) => {
                self.object(node, schema);
            }
            (Type::List(item), Kind::List(items)) => {
                for value in items {
                    self.value(name, *item, value);
                }
            }
            (Type::List(_), _) => self.mismatch(name, "a list", node),
            (Type::Map(value), Kind::Map(entries)) => {
                for entry in entries {
                    self.value(&entry.key, *value, &entry.value);
                }
            }
            (Type::Map(_), _) => self.mismatch(name, "a map", node),
            (_, Kind::Scalar { text, quoted }) => self.scalar(name, kind, node, text, *quoted),
            _ => self.mismatch(name, scalar_name(kind), node),
        }
    }

    fn mismatch(&mut self, name: &str, expected: &str, node: &Node) {
        self.error(node.at, format!("wrong value for {name}: got {}, expected {expected}", node.describe()));
    }

    fn scalar(&mut self, name: &str, kind: Type, node: &Node, text: &str, quoted: bool) {
        let hidden = matches!(kind, Type::Secret | Type::SecretUrl);
        if hidden || (matches!(kind, Type::Url) && has_password(text)) {
            self.secret(node);
        }
        let outcome = match kind {
            Type::Bool if quoted || parse_bool(text).is_none() => Err(None),
            Type::Float if quoted || parse_float(text).is_none() => Err(None),
            Type::Int(least, most) => match parse_int(text).filter(|_| !quoted) {
                None => Err(None),
                Some(number) if number < i128::from(least) || number > i128::from(most) => {
                    let range = if most == i64::MAX {
                        format!("at least {least}")
                    } else {
                        format!("{least} to {most}")
                    };
                    Err(Some(format!("{text} is out of range; expected {range}")))
                }
                Some(_) => Ok(()),
            },
            Type::Duration => model::parse_duration(text)
                .map(drop)
                .map_err(|error| Some(format!("{error}; expected a duration like 30s or 1h30m"))),
            Type::GoDuration => parse_go_duration(text)
                .map(drop)
                .map_err(|error| Some(format!("{error}; expected a duration like 30s or 1h30m"))),
            Type::Size => parse_size(text).map(drop).map_err(Some),
            Type::Url | Type::SecretUrl if text != "<secret>" => check_url(text).map_err(|error| {
                Some(if matches!(kind, Type::SecretUrl) {
                    "the URL cannot be parsed; expected one like https://host/path".to_owned()
                } else {
                    error
                })
            }),
            Type::Choice(words) if !words.contains(&text) => {
                Err(Some(format!("unknown value {text:?}; expected one of {}", words.join(", "))))
            }
            Type::Check(check) => check(text).map_err(Some),
            _ => Ok(()),
        };
        match outcome {
            Ok(()) => {}
            Err(None) => self.mismatch(name, scalar_name(kind), node),
            Err(Some(message)) => self.error(node.at, format!("wrong value for {name}: {message}")),
        }
    }
}

/// A message of several lines, as the regex reader writes them, without the line that only points.
fn one_line(message: String) -> String {
    if !message.contains('\n') {
        return message;
    }
    let lines = message.lines().map(str::trim).filter(|line| !line.trim_matches('^').is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

fn scalar_name(kind: Type) -> &'static str {
    match kind {
        Type::Bool => "true or false",
        Type::Int(..) => "a whole number",
        Type::Float => "a number",
        Type::Duration | Type::GoDuration => "a duration like 30s",
        Type::Size => "a size like 15MB",
        Type::Url | Type::SecretUrl => "a URL",
        _ => "text",
    }
}

/// Whether a URL carries a password.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

/// Whether a value asks for nothing: `false`, zero, or an empty list.
fn is_off(kind: Type, value: &Node) -> bool {
    match &value.kind {
        Kind::List(items) => items.is_empty(),
        Kind::Scalar { text, .. } => match kind {
            Type::Bool => parse_bool(text) == Some(false),
            Type::Int(..) | Type::Float => parse_float(text) == Some(0.0),
            Type::Duration => model::parse_duration(text).is_ok_and(|duration| duration.is_zero()),
            _ => text.is_empty(),
        },
        _ => false,
    }
}

/// The key that was probably meant, or all that there are.
fn expected(key: &str, schema: &Schema) -> String {
    let names = schema.names();
    let near = names.iter().map(|name| (distance(key, name), *name)).min();
    match near {
        Some((steps, name)) if steps <= 1 + name.len() / 4 => format!("expected {name:?}?"),
        _ => format!("expected one of {}", names.join(", ")),
    }
}

/// Letters to insert, drop or change to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(100).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_letters() {
        assert_eq!([distance("consult", "consul"), distance("abc", "abc"), distance("", "ab")], [1, 0, 2]);
    }
}
