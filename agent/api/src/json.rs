//! JSON exactly as Prometheus writes it: Go's numbers, escapes and times.

use std::fmt::Write as _;

use model::{FloatHistogram, Labels};
use serde::ser::{Error as _, SerializeMap as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Serializes as Go's `encoding/json` does, which also escapes `<`, `>`, `&` and the two line separators.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(value).map(|text| escape_html(&text))
}

/// Writes a string with its quotes.
pub(crate) fn write_string(out: &mut String, text: &str) {
    // Most need nothing escaped, and are many.
    if text
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&'))
    {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    // A string always serializes.
    out.push_str(&to_json(text).unwrap_or_else(|_| "\"\"".to_owned()));
}

/// Writes a label set as an object.
pub(crate) fn write_labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (at, (name, value)) in labels.pairs().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_string(out, name);
        out.push(':');
        write_string(out, value);
    }
    out.push('}');
}

/// Writes milliseconds as seconds: three decimals, or none when they are zero.
pub(crate) fn write_timestamp(out: &mut String, millis: i64) {
    if millis < 0 {
        out.push('-');
    }
    let millis = millis.unsigned_abs();
    let _ = write!(out, "{}", millis / 1_000);
    if !millis.is_multiple_of(1_000) {
        let _ = write!(out, ".{:03}", millis % 1_000);
    }
}

/// Writes a sample's value: a string, with an exponent below 1e-6 and from 1e21.
pub(crate) fn write_value(out: &mut String, value: f64) {
    let _ = write!(out, "\"{}\"", number(value));
}

/// Writes a native histogram as Prometheus does: without its empty buckets.
pub(crate) fn write_histogram(out: &mut String, histogram: &FloatHistogram) {
    out.push_str("{\"count\":");
    write_value(out, histogram.count);
    out.push_str(",\"sum\":");
    write_value(out, histogram.sum);
    let mut any = false;
    for bucket in histogram.all_buckets().filter(|bucket| bucket.count != 0.0) {
        let rule = match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        };
        out.push_str(if any { ",[" } else { ",\"buckets\":[[" });
        any = true;
        let _ = write!(out, "{rule}");
        for value in [bucket.lower, bucket.upper, bucket.count] {
            out.push(',');
            write_value(out, value);
        }
        out.push(']');
    }
    out.push_str(if any { "]}" } else { "}" });
}

/// A ULID: 26 characters of Crockford's alphabet for a time and a number.
pub(crate) fn ulid(millis: i64, number: u32) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let whole = u128::from(millis.unsigned_abs() & ((1 << 48) - 1)) << 80 | u128::from(number);
    (0..26).rev().map(|at| char::from(ALPHABET[(whole >> (5 * at) & 31) as usize])).collect()
}

/// Go's JSON number: shortest digits, exponent below 1e-6 and from 1e21.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value.is_finite() && size != 0.0 && !(1e-6..1e21).contains(&size) {
        exponent(value)
    } else {
        model::format_float(value)
    }
}

/// Go's `%e` with shortest digits: at least two digits in the exponent, always a sign.
pub(crate) fn exponent(value: f64) -> String {
    if !value.is_finite() {
        return model::format_float(value);
    }
    let text = format!("{value:e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}

/// Go's `%g` with shortest digits, as text pages write it: exponent below 1e-4 and from 1e6.
pub(crate) fn general(value: f64) -> String {
    let size = value.abs();
    if value.is_finite() && size != 0.0 && !(1e-4..1e6).contains(&size) {
        exponent(value)
    } else {
        model::format_float(value)
    }
}

/// A time as RFC 3339 with as many decimals as it needs; what no calendar holds becomes Go's zero time.
pub(crate) fn rfc3339(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| ZERO_TIME.to_owned(), |time| time.to_string())
}

/// How Go prints a time that was never set.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// serde: a time.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) fn rfc3339_ms<S: Serializer>(millis: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*millis))
}

/// serde: a time that may not have been.
#[allow(clippy::ref_option, reason = "serde's signature")]
pub(crate) fn rfc3339_opt<S: Serializer>(millis: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&millis.map_or_else(|| ZERO_TIME.to_owned(), rfc3339))
}

/// serde: a float as Go prints it (`1`, not `1.0`); what JSON cannot say is 0.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) fn go_float<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let text = if value.is_finite() { number(*value) } else { "0".to_owned() };
    RawValue::from_string(text).map_err(S::Error::custom)?.serialize(serializer)
}

/// serde: an alert's value, a string with an exponent.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) fn value_e<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&exponent(*value))
}

/// serde: a label set as an object.
pub(crate) fn labels_map<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(labels.len()))?;
    for (name, value) in labels.pairs() {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// Escapes what Go escapes and serde does not. In JSON these characters stand only inside strings.
fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_go_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (1.5e-10, "1.5e-10"),
            (123_456_789.0, "123456789"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.25e300, "-1.25e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn ulids_are_in_order_of_time() {
        for (millis, number, text) in [
            (0, 0, "00000000000000000000000000"),
            (1_469_918_176_385, 0, "01ARYZ6S410000000000000000"),
            (1, 33, "00000000010000000000000011"),
        ] {
            assert_eq!(ulid(millis, number), text);
        }
    }

    #[test]
    fn exponents_have_two_digits_and_a_sign() {
        for (value, text) in
            [(1.0, "1e+00"), (0.0, "0e+00"), (1234.5, "1.2345e+03"), (0.05, "5e-02"), (1e100, "1e+100")]
        {
            assert_eq!(exponent(value), text);
        }
    }

    #[test]
    fn text_pages_use_exponents_early() {
        for (value, text) in [
            (0.5, "0.5"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.234567e+06"),
            (0.00005, "5e-05"),
            (0.0, "0"),
        ] {
            assert_eq!(general(value), text);
        }
    }

    #[test]
    fn timestamps_have_three_decimals_or_none() {
        for (millis, text) in [
            (0, "0"),
            (1_000, "1"),
            (1_500, "1.500"),
            (1_435_781_451_781, "1435781451.781"),
            (-1_005, "-1.005"),
        ] {
            let mut out = String::new();
            write_timestamp(&mut out, millis);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn strings_escape_what_go_escapes() {
        let mut out = String::new();
        write_string(&mut out, "a<b>&\"\\\n\u{1}\u{2028}é");
        assert_eq!(out, "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\\u0001\\u2028é\"");
    }

    #[test]
    fn times_have_the_decimals_that_they_need() {
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(1_700_000_000_120), "2023-11-14T22:13:20.12Z");
        assert_eq!(rfc3339(i64::MAX), ZERO_TIME);
    }
}
