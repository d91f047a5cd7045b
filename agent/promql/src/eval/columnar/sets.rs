//! `and`, `or` and `unless`: which numbers stay is found out for whole columns.

use super::super::Evaluator;
use super::super::column::Grid;
use super::dense::Dense;
use super::kernel::{absent, is_absent};
use super::order::any_alike;
use super::sides::{By, Sides};
use crate::operator::{BinaryOp, Matching};

/// Where any series of a side has a number, by the labels that count.
struct There<'t> {
    side: &'t Dense,
    by: By,
    /// Found out once each.
    known: Vec<Option<Vec<bool>>>,
    steps: usize,
}

impl There<'_> {
    /// At which steps there is one; none where there is no series with such labels.
    fn with(&mut self, number: u32) -> Option<&[bool]> {
        let rows = self.by.with(number);
        if rows.is_empty() {
            return None;
        }
        let (side, steps) = (self.side, self.steps);
        let there = self.known[number as usize].get_or_insert_with(|| {
            let mut there = vec![false; steps];
            for at in rows {
                let row = &side.rows[*at as usize];
                for (there, value) in there[row.first as usize..].iter_mut().zip(side.numbers(row)) {
                    *there |= !is_absent(*value);
                }
            }
            there
        });
        Some(there)
    }
}

impl Evaluator<'_> {
    /// A set operation; the left side itself where it must be done step by step.
    pub(in super::super) async fn set_dense(
        &mut self,
        op: BinaryOp,
        matching: &Matching,
        (left, right): (Dense, &Dense),
        grid: Grid,
    ) -> Result<Dense, Dense> {
        if op == BinaryOp::Or && left.is_unnamed != right.is_unnamed && !right.rows.is_empty() {
            return Err(left);
        }
        let sides = Sides::of(&left, right, matching);
        if op != BinaryOp::Or {
            let on_right = (right, By::of(&sides.right, sides.count));
            return Ok(self.masked(&left, &sides.left, on_right, op == BinaryOp::And, grid).await);
        }
        let on_left = (&left, By::of(&sides.left, sides.count));
        let added = self.masked(right, &sides.right, on_left, false, grid).await;
        if added.rows.is_empty() {
            return Ok(left);
        }
        let mut all = left.clone();
        all.append(added);
        if any_alike(&all, |_| true) { Err(left) } else { Ok(all) }
    }

    /// The numbers of a side at the steps at which a series on the other side has one, or at which none has.
    async fn masked(
        &mut self,
        side: &Dense,
        numbers: &[u32],
        (other, by): (&Dense, By),
        wanted: bool,
        grid: Grid,
    ) -> Dense {
        let known = vec![None; numbers.iter().map(|number| *number as usize + 1).max().unwrap_or(0)];
        let mut there = There { side: other, by, known, steps: grid.len() };
        let (mut dense, mut out) = (side.like(), Vec::new());
        for (row, number) in side.rows.iter().zip(numbers) {
            out.clear();
            match there.with(*number) {
                None if wanted => continue,
                None => out.extend_from_slice(side.numbers(row)),
                Some(there) => {
                    let there = &there[row.first as usize..];
                    let keep = |(value, is_there): (&f64, &bool)| {
                        if *is_there == wanted { *value } else { absent() }
                    };
                    out.extend(side.numbers(row).iter().zip(there).map(keep));
                }
            }
            dense.push_in((row.group, row.series), row.first as usize, &out, row.drop_name);
            self.tick(out.len()).await;
        }
        dense
    }
}
