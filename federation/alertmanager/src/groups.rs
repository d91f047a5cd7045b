//! The groups of one leader: who is in them and when they are due. Plain data, no I/O.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use model::Labels;

use crate::alert::Fingerprint;
use crate::grid::next_tick;

/// A group's number in one table.
pub(crate) type GroupId = u64;

/// Alerts that are told together.
#[derive(Debug)]
pub(crate) struct Group {
    /// Index of its route.
    pub(crate) route: usize,
    pub(crate) labels: Labels,
    pub(crate) key: Arc<str>,
    pub(crate) members: BTreeSet<Fingerprint>,
    pub(crate) first_flush: i64,
    pub(crate) interval: i64,
    /// Next tick, in grid time.
    pub(crate) due: i64,
    /// Integrations to look at again before the next tick, and when.
    pub(crate) retry: Option<(i64, BTreeSet<usize>)>,
    /// Integrations that are being told.
    pub(crate) running: HashSet<usize>,
    /// A tick came while something was being told.
    pub(crate) overdue: bool,
    /// Somebody was not told at the last tick.
    pub(crate) unfinished: bool,
    /// Members that were over at the last tick, and their `updated_at`.
    pub(crate) over: Vec<(Fingerprint, i64)>,
}

impl Group {
    fn wake(&self) -> i64 {
        self.retry.as_ref().map_or(self.due, |(at, _)| self.due.min(*at))
    }
}

/// Where a new group begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) first_flush: i64,
    pub(crate) interval: i64,
    /// Ticks up to here have run.
    pub(crate) ran_until: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    groups: HashMap<GroupId, Group>,
    ids: HashMap<(usize, Labels), GroupId>,
    of_alert: HashMap<Fingerprint, Vec<GroupId>>,
    /// Two routes can give their groups one key.
    keys: HashMap<Arc<str>, Vec<GroupId>>,
    /// May hold outdated entries: only one that equals the group's own time counts.
    queue: BinaryHeap<Reverse<(i64, GroupId)>>,
    next: GroupId,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn get_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(&id)
    }

    pub(crate) fn get(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    pub(crate) fn find(&self, route: usize, labels: &Labels) -> Option<GroupId> {
        self.ids.get(&(route, labels.clone())).copied()
    }

    /// Groups of that key.
    pub(crate) fn of_key(&self, key: &str) -> &[GroupId] {
        self.keys.get(key).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn holds(&self, alert: Fingerprint) -> bool {
        self.of_alert.contains_key(&alert)
    }

    pub(crate) fn create(&mut self, route: usize, labels: Labels, key: Arc<str>, start: Start) -> GroupId {
        let id = self.next;
        self.next += 1;
        let due = if start.first_flush > start.ran_until {
            start.first_flush
        } else {
            next_tick(start.first_flush, start.interval, start.ran_until)
        };
        self.ids.insert((route, labels.clone()), id);
        self.keys.entry(Arc::clone(&key)).or_default().push(id);
        self.queue.push(Reverse((due, id)));
        let group = Group {
            route,
            labels,
            key,
            members: BTreeSet::new(),
            first_flush: start.first_flush,
            interval: start.interval,
            due,
            retry: None,
            running: HashSet::new(),
            overdue: false,
            unfinished: false,
            over: Vec::new(),
        };
        self.groups.insert(id, group);
        id
    }

    pub(crate) fn join(&mut self, id: GroupId, alert: Fingerprint) {
        if self.groups.get_mut(&id).is_some_and(|group| group.members.insert(alert)) {
            self.of_alert.entry(alert).or_default().push(id);
        }
    }

    pub(crate) fn leave(&mut self, id: GroupId, alert: Fingerprint) {
        let was_member = self.groups.get_mut(&id).is_some_and(|group| group.members.remove(&alert));
        if let Some(groups) = self.of_alert.get_mut(&alert).filter(|_| was_member) {
            groups.retain(|it| *it != id);
            if groups.is_empty() {
                self.of_alert.remove(&alert);
            }
        }
    }

    /// Takes an alert out of every group; these may be empty now.
    pub(crate) fn forget(&mut self, alert: Fingerprint) -> Vec<GroupId> {
        let groups = self.of_alert.remove(&alert).unwrap_or_default();
        for id in &groups {
            if let Some(group) = self.groups.get_mut(id) {
                group.members.remove(&alert);
            }
        }
        groups
    }

    /// Removes a group that is empty and idle; returns its key if no other group has it.
    pub(crate) fn remove_if_empty(&mut self, id: GroupId) -> Option<Arc<str>> {
        self.groups.get(&id).filter(|group| group.members.is_empty() && group.running.is_empty())?;
        let group = self.groups.remove(&id)?;
        self.ids.remove(&(group.route, group.labels));
        let same = self.keys.get_mut(&group.key)?;
        same.retain(|it| *it != id);
        if same.is_empty() {
            self.keys.remove(&group.key);
            return Some(group.key);
        }
        None
    }

    /// Puts a group's time to tick or to retry into the queue, after it changed.
    pub(crate) fn queue(&mut self, id: GroupId) {
        if let Some(group) = self.groups.get(&id) {
            self.queue.push(Reverse((group.wake(), id)));
        }
    }

    /// When the next group wants something.
    pub(crate) fn next_wake(&mut self) -> Option<i64> {
        while let Some(Reverse((at, id))) = self.queue.peek() {
            if self.groups.get(id).is_some_and(|group| group.wake() == *at) {
                return Some(*at);
            }
            self.queue.pop();
        }
        None
    }

    /// A group that wants something by `now`.
    pub(crate) fn pop_due(&mut self, now: i64) -> Option<GroupId> {
        if self.next_wake()? > now {
            return None;
        }
        self.queue.pop().map(|Reverse((_, id))| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_due_in_order_and_once() {
        let mut table = Table::default();
        let start = |first_flush, ran_until| Start { first_flush, interval: 10, ran_until };
        let new = table.create(0, Labels::empty(), Arc::from("new"), start(50, 0));
        let old = table.create(1, Labels::empty(), Arc::from("old"), start(3, 20));
        assert_eq!(table.get(old).map(|group| group.due), Some(23), "the grid goes on after what ran");
        assert_eq!((table.pop_due(22), table.next_wake()), (None, Some(23)));
        assert_eq!((table.pop_due(60), table.pop_due(60), table.pop_due(60)), (Some(old), Some(new), None));
        if let Some(group) = table.get_mut(new) {
            group.due = 70;
            group.retry = Some((65, BTreeSet::new()));
        }
        table.queue(new);
        assert_eq!((table.pop_due(64), table.pop_due(65)), (None, Some(new)));
    }

    #[test]
    fn an_empty_group_goes_when_nothing_is_under_way() {
        let mut table = Table::default();
        let start = Start { first_flush: 1, interval: 10, ran_until: 0 };
        let id = table.create(0, Labels::empty(), Arc::from("k"), start);
        let twin = table.create(1, Labels::empty(), Arc::from("k"), start);
        let alert = Fingerprint(7);
        table.join(id, alert);
        table.join(id, alert);
        assert!(table.remove_if_empty(id).is_none() && table.holds(alert));
        assert_eq!(table.forget(alert), [id]);
        assert!(table.remove_if_empty(id).is_none(), "the key has another group");
        assert_eq!(table.remove_if_empty(twin).as_deref(), Some("k"));
        assert_eq!((table.len(), table.next_wake()), (0, None));
    }
}
