//! `info`: labels of info metrics for series that share their identifying labels.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{INSTANCE, JOB, Labels, METRIC_NAME, MatchOp, Matcher};

use super::Evaluator;
use super::cell::Cell;
use super::column::{Column, Grid, same_labelset};
use super::label::go_labels;
use super::selector::Wanted;
use crate::ast::{At, Border, Call, Expr, VectorSelector};
use crate::engine::EvalError;

/// Labels by which a series finds its info series.
const IDENTIFYING: [&str; 2] = [INSTANCE, JOB];

/// Which info metrics are asked where none is named.
const TARGET_INFO: &str = "target_info";

/// The characters that mean something in a regular expression.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn identity(labels: &Labels) -> Labels {
    labels.filtered(|name| IDENTIFYING.contains(&name))
}

/// What the second argument asks for.
struct Asked {
    /// Conditions on the info metric's name.
    names: Vec<Matcher>,
    /// Conditions on the labels to add, by name.
    data: BTreeMap<String, Vec<Matcher>>,
}

impl Asked {
    fn of(arg: Option<&Expr>) -> Self {
        let mut asked = Self { names: Vec::new(), data: BTreeMap::new() };
        if let Some(Expr::Vector(selector)) = arg.map(Expr::unwrap_parens) {
            for matcher in &selector.matchers {
                if matcher.name() == METRIC_NAME {
                    asked.names.push(matcher.clone());
                } else {
                    asked.data.entry(matcher.name().to_owned()).or_default().push(matcher.clone());
                }
            }
        }
        asked
    }

    /// Whether a series is itself one of the info metrics.
    fn is_info(&self, labels: &Labels, named: bool) -> bool {
        let name = labels.metric_name();
        if !named {
            return name == TARGET_INFO;
        }
        !self.names.is_empty() && self.name_matchers().iter().all(|matcher| matcher.matches(name))
    }

    /// Conditions on the info metric's name: what it must be, not only what it must not.
    fn name_matchers(&self) -> Vec<Matcher> {
        let mut matchers = self.names.clone();
        let positive = |matcher: &Matcher| matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex);
        if matchers.is_empty() {
            matchers.push(Matcher::equal(METRIC_NAME, TARGET_INFO));
        } else if !matchers.iter().any(positive)
            && let Ok(any) = Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info")
        {
            matchers.push(any);
        }
        matchers
    }
}

