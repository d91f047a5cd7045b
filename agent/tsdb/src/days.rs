//! Putting the windows of a day that is past together to one set of blocks, in the background: fewer and denser
//! files. It takes a tenth of a core, holds one group's columns at a time, and may be stopped or killed anywhere:
//! windows are read as before until one record of the manifest names the day in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env::Clock;
use parking_lot::{Condvar, Mutex};

use crate::seal::Turn;
use crate::sealed::{Generation, SealedError, SealedStore, SealedWindow, Sealing};
use crate::store::{Inner, Store};
use crate::window::{DAY_MS, day_of};

/// Of each second so much is worked, on average.
const SHARE: f64 = 0.1;
/// Work that may be done without a pause.
const BURST: Duration = Duration::from_millis(100);
/// Generations that came late for a day, or the part of its bytes that they are, before it is written anew.
const LATE_MAX: usize = 12;
const LATE_PART: u64 = 4;
/// Room that is left free on the disk besides that for the copy.
const ROOM: u64 = 64 << 20;

/// What days that are put together in the background need between one and the next.
#[derive(Debug, Default)]
pub(crate) struct Compaction {
    /// Held by whoever does it: the generations with which a day failed, which it would again.
    turn: Mutex<BTreeMap<i64, BTreeSet<u32>>>,
    stop: Mutex<bool>,
    stopped: Condvar,
    /// It was said that there is no room.
    told: AtomicBool,
}

impl Compaction {
    /// Ends what is under way, for good.
    pub(crate) fn stop(&self) {
        *self.stop.lock() = true;
        self.stopped.notify_all();
    }

    /// Waits, unless it is to stop; whether it is.
    fn wait(&self, time: Duration) -> bool {
        let mut stop = self.stop.lock();
        if !*stop && !time.is_zero() {
            self.stopped.wait_for(&mut stop, time);
        }
        *stop
    }
}

/// A bucket that fills by [`SHARE`] of the time that passes, and from which work takes.
struct Pace<'a> {
    clock: &'a dyn Clock,
    credit: f64,
    at: Duration,
}

impl<'a> Pace<'a> {
    fn new(clock: &'a dyn Clock) -> Self {
        Self { clock, credit: BURST.as_secs_f64(), at: clock.monotonic() }
    }

    /// How long to wait for the work since the last time. Where others had the core, that counts as worked.
    fn due(&mut self) -> Duration {
        let now = self.clock.monotonic();
        let worked = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        self.credit = (self.credit + worked * (SHARE - 1.0)).min(BURST.as_secs_f64());
        Duration::from_secs_f64((-self.credit / SHARE).max(0.0))
    }

    /// It was waited.
    fn waited(&mut self) {
        let now = self.clock.monotonic();
        let gained = now.saturating_sub(self.at).as_secs_f64() * SHARE;
        self.credit = (self.credit + gained).min(BURST.as_secs_f64());
        self.at = now;
    }
}

impl Store {
    /// Puts together the windows of past days, newest day first, until there is none left to do or the store is
    /// closed. It takes its time: a tenth of a core on average. At most one call works at a time; others return.
    pub fn compact(&self) {
        let inner = &self.inner;
        let Some(mut failed) = inner.compaction.turn.try_lock() else { return };
        inner.metrics.compactions.triggered.inc();
        let pace = Mutex::new(Pace::new(&*inner.clock));
        let stopped = || {
            let mut pace = pace.lock();
            let wait = pace.due();
            let stopped = inner.compaction.wait(wait);
            if !wait.is_zero() {
                pace.waited();
            }
            stopped
        };
        while let Some((day, windows)) = inner.next_day(&failed) {
            if !inner.has_room(&windows) {
                inner.metrics.compactions.skipped.inc();
                return;
            }
            let Some(store) = inner.vault.get() else { return };
            let done = inner.write_day(&store, day, &windows, &stopped);
            // One that was changed meanwhile is looked at the next time.
            failed.insert(day, numbers(&windows));
            match done {
                Ok(true) => drop(failed.remove(&day)),
                Ok(false) => {}
                Err(SealedError::Stopped) => return,
                Err(error) => {
                    inner.metrics.compactions.failed.inc();
                    tracing::error!(%error, day, "a day cannot be put together: its windows stay as they are");
                }
            }
            // Files of before go with their last user.
            drop(windows);
            store.tidy();
        }
    }

    /// Ends [`Self::compact`] soon; it does nothing from then on.
    pub fn stop_compacting(&self) {
        self.inner.compaction.stop();
    }
}

impl Inner {
    /// The newest day that is to be put together, with its windows.
    fn next_day(&self, failed: &BTreeMap<i64, BTreeSet<u32>>) -> Option<(i64, Vec<Arc<SealedWindow>>)> {
        let store = self.vault.get()?;
        let mut days: BTreeMap<i64, Vec<Arc<SealedWindow>>> = BTreeMap::new();
        for window in self.vault.windows() {
            days.entry(day_of(window.start)).or_default().push(window);
        }
        let first = self.state.read().head.span()[0];
        let floor = self.floor_ms().max(self.floor());
        // What is past its time in part is gone soon.
        days.retain(|day, windows| {
            *day >= floor
                && day.saturating_add(DAY_MS) <= first
                && is_worth_it(windows)
                && failed.get(day).is_none_or(|failed| *failed != numbers(windows))
                && !windows.iter().any(|window| store.is_damaged(window.start))
        });
        // Every window of it is sealed and nothing waits to be. What never gets what it builds on does not hold a day
        // up for longer than another day, though.
        let _one = self.sealing.try_lock()?;
        let due: BTreeSet<i64> = self.due(&Turn::default()).0.into_keys().map(day_of).collect();
        let waits = |day: i64| due.contains(&day) && first.saturating_sub(day) <= 2 * DAY_MS;
        days.into_iter().rfind(|(day, _)| !waits(*day))
    }

