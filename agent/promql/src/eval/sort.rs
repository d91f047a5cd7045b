//! The sorting functions: by value, or by labels in natural order.

use std::cmp::Ordering;

use model::Labels;

use super::column::{Column, Grid};
use super::{Evaluator, label};
use crate::ast::Call;
use crate::engine::EvalError;

impl Evaluator<'_> {
    /// Order shows only where there is one step.
    pub(super) async fn sort(&mut self, node: &Call, grid: Grid) -> Result<Vec<Column>, EvalError> {
        let mut columns = self.columns(&node.args[0], grid).await?;
        if !self.instant {
            self.notes.sort_in_range_query();
            return Ok(columns);
        }
        let labels = label::texts(&node.args[1..]);
        match node.function.name {
            "sort" | "sort_desc" => columns.retain(|column| column.float(0).is_some()),
            _ => {}
        }
        match node.function.name {
            "sort" => columns.sort_by(|a, b| by_value(a, b, false)),
            "sort_desc" => columns.sort_by(|a, b| by_value(a, b, true)),
            "sort_by_label" => columns.sort_by(|a, b| by_labels(&a.labels, &b.labels, &labels)),
            _ => columns.sort_by(|a, b| by_labels(&b.labels, &a.labels, &labels)),
        }
        Ok(columns)
    }
}

/// By the value at the first step; NaN comes last either way.
fn by_value(a: &Column, b: &Column, descending: bool) -> Ordering {
    let (Some(a), Some(b)) = (a.float(0), b.float(0)) else { return Ordering::Equal };
    let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
    a.is_nan().cmp(&b.is_nan()).then(if descending { order.reverse() } else { order })
}

/// By some labels in natural order, then by all.
fn by_labels(a: &Labels, b: &Labels, names: &[&str]) -> Ordering {
    for name in names {
        let order = natural(a.value(name), b.value(name));
        if order != Ordering::Equal {
            return order;
        }
    }
    a.cmp(b)
}

/// Texts in which numbers count as numbers: `cpu2` before `cpu10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while let (Some(x), Some(y)) = (left.chars().next(), right.chars().next()) {
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number_a, number_b) = (take_number(&mut left), take_number(&mut right));
            let (plain_a, plain_b) = (number_a.trim_start_matches('0'), number_b.trim_start_matches('0'));
            let order = plain_a.len().cmp(&plain_b.len()).then_with(|| plain_a.cmp(plain_b));
            if order != Ordering::Equal {
                return order;
            }
        } else if x != y {
            return x.cmp(&y);
        } else {
            left = &left[x.len_utf8()..];
            right = &right[y.len_utf8()..];
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

fn take_number<'t>(text: &mut &'t str) -> &'t str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order_counts() {
        for (a, b) in [("cpu2", "cpu10"), ("a", "b"), ("a", "a1"), ("1", "2"), ("x01y", "x1z"), ("", "a")] {
            assert_eq!(natural(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(natural(b, a), Ordering::Greater, "{b} {a}");
        }
        assert_eq!(natural("a10", "a10"), Ordering::Equal);
    }
}
