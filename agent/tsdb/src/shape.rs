//! Shapes: slots that equal exporters have in common, and which of them have which label. Matchers look at each
//! value of a label once, whatever the number of slots and of targets.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::{METRIC_NAME, MatchOp, Matcher};
use parking_lot::Mutex;
use storage::Slot;

use crate::memory::{allocated, shared};

/// Slots of a metric that are looked at one by one: of so few that takes less than sets do.
const FEW: usize = 16;
/// Names that are told by where they are, at most.
const SEEN_MAX: usize = 32;

/// The ordered slots of a page.
#[derive(Debug)]
pub(crate) struct Shape {
    slots: Arc<[Slot]>,
    /// Slots by the name of their metric, those of one in order: four bytes a series.
    by_name: Box<[u32]>,
    /// Names of labels that some slot has.
    names: BTreeSet<Arc<str>>,
    /// By label name, made when the first question comes for it.
    postings: Mutex<HashMap<Arc<str>, Arc<Postings>>>,
}

/// Which slots have which value of a label. Most values have one slot or a few, so they are lists; what is worked
/// with is a bit a slot.
#[derive(Debug)]
struct Postings {
    /// In order.
    values: Vec<Arc<str>>,
    /// Where each value's slots end in `slots`.
    ends: Vec<u32>,
    /// Each value's slots, in order.
    slots: Vec<u32>,
    /// Slots that have the label.
    any: Slots,
}

/// A set of slots, a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Slots(Vec<u64>);

impl Slots {
    fn none(slots: usize) -> Self {
        Self(vec![0; slots.div_ceil(64)])
    }

    fn all(slots: usize) -> Self {
        let mut all = Self(vec![u64::MAX; slots.div_ceil(64)]);
        if let Some(last) = all.0.last_mut().filter(|_| !slots.is_multiple_of(64)) {
            *last = u64::MAX >> (64 - slots % 64);
        }
        all
    }

    fn insert_all(&mut self, slots: &[u32]) {
        slots.iter().for_each(|slot| self.0[*slot as usize / 64] |= 1 << (slot % 64));
    }

    fn contains(&self, slot: u32) -> bool {
        self.0.get(slot as usize / 64).is_some_and(|word| word & 1 << (slot % 64) != 0)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn keep(&mut self, others: &Self) {
        self.0.iter_mut().zip(&others.0).for_each(|(word, other)| *word &= other);
    }

    fn remove(&mut self, others: &Self) {
        self.0.iter_mut().zip(&others.0).for_each(|(word, other)| *word &= !other);
    }

    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.0.len() as u32 * 64).filter(|slot| self.contains(*slot))
    }
}

impl Shape {
    pub(crate) fn new(slots: Arc<[Slot]>) -> Self {
        let mut names = BTreeSet::new();
        // Nearly all names are the same texts again.
        let mut seen: Vec<&Arc<str>> = Vec::new();
        for label in slots.iter().flat_map(|slot| slot.labels.iter()) {
            if seen.iter().any(|name| Arc::ptr_eq(name, &label.name)) {
                continue;
            }
            if seen.len() < SEEN_MAX {
                seen.push(&label.name);
            }
            if !names.contains(&label.name) {
                names.insert(Arc::clone(&label.name));
            }
        }
        let name = |slot: u32| Some((slots[slot as usize].labels.get(METRIC_NAME)?, slot));
        let mut by_name: Vec<(&str, u32)> = (0..slots.len() as u32).filter_map(name).collect();
        // Stable: the slots of one name stay in order.
        by_name.sort_by_key(|(name, _)| *name);
        let by_name: Vec<u32> = by_name.into_iter().map(|(_, slot)| slot).collect();
        let by_name = by_name.into();
        Self { slots, by_name, names, postings: Mutex::default() }
    }

    /// All slots in order.
    pub(crate) fn slots(&self) -> &Arc<[Slot]> {
        &self.slots
    }

    /// Names of labels that some slot has.
    pub(crate) fn names(&self) -> &BTreeSet<Arc<str>> {
        &self.names
    }

    /// The slots of a metric, in order.
    pub(crate) fn named(&self, name: &str) -> &[u32] {
        let of = |slot: &u32| self.slots[*slot as usize].labels.metric_name();
        let from = self.by_name.partition_point(|slot| of(slot) < name);
        let count = self.by_name[from..].partition_point(|slot| of(slot) == name);
        &self.by_name[from..from + count]
    }

