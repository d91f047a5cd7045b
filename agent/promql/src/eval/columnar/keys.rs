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

impl Keys {
    /// Groups the rows of `dense`, which are taken in this order.
    pub(super) fn of(dense: &Dense, node: &Aggregate, order: &[u32]) -> Self {
        if node.grouping.is_empty() && !node.without {
            return Self { labels: vec![Labels::empty()], members: vec![order.to_vec()] };
        }
        let named = |name: &str| node.grouping.iter().any(|label| label == name);
        let keep = |name: &str| {
            let counts = if node.without { name != METRIC_NAME && !named(name) } else { named(name) };
            counts && !(dense.is_unnamed && is_metadata(name))
        };
        let (mut targets, mut slots) = (Known::default(), Known::default());
        let target_of: Vec<u32> =
            dense.groups.iter().map(|group| targets.number(group.target().filtered(keep))).collect();
        let (set_of, first_of) = slot_sets(&dense.groups);
        let mut of_set = |first: &usize| -> Vec<u32> {
            let group = &dense.groups[*first];
            (0..group.len()).map(|at| slots.number(group.slot(at).filtered(keep))).collect()
        };
        let slot_of: Vec<Vec<u32>> = first_of.iter().map(&mut of_set).collect();
        let mut pairs: Vec<Vec<u32>> = vec![Vec::new(); targets.all.len()];
        let (mut both, mut keys) = (Known::default(), Self::default());
        for &at in order {
            let row = &dense.rows[at as usize];
            let target = target_of[row.group as usize] as usize;
            let slot = slot_of[set_of[row.group as usize]][row.series as usize] as usize;
            let of_target = &mut pairs[target];
            if of_target.len() <= slot {
                of_target.resize(slot + 1, NONE);
            }
            if of_target[slot] == NONE {
                of_target[slot] = both.number(targets.all[target].overlaid(&slots.all[slot]));
                keys.members.resize_with(both.all.len(), Vec::new);
            }
            keys.members[of_target[slot] as usize].push(at);
        }
        keys.labels = both.all;
        keys
    }
}
