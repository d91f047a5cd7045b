//! Times that series share, and what is decided by time alone: which rows are in the window of each step, and how far
//! a difference is extrapolated. It is found out once, for all series of a group.

use storage::Times;

use super::super::rate::seconds;

/// The windows of all steps: after the first time and through the second one. Both ascend.
pub(super) type Bounds = [(i64, i64)];

/// A column of times against the windows.
#[derive(Debug, Default)]
pub(super) struct Axis {
    /// The batches' columns that it was put together from.
    parts: Vec<Times>,
    pub(super) times: Vec<i64>,
    /// Of each step the first row inside, and the row after the last one.
    pub(super) windows: Vec<(u32, u32)>,
    /// Of each step, where extrapolation is asked for.
    pub(super) sides: Vec<Side>,
    /// Rows of all windows.
    pub(super) total: u64,
    /// The first step, and how many, whose windows have two rows: where no other step's has.
    pub(super) pairs: Option<(usize, usize)>,
    /// How often it became another one.
    changes: u64,
}

/// How far a difference reaches beyond its samples.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Side {
    /// From the first to the last sample, in seconds.
    pub(super) sampled: f64,
    /// From the start of the window, as far as it counts.
    to_start: f64,
    /// To the end of the window.
    to_end: f64,
    /// What the difference is multiplied with.
    pub(super) factor: f64,
    /// What the factor is divided by.
    per: f64,
}

/// What a function asks of the times besides the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extrapolation {
    None,
    /// To the window's borders.
    Whole,
    /// The same, per second.
    PerSecond,
}

impl Axis {
    /// Takes other times; nothing happens where they are those of before.
    pub(super) fn set<'t>(
        &mut self,
        parts: impl Iterator<Item = &'t Times> + Clone,
        bounds: &Bounds,
        extrapolation: Extrapolation,
    ) {
        let mut left = self.parts.iter();
        if !self.parts.is_empty()
            && parts.clone().all(|part| left.next().is_some_and(|known| known.is(part)))
            && left.next().is_none()
        {
            return;
        }
        self.parts.clear();
        self.times.clear();
        for part in parts {
            self.times.extend_from_slice(part);
            self.parts.push(part.clone());
        }
        self.find(bounds, extrapolation);
    }

    /// Takes the times of one series.
    pub(super) fn set_own(&mut self, times: &[i64], bounds: &Bounds, extrapolation: Extrapolation) {
        self.parts.clear();
        self.times.clear();
        self.times.extend_from_slice(times);
        self.find(bounds, extrapolation);
    }

    /// Tells states of it apart.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// First row, and the row after the last one, of each batch that it was put together from.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.parts.iter().scan(0, |start, part| {
            let block = (*start, *start + part.len() as u32);
            *start = block.1;
            Some(block)
        })
    }

    /// Whether a window begins or ends between two rows of these.
    pub(super) fn any_border_inside(&self, start: u32, end: u32) -> bool {
        let from = self.windows.partition_point(|window| window.0 <= start);
        let to = self.windows.partition_point(|window| window.1 <= start);
        let is_inside = |border: Option<u32>| border.is_some_and(|border| border < end);
        is_inside(self.windows.get(from).map(|window| window.0))
            || is_inside(self.windows.get(to).map(|window| window.1))
    }

    /// Becomes `axis` where so many numbers stand for each of its batches that is `closed`: the windows have other
    /// rows, and all else stays.
    pub(super) fn set_closed(&mut self, axis: &Self, closed: &[bool], stand_ins: u32) {
        self.windows.clear();
        let (mut starts, mut rows, mut next) = (Vec::new(), Vec::new(), 0);
        for ((start, end), is_closed) in axis.blocks().zip(closed) {
            starts.push(start);
            rows.push(next);
            next += if *is_closed { stand_ins } else { end - start };
        }
        let moved = |border: u32| {
            let at = starts.partition_point(|start| *start <= border).saturating_sub(1);
            let inside = border - starts[at];
            // No border is inside of a closed one: it is its start, or the end of the last.
            let inside = if closed[at] { inside.min(stand_ins) } else { inside };
            rows[at] + inside
        };
        self.windows.extend(axis.windows.iter().map(|(from, to)| (moved(*from), moved(*to))));
        self.sides.clone_from(&axis.sides);
        self.total = self.windows.iter().map(|(from, to)| u64::from(to - from)).sum();
    }

    fn find(&mut self, bounds: &Bounds, extrapolation: Extrapolation) {
        self.changes += 1;
        self.windows.clear();
        self.sides.clear();
        self.total = 0;
        let (mut from, mut to) = (0, 0);
        let (mut first, mut last, mut count) = (None, 0, 0);
        let times = &self.times;
        for &(start, end) in bounds {
            while times.get(from).is_some_and(|time| *time <= start) {
                from += 1;
            }
            to = to.max(from);
            while times.get(to).is_some_and(|time| *time <= end) {
                to += 1;
            }
            self.total += (to - from) as u64;
            if to - from >= 2 {
                first = first.or(Some(self.windows.len()));
                (last, count) = (self.windows.len(), count + 1);
            }
            self.windows.push((from as u32, to as u32));
            if extrapolation != Extrapolation::None {
                let per = if extrapolation == Extrapolation::PerSecond { seconds(end - start) } else { 1.0 };
                let side = (to - from >= 2).then(|| Side::of(&times[from..to], (start, end), per));
                self.sides.push(side.unwrap_or_default());
            }
        }
        self.pairs = first.map(|first| (first, count)).filter(|(first, count)| first + count == last + 1);
    }
}

