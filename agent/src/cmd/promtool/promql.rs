//! `promql`: formatting a query, and changing its label matchers.

use anyhow::{Result, anyhow};
use clap::Subcommand;
use model::{MatchOp, Matcher};
use promql::Expr;

#[derive(Subcommand, Debug)]
pub(super) enum Promql {
    /// Format PromQL query to pretty printed form.
    Format {
        /// PromQL query.
        query: String,
    },
    /// Edit label matchers contained within an existing PromQL query.
    #[command(subcommand)]
    LabelMatchers(LabelMatchers),
}

#[derive(Subcommand, Debug)]
pub(super) enum LabelMatchers {
    /// Set a label matcher in the query.
    Set {
        /// Type of the label matcher to set.
        #[arg(short = 't', long = "type", default_value = "=", value_parser = ["=", "!=", "=~", "!~"])]
        kind: String,
        /// PromQL query.
        query: String,
        /// Name of the label matcher to set.
        name: String,
        /// Value of the label matcher to set.
        value: String,
    },
    /// Delete a label from the query.
    Delete {
        /// PromQL query.
        query: String,
        /// Name of the label to delete.
        name: String,
    },
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
pub(super) fn run(command: &Promql) -> Result<()> {
    let parse = |query: &str| promql::parse(query).map_err(|error| anyhow!("{error}"));
    let expr = match command {
        Promql::Format { query } => parse(query)?,
        Promql::LabelMatchers(LabelMatchers::Set { kind, query, name, value }) => {
            let op = match kind.as_str() {
                "!=" => MatchOp::NotEqual,
                "=~" => MatchOp::Regex,
                "!~" => MatchOp::NotRegex,
                _ => MatchOp::Equal,
            };
            let matcher =
                Matcher::new(name.as_str(), op, value.as_str()).map_err(|error| anyhow!("{error}"))?;
            let mut expr = parse(query)?;
            expr.edit_matchers(&mut |matchers| set(matchers, &matcher));
            expr
        }
        Promql::LabelMatchers(LabelMatchers::Delete { query, name }) => {
            let mut expr = parse(query)?;
            expr.edit_matchers(&mut |matchers| matchers.retain(|matcher| matcher.name() != name));
            expr
        }
    };
    println!("{}", expr.pretty());
    Ok(())
}

fn set(matchers: &mut Vec<Matcher>, matcher: &Matcher) {
    let mut found = false;
    for known in matchers.iter_mut().filter(|known| known.name() == matcher.name()) {
        *known = matcher.clone();
        found = true;
    }
    if !found {
        matchers.push(matcher.clone());
    }
}

/// What `label-matchers` changes.
trait EditMatchers {
    /// Calls `edit` with the matchers of each selector.
    fn edit_matchers(&mut self, edit: &mut dyn FnMut(&mut Vec<Matcher>));
}

impl EditMatchers for Expr {
    fn edit_matchers(&mut self, edit: &mut dyn FnMut(&mut Vec<Matcher>)) {
        let mut rest = vec![self];
        while let Some(expr) = rest.pop() {
            match expr {
                Self::Vector(node) => edit(&mut node.matchers),
                Self::Matrix(node) => edit(&mut node.selector.matchers),
                Self::Subquery(node) => rest.push(&mut node.expr),
                Self::Call(node) => rest.extend(node.args.iter_mut()),
                Self::Number(_) | Self::String(_) => {}
                Self::Aggregate(node) => {
                    rest.push(&mut node.expr);
                    rest.extend(node.param.as_deref_mut());
                }
                Self::Binary(node) => rest.extend([node.lhs.as_mut(), node.rhs.as_mut()]),
                Self::Paren(node) => rest.push(&mut node.expr),
                Self::Unary(node) => rest.push(&mut node.expr),
            }
        }
    }
}
