//! Rule files: strict, with the place and the rule named in every error.

use std::path::Path;
use std::sync::Arc;

use model::{Labels, NameValidation};
use rules::{Rule, RuleError, RuleField, RuleGroup, RuleParts};
use yaml::{Checker, ConfigErrors, Kind, Node, Position, Schema, Type, View, field};

use crate::load::read;

static FILE: Schema = Schema::new("a rule file", &[field("groups", Type::List(&Type::Object(&GROUP)))]);

static GROUP: Schema = Schema::new(
    "a rule group",
    &[
        field("name", Type::Text),
        field("interval", Type::Duration),
        field("query_offset", Type::Duration),
        field("limit", Type::COUNT),
        field("labels", Type::TEXT_MAP),
        field("rules", Type::List(&Type::Object(&RULE))),
    ],
);

static RULE: Schema = Schema::new(
    "a rule",
    &[
        field("record", Type::Text),
        field("alert", Type::Text),
        field("expr", Type::Text),
        field("for", Type::Duration),
        field("keep_firing_for", Type::Duration),
        field("labels", Type::TEXT_MAP),
        field("annotations", Type::TEXT_MAP),
    ],
);

/// Reads and checks a rule file.
///
/// # Errors
/// Everything that is wrong, each with its place and the rule's name.
pub fn load_rules(path: &Path, names: NameValidation) -> Result<Vec<RuleGroup>, ConfigErrors> {
    load_rules_with(path, names, false)
}

/// As [`load_rules`]; `lenient` takes keys that nobody knows.
///
/// # Errors
/// As [`load_rules`].
pub fn load_rules_with(
    path: &Path,
    names: NameValidation,
    lenient: bool,
) -> Result<Vec<RuleGroup>, ConfigErrors> {
    parse(&read(path)?, path, names, lenient)
}

/// Checks `text` as if it stood in `path`.
///
/// # Errors
/// Everything that is wrong, each with its place and the rule's name.
pub fn parse_rules(text: &str, path: &Path, names: NameValidation) -> Result<Vec<RuleGroup>, ConfigErrors> {
    parse(text, path, names, false)
}

fn parse(
    text: &str,
    path: &Path,
    names: NameValidation,
    lenient: bool,
) -> Result<Vec<RuleGroup>, ConfigErrors> {
    let name = path.to_string_lossy();
    let file: Arc<str> = Arc::from(name.as_ref());
    let root = yaml::parse(&file, text)?;
    let mut reader = Reader { check: Checker::new(&file), file: name.into_owned(), names };
    if lenient {
        reader.check.ignore_unknown_keys();
    }
    reader.check.object(&root, &FILE);
    let mut groups: Vec<RuleGroup> = Vec::new();
    for view in View::of(&root).list("groups") {
        let group = reader.group(view);
        if groups.iter().any(|before| before.name == group.name) {
            let message =
                format!("groupname: {:?} is repeated in the same file; expected unique names", group.name);
            reader.check.error(view.value_at("name"), message);
        }
        groups.push(group);
    }
    reader.check.finish()?;
    Ok(groups)
}

struct Reader {
    check: Checker,
    file: String,
    names: NameValidation,
}

impl Reader {
    fn group(&mut self, view: View<'_>) -> RuleGroup {
        let name = view.text_or_empty("name").to_owned();
        if name.is_empty() {
            self.check.error(view.value_at("name"), "groupname should be set and non-empty; expected a name");
        }
        let labels = self.group_labels(view, &name);
        let rules = view.list("rules").filter_map(|rule| self.rule(rule, &name, &labels)).collect();
        RuleGroup {
            file: self.file.clone(),
            name,
            interval: view.duration("interval").filter(|interval| !interval.is_zero()),
            limit: view.count("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0),
            query_offset: view.duration("query_offset"),
            labels,
            rules,
        }
    }

    fn group_labels(&mut self, view: View<'_>, group: &str) -> Labels {
        for entry in view.get("labels").map_or(&[][..], Node::entries) {
            if entry.key == model::METRIC_NAME || !self.names.is_label_name(&entry.key) {
                let message = format!("group {group:?}: invalid label name: {}", entry.key);
                self.check.error(entry.at, message);
            }
        }
        Labels::from_pairs(view.pairs("labels"))
    }

    fn rule(&mut self, view: View<'_>, group: &str, labels: &Labels) -> Option<Rule> {
        let text = |key: &str| view.text_or_empty(key).to_owned();
        let parts = RuleParts {
            record: text("record"),
            alert: text("alert"),
            expr: text("expr"),
            hold_for: view.duration("for"),
            keep_firing_for: view.duration("keep_firing_for"),
            labels: view.pairs("labels"),
            annotations: view.pairs("annotations"),
        };
        let name = if parts.alert.is_empty() { &parts.record } else { &parts.alert };
        let title = format!("group {group:?}, rule {name:?}");
        match Rule::new(parts, labels, self.names) {
            Ok(rule) => Some(rule),
            Err(errors) => {
                for error in errors {
                    self.check.error(place(view, &error), format!("{title}: {error}"));
                }
                None
            }
        }
    }
}

/// Where in the file an error of a rule stands.
fn place(view: View<'_>, error: &RuleError) -> Position {
    let entry = |map: &str, name: &str| view.get(map).and_then(|node| node.entry(name)).map(|entry| entry.at);
    match &error.field {
        RuleField::Rule => view.at(),
        RuleField::Record => view.value_at("record"),
        RuleField::For => view.key_at("for"),
        RuleField::KeepFiringFor => view.key_at("keep_firing_for"),
        RuleField::Label(name) => entry("labels", name).unwrap_or_else(|| view.key_at("labels")),
        RuleField::Annotation(name) => {
            entry("annotations", name).unwrap_or_else(|| view.key_at("annotations"))
        }
        RuleField::Expr(range) => match (view.get("expr"), range) {
            (Some(node), Some(range)) => within(node, range.line, range.column),
            _ => view.value_at("expr"),
        },
    }
}

/// A place inside a plain text of one line; of any other text its start.
fn within(node: &Node, line: u32, column: u32) -> Position {
    let plain =
        matches!(&node.kind, Kind::Scalar { text, quoted: false } if text.is_ascii() && !text.contains('\n'));
    if plain && line == 1 {
        Position { column: node.at.column.saturating_add(column.saturating_sub(1)), ..node.at }
    } else {
        node.at
    }
}
