//! Aggregations that pass some of their elements on: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use std::cmp::Ordering;

use super::Evaluator;
use super::aggregate::Groups;
use super::cell::Cell;
use super::column::{Column, Grid};
use crate::ast::Aggregate;
use crate::engine::EvalError;
use crate::operator::AggregateOp;
use crate::position::PosRange;

/// The largest `f64` that is an `i64`, and what Prometheus checks against.
const INT_MAX: f64 = 9_223_372_036_854_774_784.0;

impl Evaluator<'_> {
    /// Evaluates one of these aggregations; `k` is its parameter at each step.
    pub(super) async fn select_elements(
        &mut self,
        node: &Aggregate,
        param_pos: PosRange,
        k: &[f64],
        columns: Vec<Column>,
        grid: Grid,
    ) -> Result<Vec<Column>, EvalError> {
        self.check_parameter(node.op, k, param_pos)?;
        let groups = Groups::of(&columns, &node.grouping, node.without);
        let mut out: Vec<Column> =
            columns.iter().map(|column| Column::new(column.labels.clone(), column.drop_name)).collect();
        let mut order = Vec::new();
        for (step, k) in k.iter().enumerate() {
            order.clear();
            let mut members: Vec<Vec<(usize, f64)>> = vec![Vec::new(); groups.labels.len()];
            for (at, column) in columns.iter().enumerate() {
                let Some(value) = column.get(step) else { continue };
                // The limits take histograms; their order does not ask for values.
                let number = match (value, node.op) {
                    (Cell::Float(value), _) => *value,
                    (Cell::Histogram(_), AggregateOp::Topk | AggregateOp::Bottomk) => {
                        self.notes.ignored_in_group(node.op.name(), node.pos);
                        continue;
                    }
                    (Cell::Histogram(_), _) => 0.0,
                };
                members[groups.of_column[at]].push((at, number));
            }
            for members in members {
                order.extend(chosen(node.op, *k, members, &columns));
            }
            for (at, _) in &order {
                if let Some(value) = columns[*at].get(step) {
                    out[*at].push(step, value.clone());
                }
            }
            self.tick(columns.len()).await;
        }
        self.hold(out.iter().map(Column::cells).sum())?;
        if grid.len() == 1 {
            // The order of elements shows in an instant query.
            let empty = || Column::new(model::Labels::empty(), false);
            return Ok(order.iter().map(|(at, _)| std::mem::replace(&mut out[*at], empty())).collect());
        }
        out.retain(|column| !column.is_empty());
        Ok(out)
    }

    pub(super) fn check_parameter(
        &mut self,
        op: AggregateOp,
        k: &[f64],
        pos: PosRange,
    ) -> Result<(), EvalError> {
        for value in k {
            if op == AggregateOp::LimitRatio {
                if value.is_nan() {
                    return Err(EvalError::Execution("Ratio value is NaN".to_owned()));
                }
                if value.abs() > 1.0 {
                    self.notes.invalid_ratio(*value, value.signum(), pos);
                }
                continue;
            }
            let shown = crate::annotation::general(*value);
            if value.is_nan() {
                return Err(EvalError::Execution("Parameter value is NaN".to_owned()));
            }
            if *value <= i64::MIN as f64 {
                return Err(EvalError::Execution(format!("Scalar value {shown} underflows int64")));
            }
            if *value >= INT_MAX {
                return Err(EvalError::Execution(format!("Scalar value {shown} overflows int64")));
            }
        }
        Ok(())
    }
}

/// The elements of one group that go on, with their columns.
fn chosen(op: AggregateOp, k: f64, mut members: Vec<(usize, f64)>, columns: &[Column]) -> Vec<(usize, f64)> {
    match op {
        AggregateOp::Topk => members.sort_by(|a, b| nan_last(b.1, a.1, a.1, b.1)),
        AggregateOp::Bottomk => members.sort_by(|a, b| nan_last(a.1, b.1, a.1, b.1)),
        AggregateOp::LimitRatio => {
            members.retain(|(at, _)| in_ratio(k.clamp(-1.0, 1.0), columns[*at].labels.stable_hash()));
            return members;
        }
        _ => {}
    }
    members.truncate(if k < 1.0 { 0 } else { k as usize });
    members
}

/// `x` against `y`, except that NaN comes last.
pub(super) fn nan_last(x: f64, y: f64, a: f64, b: f64) -> Ordering {
    a.is_nan().cmp(&b.is_nan()).then(x.partial_cmp(&y).unwrap_or(Ordering::Equal))
}

/// Whether a series' hash is in the share: the lowest for a positive ratio, the highest for a negative one.
pub(super) fn in_ratio(ratio: f64, hash: u64) -> bool {
    let offset = hash as f64 / 2f64.powi(64);
    if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_and_its_complement_split_everything() {
        for hash in [0, 1 << 40, u64::MAX / 3, u64::MAX - 1, u64::MAX] {
            assert!(in_ratio(0.3, hash) != in_ratio(-0.7, hash), "{hash}");
        }
    }
}
