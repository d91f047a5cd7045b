//! Durations as configuration files and PromQL write them: `1y2w3d4h5m6s7ms`.

use std::fmt::Write as _;
use std::time::Duration;

/// The text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing was written.
    #[error("empty duration string")]
    Empty,
    /// Wrong characters, wrong order of units, or a number without a unit.
    #[error("not a valid duration string: {0:?}")]
    Invalid(String),
    /// More than 2^63 nanoseconds (about 292 years).
    #[error("duration out of range")]
    OutOfRange,
}

/// Units from large to small with their milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a duration: units in falling order, each at most once; `0` needs no unit.
///
/// # Errors
/// When the text is empty, malformed, or beyond 292 years.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(Duration::ZERO),
        _ => {}
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        let unit = &rest[digits..digits + letters];
        let (_, millis) = units.find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        total = number
            .checked_mul(*millis)
            .and_then(|part| total.checked_add(part))
            .filter(|sum| *sum <= i64::MAX as u64 / 1_000_000)
            .ok_or(DurationError::OutOfRange)?;
        rest = &rest[digits + letters..];
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration as Prometheus does: years and weeks only where they are exact.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (name, unit) in UNITS {
        let exact_only = matches!(name, "y" | "w");
        if exact_only && millis % unit != 0 {
            continue;
        }
        if millis >= unit {
            let _ = write!(out, "{}{name}", millis / unit);
            millis %= unit;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fall_and_come_once() {
        for (text, millis) in [
            ("0", 0),
            ("15s", 15_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("5ms", 5),
            ("1m1ms", 60_001),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "1", "s", "1m1h", "1s1s", "-1s", "1.5s", "1 s", "1x"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(parse_duration("300y"), Err(DurationError::OutOfRange));
    }

    #[test]
    fn weeks_and_years_print_only_where_exact() {
        for (text, printed) in [
            ("90d", "90d"),
            ("14d", "2w"),
            ("1y", "1y"),
            ("90m", "1h30m"),
            ("1500ms", "1s500ms"),
            ("0", "0s"),
        ] {
            assert_eq!(format_duration(parse_duration(text).expect(text)), printed);
        }
    }
}
