//! What a regular expression says of every text that matches it whole: the only texts that do, or how all of them
//! begin and end. Such texts are looked up among sorted values, and most of the others need no automaton.

use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};

/// Texts that are listed, at most; beyond that only their beginning and end are known.
const LISTED_MAX: usize = 1_024;
/// Bytes of one of them.
const LENGTH_MAX: usize = 256;

/// The literals of an expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Literals {
    /// All texts that match, sorted; none where there may be others.
    pub(crate) exact: Option<Box<[String]>>,
    /// How all begin.
    pub(crate) prefix: String,
    /// How all end.
    pub(crate) suffix: String,
}

impl Literals {
    /// Whether a value matches; none where only the expression can tell.
    pub(crate) fn decide(&self, value: &str) -> Option<bool> {
        match &self.exact {
            Some(all) => Some(all.binary_search_by(|known| known.as_str().cmp(value)).is_ok()),
            None if value.starts_with(&self.prefix) && value.ends_with(&self.suffix) => None,
            None => Some(false),
        }
    }

    /// Of an expression without its anchors, in which `.` matches newlines.
    pub(crate) fn of(source: &str) -> Self {
        let parsed = regex_syntax::ParserBuilder::new().dot_matches_new_line(true).build().parse(source);
        let Ok(hir) = parsed else { return Self::default() };
        let prefixes = extracted(&hir, ExtractKind::Prefix);
        // What is looked for around a place is no part of a literal, and may yet fail.
        let can_list = hir.properties().look_set().is_empty() && prefixes.is_exact();
        Self {
            exact: can_list.then(|| listed(&prefixes)).flatten(),
            prefix: prefixes.longest_common_prefix().map(text_before).unwrap_or_default(),
            suffix: extracted(&hir, ExtractKind::Suffix)
                .longest_common_suffix()
                .map(text_behind)
                .unwrap_or_default(),
        }
    }
}

fn extracted(hir: &Hir, kind: ExtractKind) -> Seq {
    let mut extractor = Extractor::new();
    extractor.kind(kind).limit_total(LISTED_MAX).limit_literal_len(LENGTH_MAX);
    extractor.extract(hir)
}

fn listed(all: &Seq) -> Option<Box<[String]>> {
    let literals = all.literals()?.iter();
    let mut texts: Vec<String> =
        literals.map(|literal| String::from_utf8(literal.as_bytes().to_vec()).ok()).collect::<Option<_>>()?;
    texts.sort_unstable();
    texts.dedup();
    Some(texts.into())
}

/// Whole characters from the start.
fn text_before(bytes: &[u8]) -> String {
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), |_| bytes.len());
    String::from_utf8_lossy(&bytes[..valid]).into_owned()
}

/// Whole characters up to the end.
fn text_behind(bytes: &[u8]) -> String {
    let whole = (0..bytes.len()).find_map(|from| std::str::from_utf8(&bytes[from..]).ok());
    whole.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matcher::{MatchOp, Matcher};
    use crate::regex::AnchoredRegex;

    #[test]
    fn what_matches_is_listed_or_told_by_its_ends() {
        let check = |source: &str, exact: Option<&[&str]>, prefix: &str, suffix: &str| {
            let found = Literals::of(source);
            let listed = found.exact.as_ref().map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(listed.as_deref(), exact, "{source}");
            assert_eq!((&*found.prefix, &*found.suffix), (prefix, suffix), "{source}");
        };
        check("node", Some(&["node"]), "node", "node");
        check("b|a|ab?", Some(&["a", "ab", "b"]), "", "");
        check("node_(cpu|disk)_total", Some(&["node_cpu_total", "node_disk_total"]), "node_", "_total");
        check("node_.*_total", None, "node_", "_total");
        check(".*:9100", None, "", ":9100");
        check("", Some(&[""]), "", "");
        check("a\\b", None, "a", "a");
        check("(", None, "", "");
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
        /// Whatever is known of them, the values that match are the same.
        #[test]
        fn literals_change_no_match(source in any_source(), values in prop::collection::vec("[abAé\n]{0,5}", 1..20)) {
            let Ok(regex) = AnchoredRegex::new(&source) else { return Ok(()) };
            let matcher = Matcher::new("a", MatchOp::Regex, source.as_str()).expect("valid");
            let listed = matcher.values().unwrap_or_default();
            prop_assert!(listed.iter().all(|value| regex.is_match(value)), "{:?}", source);
            for value in values {
                let matches = regex.is_match(&value);
                prop_assert_eq!(matcher.matches(&value), matches, "{:?} and {:?}", source, value);
                prop_assert!(!matches || value.starts_with(matcher.prefix()));
                prop_assert!(!matches || matcher.values().is_none_or(|listed| listed.contains(&value)));
            }
        }
    }
}
