//! Numbers as rows carry them: exact decimals where possible, raw bits otherwise.

use std::fmt::{self, Write as _};

/// A sample's value. Both forms give back the same 64 bits that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Number {
    /// `mantissa / 10^exponent`, where that single division gives the very bits.
    Decimal {
        /// At most 2^53 in magnitude.
        mantissa: i64,
        /// At most [`Number::EXPONENT_MAX`].
        exponent: u8,
    },
    /// The bits of an `f64`: NaN, infinities, minus zero, and all that no short decimal names.
    Raw(u64),
}

impl Number {
    /// Powers of ten above this one are no exact `f64`.
    pub const EXPONENT_MAX: u8 = 22;
    /// Integers above this one are no exact `f64`.
    pub const MANTISSA_MAX: i64 = 1 << 53;

    /// The form in which a row carries `value`: the decimal with the fewest digits after the point,
    /// raw bits where there is none.
    #[must_use]
    pub fn from_f64(value: f64) -> Self {
        let raw = Self::Raw(value.to_bits());
        if !value.is_finite() || (value == 0.0 && value.is_sign_negative()) {
            return raw;
        }
        if value.fract() == 0.0 && value.abs() <= Self::MANTISSA_MAX as f64 {
            return Self::Decimal { mantissa: value as i64, exponent: 0 };
        }
        Self::from_shortest_text(value).unwrap_or(raw)
    }

    /// The shortest text that names `value`, taken apart at its point.
    fn from_shortest_text(value: f64) -> Option<Self> {
        let mut text = ShortText::default();
        write!(text, "{value}").ok()?;
        let mut mantissa = 0_i64;
        let (mut negative, mut fraction) = (false, None::<u8>);
        for byte in text.bytes() {
            match byte {
                b'-' => negative = true,
                b'.' => fraction = Some(0),
                digit => {
                    mantissa = mantissa.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
                    fraction = fraction.map(|digits| digits + 1);
                }
            }
        }
        let number = Self::decimal(if negative { -mantissa } else { mantissa }, fraction?)?;
        (number.to_bits() == value.to_bits()).then_some(number)
    }

    /// A decimal, if mantissa and exponent are in range.
    #[must_use]
    pub fn decimal(mantissa: i64, exponent: u8) -> Option<Self> {
        let fits =
            mantissa.unsigned_abs() <= Self::MANTISSA_MAX.unsigned_abs() && exponent <= Self::EXPONENT_MAX;
        fits.then_some(Self::Decimal { mantissa, exponent })
    }

    /// The value.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        match self {
            // Both operands are exact, so IEEE 754 rounds once: the same result everywhere.
            Self::Decimal { mantissa, exponent } => mantissa as f64 / 10f64.powi(i32::from(exponent)),
            Self::Raw(bits) => f64::from_bits(bits),
        }
    }

    /// The value's bits.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.to_f64().to_bits()
    }
}

/// A text on the stack. What does not fit has more digits than a decimal may have.
#[derive(Default)]
struct ShortText {
    bytes: [[u8; 16]; 3],
    len: usize,
}

impl ShortText {
    fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        self.bytes.as_flattened()[..self.len].iter().copied()
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let free = self.bytes.as_flattened_mut().get_mut(self.len..end).ok_or(fmt::Error)?;
        free.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_decimals_are_decimals() {
        for (value, mantissa, exponent) in
            [(0.0, 0, 0), (12.5, 125, 1), (-0.001, -1, 3), (1e15, 1_000_000_000_000_000, 0)]
        {
            assert_eq!(Number::from_f64(value), Number::Decimal { mantissa, exponent }, "{value}");
        }
        for value in [f64::NAN, f64::INFINITY, -0.0, 1e300, 5e-324] {
            assert_eq!(Number::from_f64(value), Number::Raw(value.to_bits()));
        }
    }

    #[test]
    fn powers_of_ten_are_exact() {
        for exponent in 0..=Number::EXPONENT_MAX {
            let text: f64 = format!("1e{exponent}").parse().expect("a number");
            assert_eq!(10f64.powi(i32::from(exponent)).to_bits(), text.to_bits(), "1e{exponent}");
        }
    }

    proptest! {
        #[test]
        fn every_bit_pattern_comes_back(bits: u64) {
            prop_assert_eq!(Number::from_f64(f64::from_bits(bits)).to_bits(), bits);
        }

        #[test]
        fn every_short_decimal_comes_back(mantissa in -9_007_199_254_740_992_i64..=9_007_199_254_740_992, exponent in 0u8..=22) {
            let value = Number::decimal(mantissa, exponent).expect("in range").to_f64();
            prop_assert_eq!(Number::from_f64(value).to_bits(), value.to_bits());
        }
    }
}
