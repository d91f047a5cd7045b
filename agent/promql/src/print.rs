//! Expressions as Prometheus prints them.

use std::fmt;
use std::time::Duration;

use model::{METRIC_NAME, MatchOp, Matcher, format_duration, is_valid_legacy_label_name};

use crate::ast::{
    Aggregate, At, Binary, Call, Expr, MatrixSelector, NumberLiteral, Subquery, VectorSelector,
};
use crate::operator::Cardinality;
use crate::quote::quote;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(node) => number(f, node),
            Self::String(node) => f.write_str(&quote(&node.value)),
            Self::Vector(node) => {
                selector(f, node)?;
                modifiers(f, node.at, node.offset_ms)
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

fn modifiers(f: &mut fmt::Formatter<'_>, at: Option<At>, offset_ms: i64) -> fmt::Result {
    match at {
        None => {}
        Some(At::Time(time)) => write!(f, " @ {:.3}", time as f64 / 1000.0)?,
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
    }
    match offset_ms {
        0 => Ok(()),
        ..0 => write!(f, " offset -{}", millis(offset_ms)),
        _ => write!(f, " offset {}", millis(offset_ms)),
    }
}

fn matrix(f: &mut fmt::Formatter<'_>, node: &MatrixSelector) -> fmt::Result {
    selector(f, &node.selector)?;
    write!(f, "[{}]", millis(node.range_ms))?;
    modifiers(f, node.selector.at, node.selector.offset_ms)
}

fn subquery(f: &mut fmt::Formatter<'_>, node: &Subquery) -> fmt::Result {
    let step = node.step_ms.map(millis).unwrap_or_default();
    write!(f, "{}[{}:{step}]", node.expr, millis(node.range_ms))?;
    modifiers(f, node.at, node.offset_ms)
}

fn aggregate(f: &mut fmt::Formatter<'_>, node: &Aggregate) -> fmt::Result {
    f.write_str(node.op.name())?;
    if node.without {
        write!(f, " without ({}) ", labels(&node.grouping))?;
    } else if !node.grouping.is_empty() {
        write!(f, " by ({}) ", labels(&node.grouping))?;
    }
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
    while let Expr::Binary(inner) = first {
        spine.push(inner);
        first = &inner.lhs;
    }
    write!(f, "{first}")?;
    for node in spine.into_iter().rev() {
        write!(f, " {}{}", node.op.text(), if node.return_bool { " bool" } else { "" })?;
        matching(f, node)?;
        write!(f, " {}", node.rhs)?;
    }
    Ok(())
}

fn matching(f: &mut fmt::Formatter<'_>, node: &Binary) -> fmt::Result {
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
    Ok(())
}
