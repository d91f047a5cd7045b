//! Numbers, durations and texts.

use super::Parser;
use super::token::{Kind, Token};
use crate::ast::NumberLiteral;
use crate::position::ParseError;
use crate::quote::{quote_bytes, unquote_bytes};

impl Parser<'_> {
    /// A number or a duration, if one comes next.
    pub(super) fn take_number(&mut self) -> Result<Option<NumberLiteral>, ParseError> {
        let duration = match self.peek() {
            Kind::Number => false,
            Kind::Duration => true,
            _ => return Ok(None),
        };
        let token = self.next();
        let (text, pos) = (self.text_of(&token), self.range_of(&token));
        let value = if duration {
            model::parse_duration(text)
                .map_err(|error| ParseError { range: pos, message: error.to_string() })?
                .as_secs_f64()
        } else {
            number(text).ok_or_else(|| ParseError {
                range: pos,
                message: format!("error parsing number: {}", crate::quote::quote(text)),
            })?
        };
        Ok(Some(NumberLiteral { value, duration, pos }))
    }

    /// The text of a string token.
    pub(super) fn string(&self, token: &Token) -> Result<String, ParseError> {
        match self.text(token)? {
            (text, None) => Ok(text),
            (_, Some(quoted)) => Err(ParseError {
                range: self.range_of(token),
                message: format!("escapes of {quoted} do not give valid UTF-8"),
            }),
        }
    }

    /// The text of a string token, and how Go quotes it where its escapes made it no valid UTF-8.
    pub(super) fn text(&self, token: &Token) -> Result<(String, Option<String>), ParseError> {
        let bytes = unquote_bytes(self.text_of(token))
            .map_err(|what| ParseError { range: self.range_of(token), message: what.to_owned() })?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let bytes = error.as_bytes();
                (String::from_utf8_lossy(bytes).into_owned(), Some(quote_bytes(bytes)))
            }
        })
    }
}

/// Whole milliseconds, where they fit Go's 64 bits of nanoseconds.
pub(super) fn seconds_to_millis(seconds: f64) -> Option<i64> {
    // Rounded, because 1.003 s is no exact number; what is left below a millisecond goes.
    let nanos = (seconds * 1e9).round();
    // The bounds keep the cast exact enough; a NaN passes neither.
    (nanos.abs() < i64::MAX as f64).then_some(nanos as i64 / 1_000_000)
}

/// Reads a number as Go does: decimal, hexadecimal, octal with a leading 0, with underscores, `Inf` and `NaN`.
fn number(text: &str) -> Option<f64> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(digits) = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        return i64::from_str_radix(digits, 16).ok().map(|value| value as f64);
    }
    let octal = plain.len() > 1 && plain.starts_with('0') && plain.bytes().all(|byte| byte.is_ascii_digit());
    if octal && let Ok(value) = i64::from_str_radix(&plain, 8) {
        return Some(value as f64);
    }
    let value: f64 = plain.parse().ok()?;
    let written = plain.bytes().any(|byte| byte.is_ascii_digit());
    // Go refuses what only infinity could hold.
    (!(written && value.is_infinite())).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_in_go() {
        for (text, value) in [
            ("12", Some(12.0)),
            ("0x1F", Some(31.0)),
            ("010", Some(8.0)),
            ("09", Some(9.0)),
            ("1_000.5", Some(1000.5)),
            ("Inf", Some(f64::INFINITY)),
            ("5.", Some(5.0)),
            (".5e1", Some(5.0)),
            ("1e999", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
        assert!(number("NaN").is_some_and(f64::is_nan));
    }
}
