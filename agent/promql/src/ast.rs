//! The typed tree of a query. Every node knows where it stands in the text.

use std::fmt;

use model::Matcher;

use crate::duration::DurationExpr;
use crate::functions::Function;
use crate::operator::{AggregateOp, BinaryOp, Matching};
use crate::position::PosRange;

/// What an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// Nothing.
    None,
    /// One number a step.
    Scalar,
    /// One number a series and step.
    Vector,
    /// Several samples a series and step.
    Matrix,
    /// A text.
    String,
}

impl ValueType {
    /// The name that Prometheus's documentation, and so its error texts, use.
    #[must_use]
    pub fn documented(self) -> &'static str {
        match self {
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::None => "none",
            Self::Scalar => "scalar",
            Self::String => "string",
        }
    }
}

/// Writes the name that the HTTP API uses.
impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        })
    }
}

/// An expression. Prints as Prometheus prints it.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// `1`, `0x2a`, `5m`.
    Number(NumberLiteral),
    /// `"text"`.
    String(StringLiteral),
    /// `up{job="node"}`.
    Vector(VectorSelector),
    /// `up[5m]`.
    Matrix(MatrixSelector),
    /// `rate(up[5m])[1h:1m]`.
    Subquery(Subquery),
    /// `sum by (job) (up)`.
    Aggregate(Aggregate),
    /// `a + b`.
    Binary(Binary),
    /// `rate(up[5m])`.
    Call(Call),
    /// `(a)`.
    Paren(Paren),
    /// `-a`.
    Unary(Unary),
}

/// A number.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberLiteral {
    /// Its value; a duration's is in seconds.
    pub value: f64,
    /// Whether it was written as a duration.
    pub duration: bool,
    /// Where it stands.
    pub pos: PosRange,
}

/// A text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringLiteral {
    /// The text without quotes and escapes; bytes that are no UTF-8 became U+FFFD.
    pub value: String,
    /// The text as Go quotes it, where escapes made it no valid UTF-8.
    pub invalid: Option<String>,
    /// Where it stands.
    pub pos: PosRange,
}

/// The time that `@` pins an expression to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the Unix epoch.
    Time(i64),
    /// The query's first step.
    Start,
    /// The query's last step.
    End,
}

/// How a range's borders are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Border {
    /// Samples inside count.
    #[default]
    Plain,
    /// `anchored`: the last sample before the range counts as one at its start.
    Anchored,
    /// `smoothed`: values at the borders are interpolated.
    Smoothed,
}

/// A selection of series.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric name written before the braces; empty without one.
    pub name: String,
    /// All conditions; the name's is the last one.
    pub matchers: Vec<Matcher>,
    /// Milliseconds to look back; negative ones look ahead.
    pub offset_ms: i64,
    /// What the offset is computed from, where it is no plain number; `offset_ms` is 0 then.
    pub offset_expr: Option<Box<DurationExpr>>,
    /// The pinned time.
    pub at: Option<At>,
    /// How its borders, or the values between samples, are treated.
    pub border: Border,
    /// Where it stands.
    pub pos: PosRange,
}

/// The samples of a selection over a stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// The series, their offset and pinned time.
    pub selector: VectorSelector,
    /// Milliseconds; the window is open on the left and closed on the right.
    pub range_ms: i64,
    /// What the range is computed from, where it is no plain number; `range_ms` is 0 then.
    pub range_expr: Option<Box<DurationExpr>>,
    /// Where it stands.
    pub pos: PosRange,
}

/// An instant expression evaluated over a stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Box<Expr>,
    /// Milliseconds; the window is open on the left and closed on the right.
    pub range_ms: i64,
    /// What the range is computed from, where it is no plain number; `range_ms` is 0 then.
    pub range_expr: Option<Box<DurationExpr>>,
    /// Milliseconds between steps; the engine's default where absent.
    pub step_ms: Option<i64>,
    /// What the step is computed from, where it is no plain number; `step_ms` is absent then.
    pub step_expr: Option<Box<DurationExpr>>,
    /// Milliseconds to look back; negative ones look ahead.
    pub offset_ms: i64,
    /// What the offset is computed from, where it is no plain number; `offset_ms` is 0 then.
    pub offset_expr: Option<Box<DurationExpr>>,
    /// The pinned time.
    pub at: Option<At>,
    /// Where it stands.
    pub pos: PosRange,
}

