//! Arithmetic and comparison between two sets of series: whole columns of a pair at a time. Where two series of a side
//! may meet under the same labels, it is left to the step by step evaluation, which knows whether that is an error.

use std::collections::HashMap;

use model::Labels;

use super::super::Evaluator;
use super::super::binary::number;
use super::super::column::{Grid, is_metadata};
use super::super::element::{arithmetic, holds};
use super::super::join::pair_labels;
use super::dense::{Dense, Listed};
use super::kernel::{absent, is_absent, present};
use super::order::any_alike;
use super::sides::{By, Sides, Span, both, meet, span};
use crate::ast::Binary;
use crate::operator::{BinaryOp, Cardinality, Matching};

/// Both sides; for `group_right` they are swapped, so that `one` has one series where `many` may have several.
struct Joined<'j> {
    node: &'j Binary,
    matching: &'j Matching,
    many: &'j Dense,
    one: &'j Dense,
    swapped: bool,
    pairs: Vec<Pair>,
}

/// Series that find each other.
struct Pair {
    many: u32,
    one: u32,
    /// Steps at which both may have values.
    span: Span,
    /// The first at which both have.
    first: u32,
}

impl Joined<'_> {
    /// The pairs that have a step in common, in order of `many`.
    fn find_pairs(&mut self, many: &[u32], ones: &By) {
        for (at, number) in (0..).zip(many) {
            let row = &self.many.rows[at as usize];
            for &one in ones.with(*number) {
                let Some(span) = both(span(row), span(&self.one.rows[one as usize])) else { continue };
                let (left, right) = self.numbers(at, one, span);
                let there = left.iter().zip(right).position(|(a, b)| !is_absent(*a) && !is_absent(*b));
                if let Some(there) = there {
                    self.pairs.push(Pair { many: at, one, span, first: span.0 + there as u32 });
                }
            }
        }
    }

    /// What both have in a span.
    fn numbers(&self, many: u32, one: u32, span: Span) -> (&[f64], &[f64]) {
        (part(self.many, many, span), part(self.one, one, span))
    }

    /// Puts the results of a pair into `out`, which begins at step 0.
    fn fill(&self, pair: &Pair, out: &mut [f64]) {
        let (many, one) = self.numbers(pair.many, pair.one, pair.span);
        let out = &mut out[pair.span.0 as usize..pair.span.1 as usize];
        let (a, b) = if self.swapped { (one, many) } else { (many, one) };
        // The frequent ones without a choice in the loop.
        match self.node.op {
            BinaryOp::Add => combine(a, b, out, |a, b| present(a + b)),
            BinaryOp::Sub => combine(a, b, out, |a, b| present(a - b)),
            BinaryOp::Mul => combine(a, b, out, |a, b| present(a * b)),
            BinaryOp::Div => combine(a, b, out, |a, b| present(a / b)),
            op if op.is_comparison() && self.node.return_bool => {
                combine(a, b, out, |a, b| number(holds(op, a, b)));
            }
            op if op.is_comparison() => combine(a, b, out, |a, b| if holds(op, a, b) { a } else { absent() }),
            op => combine(a, b, out, |a, b| arithmetic(op, a, b).map_or_else(absent, present)),
        }
    }

    /// Whether results have the labels of `many`, but for those of the metric.
    fn keeps_labels(&self) -> bool {
        match self.matching.cardinality {
            Cardinality::OneToOne => !self.matching.on && self.matching.labels.is_empty(),
            _ => self.matching.include.is_empty(),
        }
    }
}

/// What a row has in a span that it reaches over.
fn part(dense: &Dense, at: u32, (from, to): Span) -> &[f64] {
    let row = &dense.rows[at as usize];
    &dense.numbers(row)[(from - row.first) as usize..(to - row.first) as usize]
}

fn combine(a: &[f64], b: &[f64], out: &mut [f64], of: impl Fn(f64, f64) -> f64) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        if !is_absent(a) && !is_absent(b) {
            *out = of(a, b);
        }
    }
}

