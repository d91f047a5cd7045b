//! Functions on labels: they look at series, not at values.

use model::{AnchoredRegex, METRIC_NAME};

use super::Evaluator;
use super::column::{Column, Grid, merge_same_labels};
use crate::ast::{Call, Expr};
use crate::engine::EvalError;

/// The texts of string arguments.
pub(super) fn texts(args: &[Expr]) -> Vec<&str> {
    args.iter()
        .filter_map(|arg| match arg.unwrap_parens() {
            Expr::String(literal) => Some(literal.value.as_str()),
            _ => None,
        })
        .collect()
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
        if target.is_empty() {
            return fail(format!("invalid destination label name in label_replace(): {target}"));
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
        if sources.iter().any(|source| source.is_empty()) {
            return fail("invalid source label name in label_join(): ".to_owned());
        }
        if target.is_empty() {
            return fail("invalid destination label name in label_join(): ".to_owned());
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
