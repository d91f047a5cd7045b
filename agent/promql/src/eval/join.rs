//! Arithmetic and comparison between two sets of series that find each other by labels.

use std::collections::{HashMap, HashSet};

use model::{Labels, METRIC_NAME};

use super::Evaluator;
use super::binary::{Signatures, number, signature};
use super::cell::Cell;
use super::column::{Column, Grid, same_labelset, without_metadata};
use super::element::{Element, element};
use super::label::go_labels;
use crate::annotation::Annotations;
use crate::ast::Binary;
use crate::engine::EvalError;
use crate::operator::{BinaryOp, Cardinality, Matching};

/// Both sides of an operation between series; for `group_right` they are swapped, so that `one` has one
/// series where `many` may have several.
struct Sides<'s> {
    many: &'s [Column],
    one: &'s [Column],
    many_signatures: &'s [usize],
    one_signatures: &'s [usize],
    swapped: bool,
    /// What stands for a series that is missing among `many`. `fill_left` speaks of the left side as written,
    /// but Prometheus takes it for this one also where the sides are swapped.
    fill_many: Option<f64>,
    /// What stands for a series that is missing on the other side.
    fill_one: Option<f64>,
}

impl Evaluator<'_> {
    /// Arithmetic and comparison between series.
    pub(super) async fn matched(
        &mut self,
        node: &Binary,
        matching: &Matching,
        left: &[Column],
        right: &[Column],
        grid: Grid,
    ) -> Result<Vec<Column>, EvalError> {
        let signatures = Signatures::of(left, right, matching);
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        let (of_left, of_right) = (&signatures.left[..], &signatures.right[..]);
        let sides = if swapped {
            Sides {
                many: right,
                one: left,
                many_signatures: of_right,
                one_signatures: of_left,
                swapped,
                fill_many,
                fill_one,
            }
        } else {
            Sides {
                many: left,
                one: right,
                many_signatures: of_left,
                one_signatures: of_right,
                swapped,
                fill_many,
                fill_one,
            }
        };
        let mut join = Join::new(node, matching, self.delayed_name_removal);
        for step in 0..grid.len() {
            let partners = partners(&sides, signatures.count, step, matching)?;
            join.step(&sides, &partners, step, &mut self.notes)?;
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
    // Nothing matches where a side is empty, not even with itself.
    let empty = |columns: &[Column]| columns.iter().all(|column| column.get(step).is_none());
    if !matching.fills() && (empty(sides.many) || empty(sides.one)) {
        return Ok(partners);
    }
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

/// Which columns a result stems from; none where the value was filled in.
type Pair = (Option<usize>, Option<usize>);

/// The results of an operation between series.
struct Join<'n> {
    node: &'n Binary,
    matching: &'n Matching,
    delayed_name_removal: bool,
    out: Vec<Column>,
    /// Result column by labels.
    places: HashMap<Labels, usize>,
    /// Result column by pair of input columns.
    pairs: HashMap<Pair, usize>,
}

/// What a step of the join has seen.
struct Seen {
    /// Signatures of one-to-one matches.
    matched: Vec<bool>,
    /// Signatures and result columns of the others.
    results: HashSet<(usize, usize)>,
}

impl<'n> Join<'n> {
    fn new(node: &'n Binary, matching: &'n Matching, delayed_name_removal: bool) -> Self {
        let (out, places, pairs) = (Vec::new(), HashMap::new(), HashMap::new());
        Self { node, matching, delayed_name_removal, out, places, pairs }
    }

    fn step(
        &mut self,
        sides: &Sides<'_>,
        partners: &[Option<usize>],
        step: usize,
        notes: &mut Annotations,
    ) -> Result<(), EvalError> {
        let mut seen = Seen { matched: vec![false; partners.len()], results: HashSet::new() };
        for (at, column) in sides.many.iter().enumerate() {
            let signature = sides.many_signatures[at];
            let Some(many) = column.get(step) else { continue };
            match (partners[signature], sides.fill_one) {
                (Some(partner), _) => {
                    let Some(one) = sides.one[partner].get(step) else { continue };
                    let pair = (Some(at), Some(partner));
                    self.pair(sides, pair, (many, one), signature, step, &mut seen, notes)?;
                }
                (None, Some(fill)) => {
                    let pair = (Some(at), None);
                    self.pair(sides, pair, (many, &Cell::Float(fill)), signature, step, &mut seen, notes)?;
                }
                (None, None) => {}
            }
        }
        let Some(fill) = sides.fill_many else { return Ok(()) };
        for (at, column) in sides.one.iter().enumerate() {
            let signature = sides.one_signatures[at];
            let Some(one) = column.get(step) else { continue };
            if seen.matched[signature] {
                continue;
            }
            let pair = (None, Some(at));
            self.pair(sides, pair, (&Cell::Float(fill), one), signature, step, &mut seen, notes)?;
        }
        Ok(())
    }

    /// The result of one pair of values, "many" first.
    #[allow(clippy::too_many_arguments, reason = "one step of a join is all of these")]
    fn pair(
        &mut self,
        sides: &Sides<'_>,
        pair: Pair,
        (many, one): (&Cell, &Cell),
        signature: usize,
        step: usize,
        seen: &mut Seen,
        notes: &mut Annotations,
    ) -> Result<(), EvalError> {
        let (a, b) = if sides.swapped { (one, many) } else { (many, one) };
        let Element::Value(value, keep) = element(self.node.op, a, b, self.node.pos(), notes) else {
            return Ok(());
        };
        let place = self.place(sides, pair);
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let again = std::mem::replace(&mut seen.matched[signature], true);
        if one_to_one && again {
            return Err(EvalError::Execution(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                    .to_owned(),
            ));
        }
        if !one_to_one && !seen.results.insert((signature, place)) {
            return Err(EvalError::Execution(
                "multiple matches for labels: grouping labels must ensure unique matches".to_owned(),
            ));
        }
        let value = match value {
            _ if self.node.return_bool => Cell::Float(number(keep)),
            value if keep => value,
            _ => return Ok(()),
        };
        if self.out[place].end() > step && self.out[place].get(step).is_some() {
            return Err(same_labelset());
        }
        self.out[place].push(step, value);
        Ok(())
    }

    /// The result column of a pair.
    fn place(&mut self, sides: &Sides<'_>, pair: Pair) -> usize {
        if let Some(place) = self.pairs.get(&pair) {
            return *place;
        }
        let many = pair.0.map(|at| &sides.many[at].labels);
        let one = pair.1.map(|at| &sides.one[at].labels);
        let filled = |other: Option<&Labels>| other.map(|other| self.matched_labels(other));
        let (many, one) = (many.cloned().or_else(|| filled(one)), one.cloned().or_else(|| filled(many)));
        let (many, one) = (many.unwrap_or_default(), one.unwrap_or_default());
        let labels = pair_labels(self.node, self.matching, self.delayed_name_removal, &many, &one);
        let place = *self.places.entry(labels.clone()).or_insert_with(|| {
            self.out.push(Column::new(labels, self.node.return_bool));
            self.out.len() - 1
        });
        self.pairs.insert(pair, place);
        place
    }

    /// The labels by which series match: all that a filled-in one has.
    fn matched_labels(&self, labels: &Labels) -> Labels {
        let named = |name: &str| self.matching.labels.iter().any(|label| label == name);
        labels.filtered(|name| named(name) == self.matching.on && (self.matching.on || name != METRIC_NAME))
    }
}

/// The labels of a pair's result.
pub(super) fn pair_labels(
    node: &Binary,
    matching: &Matching,
    delayed_name_removal: bool,
    many: &Labels,
    one: &Labels,
) -> Labels {
    let op = node.op;
    let arithmetic = !op.is_comparison() && !matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
    let drop_now = arithmetic || node.return_bool && !delayed_name_removal;
    let base = if drop_now { without_metadata(many) } else { many.clone() };
    let mut labels = base.to_builder();
    if matching.cardinality == Cardinality::OneToOne {
        let named = |name: &str| matching.labels.iter().any(|label| label == name);
        labels.retain(|name| named(name) == matching.on);
    }
    for name in &matching.include {
        // An empty value removes the label.
        labels.set(name.as_str(), one.value(name));
    }
    labels.build()
}
