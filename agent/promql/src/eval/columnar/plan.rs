//! The plan of a query's part that is evaluated group by group: where its numbers come from, what is done to each of
//! them, and at most one aggregation on top. All else is left to the evaluation series by series, which asks here
//! again for each of its operands.

use model::{METRIC_NAME, MatchOp};

use super::super::math;
use super::kernel::Function;
use crate::ast::{Aggregate, Binary, Border, Call, Expr, MatrixSelector, ValueType, VectorSelector};
use crate::operator::{AggregateOp, BinaryOp};

/// A part of a query.
pub(in super::super) struct Fragment<'e> {
    pub(super) source: Source<'e>,
    /// From the inside out.
    pub(super) stages: Vec<Stage<'e>>,
    pub(super) aggregate: Option<&'e Aggregate>,
}

/// Where numbers come from.
pub(super) enum Source<'e> {
    /// A series' newest sample.
    Newest(&'e VectorSelector),
    /// What a function makes of the samples in a window.
    Windows { function: Function, call: &'e Call, matrix: &'e MatrixSelector },
}

/// What is done to each number.
pub(super) enum Stage<'e> {
    Negate,
    Apply(fn(f64) -> f64),
    /// An operation with a scalar; `swapped` where that stands on the left.
    Scalar {
        node: &'e Binary,
        scalar: &'e Expr,
        swapped: bool,
    },
}

impl Stage<'_> {
    /// Whether the result is another metric than the operand.
    fn drops_name(&self) -> bool {
        match self {
            Self::Negate | Self::Apply(_) => true,
            Self::Scalar { node, .. } => !node.op.is_comparison() || node.return_bool,
        }
    }
}

impl Source<'_> {
    /// What selects the series.
    pub(super) fn selector(&self) -> &VectorSelector {
        match self {
            Self::Newest(selector) => selector,
            Self::Windows { matrix, .. } => &matrix.selector,
        }
    }

    fn drops_name(&self) -> bool {
        matches!(self, Self::Windows { function, .. } if !function.keeps_name())
    }
}

impl<'e> Fragment<'e> {
    /// The plan of an expression, where all of it can be evaluated so.
    pub(in super::super) fn of(expr: &'e Expr) -> Option<Self> {
        let (aggregate, mut rest) = match expr {
            Expr::Aggregate(node) if is_known(node.op) => (Some(node), node.expr.as_ref()),
            other => (None, other),
        };
        let mut stages = Vec::new();
        let source = loop {
            match rest {
                Expr::Paren(node) => rest = &node.expr,
                Expr::Unary(node) => {
                    stages.extend(node.negative.then_some(Stage::Negate));
                    rest = &node.expr;
                }
                Expr::Binary(node) => {
                    let (stage, operand) = scalar_stage(node)?;
                    stages.push(stage);
                    rest = operand;
                }
                Expr::Call(call) => match math::unary(call.function.name) {
                    Some(function) => {
                        stages.push(Stage::Apply(function));
                        rest = call.args.first()?;
                    }
                    None => break windows(call)?,
                },
                Expr::Vector(selector) if selector.border == Border::Plain => break Source::Newest(selector),
                _ => return None,
            }
        };
        stages.reverse();
        Some(Self { source, stages, aggregate })
    }

    /// Whether there are samples in the range that `absent_over_time` is given.
    pub(in super::super) fn of_presence(call: &'e Call) -> Option<Self> {
        Some(Self { source: range_of(call, Function::Present)?, stages: Vec::new(), aggregate: None })
    }

    /// Whether the metric names go, now or at the end of the query.
    pub(super) fn drops_name(&self) -> bool {
        self.source.drops_name() || self.stages.iter().any(Stage::drops_name)
    }

    /// Whether all series have the same metric name: then none become alike by losing it.
    pub(super) fn has_one_name(&self) -> bool {
        let is_name =
            |matcher: &model::Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
        self.source.selector().matchers.iter().any(is_name)
    }
}

/// The aggregations that are evaluated so.
fn is_known(op: AggregateOp) -> bool {
    op != AggregateOp::CountValues
}

/// An operation between numbers of series and a scalar, and where the series come from.
fn scalar_stage(node: &Binary) -> Option<(Stage<'_>, &Expr)> {
    if node.matching.is_some() || matches!(node.op, BinaryOp::TrimLower | BinaryOp::TrimUpper) {
        return None;
    }
    match (node.lhs.value_type(), node.rhs.value_type()) {
        (ValueType::Vector, ValueType::Scalar) => {
            Some((Stage::Scalar { node, scalar: &node.rhs, swapped: false }, &node.lhs))
        }
        (ValueType::Scalar, ValueType::Vector) => {
            Some((Stage::Scalar { node, scalar: &node.lhs, swapped: true }, &node.rhs))
        }
        _ => None,
    }
}

/// A function of a plain range of samples. What else it is given must not need samples itself.
fn windows(call: &Call) -> Option<Source<'_>> {
    range_of(call, Function::of(call.function.name)?)
}

fn range_of(call: &Call, function: Function) -> Option<Source<'_>> {
    let mut matrix = None;
    for arg in &call.args {
        match arg.unwrap_parens() {
            Expr::Matrix(node) if node.selector.border == Border::Plain => matrix = Some(node),
            other if other.value_type() == ValueType::Scalar && other.selectors().is_empty() => {}
            _ => return None,
        }
    }
    Some(Source::Windows { function, call, matrix: matrix? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a query's plan is: the source, stages, and the aggregation.
    fn plan(query: &str) -> Option<(bool, usize, bool)> {
        let expr = crate::parse_with(query, crate::Features::ALL).expect(query);
        let fragment = Fragment::of(&expr)?;
        let over_time = matches!(fragment.source, Source::Windows { .. });
        Some((over_time, fragment.stages.len(), fragment.aggregate.is_some()))
    }

    #[test]
    fn what_is_known_is_planned_and_all_else_is_left() {
        for (query, wanted) in [
            ("m", Some((false, 0, false))),
            ("sum by (a) (rate(m[5m] offset 1m)) ", Some((true, 0, true))),
            ("avg(-(abs(m)) * 2 > scalar(n))", Some((false, 4, true))),
            ("quantile_over_time(0.5, m[1h])", Some((true, 0, false))),
            ("2 * ({a=\"b\"}) > bool 2 + 3", Some((false, 2, false))),
            ("quantile_over_time(scalar(n), m[1h])", None),
            ("rate(m[5m:1m])", None),
            ("rate(m[5m] smoothed)", None),
            ("m smoothed", None),
            ("m + n", None),
            ("count_values(\"x\", m)", None),
            ("absent_over_time(m[5m])", None),
            ("m </ 2", None),
            ("vector(1)", None),
        ] {
            assert_eq!(plan(query), wanted, "{query}");
        }
    }
}