impl Side {
    /// The same arithmetic as the evaluation series by series, in the same order.
    fn of(times: &[i64], (start, end): (i64, i64), per: f64) -> Self {
        let (first, last) = (times[0], times[times.len() - 1]);
        let (mut to_start, mut to_end) = (seconds(first - start), seconds(end - last));
        let sampled = seconds(last - first);
        let gap = sampled / (times.len() - 1) as f64;
        let threshold = gap * 1.1;
        if to_start >= threshold {
            to_start = gap / 2.0;
        }
        if to_end >= threshold {
            to_end = gap / 2.0;
        }
        let mut side = Self { sampled, to_start, to_end, factor: 0.0, per };
        side.factor = side.with_start(to_start);
        side
    }

    fn with_start(&self, to_start: f64) -> f64 {
        let factor =
            if self.sampled == 0.0 { 1.0 } else { (self.sampled + to_start + self.to_end) / self.sampled };
        // Dividing by one changes nothing.
        factor / self.per
    }

    /// The factor for a counter, which is not extrapolated below zero.
    pub(super) fn of_counter(&self, first: f64, grown: f64) -> f64 {
        if !(grown > 0.0 && first >= 0.0) {
            return self.factor;
        }
        // Clearly farther away than the start: without the divisions that would tell exactly.
        let reach = self.to_start * grown;
        if reach > 1e-280 && first * self.sampled > reach * (1.0 + 1e-9) {
            return self.factor;
        }
        self.with_start(self.to_start.min(self.sampled * (first / grown)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_open_on_the_left() {
        let mut axis = Axis::default();
        let bounds = [(0, 10), (5, 15), (10, 20), (40, 50)];
        axis.set_own(&[5, 10, 11, 20], &bounds, Extrapolation::None);
        assert_eq!(axis.windows, [(0, 2), (1, 3), (2, 4), (4, 4)]);
        assert_eq!(axis.total, 6);
    }

    #[test]
    fn the_shortcut_of_counters_is_exact() {
        let side = Side::of(&[3_000, 18_000, 33_000], (0, 36_000), 36.0);
        for first in [0.0, 1e-300, 0.1, 0.99, 1.0, 1.01, 7.0, 1e300, f64::INFINITY] {
            for grown in [1e-300, 1e-9, 0.5, 10.0, 10.1, 1e300, f64::INFINITY, f64::NAN, -1.0, 0.0] {
                let zero = if grown > 0.0 { side.sampled * (first / grown) } else { side.to_start };
                let wanted = side.with_start(side.to_start.min(zero));
                assert_eq!(side.of_counter(first, grown).to_bits(), wanted.to_bits(), "{first} {grown}");
            }
        }
    }
}
