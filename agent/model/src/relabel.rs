//! Relabelling: rules that keep, drop and rewrite label sets, as Prometheus's `relabel_config` does.

use std::sync::Arc;

use md5::{Digest, Md5};

use crate::labels::{Label, Labels, LabelsBuilder, is_valid_legacy_label_name};
use crate::regex::{AnchoredRegex, RegexError};

/// Which names labels may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NameValidation {
    /// Any text that is not empty.
    #[default]
    Utf8,
    /// Letters, digits and underscores, no digit first.
    Legacy,
}

impl NameValidation {
    /// Whether `name` may name a label.
    #[must_use]
    pub fn is_label_name(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_valid_legacy_label_name(name),
        }
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RelabelAction {
    /// Sets the target label to the replacement where the regex matches.
    #[default]
    Replace,
    /// Drops the set where the regex does not match.
    Keep,
    /// Drops the set where the regex matches.
    Drop,
    /// Drops the set where the source is not the target label's value.
    KeepEqual,
    /// Drops the set where the source is the target label's value.
    DropEqual,
    /// Sets the target label to a hash of the source, modulo the modulus.
    HashMod,
    /// Copies labels whose names match to the names that the replacement gives.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the source in lower case.
    Lowercase,
    /// Sets the target label to the source in upper case.
    Uppercase,
}

impl RelabelAction {
    /// Every action with its word in a configuration.
    pub const ALL: [(&'static str, Self); 11] = [
        ("replace", Self::Replace),
        ("keep", Self::Keep),
        ("drop", Self::Drop),
        ("keepequal", Self::KeepEqual),
        ("dropequal", Self::DropEqual),
        ("hashmod", Self::HashMod),
        ("labelmap", Self::LabelMap),
        ("labeldrop", Self::LabelDrop),
        ("labelkeep", Self::LabelKeep),
        ("lowercase", Self::Lowercase),
        ("uppercase", Self::Uppercase),
    ];

    /// The action's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, action)| *action == self).map_or("replace", |(word, _)| word)
    }
}

/// A rule as it was written; what was not written is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelabelParts {
    /// Labels whose values are joined to the source.
    pub source_labels: Option<Vec<String>>,
    /// Between the joined values; `;` when not written.
    pub separator: Option<String>,
    /// Matched against the whole source (or, for `label*`, each label's name); `(.*)` when not written.
    pub regex: Option<String>,
    /// For `hashmod`.
    pub modulus: Option<u64>,
    /// The label that is set; may hold `$1` for `replace`.
    pub target_label: Option<String>,
    /// The new value; `$1` when not written.
    pub replacement: Option<String>,
    /// The action's word in any case; `replace` when not written.
    pub action: Option<String>,
    /// Which names labels may have.
    pub names: NameValidation,
}

