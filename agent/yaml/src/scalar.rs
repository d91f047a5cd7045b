//! What single values may look like: booleans, numbers, sizes, Go durations, URLs.

use std::time::Duration;

/// A boolean as YAML 1.1 writes it, which the peers' readers accept.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Some(false),
        _ => None,
    }
}

/// A whole number: decimal, `0x`, `0o`, `0b`, or a leading `0` for octal; `_` between digits.
pub(crate) fn parse_int(text: &str) -> Option<i128> {
    let clean = text.replace('_', "");
    let (negative, digits) = match clean.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, clean.strip_prefix('+').unwrap_or(&clean)),
    };
    let (radix, digits) = if let Some(rest) = digits.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = digits.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = digits.strip_prefix("0o") {
        (8, rest)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, digits)
    } else {
        (10, digits)
    };
    if digits.is_empty() || digits.len() > 39 || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

/// A float as YAML writes it: also `.inf`, `.nan`, and whole numbers.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" => Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        _ => {
            let written = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE_".contains(&byte));
            if written {
                text.replace('_', "").parse().ok()
            } else {
                parse_int(text).map(|number| number as f64)
            }
        }
    }
}

/// Units of sizes; all are powers of 1024, as in Prometheus.
const SIZES: [(&str, u64); 13] = [
    ("EiB", 1 << 60),
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("EB", 1 << 60),
    ("PB", 1 << 50),
    ("TB", 1 << 40),
    ("GB", 1 << 30),
    ("MB", 1 << 20),
    ("KB", 1 << 10),
    ("B", 1),
];

/// Reads a size like `15MB` or `1.5GiB` into bytes: units are powers of 1024 and required, except for `0`.
///
/// # Errors
/// A message in Prometheus's words when it is none, is negative, or is beyond 2^63.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let invalid = || format!("units: invalid {text:?}");
    match text {
        "0" => return Ok(0),
        "" => return Err(invalid()),
        _ => {}
    }
    let mut rest = text;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        if digits == 0 {
            return Err(invalid());
        }
        if letters == 0 {
            return Err(format!("units: unknown unit  in {text:?}; expected a unit, like B, KB, MB or GB"));
        }
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        let unit = &rest[digits..digits + letters];
        let factor = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let factor = factor.ok_or_else(|| {
            format!("units: unknown unit {unit} in {text:?}; expected B, KB, MB, GB, TB, PB or EB")
        })?;
        total += number * factor as f64;
        rest = &rest[digits + letters..];
    }
    if total >= i64::MAX as f64 {
        return Err(format!("units: overflow {text:?}"));
    }
    Ok(total as u64)
}

/// Writes bytes as Prometheus does, in the largest exact units: `15MiB`, `1KiB1B`, `0B`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    if bytes == 0 {
        return "0B".to_owned();
    }
    let mut left = bytes;
    let mut out = String::new();
    for (name, factor) in SIZES.iter().filter(|(name, _)| name.len() == 3 || *name == "B") {
        if left >= *factor {
            out.push_str(&format!("{}{name}", left / factor));
            left %= factor;
        }
    }
    out
}

/// Reads a duration as Go's `time.ParseDuration` does: `1h15m30.5s`, `300ms`, `0`.
///
/// # Errors
/// A message in Go's words when it is none, or is negative or beyond 292 years.
pub fn parse_go_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = &rest[..unit_len];
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        nanos +=
            number * factor.ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        rest = &rest[unit_len..];
    }
    if nanos >= i64::MAX as f64 {
        return Err(invalid());
    }
    Ok(Duration::from_nanos(nanos as u64))
}

/// Checks a URL as loosely as Go's `url.Parse`: relative references pass, broken ones do not.
///
/// # Errors
/// A message in Go's words.
pub fn check_url(text: &str) -> Result<(), String> {
    let fail = |why: &str| Err(format!("parse {text:?}: {why}"));
    if text.chars().any(|c| c.is_ascii_control()) {
        return fail("net/url: invalid control character in URL");
    }
    let rest = text.split('#').next().unwrap_or(text);
    let head = rest.split(['/', '?']).next().unwrap_or(rest);
    let after_scheme = match head.split_once(':') {
        None => rest,
        Some(("", _)) => return fail("missing protocol scheme"),
        Some((scheme, _)) => {
            let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
            if !valid {
                return fail("first path segment in URL cannot contain colon");
            }
            &rest[scheme.len() + 1..]
        }
    };
    if let Some(authority) = after_scheme.strip_prefix("//") {
        let authority = authority.split(['/', '?']).next().unwrap_or(authority);
        let host = authority.rsplit('@').next().unwrap_or(authority);
        if host.contains(' ') {
            return fail("invalid character \" \" in host name");
        }
        let port = match host.rfind(']') {
            Some(end) => &host[end + 1..],
            None => host.find(':').map_or("", |at| &host[at..]),
        };
        let numeric =
            port.strip_prefix(':').is_none_or(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        if !numeric || (!port.is_empty() && !port.starts_with(':')) {
            return fail(&format!("invalid port {port:?} after host"));
        }
    }
    bad_escape(rest).map_or(Ok(()), |escape| fail(&format!("invalid URL escape {escape:?}")))
}

fn bad_escape(text: &str) -> Option<&str> {
    let path = text.split('?').next().unwrap_or(text);
    path.match_indices('%').find_map(|(at, _)| {
        let digits = path.as_bytes().get(at + 1..at + 3);
        let good = digits.is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        let end = (at + 3).min(path.len());
        (!good).then(|| path.get(at..end).unwrap_or("%"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_and_need_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("1B", 1),
            ("15MB", 15 << 20),
            ("1KiB", 1024),
            ("1KB", 1024),
            ("1.5KB", 1536),
            ("1KB1B", 1025),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "100", "1kB", "-1GB", "1XB", "B", "99EB", "1.2.3B"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(
            (format_size(15 << 20), format_size(1025), format_size(0)),
            ("15MiB".into(), "1KiB1B".into(), "0B".into())
        );
    }

    #[test]
    fn numbers_come_in_yaml_spellings() {
        for (text, number) in [
            ("8", Some(8)),
            ("-3", Some(-3)),
            ("0x10", Some(16)),
            ("010", Some(8)),
            ("1_000", Some(1000)),
            ("1.5", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(parse_int(text), number, "{text}");
        }
        assert_eq!(parse_float("0.5"), Some(0.5));
        assert_eq!(parse_float(".inf"), Some(f64::INFINITY));
        assert_eq!(parse_float("inf"), None);
    }

    #[test]
    fn go_durations() {
        for (text, millis) in [("0", 0), ("1h1m", 3_660_000), ("1.5s", 1500), ("300ms", 300), ("10s", 10_000)]
        {
            assert_eq!(parse_go_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5d", "1", "s", "-1s", "1x", "."] {
            assert!(parse_go_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls_are_checked_as_go_does() {
        for good in [
            "http://a/b",
            "localhost:9090",
            "foo",
            "http://[::1]:80/",
            "/x?y=%zz",
            "https://u:p@h:1/",
            "http://",
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in [":x", "http://a:b/", "http://a/%zz", "1.2.3.4:90", "http://a b/", "a\u{1}"] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
