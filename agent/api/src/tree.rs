//! `/parse_query`: a query's tree as JSON, as Prometheus's UI draws it.

use std::fmt::Write as _;

use model::Matcher;
use promql::{
    Aggregate, At, Binary, Border, Call, Cardinality, DurationExpr, DurationKind, Expr, NumberLiteral,
    Subquery, ValueType, VectorSelector,
};

use crate::json::write_string;

/// Writes an expression.
pub(crate) fn write_tree(out: &mut String, expr: &Expr) {
    match expr {
        Expr::Number(node) => {
            let _ =
                write!(out, "{{\"type\":\"numberLiteral\",\"val\":\"{}\"}}", model::format_float(node.value));
        }
        Expr::String(node) => {
            out.push_str("{\"type\":\"stringLiteral\",\"val\":");
            write_string(out, &node.value);
            out.push('}');
        }
        Expr::Paren(node) => {
            out.push_str("{\"expr\":");
            write_tree(out, &node.expr);
            out.push_str(",\"type\":\"parenExpr\"}");
        }
        Expr::Unary(node) => {
            out.push_str("{\"expr\":");
            write_tree(out, &node.expr);
            let op = if node.negative { "-" } else { "+" };
            let _ = write!(out, ",\"op\":\"{op}\",\"type\":\"unaryExpr\"}}");
        }
        Expr::Vector(node) => {
            out.push_str("{\"type\":\"vectorSelector\"");
            write_selector(out, node);
            out.push('}');
        }
        Expr::Matrix(node) => {
            let _ = write!(out, "{{\"type\":\"matrixSelector\",\"range\":{}", node.range_ms);
            out.push_str(",\"rangeExpr\":");
            write_duration(out, node.range_expr.as_deref());
            write_selector(out, &node.selector);
            out.push('}');
        }
        Expr::Subquery(node) => write_subquery(out, node),
        Expr::Aggregate(node) => write_aggregate(out, node),
        Expr::Call(node) => write_call(out, node),
        Expr::Binary(node) => write_chain(out, node),
    }
}

fn write_subquery(out: &mut String, node: &Subquery) {
    out.push_str("{\"type\":\"subquery\",\"expr\":");
    write_tree(out, &node.expr);
    let _ = write!(out, ",\"range\":{},\"rangeExpr\":", node.range_ms);
    write_duration(out, node.range_expr.as_deref());
    let _ = write!(out, ",\"step\":{},\"stepExpr\":", node.step_ms.unwrap_or_default());
    write_duration(out, node.step_expr.as_deref());
    write_times(out, node.offset_ms, node.offset_expr.as_deref(), node.at);
    out.push('}');
}

fn write_aggregate(out: &mut String, node: &Aggregate) {
    out.push_str("{\"type\":\"aggregation\",\"op\":");
    write_string(out, node.op.name());
    out.push_str(",\"expr\":");
    write_tree(out, &node.expr);
    out.push_str(",\"param\":");
    match &node.param {
        Some(param) => write_tree(out, param),
        None => out.push_str("null"),
    }
    out.push_str(",\"grouping\":");
    write_names(out, &node.grouping);
    let _ = write!(out, ",\"without\":{}}}", node.without);
}

fn write_call(out: &mut String, node: &Call) {
    out.push_str("{\"type\":\"call\",\"func\":{\"name\":");
    write_string(out, node.function.name);
    out.push_str(",\"argTypes\":");
    let types: Vec<String> = node.function.args.iter().map(ValueType::to_string).collect();
    write_names(out, &types);
    let (variadic, returns) = (node.function.variadic, node.function.returns);
    let _ = write!(out, ",\"variadic\":{variadic},\"returnType\":\"{returns}\"}},\"args\":[");
    for (at, arg) in node.args.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_tree(out, arg);
    }
    out.push_str("]}");
}

/// A chain's left spine is walked, not recursed into.
fn write_chain(out: &mut String, node: &Binary) {
    let mut spine = vec![node];
    let mut first = node.lhs.as_ref();
    while let Expr::Binary(inner) = first {
        spine.push(inner);
        first = &inner.lhs;
    }
    for _ in &spine {
        out.push_str("{\"type\":\"binaryExpr\",\"lhs\":");
    }
    write_tree(out, first);
    for node in spine.into_iter().rev() {
        out.push_str(",\"op\":");
        write_string(out, node.op.text());
        out.push_str(",\"rhs\":");
        write_tree(out, &node.rhs);
        out.push_str(",\"matching\":");
        write_matching(out, node);
        let _ = write!(out, ",\"bool\":{}}}", node.return_bool);
    }
}

