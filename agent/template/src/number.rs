//! Floats as Go's `strconv` writes them.

/// `%g`: the shortest text that reads back as the same number, or one of `precision` digits.
pub(crate) fn general(value: f64, precision: Option<usize>) -> String {
    if let Some(text) = not_finite(value) {
        return text;
    }
    let (negative, digits, exponent) = decompose(value, precision.map(|digits| digits.max(1)));
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let most = match precision {
        None => SHORTEST_EXPONENT,
        Some(0) => 1,
        Some(precision) => {
            let precision = i32::try_from(precision).unwrap_or(i32::MAX);
            if precision > count && count > exponent { count } else { precision }
        }
    };
    let body = if exponent < -4 || exponent >= most {
        scientific_of(&digits, exponent, digits.len() - 1, 'e')
    } else {
        plain_of(&digits, exponent)
    };
    format!("{}{body}", if negative { "-" } else { "" })
}

/// From this exponent on, the shortest form is scientific.
const SHORTEST_EXPONENT: i32 = 6;

/// `%e`; six digits after the point unless told otherwise, as many as it takes for `None`.
pub(crate) fn scientific(value: f64, precision: Option<usize>) -> String {
    if let Some(text) = not_finite(value) {
        return text;
    }
    let (negative, digits, exponent) = decompose(value, precision.map(|digits| digits + 1));
    let decimals = precision.unwrap_or(digits.len() - 1);
    format!("{}{}", if negative { "-" } else { "" }, scientific_of(&digits, exponent, decimals, 'e'))
}

/// `%f`.
pub(crate) fn fixed(value: f64, precision: Option<usize>) -> String {
    if let Some(text) = not_finite(value) {
        return text;
    }
    match precision {
        Some(precision) => format!("{value:.precision$}"),
        None => format!("{value}"),
    }
}

fn not_finite(value: f64) -> Option<String> {
    if value.is_nan() {
        Some("NaN".to_owned())
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned())
    } else {
        None
    }
}

/// Sign, digits without trailing zeros (at least one), and the decimal exponent of the first digit.
fn decompose(value: f64, digits: Option<usize>) -> (bool, String, i32) {
    let text = match digits {
        Some(digits) => format!("{:.*e}", digits - 1, value.abs()),
        None => format!("{:e}", value.abs()),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = mantissa.replace('.', "");
    let digits = digits.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    (value.is_sign_negative(), digits.to_owned(), exponent.parse().unwrap_or(0))
}

fn scientific_of(digits: &str, exponent: i32, decimals: usize, letter: char) -> String {
    let (first, rest) = digits.split_at(1);
    let point = if decimals > 0 { "." } else { "" };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{point}{rest:0<decimals$}{letter}{sign}{:02}", exponent.unsigned_abs())
}

/// Digits around the point: `exponent` is between -5 and some twenty.
fn plain_of(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("0.{zeros}{digits}");
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{digits:0<whole$}");
    }
    format!("{}.{}", &digits[..whole], &digits[whole..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_form_turns_scientific_at_a_million_or_its_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e5, "100000"),
            (1e6, "1e+06"),
            (123_456.5, "123456.5"),
            (1_234_567.0, "1.234567e+06"),
            (1_353_755_652.0, "1.353755652e+09"),
            (1e21, "1e+21"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(general(value, None), text);
        }
    }

    #[test]
    fn a_precision_rounds() {
        for (value, precision, text) in [
            (1234.5678, 4, "1235"),
            (1000.0, 4, "1000"),
            (12345.0, 4, "1.234e+04"),
            (99_999.0, 4, "1e+05"),
            (0.000_012_345, 4, "1.234e-05"),
            (0.1, 4, "0.1"),
            (0.5, 1, "0.5"),
            (123.0, 0, "1e+02"),
        ] {
            assert_eq!(general(value, Some(precision)), text, "{value}");
        }
        assert_eq!(scientific(1234.5678, Some(2)), "1.23e+03");
        assert_eq!(scientific(0.0, Some(6)), "0.000000e+00");
        assert_eq!(fixed(2.0 / 3.0, Some(2)), "0.67");
    }
}
