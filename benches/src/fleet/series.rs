//! One line of a page: what its value does from scrape to scrape.

use super::draws::Draws;
use super::unit::Unit;

/// How readily a series changes. A profile fills them in this order until its share of values changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Changes on any host at nearly every scrape: clocks, durations, idle time.
    Always,
    /// Changes while the host does something.
    Often,
    /// Changes on a bad day: errors, drops, retries.
    Rare,
    /// Changes only where everything flaps.
    Seldom,
}

/// At most so much of each class while a later one has room: few series change at every single scrape, and more
/// change now and then.
const CAPS: [f64; 4] = [0.97, 0.7, 1.0, 1.0];

/// Probability of a change at one scrape, by class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chances([f64; 4]);

impl Chances {
    /// So that `share` of all `series` change at each scrape.
    pub(super) fn fill(series: &[Series], share: f64) -> Self {
        let mut counts = [0.0; 4];
        for class in series.iter().filter_map(|one| one.model.class()) {
            counts[class as usize] += 1.0;
        }
        let mut left = share * series.len() as f64;
        let mut chances = [0.0; 4];
        for caps in [CAPS, [1.0; 4]] {
            for ((chance, count), cap) in chances.iter_mut().zip(counts).zip(caps) {
                let room = count * (cap - *chance);
                if room > 0.0 {
                    let taken = left.min(room);
                    left -= taken;
                    *chance += taken / count;
                }
            }
        }
        Self(chances)
    }

    /// Of one class.
    pub(super) fn of(&self, class: Class) -> f64 {
        self.0[class as usize]
    }
}

/// What moves a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Model {
    /// Nothing.
    Constant,
    /// A group that the series belongs to.
    Linked(Class),
    /// Events: a counter that grows by about `rate` a second, under the host's load.
    Counter(Class, f32),
    /// A gauge between two values that moves by at most a fortieth of the distance.
    Walk(Class, i64, i64),
    /// A new log-normal draw each time: median, and sigma of the logarithm.
    Fresh(Class, f32, f32),
    /// One of two neighbours.
    Flap(Class),
}

impl Model {
    fn class(self) -> Option<Class> {
        match self {
            Self::Constant => None,
            Self::Linked(class)
            | Self::Counter(class, _)
            | Self::Walk(class, ..)
            | Self::Fresh(class, ..)
            | Self::Flap(class) => Some(class),
        }
    }
}

/// One series of a host.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) model: Model,
    pub(super) unit: Unit,
    /// The whole number that [`Unit`] shows.
    pub(super) number: i64,
    /// Where its text begins in the body, and how long it is.
    pub(super) at: u32,
    pub(super) length: u8,
    /// Whether the body shows an older number.
    pub(super) changed: bool,
}

impl Series {
    /// Sets the number.
    pub(super) fn set(&mut self, number: i64) {
        if number != self.number {
            self.number = number;
            self.changed = true;
        }
    }

    /// Adds to a counter.
    pub(super) fn add(&mut self, by: i64) {
        self.set(self.number + by);
    }
}

/// What one scrape has in common for all series of a host.
pub(super) struct Tick<'a> {
    pub(super) chances: &'a Chances,
    pub(super) draws: &'a mut Draws,
    /// Seconds since the last scrape.
    pub(super) seconds: f64,
    /// The host's load: 1 on an ordinary day, several in a burst.
    pub(super) load: f64,
    /// The scrape's time in milliseconds, jitter included.
    pub(super) now_ms: i64,
}

impl Tick<'_> {
    /// Whether something of this class happens.
    pub(super) fn happens(&mut self, class: Class) -> bool {
        let chance = self.chances.of(class);
        chance > 0.0 && self.draws.chance(chance)
    }

    /// Events since the last scrape at `rate` a second, at least one.
    pub(super) fn events(&mut self, rate: f64) -> i64 {
        1 + self.draws.poisson((rate * self.seconds * self.load - 1.0).max(0.0))
    }

    /// Moves one series by its own model.
    pub(super) fn step(&mut self, series: &mut Series) {
        let Some(class) = series.model.class() else { return };
        if matches!(series.model, Model::Linked(_)) || !self.happens(class) {
            return;
        }
        match series.model {
            Model::Counter(_, rate) => {
                let events = self.events(f64::from(rate));
                series.add(events);
            }
            Model::Walk(_, low, high) => series.set(self.walk(series.number, low, high)),
            Model::Fresh(_, median, sigma) => {
                series.set(self.draws.log_normal(f64::from(median), f64::from(sigma)));
            }
            Model::Flap(_) => series.set(series.number ^ 1),
            Model::Constant | Model::Linked(_) => {}
        }
    }

    /// The next place of a walk, never the same one where there is another.
    pub(super) fn walk(&mut self, from: i64, low: i64, high: i64) -> i64 {
        let reach = ((high - low) / 40).max(1);
        let step = self.draws.between(1, reach);
        // Pulled towards the middle: far from it the way back is the likelier one.
        let up = self.draws.chance((high - from).max(0) as f64 / (high - low).max(1) as f64);
        (if up { from + step } else { from - step }).clamp(low.min(high), high.max(low))
    }
}