    /// Whether the disk takes anything, and has room for a copy of these windows.
    fn has_room(&self, windows: &[Arc<SealedWindow>]) -> bool {
        let bytes: u64 = folded(windows).iter().map(|(_, generation)| generation.bytes).sum();
        let free = self.options.space.space(&self.options.dir).map(|space| space.free_bytes);
        let is_failing = self.state.read().outage.is_some();
        let has_room = !is_failing
            && self.disk_level().may_rewrite()
            && free.as_ref().is_ok_and(|free| *free >= 2 * bytes + ROOM);
        if !self.compaction.told.swap(!has_room, Ordering::Relaxed) && !has_room {
            tracing::warn!(
                bytes,
                ?free,
                is_failing,
                "days are not put together: the disk has no room for a copy"
            );
        }
        has_room
    }

    /// Writes the windows of a day as one; whether it is in their place now.
    pub(crate) fn write_day(
        &self,
        store: &SealedStore,
        day: i64,
        windows: &[Arc<SealedWindow>],
        stopped: &dyn Fn() -> bool,
    ) -> Result<bool, SealedError> {
        let fold = folded(windows);
        let sealing = Sealing {
            store,
            start: day,
            is_day: true,
            fold: fold.clone(),
            resolve: &|number| store.group(number, &self.state.read()),
            stopped,
            salvage: false,
            written: &|| Ok(()),
        };
        let generation = sealing.write(Vec::new())?.map(Arc::new);
        let bytes = generation.as_ref().map_or(0, |generation| generation.bytes);
        self.metrics.compactions.bytes_written.inc_by(bytes);
        let is_done = store.switch(day, generation.as_ref(), &fold)?;
        if is_done {
            self.metrics.compactions.done.inc();
            let before: u64 = fold.iter().map(|(_, generation)| generation.bytes).sum();
            tracing::info!(day, windows = windows.len(), before, bytes, "a day is put together");
        }
        Ok(is_done)
    }
}

/// What becomes the day: the day as it was, then what each window has itself.
fn folded(windows: &[Arc<SealedWindow>]) -> Vec<(i64, Arc<Generation>)> {
    let old = windows.iter().find_map(|window| Some((window.start, Arc::clone(window.day.as_ref()?))));
    let own = windows
        .iter()
        .flat_map(|window| window.generations.iter().map(|one| (window.start, Arc::clone(one))));
    old.into_iter().chain(own).collect()
}

fn numbers(windows: &[Arc<SealedWindow>]) -> BTreeSet<u32> {
    folded(windows).iter().map(|(_, generation)| generation.number).collect()
}

/// Whether there are several files to become one; of a day that is one already only when much came late.
fn is_worth_it(windows: &[Arc<SealedWindow>]) -> bool {
    let all = folded(windows);
    let (old, own): (Vec<_>, Vec<_>) = all.iter().partition(|(_, generation)| generation.is_day());
    let bytes = |all: &[&(i64, Arc<Generation>)]| all.iter().map(|(_, one)| one.bytes).sum::<u64>();
    match old.is_empty() {
        true => own.len() > 1,
        false => own.len() >= LATE_MAX || bytes(&own) * LATE_PART >= bytes(&old).max(1),
    }
}

/// Windows that go together, oldest first, with the bytes that go with them: those of a day are one file.
pub(crate) fn units<'a>(windows: impl Iterator<Item = &'a Arc<SealedWindow>>) -> Vec<(Vec<i64>, u64)> {
    let windows: Vec<&Arc<SealedWindow>> = windows.collect();
    let days: BTreeSet<i64> =
        windows.iter().filter(|window| window.day.is_some()).map(|window| day_of(window.start)).collect();
    let together = |a: &&Arc<SealedWindow>, b: &&Arc<SealedWindow>| {
        day_of(a.start) == day_of(b.start) && days.contains(&day_of(a.start))
    };
    let unit = |windows: &[&Arc<SealedWindow>]| {
        let day = windows.iter().find_map(|window| window.day.as_ref()).map_or(0, |day| day.bytes);
        let own: u64 = windows.iter().map(|window| window.bytes()).sum();
        (windows.iter().map(|window| window.start).collect(), day + own)
    };
    windows.chunk_by(together).map(unit).collect()
}

#[cfg(test)]
mod tests {
    use env::SimulatedClock;

    use super::*;

    #[test]
    fn a_tenth_of_the_time_is_worked() {
        let clock = SimulatedClock::at(0);
        let mut pace = Pace::new(&*clock);
        let (mut worked, mut waited) = (Duration::ZERO, Duration::ZERO);
        for round in 0..1_000u64 {
            let work = Duration::from_micros(500 + round % 7 * 900);
            clock.advance(work);
            worked += work;
            let wait = pace.due();
            clock.advance(wait);
            waited += wait;
            if !wait.is_zero() {
                pace.waited();
            }
        }
        let share = worked.as_secs_f64() / (worked + waited).as_secs_f64();
        assert!((0.09..0.13).contains(&share), "{share}");
        // However long nothing was done, no more than a burst is.
        clock.advance(Duration::from_secs(3_600));
        pace.waited();
        clock.advance(BURST * 2);
        assert!(pace.due() > Duration::ZERO);
    }
}
