//! Texts as receivers take them: cut to size, and as JSON the way Go writes it.

use serde::Serialize;

/// What stands where a text was cut.
const MARK: char = '…';

/// At most so many characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    if most <= 3 {
        return text.chars().take(most).collect();
    }
    let mut short: String = text.chars().take(most - 1).collect();
    short.push(MARK);
    short
}

/// At most so many bytes, which are more than three.
pub(crate) fn cut_bytes(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub(MARK.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end])
}

/// JSON with `<`, `>`, `&` and line separators escaped, and a line break at its end.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut escaped = String::with_capacity(text.len() + 64);
    for char in text.chars() {
        match char {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            char => escaped.push(char),
        }
    }
    escaped.push('\n');
    escaped
}

/// Whether a field is left out.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde asks it")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_with_a_mark() {
        for (text, most, short) in
            [("abc", 3, "abc"), ("abcd", 3, "abc"), ("abcdef", 5, "abcd…"), ("äöüäöü", 5, "äöüä…")]
        {
            assert_eq!(cut(text, most), short);
        }
        assert_eq!(cut_bytes("abcdef", 6), "abcdef");
        assert_eq!(cut_bytes("abcdefg", 6), "abc…");
        assert_eq!(cut_bytes("aäääää", 6), "aä…");
    }

    #[test]
    fn json_is_escaped_as_go_does() {
        assert_eq!(json(&"a<b>&\u{2028}"), "\"a\\u003cb\\u003e\\u0026\\u2028\"\n");
    }
}