fn write_matching(out: &mut String, node: &Binary) {
    let Some(matching) = &node.matching else {
        out.push_str("null");
        return;
    };
    let card = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    let _ = write!(out, "{{\"card\":\"{card}\",\"labels\":");
    write_names(out, &matching.labels);
    let _ = write!(out, ",\"on\":{},\"include\":", matching.on);
    write_names(out, &matching.include);
    let number = |value: Option<f64>| match value {
        // JSON has no other numbers.
        Some(value) if value.is_finite() => value.to_string(),
        _ => "null".to_owned(),
    };
    let (left, right) = (number(matching.fill_left), number(matching.fill_right));
    let _ = write!(out, ",\"fillValues\":{{\"lhs\":{left},\"rhs\":{right}}}}}");
}

fn write_selector(out: &mut String, node: &VectorSelector) {
    out.push_str(",\"name\":");
    write_string(out, &node.name);
    out.push_str(",\"matchers\":[");
    for (at, matcher) in node.matchers.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_matcher(out, matcher);
    }
    out.push(']');
    write_times(out, node.offset_ms, node.offset_expr.as_deref(), node.at);
    let (anchored, smoothed) = (node.border == Border::Anchored, node.border == Border::Smoothed);
    let _ = write!(out, ",\"anchored\":{anchored},\"smoothed\":{smoothed}");
}

fn write_matcher(out: &mut String, matcher: &Matcher) {
    out.push_str("{\"name\":");
    write_string(out, matcher.name());
    out.push_str(",\"value\":");
    write_string(out, matcher.value());
    let _ = write!(out, ",\"type\":\"{}\"}}", matcher.op());
}

fn write_times(out: &mut String, offset_ms: i64, offset: Option<&DurationExpr>, at: Option<At>) {
    let _ = write!(out, ",\"offset\":{offset_ms},\"offsetExpr\":");
    write_duration(out, offset);
    let (time, word) = match at {
        None => ("null".to_owned(), "null"),
        Some(At::Time(time)) => (time.to_string(), "null"),
        Some(At::Start) => ("null".to_owned(), "\"start\""),
        Some(At::End) => ("null".to_owned(), "\"end\""),
    };
    let _ = write!(out, ",\"timestamp\":{time},\"startOrEnd\":{word}");
}

fn write_duration(out: &mut String, expr: Option<&DurationExpr>) {
    let Some(expr) = expr else {
        out.push_str("null");
        return;
    };
    let (op, lhs, rhs) = match &expr.kind {
        DurationKind::Number(NumberLiteral { value, duration, .. }) => {
            let value = model::format_float(*value);
            let _ = write!(out, "{{\"type\":\"numberLiteral\",\"val\":\"{value}\",\"duration\":{duration}}}");
            return;
        }
        DurationKind::Step => ("step", None, None),
        DurationKind::Range => ("range", None, None),
        DurationKind::Negative(inner) => ("-", None, Some(inner)),
        DurationKind::Binary(op, lhs, rhs) => (op.text(), Some(lhs), Some(rhs)),
        DurationKind::MinOf(one, two) => ("min_of", Some(one), Some(two)),
        DurationKind::MaxOf(one, two) => ("max_of", Some(one), Some(two)),
    };
    let _ = write!(out, "{{\"type\":\"durationExpr\",\"op\":\"{op}\",\"lhs\":");
    write_duration(out, lhs.map(|lhs| &**lhs));
    out.push_str(",\"rhs\":");
    write_duration(out, rhs.map(|rhs| &**rhs));
    let _ = write!(out, ",\"wrapped\":{}}}", expr.wrapped);
}

fn write_names(out: &mut String, names: &[String]) {
    out.push('[');
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_string(out, name);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_node_is_json_with_its_parts() {
        let query = "sum by (a, b) (rate(x{y=~\"z\"}[5m] @ start() offset -1m)) / on (c) group_left (d) \
                     -(topk(2, \"t\" and w[1h:step() * 2] offset 3m @ 4)) > bool 1";
        // Types are not this file's matter.
        let query = query
            .replace("\"t\" and w[1h:step() * 2]", "max_over_time(w[1h:step() * 2]")
            .replace("@ 4))", "@ 4)))");
        let expr = promql::parse(&query).expect("a query");
        let mut out = String::new();
        write_tree(&mut out, &expr);
        let tree: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(tree["type"], "binaryExpr");
        assert_eq!((&tree["op"], &tree["bool"]), (&">".into(), &true.into()));
        assert_eq!(tree["rhs"]["val"], "1");
        let division = &tree["lhs"];
        assert_eq!(division["matching"]["card"], "many-to-one");
        assert_eq!(division["matching"]["include"][0], "d");
        let range = &division["lhs"]["expr"]["args"][0];
        assert_eq!((&range["type"], &range["range"]), (&"matrixSelector".into(), &300_000.into()));
        assert_eq!((&range["offset"], &range["startOrEnd"]), (&(-60_000).into(), &"start".into()));
        assert_eq!(range["matchers"][0]["type"], "=~");
        let subquery = &division["rhs"]["expr"]["expr"]["expr"]["args"][0];
        assert_eq!(subquery["stepExpr"]["op"], "*");
        assert_eq!((&subquery["timestamp"], &subquery["offset"]), (&4000.into(), &180_000.into()));
    }
}
