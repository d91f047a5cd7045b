//! Prints a tree back as YAML, with secrets masked.

use std::collections::HashSet;

use crate::error::Position;
use crate::node::{Kind, Node};

/// `node` as YAML; values at the places in `secrets` read `<secret>`.
#[must_use]
pub fn redacted(node: &Node, secrets: &HashSet<Position>) -> String {
    let mut out = String::new();
    Printer { secrets, out: &mut out }.block(node, 0);
    out
}

struct Printer<'p> {
    secrets: &'p HashSet<Position>,
    out: &'p mut String,
}

impl Printer<'_> {
    /// A value that starts on a line of its own.
    fn block(&mut self, node: &Node, indent: usize) {
        match &node.kind {
            Kind::Map(entries) if !entries.is_empty() => {
                for (at, entry) in entries.iter().enumerate() {
                    if at > 0 {
                        self.pad(indent);
                    }
                    self.out.push_str(&quote(&entry.key, false));
                    self.out.push(':');
                    self.after_key(&entry.value, indent);
                }
            }
            Kind::List(items) if !items.is_empty() => {
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        self.pad(indent);
                    }
                    self.out.push_str("- ");
                    self.block(item, indent + 1);
                }
            }
            _ => {
                let text = self.inline(node);
                self.out.push_str(&text);
                self.out.push('\n');
            }
        }
    }

    fn after_key(&mut self, node: &Node, indent: usize) {
        let nested = match &node.kind {
            Kind::Map(entries) => (!entries.is_empty()).then_some(indent + 1),
            Kind::List(items) => (!items.is_empty()).then_some(indent),
            _ => None,
        };
        match nested {
            Some(indent) if !self.secrets.contains(&node.at) => {
                self.out.push('\n');
                self.pad(indent);
                self.block(node, indent);
            }
            _ => {
                self.out.push(' ');
                let text = self.inline(node);
                self.out.push_str(&text);
                self.out.push('\n');
            }
        }
    }

    fn pad(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n("  ", indent));
    }

    fn inline(&self, node: &Node) -> String {
        if self.secrets.contains(&node.at) {
            return "<secret>".to_owned();
        }
        match &node.kind {
            Kind::Null => "null".to_owned(),
            Kind::Scalar { text, quoted } => quote(text, *quoted),
            Kind::List(_) => "[]".to_owned(),
            Kind::Map(_) => "{}".to_owned(),
        }
    }
}

/// Plain where that reads back as the same text, else in double quotes.
fn quote(text: &str, quoted: bool) -> String {
    let safe_start = text
        .starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.' | '<' | '$' | '(' | '^'));
    let safe = safe_start
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && text.chars().all(|c| {
            !c.is_control() && c != '\u{feff}' && c != '\u{2028}' && c != '\u{2029}' && c != '\u{85}'
        });
    let wordish =
        quoted && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '+' | '-'));
    let ambiguous = wordish || matches!(text, "null" | "Null" | "NULL" | "<<");
    if safe && !ambiguous {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
