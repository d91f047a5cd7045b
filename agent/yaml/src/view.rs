//! Typed reading of a map that a schema has checked.

use std::time::Duration;

use crate::error::Position;
use crate::node::Node;
use crate::scalar::{parse_bool, parse_float, parse_go_duration, parse_int, parse_size};

/// A map under reading; an absent one reads as empty. Values of a wrong type read as absent, as the
/// schema walk has reported them.
#[derive(Clone, Copy, Debug)]
pub struct View<'n> {
    node: Option<&'n Node>,
    at: Position,
}

impl<'n> View<'n> {
    /// The map in `node`.
    #[must_use]
    pub fn of(node: &'n Node) -> Self {
        Self { node: Some(node), at: node.at }
    }

    /// The node itself, where there is one.
    #[must_use]
    pub fn node(&self) -> Option<&'n Node> {
        self.node
    }

    /// Where the map stands.
    #[must_use]
    pub fn at(&self) -> Position {
        self.at
    }

    /// Where `key` stands, or the map itself where it is absent: the place for messages.
    #[must_use]
    pub fn key_at(&self, key: &str) -> Position {
        self.node.and_then(|node| node.entry(key)).map_or(self.at, |entry| entry.at)
    }

    /// Where the value of `key` stands, or the map itself where it is absent.
    #[must_use]
    pub fn value_at(&self, key: &str) -> Position {
        self.get(key).map_or(self.at, |node| node.at)
    }

    /// The value under `key`, where something was written.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.node.and_then(|node| node.get(key)).filter(|node| !node.is_null())
    }

    /// Whether something was written under `key`.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether `key` holds text that is not empty.
    #[must_use]
    pub fn filled(&self, key: &str) -> bool {
        self.text(key).is_some_and(|text| !text.is_empty())
    }

    /// The text under `key`.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'n str> {
        self.get(key).and_then(Node::text)
    }

    /// The text under `key`, empty where absent.
    #[must_use]
    pub fn text_or_empty(&self, key: &str) -> &'n str {
        self.text(key).unwrap_or_default()
    }

    /// The boolean under `key`.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.text(key).and_then(parse_bool)
    }

    /// The whole number under `key`.
    #[must_use]
    pub fn int(&self, key: &str) -> Option<i64> {
        self.text(key).and_then(parse_int).and_then(|number| i64::try_from(number).ok())
    }

    /// The whole number from 0 under `key`.
    #[must_use]
    pub fn count(&self, key: &str) -> Option<u64> {
        self.text(key).and_then(parse_int).and_then(|number| u64::try_from(number).ok())
    }

    /// The number under `key`.
    #[must_use]
    pub fn float(&self, key: &str) -> Option<f64> {
        self.text(key).and_then(parse_float)
    }

    /// The Prometheus duration under `key`.
    #[must_use]
    pub fn duration(&self, key: &str) -> Option<Duration> {
        self.text(key).and_then(|text| model::parse_duration(text).ok())
    }

    /// The Go duration under `key`.
    #[must_use]
    pub fn go_duration(&self, key: &str) -> Option<Duration> {
        self.text(key).and_then(|text| parse_go_duration(text).ok())
    }

    /// The size under `key`, in bytes.
    #[must_use]
    pub fn size(&self, key: &str) -> Option<u64> {
        self.text(key).and_then(|text| parse_size(text).ok())
    }

    /// The map under `key`; empty where absent.
    #[must_use]
    pub fn map(&self, key: &str) -> View<'n> {
        let node = self.get(key);
        View { node, at: node.map_or(self.at, |node| node.at) }
    }

    /// The items under `key`, as maps.
    pub fn list(&self, key: &str) -> impl Iterator<Item = View<'n>> + use<'n> {
        self.items(key).iter().map(View::of)
    }

    /// The items under `key`.
    #[must_use]
    pub fn items(&self, key: &str) -> &'n [Node] {
        self.get(key).map_or(&[], Node::items)
    }

    /// The texts of the list under `key`; an empty item is the empty text.
    #[must_use]
    pub fn texts(&self, key: &str) -> Vec<String> {
        self.items(key).iter().map(|node| node.text().unwrap_or_default().to_owned()).collect()
    }

    /// The texts of the map under `key`; an empty value is the empty text.
    #[must_use]
    pub fn pairs(&self, key: &str) -> Vec<(String, String)> {
        let entries = self.get(key).map_or(&[][..], Node::entries);
        entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.value.text().unwrap_or_default().to_owned()))
            .collect()
    }
}
