//! Types and the rules that the grammar cannot say.

use model::METRIC_NAME;

use crate::ast::{Aggregate, Binary, Call, Expr, ValueType, VectorSelector};
use crate::operator::Cardinality;
use crate::position::{ParseError, PosRange};
use crate::quote::quote;

type Checked = Result<(), ParseError>;

fn wrong(range: PosRange, message: impl Into<String>) -> Checked {
    Err(ParseError { range, message: message.into() })
}

/// Checks an expression and completes the matching of its binary operations.
pub(super) fn check(text: &str, expr: &mut Expr) -> Checked {
    // The left spine of a long chain is walked, not recursed into; its innermost operand comes first.
    let mut spine = Vec::new();
    let mut node = expr;
    while let Expr::Binary(_) = node {
        let Expr::Binary(binary) = node else { break };
        let Binary { op, lhs, rhs, matching, return_bool } = binary;
        check(text, rhs)?;
        spine.push((*op, rhs, matching, *return_bool));
        node = lhs;
    }
    one(text, node)?;
    if spine.is_empty() {
        return Ok(());
    }
    let mut left = Side { kind: node.value_type(), pos: node.pos() };
    for (op, rhs, matching, return_bool) in spine.into_iter().rev() {
        let right = Side { kind: rhs.value_type(), pos: rhs.pos() };
        binary(text, op, &left, &right, matching, return_bool)?;
        let scalar = left.kind == ValueType::Scalar && right.kind == ValueType::Scalar;
        let kind = if scalar { ValueType::Scalar } else { ValueType::Vector };
        left = Side { kind, pos: left.pos.to(right.pos) };
    }
    Ok(())
}

/// Checks anything but a binary operation.
fn one(text: &str, expr: &mut Expr) -> Checked {
    match expr {
        Expr::Number(_) | Expr::String(_) | Expr::Binary(_) => Ok(()),
        Expr::Vector(node) => selector(node),
        Expr::Matrix(node) => selector(&node.selector),
        Expr::Paren(node) => check(text, &mut node.expr),
        Expr::Aggregate(node) => aggregate(text, node),
        Expr::Call(node) => call(text, node),
        Expr::Subquery(node) => {
            check(text, &mut node.expr)?;
            match node.expr.value_type() {
                ValueType::Vector => Ok(()),
                other => wrong(
                    node.pos,
                    format!("subquery is only allowed on instant vector, got {other} instead"),
                ),
            }
        }
        Expr::Unary(node) => {
            check(text, &mut node.expr)?;
            match node.expr.value_type() {
                ValueType::Scalar | ValueType::Vector => Ok(()),
                other => wrong(
                    node.pos,
                    format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                        quote(other.documented())
                    ),
                ),
            }
        }
    }
}

/// Checks that a selector names its metric once and cannot select everything.
fn selector(node: &VectorSelector) -> Checked {
    if !node.name.is_empty() {
        let others = &node.matchers[..node.matchers.len() - 1];
        return match others.iter().find(|matcher| matcher.name() == METRIC_NAME) {
            None => Ok(()),
            Some(other) => wrong(
                node.pos,
                format!(
                    "metric name must not be set twice: {} or {}",
                    quote(&node.name),
                    quote(other.value())
                ),
            ),
        };
    }
    if node.matchers.iter().all(|matcher| matcher.matches("")) {
        return wrong(node.pos, "vector selector must contain at least one non-empty matcher");
    }
    Ok(())
}

fn expect_type(expr: &Expr, wanted: ValueType, context: &str) -> Checked {
    let found = expr.value_type();
    if found == wanted {
        return Ok(());
    }
    wrong(
        expr.pos(),
        format!("expected type {} in {context}, got {}", wanted.documented(), found.documented()),
    )
}

fn aggregate(text: &str, node: &mut Aggregate) -> Checked {
    check(text, &mut node.expr)?;
    expect_type(&node.expr, ValueType::Vector, "aggregation expression")?;
    if let (Some(param), Some(wanted)) = (&mut node.param, node.op.param_type()) {
        check(text, param)?;
        expect_type(param, wanted, "aggregation parameter")?;
    }
    Ok(())
}

