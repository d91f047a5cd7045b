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
/// Places of a table for each row, at most, and in any case: beyond that pairs are looked up.
const PLACES_PER_ROW: usize = 16;
const PLACES_MIN: usize = 4_096;

/// Numbers for the labels of series, as far as they count: equal ones have equal numbers, also in several tables.
#[derive(Default)]
pub(super) struct Numbering {
    targets: Known,
    slots: Known,
    both: Known,
}

/// Numbers of pairs of a target's labels and a slot's.
enum Pairs {
    /// All pairs that there could be: a row of the table is a target.
    Table { width: usize, numbers: Vec<u32> },
    /// Those that there are, where slots differ from target to target.
    Listed(HashMap<(u32, u32), u32>),
}

impl Pairs {
    fn new(targets: usize, slots: usize, rows: usize) -> Self {
        let places = targets.saturating_mul(slots);
        if places <= PLACES_MIN.max(rows.saturating_mul(PLACES_PER_ROW)) {
            return Self::Table { width: slots, numbers: vec![NONE; places] };
        }
        Self::Listed(HashMap::with_capacity(rows))
    }

    /// Where the number of a pair is.
    fn place(&mut self, target: u32, slot: u32) -> &mut u32 {
        match self {
            Self::Table { width, numbers } => &mut numbers[target as usize * *width + slot as usize],
            Self::Listed(known) => known.entry((target, slot)).or_insert(NONE),
        }
    }
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
        let mut pairs = Pairs::new(self.targets.all.len(), self.slots.all.len(), dense.rows.len());
        let mut numbers = Vec::with_capacity(dense.rows.len());
        for row in &dense.rows {
            let target = target_of[row.group as usize];
            let slot = slot_of[set_of[row.group as usize]][row.series as usize];
            let number = pairs.place(target, slot);
            if *number == NONE {
                let labels = self.targets.all[target as usize].overlaid(&self.slots.all[slot as usize]);
                *number = self.both.number(labels);
            }
            numbers.push(*number);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_there_could_be_do_not_outgrow_those_that_there_are() {
        for (targets, slots, rows) in [(3, 4, 12), (10_000, 10_000, 10_000), (1, 1 << 40, 5)] {
            let mut pairs = Pairs::new(targets, slots, rows);
            let places = match &pairs {
                Pairs::Table { numbers, .. } => numbers.len(),
                Pairs::Listed(known) => known.len(),
            };
            assert!(places <= PLACES_MIN.max(PLACES_PER_ROW * rows), "{places}");
            *pairs.place(targets as u32 - 1, 3) = 7;
            assert_eq!((*pairs.place(targets as u32 - 1, 3), *pairs.place(0, 0)), (7, NONE));
        }
    }
}
