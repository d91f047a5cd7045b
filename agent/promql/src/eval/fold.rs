//! What can be known of an expression before it is evaluated: numbers that need no samples, and which series of the
//! right side of a set operation can matter at all.

use model::{METRIC_NAME, MatchOp, Matcher};

use super::binary::number;
use super::column::is_metadata;
use super::element::{arithmetic, holds};
use crate::ast::{Binary, Border, Expr, VectorSelector};
use crate::operator::{BinaryOp, Matching};

/// The number that an expression is at every step, where it is one of numbers alone.
pub(super) fn constant(expr: &Expr) -> Option<f64> {
    let (mut spine, mut first) = (Vec::new(), expr);
    // A chain's left spine is walked, not recursed into.
    while let Expr::Binary(node) = first {
        spine.push(node);
        first = &node.lhs;
    }
    let mut value = match first {
        Expr::Number(node) => node.value,
        Expr::Paren(node) => constant(&node.expr)?,
        Expr::Unary(node) if node.negative => -constant(&node.expr)?,
        Expr::Unary(node) => constant(&node.expr)?,
        _ => return None,
    };
    for node in spine.into_iter().rev() {
        if matches!(node.op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
            return None;
        }
        let right = constant(&node.rhs)?;
        value = arithmetic(node.op, value, right).unwrap_or_else(|| number(holds(node.op, value, right)));
    }
    Some(value)
}

/// The right side of `and` or `unless`, where it is a plain selector, with what the left side asks of labels by which
/// both sides match: other series have no partner. Of a selector nothing is said in warnings, and it cannot fail for
/// what its series are, so that only the series that are read are fewer.
pub(super) fn narrowed(node: &Binary) -> Option<Expr> {
    let matching = node.matching.as_ref().filter(|_| matches!(node.op, BinaryOp::And | BinaryOp::Unless))?;
    let right = plain(&node.rhs)?;
    let mut asked: Vec<&Matcher> = Vec::new();
    of_results(&node.lhs, &mut asked);
    let text = |matcher: &Matcher| (matcher.name().to_owned(), matcher.op(), matcher.value().to_owned());
    let known: Vec<_> = right.matchers.iter().map(text).collect();
    asked.retain(|matcher| counts(matching, matcher.name()) && !known.contains(&text(matcher)));
    if asked.is_empty() {
        return None;
    }
    let mut selector = right.clone();
    selector.matchers.extend(asked.into_iter().cloned());
    Some(Expr::Vector(selector))
}

/// A selector of instants as it stands.
fn plain(expr: &Expr) -> Option<&VectorSelector> {
    match expr.unwrap_parens() {
        Expr::Vector(selector) if selector.border == Border::Plain => Some(selector),
        _ => None,
    }
}

/// Whether series must agree in a label to find each other.
fn counts(matching: &Matching, name: &str) -> bool {
    let named = matching.labels.iter().any(|label| label == name);
    if matching.on { named } else { name != METRIC_NAME && !named }
}

/// What holds for the labels of all results, besides the name: selectors and comparisons with numbers keep them.
fn of_results<'e>(expr: &'e Expr, asked: &mut Vec<&'e Matcher>) {
    match expr.unwrap_parens() {
        Expr::Vector(selector) => {
            // What describes the metric may be gone from the results.
            let is_plain = |matcher: &&Matcher| !is_metadata(matcher.name()) && is_positive(matcher);
            asked.extend(selector.matchers.iter().filter(is_plain));
        }
        Expr::Binary(node) if node.matching.is_none() => {
            let is_constant = |expr: &Expr| constant(expr).is_some();
            if is_constant(&node.rhs) {
                of_results(&node.lhs, asked);
            } else if is_constant(&node.lhs) {
                of_results(&node.rhs, asked);
            }
        }
        _ => {}
    }
}

/// Whether a matcher leaves few series: the others are seldom worth another look.
fn is_positive(matcher: &Matcher) -> bool {
    matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_alone_are_known() {
        for (query, wanted) in [
            ("4 * 3600", Some(14_400.0)),
            ("-(1 + 2) ^ 2", Some(-9.0)),
            ("2 > bool 1", Some(1.0)),
            ("14.4*0.001", Some(14.4 * 0.001)),
            ("time() + 1", None),
            ("vector(1)", None),
            ("1 </ 2", None),
        ] {
            assert_eq!(
                crate::parse_with(query, crate::Features::ALL).ok().as_ref().and_then(constant),
                wanted,
                "{query}"
            );
        }
    }

    #[test]
    fn the_left_sides_matchers_count_where_both_sides_match_by_them() {
        for (query, wanted) in [
            (r#"a{job="x"} and b"#, Some(r#"b{job="x"}"#)),
            (r#"(a{job="x"} > 2) unless on (job) (b)"#, Some(r#"b{job="x"}"#)),
            (r#"a{job=~"x|y",zone!="z"} and b{c="d"}"#, Some(r#"b{c="d",job=~"x|y"}"#)),
            (r#"a{job="x"} and on (instance) b"#, None),
            (r#"a{job="x"} and ignoring (job) b"#, None),
            (r#"a{job="x"} and b{job="x"}"#, None),
            (r#"a{__type__="gauge"} and b"#, None),
            (r#"a{job="x"} or b"#, None),
            (r#"a{job="x"} * on (job) b"#, None),
            (r#"a{job="x"} and rate(b[5m])"#, None),
            (r#"sum(a{job="x"}) and b"#, None),
        ] {
            let expr = crate::parse(query).expect(query);
            let Expr::Binary(node) = &expr else { panic!("{query}") };
            let found = narrowed(node).map(|expr| expr.to_string());
            assert_eq!(found.as_deref(), wanted, "{query}");
        }
    }
}
