//! Own samples that come late: older than the newest of their series, or than all of the head. They are refused, as
//! Prometheus does by default, or taken up to an age behind the newest sample of the store. Those of a window that
//! is in the head stand there with the others; those of an older one are in a frame like any, are read from the log
//! until their window is sealed once more, and ship.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::run::Point;
use crate::store::{Inner, Store};

/// When samples may be from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) now: i64,
    /// Not after this time.
    pub(crate) newest: i64,
    /// Late ones are taken that are so much older than the newest; zero: none are.
    pub(crate) late: i64,
    /// Older ones are gone whatever comes.
    pub(crate) floor: i64,
}

/// What a row's time comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    timestamp: i64,
    is_new: bool,
    /// Its window is one of the head's, or may be: what is older is late whatever its series has.
    pub(crate) in_head: bool,
    takes_late: bool,
    too_old: bool,
}

/// What becomes of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Taken {
        late: bool,
    },
    /// It is there already: what is there stays, whatever a late one says.
    There,
    Duplicate,
    OutOfOrder,
    OutOfBounds,
    TooOld,
}

impl Bounds {
    /// Judges a row's time; the head begins at `takes_from`, and `newest` is the time of the store's newest row.
    /// `comes_again`: the clock shows that time for the second time.
    pub(crate) fn judge(&self, timestamp: i64, takes_from: i64, newest: i64, comes_again: bool) -> Judged {
        let newest = if newest == i64::MIN { self.now } else { newest };
        let late_from = newest.saturating_sub(self.late).max(self.floor);
        let is_new = timestamp > self.newest;
        Judged {
            timestamp,
            is_new,
            in_head: !is_new && timestamp >= takes_from,
            takes_late: self.late > 0 || comes_again,
            too_old: timestamp < late_from && !comes_again,
        }
    }
}

impl Judged {
    /// What becomes of a sample; `newest` is its series' newest from that time on, `is_there` says whether the series
    /// has one at that very time, `said` whether the newest says the same.
    pub(crate) fn fate(
        &self,
        newest: Option<&Point>,
        is_there: bool,
        said: impl FnOnce(&Point) -> bool,
    ) -> Fate {
        if self.is_new {
            return Fate::OutOfBounds;
        }
        match newest {
            None if self.in_head => return Fate::Taken { late: false },
            Some(newest) if newest.timestamp == self.timestamp => {
                return if said(newest) { Fate::There } else { Fate::Duplicate };
            }
            None | Some(_) => {}
        }
        match (self.takes_late, self.too_old, is_there) {
            (true, true, _) => Fate::TooOld,
            (true, false, true) => Fate::There,
            (true, false, false) => Fate::Taken { late: true },
            (false, ..) if self.in_head => Fate::OutOfOrder,
            (false, ..) => Fate::OutOfBounds,
        }
    }
}

impl Store {
    /// Samples are taken from now on that are older than the newest one by at most so much; zero: only in order.
    pub fn set_out_of_order_window(&self, window: Duration) {
        self.inner.late_ms.store(millis(window), Ordering::Relaxed);
    }
}

impl Inner {
    pub(crate) fn bounds(&self) -> Bounds {
        let now = self.clock.now_ms();
        let late = self.late_ms.load(Ordering::Relaxed);
        let floor = if late > 0 { self.vault.floor() } else { i64::MIN };
        Bounds { now, newest: now.saturating_add(millis(self.options.ahead_max)), late, floor }
    }

    /// Closes the open frame where only that has rows of a window which the head does not answer for.
    pub(crate) fn close_late_frame(&self) {
        let is_outside = {
            let state = self.state.read();
            state.own.open_window().is_some_and(|window| !state.head.answers(window))
        };
        if is_outside {
            self.state.write().seal();
            self.wake(false);
        }
    }
}

pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
