//! Random draws that a seed, a host and a slot decide: SplitMix64, and the distributions drawn from it.

use std::f64::consts::TAU;

/// A sequence of draws. Equal keys give equal sequences on every machine.
#[derive(Clone, Debug)]
pub(super) struct Draws(u64);

/// The increment of SplitMix64 (Steele, Lea, Flood 2014), 2^64 over the golden ratio.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
/// From this mean on a Poisson draw is a rounded normal one.
const POISSON_NORMAL: f64 = 24.0;

impl Draws {
    /// The sequence of these keys, in this order.
    pub(super) fn new(keys: &[u64]) -> Self {
        let mut state = Self(GAMMA);
        for key in keys {
            state.0 ^= *key;
            state.0 = state.next();
        }
        state
    }

    /// 64 evenly drawn bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// At least 0 and below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A whole number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.abs_diff(low) + 1;
        low + ((u128::from(self.next()) * u128::from(span)) >> 64) as i64
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller).
    pub(super) fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()
    }

    /// Log-normal, rounded, at least 1.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> i64 {
        (median * (sigma * self.normal()).exp()).round().max(1.0) as i64
    }

    /// How many events of a Poisson process happen (Knuth's product below the limit).
    pub(super) fn poisson(&mut self, mean: f64) -> i64 {
        if mean >= POISSON_NORMAL {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as i64;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_decide_and_means_hold() {
        let (mut one, mut same) = (Draws::new(&[1, 2, 3]), Draws::new(&[1, 2, 3]));
        assert_eq!((one.next(), one.next()), (same.next(), same.next()));
        assert_ne!(Draws::new(&[1, 3, 2]).next(), Draws::new(&[1, 2, 3]).next());
        for mean in [0.5, 5.0, 200.0] {
            let drawn: i64 = (0..4_000).map(|_| one.poisson(mean)).sum();
            let found = drawn as f64 / 4_000.0;
            assert!((found / mean - 1.0).abs() < 0.1, "{found} for {mean}");
        }
        assert!((0..1_000).map(|_| one.between(-3, 3)).all(|drawn| (-3..=3).contains(&drawn)));
    }
}
