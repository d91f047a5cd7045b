//! Numbers for people: Prometheus's `humanize` family.

use crate::number::general;

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];
const BINARY: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];

/// Four significant digits.
pub(crate) fn short(value: f64) -> String {
    general(value, Some(4))
}

/// With a metric prefix.
pub(crate) fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return short(value);
    }
    let (value, prefix) = if value.abs() >= 1.0 { grown(value, 1000.0, LARGE) } else { shrunk(value) };
    short(value) + prefix
}

/// With a binary prefix.
pub(crate) fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return short(value);
    }
    let (value, prefix) = grown(value, 1024.0, BINARY);
    short(value) + prefix
}

fn grown(mut value: f64, step: f64, prefixes: [&'static str; 8]) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() < step {
            break;
        }
        prefix = next;
        value /= step;
    }
    (value, prefix)
}

fn shrunk(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in SMALL {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    (value, prefix)
}

/// Seconds as days, hours, minutes and seconds.
pub(crate) fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return short(value);
    }
    if value == 0.0 {
        return short(value) + "s";
    }
    if value.abs() < 1.0 {
        let (value, prefix) = shrunk(value);
        return format!("{}{prefix}s", short(value));
    }
    let (sign, size) = if value < 0.0 { ("-", -value) } else { ("", value) };
    // Beyond 2^63 seconds the text says the most that it can.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let whole = size as u64;
    let (days, hours) = (whole / 86_400, whole / 3_600 % 24);
    let (minutes, seconds) = (whole / 60 % 60, whole % 60);
    if days > 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours > 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", short(size))
    }
}

/// A ratio as a percentage.
pub(crate) fn humanize_percentage(value: f64) -> String {
    short(value * 100.0) + "%"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_prefixes() {
        for (value, metric, binary) in [
            (0.0, "0", "0"),
            (1.0, "1", "1"),
            (1_234_567.0, "1.235M", "1.177Mi"),
            (0.012_345, "12.35m", "0.01235"),
            (-2048.0, "-2.048k", "-2ki"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NAN, "NaN", "NaN"),
        ] {
            assert_eq!(
                (humanize(value).as_str(), humanize_1024(value).as_str()),
                (metric, binary),
                "{value}"
            );
        }
    }

    #[test]
    fn durations_get_units() {
        for (value, text) in [
            (0.0, "0s"),
            (0.1, "100ms"),
            (0.000_1, "100us"),
            (1.5, "1.5s"),
            (60.0, "1m 0s"),
            (899.99, "14m 59s"),
            (3600.0, "1h 0m 0s"),
            (-86_400.0, "-1d 0h 0m 0s"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(humanize_duration(value), text);
        }
        assert_eq!(humanize_percentage(0.123_456), "12.35%");
    }
}