fn call(text: &str, node: &mut Call) -> Checked {
    let (function, given) = (node.function, node.args.len());
    let (name, known) = (quote(function.name), function.args.len());
    if function.variadic == 0 && given != known {
        return wrong(node.pos, format!("expected {known} argument(s) in call to {name}, got {given}"));
    }
    if function.variadic != 0 {
        let least = known - 1;
        if given < least {
            let message = format!("expected at least {least} argument(s) in call to {name}, got {given}");
            return wrong(node.pos, message);
        }
        if let Ok(extra) = usize::try_from(function.variadic)
            && given > least + extra
        {
            let most = least + extra;
            let message = format!("expected at most {most} argument(s) in call to {name}, got {given}");
            return wrong(node.pos, message);
        }
    }
    for (at, arg) in node.args.iter_mut().enumerate() {
        if function.name == "info" && at == 1 {
            // The labels to add: a selector without a name, which may match everything.
            return match arg {
                Expr::Vector(node) if node.name.is_empty() => Ok(()),
                Expr::Vector(node) => {
                    wrong(node.pos, "expected label selectors only, got vector selector instead")
                }
                other => wrong(other.pos(), "expected label selectors only"),
            };
        }
        check(text, arg)?;
        let wanted = function.args[at.min(known - 1)];
        if arg.value_type() != wanted {
            return wrong(
                arg.pos(),
                format!(
                    "expected type {} in call to function {name}, got {}",
                    wanted.documented(),
                    arg.value_type().documented()
                ),
            );
        }
    }
    Ok(())
}

/// One operand: what it gives and where it stands.
struct Side {
    kind: ValueType,
    pos: PosRange,
}

fn binary(
    text: &str,
    op: crate::operator::BinaryOp,
    left: &Side,
    right: &Side,
    matching: &mut Option<crate::operator::Matching>,
    return_bool: bool,
) -> Checked {
    let whole = left.pos.to(right.pos);
    let between = || {
        let gap = &text[left.pos.end..right.pos.start];
        let start = left.pos.end + (gap.len() - gap.trim_start().len());
        PosRange::new(text, start, left.pos.end + gap.trim_end().len())
    };
    if return_bool && !op.is_comparison() {
        return wrong(between(), "bool modifier can only be used on comparison operators");
    }
    let scalars = left.kind == ValueType::Scalar && right.kind == ValueType::Scalar;
    if op.is_comparison() && !return_bool && scalars {
        return wrong(between(), "comparisons between scalars must use BOOL modifier");
    }
    for side in [left, right] {
        if side.kind != ValueType::Scalar && side.kind != ValueType::Vector {
            return wrong(side.pos, "binary expression must contain only scalar and instant vector types");
        }
    }
    let Some(found) = matching else { return Ok(()) };
    if found.on
        && let Some(label) = found.labels.iter().find(|label| found.include.contains(label))
    {
        let message = format!("label {} must not occur in ON and GROUP clause at once", quote(label));
        return wrong(between(), message);
    }
    if left.kind == ValueType::Scalar || right.kind == ValueType::Scalar {
        if found.fills() {
            return wrong(whole, "filling in missing series only allowed between instant vectors");
        }
        if !found.labels.is_empty() {
            return wrong(whole, "vector matching only allowed between instant vectors");
        }
        if op.is_set() {
            let message =
                format!("set operator {} not allowed in binary scalar expression", quote(op.text()));
            return wrong(whole, message);
        }
        *matching = None;
        return Ok(());
    }
    if op.is_set() {
        if found.cardinality != Cardinality::OneToOne {
            return wrong(whole, format!("no grouping allowed for {} operation", quote(op.text())));
        }
        if found.fills() {
            return wrong(whole, "filling in missing series not allowed for set operators");
        }
        found.cardinality = Cardinality::ManyToMany;
    }
    Ok(())
}
