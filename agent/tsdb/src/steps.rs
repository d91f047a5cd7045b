//! Steps of the clock. What was written by a clock that was ahead stays, and holds nothing up once the clock is set
//! back: those rows do not count when the order of new ones is checked, until time has come to them. Where both
//! have a sample of one series and time, the later one is shown: it is of another epoch, and that is drawn below
//! the earlier ones. Where it is set back by less than a second rows go on in the same stream: those of the time that
//! comes again are taken as late ones are.

use std::sync::atomic::{AtomicI64, Ordering};

use env::Clock;
use storage::Epoch;

use crate::late::millis;
use crate::state::State;
use crate::store::Inner;
use crate::streams::StreamNo;

/// A clock that is set back by less holds up only series with a newer sample, and for no longer: rows that come late
/// are enough.
const STEP_MS: i64 = 1_000;
/// Less than that may be how two clocks are read.
const SMALL_STEP_MS: i64 = 10;
/// Rows may be so much older than the time at which they come.
const LATE_MS: i64 = 10 * 60 * 1000;
/// Steps that are remembered one by one, at most.
const BARRIERS_MAX: usize = 64;
/// Looks at both clocks until no time seems to pass between them, at most.
const LOOKS: usize = 4;

/// Both clocks at once, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) wall: i64,
    pub(crate) monotonic: i64,
}

impl Now {
    pub(crate) fn of(clock: &dyn Clock) -> Self {
        let wall = clock.now_ms();
        Self { wall, monotonic: millis(clock.monotonic()) }
    }

    /// The same, also where the thread may be held up between the two.
    fn carefully(clock: &dyn Clock) -> Self {
        let looks = (0..LOOKS).map(|_| Self::of(clock));
        looks.max_by_key(Self::offset).unwrap_or_else(|| Self::of(clock))
    }

    fn offset(&self) -> i64 {
        self.wall.saturating_sub(self.monotonic)
    }
}

/// How the clock has gone so far.
#[derive(Debug)]
pub(crate) struct Steps {
    /// At the last look: how far the wall clock is from the monotonic one, and the latter.
    offset: AtomicI64,
    monotonic: AtomicI64,
    /// The latest time that the clock has shown since it was set back last.
    high: AtomicI64,
    barriers: Vec<Barrier>,
    /// Times that come again after a small step.
    again: Option<SetBack>,
}

/// Rows that do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Barrier {
    /// Of streams below this number
    below: StreamNo,
    /// after this time,
    from: i64,
    /// before the clock has passed this one.
    until: i64,
    /// It has, though not by far.
    passed: bool,
}

impl Barrier {
    /// Whether there may be something to do about it.
    fn is_due(&self, now_ms: i64) -> bool {
        if self.passed { self.is_past(now_ms) } else { self.until <= now_ms }
    }

    fn is_past(&self, now_ms: i64) -> bool {
        self.until.saturating_add(LATE_MS) < now_ms
    }
}

/// The clock was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetBack {
    /// Not before this time.
    pub(crate) to: i64,
    /// It had come to this one.
    pub(crate) from: i64,
}

impl Steps {
    pub(crate) fn new(now_ms: i64) -> Self {
        Self {
            offset: AtomicI64::new(i64::MIN),
            monotonic: AtomicI64::new(i64::MAX),
            high: AtomicI64::new(now_ms),
            barriers: Vec::new(),
            again: None,
        }
    }

    /// Whether rows of a time are taken although their series have newer ones.
    pub(crate) fn comes_again(&self, timestamp: i64) -> bool {
        self.again.is_some_and(|again| (again.to..=again.from).contains(&timestamp))
    }

    /// Takes note of a look at the clock, unless it shows something that must be dealt with.
    pub(crate) fn goes_on(&self, now: Now) -> bool {
        if self.is_back(now) || self.barriers.iter().any(|barrier| barrier.is_due(now.wall)) {
            return false;
        }
        self.note(now);
        true
    }

    fn is_back(&self, now: Now) -> bool {
        self.back_by(now) >= SMALL_STEP_MS
    }

    /// By how much the clock was set back since the last look.
    fn back_by(&self, now: Now) -> i64 {
        self.offset.load(Ordering::Relaxed).saturating_sub(now.offset())
    }

    pub(crate) fn note(&self, now: Now) {
        self.offset.store(now.offset(), Ordering::Relaxed);
        self.monotonic.store(now.monotonic, Ordering::Relaxed);
        self.high.fetch_max(now.wall, Ordering::Relaxed);
    }

