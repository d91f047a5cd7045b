//! What is done to each number by itself: signs, functions of one number, operations with scalars.

use super::super::Evaluator;
use super::super::binary::number;
use super::super::column::{Grid, Operand, is_metadata, merge_same_labels};
use super::super::element::{arithmetic, holds};
use super::dense::Dense;
use super::kernel::{absent, present};
use super::order::any_alike;
use crate::ast::Binary;
use crate::engine::EvalError;
use crate::operator::BinaryOp;

impl Evaluator<'_> {
    /// Puts another number in place of each; the result is no longer the metric.
    pub(in super::super) fn each(
        &self,
        mut dense: Dense,
        change: impl FnMut(usize, f64) -> f64,
    ) -> Result<Operand, EvalError> {
        dense.map(change);
        dense.trim();
        self.without_names(dense)
    }

    /// An operation with a scalar, on whichever side that stands.
    pub(in super::super) fn each_with_scalar(
        &self,
        node: &Binary,
        mut dense: Dense,
        values: &[f64],
        swapped: bool,
    ) -> Result<Operand, EvalError> {
        let change = |step: usize, value| with_scalar(node, value, values[step], swapped);
        if node.op.is_comparison() && !node.return_bool {
            dense.map(change);
            dense.trim();
            return Ok(Operand::Dense(dense));
        }
        self.each(dense, change)
    }

    /// Takes the metric names away, now or at the end of the query; those that become alike are joined as the
    /// evaluation series by series does it.
    fn without_names(&self, mut dense: Dense) -> Result<Operand, EvalError> {
        dense.rows.iter_mut().for_each(|row| row.drop_name = true);
        if self.delayed_name_removal || dense.is_unnamed {
            return Ok(Operand::Dense(dense));
        }
        if dense.may_become_alike() && any_alike(&dense, |name| !is_metadata(name)) {
            let columns = dense.columns().into_iter().map(|column| self.unnamed(column));
            return Ok(Operand::Vector(merge_same_labels(columns.collect())?));
        }
        dense.is_unnamed = true;
        Ok(Operand::Dense(dense))
    }
}

/// The value of the only series at each step; NaN where there are none or several.
pub(in super::super) fn only_values(dense: &Dense, grid: Grid) -> Vec<f64> {
    let mut only: Vec<(u32, f64)> = vec![(0, f64::NAN); grid.len()];
    for row in &dense.rows {
        for (at, value) in (row.first as usize..).zip(dense.numbers(row)) {
            if !super::kernel::is_absent(*value) {
                only[at] = (only[at].0 + 1, *value);
            }
        }
    }
    only.into_iter().map(|(count, value)| if count == 1 { value } else { f64::NAN }).collect()
}

/// Whether there is a number at each step.
pub(in super::super) fn is_there(dense: &Dense, grid: Grid) -> Vec<bool> {
    let mut there = vec![false; grid.len()];
    for row in &dense.rows {
        for (at, value) in (row.first as usize..).zip(dense.numbers(row)) {
            there[at] |= !super::kernel::is_absent(*value);
        }
    }
    there
}

/// A number of a series and a scalar; absent where a comparison does not hold.
pub(super) fn with_scalar(node: &Binary, value: f64, scalar: f64, swapped: bool) -> f64 {
    let (a, b) = if swapped { (scalar, value) } else { (value, scalar) };
    if let Some(result) = arithmetic(node.op, a, b) {
        return present(result);
    }
    let keep = holds(node.op, a, b);
    match (node.return_bool, keep) {
        (true, _) => number(keep),
        // A comparison gives the series' value, on whichever side it stands.
        (false, true) => value,
        (false, false) => absent(),
    }
}

/// Whether an operator is one between numbers: the others ask for histograms.
pub(in super::super) fn is_of_numbers(op: BinaryOp) -> bool {
    !matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
}
