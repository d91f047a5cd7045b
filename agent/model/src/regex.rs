//! Regular expressions as matchers and relabelling use them: RE2's, anchored at both ends, `.` matches newlines.

use std::fmt;

use crate::re2;

/// The text is no regular expression.
#[derive(Clone, Debug, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct RegexError(String);

/// A regular expression that must match a whole value.
#[derive(Clone)]
pub struct AnchoredRegex {
    source: String,
    regex: regex::Regex,
    short: Option<Short>,
}

/// A regular expression that needs no automaton.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Short {
    /// `a|b|c`: one of these.
    OneOf(Vec<String>),
    /// `.*`, `a.*`, `.*a`, `.*a.*`, and the same with `.+`.
    Part {
        /// Whether anything may stand before it, and whether something must.
        before: Open,
        text: String,
        /// The same for what stands behind it.
        after: Open,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    Anything,
    Something,
}

impl Open {
    fn least(self) -> usize {
        usize::from(self == Self::Something)
    }
}

/// The text that a part means, if it only means itself.
fn plain(part: &str) -> Option<String> {
    let mut out = String::with_capacity(part.len());
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().filter(char::is_ascii_punctuation)?),
            '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

impl Short {
    fn of(source: &str) -> Option<Self> {
        let alternatives: Option<Vec<String>> = source.split('|').map(plain).collect();
        if let Some(alternatives) = alternatives {
            return Some(Self::OneOf(alternatives));
        }
        let (before, rest) = if let Some(rest) = source.strip_prefix(".*") {
            (Open::Anything, rest)
        } else if let Some(rest) = source.strip_prefix(".+") {
            (Open::Something, rest)
        } else {
            (Open::Nothing, source)
        };
        let (after, rest) = if let Some(rest) = rest.strip_suffix(".*") {
            (Open::Anything, rest)
        } else if let Some(rest) = rest.strip_suffix(".+") {
            (Open::Something, rest)
        } else {
            (Open::Nothing, rest)
        };
        // `\.*` does not end with anything, but with a repeated dot.
        Some(Self::Part { before, text: plain(rest)?, after })
    }

    fn is_match(&self, value: &str) -> bool {
        match self {
            Self::OneOf(texts) => texts.iter().any(|text| text == value),
            Self::Part { before, text, after } => {
                let (least_before, least_after) = (before.least(), after.least());
                match (before, after) {
                    (Open::Nothing, _) => {
                        value.strip_prefix(text.as_str()).is_some_and(|rest| rest.len() >= least_after)
                    }
                    (_, Open::Nothing) => {
                        value.strip_suffix(text.as_str()).is_some_and(|rest| rest.len() >= least_before)
                    }
                    _ => value
                        .match_indices(text.as_str())
                        .any(|(at, _)| at >= least_before && value.len() - at - text.len() >= least_after),
                }
            }
        }
    }
}

impl AnchoredRegex {
    /// Compiles `^(?s:source)$`.
    ///
    /// # Errors
    /// When `source` is no regular expression, or one whose automaton is over 10 MiB.
    pub fn new(source: &str) -> Result<Self, RegexError> {
        let translated = re2::translate(source).map_err(RegexError)?;
        let regex = regex::Regex::new(&format!("^(?s:{translated})$"))
            .map_err(|error| RegexError(error.to_string()))?;
        Ok(Self { source: source.to_owned(), regex, short: Short::of(source) })
    }

    /// As [`AnchoredRegex::new`], with the errors of those who compile `^(?s:source)$` as one text.
    ///
    /// # Errors
    /// As [`AnchoredRegex::new`].
    pub fn wrapped(source: &str) -> Result<Self, RegexError> {
        Self::new(source).map_err(|error| match re2::translate(&format!("^(?s:{source})$")) {
            Err(what) => RegexError(what),
            // What is wrong alone may be right between the two halves, as `a)|(b` is; it is not meant.
            Ok(_) => error,
        })
    }

    /// The text it was made from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the whole of `value` matches.
    #[must_use]
    pub fn is_match(&self, value: &str) -> bool {
        match &self.short {
            Some(short) => short.is_match(value),
            None => self.regex.is_match(value),
        }
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

    #[test]
    fn the_short_way_gives_what_the_automaton_gives() {
        let parts = ["", "a", "ab", ".*", ".+", r"\.", r"\.*", "|", "b?", r"\d", "é", ".*a.+", "a|.*", ".*b"];
        let values = ["", "a", "ab", "b", ".", "..", "a\nb", "xa", "ax", "aa", "é", "5", "a.", "ba", "aba"];
        let mut short = 0;
        for one in parts {
            for two in parts {
                let source = format!("{one}{two}");
                let Ok(regex) = AnchoredRegex::new(&source) else { continue };
                short += usize::from(regex.short.is_some());
                for value in values {
                    let wanted = regex.regex.is_match(value);
                    assert_eq!(regex.is_match(value), wanted, "{source:?} on {value:?}");
                }
            }
        }
        assert!(short > 50, "{short}");
    }
}
