//! The time in which groups tick.
//!
//! Grid time runs on the leader's monotonic clock. A new leader continues from the last beacon plus what
//! its own clock says has passed since, but no more than a minute and never less than nothing: so neither a
//! step of a clock nor an outage makes groups tick early, late or twice.

use std::time::Duration;

/// At most this much is taken to have passed between the last beacon and a new leader.
const MAX_GAP_MS: i64 = 60_000;

/// Milliseconds of a duration.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A leader's grid time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    base: i64,
    origin: Duration,
    /// The cluster was silent for longer than a leader's failure explains.
    pub(crate) after_outage: bool,
    /// Grid time up to which earlier leaders ran their ticks.
    pub(crate) ran_until: i64,
}

impl Grid {
    /// Continues from `beacon` at monotonic time `origin`.
    pub(crate) fn start(beacon: Option<i64>, now_ms: i64, origin: Duration) -> Self {
        let Some(beacon) = beacon else {
            return Self { base: now_ms, origin, after_outage: false, ran_until: now_ms };
        };
        let gap = now_ms.saturating_sub(beacon);
        Self {
            base: beacon + gap.clamp(0, MAX_GAP_MS),
            origin,
            after_outage: gap > MAX_GAP_MS,
            ran_until: beacon,
        }
    }

    /// Grid time at a monotonic time.
    pub(crate) fn at(&self, monotonic: Duration) -> i64 {
        self.base + millis(monotonic.saturating_sub(self.origin))
    }

    /// Monotonic time of a grid time.
    pub(crate) fn monotonic(&self, grid: i64) -> Duration {
        let after = u64::try_from(grid.saturating_sub(self.base)).unwrap_or(0);
        self.origin + Duration::from_millis(after)
    }
}

/// The first of `first`, `first + interval`, ... that is after `after`.
pub(crate) fn next_tick(first: i64, interval: i64, after: i64) -> i64 {
    if after < first {
        return first;
    }
    let interval = interval.max(1);
    first + ((after - first) / interval + 1) * interval
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_leader_continues_the_grid() {
        // (beacon, its clock, grid time at once, after an outage)
        for (beacon, now, want, outage) in [
            (Some(1_000), 3_000, 3_000, false),
            (Some(1_000), 500, 1_000, false),
            (Some(1_000), 3_600_000, 61_000, true),
            (None, 5_000, 5_000, false),
        ] {
            let grid = Grid::start(beacon, now, Duration::from_secs(9));
            assert_eq!(
                (grid.at(Duration::from_secs(9)), grid.after_outage),
                (want, outage),
                "{beacon:?} {now}"
            );
            assert_eq!(grid.at(grid.monotonic(want + 7)), want + 7);
        }
    }

    #[test]
    fn ticks_are_on_the_grid() {
        for (after, want) in [(0, 100), (99, 100), (100, 150), (149, 150), (150, 200), (1_001, 1_050)] {
            assert_eq!(next_tick(100, 50, after), want, "after {after}");
        }
    }
}
