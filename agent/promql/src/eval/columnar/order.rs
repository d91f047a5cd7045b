//! Series in the order of their labels without building label sets: each distinct label gets a number, in order of
//! names and values, and a series is the numbers of its labels.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Label, Labels};
use storage::SeriesGroup;

use super::super::column::is_metadata;
use super::dense::{Dense, Row};

/// Label sets of slots that are compared with before they count as others.
const SETS_TRIED: usize = 4;

/// What stands for the labels of all rows.
struct Codes {
    rows: usize,
    /// Of each row `width` numbers, ascending; 0 where it has fewer labels.
    all: Vec<u32>,
    width: usize,
    /// Bits that a number takes up.
    bits: u32,
}

/// The labels of groups and their slots, by number.
struct Numbered {
    targets: Vec<Vec<u32>>,
    /// Of each group its place in `sets`.
    set_of: Vec<usize>,
    sets: Vec<Vec<Vec<u32>>>,
    /// Of each label the number of its name.
    names: Vec<u32>,
}

/// Positions of the rows in the order in which the evaluation series by series has them: what comes from the store
/// in order of the whole label sets that series have there.
pub(super) fn in_order(dense: &Dense) -> Vec<u32> {
    if dense.is_ordered {
        return (0..dense.rows.len() as u32).collect();
    }
    let codes = Codes::of(dense, |_| true);
    codes.sorted()
}

/// Puts rows in that order.
pub(super) fn put_in_order(dense: &mut Dense) {
    if !dense.is_ordered {
        dense.rows = in_order(dense).into_iter().map(|at| dense.rows[at as usize]).collect();
        dense.is_ordered = true;
    }
}

/// Whether two rows have the same labels, but for those that `keep` refuses or that are gone.
pub(super) fn any_alike(dense: &Dense, keep: impl Fn(&str) -> bool) -> bool {
    let codes = Codes::of(dense, |name| keep(name) && !(dense.is_unnamed && is_metadata(name)));
    let order = codes.sorted();
    order.windows(2).any(|pair| codes.row(pair[0]) == codes.row(pair[1]))
}

/// Sets of slots that groups have in common: a place for each group.
pub(super) fn slot_sets(groups: &[Arc<SeriesGroup>]) -> (Vec<usize>, Vec<usize>) {
    let (mut first_of, mut set_of) = (Vec::<usize>::new(), Vec::with_capacity(groups.len()));
    for (at, group) in groups.iter().enumerate() {
        let known = (0..first_of.len()).rev().take(SETS_TRIED);
        let mut known = known.filter(|set| groups[first_of[*set]].has_slots_of(group));
        set_of.push(known.next().unwrap_or_else(|| {
            first_of.push(at);
            first_of.len() - 1
        }));
    }
    (set_of, first_of)
}

impl Numbered {
    fn of(dense: &Dense, keep: impl Fn(&str) -> bool) -> Self {
        let (set_of, first_of) = slot_sets(&dense.groups);
        let mut seen = Seen { known: HashMap::new(), all: Vec::new() };
        let mut number = |labels| seen.number(labels, &keep);
        let mut targets: Vec<Vec<u32>> = dense.groups.iter().map(|group| number(group.target())).collect();
        let of_set = |first: &usize| {
            let group = &dense.groups[*first];
            (0..group.len()).map(|at| number(group.slot(at))).collect()
        };
        let mut sets: Vec<Vec<Vec<u32>>> = first_of.iter().map(of_set).collect();
        let (ranks, names) = seen.ranks();
        let lists = targets.iter_mut().chain(sets.iter_mut().flatten());
        lists.flatten().for_each(|number| *number = ranks[*number as usize]);
        Self { targets, set_of, sets, names }
    }

    /// Appends the numbers of a row's labels; where both have a name, the slot's own counts.
    fn row(&self, row: &Row, out: &mut Vec<u32>) {
        let mut target = self.targets[row.group as usize].iter().peekable();
        let own = &self.sets[self.set_of[row.group as usize]][row.series as usize];
        let name = |number: u32| self.names[number as usize];
        for &label in own {
            while let Some(&other) = target.next_if(|other| name(**other) < name(label)) {
                out.push(other);
            }
            target.next_if(|other| name(**other) == name(label));
            out.push(label);
        }
        out.extend(target);
    }
}

/// Labels in the order in which they came.
struct Seen<'l> {
    known: HashMap<&'l Label, u32>,
    all: Vec<&'l Label>,
}