/// A rule that cannot be used; the texts are Prometheus's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RelabelError {
    /// The action has no such word.
    #[error("unknown relabel action {0:?}")]
    UnknownAction(String),
    /// The regex cannot be compiled.
    #[error(transparent)]
    Regex(#[from] RegexError),
    /// `hashmod` without modulus.
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    ZeroModulus,
    /// The action sets a label and the rule does not say which.
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    NoTarget(&'static str),
    /// The target label is no label name.
    #[error("{1:?} is invalid 'target_label' for {0} action")]
    BadTarget(&'static str, String),
    /// A replacement where none is used.
    #[error("'replacement' can not be set for {0} action")]
    NeedlessReplacement(&'static str),
    /// `labelmap`'s replacement gives no label name.
    #[error("{1:?} is invalid 'replacement' for {0} action")]
    BadReplacement(&'static str, String),
    /// A source label that is no label name.
    #[error("{0:?} is not a valid label name")]
    BadSource(String),
    /// Fields that `keepequal` and `dropequal` do not use.
    #[error("{0} action requires only 'source_labels' and `target_label`, and no other fields")]
    OnlySourceAndTarget(&'static str),
    /// Fields that `labeldrop` and `labelkeep` do not use.
    #[error("{0} action requires only 'regex', and no other fields")]
    OnlyRegex(&'static str),
}

/// A checked rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelabelConfig {
    source_labels: Vec<Arc<str>>,
    separator: String,
    regex: AnchoredRegex,
    modulus: u64,
    target_label: Arc<str>,
    replacement: Arc<str>,
    action: RelabelAction,
    names: NameValidation,
}

const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";

impl RelabelConfig {
    /// Checks a rule.
    ///
    /// # Errors
    /// What [`RelabelError`] lists, in Prometheus's order of checks.
    pub fn new(parts: RelabelParts) -> Result<Self, RelabelError> {
        let wrote_sources = parts.source_labels.is_some();
        let action = match &parts.action {
            None => RelabelAction::Replace,
            Some(word) => parse_action(word)?,
        };
        let rule = Self {
            source_labels: parts.source_labels.unwrap_or_default().into_iter().map(Arc::from).collect(),
            separator: parts.separator.unwrap_or_else(|| DEFAULT_SEPARATOR.to_owned()),
            regex: AnchoredRegex::wrapped(parts.regex.as_deref().unwrap_or(DEFAULT_REGEX))?,
            modulus: parts.modulus.unwrap_or(0),
            target_label: parts.target_label.unwrap_or_default().into(),
            replacement: parts.replacement.unwrap_or_else(|| DEFAULT_REPLACEMENT.to_owned()).into(),
            action,
            names: parts.names,
        };
        rule.check(wrote_sources)?;
        Ok(rule)
    }

    /// What the rule does.
    #[must_use]
    pub fn action(&self) -> RelabelAction {
        self.action
    }

    /// The rule as it could be written, defaults included.
    #[must_use]
    pub fn parts(&self) -> RelabelParts {
        RelabelParts {
            source_labels: Some(self.source_labels.iter().map(|name| name.to_string()).collect()),
            separator: Some(self.separator.clone()),
            regex: Some(self.regex.source().to_owned()),
            modulus: Some(self.modulus),
            target_label: Some(self.target_label.to_string()),
            replacement: Some(self.replacement.to_string()),
            action: Some(self.action.as_str().to_owned()),
            names: self.names,
        }
    }

    fn check(&self, wrote_sources: bool) -> Result<(), RelabelError> {
        use RelabelAction as Action;
        let word = self.action.as_str();
        if let Some(name) = self.source_labels.iter().find(|name| !self.names.is_label_name(name)) {
            return Err(RelabelError::BadSource(name.to_string()));
        }
        if self.action == Action::HashMod && self.modulus == 0 {
            return Err(RelabelError::ZeroModulus);
        }
        let equal = matches!(self.action, Action::KeepEqual | Action::DropEqual);
        let cases = matches!(self.action, Action::Lowercase | Action::Uppercase);
        let sets = equal || cases || matches!(self.action, Action::Replace | Action::HashMod);
        if sets && self.target_label.is_empty() {
            return Err(RelabelError::NoTarget(word));
        }
        let good_target = match self.action {
            Action::Replace if has_variable(&self.target_label) => self.is_name_template(&self.target_label),
            _ => !sets || self.names.is_label_name(&self.target_label),
        };
        if !good_target {
            return Err(RelabelError::BadTarget(word, self.target_label.to_string()));
        }
        let replaces = &*self.replacement != DEFAULT_REPLACEMENT;
        if (equal || cases) && replaces {
            return Err(RelabelError::NeedlessReplacement(word));
        }
        if self.action == Action::LabelMap && !self.is_name_template(&self.replacement) {
            return Err(RelabelError::BadReplacement(word, self.replacement.to_string()));
        }
        let tuned = self.modulus != 0 || self.separator != DEFAULT_SEPARATOR || replaces;
        if equal && (tuned || self.regex.source() != DEFAULT_REGEX) {
            return Err(RelabelError::OnlySourceAndTarget(word));
        }
        let by_name = matches!(self.action, Action::LabelDrop | Action::LabelKeep);
        if by_name && (tuned || wrote_sources || !self.target_label.is_empty()) {
            return Err(RelabelError::OnlyRegex(word));
        }
        Ok(())
    }

    /// Whether a text with `$1` or `${name}` in it can become a label name.
    fn is_name_template(&self, template: &str) -> bool {
        let bare = strip_variables(template);
        match (bare, self.names) {
            (None, _) => false,
            (Some(_), NameValidation::Utf8) => !template.is_empty(),
            // A variable may stand where a first letter must.
            (Some(bare), NameValidation::Legacy) => {
                !template.is_empty() && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            }
        }
    }

    /// Applies the rule; false: the set is dropped.
    fn apply(&self, builder: &mut LabelsBuilder) -> bool {
        use RelabelAction as Action;
        let source = self.source(builder);
        let target = || builder.get(&self.target_label).unwrap_or("");
        match self.action {
            Action::Keep => return self.regex.is_match(&source),
            Action::Drop => return !self.regex.is_match(&source),
            Action::KeepEqual => return target() == source,
            Action::DropEqual => return target() != source,
            Action::Replace => self.replace(&source, builder),
            Action::HashMod => {
                builder.set(Arc::clone(&self.target_label), hash_mod(&source, self.modulus).to_string());
            }
            Action::Lowercase => {
                builder.set(Arc::clone(&self.target_label), source.to_lowercase());
            }
            Action::Uppercase => {
                builder.set(Arc::clone(&self.target_label), source.to_uppercase());
            }
            Action::LabelMap => {
                let matching: Vec<Label> =
                    builder.iter().filter(|label| self.regex.is_match(&label.name)).cloned().collect();
                for label in matching {
                    if let Some(name) = self.regex.expand(&label.name, &self.replacement)
                        && !name.is_empty()
                    {
                        builder.set(name, label.value);
                    }
                }
            }
            Action::LabelDrop => {
                builder.retain(|name| !self.regex.is_match(name));
            }
            Action::LabelKeep => {
                builder.retain(|name| self.regex.is_match(name));
            }
        }
        true
    }

    fn source(&self, builder: &LabelsBuilder) -> String {
        let mut joined = String::new();
        for (at, name) in self.source_labels.iter().enumerate() {
            if at > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(builder.get(name).unwrap_or(""));
        }
        joined
    }

    fn replace(&self, source: &str, builder: &mut LabelsBuilder) {
        let Some(target) = self.regex.expand(source, &self.target_label) else { return };
        if !self.names.is_label_name(&target) {
            return;
        }
        // An empty value removes the label.
        builder.set(target, self.regex.expand(source, &self.replacement).unwrap_or_default());
    }
}

/// Applies rules in order; `None`: a rule dropped the set.
#[must_use]
pub fn process(labels: &Labels, rules: &[RelabelConfig]) -> Option<Labels> {
    if rules.is_empty() {
        return Some(labels.clone());
    }
    let mut builder = labels.to_builder();
    process_builder(&mut builder, rules).then(|| builder.build())
}

/// Applies rules in order to labels in the making; false: a rule dropped the set.
pub fn process_builder(builder: &mut LabelsBuilder, rules: &[RelabelConfig]) -> bool {
    rules.iter().all(|rule| rule.apply(builder))
}

fn parse_action(word: &str) -> Result<RelabelAction, RelabelError> {
    let lower = word.to_lowercase();
    RelabelAction::ALL
        .iter()
        .find(|(known, _)| *known == lower)
        .map(|(_, action)| *action)
        .ok_or_else(|| RelabelError::UnknownAction(word.to_owned()))
}

/// The last eight bytes of the MD5 sum as a big-endian number, modulo `modulus`: sharding by
/// `hashmod` must fall as it falls in Prometheus.
fn hash_mod(source: &str, modulus: u64) -> u64 {
    let sum: [u8; 16] = Md5::digest(source.as_bytes()).into();
    let (_, low) = sum.split_at(8);
    low.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte)) % modulus.max(1)
}

fn has_variable(template: &str) -> bool {
    template.contains('$')
}

/// The template without its variables; `None` when a `$`, `{` or `}` stands where no variable is.
fn strip_variables(template: &str) -> Option<String> {
    let mut bare = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['$', '{', '}']) {
        bare.push_str(&rest[..at]);
        let after = rest[at..].strip_prefix('$')?;
        let (name, next) = match after.strip_prefix('{') {
            Some(inner) => inner.split_once('}')?,
            None => {
                let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
                after.split_at(end)
            }
        };
        if name.is_empty() || name.contains(['$', '{']) {
            return None;
        }
        rest = next;
    }
    bare.push_str(rest);
    Some(bare)
}

#[cfg(test)]
#[path = "relabel_tests.rs"]
mod tests;
