//! Expressions as Prometheus prints them.

use std::fmt;
use std::time::Duration;

use model::{METRIC_NAME, MatchOp, Matcher, format_duration, is_valid_legacy_label_name};

use crate::ast::{
    Aggregate, At, Binary, Border, Call, Expr, MatrixSelector, NumberLiteral, StringLiteral, Subquery,
    VectorSelector,
};
use crate::duration::{DurationExpr, DurationKind};
use crate::operator::{BinaryOp, Cardinality};
use crate::quote::quote;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(node) => number(f, node),
            Self::String(node) => f.write_str(&text(node)),
            Self::Vector(node) => {
                selector(f, node)?;
                at(f, node.at)?;
                f.write_str(border(node.border))?;
                offset(f, node.offset_ms, node.offset_expr.as_deref())
            }
            Self::Matrix(node) => matrix(f, node),
            Self::Subquery(node) => subquery(f, node),
            Self::Aggregate(node) => aggregate(f, node),
            Self::Binary(node) => binary(f, node),
            Self::Call(node) => call(f, node),
            Self::Paren(node) => write!(f, "({})", node.expr),
            Self::Unary(node) => write!(f, "{}{}", if node.negative { "-" } else { "+" }, node.expr),
        }
    }
}

/// A string literal as Go quotes it.
fn text(node: &StringLiteral) -> String {
    node.invalid.clone().unwrap_or_else(|| quote(&node.value))
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_str("(")?;
        }
        match &self.kind {
            DurationKind::Number(node) => number(f, node)?,
            DurationKind::Step => f.write_str("step()")?,
            DurationKind::Range => f.write_str("range()")?,
            DurationKind::Negative(inner) => write!(f, "-{inner}")?,
            DurationKind::Binary(op, lhs, rhs) => write!(f, "{lhs} {} {rhs}", op.text())?,
            DurationKind::MinOf(one, two) => write!(f, "min_of({one}, {two})")?,
            DurationKind::MaxOf(one, two) => write!(f, "max_of({one}, {two})")?,
        }
        if self.wrapped { f.write_str(")") } else { Ok(()) }
    }
}

fn border(border: Border) -> &'static str {
    match border {
        Border::Plain => "",
        Border::Anchored => " anchored",
        Border::Smoothed => " smoothed",
    }
}

/// A length of time: what it is computed from, or milliseconds.
fn length(value: i64, expr: Option<&DurationExpr>) -> String {
    expr.map_or_else(|| millis(value), ToString::to_string)
}

fn millis(value: i64) -> String {
    format_duration(Duration::from_millis(value.unsigned_abs()))
}

fn number(f: &mut fmt::Formatter<'_>, node: &NumberLiteral) -> fmt::Result {
    if !node.duration {
        return f.write_str(&model::format_float(node.value));
    }
    let sign = if node.value < 0.0 { "-" } else { "" };
    write!(f, "{sign}{}", format_duration(Duration::from_secs_f64(node.value.abs())))
}

fn selector(f: &mut fmt::Formatter<'_>, node: &VectorSelector) -> fmt::Result {
    f.write_str(&node.name)?;
    let is_name = |matcher: &&Matcher| {
        !node.name.is_empty()
            && matcher.name() == METRIC_NAME
            && matcher.op() == MatchOp::Equal
            && matcher.value() == node.name
    };
    let mut texts: Vec<String> =
        node.matchers.iter().filter(|matcher| !is_name(matcher)).map(matcher_text).collect();
    if texts.is_empty() {
        return Ok(());
    }
    texts.sort();
    write!(f, "{{{}}}", texts.join(","))
}

fn matcher_text(matcher: &Matcher) -> String {
    format!("{}{}{}", label(matcher.name()), matcher.op(), quote(matcher.value()))
}

fn label(name: &str) -> String {
    if is_valid_legacy_label_name(name) { name.to_owned() } else { quote(name) }
}

fn labels(names: &[String]) -> String {
    names.iter().map(|name| label(name)).collect::<Vec<_>>().join(", ")
}

fn at(f: &mut impl fmt::Write, at: Option<At>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(At::Time(time)) => write!(f, " @ {:.3}", time as f64 / 1000.0),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
    }
}

