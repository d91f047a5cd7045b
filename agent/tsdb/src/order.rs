//! The order of own samples: how far each group has come, and which groups share series with it. A row after
//! all of those is in order without a look at any series.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use model::{INSTANCE, Labels};
use parking_lot::Mutex;

use crate::group::Group;
use crate::memory::allocated;

/// An own group's place in the order.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) group: Arc<Group>,
    /// Time of its newest row.
    newest: AtomicI64,
    /// Rows after it do not count: a clock wrote them that was ahead.
    limit: AtomicI64,
    /// Others that have one of its series.
    sharing: Mutex<Vec<Weak<Order>>>,
}

impl Order {
    /// Takes note of a row.
    pub(crate) fn came_to(&self, timestamp: i64) {
        self.newest.fetch_max(timestamp, Ordering::Relaxed);
    }

    fn has_come_to(&self, timestamp: i64) -> bool {
        self.newest.load(Ordering::Relaxed).min(self.limit()) >= timestamp
    }

    /// The last time that counts.
    pub(crate) fn limit(&self) -> i64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Rows after a time do not count, or all do again.
    pub(crate) fn set_limit(&self, limit: i64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Whether a row of that time is after all rows that may hold one of its series.
    pub(crate) fn is_news(&self, timestamp: i64) -> bool {
        let sharing = self.sharing.lock();
        let mut others = sharing.iter().filter_map(Weak::upgrade);
        !self.has_come_to(timestamp) && others.all(|other| !other.has_come_to(timestamp))
    }

    /// Those with one of its series, itself among them, that have come to a time.
    pub(crate) fn since(self: &Arc<Self>, timestamp: i64) -> Vec<Arc<Self>> {
        let mut found: Vec<_> = self.sharing.lock().iter().filter_map(Weak::upgrade).collect();
        found.push(Arc::clone(self));
        found.retain(|order| order.has_come_to(timestamp));
        found
    }
}

/// All own groups by target; those that nobody holds are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    targets: HashMap<Labels, Vec<Weak<Order>>>,
    /// Targets by their `instance`, which nearly all have: empty for those without.
    by_instance: HashMap<Arc<str>, Vec<Labels>>,
}

impl Orders {
    /// Gives a new group its place.
    pub(crate) fn add(&mut self, group: &Arc<Group>) -> Arc<Order> {
        let order = Arc::new(Order {
            group: Arc::clone(group),
            newest: AtomicI64::new(i64::MIN),
            limit: AtomicI64::new(i64::MAX),
            sharing: Mutex::default(),
        });
        let target = group.layout.target();
        for other in self.relatives(target) {
            if group.shares_with(&other.group) {
                other.sharing.lock().push(Arc::downgrade(&order));
                order.sharing.lock().push(Arc::downgrade(&other));
            }
        }
        if !self.targets.contains_key(target) {
            self.by_instance.entry(target.value(INSTANCE).into()).or_default().push(target.clone());
        }
        self.targets.entry(target.clone()).or_default().push(Arc::downgrade(&order));
        order
    }

    /// The groups of targets that may have a series in common with this one: no label has two values in both.
    fn relatives(&self, target: &Labels) -> Vec<Arc<Order>> {
        let instance = target.value(INSTANCE);
        let near: Vec<&Vec<Labels>> = if instance.is_empty() {
            self.by_instance.values().collect()
        } else {
            [instance, ""].iter().filter_map(|key| self.by_instance.get(*key)).collect()
        };
        let related = |other: &&&Labels| {
            target.iter().all(|label| other.get(&label.name).is_none_or(|value| *value == *label.value))
        };
        let targets = near.into_iter().flatten().collect::<Vec<_>>();
        let groups = targets.iter().filter(related).filter_map(|other| self.targets.get(*other));
        groups.flatten().filter_map(Weak::upgrade).collect()
    }

    /// What its tables take up.
    pub(crate) fn bytes(&self) -> u64 {
        let targets = self.targets.capacity() * (size_of::<(Labels, Vec<Weak<Order>>)>() + 1);
        let instances = self.by_instance.capacity() * (size_of::<(Arc<str>, Vec<Labels>)>() + 1);
        // Most lists have a group or two.
        allocated(targets) + allocated(instances) + (self.targets.len() + self.by_instance.len()) as u64 * 64
    }

    /// Forgets groups that nobody holds.
    pub(crate) fn tidy(&mut self) {
        self.targets.retain(|_, groups| {
            groups.retain(|order| order.strong_count() > 0);
            for order in groups.iter().filter_map(Weak::upgrade) {
                order.sharing.lock().retain(|other| other.strong_count() > 0);
            }
            !groups.is_empty()
        });
        let targets = &self.targets;
        self.by_instance.retain(|_, labels| {
            labels.retain(|labels| targets.contains_key(labels));
            !labels.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use model::METRIC_NAME;
    use storage::{Epoch, Layout, Slot, StreamId, StreamInfo};

    use super::*;
    use crate::layouts::Layouts;
    use crate::streams::Streams;

    /// A group of a target given as pairs, with series given by name and the label `x`.
    fn group(target: &[(&str, &str)], series: &[(&str, &str)]) -> Arc<Group> {
        let slot = |&(name, x): &(&str, &str)| Slot {
            labels: Labels::from_pairs([(METRIC_NAME, name), ("x", x)]),
            metadata: Arc::default(),
            part: None,
        };
        let target = Labels::from_pairs(target.iter().copied());
        let mut layouts = Layouts::default();
        let layout = layouts.add(Layout::new(target, series.iter().map(slot).collect()).expect("valid"));
        let mut streams = Streams::default();
        let id = StreamId { agent: "n".into(), epoch: Epoch(1) };
        let no = streams.open(StreamInfo { id, minted_ms: 0, external: Labels::empty() }, true);
        let shape = Arc::clone(layouts.shape(&layout).expect("known"));
        Arc::new(Group::new(no, streams.get(no), layout, shape))
    }

    #[test]
    fn only_groups_that_share_a_series_hold_a_row_up() {
        let mut orders = Orders::default();
        let a = [("instance", "a"), ("job", "n")];
        let page = orders.add(&group(&a, &[("m", "1"), ("m", "2"), ("k", "")]));
        let report = orders.add(&group(&a, &[("up", "")]));
        let later = orders.add(&group(&a, &[("m", "2"), ("m", "3")]));
        let other = orders.add(&group(&[("instance", "b"), ("job", "n")], &[("m", "1")]));
        // Their slots say what the others' targets do.
        let bare = orders.add(&group(&[("job", "n"), ("instance", "a"), ("x", "1")], &[("m", "")]));
        page.came_to(10);
        assert!(!page.is_news(10) && page.is_news(11));
        assert!(report.is_news(10) && other.is_news(10));
        assert!(!later.is_news(10) && !bare.is_news(10));
        assert_eq!(page.group.shared(&later.group).collect::<Vec<_>>(), [(1, 0)]);
        assert_eq!(later.group.shared(&page.group).collect::<Vec<_>>(), [(0, 1)]);
        assert_eq!(page.group.shared(&bare.group).collect::<Vec<_>>(), [(0, 0)]);
        let come = |at| page.since(at).into_iter().map(|order| order.group.layout.id()).collect::<Vec<_>>();
        assert_eq!(come(10), [page.group.layout.id()]);
        bare.came_to(20);
        assert_eq!(come(20), [bare.group.layout.id()]);
        drop((bare, later));
        orders.tidy();
        assert!(page.is_news(11) && page.sharing.lock().is_empty());
    }
}
