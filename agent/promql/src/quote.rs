//! Go's string literals: how queries write text, and how Prometheus prints it.

use std::fmt::Write as _;

/// `text` in double quotes, escaped as Go's `%q` does.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if printable(c) => out.push(c),
            c if u32::from(c) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if u32::from(c) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

/// Whether Go's `unicode.IsPrint` lets the character stand: what Rust's `Debug` leaves alone, spaces aside.
fn printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    !c.is_whitespace() && !c.is_control() && c.escape_debug().count() == 1
}

/// Bytes in double quotes, as Go's `%q` does: those that are no UTF-8 as `\xff`.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let quoted = quote(chunk.valid());
        out.push_str(&quoted[1..quoted.len() - 1]);
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

/// The text of a literal with its quotes: `"…"`, `'…'` with escapes, or raw in backticks.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn unquote(literal: &str) -> Result<String, &'static str> {
    String::from_utf8(unquote_bytes(literal)?).map_err(|_| "escapes do not give valid UTF-8")
}

/// [`unquote`], where escapes may give bytes that are no UTF-8.
pub(crate) fn unquote_bytes(literal: &str) -> Result<Vec<u8>, &'static str> {
    let mut chars = literal.chars();
    let (open, close) = (chars.next(), chars.next_back());
    match (open, close) {
        (Some('`'), Some('`')) => Ok(chars.as_str().as_bytes().to_vec()),
        (Some(open @ ('"' | '\'')), Some(close)) if open == close => unescape(chars.as_str(), open),
        _ => Err("invalid syntax"),
    }
}

fn unescape(text: &str, quote: char) -> Result<Vec<u8>, &'static str> {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next().ok_or("escape sequence not terminated")? {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' => out.push(b'\\'),
            'x' => out.push(byte(digits(&mut chars, None, 2, 16)?)?),
            'u' => push_point(&mut out, digits(&mut chars, None, 4, 16)?)?,
            'U' => push_point(&mut out, digits(&mut chars, None, 8, 16)?)?,
            first @ '0'..='7' => out.push(byte(digits(&mut chars, Some(first), 3, 8)?)?),
            c if c == quote => out.push(c as u8),
            _ => return Err("unknown escape sequence"),
        }
    }
    Ok(out)
}

fn digits(
    chars: &mut std::str::Chars<'_>,
    first: Option<char>,
    count: usize,
    radix: u32,
) -> Result<u32, &'static str> {
    let mut value = 0;
    for at in 0..count {
        let read = if at == 0 { first.or_else(|| chars.next()) } else { chars.next() };
        let c = read.ok_or("escape sequence not terminated")?;
        value = value * radix + c.to_digit(radix).ok_or("illegal character in escape sequence")?;
    }
    Ok(value)
}

fn byte(value: u32) -> Result<u8, &'static str> {
    u8::try_from(value).map_err(|_| "escape sequence is an invalid Unicode code point")
}

fn push_point(out: &mut Vec<u8>, value: u32) -> Result<(), &'static str> {
    let c = char::from_u32(value).ok_or("escape sequence is an invalid Unicode code point")?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_read_as_in_go() {
        for (literal, text) in [
            (r#""a\tb\"c""#, Ok("a\tb\"c")),
            (r"'it\'s'", Ok("it's")),
            (r"`a\nb`", Ok(r"a\nb")),
            (r#""\x41\101\u00e9\U0001F600""#, Ok("AAé😀")),
            (r#""\xc3\xa9""#, Ok("é")),
            (r#""\xff""#, Err("escapes do not give valid UTF-8")),
            (r#""\q""#, Err("unknown escape sequence")),
            (r#""\777""#, Err("escape sequence is an invalid Unicode code point")),
            (r#""a'"#, Err("invalid syntax")),
        ] {
            assert_eq!(unquote(literal), text.map(str::to_owned), "{literal}");
        }
    }

    #[test]
    fn quoting_is_undone_by_unquoting() {
        for text in ["", "a\"b\\c", "\n\t\u{1}\u{7f}", "é 😀", "\u{200b}\u{e000}"] {
            assert_eq!(unquote(&quote(text)).as_deref(), Ok(text), "{}", quote(text));
        }
        assert_eq!(quote("a\"\u{1}é"), r#""a\"\x01é""#);
    }
}