fn offset(f: &mut impl fmt::Write, offset_ms: i64, expr: Option<&DurationExpr>) -> fmt::Result {
    match offset_ms {
        _ if expr.is_some() => write!(f, " offset {}", length(0, expr)),
        0 => Ok(()),
        ..0 => write!(f, " offset -{}", millis(offset_ms)),
        _ => write!(f, " offset {}", millis(offset_ms)),
    }
}

fn matrix(f: &mut fmt::Formatter<'_>, node: &MatrixSelector) -> fmt::Result {
    selector(f, &node.selector)?;
    let range = length(node.range_ms, node.range_expr.as_deref());
    write!(f, "[{range}]{}", border(node.selector.border))?;
    at(f, node.selector.at)?;
    offset(f, node.selector.offset_ms, node.selector.offset_expr.as_deref())
}

fn subquery(f: &mut fmt::Formatter<'_>, node: &Subquery) -> fmt::Result {
    write!(f, "{}", node.expr)?;
    subquery_suffix(f, node)
}

/// What stands behind a subquery's expression.
pub(crate) fn subquery_suffix(f: &mut impl fmt::Write, node: &Subquery) -> fmt::Result {
    let step = match &node.step_expr {
        Some(expr) => expr.to_string(),
        None => node.step_ms.map(millis).unwrap_or_default(),
    };
    write!(f, "[{}:{step}]", length(node.range_ms, node.range_expr.as_deref()))?;
    at(f, node.at)?;
    offset(f, node.offset_ms, node.offset_expr.as_deref())
}

/// An aggregation's name and grouping.
pub(crate) fn aggregate_head(node: &Aggregate) -> String {
    let name = node.op.name();
    if node.without {
        format!("{name} without ({}) ", labels(&node.grouping))
    } else if !node.grouping.is_empty() {
        format!("{name} by ({}) ", labels(&node.grouping))
    } else {
        name.to_owned()
    }
}

fn aggregate(f: &mut fmt::Formatter<'_>, node: &Aggregate) -> fmt::Result {
    f.write_str(&aggregate_head(node))?;
    match &node.param {
        Some(param) => write!(f, "({param}, {})", node.expr),
        None => write!(f, "({})", node.expr),
    }
}

fn call(f: &mut fmt::Formatter<'_>, node: &Call) -> fmt::Result {
    write!(f, "{}(", node.function.name)?;
    for (at, arg) in node.args.iter().enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        write!(f, "{comma}{arg}")?;
    }
    f.write_str(")")
}

fn binary(f: &mut fmt::Formatter<'_>, node: &Binary) -> fmt::Result {
    // A chain's left spine is walked, not recursed into.
    let mut spine = vec![node];
    let mut first = node.lhs.as_ref();
    let mut innermost = node.op;
    while let Expr::Binary(inner) = first {
        innermost = inner.op;
        spine.push(inner);
        first = &inner.lhs;
    }
    match first {
        // A sign would be the whole power's.
        Expr::Number(number) if number.value == f64::INFINITY && innermost == BinaryOp::Pow => {
            f.write_str("Inf")?;
        }
        _ => write!(f, "{first}")?,
    }
    for node in spine.into_iter().rev() {
        write!(f, " {} {}", operator(node), node.rhs)?;
    }
    Ok(())
}

/// A binary operator with everything that stands behind it.
pub(crate) fn operator(node: &Binary) -> String {
    let mut out = node.op.text().to_owned();
    if node.return_bool {
        out.push_str(" bool");
    }
    // Writing to a string does not fail.
    let _ = matching(&mut out, node);
    out
}

fn matching(f: &mut String, node: &Binary) -> fmt::Result {
    use fmt::Write as _;
    let Some(matching) = &node.matching else { return Ok(()) };
    let group = match matching.cardinality {
        Cardinality::ManyToOne => Some("group_left"),
        Cardinality::OneToMany => Some("group_right"),
        _ => None,
    };
    if !matching.labels.is_empty() || matching.on || group.is_some() {
        let word = if matching.on { "on" } else { "ignoring" };
        write!(f, " {word} ({})", labels(&matching.labels))?;
    }
    if let Some(group) = group {
        write!(f, " {group} ({})", labels(&matching.include))?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => {
            return write!(f, " fill ({})", model::format_go_float(left));
        }
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({})", model::format_go_float(left))?;
            }
            if let Some(right) = right {
                write!(f, " fill_right ({})", model::format_go_float(right))?;
            }
        }
    }
    Ok(())
}
