//! When a target is scraped: always the same moments of absolute time, spread over targets.
//!
//! Not each at a moment of its own: most of what a scrape costs is waking up for it and going to sleep again, and
//! targets of one moment share that.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How late a scrape may start and still get its planned time as timestamp: equal distances compress best.
const TOLERANCE_MS: i64 = 2;
/// Moments of targets lie so far apart, at most; with many targets more than one has the same.
const STEP_MAX_MS: i64 = 100;
/// In an interval there are at least so many moments.
const STEPS_MIN: i64 = 10;

/// Instants of one moment that are so close are one: the clock shows whole milliseconds.
const SAME: Duration = Duration::from_millis(2);
/// Moments whose instants are remembered: those of a few intervals.
const REMEMBERED: usize = 8;

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
        let step = (interval / STEPS_MIN).clamp(1, STEP_MAX_MS);
        let offset = i64::try_from(hash % (interval / step).unsigned_abs()).unwrap_or(0) * step;
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

/// When to wake up for a moment of the wall clock: for all who wait for the same moment it is the same instant, so
/// that one timer wakes them, whatever fraction of a millisecond had passed when each of them looked.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Mutex<Asked>);

/// The moments that were asked for last, and their instants.
#[derive(Debug, Default)]
struct Asked {
    known: [Option<(i64, Instant)>; REMEMBERED],
    next: usize,
}

impl Alarm {
    /// The instant of `moment`, or `most` from `now` where that is sooner; the clock shows `now_ms`.
    pub(crate) fn at(&self, moment: i64, now_ms: i64, now: Instant, most: Duration) -> Instant {
        let wait = Duration::from_millis(moment.saturating_sub(now_ms).clamp(0, i64::MAX).unsigned_abs());
        if wait > most {
            return now + most;
        }
        let own = now + wait;
        let mut asked = self.0.lock();
        // Where the clock was set since, it is another instant.
        let is_it =
            |(known, at): &(i64, Instant)| *known == moment && (*at.max(&own) - *at.min(&own)) <= SAME;
        if let Some((_, at)) = asked.known.iter().flatten().find(|known| is_it(known)) {
            return *at;
        }
        let next = asked.next;
        asked.known[next] = Some((moment, own));
        asked.next = (next + 1) % REMEMBERED;
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_the_same_whenever_one_asks() {
        let schedule = Schedule::new(Duration::from_secs(10), 12_323);
        for (now, moment) in [(0, 2_300), (2_299, 2_300), (2_300, 12_300), (12_301, 22_300)] {
            assert_eq!(schedule.after(now), moment, "{now}");
        }
        for (moment, now, next) in
            [(2_300, 2_400, 12_300), (2_300, 12_400, 12_300), (2_300, 40_000, 42_300), (99_999, 0, 2_300)]
        {
            assert_eq!(schedule.next(moment, now), next, "{moment} {now}");
        }
    }

    #[test]
    fn targets_are_spread_over_a_few_moments() {
        for (interval, moments) in [(1, 1), (9, 9), (10, 10), (1_000, 10), (1_234, 12), (15_000, 150)] {
            let of = |hash| Schedule::new(Duration::from_millis(interval), hash).after(-1);
            let mut all: Vec<i64> = (0..10_000).map(of).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), moments, "{interval}");
            assert!(all.iter().all(|moment| (0..interval.cast_signed()).contains(moment)), "{interval}");
        }
    }

    #[test]
    fn all_who_wait_for_a_moment_wake_at_one_instant() {
        let (alarm, most, begin) = (Alarm::default(), Duration::from_secs(10), Instant::now());
        let at = |moment, now_ms, micros| {
            alarm.at(moment, now_ms, begin + Duration::from_micros(micros), most) - begin
        };
        assert_eq!(at(1_000, 0, 0), Duration::from_secs(1));
        assert_eq!(at(1_100, 1, 1_600), Duration::from_micros(1_100_600));
        assert_eq!(at(1_000, 1, 1_600), Duration::from_secs(1), "not a fraction of a millisecond later");
        assert_eq!(at(1_000, 500, 1_600), Duration::from_micros(501_600), "the clock was set");
        assert_eq!(at(i64::MAX, i64::MIN, 7), most + Duration::from_micros(7));
        assert_eq!(at(0, 1_000, 7), Duration::from_micros(7), "it is past");
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
