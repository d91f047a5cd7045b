//! How an integer names a value: the forms in which exporters compute what they expose.
//!
//! Nearly every series is an integer divided once by a power of ten. Two more forms come from
//! exporters that multiply by a rounded constant or divide twice, and miss the exact decimal by one
//! bit now and then. What fits no form is carried as the integer that its bits are.

use storage::{Cell, Number};

use crate::bytes::Malformed;

/// Turns integers into values and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `n / 10^e`, one division.
    Decimal(u8),
    /// `n × 10^-e`, one multiplication by the nearest double: Go's `float64(n) * 0.001`.
    Product(u8),
    /// `n / 1000 / 1000`, two divisions: microseconds as the kernel's pressure files have them.
    Micro,
    /// The bits.
    Bits,
}

/// The powers of ten that are exact doubles.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// The doubles nearest to the negative powers of ten.
const FRACTIONS: [f64; 10] = [1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9];

const CODE_PRODUCT: u8 = 32;
const CODE_MICRO: u8 = 48;
const CODE_BITS: u8 = 49;

/// Bits that a cell costs where it is no integer of its column, about.
const MISS_COST: usize = 88;

impl Form {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Decimal(exponent) => exponent,
            Self::Product(exponent) => CODE_PRODUCT + exponent,
            Self::Micro => CODE_MICRO,
            Self::Bits => CODE_BITS,
        }
    }

    pub(super) fn from_code(code: u8) -> Result<Self, Malformed> {
        match code {
            0..=Number::EXPONENT_MAX => Ok(Self::Decimal(code)),
            33..=41 => Ok(Self::Product(code - CODE_PRODUCT)),
            CODE_MICRO => Ok(Self::Micro),
            CODE_BITS => Ok(Self::Bits),
            _ => Err(Malformed("an unknown form of numbers")),
        }
    }

    /// The form in which a single number costs least.
    pub(super) fn of(number: Number) -> Self {
        match number {
            Number::Decimal { exponent, mantissa } if Number::decimal(mantissa, exponent).is_some() => {
                Self::Decimal(exponent)
            }
            _ => Self::Bits,
        }
    }

    /// The integer that names `number` bit for bit, where there is one.
    #[inline]
    pub(super) fn int(self, number: Number) -> Option<i64> {
        match (self, number) {
            (Self::Decimal(to), Number::Decimal { mantissa, exponent }) => scaled(mantissa, exponent, to),
            (Self::Decimal(_), Number::Raw(_)) => None,
            (Self::Bits, number) => Some(number.to_bits() as i64),
            (Self::Product(exponent), number) => {
                self.rounded(number.to_f64() * POWERS[usize::from(exponent)], number)
            }
            (Self::Micro, number) => self.rounded(number.to_f64() * 1e6, number),
        }
    }

    /// The integer next to `near`, if it names `number`.
    fn rounded(self, near: f64, number: Number) -> Option<i64> {
        let near = near.round();
        // NaN is in no range.
        if !(-MANTISSA_MAX..=MANTISSA_MAX).contains(&near) {
            return None;
        }
        let int = near as i64;
        (self.bits(int) == number.to_bits()).then_some(int)
    }

    /// Whether every one of these integers is one that this form can have.
    pub(super) fn admits(self, ints: &[i64]) -> bool {
        // No early end: the loop runs over vectors.
        let above = |int: &i64| int.unsigned_abs() > Number::MANTISSA_MAX.unsigned_abs();
        self == Self::Bits || !ints.iter().fold(false, |any, int| any | above(int))
    }

    /// The value's bits.
    pub(super) fn bits(self, int: i64) -> u64 {
        match self {
            Self::Decimal(exponent) => (int as f64 / POWERS[usize::from(exponent)]).to_bits(),
            Self::Product(exponent) => (int as f64 * FRACTIONS[usize::from(exponent)]).to_bits(),
            Self::Micro => (int as f64 / 1e3 / 1e3).to_bits(),
            Self::Bits => int as u64,
        }
    }

    /// The value as rows carry it.
    pub(super) fn number(self, int: i64) -> Number {
        match self {
            Self::Decimal(exponent) => Number::Decimal { mantissa: int, exponent },
            form => Number::Raw(form.bits(int)),
        }
    }

    /// Appends the bits of many.
    pub(super) fn extend_bits(self, ints: &[i64], out: &mut Vec<u64>) {
        // One loop for each form, so that none decides anything for each value.
        match self {
            Self::Decimal(0) => out.extend(ints.iter().map(|&int| (int as f64).to_bits())),
            Self::Decimal(exponent) => {
                let power = POWERS[usize::from(exponent)];
                out.extend(ints.iter().map(|&int| (int as f64 / power).to_bits()));
            }
            Self::Product(_) | Self::Micro => out.extend(ints.iter().map(|&int| self.bits(int))),
            Self::Bits => out.extend(ints.iter().map(|&int| int as u64)),
        }
    }

    /// Appends many as cells.
    pub(super) fn extend_cells(self, ints: &[i64], out: &mut Vec<Cell>) {
        match self {
            Self::Decimal(exponent) => {
                out.extend(ints.iter().map(|&mantissa| Cell::Value(Number::Decimal { mantissa, exponent })))
            }
            form => out.extend(ints.iter().map(|&int| Cell::Value(Number::Raw(form.bits(int))))),
        }
    }

    /// The form in which a column's values cost least, about.
    pub(super) fn choose(cells: &[Cell]) -> Self {
        let mut census = Census::default();
        for cell in cells {
            if let Cell::Value(number) = cell {
                census.add(*number);
            }
        }
        let decimal = census.decimal();
        if census.raw == 0 {
            return decimal.map_or(Self::Decimal(0), |(form, _)| form);
        }
        let total = census.raw + census.decimals;
        let mut best = (Self::Bits, total * 60);
        if let Some((form, cost)) = decimal {
            let cost = cost + census.raw * MISS_COST;
            if cost < best.1 {
                best = (form, cost);
            }
        }
        let computed = (1..=9).map(Self::Product).chain([Self::Micro]);
        for form in computed.filter(|form| census.probes().any(|probe| form.int(probe).is_some())) {
            let fits = |cell: &&Cell| matches!(cell, Cell::Value(number) if form.int(*number).is_some());
            let fits = cells.iter().filter(fits).count();
            let cost = fits * 24 + (total - fits) * MISS_COST;
            if cost < best.1 {
                best = (form, cost);
            }
        }
        best.0
    }
}

