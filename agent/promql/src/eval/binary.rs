//! Binary operators: numbers, numbers with series, series with series.

use std::collections::{HashMap, HashSet};

use model::{Labels, METRIC_NAME};

use super::column::{Column, Grid, Operand, same_labelset, without_metadata};
use super::{Evaluator, go_labels};
use crate::ast::{Binary, Expr};
use crate::engine::EvalError;
use crate::operator::{BinaryOp, Cardinality, Matching};

/// What an arithmetic operator gives.
fn arithmetic(op: BinaryOp, a: f64, b: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        _ => return None,
    })
}

/// Whether a comparison holds.
fn holds(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Equal => a == b,
        BinaryOp::NotEqual => a != b,
        BinaryOp::Less => a < b,
        BinaryOp::LessEqual => a <= b,
        BinaryOp::Greater => a > b,
        BinaryOp::GreaterEqual => a >= b,
        _ => false,
    }
}

fn number(truth: bool) -> f64 {
    f64::from(u8::from(truth))
}

/// The labels by which a series finds its partner.
fn signature(labels: &Labels, matching: &Matching) -> Labels {
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on {
        labels.filtered(named)
    } else {
        labels.filtered(|name| name != METRIC_NAME && !named(name))
    }
}

/// Numbers the signatures of both sides' columns.
struct Signatures {
    left: Vec<usize>,
    right: Vec<usize>,
    count: usize,
}

impl Signatures {
    fn of(left: &[Column], right: &[Column], matching: &Matching) -> Self {
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

/// Both sides of an operation between series; for `group_right` they are swapped, so that `one` has one
/// series where `many` may have several.
struct Sides<'s> {
    many: &'s [Column],
    one: &'s [Column],
    many_signatures: &'s [usize],
    one_signatures: &'s [usize],
    swapped: bool,
}

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
        let mut left = self.eval(first, grid).await?;
        for node in spine.into_iter().rev() {
            let right = self.eval(&node.rhs, grid).await?;
            left = self.binary(node, left, right, grid).await?;
            self.held = before;
            self.hold(left.cells())?;
        }
        Ok(left)
    }

    async fn binary(
        &mut self,
        node: &Binary,
        left: Operand,
        right: Operand,
        grid: Grid,
    ) -> Result<Operand, EvalError> {
        let op = node.op;
        match (left, right) {
            (Operand::Scalar(left), Operand::Scalar(right)) => {
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
    }

    /// Each series with a number; `swapped` where the number is on the left.
    fn with_scalar(
        &self,
        node: &Binary,
        columns: &[Column],
        values: &[f64],
        swapped: bool,
    ) -> Result<Operand, EvalError> {
        let result = |step: usize, value: f64| {
            let (a, b) = if swapped { (values[step], value) } else { (value, values[step]) };
            if let Some(result) = arithmetic(node.op, a, b) {
                return Some(result);
            }
            let truth = holds(node.op, a, b);
            if node.return_bool { Some(number(truth)) } else { truth.then_some(value) }
        };
        if node.op.is_comparison() && !node.return_bool {
            let kept = columns.iter().map(|column| column.filter_map(result));
            return Ok(Operand::Vector(kept.filter(|column| !column.is_empty()).collect()));
        }
        Ok(Operand::Vector(self.map(columns, result)?))
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
                    out[at].push(step, value);
                }
            }
            if op == BinaryOp::Or {
                for (at, column) in right.iter().enumerate() {
                    let partner = on_left[signatures.right[at]];
                    if let Some(value) = column.get(step).filter(|_| !partner) {
                        added[at].push(step, value);
                    }
                }
            }
            self.tick(left.len() + right.len()).await;
        }
        out.extend(added);
        out.retain(|column| !column.is_empty());
        self.checked(out)
    }

    /// Arithmetic and comparison between series.
    async fn matched(
        &mut self,
        node: &Binary,
        matching: &Matching,
        left: &[Column],
        right: &[Column],
        grid: Grid,
    ) -> Result<Vec<Column>, EvalError> {
        let signatures = Signatures::of(left, right, matching);
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let sides = if swapped {
            Sides {
                many: right,
                one: left,
                many_signatures: &signatures.right,
                one_signatures: &signatures.left,
                swapped,
            }
        } else {
            Sides {
                many: left,
                one: right,
                many_signatures: &signatures.left,
                one_signatures: &signatures.right,
                swapped,
            }
        };
        let mut join = Join::new(node, matching, self.delayed_name_removal);
        for step in 0..grid.len() {
            let partners = partners(&sides, signatures.count, step, matching)?;
            join.step(&sides, &partners, step)?;
            self.tick(left.len() + right.len()).await;
        }
        join.out.retain(|column| !column.is_empty());
        Ok(join.out)
    }
}

