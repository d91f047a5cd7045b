//! Numbers as exporters compute and print them: whole numbers, and what Go makes of them.

use std::io::Write as _;

use exposition::format_go_float;

/// How a series' whole number becomes the float that is exposed. Each does the exporter's own arithmetic, so
/// that its artefacts (`0.30700000000000005`) are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// The number itself.
    One,
    /// Pages of 4,096 bytes, shown in bytes.
    Pages,
    /// Ticks of 10 ms, or a load in hundredths: `n / 100`.
    Hundredths,
    /// Milliseconds as the disk collector shows seconds: `n * 0.001`.
    MillisTimes,
    /// Microseconds as pressure figures show seconds: `n / 1000 / 1000`.
    MicrosTwice,
    /// Nanoseconds in seconds: `n / 1e9`.
    Nanos,
}

/// Whole numbers below this have at most 15 digits: the decimal with these digits is what their float prints.
const EXACT: u64 = 1_000_000_000_000_000;

impl Unit {
    /// The float that is exposed for `n`.
    pub(super) fn value(self, n: i64) -> f64 {
        match self {
            Self::One => n as f64,
            Self::Pages => (n * 4_096) as f64,
            Self::Hundredths => n as f64 / 100.0,
            Self::MillisTimes => n as f64 * 0.001,
            Self::MicrosTwice => n as f64 / 1_000.0 / 1_000.0,
            Self::Nanos => n as f64 / 1e9,
        }
    }

    /// Appends the float's text as Go prints it.
    pub(super) fn print(self, n: i64, out: &mut Vec<u8>) {
        let decimals = match self {
            Self::One => Some((n, 0)),
            Self::Pages => n.checked_mul(4_096).map(|bytes| (bytes, 0)),
            Self::Hundredths => Some((n, 2)),
            Self::Nanos => Some((n, 9)),
            Self::MillisTimes | Self::MicrosTwice => None,
        };
        match decimals {
            Some((digits, places)) if digits.unsigned_abs() < EXACT => print_decimal(digits, places, out),
            _ => out.extend_from_slice(format_go_float(self.value(n)).as_bytes()),
        }
    }
}

/// `digits / 10^places` as Go's shortest `g` format has it: an exponent below 1e-4 and from 1e6 on.
fn print_decimal(digits: i64, places: usize, out: &mut Vec<u8>) {
    if digits == 0 {
        return out.push(b'0');
    }
    if digits < 0 {
        out.push(b'-');
    }
    let (mut rest, mut text, mut begin) = (digits.unsigned_abs(), [b'0'; 20], 20);
    while rest > 0 {
        begin -= 1;
        text[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let all = &text[begin..];
    let shown = all.len() - all.iter().rev().take_while(|digit| **digit == b'0').count();
    let shown = &all[..shown];
    let exponent = all.len() as i32 - 1 - places as i32;
    if !(-4..6).contains(&exponent) {
        out.push(shown[0]);
        if shown.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&shown[1..]);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        // Writing to a vector cannot fail.
        let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
    } else if exponent < 0 {
        out.extend_from_slice(&b"0.0000"[..1 + exponent.unsigned_abs() as usize]);
        out.extend_from_slice(shown);
    } else {
        let whole = exponent as usize + 1;
        out.extend_from_slice(&shown[..whole.min(shown.len())]);
        out.extend(std::iter::repeat_n(b'0', whole.saturating_sub(shown.len())));
        if shown.len() > whole {
            out.push(b'.');
            out.extend_from_slice(&shown[whole..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(unit: Unit, n: i64) -> String {
        let mut out = Vec::new();
        unit.print(n, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn artefacts_are_kept() {
        assert_eq!(printed(Unit::MillisTimes, 307), "0.307");
        assert_eq!(printed(Unit::MillisTimes, 1_009), "1.0090000000000001");
        assert_eq!(printed(Unit::MillisTimes, 4_353), "4.353");
        assert_eq!(printed(Unit::MicrosTwice, 3_882_169), "3.8821689999999998");
        assert_eq!(printed(Unit::Hundredths, 135_707), "1357.07");
        assert_eq!(printed(Unit::Nanos, 47_409), "4.7409e-05");
        assert_eq!(printed(Unit::Pages, 1_000_000), "4.096e+09");
    }

    proptest! {
        #[test]
        fn numbers_print_as_go_prints_them(n in any::<i64>(), shift in 0_u32..64) {
            let n = n >> shift;
            for unit in [Unit::One, Unit::Hundredths, Unit::Nanos, Unit::MillisTimes, Unit::MicrosTwice] {
                prop_assert_eq!(printed(unit, n), format_go_float(unit.value(n)));
            }
            prop_assert_eq!(printed(Unit::Pages, n >> 13), format_go_float(Unit::Pages.value(n >> 13)));
        }
    }
}
