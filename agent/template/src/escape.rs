//! Texts made harmless for places in HTML: content, attributes, scripts and styles.

use std::fmt::Write as _;

use crate::format::quoted;
use crate::json::to_json;
use crate::value::Value;

/// What stands where a value may not stand.
pub(crate) const REFUSED: &str = "ZgotmplZ";

/// Content of an element, or of an attribute in quotes.
pub(crate) fn content(text: &str) -> String {
    replaced(text, &|char| entity(char, true))
}

/// The same for text that has its entities already.
pub(crate) fn keeps_entities(text: &str) -> String {
    replaced(text, &|char| entity(char, false))
}

/// An attribute without quotes.
pub(crate) fn unquoted(text: &str, is_html: bool) -> String {
    if text.is_empty() {
        return REFUSED.to_owned();
    }
    replaced(text, &|char| match char {
        '\0' => Some("&#xfffd;"),
        '\t' => Some("&#9;"),
        '\n' => Some("&#10;"),
        '\u{b}' => Some("&#11;"),
        '\u{c}' => Some("&#12;"),
        '\r' => Some("&#13;"),
        ' ' => Some("&#32;"),
        '=' => Some("&#61;"),
        '`' => Some("&#96;"),
        char => entity(char, !is_html),
    })
}

fn entity(char: char, ampersands: bool) -> Option<&'static str> {
    match char {
        '\0' => Some("\u{fffd}"),
        '"' => Some("&#34;"),
        '&' if ampersands => Some("&amp;"),
        '\'' => Some("&#39;"),
        '+' => Some("&#43;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    }
}

fn replaced(text: &str, by: &dyn Fn(char) -> Option<&'static str>) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match by(char) {
            Some(other) => out.push_str(other),
            None => out.push(char),
        }
    }
    out
}

/// HTML without its tags, for places that can have none.
pub(crate) fn without_tags(html: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(html.len()), html);
    while let Some(start) = rest.find('<') {
        let after = &rest[start + 1..];
        let is_tag = after.starts_with(|next: char| next.is_ascii_alphabetic() || matches!(next, '/' | '!'));
        match after.find('>') {
            Some(end) if is_tag => {
                out.push_str(&rest[..start]);
                rest = &after[end + 1..];
            }
            _ => {
                out.push_str(&rest[..=start]);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The name of an attribute; one that would be a script, a style or a link is refused.
pub(crate) fn attribute_name(text: &str) -> String {
    let name = text.to_ascii_lowercase();
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let harmless = crate::markup::Attribute::of(&name) == crate::markup::Attribute::Plain;
    if plain && harmless { name } else { REFUSED.to_owned() }
}

/// A value in a script, as JSON that also is JavaScript.
pub(crate) fn script_value(value: &Value, most: usize) -> Result<String, String> {
    if let Value::Nil = value {
        return Ok(" null ".to_owned());
    }
    let json = to_json(value, most).map_err(|error| error.to_string())?;
    // Nothing may grow together with what stands beside it.
    let word = |char: char| char == '$' || char == '_' || char.is_alphanumeric();
    let grows = json.starts_with(word) || json.ends_with(word);
    Ok(if grows { format!(" {json} ") } else { json })
}

/// A part of a text in a script.
pub(crate) fn script_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        // Writing to a String cannot fail.
        let _ = match char {
            '\t' => out.write_str("\\t"),
            '\n' => out.write_str("\\n"),
            '\u{c}' => out.write_str("\\f"),
            '\r' => out.write_str("\\r"),
            '/' => out.write_str("\\/"),
            '\\' => out.write_str("\\\\"),
            '\0' | '\u{b}' | '"' | '&' | '\'' | '+' | '<' | '>' | '`' | '$' | '{' | '}' | '\u{2028}'
            | '\u{2029}' => write!(out, "\\u{:04x}", u32::from(char)),
            other => out.write_char(other),
        };
    }
    out
}

/// A part of a regular expression in a script.
pub(crate) fn script_regex(text: &str) -> String {
    if text.is_empty() {
        return "(?:)".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for char in script_text(text).chars() {
        if "$()*-.?[]^{|}".contains(char) {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

/// A value in a style: words, numbers, colours; nothing that could be more.
pub(crate) fn style_value(text: &str) -> String {
    let mut letters = String::new();
    let mut before = ' ';
    for char in text.chars() {
        let refused = "\0\"'()/;@[\\]`{}<>".contains(char) || (char == '-' && before == '-');
        if refused {
            return REFUSED.to_owned();
        }
        if char.is_ascii_alphanumeric() {
            letters.push(char.to_ascii_lowercase());
        }
        before = char;
    }
    if letters.contains("expression") || letters.contains("mozbinding") {
        return REFUSED.to_owned();
    }
    text.to_owned()
}

/// A part of a text in a style.
pub(crate) fn style_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if !"\0\t\n\u{c}\r\"&'()+/:;<>\\{}".contains(char) {
            out.push(char);
            continue;
        }
        let _ = write!(out, "\\{:x}", u32::from(char));
        // A space ends the number where what follows could be part of it.
        if chars.peek().is_none_or(|next| next.is_ascii_hexdigit() || next.is_whitespace()) {
            out.push(' ');
        }
    }
    out
}

/// How an error shows a value that stands in a wrong place.
pub(crate) fn misplaced(text: &str) -> String {
    let head: String = text.chars().take(20).collect();
    format!("a value stands in the name of an HTML element: {}", quoted(&head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_for_their_places() {
        assert_eq!(content("a+<b> & \"c\" 'd'"), "a&#43;&lt;b&gt; &amp; &#34;c&#34; &#39;d&#39;");
        assert_eq!(keeps_entities("a &amp; <b"), "a &amp; &lt;b");
        assert_eq!(unquoted("a b=c", false), "a&#32;b&#61;c");
        assert_eq!(unquoted("", false), REFUSED);
        assert_eq!(without_tags("a <b>c</b> 1 < 2"), "a c 1 < 2");
        assert_eq!(script_text("it's </script>"), "it\\u0027s \\u003c\\/script\\u003e");
        assert_eq!(script_value(&Value::Int(5), 100).as_deref(), Ok(" 5 "));
        assert_eq!(script_value(&Value::text("<a>"), 100).as_deref(), Ok("\"\\u003ca\\u003e\""));
        for (value, shown) in
            [("red", "red"), ("#8af 1px", "#8af 1px"), ("a;b", REFUSED), ("expression", REFUSED)]
        {
            assert_eq!(style_value(value), shown, "{value}");
        }
        assert_eq!(attribute_name("Title"), "title");
        assert_eq!(attribute_name("onclick"), REFUSED);
    }
}
