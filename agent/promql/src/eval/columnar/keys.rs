//! Which series belong together: a group's labels and a slot's are looked at once each, and no label set is built for
//! a series.

use std::collections::HashMap;

use model::{Labels, METRIC_NAME};

use super::super::column::is_metadata;
use super::dense::Dense;
use super::order::slot_sets;
use crate::ast::Aggregate;

/// No key yet.
const NONE: u32 = u32::MAX;

/// Numbers for the labels of series, as far as they count: equal ones have equal numbers, also in several tables.
#[derive(Default)]
pub(super) struct Numbering {
    targets: Known,
    slots: Known,
    both: Known,
    /// Of each target's labels the numbers by those of slots.
    pairs: Vec<Vec<u32>>,
}

/// The groups of an aggregation.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Labels of each, in order of their first series.
    pub(super) labels: Vec<Labels>,
    /// Of each the positions of its series, in order.
    pub(super) members: Vec<Vec<u32>>,
}

/// Label sets with numbers.
#[derive(Default)]
struct Known {
    numbers: HashMap<Labels, u32>,
    all: Vec<Labels>,
}

impl Known {
    fn number(&mut self, labels: Labels) -> u32 {
        *self.numbers.entry(labels).or_insert_with_key(|labels| {
            self.all.push(labels.clone());
            self.all.len() as u32 - 1
        })
    }
}

impl Numbering {
    /// The numbers of all rows' labels, of which those count that `keep` does not refuse.
    pub(super) fn rows(&mut self, dense: &Dense, keep: impl Fn(&str) -> bool) -> Vec<u32> {
        let keep = |name: &str| keep(name) && !(dense.is_unnamed && is_metadata(name));
        let target_of: Vec<u32> =
            dense.groups.iter().map(|group| self.targets.number(group.target().filtered(keep))).collect();
        let (set_of, first_of) = slot_sets(&dense.groups);
        let mut of_set = |first: &usize| -> Vec<u32> {
            let group = &dense.groups[*first];
            (0..group.len()).map(|at| self.slots.number(group.slot(at).filtered(keep))).collect()
        };
        let slot_of: Vec<Vec<u32>> = first_of.iter().map(&mut of_set).collect();
        self.pairs.resize(self.targets.all.len(), Vec::new());
        let mut numbers = Vec::with_capacity(dense.rows.len());
        for row in &dense.rows {
            let target = target_of[row.group as usize] as usize;
            let slot = slot_of[set_of[row.group as usize]][row.series as usize] as usize;
            let of_target = &mut self.pairs[target];
            if of_target.len() <= slot {
                of_target.resize(slot + 1, NONE);
            }
            if of_target[slot] == NONE {
                let labels = self.targets.all[target].overlaid(&self.slots.all[slot]);
                of_target[slot] = self.both.number(labels);
            }
            numbers.push(of_target[slot]);
        }
        numbers
    }

    /// How many numbers there are.
    pub(super) fn count(&self) -> usize {
        self.both.all.len()
    }

    /// The labels of a number.
    pub(super) fn labels(&self, number: u32) -> &Labels {
        &self.both.all[number as usize]
    }
}

impl Keys {
    /// Groups the rows of `dense`, which are taken in this order.
    pub(super) fn of(dense: &Dense, node: &Aggregate, order: &[u32]) -> Self {
        if node.grouping.is_empty() && !node.without {
            return Self { labels: vec![Labels::empty()], members: vec![order.to_vec()] };
        }
        Self::by(dense, order, |name| groups_by(node, name))
    }

    /// The same by all labels that `keep` does not refuse.
    pub(super) fn by(dense: &Dense, order: &[u32], keep: impl Fn(&str) -> bool) -> Self {
        let mut numbering = Numbering::default();
        let numbers = numbering.rows(dense, keep);
        let (mut places, mut keys) = (vec![NONE; numbering.count()], Self::default());
        for &at in order {
            let number = numbers[at as usize];
            let place = &mut places[number as usize];
            if *place == NONE {
                *place = keys.labels.len() as u32;
                keys.labels.push(numbering.labels(number).clone());
                keys.members.push(Vec::new());
            }
            keys.members[*place as usize].push(at);
        }
        keys
    }
}

/// Whether an aggregation groups by a label of that name.
pub(super) fn groups_by(node: &Aggregate, name: &str) -> bool {
    let named = node.grouping.iter().any(|label| label == name);
    if node.without { name != METRIC_NAME && !named } else { named }
}
