//! Sums that keep what rounding loses.

/// A sum with Neumaier's compensation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kahan {
    /// The sum so far, rounded.
    pub(crate) sum: f64,
    /// What rounding lost so far.
    pub(crate) lost: f64,
}

impl Kahan {
    /// The sum and `value`.
    pub(crate) fn plus(self, value: f64) -> Self {
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

    /// The sum with what rounding lost.
    pub(crate) fn total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.lost }
    }
}

/// A mean that stays finite where the sum would not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    count: f64,
    /// The sum, or once that overflowed the mean itself.
    held: Kahan,
    incremental: bool,
}

impl Mean {
    /// The mean of one value.
    pub(crate) fn of(value: f64) -> Self {
        Self { count: 1.0, held: Kahan { sum: value, lost: 0.0 }, incremental: false }
    }

    /// The mean with one value more.
    pub(crate) fn plus(mut self, value: f64) -> Self {
        self.count += 1.0;
        if !self.incremental {
            let next = self.held.plus(value);
            if !next.sum.is_infinite() {
                self.held = next;
                return self;
            }
            self.incremental = true;
            let before = self.count - 1.0;
            self.held = Kahan { sum: self.held.sum / before, lost: self.held.lost / before };
        }
        let share = (self.count - 1.0) / self.count;
        let scaled = Kahan { sum: share * self.held.sum, lost: share * self.held.lost };
        self.held = scaled.plus(value / self.count);
        self
    }

    /// The mean.
    pub(crate) fn value(self) -> f64 {
        if self.incremental {
            self.held.sum + self.held.lost
        } else {
            self.held.sum / self.count + self.held.lost / self.count
        }
    }
}

/// The φ-quantile: between two values it is weighted by distance.
pub(crate) fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    // NaN sorts below everything.
    values.sort_by(|a, b| {
        b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
    });
    let rank = Rank::of(phi, values.len());
    rank.between(values[rank.lower], values[rank.upper])
}

/// Which of some numbers in order a quantile lies between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rank {
    pub(crate) lower: usize,
    pub(crate) upper: usize,
    weight: f64,
}

impl Rank {
    /// Of the φ-quantile, from 0 through 1, among so many numbers, at least one.
    pub(crate) fn of(phi: f64, count: usize) -> Self {
        let last = count.saturating_sub(1);
        let rank = phi * last as f64;
        let lower = (rank.floor().max(0.0) as usize).min(last);
        Self { lower, upper: (lower + 1).min(last), weight: rank - rank.floor() }
    }

    /// The quantile between those two numbers.
    pub(crate) fn between(self, lower: f64, upper: f64) -> f64 {
        lower * (1.0 - self.weight) + upper * self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_survive_large_ones() {
        let sum = [1.0, 1e100, 1.0, -1e100].into_iter().fold(Kahan::default(), Kahan::plus);
        assert_eq!(sum.total(), 2.0);
    }

    #[test]
    fn a_mean_does_not_overflow() {
        let mean = [f64::MAX, f64::MAX].into_iter().fold(Mean::of(f64::MAX), Mean::plus);
        assert!((mean.value() / f64::MAX - 1.0).abs() < 1e-12);
        assert_eq!(Mean::of(1.0).plus(2.0).plus(6.0).value(), 3.0);
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0]), 2.0);
        assert_eq!(quantile(1.0, &mut [3.0, 1.0, f64::NAN]), 3.0);
        assert_eq!(quantile(-1.0, &mut [1.0]), f64::NEG_INFINITY);
        assert!(quantile(0.0, &mut [f64::NAN, 1.0]).is_nan());
    }
}