    /// The slots that pass conditions, each with the value that a slot without the label counts as having;
    /// in order.
    pub(crate) fn matching(&self, conditions: &[(&Matcher, &str)]) -> Arc<[u32]> {
        let named = conditions.iter().find(|(matcher, other)| {
            matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal && *other != matcher.value()
        });
        let mut found = match named {
            Some((matcher, _)) => {
                let named = self.named(matcher.value());
                if named.len() <= FEW {
                    return named.iter().copied().filter(|slot| self.passes(*slot, conditions)).collect();
                }
                let mut found = Slots::none(self.slots.len());
                found.insert_all(named);
                found
            }
            None => Slots::all(self.slots.len()),
        };
        for condition in conditions.iter().filter(|one| named.is_none_or(|named| !std::ptr::eq(*one, named)))
        {
            if found.is_empty() {
                break;
            }
            self.narrow(&mut found, condition);
        }
        found.iter().collect()
    }

    /// One slot by itself.
    fn passes(&self, slot: u32, conditions: &[(&Matcher, &str)]) -> bool {
        let labels = &self.slots[slot as usize].labels;
        conditions.iter().all(|(matcher, other)| matcher.matches(labels.get(matcher.name()).unwrap_or(other)))
    }

    /// Leaves those that pass a condition.
    fn narrow(&self, found: &mut Slots, (matcher, other): &(&Matcher, &str)) {
        let passes_without = matcher.matches(other);
        let Some(postings) = self.postings(matcher.name()) else {
            if !passes_without {
                *found = Slots::default();
            }
            return;
        };
        // What is listed is the smaller part for either kind.
        let is_negative = matches!(matcher.op(), MatchOp::NotEqual | MatchOp::NotRegex);
        let listed = postings.union(matcher, !is_negative, self.slots.len());
        let mut rest = postings.any.clone();
        rest.remove(&listed);
        match (is_negative, passes_without) {
            (true, true) => found.remove(&listed),
            (true, false) => found.keep(&rest),
            (false, true) => found.remove(&rest),
            (false, false) => found.keep(&listed),
        }
    }

    /// Values of a label that some of these slots, which are in order, have.
    pub(crate) fn values(&self, name: &str, slots: &[u32]) -> Vec<Arc<str>> {
        let Some(postings) = self.postings(name) else { return Vec::new() };
        if slots.len() == self.slots.len() {
            return postings.values.clone();
        }
        let mut wanted = Slots::none(self.slots.len());
        wanted.insert_all(slots);
        let has = |at: &usize| postings.slots_of(*at).iter().any(|slot| wanted.contains(*slot));
        (0..postings.values.len()).filter(has).map(|at| Arc::clone(&postings.values[at])).collect()
    }

    /// Whether each of these slots has a label.
    pub(crate) fn all_have(&self, name: &str, slots: &[u32]) -> bool {
        self.postings(name).is_some_and(|postings| slots.iter().all(|slot| postings.any.contains(*slot)))
    }

    /// Who has what of a label that some slot has.
    fn postings(&self, name: &str) -> Option<Arc<Postings>> {
        let name = self.names.get(name)?;
        let mut known = self.postings.lock();
        if let Some(postings) = known.get(name) {
            return Some(Arc::clone(postings));
        }
        let postings = Arc::new(Postings::new(&self.slots, name));
        known.insert(Arc::clone(name), Arc::clone(&postings));
        Some(postings)
    }

    /// What it takes up, without what slots of several shapes share.
    pub(crate) fn bytes(&self) -> u64 {
        let postings: usize = self.postings.lock().values().map(|postings| postings.bytes()).sum();
        // Nodes of a tree are two thirds full, about.
        let names = self.names.len() * size_of::<Arc<str>>() * 3 / 2;
        shared(size_of_val(&*self.slots)) + allocated(size_of_val(&*self.by_name)) + (names + postings) as u64
    }

    /// Bytes that the index over slots takes up.
    pub(crate) fn index_bytes(&self) -> usize {
        let postings = self.postings.lock();
        size_of_val(&*self.by_name) + postings.values().map(|postings| postings.bytes()).sum::<usize>()
    }
}

impl Postings {
    fn new(all: &[Slot], name: &str) -> Self {
        let value =
            |slot: &Slot| Some(Arc::clone(&slot.labels.iter().find(|label| &*label.name == name)?.value));
        let mut entries: Vec<(Arc<str>, u32)> =
            (0..).zip(all).filter_map(|(at, slot)| Some((value(slot)?, at))).collect();
        entries.sort_unstable();
        let mut postings = Self {
            values: Vec::new(),
            ends: Vec::new(),
            slots: entries.iter().map(|(_, slot)| *slot).collect(),
            any: Slots::none(all.len()),
        };
        postings.any.insert_all(&postings.slots);
        let mut end = 0;
        for one in entries.chunk_by(|one, other| one.0 == other.0) {
            end += one.len() as u32;
            postings.ends.push(end);
            postings.values.extend(one.first().map(|(value, _)| Arc::clone(value)));
        }
        postings
    }

