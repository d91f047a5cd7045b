//! Queries on several lines: a part that is over 100 bytes long is broken, and what it holds is indented.

use crate::ast::{Aggregate, Binary, Call, Expr};
use crate::print::{aggregate_head, operator, subquery_suffix};

/// Longer parts are broken.
const LINE_BYTES_MAX: usize = 100;

impl Expr {
    /// The query as Prometheus formats it for reading.
    #[must_use]
    pub fn pretty(&self) -> String {
        pretty(self, 0)
    }
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

/// An expression whose lines begin `level` deep.
fn pretty(expr: &Expr, level: usize) -> String {
    let whole = expr.to_string();
    let short = whole.len() <= LINE_BYTES_MAX;
    let start = indent(level);
    match expr {
        // Prometheus indents a subquery only where it breaks it.
        Expr::Subquery(_) if short => whole,
        Expr::Subquery(node) => {
            let mut out = pretty(&node.expr, level);
            // Writing to a string does not fail.
            let _ = subquery_suffix(&mut out, node);
            out
        }
        Expr::Unary(node) => {
            let sign = if node.negative { "-" } else { "+" };
            format!("{start}{sign}{}", pretty(&node.expr, level).trim())
        }
        Expr::Aggregate(node) if !short => aggregate(node, level),
        Expr::Binary(node) if !short => binary(node, level),
        Expr::Call(node) if !short => call(node, level),
        Expr::Paren(node) if !short => format!("{start}(\n{}\n{start})", pretty(&node.expr, level + 1)),
        _ => start + &whole,
    }
}

fn aggregate(node: &Aggregate, level: usize) -> String {
    let start = indent(level);
    let mut out = format!("{start}{}(\n", aggregate_head(node));
    if let Some(param) = &node.param {
        out.push_str(&pretty(param, level + 1));
        out.push_str(",\n");
    }
    out + &pretty(&node.expr, level + 1) + "\n" + &start + ")"
}

fn call(node: &Call, level: usize) -> String {
    let args: Vec<String> = node.args.iter().map(|arg| pretty(arg, level + 1)).collect();
    let start = indent(level);
    format!("{start}{}(\n{}\n{start})", node.function.name, args.join(",\n"))
}

/// A chain's left spine is walked, not recursed into: the innermost operation is the deepest.
fn binary(node: &Binary, level: usize) -> String {
    let mut spine = vec![node];
    let mut first = node.lhs.as_ref();
    while let Expr::Binary(inner) = first {
        if first.to_string().len() <= LINE_BYTES_MAX {
            break;
        }
        spine.push(inner);
        first = &inner.lhs;
    }
    let mut depth = level + spine.len();
    let mut out = pretty(first, depth);
    for node in spine.into_iter().rev() {
        let rhs = pretty(&node.rhs, depth);
        depth -= 1;
        out = format!("{out}\n{}{}\n{rhs}", indent(depth), operator(node));
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::{Features, parse_with};

    fn pretty(query: &str) -> String {
        parse_with(query, Features::ALL).expect(query).pretty()
    }

    #[test]
    fn what_fits_stays_on_its_line() {
        for query in ["sum by (job) (rate(up[5m]))", "a + on (b) group_left () c", "-up", "up[5m:1m]"] {
            assert_eq!(pretty(query), query);
        }
    }

    #[test]
    fn long_parts_are_broken_and_indented() {
        let name = "a_rather_long_metric_name_so_that_two_of_them_do_not_fit_one_line";
        assert_eq!(
            pretty(&format!("sum by (job) ({name} / on (x) {name}) > 0.5")),
            format!("  sum by (job) (\n      {name}\n    / on (x)\n      {name}\n  )\n>\n  0.5")
        );
        assert_eq!(
            pretty(&format!("topk(3, label_replace(({name}), \"{name}\", \"$1\", \"b\", \"c\"))")),
            format!(
                "topk(\n  3,\n  label_replace(\n    ({name}),\n    \"{name}\",\n    \"$1\",\n    \"b\",\n    \"c\"\n  )\n)"
            )
        );
        let chain = ["a"; 60].join(" + ");
        assert_eq!(parse_with(&pretty(&chain), Features::ALL).expect("a query").to_string(), chain);
    }
}
