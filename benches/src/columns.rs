//! Columns of a node_exporter's page over time, for the codecs.

use storage::{Cell, Number};

use crate::stores::T0;

/// Families by how their values come about; 64 % of all columns are constant.
const FAMILIES: [(Shape, usize); 11] = [
    (Shape::Constant, 384),
    (Shape::Ticks, 56),
    (Shape::Counter, 44),
    (Shape::Mirrored, 20),
    (Shape::Pages, 32),
    (Shape::Duration, 32),
    (Shape::Milliseconds, 10),
    (Shape::Pressure, 6),
    (Shape::Load, 4),
    (Shape::Sparse, 4),
    (Shape::Bucket, 8),
];

#[derive(Clone, Copy)]
enum Shape {
    Constant,
    /// CPU time: hundredths of a second.
    Ticks,
    /// Events and bytes, now and then none.
    Counter,
    /// The column before once more, as bytes and packets of one device move.
    Mirrored,
    /// Memory: multiples of 4,096.
    Pages,
    /// Nanoseconds of noise.
    Duration,
    /// Go's `float64(n) * 0.001`.
    Milliseconds,
    /// `n / 1000 / 1000`.
    Pressure,
    /// Hundredths, falling and rising.
    Load,
    /// Present in a few rows.
    Sparse,
    /// A histogram's: the column before and a little more.
    Bucket,
}

/// The same numbers each run: Knuth's linear congruential generator.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Mostly small.
    fn skewed(&mut self, bound: u64) -> u64 {
        let bound = self.below(bound) + 1;
        self.below(bound)
    }
}

/// Timestamps 15 s apart with up to 4 ms of jitter, and 600 columns of one cell for each.
#[must_use]
pub fn columns(rows: usize) -> (Vec<i64>, Vec<Vec<Cell>>) {
    let mut noise = Noise(42);
    let timestamps = (0..rows as i64).map(|row| T0 + row * 15_000 + noise.below(5) as i64).collect();
    let mut columns: Vec<Vec<Cell>> = Vec::new();
    for (shape, count) in FAMILIES {
        for at in 0..count {
            let before = columns.last().cloned().unwrap_or_default();
            columns.push(column(shape, at as u64, rows, &before, &mut noise));
        }
    }
    (timestamps, columns)
}

fn column(shape: Shape, at: u64, rows: usize, before: &[Cell], noise: &mut Noise) -> Vec<Cell> {
    let value = |value: f64| Cell::Value(Number::from_f64(value));
    let mut sum = 10_000 + noise.below(100_000_000);
    let (rate, spread) = (noise.below(400), 1 + noise.skewed(2_000));
    let mut rise = |noise: &mut Noise| {
        sum += if at.is_multiple_of(3) { noise.skewed(4) } else { rate + noise.skewed(spread) };
        sum as f64
    };
    let number = |cell: Option<&Cell>| match cell {
        Some(Cell::Value(number)) => number.to_f64(),
        _ => 0.0,
    };
    let mut level = 1_000 + noise.below(1_000_000) as i64;
    let mut more = 0.0;
    let cell = |row: usize| match shape {
        Shape::Constant => value(if at.is_multiple_of(3) { 1.0 } else { at as f64 * 1_234.5 }),
        Shape::Ticks => value(rise(noise) / 100.0),
        Shape::Counter => value(rise(noise)),
        Shape::Mirrored => value(number(before.get(row)) + at as f64),
        Shape::Pages => {
            level += noise.skewed(200) as i64 - 50;
            value((level.max(0) * 4_096) as f64)
        }
        Shape::Duration => value((level + noise.skewed(60_000) as i64) as f64 / 1e9),
        Shape::Milliseconds => value(rise(noise) * 0.001),
        Shape::Pressure => value(rise(noise) / 1e3 / 1e3),
        Shape::Load => value((level % 300 + noise.below(20) as i64) as f64 / 100.0),
        Shape::Sparse => {
            if noise.below(10) == 0 {
                value(noise.below(1_000) as f64)
            } else {
                Cell::Absent
            }
        }
        Shape::Bucket => {
            more += if noise.below(8) == 0 { 1.0 } else { 0.0 };
            value((number(before.get(row)) + more).trunc())
        }
    };
    (0..rows).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_thirds_of_the_columns_are_constant() {
        let (timestamps, columns) = columns(128);
        assert_eq!((timestamps.len(), columns.len()), (128, 600));
        let constant = columns.iter().filter(|column| column.iter().all(|cell| *cell == column[0])).count();
        assert_eq!(constant, 384);
    }
}