    /// The slots of the value at a place.
    fn slots_of(&self, at: usize) -> &[u32] {
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.slots[from as usize..self.ends[at] as usize]
    }

    /// Of so many slots those with a value that a matcher lets pass, or does not.
    fn union(&self, matcher: &Matcher, passing: bool, slots: usize) -> Slots {
        let mut union = Slots::none(slots);
        if let Some(listed) = matcher.values().filter(|_| passing) {
            for value in listed {
                let place = self.values.binary_search_by(|known| (**known).cmp(value.as_str()));
                place.into_iter().for_each(|at| union.insert_all(self.slots_of(at)));
            }
            return union;
        }
        let prefix = if passing { matcher.prefix() } else { "" };
        let from = self.values.partition_point(|value| **value < *prefix);
        for at in from..self.values.len() {
            let value = &self.values[at];
            if !value.starts_with(prefix) {
                break;
            }
            if matcher.matches(value) == passing {
                union.insert_all(self.slots_of(at));
            }
        }
        union
    }

    fn bytes(&self) -> usize {
        self.values.len() * (size_of::<Arc<str>>() + 4) + self.slots.len() * 4 + self.any.0.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use model::{Labels, Metadata};
    use proptest::prelude::*;

    use super::*;

    fn shape(slots: Vec<Labels>) -> Shape {
        Shape::new(slots.into_iter().map(|labels| Slot::new(labels, Metadata::default())).collect())
    }

    #[test]
    fn conditions_see_a_default_where_a_slot_has_no_such_label() {
        let slots = [("a", "x"), ("b", "x"), ("b", "")];
        let slots = slots.map(|(name, device)| Labels::from_pairs([(METRIC_NAME, name), ("device", device)]));
        let shape = shape(slots.to_vec());
        let name = Matcher::equal(METRIC_NAME, "b");
        let device = Matcher::equal("device", "d");
        assert_eq!(*shape.matching(&[(&name, "")]), [1, 2]);
        assert_eq!(*shape.matching(&[(&name, ""), (&device, "d")]), [2]);
        assert_eq!(*shape.matching(&[(&device, "")]), [] as [u32; 0]);
        assert_eq!(*shape.matching(&[]), [0, 1, 2]);
        assert!(shape.index_bytes() > 0);
    }

    fn any_condition() -> impl Strategy<Value = (Matcher, &'static str)> {
        let name = prop::sample::select(vec![METRIC_NAME, "a", "b", "never"]);
        let value =
            prop::sample::select(vec!["", "x", "xy", "m1", "x|m1", "x.*", ".*y", "m[0-3]", ".+", "z"]);
        let op =
            prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
        (name, value, op, prop::sample::select(vec!["", "x", "zz"]))
            .prop_map(|(name, value, op, other)| (Matcher::new(name, op, value).expect("valid"), other))
    }

    proptest! {
        /// The index gives what a look at every slot gives.
        #[test]
        fn bitmaps_are_a_look_at_every_slot(
            names in prop::collection::vec(0..3u8, 1..80), values in prop::collection::vec((0..4usize, 0..4usize), 80),
            conditions in prop::collection::vec(any_condition(), 0..4), picked in prop::collection::vec(any::<bool>(), 80),
        ) {
            let value = |at: usize| ["", "x", "xy", "zy"][at];
            let labels = names.iter().zip(&values).map(|(name, (a, b))| {
                Labels::from_pairs([(METRIC_NAME, format!("m{name}").as_str()), ("a", value(*a)), ("b", value(*b))])
            });
            let shape = shape(labels.collect());
            let conditions: Vec<_> = conditions.iter().map(|(matcher, other)| (matcher, *other)).collect();
            let all = 0..names.len() as u32;
            let naive: Vec<u32> = all.clone().filter(|slot| shape.passes(*slot, &conditions)).collect();
            prop_assert_eq!(&*shape.matching(&conditions), &naive[..]);
            let slots: Vec<u32> = all.filter(|slot| picked[*slot as usize]).collect();
            for name in [METRIC_NAME, "a", "b", "never"] {
                let has = |slot: &&u32| shape.slots()[**slot as usize].labels.has(name);
                let with = slots.iter().filter(has);
                let naive: BTreeSet<&str> = with.map(|slot| shape.slots()[*slot as usize].labels.value(name)).collect();
                let found = shape.values(name, &slots);
                prop_assert_eq!(found.iter().map(|value| &**value).collect::<Vec<_>>(), naive.into_iter().collect::<Vec<_>>());
                let is_known = shape.names().contains(name);
                prop_assert_eq!(shape.all_have(name, &slots), is_known && slots.iter().all(|slot| has(&slot)));
            }
        }
    }
}
