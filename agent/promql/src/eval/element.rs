//! One binary operator applied to one pair of values.

use model::FloatHistogram;
use model::histogram::ResetHint;

use super::cell::Cell;
use super::trim::{Keep, trim};
use crate::annotation::Annotations;
use crate::operator::BinaryOp;
use crate::position::PosRange;

/// What an operator does to a pair.
pub(super) enum Element {
    /// A value; for comparisons the left one, and whether it holds.
    Value(Cell, bool),
    /// The operator does not know such a pair, or cannot put the two together.
    None,
}

/// What an arithmetic operator gives.
pub(super) fn arithmetic(op: BinaryOp, a: f64, b: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        _ => return None,
    })
}

/// Whether a comparison holds.
pub(super) fn holds(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Equal => a == b,
        BinaryOp::NotEqual => a != b,
        BinaryOp::Less => a < b,
        BinaryOp::LessEqual => a <= b,
        BinaryOp::Greater => a > b,
        BinaryOp::GreaterEqual => a >= b,
        _ => false,
    }
}

/// Applies an operator to a pair of values.
pub(super) fn element(op: BinaryOp, a: &Cell, b: &Cell, pos: PosRange, notes: &mut Annotations) -> Element {
    match (a, b) {
        (Cell::Float(a), Cell::Float(b)) => {
            if let Some(value) = arithmetic(op, *a, *b) {
                return Element::Value(Cell::Float(value), true);
            }
            if op.is_comparison() {
                return Element::Value(Cell::Float(*a), holds(op, *a, *b));
            }
            unknown("float", op, "float", pos, notes)
        }
        (Cell::Float(factor), Cell::Histogram(histogram)) if op == BinaryOp::Mul => {
            changed(histogram, |histogram| histogram.multiply(*factor))
        }
        (Cell::Float(_), Cell::Histogram(_)) => unknown("float", op, "histogram", pos, notes),
        (Cell::Histogram(histogram), Cell::Float(value)) => match op {
            BinaryOp::Mul => changed(histogram, |histogram| histogram.multiply(*value)),
            BinaryOp::Div => changed(histogram, |histogram| histogram.divide(*value)),
            BinaryOp::TrimUpper => Element::Value(trim(histogram, *value, Keep::Below).into(), true),
            BinaryOp::TrimLower => Element::Value(trim(histogram, *value, Keep::Above).into(), true),
            _ => unknown("histogram", op, "float", pos, notes),
        },
        (Cell::Histogram(one), Cell::Histogram(two)) => match op {
            BinaryOp::Add | BinaryOp::Sub => sum(op, one, two, pos, notes),
            BinaryOp::Equal => Element::Value(a.clone(), one.same_data(two)),
            BinaryOp::NotEqual => Element::Value(a.clone(), !one.same_data(two)),
            _ => unknown("histogram", op, "histogram", pos, notes),
        },
    }
}

fn unknown(left: &str, op: BinaryOp, right: &str, pos: PosRange, notes: &mut Annotations) -> Element {
    notes.incompatible_types(left, op.text(), right, pos);
    Element::None
}

fn changed(histogram: &FloatHistogram, change: impl FnOnce(&mut FloatHistogram)) -> Element {
    let mut histogram = histogram.clone();
    change(&mut histogram);
    histogram.compact(0);
    Element::Value(histogram.into(), true)
}

fn sum(
    op: BinaryOp,
    one: &FloatHistogram,
    two: &FloatHistogram,
    pos: PosRange,
    notes: &mut Annotations,
) -> Element {
    let mut result = one.clone();
    let (merged, name) = if op == BinaryOp::Add {
        (result.add(two), "addition")
    } else {
        (result.subtract(two), "subtraction")
    };
    let Ok(merged) = merged else {
        notes.incompatible_layout(op.text(), pos);
        return Element::None;
    };
    if op == BinaryOp::Sub {
        result.reset_hint = ResetHint::Gauge;
    }
    if merged.hints_collided {
        notes.reset_collision(name, pos);
    }
    if merged.bounds_reconciled {
        notes.reconciled(name, pos);
    }
    result.compact(0);
    Element::Value(result.into(), true)
}
