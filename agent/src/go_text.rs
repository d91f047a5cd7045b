//! Values as Go prints them, for output that others' scripts read.

use std::fmt::Write as _;

use model::{Labels, is_valid_legacy_label_name};
use promql::quote;

/// `{__name__="up", job="node"}`: labels as Go's library prints them, values quoted as Go does.
#[must_use]
pub fn labels(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .pairs()
        .map(|(name, value)| match is_valid_legacy_label_name(name) {
            true => format!("{name}={}", quote(value)),
            false => format!("{}={}", quote(name), quote(value)),
        })
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

/// `1.5E+00`: a number as `strconv.FormatFloat(value, 'E', -1, 64)` does.
#[must_use]
pub fn exponent(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:E}");
    let Some((digits, exponent)) = text.split_once('E') else { return text };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(rest) => ('-', rest),
        None => ('+', exponent),
    };
    format!("{digits}E{sign}{exponent:0>2}")
}

/// `1h0m30s`: milliseconds as Go prints a duration.
#[must_use]
pub fn duration(millis: i64) -> String {
    let mut out = String::new();
    if millis < 0 {
        out.push('-');
    }
    let all = millis.unsigned_abs();
    if all == 0 {
        return "0s".to_owned();
    }
    if all < 1_000 {
        let _ = write!(out, "{all}ms");
        return out;
    }
    let (hours, minutes) = (all / 3_600_000, all / 60_000 % 60);
    if hours > 0 {
        let _ = write!(out, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(out, "{minutes}m");
    }
    let (seconds, rest) = (all / 1_000 % 60, all % 1_000);
    let _ = write!(out, "{seconds}");
    if rest > 0 {
        let _ = write!(out, ".{}", format!("{rest:03}").trim_end_matches('0'));
    }
    out.push('s');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_go_exponents() {
        for (value, text) in [
            (0.0, "0E+00"),
            (1.0, "1E+00"),
            (-150.25, "-1.5025E+02"),
            (1e-7, "1E-07"),
            (1e300, "1E+300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(exponent(value), text);
        }
    }

    #[test]
    fn durations_are_go_durations() {
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (1_500, "1.5s"),
            (60_000, "1m0s"),
            (3_600_000, "1h0m0s"),
            (90_061_001, "25h1m1.001s"),
            (-30_000, "-30s"),
        ] {
            assert_eq!(duration(millis), text);
        }
    }

    #[test]
    fn label_names_are_quoted_where_they_need_it() {
        let all = Labels::from_pairs([("__name__", "a"), ("b.c", "x\"y\n")]);
        assert_eq!(labels(&all), r#"{__name__="a", "b.c"="x\"y\n"}"#);
    }
}
