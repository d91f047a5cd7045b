//! The disk ladder: what a store still does as its file system fills up, before it takes nothing at all.
//!
//! A *reserve* of free bytes is asked for. Below it the oldest windows go early; below half of it what is written
//! is not written anew; below a fifth nothing is sealed, and the log keeps no more than its newest part. A level is
//! left again only with a quarter more room than it is entered with.

use std::fmt;
use std::time::Duration;

use env::Space;
use telemetry::{Counter, Gauge, Registry};

/// The share of a file system that is kept free where nobody says how much.
const RESERVE_PART: u64 = 10;
/// The same in bytes, at most: a tenth of a large disk is more than any work here needs.
const RESERVE_MAX: u64 = 10 << 30;
/// Between two pieces that go for want of room: others may have filled the disk, and may clear it.
const DROP_EVERY: Duration = Duration::from_secs(60);
/// Age of a log segment at which the next one is begun, while the log keeps only its newest part.
const ROLL_EVERY: Duration = Duration::from_secs(600);

/// How full the file system of a store is, as far as it decides what may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskLevel {
    /// Everything runs.
    #[default]
    Ample,
    /// Free bytes are below the reserve: the oldest windows go before their time.
    Low,
    /// Below half of it: nothing that is written already is written anew.
    Tight,
    /// Below a fifth of it: nothing is sealed, and the log keeps its newest half hour.
    Critical,
}

impl DiskLevel {
    /// Whether jobs may run that write anew what is there, and need room for both meanwhile.
    #[must_use]
    pub fn may_rewrite(self) -> bool {
        self < Self::Tight
    }

    /// Whether windows may be sealed.
    #[must_use]
    pub fn may_seal(self) -> bool {
        self < Self::Critical
    }

    /// Of so many free bytes, wherever it was before.
    fn of(free: u64, reserve: u64) -> Self {
        match free {
            _ if free < reserve / 5 => Self::Critical,
            _ if free < reserve / 2 => Self::Tight,
            _ if free < reserve => Self::Low,
            _ => Self::Ample,
        }
    }

    /// The level after this one.
    fn next(self, free: u64, reserve: u64) -> Self {
        let better = Self::of(free - free / 5, reserve);
        Self::of(free, reserve).max(self.min(better))
    }
}

impl fmt::Display for DiskLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ample => "ample",
            Self::Low => "low: the oldest windows go before their time",
            Self::Tight => "tight: besides, nothing is written anew",
            Self::Critical => "critical: besides, nothing is sealed, and the log keeps its newest half hour",
        })
    }
}

/// Bytes that should be free on a file system of that size.
fn reserve(total: u64, told: Option<u64>) -> u64 {
    told.unwrap_or_else(|| (total / RESERVE_PART).min(RESERVE_MAX))
}

/// Where a store stands on the ladder.
#[derive(Debug, Default)]
pub(crate) struct DiskWatch {
    pub(crate) level: DiskLevel,
    /// Monotonic times of what was done last.
    dropped: Option<Duration>,
    rolled: Option<Duration>,
    /// The file system's answer was an error, which was told.
    failed: bool,
}

impl DiskWatch {
    /// Takes the file system's answer; where there is none the level stays.
    pub(crate) fn look(
        &mut self,
        space: std::io::Result<Space>,
        told: Option<u64>,
        metrics: &DiskMetrics,
    ) -> DiskLevel {
        let space = match space {
            Ok(space) => space,
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::warn!(%error, "the file system does not say how much room it has");
                }
                return self.level;
            }
        };
        self.failed = false;
        let reserve = reserve(space.total_bytes, told);
        let next = self.level.next(space.free_bytes, reserve);
        let free = space.free_bytes;
        match next.cmp(&self.level) {
            std::cmp::Ordering::Greater => {
                tracing::warn!(free, reserve, level = %next, "the disk fills up");
            }
            std::cmp::Ordering::Less => {
                tracing::info!(free, reserve, level = %next, "the disk has room again")
            }
            std::cmp::Ordering::Equal => {}
        }
        self.level = next;
        metrics.level.set(next as i64);
        metrics.free.set(i64::try_from(free).unwrap_or(i64::MAX));
        metrics.reserve.set(i64::try_from(reserve).unwrap_or(i64::MAX));
        next
    }

    /// Whether a piece may go now for want of room.
    pub(crate) fn may_drop(&mut self, now: Duration) -> bool {
        self.level >= DiskLevel::Low && is_due(&mut self.dropped, now, DROP_EVERY)
    }

    /// Whether the log must begin a new segment, so that older ones can go.
    pub(crate) fn must_roll(&mut self, now: Duration) -> bool {
        self.level >= DiskLevel::Critical && is_due(&mut self.rolled, now, ROLL_EVERY)
    }
}

/// Whether something is due that is done at most so often, and is done now if so.
fn is_due(last: &mut Option<Duration>, now: Duration, every: Duration) -> bool {
    let due = last.is_none_or(|last| now.saturating_sub(last) >= every);
    if due {
        *last = Some(now);
    }
    due
}

/// What is said of the room on the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskMetrics {
    level: Gauge,
    free: Gauge,
    reserve: Gauge,
    pub(crate) dropped: Counter,
}

impl DiskMetrics {
    pub(crate) fn register(&self, registry: &Registry) {
        let gauges: [(&str, &str, &Gauge); 3] = [
            (
                "vedette_tsdb_disk_level",
                "How full the disk is: 0 ample, 1 low, 2 tight, 3 critical.",
                &self.level,
            ),
            ("vedette_tsdb_disk_free_bytes", "Bytes that may still be written.", &self.free),
            (
                "vedette_tsdb_disk_reserve_bytes",
                "Free bytes below which the oldest windows go before their time.",
                &self.reserve,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "vedette_tsdb_disk_retentions",
            "Windows and segments dropped before their time because the disk was nearly full.",
            self.dropped.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_reserve_is_a_share_of_small_disks_and_a_size_on_large_ones() {
        for (total, told, expected) in [
            (8 << 20, None, (8 << 20) / 10),
            (100 * GIB, None, 10 * GIB),
            (20_000 * GIB, None, 10 * GIB),
            (20_000 * GIB, Some(64 * GIB), 64 * GIB),
            (100 * GIB, Some(0), 0),
        ] {
            assert_eq!(reserve(total, told), expected, "{total} {told:?}");
        }
    }

    #[test]
    fn levels_are_entered_at_once_and_left_with_a_quarter_more() {
        use DiskLevel::{Ample, Critical, Low, Tight};
        let mut level = Ample;
        for (free, expected) in [
            (1_000, Ample),
            (999, Low),
            (1_100, Low),
            (499, Tight),
            (620, Tight),
            (626, Low),
            (199, Critical),
            (245, Critical),
            (251, Tight),
            (1_240, Low),
            (1_251, Ample),
            (0, Critical),
            (5_000, Ample),
        ] {
            level = level.next(free, 1_000);
            assert_eq!(level, expected, "{free}");
        }
    }

    proptest! {
        /// However it came there: never better than the room says, never worse than a fifth less would say; and
        /// a reserve of nothing is always ample.
        #[test]
        fn a_level_follows_the_room(frees in prop::collection::vec(0..3_000u64, 1..50)) {
            let (mut level, mut off) = (DiskLevel::Ample, DiskLevel::Ample);
            for free in frees {
                level = level.next(free, 1_000);
                off = off.next(free, 0);
                prop_assert!(level >= DiskLevel::of(free, 1_000));
                prop_assert!(level <= DiskLevel::of(free - free / 5, 1_000));
                prop_assert_eq!(off, DiskLevel::Ample);
            }
        }
    }
}
