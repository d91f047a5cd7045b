//! Text to tree: aliases and merge keys resolved, duplicate keys refused, everything bounded.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::error::{Located, Position};
use crate::node::{Entry, Kind, Node};

/// Values in one document at most, aliases expanded: a larger one is refused, so that nested
/// aliases cannot fill the memory.
pub const MAX_NODES: usize = 1_000_000;
/// Levels of nesting at most.
const MAX_DEPTH: usize = 100;

/// Reads the one document of `text`; an empty text is [`Kind::Null`].
///
/// # Errors
/// The first place where it is no YAML, a key comes twice, an alias has no anchor, there is a second
/// document, or a bound is passed. `file` only names the place.
pub fn parse(file: &Arc<str>, text: &str) -> Result<Node, Located> {
    let mut reader = Reader {
        file: Arc::clone(file),
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        open_anchors: Vec::new(),
        nodes: 0,
    };
    reader.document()
}

struct Reader<'t> {
    file: Arc<str>,
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, (Node, usize)>,
    open_anchors: Vec<usize>,
    nodes: usize,
}

fn position(span: &Span) -> Position {
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position { line: narrow(span.start.line()), column: narrow(span.start.col()).saturating_add(1) }
}

/// What an explicit tag asks for; unknown tags are refused.
enum Wanted {
    Plain,
    Text,
    Null,
}

impl<'t> Reader<'t> {
    fn fail<T>(&self, at: Position, message: impl Into<String>) -> Result<T, Located> {
        Err(Located { file: Arc::clone(&self.file), at, message: message.into() })
    }

    fn scan_error(&self, error: &ScanError) -> Located {
        let at = position(&Span::empty(*error.marker()));
        let text = error.to_string();
        let message = text.split(" at ").next().unwrap_or(&text).to_owned();
        Located { file: Arc::clone(&self.file), at, message: format!("no valid YAML: {message}") }
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Position)>, Located> {
        match self.parser.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, position(&span)))),
            Some(Err(error)) => Err(self.scan_error(&error)),
        }
    }

    fn document(&mut self) -> Result<Node, Located> {
        let mut root = None;
        while let Some((event, at)) = self.next()? {
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => {
                    let node = self.node(event, at, 0)?;
                    if root.is_some() && !node.is_null() {
                        return self.fail(at, "a second document; expected one document in the file");
                    }
                    root.get_or_insert(node);
                }
            }
        }
        Ok(root.unwrap_or(Node { at: Position::START, kind: Kind::Null }))
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), Located> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return self.fail(at, format!("more than {MAX_NODES} values in one document"));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'t>, at: Position, depth: usize) -> Result<Node, Located> {
        self.count(1, at)?;
        if depth > MAX_DEPTH {
            return self.fail(at, format!("nested deeper than {MAX_DEPTH} levels"));
        }
        let before = self.nodes;
        let (kind, anchor) = match event {
            Event::Alias(id) => return self.alias(id, at),
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(text, style, tag.as_deref(), at)?, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open_anchors.push(anchor);
                let list = self.list(depth)?;
                self.open_anchors.pop();
                (list, anchor)
            }
            Event::MappingStart(_, anchor, _) => {
                self.open_anchors.push(anchor);
                let map = self.map(depth)?;
                self.open_anchors.pop();
                (map, anchor)
            }
            other => return self.fail(at, format!("no valid YAML: unexpected {other:?}")),
        };
        let node = Node { at, kind };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, at: Position) -> Result<Node, Located> {
        if self.open_anchors.contains(&id) {
            return self.fail(at, "this alias contains itself");
        }
        let Some((_, size)) = self.anchors.get(&id) else {
            return self.fail(at, "this alias has no anchor before it");
        };
        self.count(*size, at)?;
        let kind = self.anchors.get(&id).map_or(Kind::Null, |(node, _)| node.kind.clone());
        Ok(Node { at, kind })
    }

    fn scalar(
        &self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: Position,
    ) -> Result<Kind, Located> {
        let wanted = match tag.map(|tag| (tag.handle(), tag.suffix())) {
            None => Wanted::Plain,
            Some(("tag:yaml.org,2002:", "str") | ("", "!") | ("!", "")) => Wanted::Text,
            Some(("tag:yaml.org,2002:", "null")) => Wanted::Null,
            Some(("tag:yaml.org,2002:", "int" | "float" | "bool")) => Wanted::Plain,
            Some((handle, suffix)) => {
                return self.fail(at, format!("tag {handle}{suffix} is not supported; expected plain text"));
            }
        };
        let plain = style == ScalarStyle::Plain;
        let null = plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
        Ok(match wanted {
            Wanted::Null => Kind::Null,
            Wanted::Plain if null => Kind::Null,
            Wanted::Plain => Kind::Scalar { text: text.into_owned(), quoted: !plain },
            Wanted::Text => Kind::Scalar { text: text.into_owned(), quoted: true },
        })
    }

    fn list(&mut self, depth: usize) -> Result<Kind, Located> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                None | Some((Event::SequenceEnd, _)) => return Ok(Kind::List(items)),
                Some((event, at)) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Kind, Located> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Position> = HashMap::new();
        let mut merged: Vec<Node> = Vec::new();
        loop {
            let (event, at) = match self.next()? {
                None | Some((Event::MappingEnd, _)) => break,
                Some(found) => found,
            };
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, at, depth + 1)?;
            let Some((event, value_at)) = self.next()? else {
                return self.fail(at, "no valid YAML: a key without a value");
            };
            let value = self.node(event, value_at, depth + 1)?;
            if merge {
                merged.push(value);
                continue;
            }
            let key = match key.kind {
                Kind::Scalar { text, .. } => text,
                Kind::Null => "null".to_owned(),
                Kind::List(_) | Kind::Map(_) => {
                    return self.fail(at, "a list or map as key; expected a name");
                }
            };
            if let Some(first) = seen.insert(key.clone(), at) {
                let message = format!("key {key:?} is already set in this map, at line {}", first.line);
                return self.fail(at, message);
            }
            entries.push(Entry { key, at, value });
        }
        for source in merged {
            self.merge(&mut entries, source)?;
        }
        Ok(Kind::Map(entries))
    }

    /// Adds what `<<:` names; keys that the map has itself stay.
    fn merge(&self, entries: &mut Vec<Entry>, source: Node) -> Result<(), Located> {
        match source.kind {
            Kind::Map(found) => {
                let own: std::collections::HashSet<String> =
                    entries.iter().map(|entry| entry.key.clone()).collect();
                entries.extend(found.into_iter().filter(|entry| !own.contains(&entry.key)));
                Ok(())
            }
            Kind::List(sources) => sources.into_iter().try_for_each(|one| self.merge(entries, one)),
            _ => self.fail(source.at, "map merge requires map or sequence of maps as the value"),
        }
    }
}
