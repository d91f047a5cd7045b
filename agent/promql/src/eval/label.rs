//! Functions on labels: they look at series, not at values.

use model::{AnchoredRegex, Labels, METRIC_NAME};

use super::Evaluator;
use super::column::{Column, Grid, merge_same_labels};
use crate::ast::{Call, Expr};
use crate::engine::EvalError;

/// A label set as Go prints it: `{__name__="up", job="node"}`.
pub(super) fn go_labels(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .pairs()
        .map(|(name, value)| {
            let name = if model::is_valid_legacy_label_name(name) {
                name.to_owned()
            } else {
                crate::quote::quote(name)
            };
            format!("{name}={}", crate::quote::quote(value))
        })
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

/// The texts of string arguments.
pub(super) fn texts(args: &[Expr]) -> Vec<&str> {
    args.iter()
        .filter_map(|arg| match arg.unwrap_parens() {
            Expr::String(literal) => Some(literal.value.as_str()),
            _ => None,
        })
        .collect()
}

/// What Prometheus takes for no label name: an empty one, or one that is no UTF-8.
fn invalid_name(arg: &Expr) -> Option<&str> {
    let Expr::String(literal) = arg.unwrap_parens() else { return None };
    match &literal.invalid {
        Some(quoted) => Some(quoted.trim_matches('"')),
        None => literal.value.is_empty().then_some(""),
    }
}

fn fail<T>(message: String) -> Result<T, EvalError> {
    Err(EvalError::Execution(message))
}

/// Sets a label; a metric name that is set this way stays.
fn set(column: &mut Column, name: &str, value: &str) {
    let mut labels = column.labels.to_builder();
    labels.set(name, value);
    column.labels = labels.build();
    if name == METRIC_NAME {
        column.drop_name = false;
    }
}

impl Evaluator<'_> {
    /// `label_replace(v, dst, replacement, src, regex)`
    pub(super) async fn label_replace(&mut self, node: &Call, grid: Grid) -> Result<Vec<Column>, EvalError> {
        let [target, replacement, source, regex] = texts(&node.args[1..])[..] else {
            return fail("label_replace() takes texts".to_owned());
        };
        let Ok(regex) = AnchoredRegex::new(regex) else {
            return fail(format!("invalid regular expression in label_replace(): {regex}"));
        };
        if let Some(name) = invalid_name(&node.args[1]) {
            return fail(format!("invalid destination label name in label_replace(): {name}"));
        }
        let mut columns = self.columns(&node.args[0], grid).await?;
        for column in &mut columns {
            if let Some(value) = regex.expand(column.labels.value(source), replacement) {
                set(column, target, &value);
            }
        }
        merge_same_labels(columns)
    }

    /// `label_join(v, dst, separator, src, …)`
    pub(super) async fn label_join(&mut self, node: &Call, grid: Grid) -> Result<Vec<Column>, EvalError> {
        let texts = texts(&node.args[1..]);
        let [target, separator, sources @ ..] = &texts[..] else {
            return fail("label_join() takes texts".to_owned());
        };
        if let Some(name) = node.args[3..].iter().find_map(invalid_name) {
            return fail(format!("invalid source label name in label_join(): {name}"));
        }
        if let Some(name) = invalid_name(&node.args[1]) {
            return fail(format!("invalid destination label name in label_join(): {name}"));
        }
        let mut columns = self.columns(&node.args[0], grid).await?;
        for column in &mut columns {
            let parts: Vec<&str> = sources.iter().map(|source| column.labels.value(source)).collect();
            let joined = parts.join(separator);
            set(column, target, &joined);
        }
        merge_same_labels(columns)
    }
}
