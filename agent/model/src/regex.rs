//! Regular expressions as matchers and relabelling use them: anchored at both ends, `.` matches newlines.

use std::fmt;

/// The text is no regular expression.
#[derive(Clone, Debug, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct RegexError(String);

/// A regular expression that must match a whole value.
#[derive(Clone)]
pub struct AnchoredRegex {
    source: String,
    regex: regex::Regex,
}

impl AnchoredRegex {
    /// Compiles `^(?s:source)$`.
    ///
    /// # Errors
    /// When `source` is no regular expression, or one whose automaton is over 10 MiB.
    pub fn new(source: &str) -> Result<Self, RegexError> {
        regex::Regex::new(&format!("^(?s:{source})$"))
            .map(|regex| Self { source: source.to_owned(), regex })
            .map_err(|error| RegexError(error.to_string()))
    }

    /// The text it was made from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the whole of `value` matches.
    #[must_use]
    pub fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// `template` with `$1`, `${1}`, `${name}` replaced by what the groups matched; `None` without a match.
    #[must_use]
    pub fn expand(&self, value: &str, template: &str) -> Option<String> {
        let captures = self.regex.captures(value)?;
        let mut out = String::new();
        captures.expand(template, &mut out);
        Some(out)
    }
}

impl PartialEq for AnchoredRegex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for AnchoredRegex {}

impl AnchoredRegex {
    /// What is known of all values that match.
    pub(crate) fn literals(&self) -> crate::literals::Literals {
        let inner = self.regex.as_str().strip_prefix("^(?s:").and_then(|rest| rest.strip_suffix(")$"));
        inner.map(crate::literals::Literals::of).unwrap_or_default()
    }
}

impl fmt::Debug for AnchoredRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansion_takes_numbered_and_named_groups() {
        let regex = AnchoredRegex::new("(?P<host>[^:]+):([0-9]+)").expect("valid");
        assert_eq!(regex.expand("a:9100", "${host}-$2").as_deref(), Some("a-9100"));
        assert_eq!(regex.expand("a", "$1"), None);
    }

    #[test]
    fn a_newline_is_any_character() {
        assert!(AnchoredRegex::new("a.b").expect("valid").is_match("a\nb"));
        assert!(AnchoredRegex::new("(").is_err());
    }
}
