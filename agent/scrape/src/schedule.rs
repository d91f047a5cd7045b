//! When a target is scraped: always the same moments of absolute time, spread over targets.

use std::time::Duration;

/// How late a scrape may start and still get its planned time as timestamp: equal distances compress best.
const TOLERANCE_MS: i64 = 2;

/// The moments of one target, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    interval: i64,
    offset: i64,
}

impl Schedule {
    /// `hash` decides where in the interval the target's moments lie.
    pub(crate) fn new(interval: Duration, hash: u64) -> Self {
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let offset = i64::try_from(hash % interval.unsigned_abs()).unwrap_or(0);
        Self { interval, offset }
    }

    /// The first moment after `now`.
    pub(crate) fn after(&self, now: i64) -> i64 {
        now + self.interval - (now - self.offset).rem_euclid(self.interval)
    }

    /// The moment after `moment`. One that has passed already is made up for; more are left out.
    pub(crate) fn next(&self, moment: i64, now: i64) -> i64 {
        let next = moment + self.interval;
        let missed = now - next >= self.interval;
        // A moment far ahead: the clock was set back.
        let stepped = next - now > self.interval;
        if missed || stepped { self.after(now) } else { next }
    }

    /// The timestamp of a scrape that was planned for `moment` and begins `now`.
    pub(crate) fn timestamp(&self, moment: i64, now: i64) -> i64 {
        let tolerance = TOLERANCE_MS.min(self.interval / 100);
        if (0..=tolerance).contains(&(now - moment)) { moment } else { now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_the_same_whenever_one_asks() {
        let schedule = Schedule::new(Duration::from_secs(10), 12_345);
        for (now, moment) in [(0, 2_345), (2_344, 2_345), (2_345, 12_345), (12_346, 22_345)] {
            assert_eq!(schedule.after(now), moment, "{now}");
        }
        for (moment, now, next) in
            [(2_345, 2_400, 12_345), (2_345, 12_400, 12_345), (2_345, 40_000, 42_345), (99_999, 0, 2_345)]
        {
            assert_eq!(schedule.next(moment, now), next, "{moment} {now}");
        }
    }

    #[test]
    fn a_small_delay_is_not_seen() {
        let schedule = Schedule::new(Duration::from_secs(10), 0);
        for (now, timestamp) in [(1_000, 1_000), (1_002, 1_000), (1_003, 1_003), (999, 999)] {
            assert_eq!(schedule.timestamp(1_000, now), timestamp);
        }
        assert_eq!(Schedule::new(Duration::from_millis(100), 0).timestamp(1_000, 1_002), 1_002);
    }
}
