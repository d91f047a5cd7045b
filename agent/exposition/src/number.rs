//! Numbers as pages write them.

use model::format_go_float;

/// As OpenMetrics wants bucket bounds and quantiles: like the above, and always recognisable as a float.
pub(crate) fn format_bound(value: f64) -> String {
    let text = format_go_float(value);
    let bare = value.is_finite() && !text.contains(['e', '.']);
    if bare { format!("{text}.0") } else { text }
}

/// Reads a value: decimal, with or without exponent, or an infinity or NaN in any case.
#[must_use]
pub fn parse_float(text: &str) -> Option<f64> {
    fast_float2::parse(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_go() {
        for (value, text, bound) in [
            (0.0, "0", "0.0"),
            (1.0, "1", "1.0"),
            (-2.5, "-2.5", "-2.5"),
            (0.0001, "0.0001", "0.0001"),
            (0.00001, "1e-05", "1e-05"),
            (999_999.0, "999999", "999999.0"),
            (1e6, "1e+06", "1e+06"),
            (1.5e300, "1.5e+300", "1.5e+300"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
            (f64::NAN, "NaN", "NaN"),
        ] {
            assert_eq!((format_go_float(value).as_str(), format_bound(value).as_str()), (text, bound));
        }
    }

    #[test]
    fn floats_are_read_in_every_spelling() {
        for (text, value) in
            [("1", 1.0), ("+1.5e3", 1500.0), ("-Inf", f64::NEG_INFINITY), ("inf", f64::INFINITY)]
        {
            assert_eq!(parse_float(text), Some(value), "{text}");
        }
        assert!(parse_float("NaN").is_some_and(f64::is_nan));
        for text in ["", "0x1p3", "1_000", "1e", "one", "1 "] {
            assert_eq!(parse_float(text), None, "{text}");
        }
    }
}
