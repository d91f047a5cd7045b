//! Long windows over sealed blocks: where all windows begin and end between blocks, what a block's header says of a
//! column stands for its samples, and the column is not decompressed. Only what leads to the very bits that the
//! samples lead to is taken.

use storage::{Batch, FloatColumn, Floats, QueryError, Summary};

use super::axis::Axis;
use super::kernel::Function;

/// Relatively, how much more the sums in a header may be wrong than doubles are.
const UNSURE: f64 = 1.0 / (1_u64 << 50) as f64;

/// Columns of which blocks are left closed.
#[derive(Debug, Default)]
pub(super) struct Summed {
    /// The state of the shared axis that was looked at last.
    seen: u64,
    /// Of each block whether no window begins or ends inside.
    whole: Vec<bool>,
    is_worth_it: bool,
    /// Of each block whether numbers stand for it in the series that is read.
    closed: Vec<bool>,
    /// For which of these the windows are.
    of_axis: Vec<bool>,
    pub(super) axis: Axis,
    /// The numbers: all of an opened block, those that stand for a closed one.
    pub(super) values: Vec<f64>,
}

/// How many numbers stand for a closed block: the first and the last, or the extreme one.
fn stand_ins(function: Function) -> Option<usize> {
    match function {
        Function::Rate | Function::Increase | Function::Delta => Some(2),
        Function::Min | Function::Max => Some(1),
        _ => None,
    }
}

/// Whether the numbers that stand for a block lead to what its samples lead to; all rows have one.
fn suits(function: Function, summary: &Summary) -> bool {
    let Summary { first, last, min, max, reset_sum, .. } = *summary;
    if !matches!(function, Function::Rate | Function::Increase) || min == max {
        return true;
    }
    // A counter that fell did so from above the smallest value, which would then be part of the difference.
    let unsure = UNSURE * last.abs().max(first.abs());
    let is_sure = max.is_finite() && min > 4.0 * unsure;
    is_sure && last >= first && (reset_sum - (last - first)).abs() <= unsure
}

impl Summed {
    /// Whether most rows are in blocks that may stay closed.
    pub(super) fn is_worth_it(&mut self, function: Function, axis: &Axis) -> bool {
        let Some(stand_ins) = stand_ins(function) else { return false };
        if self.seen == axis.changes() {
            return self.is_worth_it;
        }
        self.seen = axis.changes();
        self.whole.clear();
        self.of_axis.clear();
        let mut rows = 0;
        for (start, end) in axis.blocks() {
            // One row is not two numbers.
            let is_whole = (end - start) as usize >= stand_ins && !axis.any_border_inside(start, end);
            rows += if is_whole { u64::from(end - start) } else { 0 };
            self.whole.push(is_whole);
        }
        self.is_worth_it = rows * 2 > axis.times.len() as u64;
        self.is_worth_it
    }

    /// Reads a series; false where it has not a number at each time.
    pub(super) fn read(
        &mut self,
        function: Function,
        (batches, places): (&[Batch], &[(u32, u32)]),
        axis: &Axis,
        scratch: &mut Floats,
    ) -> Result<bool, QueryError> {
        self.values.clear();
        self.closed.clear();
        for (at, &(number, column)) in places.iter().enumerate() {
            let batch = &batches[number as usize];
            let rows = batch.rows();
            let summary = self.whole[at].then(|| batch.summary(column as usize)).flatten();
            let is_full = |summary: &&Summary| summary.count as usize == rows && summary.nan == 0;
            let summary = summary.filter(is_full).filter(|summary| suits(function, summary));
            match (summary, function) {
                (Some(summary), Function::Min) => self.values.push(summary.min),
                (Some(summary), Function::Max) => self.values.push(summary.max),
                (Some(summary), _) => self.values.extend([summary.first, summary.last]),
                (None, _) => match batch.floats(column as usize, scratch)? {
                    FloatColumn::Absent => return Ok(false),
                    FloatColumn::Constant(value) => self.values.resize(self.values.len() + rows, value),
                    FloatColumn::Values { values, present } if present.is_full() => {
                        self.values.extend_from_slice(values);
                    }
                    FloatColumn::Values { .. } => return Ok(false),
                },
            }
            self.closed.push(summary.is_some());
        }
        if self.values.iter().any(|value| model::is_stale(*value)) {
            return Ok(false);
        }
        if self.closed != self.of_axis {
            self.of_axis.clone_from(&self.closed);
            self.axis.set_closed(axis, &self.closed, stand_ins(function).unwrap_or(1) as u32);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use storage::{Cell, Number};

    use super::*;

    #[test]
    fn counters_that_fell_are_opened() {
        let summary = |values: &[f64]| {
            let cells: Vec<Cell> = values.iter().map(|value| Cell::Value(Number::from_f64(*value))).collect();
            Summary::of(&cells)
        };
        let cases: [(&[f64], bool); 8] = [
            (&[1.0, 2.0, 2.0, 7.5], true),
            (&[5.0, 5.0], true),
            (&[0.0, 0.0], true),
            (&[1.0, 2.0, 0.5, 7.5], false),
            (&[3.0, 2.0], false),
            // From near zero on, a fall could hide in what rounding loses.
            (&[0.0, 1e9], false),
            (&[1e9, 1e9 + 0.25, 1e9 + 0.75], true),
            (&[1.0, f64::INFINITY], false),
        ];
        for (values, wanted) in cases {
            assert_eq!(suits(Function::Increase, &summary(values)), wanted, "{values:?}");
            assert!(suits(Function::Delta, &summary(values)));
        }
    }
}
