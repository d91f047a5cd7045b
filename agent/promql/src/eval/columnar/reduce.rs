//! Aggregations over numbers of many series: one group after the other, its series in the order in which the
//! evaluation series by series takes them, so that sums have the very same bits.

use super::super::Evaluator;
use super::super::aggregate::Accumulator;
use super::super::cell::Cell;
use super::super::column::Grid;
use super::dense::{Dense, Listed, Row};
use super::kernel::{absent, is_absent, present};
use super::keys::Keys;
use super::order::in_order;
use crate::ast::Aggregate;
use crate::engine::EvalError;
use crate::operator::AggregateOp;

/// Sums with what rounding lost, one a step.
#[derive(Default)]
struct Lanes {
    sums: Vec<f64>,
    lost: Vec<f64>,
    counts: Vec<u32>,
}

impl Lanes {
    fn begin(&mut self, op: AggregateOp, steps: usize) {
        // Zero below zero plus any number is that number, whatever its sign; any number beats NaN.
        let start = if matches!(op, AggregateOp::Min | AggregateOp::Max) { f64::NAN } else { -0.0 };
        for (lane, start) in [(&mut self.sums, start), (&mut self.lost, 0.0)] {
            lane.clear();
            lane.resize(steps, start);
        }
        self.counts.clear();
        self.counts.resize(steps, 0);
    }

    /// As `Kahan::plus`, without branches.
    fn add(&mut self, first: usize, values: &[f64]) {
        let lanes = self.sums[first..].iter_mut().zip(&mut self.lost[first..]).zip(&mut self.counts[first..]);
        for (((sum, lost), count), &value) in lanes.zip(values) {
            let is_here = !is_absent(value);
            let total = *sum + value;
            let is_larger = sum.abs() >= value.abs();
            let (large, small) = if is_larger { (*sum, value) } else { (value, *sum) };
            let rest = *lost + ((large - total) + small);
            let rest = if total.is_infinite() { 0.0 } else { rest };
            *sum = if is_here { total } else { *sum };
            *lost = if is_here { rest } else { *lost };
            *count += u32::from(is_here);
        }
    }

    /// The smallest or the largest; any number beats NaN, of equal ones the first stays.
    fn extreme(&mut self, first: usize, values: &[f64], beats: impl Fn(f64, f64) -> bool) {
        let lanes = self.sums[first..].iter_mut().zip(&mut self.counts[first..]);
        for ((best, count), &value) in lanes.zip(values) {
            let is_here = !is_absent(value);
            let is_better = beats(value, *best) || best.is_nan();
            *best = if is_here && is_better { value } else { *best };
            *count += u32::from(is_here);
        }
    }

    fn count_all(&mut self, row: &Row) {
        let steps = row.first as usize..(row.first + row.len) as usize;
        self.counts[steps].iter_mut().for_each(|count| *count += 1);
    }

    fn count(&mut self, first: usize, values: &[f64]) {
        for (count, &value) in self.counts[first..].iter_mut().zip(values) {
            *count += u32::from(!is_absent(value));
        }
    }

    /// Takes the numbers of a series in; nothing where the operation is done in another way.
    fn take(&mut self, op: AggregateOp, first: usize, values: &[f64]) {
        match op {
            AggregateOp::Sum | AggregateOp::Avg => self.add(first, values),
            AggregateOp::Min => self.extreme(first, values, |new, best| new < best),
            AggregateOp::Max => self.extreme(first, values, |new, best| new > best),
            _ => self.count(first, values),
        }
    }

    /// Whether these are the results. A mean is another once its sum was infinite, and that it stays, or it is NaN.
    fn is_right(&self, op: AggregateOp) -> bool {
        op != AggregateOp::Avg || self.sums.iter().all(|sum| sum.is_finite())
    }

    fn result(&self, op: AggregateOp, out: &mut [f64]) {
        for (step, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (sum, lost, count) = (self.sums[step], self.lost[step], f64::from(count));
            out[step] = present(match op {
                AggregateOp::Sum => sum + lost,
                AggregateOp::Avg => sum / count + lost / count,
                AggregateOp::Min | AggregateOp::Max => sum,
                AggregateOp::Count => count,
                _ => 1.0,
            });
        }
    }
}

/// Whether an aggregation is one of lanes.
fn has_lanes(op: AggregateOp) -> bool {
    use AggregateOp::{Avg, Count, Group, Max, Min, Sum};
    matches!(op, Sum | Avg | Min | Max | Count | Group)
}

/// Whether a result does not depend on the order of series.
fn is_indifferent(node: &Aggregate) -> bool {
    let is_one = node.grouping.is_empty() && !node.without;
    is_one && matches!(node.op, AggregateOp::Count | AggregateOp::Group)
}

impl Evaluator<'_> {
    /// Sums up groups of series; `phi` is the parameter at each step, where there is one.
    pub(in super::super) async fn reduce_dense(
        &mut self,
        node: &Aggregate,
        phi: &[f64],
        dense: &Dense,
        grid: Grid,
    ) -> Result<Dense, EvalError> {
        let order =
            if is_indifferent(node) { (0..dense.rows.len() as u32).collect() } else { in_order(dense) };
        let keys = Keys::of(dense, node, &order);
        let (mut lanes, mut listed) = (Lanes::default(), Listed::new());
        let mut out = vec![absent(); grid.len()];
        for (labels, members) in keys.labels.into_iter().zip(keys.members) {
            out.fill(absent());
            let drop_name = members.iter().any(|at| dense.rows[*at as usize].drop_name);
            if has_lanes(node.op) {
                lanes.begin(node.op, grid.len());
                for at in &members {
                    let row = &dense.rows[*at as usize];
                    match node.op {
                        // A zero changes no sum.
                        AggregateOp::Sum | AggregateOp::Avg if row.is_zero => lanes.count_all(row),
                        op => lanes.take(op, row.first as usize, dense.numbers(row)),
                    }
                    self.tick(row.len as usize).await;
                }
            }
            if has_lanes(node.op) && lanes.is_right(node.op) {
                lanes.result(node.op, &mut out);
            } else {
                let totals = self.accumulate(node.op, dense, &members, grid).await;
                for (step, total) in totals.into_iter().enumerate() {
                    let phi = phi.get(step).copied().unwrap_or(f64::NAN);
                    let result = total.and_then(|total| total.result(node.op, phi));
                    if let Some(value) = result.and_then(|result| result.float()) {
                        out[step] = present(value);
                    }
                }
            }
            self.hold(listed.push(labels, &out, drop_name))?;
        }
        Ok(listed.finish())
    }

    async fn accumulate(
        &mut self,
        op: AggregateOp,
        dense: &Dense,
        members: &[u32],
        grid: Grid,
    ) -> Vec<Option<Accumulator>> {
        let mut totals: Vec<Option<Accumulator>> = (0..grid.len()).map(|_| None).collect();
        for at in members {
            let row = &dense.rows[*at as usize];
            for (total, &value) in totals[row.first as usize..].iter_mut().zip(dense.numbers(row)) {
                if is_absent(value) {
                    continue;
                }
                let value = Cell::Float(value);
                match total {
                    Some(total) => drop(total.add(&value)),
                    None => *total = Accumulator::first(op, &value),
                }
            }
            self.tick(row.len as usize).await;
        }
        totals
    }
}
