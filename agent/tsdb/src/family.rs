//! Groups that may have series in common, put together: what a reader sees is one group, in which each series is
//! once, whatever streams and layouts its samples came in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::{INSTANCE, Labels};
use storage::SeriesGroup;

use crate::group::Group;

/// A group with the slots that pass, in order.
#[derive(Clone, Debug)]
pub(crate) struct Picked {
    pub(crate) group: Arc<Group>,
    pub(crate) slots: Arc<[u32]>,
}

/// Groups that are read together.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) series: Arc<SeriesGroup>,
    pub(crate) members: Vec<FamilyMember>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct FamilyMember {
    /// Its position among all.
    pub(crate) at: usize,
    /// The series of each of its slots.
    pub(crate) series: Arc<[u32]>,
}

/// Groups by the labels that all their series have, then those together that share a series nevertheless.
pub(crate) fn families(all: &[Picked]) -> Vec<Vec<usize>> {
    let mut by_common: BTreeMap<Labels, Vec<usize>> = BTreeMap::new();
    for (at, picked) in all.iter().enumerate() {
        by_common.entry(picked.group.common()).or_default().push(at);
    }
    let (commons, mut families): (Vec<Labels>, Vec<Vec<usize>>) = by_common.into_iter().unzip();
    let suspects = suspects(&commons, &families, all);
    for (into, from) in sharing(&suspects, &families, all) {
        let moved = std::mem::take(&mut families[from]);
        families[into].extend(moved);
    }
    families.retain(|family| !family.is_empty());
    families
}

/// Those that may share a series with another: an instance tells nearly all of them apart.
fn suspects(commons: &[Labels], families: &[Vec<usize>], all: &[Picked]) -> Vec<usize> {
    let mut by_instance: HashMap<&str, usize> = HashMap::new();
    for common in commons {
        *by_instance.entry(common.value(INSTANCE)).or_default() += 1;
    }
    let is_odd = |family: &Vec<usize>| family.iter().any(|&at| all[at].group.overrides_common());
    let any_odd = families.iter().any(is_odd);
    let any_without = by_instance.contains_key("") && commons.len() > 1;
    let is_suspect = |common: &Labels| {
        any_odd || any_without || by_instance.get(common.value(INSTANCE)).is_some_and(|count| *count > 1)
    };
    (0..commons.len()).filter(|&at| is_suspect(&commons[at])).collect()
}

/// Pairs of families, the second to become part of the first.
fn sharing(suspects: &[usize], families: &[Vec<usize>], all: &[Picked]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    if suspects.len() < 2 {
        return pairs;
    }
    // By hash first: no label set is made of a series that is alone.
    let mut owners: HashMap<u64, usize> = HashMap::new();
    let mut shared: HashSet<u64> = HashSet::new();
    for &family in suspects {
        for &at in &families[family] {
            for_each_hash(&all[at], |hash, _| {
                if *owners.entry(hash).or_insert(family) != family {
                    shared.insert(hash);
                }
            });
        }
    }
    if shared.is_empty() {
        return pairs;
    }
    let mut root: Vec<usize> = (0..families.len()).collect();
    let mut known: HashMap<Labels, usize> = HashMap::new();
    for &family in suspects {
        for &at in &families[family] {
            for_each_hash(&all[at], |hash, slot| {
                if !shared.contains(&hash) {
                    return;
                }
                let other = *known.entry(all[at].group.series(slot)).or_insert(family);
                let (one, two) = (root_of(&root, family), root_of(&root, other));
                if one != two {
                    root[one.max(two)] = one.min(two);
                }
            });
        }
    }
    pairs.extend((0..families.len()).map(|at| (root_of(&root, at), at)).filter(|(root, at)| root != at));
    pairs
}

fn root_of(root: &[usize], mut at: usize) -> usize {
    while root[at] != at {
        at = root[at];
    }
    at
}

/// Gives each slot's series as a hash that is the same wherever its labels stand.
fn for_each_hash(picked: &Picked, mut give: impl FnMut(u64, u32)) {
    let Picked { group, slots } = picked;
    let odd = group.overrides_common();
    let common = if odd { 0 } else { hash_of(&group.common()) };
    for &slot in slots.iter() {
        let own = &group.layout.slots()[slot as usize];
        if own.begins_series() {
            let rest = if odd { hash_of(&group.series(slot)) } else { hash_of(&own.labels) };
            give(common.wrapping_add(rest), slot);
        }
    }
}

/// The sum of the labels' hashes.
fn hash_of(labels: &Labels) -> u64 {
    labels.pairs().fold(0, |sum: u64, (name, value)| {
        let name = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
        sum.wrapping_add(xxhash_rust::xxh3::xxh3_64_with_seed(value.as_bytes(), name))
    })
}

impl Family {
    pub(crate) fn new(all: &[Picked], members: &[usize]) -> Self {
        let Some((&first, rest)) = members.split_first() else {
            let series = SeriesGroup::listed(Labels::empty(), Arc::from([]));
            return Self { series: Arc::new(series), members: Vec::new() };
        };
        let one = &all[first];
        let common = one.group.common();
        let is_one = rest.iter().all(|&at| all[at].group.common() == common);
        let is_plain = is_one && members.iter().all(|&at| !all[at].group.overrides_common());
        let slots = one.group.layout.shared_slots();
        let is_like = |at: &usize| {
            let other = &all[*at];
            Arc::ptr_eq(other.group.layout.shared_slots(), slots) && other.slots == one.slots
        };
        if is_plain && rest.iter().all(is_like) {
            return Self::of_shape(one, common, members);
        }
        let mut known: HashMap<Labels, u32> = HashMap::new();
        let mut listed: Vec<Labels> = Vec::new();
        let mut number = |labels: Labels| {
            *known.entry(labels).or_insert_with_key(|labels| {
                listed.push(labels.clone());
                listed.len() as u32 - 1
            })
        };
        let member = |&at: &usize| {
            let Picked { group, slots } = &all[at];
            let labels = |slot: u32| match is_plain {
                true => group.layout.slots()[slot as usize].labels.clone(),
                false => group.series(slot),
            };
            FamilyMember { at, series: slots.iter().map(|&slot| number(labels(slot))).collect() }
        };
        let members = members.iter().map(member).collect();
        let target = if is_one { common } else { Labels::empty() };
        Self { series: Arc::new(SeriesGroup::listed(target, listed.into())), members }
    }

    /// All have the same slots of one shape.
    fn of_shape(one: &Picked, target: Labels, members: &[usize]) -> Self {
        let all = one.group.layout.slots();
        let mut begun = 0;
        let number = |&slot: &u32| {
            begun += u32::from(all[slot as usize].begins_series());
            begun.saturating_sub(1)
        };
        let series: Arc<[u32]> = one.slots.iter().map(number).collect();
        let begins = |slot: &u32| all[*slot as usize].begins_series();
        let picked = match one.group.layout.has_histograms() {
            false => Arc::clone(&one.slots),
            true => one.slots.iter().copied().filter(begins).collect(),
        };
        let shape = Arc::clone(one.group.layout.shared_slots());
        let member = |&at: &usize| FamilyMember { at, series: Arc::clone(&series) };
        Self {
            series: Arc::new(SeriesGroup::of_shape(target, shape, picked)),
            members: members.iter().map(member).collect(),
        }
    }
}
