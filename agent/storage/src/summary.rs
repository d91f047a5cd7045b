//! What is known of a column without its values, so that long queries need not decompress it.

use crate::Cell;

/// What is known of a column without its values. NaN counts as a value and is `first` or `last` like any other,
/// but `min`, `max`, `sum` and `reset_sum` pass over it, as they do over stale markers.
///
/// Where `count` is 0, `first`, `last`, `min` and `max` are NaN and the sums 0; where all values are NaN, `min`
/// and `max` are NaN and the sums 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Values, NaN among them, stale markers not.
    pub count: u32,
    /// Stale markers.
    pub stale: u32,
    /// Values that are NaN.
    pub nan: u32,
    /// The first value, with its very bits.
    pub first: f64,
    /// The last value, with its very bits.
    pub last: f64,
    /// The smallest value; of equal ones the first.
    pub min: f64,
    /// The largest value; of equal ones the first.
    pub max: f64,
    /// The sum, compensated as Neumaier does.
    pub sum: f64,
    /// What a counter increased by: each value minus the one before, or the value itself where it fell.
    pub reset_sum: f64,
}

impl Summary {
    /// Of a column without values.
    pub const EMPTY: Self = Self {
        count: 0,
        stale: 0,
        nan: 0,
        first: f64::NAN,
        last: f64::NAN,
        min: f64::NAN,
        max: f64::NAN,
        sum: 0.0,
        reset_sum: 0.0,
    };

    /// The summary of a column.
    #[must_use]
    pub fn of(cells: &[Cell]) -> Self {
        let mut summary = Self::EMPTY;
        let (mut sum, mut increase) = (Sum::default(), Sum::default());
        let mut before: Option<f64> = None;
        for cell in cells {
            let value = match cell {
                Cell::Absent => continue,
                Cell::Stale => {
                    summary.stale += 1;
                    continue;
                }
                Cell::Value(number) => number.to_f64(),
            };
            if summary.count == 0 {
                summary.first = value;
            }
            summary.count += 1;
            summary.last = value;
            if value.is_nan() {
                summary.nan += 1;
                continue;
            }
            sum.add(value);
            match before {
                None => (summary.min, summary.max) = (value, value),
                Some(before) => {
                    increase.add(if value < before { value } else { value - before });
                    summary.min = if value < summary.min { value } else { summary.min };
                    summary.max = if value > summary.max { value } else { summary.max };
                }
            }
            before = Some(value);
        }
        (summary.sum, summary.reset_sum) = (sum.total(), increase.total());
        summary
    }

    /// Whether it is the summary of these cells.
    #[must_use]
    pub fn says(&self, cells: &[Cell]) -> bool {
        self.bits() == Self::of(cells).bits()
    }

    /// Of a column that repeats one value.
    #[must_use]
    pub fn uniform(value: f64, count: u32, stale: u32) -> Self {
        let sum = value * f64::from(count);
        Self { count, stale, nan: 0, first: value, last: value, min: value, max: value, sum, reset_sum: 0.0 }
    }

    /// All of it, comparable bit for bit.
    #[must_use]
    pub fn bits(&self) -> ([u32; 3], [u64; 6]) {
        let values = [self.first, self.last, self.min, self.max, self.sum, self.reset_sum];
        ([self.count, self.stale, self.nan], values.map(f64::to_bits))
    }
}

/// A sum that keeps what each addition rounds away (Neumaier 1974).
#[derive(Default)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        if sum.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - sum) + value;
        } else {
            self.lost += (value - sum) + self.sum;
        }
        self.sum = sum;
    }

    fn total(&self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.lost }
    }
}
