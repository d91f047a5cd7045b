//! Numbers and quoted texts as Go writes them.

use crate::ast::Number;

/// Reads a number or a character constant.
pub(crate) fn number(text: &str) -> Result<Number, String> {
    let bad = || format!("illegal number syntax: {text:?}");
    if text.starts_with('\'') {
        let inner = unquote(text).ok_or_else(|| format!("malformed character constant: {text}"))?;
        let mut chars = inner.chars();
        let (Some(char), None) = (chars.next(), chars.next()) else {
            return Err(format!("malformed character constant: {text}"));
        };
        let code = u32::from(char);
        return Ok(Number {
            text: text.into(),
            int: Some(i64::from(code)),
            float: Some(f64::from(code)),
            is_float: false,
        });
    }
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let whole = whole(digits);
    let int = whole.and_then(|value| {
        let value = if negative { -i128::from(value) } else { i128::from(value) };
        i64::try_from(value).ok()
    });
    if whole.is_some() && int.is_none() {
        return Err(format!("integer overflow: {text:?}"));
    }
    #[allow(clippy::cast_precision_loss, reason = "what Go does with a constant in place of a float")]
    let float = match int {
        Some(int) => int as f64,
        None => {
            let size = float(digits).ok_or_else(bad)?;
            if negative { -size } else { size }
        }
    };
    let exact = int.or_else(|| {
        #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
        let whole = (float.fract() == 0.0 && float.abs() < 9e18).then_some(float as i64);
        whole
    });
    Ok(Number { text: text.into(), int: exact, float: Some(float), is_float: int.is_none() })
}

fn whole(digits: &str) -> Option<u64> {
    let lower = digits.to_ascii_lowercase();
    let (radix, rest) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let plain = rest.replace('_', "");
    if plain.is_empty() || !plain.bytes().all(|byte| (byte as char).is_digit(radix)) {
        return None;
    }
    // Too large for 64 bits reads as the largest, which then fails as an overflow.
    Some(u64::from_str_radix(&plain, radix).unwrap_or(u64::MAX))
}

fn float(digits: &str) -> Option<f64> {
    let plain = digits.replace('_', "").to_ascii_lowercase();
    if !plain.starts_with(|char: char| char.is_ascii_digit() || char == '.') {
        return None;
    }
    if let Some(hex) = plain.strip_prefix("0x") {
        return hex_float(hex);
    }
    plain.parse().ok().filter(|value: &f64| value.is_finite())
}

/// `1.8p3`: a hexadecimal mantissa times a power of two.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut value = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let exponent: i32 = exponent.parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    Some(value * 2f64.powi(exponent.checked_sub(places)?)).filter(|value| value.is_finite())
}

/// Takes quotes and escapes off a text in `"`, `'` or backquotes.
pub(crate) fn unquote(text: &str) -> Option<String> {
    let quote = text.chars().next()?;
    let inner = text.get(1..text.len().checked_sub(1)?)?;
    if quote == '`' {
        return Some(inner.replace('\r', ""));
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(char) = rest.next() {
        if char != '\\' {
            bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        escape(&mut rest, quote, &mut bytes)?;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn escape(rest: &mut std::str::Chars<'_>, quote: char, bytes: &mut Vec<u8>) -> Option<()> {
    let byte = match rest.next()? {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        char @ ('"' | '\'') if char == quote => char as u8,
        'x' => u8::try_from(digits(rest, 2, 16)?).ok()?,
        first @ '0'..='7' => {
            let high = first.to_digit(8)?;
            u8::try_from(high * 64 + digits(rest, 2, 8)?).ok()?
        }
        kind @ ('u' | 'U') => {
            let char = char::from_u32(digits(rest, if kind == 'u' { 4 } else { 8 }, 16)?)?;
            bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    bytes.push(byte);
    Some(())
}

fn digits(rest: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    let mut value: u32 = 0;
    for _ in 0..count {
        value = value.checked_mul(radix)?.checked_add(rest.next()?.to_digit(radix)?)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, int, float, is_float) in [
            ("5", Some(5), 5.0, false),
            ("-0x1F", Some(-31), -31.0, false),
            ("010", Some(8), 8.0, false),
            ("1_000", Some(1000), 1000.0, false),
            ("1.5", None, 1.5, true),
            ("1e3", Some(1000), 1000.0, true),
            ("0x1.8p1", Some(3), 3.0, true),
            ("'a'", Some(97), 97.0, false),
            (r"'\n'", Some(10), 10.0, false),
        ] {
            let number = number(text).expect(text);
            assert_eq!((number.int, number.float, number.is_float), (int, Some(float), is_float), "{text}");
        }
        for text in ["+", "1x", "9223372036854775808", "'ab'", "1e999"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn escapes_are_gos() {
        for (text, plain) in [
            (r#""a\tb\x41\101\u00e9""#, Some("a\tbA\u{41}é")),
            ("`a\\b`", Some("a\\b")),
            (r#""\q""#, None),
            (r#""\'""#, None),
        ] {
            assert_eq!(unquote(text).as_deref(), plain, "{text}");
        }
    }
}
