//! From a value's text to the store's number: short decimals without a float in between.

use exposition::parse_float;
use storage::Number;

/// The bits that Prometheus stores for a NaN that is no stale marker.
const NORMAL_NAN: u64 = 0x7ff8_0000_0000_0001;
/// Below this, a decimal's digits are the shortest that name its float: 15 digits survive an `f64`.
const FIFTEEN_DIGITS: u64 = 1_000_000_000_000_000;
/// Digits that fit a `u64` whatever they are.
const DIGITS_MAX: usize = 19;
/// Beyond these no decimal stays within [`Number::MANTISSA_MAX`] and [`Number::EXPONENT_MAX`].
const POWER_MAX: u32 = 300;

/// The value in the store's form; `None` where the text is no number.
pub(crate) fn parse(text: &[u8]) -> Option<Number> {
    decimal(text).or_else(|| {
        let value = parse_float(std::str::from_utf8(text).ok()?)?;
        Some(if value.is_nan() { Number::Raw(NORMAL_NAN) } else { Number::from_f64(value) })
    })
}

/// The number of a value that is followed by the end of its line, where it is a plain decimal, and its bytes: what
/// nearly all values are that change.
pub(crate) fn of_line(page: &[u8]) -> Option<(Number, usize)> {
    leading(page).filter(|(_, length)| page.get(*length) == Some(&b'\n'))
}

/// What [`Number::from_f64`] makes of the text's float, where that can be told from the text alone.
fn decimal(text: &[u8]) -> Option<Number> {
    let unsigned = match text {
        [b'+', rest @ ..] if rest.first() != Some(&b'-') => rest,
        _ => text,
    };
    let (number, length) = leading(unsigned)?;
    (length == unsigned.len()).then_some(number)
}

/// The decimal with which a text begins, and its bytes.
fn leading(text: &[u8]) -> Option<(Number, usize)> {
    let negative = text.first() == Some(&b'-');
    let begin = usize::from(negative);
    let (mut mantissa, whole) = read_digits(&text[begin..], 0);
    let (mut at, mut fraction) = (begin + whole, 0);
    if text.get(at) == Some(&b'.') {
        (mantissa, fraction) = read_digits(&text[at + 1..], mantissa);
        at += 1 + fraction;
        // Texts that end with a point are left to the reader of floats.
        if fraction == 0 {
            return None;
        }
    }
    // So are those that begin with one.
    if whole == 0 || whole + fraction > DIGITS_MAX {
        return None;
    }
    let mut power = -i32::try_from(fraction).ok()?;
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let (own, length) = read_power(&text[at + 1..])?;
        (power, at) = (power + own, at + 1 + length);
    }
    let (mantissa, exponent) = shortest(mantissa, power)?;
    // Minus zero is a float of its own.
    if mantissa == 0 && negative {
        return None;
    }
    let mantissa = i64::try_from(mantissa).ok()?;
    Some((Number::decimal(if negative { -mantissa } else { mantissa }, exponent)?, at))
}

/// Digits after those of `before`: all of them as one integer, which is wrong where there are too many; how many
/// there are.
fn read_digits(text: &[u8], before: u64) -> (u64, usize) {
    let (mut integer, mut count) = (before, 0);
    while let Some(digit) = text.get(count).copied().and_then(digit) {
        integer = integer.wrapping_mul(10).wrapping_add(u64::from(digit));
        count += 1;
    }
    (integer, count)
}

/// `+07` as 7, and its bytes.
fn read_power(text: &[u8]) -> Option<(i32, usize)> {
    let begin = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let (mut power, mut at) = (0_u32, begin);
    while let Some(digit) = text.get(at).copied().and_then(digit) {
        power = power * 10 + u32::from(digit);
        at += 1;
        if power > POWER_MAX {
            return None;
        }
    }
    let power = i32::try_from(power).ok()?;
    (at > begin).then_some((if text.first() == Some(&b'-') { -power } else { power }, at))
}

/// `mantissa * 10^power` with the fewest digits after the point, where this is also the shortest text
/// that names the float.
fn shortest(mut mantissa: u64, mut power: i32) -> Option<(u64, u8)> {
    if mantissa == 0 {
        return Some((0, 0));
    }
    while power < 0 && mantissa.is_multiple_of(10) {
        mantissa /= 10;
        power += 1;
    }
    let most = Number::MANTISSA_MAX.unsigned_abs();
    if power >= 0 {
        // An integer that is an exact float.
        let whole = mantissa.checked_mul(10_u64.checked_pow(power.unsigned_abs())?)?;
        return (whole <= most).then_some((whole, 0));
    }
    let exponent = u8::try_from(-power).ok().filter(|exponent| *exponent <= Number::EXPONENT_MAX)?;
    if mantissa < FIFTEEN_DIGITS {
        return Some((mantissa, exponent));
    }
    (mantissa < most && stands_alone(mantissa, exponent)).then_some((mantissa, exponent))
}

/// Whether no other decimal of as many digits is the same float: then none of fewer digits is, either.
fn stands_alone(mantissa: u64, exponent: u8) -> bool {
    let scale = 10_f64.powi(i32::from(exponent));
    // Exact operands: each division rounds once, as reading the text would.
    #[allow(clippy::cast_precision_loss, reason = "at most 2^53")]
    let [below, own, above] = [mantissa - 1, mantissa, mantissa + 1].map(|mantissa| mantissa as f64 / scale);
    below != own && own != above
}

