//! Lengths of time that depend on the query: computed once, before it is evaluated.

use crate::ast::{DurationExpr, DurationKind, Expr};
use crate::engine::EvalError;
use crate::eval::Grid;
use crate::operator::BinaryOp;

/// Seconds that a duration comes to; `instant` where the query has no step.
fn seconds(expr: &DurationExpr, query: Grid, instant: bool) -> Result<f64, EvalError> {
    let fail = |message: &str| Err(EvalError::Execution(message.to_owned()));
    Ok(match &expr.kind {
        DurationKind::Number(literal) => literal.value,
        DurationKind::Step if instant => 0.0,
        DurationKind::Step => query.step as f64 / 1000.0,
        DurationKind::Range => (query.end - query.start) as f64 / 1000.0,
        DurationKind::Negative(inner) => -seconds(inner, query, instant)?,
        DurationKind::MinOf(one, two) => seconds(one, query, instant)?.min(seconds(two, query, instant)?),
        DurationKind::MaxOf(one, two) => seconds(one, query, instant)?.max(seconds(two, query, instant)?),
        DurationKind::Binary(op, lhs, rhs) => {
            let (a, b) = (seconds(lhs, query, instant)?, seconds(rhs, query, instant)?);
            match op {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                BinaryOp::Div if b == 0.0 => return fail("division by zero"),
                BinaryOp::Div => a / b,
                BinaryOp::Mod if b == 0.0 => return fail("modulo by zero"),
                BinaryOp::Mod => a % b,
                _ => a.powf(b),
            }
        }
    })
}

fn millis(expr: &DurationExpr, query: Grid, instant: bool, negative: bool) -> Result<i64, EvalError> {
    let seconds = seconds(expr, query, instant)?;
    let fail = |message: &str| Err(EvalError::Execution(message.to_owned()));
    if !negative && !(seconds > 0.0) {
        return fail("duration must be greater than 0");
    }
    // Go holds durations in 64 bits of nanoseconds; NaN passes no comparison.
    if !(seconds.abs() * 1e9 < i64::MAX as f64) {
        return fail("duration is out of range");
    }
    // Truncated, as in Prometheus; but 1.003 s is 1003 ms although no float is exactly that.
    Ok((seconds * 1000.0 + seconds.signum() * 1e-9) as i64)
}

/// Whether any length of time in the expression depends on the query.
fn depends(expr: &Expr) -> bool {
    let mut rest = vec![expr];
    while let Some(expr) = rest.pop() {
        let own = match expr {
            Expr::Vector(node) => node.offset_expr.is_some(),
            Expr::Matrix(node) => node.range_expr.is_some() || node.selector.offset_expr.is_some(),
            Expr::Subquery(node) => {
                node.range_expr.is_some() || node.step_expr.is_some() || node.offset_expr.is_some()
            }
            _ => false,
        };
        if own {
            return true;
        }
        expr.children(&mut rest);
    }
    false
}

/// The expression with all lengths of time as numbers; `None` where they are already.
pub(crate) fn resolved(expr: &Expr, query: Grid, instant: bool) -> Result<Option<Expr>, EvalError> {
    if !depends(expr) {
        return Ok(None);
    }
    let mut whole = expr.clone();
    let mut rest = vec![&mut whole];
    while let Some(expr) = rest.pop() {
        match expr {
            Expr::Vector(node) => {
                if let Some(offset) = node.offset_expr.take() {
                    node.offset_ms = millis(&offset, query, instant, true)?;
                }
            }
            Expr::Matrix(node) => {
                if let Some(range) = node.range_expr.take() {
                    node.range_ms = millis(&range, query, instant, false)?;
                }
                if let Some(offset) = node.selector.offset_expr.take() {
                    node.selector.offset_ms = millis(&offset, query, instant, true)?;
                }
            }
            Expr::Subquery(node) => {
                if let Some(range) = node.range_expr.take() {
                    node.range_ms = millis(&range, query, instant, false)?;
                }
                if let Some(step) = node.step_expr.take() {
                    node.step_ms = Some(millis(&step, query, instant, false)?);
                }
                if let Some(offset) = node.offset_expr.take() {
                    node.offset_ms = millis(&offset, query, instant, true)?;
                }
            }
            _ => {}
        }
        expr.children_mut(&mut rest);
    }
    Ok(Some(whole))
}