const MANTISSA_MAX: f64 = Number::MANTISSA_MAX as f64;

/// What a column is made of.
#[derive(Default)]
struct Census {
    decimals: usize,
    raw: usize,
    /// Decimals of each exponent, and their largest mantissa.
    exponents: [(u32, u64); 23],
    /// The first raw numbers that a computed form could name.
    probes: [Option<Number>; 2],
}

impl Census {
    fn add(&mut self, number: Number) {
        match number {
            Number::Decimal { mantissa, exponent } => {
                self.decimals += 1;
                if let Some((count, largest)) = self.exponents.get_mut(usize::from(exponent)) {
                    *count += 1;
                    *largest = (*largest).max(mantissa.unsigned_abs());
                }
            }
            Number::Raw(bits) => {
                self.raw += 1;
                if f64::from_bits(bits).is_finite()
                    && let Some(free) = self.probes.iter_mut().find(|probe| probe.is_none())
                {
                    *free = Some(number);
                }
            }
        }
    }

    fn probes(&self) -> impl Iterator<Item = Number> {
        self.probes.into_iter().flatten()
    }

    /// The cheapest exponent and its cost in bits: each digit more costs every value a little, each
    /// value that does not fit costs a lot.
    fn decimal(&self) -> Option<(Form, usize)> {
        let cost = |exponent: usize| {
            let misses = self
                .exponents
                .iter()
                .enumerate()
                .filter(|(own, (count, largest))| *count > 0 && scaled_above(*largest, *own, exponent));
            let misses: usize = misses.map(|(_, (count, _))| *count as usize).sum();
            misses * MISS_COST + (self.decimals - misses) * (14 + exponent * 10 / 3)
        };
        let used = (0..self.exponents.len()).filter(|&exponent| self.exponents[exponent].0 > 0);
        used.map(|exponent| (Form::Decimal(exponent as u8), cost(exponent))).min_by_key(|(_, cost)| *cost)
    }
}

/// Whether a mantissa of this size at exponent `from` has no equal at exponent `to`.
fn scaled_above(largest: u64, from: usize, to: usize) -> bool {
    let scale = to.checked_sub(from).and_then(|digits| 10u64.checked_pow(digits as u32));
    let scaled = scale.and_then(|scale| largest.checked_mul(scale));
    scaled.is_none_or(|scaled| scaled > Number::MANTISSA_MAX.unsigned_abs())
}

/// `mantissa / 10^from` as a mantissa over `10^to`, where that is in range.
#[inline]
fn scaled(mantissa: i64, from: u8, to: u8) -> Option<i64> {
    let mantissa = if from == to {
        mantissa
    } else {
        mantissa.checked_mul(10i64.checked_pow(u32::from(to.checked_sub(from)?))?)?
    };
    (mantissa.unsigned_abs() <= Number::MANTISSA_MAX.unsigned_abs()).then_some(mantissa)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(value: f64) -> Cell {
        Cell::Value(Number::from_f64(value))
    }

    #[test]
    fn the_form_is_the_one_that_the_exporter_computed_with() {
        let column = |compute: fn(f64) -> f64| -> Vec<Cell> {
            (0..200).map(|at| value(compute(1_000_003.0 + f64::from(at) * 37.0))).collect()
        };
        assert_eq!(Form::choose(&column(|n| n)), Form::Decimal(0));
        assert_eq!(Form::choose(&column(|n| n / 100.0)), Form::Decimal(2));
        assert_eq!(Form::choose(&column(|n| n * 0.001)), Form::Product(3));
        assert_eq!(Form::choose(&column(|n| n / 1e3 / 1e3)), Form::Micro);
        assert_eq!(Form::choose(&column(f64::sqrt)), Form::Bits);
        assert_eq!(Form::choose(&[Cell::Absent, Cell::Stale]), Form::Decimal(0));
    }

    #[test]
    fn one_long_decimal_does_not_cost_all_others_its_digits() {
        let mut column = vec![value(12.5); 100];
        column[50] = value(0.000_000_123_456);
        assert_eq!(Form::choose(&column), Form::Decimal(1));
    }

    #[test]
    fn codes_come_back() {
        for code in 0..=255 {
            if let Ok(form) = Form::from_code(code) {
                assert_eq!(form.code(), code);
            }
        }
    }

    proptest! {
        #[test]
        fn an_int_names_the_very_bits(
            bits: u64, mantissa in -(1i64 << 53)..=1 << 53, exponent in 0u8..=22, code: u8,
        ) {
            let Ok(form) = Form::from_code(code % 50) else { return Ok(()) };
            let decimal = Number::Decimal { mantissa, exponent };
            for number in [Number::Raw(bits), decimal, Number::from_f64(mantissa as f64 * 0.001)] {
                if let Some(int) = form.int(number) {
                    prop_assert_eq!(form.bits(int), number.to_bits());
                    prop_assert_eq!(form.number(int).to_bits(), number.to_bits());
                    prop_assert!(form.admits(&[int]));
                }
            }
        }
    }
}
