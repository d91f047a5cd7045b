//! Floats to numbers of a row, fast: a series' values mostly have as many decimals as the one before.

use model::STALE_NAN_BITS;
use storage::{Cell, Number};

/// What a value becomes in a row. `decimals` is how many the series' last value had, and is updated.
#[inline]
pub(crate) fn cell(bits: u64, decimals: &mut u8) -> Cell {
    if bits == STALE_NAN_BITS { Cell::Stale } else { Cell::Value(number(bits, decimals)) }
}

#[inline]
fn number(bits: u64, decimals: &mut u8) -> Number {
    let value = f64::from_bits(bits);
    // Also false for NaN and infinities; minus zero has bits of its own.
    let small = value.abs() <= LARGEST;
    if !small || bits == NEGATIVE_ZERO {
        return Number::Raw(bits);
    }
    if value.trunc().to_bits() == bits {
        return Number::Decimal { mantissa: value as i64, exponent: 0 };
    }
    if *decimals > 0
        && let Some(number) = decimal(value, *decimals)
    {
        return number;
    }
    for exponent in 1..=Number::EXPONENT_MAX {
        if let Some(number) = decimal(value, exponent) {
            *decimals = exponent;
            return number;
        }
        if value.abs() * POWERS[usize::from(exponent)] > LARGEST {
            break;
        }
    }
    Number::Raw(bits)
}

/// The decimal of so many digits after the point, if it gives these very bits.
#[inline]
fn decimal(value: f64, exponent: u8) -> Option<Number> {
    let power = POWERS[usize::from(exponent)];
    let mantissa = (value * power).round();
    let exact = mantissa.abs() <= LARGEST && (mantissa / power).to_bits() == value.to_bits();
    exact.then_some(Number::Decimal { mantissa: mantissa as i64, exponent })
}

const NEGATIVE_ZERO: u64 = 1 << 63;
/// Integers up to here are exact.
const LARGEST: f64 = Number::MANTISSA_MAX as f64;
/// The powers of ten that are exact.
const POWERS: [f64; Number::EXPONENT_MAX as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(value: f64) -> Cell {
        cell(value.to_bits(), &mut 0)
    }

    #[test]
    fn short_decimals_are_found() {
        for (value, mantissa, exponent) in
            [(0.0, 0, 0), (-3.0, -3, 0), (12.5, 125, 1), (0.001, 1, 3), (1234.56, 123_456, 2)]
        {
            assert_eq!(of(value), Cell::Value(Number::Decimal { mantissa, exponent }), "{value}");
        }
        for value in [f64::NAN, f64::INFINITY, -0.0, 1e300, 5e-324, 0.1 + 0.2] {
            assert_eq!(of(value), Cell::Value(Number::Raw(value.to_bits())), "{value}");
        }
        assert_eq!(cell(STALE_NAN_BITS, &mut 0), Cell::Stale);
    }

    #[test]
    fn the_decimals_of_the_last_value_are_tried_first() {
        let mut decimals = 0;
        cell(0.125f64.to_bits(), &mut decimals);
        assert_eq!(decimals, 3);
        let again = cell(0.5f64.to_bits(), &mut decimals);
        assert_eq!(again, Cell::Value(Number::Decimal { mantissa: 500, exponent: 3 }));
    }

    proptest! {
        #[test]
        fn all_bits_come_back(bits: u64, mut decimals in 0u8..=22) {
            match cell(bits, &mut decimals) {
                Cell::Stale => prop_assert_eq!(bits, STALE_NAN_BITS),
                Cell::Value(number) => prop_assert_eq!(number.to_bits(), bits),
                Cell::Absent => prop_assert!(false),
            }
        }

        #[test]
        fn decimals_come_back(mantissa in -1_000_000_000i64..1_000_000_000, exponent in 0u8..=9, mut decimals in 0u8..=22) {
            let value = Number::decimal(mantissa, exponent).expect("in range").to_f64();
            let Cell::Value(number) = cell(value.to_bits(), &mut decimals) else { panic!("a value") };
            prop_assert!(matches!(number, Number::Decimal { .. }), "{value}");
            prop_assert_eq!(number.to_bits(), value.to_bits());
        }
    }
}