fn digit(byte: u8) -> Option<u8> {
    Some(byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By way of the float.
    fn plain(text: &str) -> Option<Number> {
        let value = parse_float(text)?;
        Some(if value.is_nan() { Number::Raw(NORMAL_NAN) } else { Number::from_f64(value) })
    }

    #[test]
    fn texts_of_every_kind_are_read() {
        for text in [
            "0",
            "-0",
            "+0",
            "0.0",
            "-0.0",
            "00012.500",
            "1",
            "-1",
            "+1.5",
            "12.",
            ".5",
            ".",
            "-",
            "+",
            "",
            "e5",
            "1e",
            "1e+",
            "1e5",
            "1E5",
            "1.6777216e+07",
            "-1.5e-05",
            "1e22",
            "1e23",
            "1e-22",
            "1e-23",
            "1.5e-22",
            "9007199254740992",
            "9007199254740993",
            "9.007199254740993e+15",
            "900719925474099.3",
            "0.1",
            "0.30000000000000004",
            "1732656789.1234567",
            "1.7326567891234567e+09",
            "1732656789.123456",
            "123456789012345678",
            "1234567890123456789012",
            "0.00000000000000000000001",
            "1e400",
            "-1e400",
            "1e-400",
            "5e-324",
            "1.7976931348623157e308",
            "+Inf",
            "-Inf",
            "inf",
            "Infinity",
            "NaN",
            "-nan",
            "nan",
            "0x1p3",
            "0x10",
            "1_000",
            "1 ",
            " 1",
            "1.2.3",
            "1e1e1",
            "--1",
            "+-1",
            "1e4294967296",
            "1e99999999999",
            "4503599627370497.5",
            "8007199254740.993",
            "9007199254740.991",
            "0e500",
            "0.000e-400",
            "é",
        ] {
            assert_eq!(parse(text.as_bytes()), plain(text), "{text:?}");
        }
        assert_eq!(decimal(b"1.6777216e+07"), Some(Number::Decimal { mantissa: 16_777_216, exponent: 0 }));
        assert_eq!(decimal(b"-0.00120"), Some(Number::Decimal { mantissa: -12, exponent: 4 }));
        assert!(decimal(b"1732656789.123456").is_some(), "sixteen digits are told from the text");
        assert_eq!(parse(b"\xff"), None);
        assert_eq!(
            of_line(b"1.6777216e+07\nb 2"),
            Some((Number::Decimal { mantissa: 16_777_216, exponent: 0 }, 13))
        );
        assert_eq!(of_line(b"-0.5\n"), Some((Number::Decimal { mantissa: -5, exponent: 1 }, 4)));
        assert_eq!(of_line(b"1\r\n").or(of_line(b"1 \n")).or(of_line(b"+1\n")).or(of_line(b"")), None);
    }

    /// The integer as a text with its point somewhere.
    fn pointed(digits: u64, fraction: usize) -> String {
        let text = format!("{digits:0width$}", width = fraction + 1);
        let (whole, fraction) = text.split_at(text.len() - fraction);
        if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
    }

    fn texts() -> impl Strategy<Value = String> {
        // As many digits as can matter, each length as likely as the others.
        let digits = (0_u32..=19, any::<u64>()).prop_map(|(length, digits)| digits % 10_u64.pow(length));
        let sign = prop_oneof![Just(""), Just("-"), Just("+")];
        let power = prop_oneof![
            3 => Just(String::new()),
            2 => (-30_i32..=30).prop_map(|power| format!("e{power:+03}")),
            1 => (-400_i32..=400).prop_map(|power| format!("E{power}")),
        ];
        let decimal = (sign, digits, 0_usize..=24, power, 0_usize..=3).prop_map(
            |(sign, digits, fraction, power, zeros)| {
                let zeros = if fraction > 0 { "0".repeat(zeros) } else { String::new() };
                format!("{sign}{}{zeros}{power}", pointed(digits, fraction))
            },
        );
        let printed = any::<u64>().prop_map(|bits| exposition::format_go_float(f64::from_bits(bits)));
        let divided = (any::<i32>(), 1_u32..10_000)
            .prop_map(|(above, below)| exposition::format_go_float(f64::from(above) / f64::from(below)));
        // Close to where an f64 has no room for more digits.
        let tight = (8_000_000_000_000_000_u64..=9_100_000_000_000_000, 0_usize..=22)
            .prop_map(|(digits, fraction)| pointed(digits, fraction));
        prop_oneof![4 => decimal, 1 => printed, 2 => divided, 2 => tight, 1 => "[-+0-9.eEInfNa x_]{0,12}"]
    }

    proptest! {
        #[test]
        fn every_text_gives_the_number_of_its_float(texts in proptest::collection::vec(texts(), 64)) {
            for text in texts {
                prop_assert_eq!(parse(text.as_bytes()), plain(&text), "{:?}", text);
                let told = of_line(format!("{text}\n1\n").as_bytes());
                if let Some((number, length)) = told {
                    prop_assert_eq!((Some(number), length), (plain(&text), text.len()), "{:?}", text);
                }
                prop_assert_eq!(of_line(format!("{text} 1\n").as_bytes()), None, "{:?}", text);
                prop_assert_eq!(of_line(text.as_bytes()), None, "{:?}", text);
            }
        }
    }
}
