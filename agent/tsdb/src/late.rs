//! Own samples that come late: older than the newest of their series, or than all of the head. They are refused, as
//! Prometheus does by default, or taken up to an age behind the newest sample of the store. Those of a window that
//! is in the head stand there with the others; those of an older one are in a frame like any, are read from the log
//! until their window is sealed once more, and ship.

use std::sync::atomic::Ordering;
use std::time::Duration;

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

impl Bounds {
    /// The first time that late samples may have, where there is a newest one.
    pub(crate) fn late_from(&self, newest: i64) -> i64 {
        let newest = if newest == i64::MIN { self.now } else { newest };
        newest.saturating_sub(self.late).max(self.floor)
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
