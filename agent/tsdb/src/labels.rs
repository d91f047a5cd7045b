//! Which label sets, names and values there are: out of the index. Of samples it is only asked whether a slot of the
//! head has any in the range; a group of a sealed window, or one that is only in the log, counts with all of its slots.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use model::{Labels, Matcher};
use storage::{LabelQuery, QueryError, StreamInfo, TimeRange};

use crate::group::{Group, GroupKey, Matching};
use crate::sealed::SealedReader;
use crate::state::State;
use crate::store::Inner;
use crate::window::{SharedRows, WINDOW_MS};

/// A group with slots that pass.
struct Listed {
    group: Arc<Group>,
    slots: Arc<[u32]>,
    /// Those of them of which no sample was found yet.
    left: Vec<u32>,
}

impl Listed {
    /// The slots that count.
    fn held(&self) -> Arc<[u32]> {
        if self.left.is_empty() {
            return Arc::clone(&self.slots);
        }
        let mut missing = self.left.iter().peekable();
        self.slots.iter().filter(|slot| missing.next_if_eq(slot).is_none()).copied().collect()
    }
}

impl Inner {
    /// The label sets that pass, in order.
    pub(crate) fn label_sets(&self, query: &LabelQuery) -> Result<Vec<Labels>, QueryError> {
        let mut found = Vec::new();
        self.visit(query, |group, slots| {
            // A histogram's columns stand side by side.
            let mut before = None;
            let is_next = |slot: &&u32| {
                let own = Some(&group.layout.slots()[**slot as usize].labels);
                std::mem::replace(&mut before, own) != own
            };
            found.extend(slots.iter().filter(is_next).map(|&slot| group.series(slot)));
        })?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The names of their labels, in order.
    pub(crate) fn names(&self, query: &LabelQuery) -> Result<BTreeSet<String>, QueryError> {
        let mut found: BTreeSet<String> = BTreeSet::new();
        let mut seen = HashSet::new();
        self.visit(query, |group, slots| {
            let common = group.common();
            let mut names: BTreeSet<&str> = common.pairs().map(|(name, _)| name).collect();
            let renames = !group.is_own() && group.info().external.has(StreamInfo::AGENT);
            if seen.insert((renames, group.shape(), Arc::clone(slots))) {
                group.names(slots, &mut names);
            }
            names.retain(|name| !found.contains(*name));
            found.extend(names.into_iter().map(str::to_owned));
        })?;
        Ok(found)
    }

    /// The values of one of their labels, in order.
    pub(crate) fn values(&self, name: &str, query: &LabelQuery) -> Result<BTreeSet<String>, QueryError> {
        let mut found = BTreeSet::new();
        let mut seen = HashSet::new();
        self.visit(query, |group, slots| {
            let is_new = |like| seen.insert((like, Arc::clone(slots)));
            if group.values_like(name).is_none_or(is_new) {
                group.values(name, slots, &mut found);
            }
        })?;
        Ok(found)
    }

    /// Gives groups, and those of their slots, in order, that pass and may have samples in the range; those of
    /// several matcher sets several times.
    fn visit(
        &self,
        query: &LabelQuery,
        mut visit: impl FnMut(&Group, &Arc<[u32]>),
    ) -> Result<(), QueryError> {
        let all = [Vec::new()];
        let sets = if query.matcher_sets.is_empty() { &all[..] } else { &query.matcher_sets };
        for matchers in sets {
            for listed in self.listed(matchers, query.range)?.into_values() {
                let held = listed.held();
                if !held.is_empty() {
                    visit(&listed.group, &held);
                }
            }
        }
        Ok(())
    }

    fn listed(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<HashMap<GroupKey, Listed>, QueryError> {
        let mut matching = Matching::new(matchers);
        let mut listed = HashMap::new();
        // The head is looked at first: what is sealed meanwhile is found in both.
        let rows = self.state.read().listed(&mut matching, range, &mut listed);
        self.list_sealed(&mut matching, range, &mut listed)?;
        for (key, rows) in rows {
            if let Some(one) = listed.get_mut(&key).filter(|one| !one.left.is_empty()) {
                one.left = rows.lock().without(&one.left, range);
            }
        }
        Ok(listed)
    }

    /// A group of a sealed window with a row in the range counts with all of its slots.
    fn list_sealed(
        &self,
        matching: &mut Matching<'_>,
        range: TimeRange,
        listed: &mut HashMap<GroupKey, Listed>,
    ) -> Result<(), QueryError> {
        let Some(store) = self.vault.get() else { return Ok(()) };
        for window in self.vault.windows() {
            let own = TimeRange { start: window.start, end: window.start.saturating_add(WINDOW_MS - 1) };
            if !range.overlaps(&own) {
                continue;
            }
            let within = TimeRange { start: range.start.max(own.start), end: range.end.min(own.end) };
            let day = window.as_day();
            for window in day.iter().chain([&*window]) {
                for place in SealedReader::new(&store, window).groups(&self.state, within)? {
                    list_whole(listed, matching, &place.group);
                }
            }
        }
        Ok(())
    }
}

impl State {
    /// Groups outside the windows in memory, whole; those in them as far as they pass, and where their samples are.
    fn listed(
        &self,
        matching: &mut Matching<'_>,
        range: TimeRange,
        listed: &mut HashMap<GroupKey, Listed>,
    ) -> Vec<(GroupKey, SharedRows)> {
        for (stream, layout) in self.layouts_in_log(range) {
            let known =
                self.layouts.get(layout).and_then(|layout| Some((layout, self.layouts.shape(layout)?)));
            let Some((layout, shape)) = known else { continue };
            let owner = self.streams.get(stream);
            let group = Arc::new(Group::new(stream, owner, Arc::clone(layout), Arc::clone(shape)));
            list_whole(listed, matching, &group);
        }
        let mut found = Vec::new();
        for (start, window) in &self.head.windows {
            let end = start.saturating_add(WINDOW_MS - 1);
            if !self.head.answers(*start) || !range.overlaps(&TimeRange { start: *start, end }) {
                continue;
            }
            for (key, rows) in &window.groups {
                let Some(known) = self.head.find(key) else { continue };
                if let Entry::Vacant(place) = listed.entry(*key) {
                    let slots = matching.slots(&known.group);
                    let left = slots.to_vec();
                    place.insert(Listed { group: Arc::clone(&known.group), slots, left });
                }
                found.push((*key, Arc::clone(rows)));
            }
        }
        found
    }
}

fn list_whole(listed: &mut HashMap<GroupKey, Listed>, matching: &mut Matching<'_>, group: &Arc<Group>) {
    match listed.entry(group.key()) {
        Entry::Occupied(mut known) => known.get_mut().left.clear(),
        Entry::Vacant(place) => {
            let slots = matching.slots(group);
            place.insert(Listed { group: Arc::clone(group), slots, left: Vec::new() });
        }
    }
}
