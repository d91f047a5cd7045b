//! What a map may hold, as data.

use crate::field::Field;
use crate::view::View;
use crate::walk::Checker;

/// What a value must look like.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// Any scalar, as text.
    Text,
    /// Text that is never shown.
    Secret,
    /// A URL that is never shown.
    SecretUrl,
    /// A boolean.
    Bool,
    /// A whole number between the two bounds, both included.
    Int(i64, i64),
    /// A number.
    Float,
    /// A Prometheus duration like `1h30m` or `1d`.
    Duration,
    /// A Go duration like `1.5s`; no days.
    GoDuration,
    /// A size like `15MB`.
    Size,
    /// A URL, as loosely as Go reads one.
    Url,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text that the function accepts.
    Check(fn(&str) -> Result<(), String>),
    /// A list of such values.
    List(&'static Type),
    /// A map from any text to such values.
    Map(&'static Type),
    /// A map of the schema's keys.
    Object(&'static Schema),
    /// Anything.
    Any,
}

impl Type {
    /// A whole number from 0.
    pub const COUNT: Self = Self::Int(0, i64::MAX);
    /// A list of texts.
    pub const TEXTS: Self = Self::List(&Self::Text);
    /// A map of texts.
    pub const TEXT_MAP: Self = Self::Map(&Self::Text);
}

/// A check over a whole map, run once all its values have their types.
pub(crate) type Verify = fn(View<'_>, &mut Checker);

/// The keys of a map.
#[derive(Debug)]
pub struct Schema {
    pub(crate) what: &'static str,
    pub(crate) fields: &'static [Field],
    pub(crate) parts: &'static [&'static Schema],
    pub(crate) verify: Option<Verify>,
}

impl Schema {
    /// A schema of `fields`; `what` names the map in messages.
    #[must_use]
    pub const fn new(what: &'static str, fields: &'static [Field]) -> Self {
        Self { what, fields, parts: &[], verify: None }
    }

    /// Also takes the keys, and makes the checks, of these.
    #[must_use]
    pub const fn with(mut self, parts: &'static [&'static Schema]) -> Self {
        self.parts = parts;
        self
    }

    /// A check of the whole map; it only runs where the values have their types.
    #[must_use]
    pub const fn verify(mut self, verify: fn(View<'_>, &mut Checker)) -> Self {
        self.verify = Some(verify);
        self
    }

    pub(crate) fn find(&self, name: &str) -> Option<&'static Field> {
        self.fields
            .iter()
            .find(|field| field.name == name)
            .or_else(|| self.parts.iter().find_map(|part| part.find(name)))
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.fields.iter().map(|field| field.name).collect();
        for part in self.parts {
            names.extend(part.names());
        }
        names
    }
}
