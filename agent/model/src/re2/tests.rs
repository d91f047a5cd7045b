//! What is translated, what is refused.

use super::*;

fn matches(source: &str, text: &str) -> bool {
    let regex = translate(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    regex::Regex::new(&format!("^(?s:{regex})$")).unwrap_or_else(|e| panic!("{regex}: {e}")).is_match(text)
}

#[test]
fn classes_are_ascii() {
    for (source, yes, no) in [
        (r"\d+", "012", "٣"),
        (r"\D", "٣", "3"),
        (r"\w+", "a_9", "é"),
        (r"\W", "é", "e"),
        (r"\s", "\t", "\u{a0}"),
        (r"\S", "\u{b}", " "),
        (r"[\d\w]+", "a1", "é"),
        (r"[^\D]", "4", "x"),
        (r"[[:alpha:]]+", "ab", "é"),
        (r"[[:^digit:]x]", "é", "1"),
        (r"a\b.+", "a é", "ab"),
        (r"\p{Greek}\pL\P{Lu}[\p{^Lu}]", "λaaa", "aaaa"),
    ] {
        assert!(matches(source, yes), "{source} {yes}");
        assert!(!matches(source, no), "{source} {no}");
    }
}

#[test]
fn what_only_rust_knows_is_literal_and_what_only_go_knows_is_translated() {
    for (source, text) in [
        ("a{,3}", "a{,3}"),
        ("x{", "x{"),
        ("{1", "{1"),
        ("a{01}", "a{01}"),
        ("[a&&b]", "&"),
        ("[+--]+", "+,-"),
        ("[a~~b]+", "~~"),
        ("[[a]+", "[a["),
        ("[]a]+", "]a"),
        ("[a-]+", "a-"),
        (r"\Qa.b*\E+", "a.b***"),
        (r"\101\x42\x{43}\n", "ABC\n"),
        (r"[\x41-\103]+", "ABC"),
        ("(?P<a>x)(?<b>y)", "xy"),
        ("(?i)AbC", "aBc"),
        ("(?i:a)b(?)", "Ab"),
        ("(?-s:.)(?U)a+", "ba"),
        ("a.b", "a\nb"),
        ("a|b#c ~", "b#c ~"),
        ("^a$", "a"),
        ("a{2}b{1,}c{0,2}?", "aabb"),
        ("é-λ", "é-λ"),
    ] {
        assert!(matches(source, text), "{source} {text}");
    }
    assert!(!matches("[a&&b]", "c") && !matches("a.b", "ab"));
}

#[test]
fn errors_are_those_of_go() {
    for (source, error) in [
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a|+", "missing argument to repetition operator: `+`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a+?{2}", "invalid nested repetition operator: `+?{2}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        (r"a\", "trailing backslash at end of expression: ``"),
        (r"\y", r"invalid escape sequence: `\y`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\<a", ""),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Alphabetic}", r"invalid character class range: `\p{Alphabetic}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?P<a>.)(?P<a>.)", "invalid named capture: `(?P<a>`"),
    ] {
        match translate(source) {
            Ok(_) => assert_eq!(error, "", "{source}"),
            Err(found) => assert_eq!(found, error, "{source}"),
        }
    }
}