impl<'l> Seen<'l> {
    fn number(&mut self, labels: &'l Labels, keep: &impl Fn(&str) -> bool) -> Vec<u32> {
        let mut number = |label| {
            *self.known.entry(label).or_insert_with(|| {
                self.all.push(label);
                self.all.len() as u32 - 1
            })
        };
        labels.iter().filter(|label| keep(&label.name)).map(&mut number).collect()
    }

    /// Of each label its place in order, from 1, and of each place the number of its name.
    fn ranks(&self) -> (Vec<u32>, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.all.len() as u32).collect();
        order.sort_unstable_by_key(|at| self.all[*at as usize]);
        let (mut ranks, mut names) = (vec![0; order.len()], vec![0]);
        let mut before: Option<&Label> = None;
        for (rank, &at) in (1..).zip(&order) {
            let label = self.all[at as usize];
            let is_new = before.replace(label).is_none_or(|before| before.name != label.name);
            ranks[at as usize] = rank;
            names.push(names[rank as usize - 1] + u32::from(is_new));
        }
        (ranks, names)
    }
}

impl Codes {
    fn of(dense: &Dense, keep: impl Fn(&str) -> bool) -> Self {
        let numbered = Numbered::of(dense, keep);
        let longest = |lists: &mut dyn Iterator<Item = usize>| lists.max().unwrap_or(0);
        let width = longest(&mut numbered.targets.iter().map(Vec::len))
            + longest(&mut numbered.sets.iter().flatten().map(Vec::len));
        let mut codes = Self {
            rows: dense.rows.len(),
            all: Vec::with_capacity(dense.rows.len() * width),
            width,
            bits: u32::BITS - (numbered.names.len() as u32).leading_zeros(),
        };
        for (at, row) in (1..).zip(&dense.rows) {
            numbered.row(row, &mut codes.all);
            codes.all.resize(at * width, 0);
        }
        codes
    }

    fn row(&self, at: u32) -> &[u32] {
        &self.all[at as usize * self.width..][..self.width]
    }

    fn sorted(&self) -> Vec<u32> {
        if self.width > 0 && self.bits as usize * self.width <= 128 {
            let key = |row: &[u32]| row.iter().fold(0_u128, |key, code| key << self.bits | u128::from(*code));
            let mut keys: Vec<(u128, u32)> = self.all.chunks_exact(self.width).map(key).zip(0..).collect();
            keys.sort_unstable();
            return keys.into_iter().map(|(_, at)| at).collect();
        }
        let mut order: Vec<u32> = (0..self.rows as u32).collect();
        order.sort_by(|a, b| self.row(*a).cmp(self.row(*b)));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    fn dense(groups: Vec<SeriesGroup>) -> Dense {
        let mut dense = Dense::default();
        for group in groups {
            let group = Arc::new(group);
            dense.begin(&group, group.len());
            for at in 0..group.len() {
                assert_eq!(dense.push(at, &[1.0]), 1);
            }
        }
        dense
    }

    #[test]
    fn the_order_is_that_of_whole_label_sets() {
        let slots: Arc<[Labels]> = [
            labels(&[("__name__", "b"), ("z", "1")]),
            labels(&[("__name__", "a"), ("zone", "own")]),
            labels(&[("__name__", "a"), ("cpu", "10")]),
            labels(&[("__name__", "a"), ("cpu", "9")]),
            labels(&[]),
        ]
        .into();
        let groups: Vec<SeriesGroup> =
            [&[("instance", "y"), ("zone", "1")][..], &[("instance", "x")], &[("a", "b")]]
                .map(|target| SeriesGroup::listed(labels(target), Arc::clone(&slots)))
                .into();
        let dense = dense(groups);
        let of = |at: u32| dense.labels(&dense.rows[at as usize]);
        let mut wanted: Vec<u32> = (0..dense.rows.len() as u32).collect();
        wanted.sort_by_key(|at| of(*at));
        assert_eq!(in_order(&dense), wanted);
        assert!(!any_alike(&dense, |_| true));
        assert!(any_alike(&dense, |name| name == "__name__"));
    }

    #[test]
    fn no_labels_are_in_order_too() {
        let dense = dense(vec![SeriesGroup::listed(Labels::empty(), [Labels::empty()].into())]);
        assert_eq!(in_order(&dense), [0]);
    }
}
