//! Lengths of time that depend on the query: what they are made of; they are computed once, before it is evaluated.

use crate::ast::NumberLiteral;
use crate::engine::EvalError;
use crate::eval::Grid;
use crate::operator::BinaryOp;
use crate::position::PosRange;

/// A length of time that is more than one number: it may depend on the query's own range and step.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationKind,
    /// Whether it stood in parentheses.
    pub wrapped: bool,
    /// Where it stands.
    pub pos: PosRange,
}

/// What a length of time is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    /// A number of seconds.
    Number(NumberLiteral),
    /// `step()`: the query's.
    Step,
    /// `range()`: from the query's first step to its last.
    Range,
    /// `-d`.
    Negative(Box<DurationExpr>),
    /// Arithmetic.
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
    /// `min_of(a, b)`.
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`.
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
}

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

/// Milliseconds that a duration comes to; below zero only where `negative` allows it.
pub(crate) fn millis(
    expr: &DurationExpr,
    query: Grid,
    instant: bool,
    negative: bool,
) -> Result<i64, EvalError> {
    let seconds = seconds(expr, query, instant)?;
    let fail = |message: &str| Err(EvalError::Execution(message.to_owned()));
    if !negative && (seconds <= 0.0 || seconds.is_nan()) {
        return fail("duration must be greater than 0");
    }
    // Go holds durations in 64 bits of nanoseconds.
    if seconds.is_nan() || seconds.abs() * 1e9 >= i64::MAX as f64 {
        return fail("duration is out of range");
    }
    // Truncated, as in Prometheus; but 1.003 s is 1003 ms although no float is exactly that.
    Ok((seconds * 1000.0 + seconds.signum() * 1e-9) as i64)
}