/// An aggregation over series.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which aggregation.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Box<Expr>,
    /// `k`, `φ`, the ratio, or the label of `count_values`.
    pub param: Option<Box<Expr>>,
    /// Labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// Whether the labels are those to leave out.
    pub without: bool,
    /// Where it stands.
    pub pos: PosRange,
}

/// A binary operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Which operation.
    pub op: BinaryOp,
    /// Left operand.
    pub lhs: Box<Expr>,
    /// Right operand.
    pub rhs: Box<Expr>,
    /// Present where both operands are vectors.
    pub matching: Option<Matching>,
    /// Whether a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which function.
    pub function: &'static Function,
    /// What it is given.
    pub args: Vec<Expr>,
    /// Where it stands.
    pub pos: PosRange,
}

/// An expression in parentheses.
#[derive(Clone, Debug, PartialEq)]
pub struct Paren {
    /// What they hold.
    pub expr: Box<Expr>,
    /// Where they stand.
    pub pos: PosRange,
}

/// A sign before an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// Whether the sign is `-`.
    pub negative: bool,
    /// What it stands before.
    pub expr: Box<Expr>,
    /// Where it stands.
    pub pos: PosRange,
}

impl Expr {
    /// Where the expression stands in its query.
    #[must_use]
    pub fn pos(&self) -> PosRange {
        match self {
            Self::Number(node) => node.pos,
            Self::String(node) => node.pos,
            Self::Vector(node) => node.pos,
            Self::Matrix(node) => node.pos,
            Self::Subquery(node) => node.pos,
            Self::Aggregate(node) => node.pos,
            Self::Binary(node) => node.pos(),
            Self::Call(node) => node.pos,
            Self::Paren(node) => node.pos,
            Self::Unary(node) => node.pos,
        }
    }

    /// What the expression evaluates to.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Number(_) => ValueType::Scalar,
            Self::String(_) => ValueType::String,
            Self::Vector(_) | Self::Aggregate(_) => ValueType::Vector,
            Self::Matrix(_) | Self::Subquery(_) => ValueType::Matrix,
            Self::Binary(node) => node.value_type(),
            Self::Call(node) => node.function.returns,
            Self::Paren(node) => node.expr.value_type(),
            Self::Unary(node) => node.expr.value_type(),
        }
    }

    /// The expression inside all parentheses around it.
    #[must_use]
    pub fn unwrap_parens(&self) -> &Self {
        let mut expr = self;
        while let Self::Paren(paren) = expr {
            expr = &paren.expr;
        }
        expr
    }

    /// Adds the expressions directly inside this one, the last in the text first: a stack gives them in order.
    pub(crate) fn children<'e>(&'e self, stack: &mut Vec<&'e Self>) {
        match self {
            Self::Number(_) | Self::String(_) | Self::Vector(_) | Self::Matrix(_) => {}
            Self::Subquery(node) => stack.push(&node.expr),
            Self::Aggregate(node) => {
                stack.push(&node.expr);
                stack.extend(node.param.as_deref());
            }
            Self::Binary(node) => stack.extend([node.rhs.as_ref(), node.lhs.as_ref()]),
            Self::Call(node) => stack.extend(node.args.iter().rev()),
            Self::Paren(node) => stack.push(&node.expr),
            Self::Unary(node) => stack.push(&node.expr),
        }
    }

    /// All selectors in the expression, in order of text.
    #[must_use]
    pub fn selectors(&self) -> Vec<&VectorSelector> {
        let mut found = Vec::new();
        let mut rest = vec![self];
        while let Some(expr) = rest.pop() {
            match expr {
                Self::Vector(node) => found.push(node),
                Self::Matrix(node) => found.push(&node.selector),
                _ => {}
            }
            expr.children(&mut rest);
        }
        found
    }
}

impl Binary {
    /// Where the operation stands: both operands and all between them.
    #[must_use]
    pub fn pos(&self) -> PosRange {
        // The left spine of a long chain is walked, not recursed into.
        let mut first = self;
        while let Expr::Binary(inner) = first.lhs.as_ref() {
            first = inner;
        }
        let mut last = self;
        while let Expr::Binary(inner) = last.rhs.as_ref() {
            last = inner;
        }
        first.lhs.pos().to(last.rhs.pos())
    }

    fn value_type(&self) -> ValueType {
        let scalar = |expr: &Expr| expr.value_type() == ValueType::Scalar;
        if scalar(&self.rhs) && scalar(&self.lhs) { ValueType::Scalar } else { ValueType::Vector }
    }
}
