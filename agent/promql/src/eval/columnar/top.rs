//! `topk`, `bottomk`, `limitk` and `limit_ratio`: which elements go on.

use std::cmp::Ordering;

use super::super::Evaluator;
use super::super::aggregate_k::{in_ratio, nan_last};
use super::super::column::Grid;
use super::dense::Dense;
use super::kernel::absent;
use super::keys::Keys;
use super::order::in_order;
use crate::ast::Aggregate;
use crate::engine::EvalError;
use crate::operator::AggregateOp;

/// An element: its place in order, its row, and its value.
type Member = (u32, u32, f64);

impl Evaluator<'_> {
    /// The elements of each group that go on at each step.
    pub(in super::super) async fn top_dense(
        &mut self,
        node: &Aggregate,
        k: &[f64],
        dense: &Dense,
        grid: Grid,
    ) -> Result<Dense, EvalError> {
        let order = in_order(dense);
        let keys = Keys::of(dense, node, &order);
        let mut places = vec![0; order.len()];
        (0..).zip(&order).for_each(|(place, at)| places[*at as usize] = place);
        let hashes = self.hashes(node.op, dense).await;
        // Of each row the steps at which it goes on.
        let mut kept: Vec<Vec<u32>> = vec![Vec::new(); order.len()];
        let (mut chosen, mut members): (Vec<u32>, Vec<Member>) = (Vec::new(), Vec::new());
        for (step, k) in k.iter().enumerate() {
            chosen.clear();
            for group in &keys.members {
                members.clear();
                let member =
                    |at: &u32| Some((places[*at as usize], *at, dense.at(&dense.rows[*at as usize], step)?));
                members.extend(group.iter().filter_map(member));
                choose(node.op, *k, &mut members, &hashes);
                chosen.extend(members.iter().map(|(_, at, _)| *at));
            }
            chosen.iter().for_each(|at| kept[*at as usize].push(step as u32));
            self.tick(dense.rows.len()).await;
        }
        // The order of elements shows in an instant query.
        let shown = if grid.len() == 1 { &chosen } else { &order };
        let (mut out, mut picked) = (dense.like(), Vec::new());
        for &at in shown {
            let (row, steps) = (&dense.rows[at as usize], &kept[at as usize]);
            let (Some(first), Some(last)) = (steps.first(), steps.last()) else { continue };
            picked.clear();
            picked.resize((last - first) as usize + 1, absent());
            for step in steps {
                picked[(step - first) as usize] = dense.at(row, *step as usize).unwrap_or_else(absent);
            }
            out.push_in((row.group, row.series), *first as usize, &picked, row.drop_name);
        }
        self.hold(out.cells())?;
        Ok(out)
    }

    /// What decides of each row whether it is in a share, where that is asked.
    async fn hashes(&mut self, op: AggregateOp, dense: &Dense) -> Vec<u64> {
        if op != AggregateOp::LimitRatio {
            return Vec::new();
        }
        self.tick(dense.rows.len()).await;
        dense.rows.iter().map(|row| dense.labels(row).stable_hash()).collect()
    }
}

/// Keeps those of a group that go on, in order: by value, NaN last, equal ones by their place; or by place alone.
fn choose(op: AggregateOp, k: f64, members: &mut Vec<Member>, hashes: &[u64]) {
    let count = if k < 1.0 { 0 } else { k as usize };
    match op {
        AggregateOp::LimitRatio => {
            members.retain(|(_, at, _)| in_ratio(k.clamp(-1.0, 1.0), hashes[*at as usize]));
        }
        AggregateOp::Limitk => members.truncate(count),
        _ => first(op, count, members),
    }
}

/// Keeps the first so many.
fn first(op: AggregateOp, k: usize, members: &mut Vec<Member>) {
    let by_value = |a: &Member, b: &Member| match op {
        AggregateOp::Topk => nan_last(b.2, a.2, a.2, b.2),
        _ => nan_last(a.2, b.2, a.2, b.2),
    };
    let before = |a: &Member, b: &Member| -> Ordering { by_value(a, b).then(a.0.cmp(&b.0)) };
    if k < members.len() {
        if k > 0 {
            members.select_nth_unstable_by(k - 1, before);
        }
        members.truncate(k);
    }
    members.sort_unstable_by(before);
}
