//! An instant query pinned to its time with `@`: it must then give the same at any other time.

use crate::ast::{At, Expr};

/// Functions whose answers depend on the time of evaluation although their arguments do not.
const TIMELY: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// The query with `@` at every selector outside of subqueries, and at subqueries; `None` where that does not pin
/// it.
pub(super) fn pinned(expr: &Expr, time_ms: i64) -> Option<Expr> {
    let mut whole = expr.clone();
    let mut rest = vec![&mut whole];
    while let Some(expr) = rest.pop() {
        match expr {
            Expr::Vector(node) => {
                node.at.get_or_insert(At::Time(time_ms));
            }
            Expr::Matrix(node) => {
                node.selector.at.get_or_insert(At::Time(time_ms));
            }
            Expr::Subquery(node) => {
                node.at.get_or_insert(At::Time(time_ms));
                // What is inside is evaluated at the subquery's own times.
            }
            Expr::Call(node) if TIMELY.contains(&node.function.name) => return None,
            Expr::Call(node) => {
                // The second argument of `info` is no selector of its own.
                let args = if node.function.name == "info" { 1 } else { node.args.len() };
                rest.extend(node.args.iter_mut().take(args));
            }
            Expr::Number(_) | Expr::String(_) => {}
            Expr::Aggregate(node) => {
                rest.push(&mut node.expr);
                rest.extend(node.param.as_deref_mut());
            }
            Expr::Binary(node) => rest.extend([node.lhs.as_mut(), node.rhs.as_mut()]),
            Expr::Paren(node) => rest.push(&mut node.expr),
            Expr::Unary(node) => rest.push(&mut node.expr),
        }
    }
    Some(whole)
}

/// The other times at which a pinned query is evaluated.
pub(super) fn other_times(time_ms: i64) -> Vec<i64> {
    if time_ms == 0 {
        return vec![-1000, 0, 1000];
    }
    vec![time_ms.saturating_mul(-10), 0, time_ms / 5, time_ms, time_ms.saturating_mul(10)]
}
