//! What a scalar is where no schema says it: the types that YAML itself gives to unquoted text.

use crate::node::{Kind, Node};
use crate::scalar::{parse_bool, parse_float, parse_int};

/// A value without a schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Plain<'n> {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(&'n str),
    /// A list.
    List(&'n [Node]),
    /// A map.
    Map(&'n [crate::node::Entry]),
}

impl Node {
    /// The value as YAML reads it on its own.
    #[must_use]
    pub fn plain(&self) -> Plain<'_> {
        match &self.kind {
            Kind::Null => Plain::Null,
            Kind::List(items) => Plain::List(items),
            Kind::Map(entries) => Plain::Map(entries),
            Kind::Scalar { text, quoted: true } => Plain::Text(text),
            Kind::Scalar { text, quoted: false } => unquoted(text),
        }
    }
}

fn unquoted(text: &str) -> Plain<'_> {
    if let Some(value) = parse_bool(text) {
        return Plain::Bool(value);
    }
    // Not every text that a setting takes for a number is one: "ff" is text, "1e3" and ".5" are numbers.
    let numeric =
        text.trim_start_matches(['+', '-']).starts_with(|first: char| first.is_ascii_digit() || first == '.');
    if !numeric {
        return Plain::Text(text);
    }
    match parse_int(text).and_then(|number| i64::try_from(number).ok()) {
        Some(number) => Plain::Int(number),
        None => parse_float(text).map_or(Plain::Text(text), Plain::Float),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn scalars_have_types_of_their_own() {
        let file = Arc::from("t.yml");
        for (text, value) in [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("yes", Plain::Bool(true)),
            ("\"yes\"", Plain::Text("yes")),
            ("12", Plain::Int(12)),
            ("0x1f", Plain::Int(31)),
            ("1.5", Plain::Float(1.5)),
            ("1e3", Plain::Float(1000.0)),
            ("ff", Plain::Text("ff")),
            ("10.0.0.1", Plain::Text("10.0.0.1")),
            ("[1, a]", Plain::List(&[])),
        ] {
            let node = crate::parse(&file, text).expect(text);
            match (node.plain(), value) {
                (Plain::List(items), Plain::List(_)) => assert_eq!(items.len(), 2, "{text}"),
                (plain, value) => assert_eq!(plain, value, "{text}"),
            }
        }
    }
}
