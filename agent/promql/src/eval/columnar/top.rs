//! `topk` and `bottomk`: label sets are built of the elements that go on.

use std::cmp::Ordering;

use super::super::Evaluator;
use super::super::aggregate_k::nan_last;
use super::super::column::{Column, Grid};
use super::dense::Dense;
use super::keys::Keys;
use super::order::in_order;
use crate::ast::Aggregate;
use crate::engine::EvalError;
use crate::operator::AggregateOp;

/// An element: its place in order, its row, and its value.
type Member = (u32, u32, f64);

impl Evaluator<'_> {
    /// The first `k` elements of each group at each step.
    pub(super) async fn top_dense(
        &mut self,
        node: &Aggregate,
        k: &[f64],
        dense: &Dense,
        grid: Grid,
    ) -> Result<Vec<Column>, EvalError> {
        let order = in_order(dense);
        let keys = Keys::of(dense, node, &order);
        let mut places = vec![0; order.len()];
        (0..).zip(&order).for_each(|(place, at)| places[*at as usize] = place);
        let mut out: Vec<Option<Column>> = Vec::new();
        out.resize_with(order.len(), || None);
        let (mut chosen, mut members): (Vec<u32>, Vec<Member>) = (Vec::new(), Vec::new());
        for (step, k) in k.iter().enumerate() {
            chosen.clear();
            for group in &keys.members {
                members.clear();
                let member =
                    |at: &u32| Some((places[*at as usize], *at, dense.at(&dense.rows[*at as usize], step)?));
                members.extend(group.iter().filter_map(member));
                first(node.op, *k, &mut members);
                chosen.extend(members.iter().map(|(_, at, _)| *at));
            }
            for &at in &chosen {
                let row = &dense.rows[at as usize];
                let column =
                    out[at as usize].get_or_insert_with(|| Column::new(dense.labels(row), dense.drop_name));
                if let Some(value) = dense.at(row, step) {
                    column.push(step, value);
                }
            }
            self.tick(dense.rows.len()).await;
        }
        self.hold(out.iter().flatten().map(Column::cells).sum())?;
        // The order of elements shows in an instant query.
        let shown = if grid.len() == 1 { &chosen } else { &order };
        Ok(shown.iter().filter_map(|at| out[*at as usize].take()).collect())
    }
}

/// Keeps the first `k`, in order: by value, NaN last, equal ones by labels.
fn first(op: AggregateOp, k: f64, members: &mut Vec<Member>) {
    let by_value = |a: &Member, b: &Member| match op {
        AggregateOp::Topk => nan_last(b.2, a.2, a.2, b.2),
        _ => nan_last(a.2, b.2, a.2, b.2),
    };
    let before = |a: &Member, b: &Member| -> Ordering { by_value(a, b).then(a.0.cmp(&b.0)) };
    let k = if k < 1.0 { 0 } else { k as usize };
    if k < members.len() {
        if k > 0 {
            members.select_nth_unstable_by(k - 1, before);
        }
        members.truncate(k);
    }
    members.sort_unstable_by(before);
}
