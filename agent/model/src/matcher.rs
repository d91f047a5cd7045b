//! Label matchers.

use std::fmt;
use std::sync::Arc;

use crate::labels::{Labels, is_valid_legacy_label_name};
use crate::literals::Literals;
use crate::regex::{AnchoredRegex, RegexError};

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        })
    }
}

/// A condition on one label; a label that is absent has the empty value.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<AnchoredRegex>,
    literals: Arc<Literals>,
}

impl Matcher {
    /// A matcher; a regex is compiled and anchored at both ends.
    ///
    /// # Errors
    /// When `value` is no regex and `op` asks for one.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self, RegexError> {
        let value = value.into();
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(AnchoredRegex::new(&value)?),
        };
        let literals = Arc::new(regex.as_ref().map(AnchoredRegex::literals).unwrap_or_default());
        Ok(Self { name: name.into(), op, value, regex, literals })
    }

    /// `name="value"`.
    #[must_use]
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        let literals = Arc::default();
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None, literals }
    }

    /// The label's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// What it compares with, as written.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// All values that pass, sorted, where that is a short list.
    #[must_use]
    pub fn values(&self) -> Option<&[String]> {
        match self.op {
            MatchOp::Equal => Some(std::slice::from_ref(&self.value)),
            MatchOp::Regex => self.literals.exact.as_deref(),
            MatchOp::NotEqual | MatchOp::NotRegex => None,
        }
    }

    /// What all values that pass begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self.op {
            MatchOp::Equal => &self.value,
            MatchOp::Regex => &self.literals.prefix,
            MatchOp::NotEqual | MatchOp::NotRegex => "",
        }
    }

    /// Whether a label of this value passes.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let hit = match &self.regex {
            None => self.value == value,
            Some(regex) => self.literals.decide(value).unwrap_or_else(|| regex.is_match(value)),
        };
        hit == matches!(self.op, MatchOp::Equal | MatchOp::Regex)
    }

    /// Whether a label set passes.
    #[must_use]
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.value(&self.name))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_valid_legacy_label_name(&self.name) {
            write!(f, "{}{}{:?}", self.name, self.op, self.value)
        } else {
            write!(f, "{:?}{}{:?}", self.name, self.op, self.value)
        }
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_label_is_empty_and_a_regex_is_anchored() {
        let labels = Labels::from_pairs([("job", "node")]);
        for (op, value, hit) in [
            (MatchOp::Equal, "node", true),
            (MatchOp::NotEqual, "node", false),
            (MatchOp::Regex, "nod", false),
            (MatchOp::Regex, "no.*", true),
            (MatchOp::NotRegex, "no.*", false),
        ] {
            assert_eq!(
                Matcher::new("job", op, value).expect("valid").matches_labels(&labels),
                hit,
                "{op}{value}"
            );
        }
        assert!(Matcher::equal("absent", "").matches_labels(&labels));
    }
}
