//! Randomness as an argument.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
#[allow(clippy::disallowed_types, reason = "the one place that asks the operating system")]
use rand::rngs::SysRng;
use rand::{Rng, SeedableRng, TryRng};

/// A source of random bits.
pub trait Random: Send + Sync + fmt::Debug {
    /// 64 uniformly distributed bits.
    fn next_u64(&self) -> u64;

    /// 128 uniformly distributed bits, as an epoch needs them.
    fn next_u128(&self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// A number in `0.0..1.0`.
    fn next_unit(&self) -> f64 {
        // 53 bits are all that an f64 in this range can tell apart.
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
        let bits = (self.next_u64() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }
}

/// Randomness shared by many parts.
pub type SharedRandom = Arc<dyn Random>;

/// The operating system's randomness.
#[derive(Debug)]
pub struct SystemRandom;

impl SystemRandom {
    /// A shared handle to the operating system's randomness.
    #[must_use]
    pub fn shared() -> SharedRandom {
        Arc::new(Self)
    }
}

impl Random for SystemRandom {
    #[allow(clippy::disallowed_types, reason = "the one place that asks the operating system")]
    fn next_u64(&self) -> u64 {
        // Without a working entropy source an epoch could repeat and silently merge two histories.
        SysRng
            .try_next_u64()
            .unwrap_or_else(|error| panic!("the operating system gives no randomness: {error}"))
    }
}

/// Repeatable randomness for tests and simulations.
#[derive(Debug)]
pub struct SeededRandom(Mutex<StdRng>);

impl SeededRandom {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub fn shared(seed: u64) -> SharedRandom {
        Arc::new(Self(Mutex::new(StdRng::seed_from_u64(seed))))
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_sequence() {
        let (one, two) = (SeededRandom::shared(7), SeededRandom::shared(7));
        assert_eq!(one.next_u128(), two.next_u128());
        assert_ne!(one.next_u128(), SeededRandom::shared(8).next_u128());
    }

    #[test]
    fn a_unit_is_below_one() {
        let random = SeededRandom::shared(1);
        assert!((0..1_000).map(|_| random.next_unit()).all(|unit| (0.0..1.0).contains(&unit)));
    }
}
