//! What a bucket counts with: exact integers, floats, or floats with what rounding lost.

use std::fmt;

use crate::float::format_go_float;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u64 {}
    impl Sealed for f64 {}
    impl Sealed for super::Kahan {}
}

/// A number of observations. Implemented by `u64` (what instrumentation and the store count with) and
/// `f64` (what PromQL computes with).
pub trait Count: Copy + PartialOrd + fmt::Debug + sealed::Sealed {
    /// No observations.
    const ZERO: Self;
    /// Whether sums of it are exact, so that a histogram's parts must add up to its count.
    const EXACT: bool;

    /// The sum; integers stop at their largest.
    #[must_use]
    fn plus(self, other: Self) -> Self;

    /// The nearest float.
    #[must_use]
    fn to_f64(self) -> f64;

    /// Whether nothing was counted.
    #[must_use]
    fn is_zero(self) -> bool;

    /// Whether both are the same bits: a NaN is itself.
    #[must_use]
    fn same(self, other: Self) -> bool;

    /// As Prometheus prints it.
    #[must_use]
    fn text(self) -> String;
}

impl Count for u64 {
    const ZERO: Self = 0;
    const EXACT: bool = true;

    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }

    #[allow(clippy::cast_precision_loss, reason = "the nearest float is what is asked for")]
    fn to_f64(self) -> f64 {
        self as f64
    }

    fn is_zero(self) -> bool {
        self == 0
    }

    fn same(self, other: Self) -> bool {
        self == other
    }

    fn text(self) -> String {
        self.to_string()
    }
}

impl Count for f64 {
    const ZERO: Self = 0.0;
    const EXACT: bool = false;

    fn plus(self, other: Self) -> Self {
        self + other
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn is_zero(self) -> bool {
        self == 0.0
    }

    fn same(self, other: Self) -> bool {
        self.to_bits() == other.to_bits()
    }

    fn text(self) -> String {
        format_go_float(self)
    }
}

/// A running sum and what its rounding lost (Kahan's summation, Neumaier's variant).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(super) struct Kahan {
    pub(super) sum: f64,
    pub(super) lost: f64,
}

impl Kahan {
    pub(super) fn new(sum: f64) -> Self {
        Self { sum, lost: 0.0 }
    }

    #[must_use]
    fn plus_float(self, value: f64) -> Self {
        let sum = self.sum + value;
        let lost = if sum.is_infinite() {
            0.0
        } else if self.sum.abs() >= value.abs() {
            self.lost + ((self.sum - sum) + value)
        } else {
            self.lost + ((value - sum) + self.sum)
        };
        Self { sum, lost }
    }

    /// Both parts through one function, as scaling needs.
    #[must_use]
    pub(super) fn map(self, each: impl Fn(f64) -> f64) -> Self {
        Self { sum: each(self.sum), lost: each(self.lost) }
    }
}

impl Count for Kahan {
    const ZERO: Self = Self { sum: 0.0, lost: 0.0 };
    const EXACT: bool = false;

    fn plus(self, other: Self) -> Self {
        let sum = self.plus_float(other.sum);
        if other.lost == 0.0 { sum } else { sum.plus_float(other.lost) }
    }

    fn to_f64(self) -> f64 {
        self.sum + self.lost
    }

    fn is_zero(self) -> bool {
        self.sum == 0.0 && self.lost == 0.0
    }

    fn same(self, other: Self) -> bool {
        self.sum.same(other.sum) && self.lost.same(other.lost)
    }

    fn text(self) -> String {
        self.to_f64().text()
    }
}
