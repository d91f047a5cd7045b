//! Binary operators: numbers, numbers with series, sets of series.

use std::collections::HashMap;

use model::{Labels, METRIC_NAME};
use storage::BoxFuture;

use super::cell::Cell;
use super::column::{Column, Grid, Operand};
use super::columnar::is_of_numbers;
use super::element::{Element, arithmetic, element, holds};
use super::{Evaluator, fold};
use crate::ast::{Binary, Expr};
use crate::engine::EvalError;
use crate::operator::{BinaryOp, Matching};

pub(super) fn number(truth: bool) -> f64 {
    f64::from(u8::from(truth))
}

/// The labels by which a series finds its partner.
pub(super) fn signature(labels: &Labels, matching: &Matching) -> Labels {
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on {
        labels.filtered(named)
    } else {
        labels.filtered(|name| name != METRIC_NAME && !named(name))
    }
}

/// Numbers the signatures of both sides' columns.
pub(super) struct Signatures {
    pub(super) left: Vec<usize>,
    pub(super) right: Vec<usize>,
    pub(super) count: usize,
}

impl Signatures {
    pub(super) fn of(left: &[Column], right: &[Column], matching: &Matching) -> Self {
        let mut known: HashMap<Labels, usize> = HashMap::new();
        let mut number = |column: &Column| {
            let next = known.len();
            *known.entry(signature(&column.labels, matching)).or_insert(next)
        };
        let left = left.iter().map(&mut number).collect();
        let right = right.iter().map(&mut number).collect();
        Self { left, right, count: known.len() }
    }
}

/// A result, or the operands where there is none yet.
type OrOperands = Result<Operand, (Operand, Operand)>;