impl Evaluator<'_> {
    /// `info(v, {…})`
    pub(super) async fn info(&mut self, node: &Call, grid: Grid) -> Result<Vec<Column>, EvalError> {
        let columns = self.columns(&node.args[0], grid).await?;
        let asked = Asked::of(node.args.get(1));
        let ignored: Vec<bool> =
            columns.iter().map(|column| asked.is_info(&column.labels, node.args.len() > 1)).collect();
        let infos = self.info_columns(&node.args[0], &columns, &ignored, &asked, grid).await?;
        let metrics: BTreeSet<String> =
            infos.iter().map(|info| info.labels.metric_name().to_owned()).collect();
        let mut out: Vec<Column> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        for step in 0..grid.len() {
            let newest = newest(&infos, step)?;
            for (column, ignored) in columns.iter().zip(&ignored) {
                let Some(value) = column.get(step) else { continue };
                let labels = if *ignored {
                    Some(column.labels.clone())
                } else {
                    enriched(&column.labels, &infos, &newest, &metrics, &asked)?
                };
                let Some(labels) = labels else { continue };
                let at = *places.entry(labels.clone()).or_insert_with(|| {
                    out.push(Column::new(labels, column.drop_name));
                    out.len() - 1
                });
                if out[at].end() > step && out[at].get(step).is_some() {
                    return Err(same_labelset());
                }
                out[at].push(step, value.clone());
            }
            self.tick(columns.len()).await;
        }
        Ok(out)
    }

    /// The info series that may belong to the columns; their values are the times of their samples.
    async fn info_columns(
        &mut self,
        arg: &Expr,
        columns: &[Column],
        ignored: &[bool],
        asked: &Asked,
        grid: Grid,
    ) -> Result<Vec<Column>, EvalError> {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (column, _) in columns.iter().zip(ignored).filter(|(_, ignored)| !**ignored) {
            for name in IDENTIFYING {
                if let Some(value) = column.labels.get(name) {
                    values.entry(name).or_default().insert(value);
                }
            }
        }
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let mut matchers = Vec::new();
        for (name, values) in values {
            let regex: Vec<String> = values.into_iter().map(escaped).collect();
            let matcher = Matcher::new(name, MatchOp::Regex, regex.join("|"));
            matchers.push(matcher.map_err(|error| EvalError::Execution(error.to_string()))?);
        }
        matchers.extend(asked.data.values().flatten().cloned());
        matchers.extend(asked.name_matchers());
        let (at, offset_ms) = self.looked_at(arg)?;
        let selector = VectorSelector {
            name: String::new(),
            matchers,
            offset_ms,
            offset_expr: None,
            at,
            border: Border::Plain,
            pos: arg.pos(),
        };
        self.vector(&selector, grid, Wanted::Millis).await
    }

    /// When the first selector of an expression is looked at: info series are looked at then.
    fn looked_at(&self, mut expr: &Expr) -> Result<(Option<At>, i64), EvalError> {
        let (mut at, mut offset) = (None, 0);
        loop {
            let (pinned, by, inner) = match expr {
                Expr::Vector(node) => {
                    (node.at, self.offset(node.offset_ms, node.offset_expr.as_deref())?, None)
                }
                Expr::Matrix(node) => {
                    let node = &node.selector;
                    (node.at, self.offset(node.offset_ms, node.offset_expr.as_deref())?, None)
                }
                Expr::Subquery(node) => {
                    let by = self.offset(node.offset_ms, node.offset_expr.as_deref())?;
                    (node.at, by, Some(node.expr.as_ref()))
                }
                other => {
                    let mut inner = Vec::new();
                    other.children(&mut inner);
                    (None, 0, inner.into_iter().rev().find(|one| !one.selectors().is_empty()))
                }
            };
            if pinned.is_some() {
                // What stands outside does not matter any more.
                (at, offset) = (pinned, 0);
            }
            offset += by;
            match inner {
                Some(inner) => expr = inner,
                None => return Ok((at, offset)),
            }
        }
    }
}

/// The newest info series at a step, by name and identity.
fn newest(infos: &[Column], step: usize) -> Result<HashMap<(&str, Labels), usize>, EvalError> {
    let time = |at: usize| infos[at].get(step).and_then(Cell::float).unwrap_or(f64::NAN);
    let mut newest: HashMap<(&str, Labels), usize> = HashMap::new();
    for (at, info) in infos.iter().enumerate().filter(|(_, info)| info.get(step).is_some()) {
        if info.float(step).is_none() {
            return Err(EvalError::Execution("info sample should be float".to_owned()));
        }
        let key = (info.labels.metric_name(), identity(&info.labels));
        match newest.get(&key).copied() {
            Some(known) if time(known) > time(at) => {}
            Some(known) if time(known) < time(at) => {
                newest.insert(key, at);
            }
            Some(known) => {
                return Err(EvalError::Execution(format!(
                    "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                    go_labels(&infos[known].labels),
                    time(known),
                    go_labels(&info.labels),
                    time(at),
                )));
            }
            None => {
                newest.insert(key, at);
            }
        }
    }
    Ok(newest)
}

/// A series' labels with those of its info series; none where conditions ask for some that are not there.
fn enriched(
    base: &Labels,
    infos: &[Column],
    newest: &HashMap<(&str, Labels), usize>,
    metrics: &BTreeSet<String>,
    asked: &Asked,
) -> Result<Option<Labels>, EvalError> {
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = false;
    for metric in metrics {
        let Some(at) = newest.get(&(metric.as_str(), identity(base))) else { continue };
        found = true;
        for (name, value) in infos[*at].labels.pairs().filter(|(name, _)| *name != METRIC_NAME) {
            if !asked.data.is_empty() && !asked.data.contains_key(name) {
                continue;
            }
            if added.get(name).is_some_and(|known| *known != value) {
                return Err(EvalError::Execution(format!("conflicting label: {name}")));
            }
            if !base.has(name) {
                added.insert(name, value);
            }
        }
    }
    if !found && !asked.data.values().flatten().all(|matcher| matcher.matches("")) {
        return Ok(None);
    }
    let mut labels = base.to_builder();
    for (name, value) in added {
        labels.set(name, value);
    }
    Ok(Some(labels.build()))
}