impl Evaluator<'_> {
    /// An operation between series; none where it must be done step by step.
    pub(in super::super) async fn join_dense(
        &mut self,
        node: &Binary,
        matching: &Matching,
        (left, right): (&Dense, &Dense),
        grid: Grid,
    ) -> Option<Dense> {
        let is_known = node.op.is_comparison() || arithmetic(node.op, 1.0, 1.0).is_some();
        if matching.fills() || !is_known {
            return None;
        }
        let sides = Sides::of(left, right, matching);
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let (of_many, of_one) =
            if swapped { (&sides.right, &sides.left) } else { (&sides.left, &sides.right) };
        let ones = By::of(of_one, sides.count);
        if ones.any_meet(&one.rows) {
            return None;
        }
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        if one_to_one && By::of(of_many, sides.count).any_meet(&many.rows) {
            return None;
        }
        let mut joined = Joined { node, matching, many, one, swapped, pairs: Vec::new() };
        joined.find_pairs(of_many, &ones);
        self.tick(many.rows.len() + one.rows.len()).await;
        if joined.keeps_labels() {
            self.join_alike(&joined, grid).await
        } else {
            self.join_listed(&joined, grid).await
        }
    }

    /// Results with the labels of `many`: none are built.
    async fn join_alike(&mut self, joined: &Joined<'_>, grid: Grid) -> Option<Dense> {
        let mut of_many: Vec<&[Pair]> = joined.pairs.chunk_by(|a, b| a.many == b.many).collect();
        // As step by step: those come first that have a result first.
        let first = |pairs: &&[Pair]| pairs.iter().map(|pair| pair.first).min();
        of_many.sort_by_key(first);
        let (mut dense, mut out) = (joined.many.like(), vec![absent(); grid.len()]);
        for pairs in of_many {
            let row = joined.many.rows[pairs[0].many as usize];
            out.fill(absent());
            pairs.iter().for_each(|pair| joined.fill(pair, &mut out));
            dense.push_in((row.group, row.series), 0, &out, joined.node.return_bool);
            self.tick(grid.len()).await;
        }
        let changes =
            !joined.node.op.is_comparison() || joined.node.return_bool && !self.delayed_name_removal;
        if changes && !dense.is_unnamed {
            if dense.may_become_alike() && any_alike(&dense, |name| !is_metadata(name)) {
                return None;
            }
            dense.is_unnamed = true;
        }
        Some(dense)
    }

    /// Results with labels of their own.
    async fn join_listed(&mut self, joined: &Joined<'_>, grid: Grid) -> Option<Dense> {
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut results: Vec<(Labels, Vec<&Pair>)> = Vec::new();
        for pair in &joined.pairs {
            let many = joined.many.labels(&joined.many.rows[pair.many as usize]);
            let one = joined.one.labels(&joined.one.rows[pair.one as usize]);
            let labels = pair_labels(joined.node, joined.matching, self.delayed_name_removal, &many, &one);
            match places.get(&labels) {
                Some(place) => results[*place].1.push(pair),
                None => {
                    places.insert(labels.clone(), results.len());
                    results.push((labels, vec![pair]));
                }
            }
        }
        self.tick(results.len()).await;
        if results.iter().any(|(_, pairs)| meet(pairs.iter().map(|pair| pair.span).collect())) {
            return None;
        }
        results.sort_by_key(|(_, pairs)| pairs.iter().map(|pair| (pair.first, pair.many)).min());
        let (mut listed, mut out) = (Listed::new(), vec![absent(); grid.len()]);
        for (labels, pairs) in results {
            out.fill(absent());
            pairs.iter().for_each(|pair| joined.fill(pair, &mut out));
            listed.push(labels, &out, joined.node.return_bool);
            self.tick(grid.len()).await;
        }
        Some(listed.finish())
    }
}