impl Evaluator<'_> {
    /// Evaluates a binary operation; a chain's left spine is walked, not recursed into.
    pub(super) async fn binary_chain(&mut self, expr: &Expr, grid: Grid) -> Result<Operand, EvalError> {
        let mut spine = Vec::new();
        let mut first = expr;
        while let Expr::Binary(node) = first {
            spine.push(node);
            first = &node.lhs;
        }
        let before = self.held;
        // What stands above an operation asks for its result, not for the operands' histograms.
        let resets = std::mem::take(&mut self.resets);
        let mut left = self.eval(first, grid).await?;
        for node in spine.into_iter().rev() {
            let narrowed = self.evaluates_once.then(|| fold::narrowed(node)).flatten();
            let right = self.eval(narrowed.as_ref().unwrap_or(&node.rhs), grid).await?;
            left = self.binary(node, left, right, grid).await?;
            self.held = before;
            self.hold(left.cells())?;
        }
        self.resets = resets;
        Ok(left)
    }

    fn binary<'a>(
        &'a mut self,
        node: &'a Binary,
        left: Operand,
        right: Operand,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Operand, EvalError>> {
        Box::pin(async move {
            let op = node.op;
            let (left, right) = match self.binary_dense(node, left, right, grid).await? {
                Ok(result) => return Ok(result),
                Err(operands) => operands,
            };
            match (left, right) {
                (Operand::Scalar(left), Operand::Scalar(right)) => {
                    if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
                        let op = crate::quote::quote(op.text());
                        return Err(EvalError::Execution(format!(
                            "operator {op} not allowed for Scalar operations"
                        )));
                    }
                    let each = left.into_iter().zip(right);
                    let result = |(a, b)| arithmetic(op, a, b).unwrap_or_else(|| number(holds(op, a, b)));
                    Ok(Operand::Scalar(each.map(result).collect()))
                }
                (Operand::Vector(columns), Operand::Scalar(values)) => {
                    self.with_scalar(node, &columns, &values, false)
                }
                (Operand::Scalar(values), Operand::Vector(columns)) => {
                    self.with_scalar(node, &columns, &values, true)
                }
                (Operand::Vector(left), Operand::Vector(right)) => {
                    let Some(matching) = &node.matching else {
                        return Err(EvalError::Execution(
                            "operation between vectors without matching".to_owned(),
                        ));
                    };
                    let columns = if op.is_set() {
                        self.set(op, matching, left, right, grid).await?
                    } else {
                        self.matched(node, matching, &left, &right, grid).await?
                    };
                    Ok(Operand::Vector(columns))
                }
                _ => Err(EvalError::Execution(format!("operator {} does not take texts", op.text()))),
            }
        })
    }

    /// Each series with a number; `swapped` where the number is on the left.
    fn with_scalar(
        &mut self,
        node: &Binary,
        columns: &[Column],
        values: &[f64],
        swapped: bool,
    ) -> Result<Operand, EvalError> {
        let (op, pos) = (node.op, node.pos());
        let mut notes = std::mem::take(&mut self.notes);
        let mut result = |step: usize, value: &Cell| {
            let scalar = Cell::Float(values[step]);
            let (a, b) = if swapped { (&scalar, value) } else { (value, &scalar) };
            let Element::Value(result, keep) = element(op, a, b, pos, &mut notes) else { return None };
            if node.return_bool {
                return Some(Cell::Float(number(keep)));
            }
            // A comparison gives the series' value, on whichever side it stands.
            let result = if op.is_comparison() { value.clone() } else { result };
            keep.then_some(result)
        };
        let changes_name = !op.is_comparison() && !matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        let kept = columns.iter().map(|column| column.filter_map(&mut result));
        let kept: Vec<Column> = kept.filter(|column| !column.is_empty()).collect();
        self.notes = notes;
        if !changes_name && !node.return_bool {
            return Ok(Operand::Vector(kept));
        }
        let unnamed = kept.into_iter().map(|column| self.unnamed(column)).collect();
        Ok(Operand::Vector(self.checked(unnamed)?))
    }

    /// An operation of which a side is a table of numbers; the operands as they are left otherwise.
    async fn binary_dense(
        &mut self,
        node: &Binary,
        left: Operand,
        right: Operand,
        grid: Grid,
    ) -> Result<OrOperands, EvalError> {
        let columns = |operand| match operand {
            Operand::Dense(dense) => Operand::Vector(dense.columns()),
            other => other,
        };
        let (left, right) = match (left, right, &node.matching) {
            (Operand::Dense(dense), Operand::Scalar(values), _) if is_of_numbers(node.op) => {
                return self.each_with_scalar(node, dense, &values, false).map(Ok);
            }
            (Operand::Scalar(values), Operand::Dense(dense), _) if is_of_numbers(node.op) => {
                return self.each_with_scalar(node, dense, &values, true).map(Ok);
            }
            (Operand::Dense(left), Operand::Dense(right), Some(matching)) if node.op.is_set() => {
                match self.set_dense(node.op, matching, (left, &right), grid).await {
                    Ok(dense) => return Ok(Ok(Operand::Dense(dense))),
                    Err(left) => (Operand::Dense(left), Operand::Dense(right)),
                }
            }
            (Operand::Dense(left), Operand::Dense(right), Some(matching)) => {
                match self.join_dense(node, matching, (&left, &right), grid).await {
                    Some(dense) => return Ok(Ok(Operand::Dense(dense))),
                    None => (Operand::Dense(left), Operand::Dense(right)),
                }
            }
            (left, right, _) => (left, right),
        };
        Ok(Err((columns(left), columns(right))))
    }

    /// `and`, `or`, `unless`.
    async fn set(
        &mut self,
        op: BinaryOp,
        matching: &Matching,
        left: Vec<Column>,
        right: Vec<Column>,
        grid: Grid,
    ) -> Result<Vec<Column>, EvalError> {
        let signatures = Signatures::of(&left, &right, matching);
        let blank = |columns: &[Column]| -> Vec<Column> {
            columns.iter().map(|column| Column::new(column.labels.clone(), column.drop_name)).collect()
        };
        let (mut out, mut added) = (blank(&left), blank(&right));
        for step in 0..grid.len() {
            let present = |columns: &[Column], of: &[usize]| {
                let mut present = vec![false; signatures.count];
                for (column, signature) in columns.iter().zip(of) {
                    present[*signature] |= column.get(step).is_some();
                }
                present
            };
            let on_left = present(&left, &signatures.left);
            let on_right = present(&right, &signatures.right);
            for (at, column) in left.iter().enumerate() {
                let partner = on_right[signatures.left[at]];
                let keep = match op {
                    BinaryOp::And => partner,
                    BinaryOp::Unless => !partner,
                    _ => true,
                };
                if let Some(value) = column.get(step).filter(|_| keep) {
                    out[at].push(step, value.clone());
                }
            }
            if op == BinaryOp::Or {
                for (at, column) in right.iter().enumerate() {
                    let partner = on_left[signatures.right[at]];
                    if let Some(value) = column.get(step).filter(|_| !partner) {
                        added[at].push(step, value.clone());
                    }
                }
            }
            self.tick(left.len() + right.len()).await;
        }
        out.extend(added);
        out.retain(|column| !column.is_empty());
        self.checked(out)
    }
}