/// The series of the "one" side that has a value at a step, by signature.
fn partners(
    sides: &Sides<'_>,
    signatures: usize,
    step: usize,
    matching: &Matching,
) -> Result<Vec<Option<usize>>, EvalError> {
    let mut partners: Vec<Option<usize>> = vec![None; signatures];
    for (at, column) in sides.one.iter().enumerate() {
        if column.get(step).is_none() {
            continue;
        }
        let place = &mut partners[sides.one_signatures[at]];
        if let Some(other) = *place {
            return Err(EvalError::Execution(format!(
                "found duplicate series for the match group {} on the {} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                go_labels(&signature(&column.labels, matching)),
                if sides.swapped { "left" } else { "right" },
                go_labels(&column.labels),
                go_labels(&sides.one[other].labels),
            )));
        }
        *place = Some(at);
    }
    Ok(partners)
}

/// The results of an operation between series.
struct Join<'n> {
    node: &'n Binary,
    matching: &'n Matching,
    delayed_name_removal: bool,
    out: Vec<Column>,
    /// Result column by labels.
    places: HashMap<Labels, usize>,
    /// Result column by pair of input columns.
    pairs: HashMap<(usize, usize), usize>,
}

impl<'n> Join<'n> {
    fn new(node: &'n Binary, matching: &'n Matching, delayed_name_removal: bool) -> Self {
        let (out, places, pairs) = (Vec::new(), HashMap::new(), HashMap::new());
        Self { node, matching, delayed_name_removal, out, places, pairs }
    }

    fn step(&mut self, sides: &Sides<'_>, partners: &[Option<usize>], step: usize) -> Result<(), EvalError> {
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let mut matched = vec![false; partners.len()];
        let mut results: HashSet<(usize, usize)> = HashSet::new();
        for (at, column) in sides.many.iter().enumerate() {
            let signature = sides.many_signatures[at];
            let (Some(many), Some(partner)) = (column.get(step), partners[signature]) else { continue };
            let Some(one) = sides.one[partner].get(step) else { continue };
            let (a, b) = if sides.swapped { (one, many) } else { (many, one) };
            let place = self.place(sides, at, partner);
            if one_to_one && std::mem::replace(&mut matched[signature], true) {
                return Err(EvalError::Execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                        .to_owned(),
                ));
            }
            if !one_to_one && !results.insert((signature, place)) {
                return Err(EvalError::Execution(
                    "multiple matches for labels: grouping labels must ensure unique matches".to_owned(),
                ));
            }
            let Some(value) = self.value(a, b) else { continue };
            if self.out[place].end() > step && self.out[place].get(step).is_some() {
                return Err(same_labelset());
            }
            self.out[place].push(step, value);
        }
        Ok(())
    }

    fn value(&self, a: f64, b: f64) -> Option<f64> {
        if let Some(value) = arithmetic(self.node.op, a, b) {
            return Some(value);
        }
        let truth = holds(self.node.op, a, b);
        if self.node.return_bool { Some(number(truth)) } else { truth.then_some(a) }
    }

    /// The result column of a pair.
    fn place(&mut self, sides: &Sides<'_>, many: usize, one: usize) -> usize {
        if let Some(place) = self.pairs.get(&(many, one)) {
            return *place;
        }
        let labels = self.labels(&sides.many[many].labels, &sides.one[one].labels);
        let place = *self.places.entry(labels.clone()).or_insert_with(|| {
            self.out.push(Column::new(labels, self.node.return_bool));
            self.out.len() - 1
        });
        self.pairs.insert((many, one), place);
        place
    }

    /// The labels of a pair's result.
    fn labels(&self, many: &Labels, one: &Labels) -> Labels {
        let arithmetic = !self.node.op.is_comparison();
        let drop_now = arithmetic || self.node.return_bool && !self.delayed_name_removal;
        let base = if drop_now { without_metadata(many) } else { many.clone() };
        let mut labels = base.to_builder();
        if self.matching.cardinality == Cardinality::OneToOne {
            let named = |name: &str| self.matching.labels.iter().any(|label| label == name);
            labels.retain(|name| named(name) == self.matching.on);
        }
        for name in &self.matching.include {
            // An empty value removes the label.
            labels.set(name.as_str(), one.value(name));
        }
        labels.build()
    }
}
