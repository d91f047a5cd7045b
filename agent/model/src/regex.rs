//! Regular expressions as matchers and relabelling use them: anchored at both ends, `.` matches newlines.

use std::fmt;
use std::sync::Arc;

use crate::literals::Literals;

/// The text is no regular expression.
#[derive(Clone, Debug, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct RegexError(String);

/// A regular expression that must match a whole value.
#[derive(Clone)]
pub struct AnchoredRegex {
    source: String,
    regex: regex::Regex,
    literals: Arc<Literals>,
}

impl AnchoredRegex {
    /// Compiles `^(?s:source)$`.
    ///
    /// # Errors
    /// When `source` is no regular expression, or one whose automaton is over 10 MiB.
    pub fn new(source: &str) -> Result<Self, RegexError> {
        regex::Regex::new(&format!("^(?s:{source})$"))
            .map(|regex| Self { source: source.to_owned(), regex, literals: Arc::new(Literals::of(source)) })
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
        let Literals { exact, prefix, suffix } = &*self.literals;
        match exact {
            Some(all) => all.binary_search_by(|known| known.as_str().cmp(value)).is_ok(),
            None => {
                value.starts_with(prefix.as_str())
                    && value.ends_with(suffix.as_str())
                    && self.regex.is_match(value)
            }
        }
    }

    /// All values that match, sorted, where that is a short list.
    #[must_use]
    pub fn values(&self) -> Option<&[String]> {
        self.literals.exact.as_deref()
    }

    /// What all values that match begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.literals.prefix
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

impl fmt::Debug for AnchoredRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    fn any_source() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "a", "b", "ab", "é", ".", ".*", ".+", "[ab]", "[^a]", "\\n", "", "^", "$", "\\b", "(?i:a)", "a?",
            "b{2}",
        ]);
        leaf.prop_map(str::to_owned).prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                prop::collection::vec(inner.clone(), 1..4)
                    .prop_map(|parts| format!("(?:{})", parts.join("|"))),
                inner.prop_map(|one| format!("({one})*")),
            ]
        })
    }

    proptest! {
        /// Literals decide as the automaton does.
        #[test]
        fn literals_change_no_match(source in any_source(), values in prop::collection::vec("[abAé\n]{0,5}", 1..20)) {
            let plain = regex::Regex::new(&format!("^(?s:{source})$"));
            let own = AnchoredRegex::new(&source);
            prop_assert_eq!(plain.is_ok(), own.is_ok());
            let (Ok(plain), Ok(own)) = (plain, own) else { return Ok(()) };
            let mut values = values;
            values.extend(own.values().into_iter().flatten().cloned());
            for value in values {
                prop_assert_eq!(own.is_match(&value), plain.is_match(&value), "{:?} and {:?}", source, value);
            }
        }
    }
}
