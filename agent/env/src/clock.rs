//! Wall-clock and monotonic time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time, handed down to everything that needs one.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds since the Unix epoch; may step when the host's clock is set.
    fn now_ms(&self) -> i64;
    /// Time since an arbitrary origin; never goes backwards.
    fn monotonic(&self) -> Duration;
}

/// A clock shared by many parts.
pub type SharedClock = Arc<dyn Clock>;

/// The host's clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A shared handle to the host's clock.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the host's clock")]
    pub fn shared() -> SharedClock {
        Arc::new(Self { origin: Instant::now() })
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the host's clock")]
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct SimulatedClock {
    start_ms: i64,
    elapsed_ms: AtomicI64,
    /// How far it was set, in all.
    stepped_ms: AtomicI64,
}

impl SimulatedClock {
    /// A clock that stands at `start_ms`.
    #[must_use]
    pub fn at(start_ms: i64) -> Arc<Self> {
        Arc::new(Self { start_ms, elapsed_ms: AtomicI64::default(), stepped_ms: AtomicI64::default() })
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.elapsed_ms.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the clock ahead or back, as a correction does: the monotonic clock knows nothing of it.
    pub fn step(&self, by_ms: i64) {
        self.stepped_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn now_ms(&self) -> i64 {
        self.start_ms + self.elapsed_ms.load(Ordering::SeqCst) + self.stepped_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms.load(Ordering::SeqCst).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_moves_only_when_told() {
        let clock = SimulatedClock::at(1_000);
        assert_eq!((clock.now_ms(), clock.monotonic()), (1_000, Duration::ZERO));
        clock.advance(Duration::from_secs(2));
        assert_eq!((clock.now_ms(), clock.monotonic()), (3_000, Duration::from_secs(2)));
    }

    #[test]
    fn the_hosts_monotonic_time_never_goes_back() {
        let clock = SystemClock::shared();
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
        assert!(clock.now_ms() > 1_600_000_000_000);
    }
}