    /// Looks at the clock while nobody else does; tells whether it was set back by far since the last look.
    pub(crate) fn look(&mut self, clock: &dyn Clock) -> (Now, Option<SetBack>) {
        let now = Now::carefully(clock);
        if !self.is_back(now) {
            self.note(now);
            return (now, None);
        }
        let since = now.monotonic.saturating_sub(*self.monotonic.get_mut()).max(0);
        let by = self.back_by(now);
        let set_back = SetBack { to: now.wall.saturating_sub(since), from: *self.high.get_mut() };
        *self.high.get_mut() = now.wall;
        self.note(now);
        if by >= STEP_MS {
            return (now, Some(set_back));
        }
        // Whoever looked at the clock before it was set back may append yet.
        self.come_again(SetBack { from: set_back.from.max(now.wall.saturating_add(by)), ..set_back });
        (now, None)
    }

    /// Takes note of a small step; of several near each other as one.
    fn come_again(&mut self, step: SetBack) {
        let known = self.again.filter(|known| step.to <= known.from && known.to <= step.from);
        let (to, from) =
            known.map_or((step.to, step.from), |known| (known.to.min(step.to), known.from.max(step.from)));
        self.again = Some(SetBack { to, from });
    }

    /// Rows after a time do not count for now, of streams below a number.
    pub(crate) fn bar(&mut self, below: StreamNo, set_back: SetBack) {
        self.barriers.retain(|known| known.until > set_back.from || known.from < set_back.to);
        self.barriers.push(Barrier { below, from: set_back.to, until: set_back.from, passed: false });
        if self.barriers.len() > BARRIERS_MAX {
            let oldest = self.barriers.remove(0);
            let next = &mut self.barriers[0];
            next.from = next.from.min(oldest.from);
            next.until = next.until.max(oldest.until);
        }
    }

    /// Rows count again that the clock has passed by far, or has come back to before anything was written since;
    /// whether there are any.
    pub(crate) fn lift(&mut self, now_ms: i64, nothing_written: bool) -> bool {
        let before = self.barriers.len();
        let newest = self.barriers.iter().map(|barrier| barrier.below).max();
        self.barriers.retain_mut(|barrier| {
            barrier.passed |= barrier.until <= now_ms;
            let unused = nothing_written && newest == Some(barrier.below);
            !(barrier.is_past(now_ms) || (unused && barrier.passed))
        });
        self.barriers.len() < before
    }

    /// The last time of a stream's rows that counts.
    pub(crate) fn limit(&self, stream: StreamNo) -> i64 {
        let barriers = self.barriers.iter().filter(|barrier| stream < barrier.below);
        barriers.map(|barrier| barrier.from).min().unwrap_or(i64::MAX)
    }
}

impl Inner {
    /// Deals with what the clock shows: that it was set back, and that another window holds now.
    pub(crate) fn turn_if_due(&self) {
        let now = Now::of(&*self.clock);
        {
            let state = self.state.read();
            if state.head.steps.goes_on(now) && !state.head.is_outdated(now.wall) {
                return;
            }
        }
        let mut state = self.state.write();
        // Anew: nobody looks between this and what is done about it.
        let (now, set_back) = state.head.steps.look(&*self.clock);
        let nothing_written = state.own.is_empty();
        state.head.lift(now.wall, nothing_written);
        if let Some(set_back) = set_back.filter(|_| !state.closed) {
            self.set_back(&mut state, set_back);
        }
        if state.head.is_outdated(now.wall) {
            state.turn(now.wall, &self.files);
        }
    }

    /// Own rows go on under an epoch whose samples count before those of the time that comes again.
    fn set_back(&self, state: &mut State, set_back: SetBack) {
        state.seal();
        let drawn = Epoch(self.random.next_u128());
        let (newest, epoch) = state.streams.before(drawn, set_back.to);
        let from = newest.map_or(set_back.from, |newest| newest.max(set_back.from));
        self.metrics.clock_steps.inc();
        tracing::warn!(
            by_ms = set_back.from.saturating_sub(set_back.to),
            "the clock was set back: samples go on at the time that it shows now"
        );
        let external = state.streams.get(state.own.stream).info.external.clone();
        let info = state.next_own(epoch, external, set_back.to);
        state.renew(info);
        state.own.newest = state.own.newest.min(set_back.to);
        let below = state.own.stream;
        state.head.set_back(below, SetBack { from, ..set_back });
    }

    /// Windows that start before it are gone. The clock may have been ahead when they went: those that it shows now
    /// are not among them.
    pub(crate) fn floor(&self) -> i64 {
        self.vault.floor().min(self.state.read().head.takes_from())
    }
}
