//! Which targets' groups may share a series, and how far each has come: a row after everything that could
//! share a series with it is in order without a look at any series.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use model::{INSTANCE, Labels};
use parking_lot::Mutex;

use crate::group::GroupKey;

/// One target label set of the own node.
#[derive(Debug)]
pub(crate) struct Target {
    labels: Labels,
    /// Time of the newest row of its groups.
    newest: AtomicI64,
    /// Its groups in the head.
    groups: Mutex<Vec<GroupKey>>,
    /// Others whose series may be its own: no label has two values in both.
    relatives: Mutex<Vec<Weak<Target>>>,
}

impl Target {
    /// Takes note of a row.
    pub(crate) fn came_to(&self, timestamp: i64) {
        self.newest.fetch_max(timestamp, Ordering::Relaxed);
    }

    /// Whether a row of that time is after all rows that may hold one of its series.
    pub(crate) fn is_news(&self, timestamp: i64) -> bool {
        let before = |target: &Self| target.newest.load(Ordering::Relaxed) < timestamp;
        before(self) && self.relatives.lock().iter().filter_map(Weak::upgrade).all(|other| before(&other))
    }

    /// A group of this target is in the head now.
    pub(crate) fn add_group(&self, key: GroupKey) {
        self.groups.lock().push(key);
    }

    /// Its groups and those of its relatives that have come to a time.
    pub(crate) fn groups_since(&self, timestamp: i64) -> Vec<GroupKey> {
        let mut found = Vec::new();
        let mut add = |target: &Self| {
            if target.newest.load(Ordering::Relaxed) >= timestamp {
                found.extend(target.groups.lock().iter().copied());
            }
        };
        add(self);
        self.relatives.lock().iter().filter_map(Weak::upgrade).for_each(|other| add(&other));
        found
    }

    /// Whether a series may belong to both.
    fn is_related(&self, other: &Labels) -> bool {
        self.labels.iter().all(|label| other.get(&label.name).is_none_or(|value| *value == *label.value))
    }
}

/// All targets; those that nobody holds are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    all: HashMap<Labels, Weak<Target>>,
    /// The same by the value of `instance`, which nearly all have: empty for those without.
    by_instance: HashMap<Arc<str>, Vec<Weak<Target>>>,
}

impl Targets {
    /// The target of these labels.
    pub(crate) fn get(&mut self, labels: &Labels) -> Arc<Target> {
        if let Some(known) = self.all.get(labels).and_then(Weak::upgrade) {
            return known;
        }
        let target = Arc::new(Target {
            labels: labels.clone(),
            newest: AtomicI64::new(i64::MIN),
            groups: Mutex::default(),
            relatives: Mutex::default(),
        });
        let instance: Arc<str> = labels.value(INSTANCE).into();
        let near = |key: &&Arc<str>| instance.is_empty() || key.is_empty() || **key == instance;
        let keys = self.by_instance.keys().filter(near);
        let candidates = keys.flat_map(|key| &self.by_instance[key]).filter_map(Weak::upgrade);
        for other in candidates.filter(|other| other.is_related(labels)) {
            other.relatives.lock().push(Arc::downgrade(&target));
            target.relatives.lock().push(Arc::downgrade(&other));
        }
        self.by_instance.entry(instance).or_default().push(Arc::downgrade(&target));
        self.all.insert(labels.clone(), Arc::downgrade(&target));
        target
    }

    /// Forgets targets that nobody holds, and groups that are not kept.
    pub(crate) fn tidy(&mut self, kept: impl Fn(&GroupKey) -> bool) {
        self.all.retain(|_, target| target.strong_count() > 0);
        self.by_instance.retain(|_, targets| {
            targets.retain(|target| target.strong_count() > 0);
            !targets.is_empty()
        });
        for target in self.all.values().filter_map(Weak::upgrade) {
            target.relatives.lock().retain(|other| other.strong_count() > 0);
            target.groups.lock().retain(&kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn only_rows_that_may_hold_its_series_hold_a_row_up() {
        let mut targets = Targets::default();
        let a = targets.get(&labels(&[("instance", "a"), ("job", "n")]));
        let b = targets.get(&labels(&[("instance", "b"), ("job", "n")]));
        let bare = targets.get(&labels(&[("job", "n")]));
        let other = targets.get(&labels(&[("instance", "a"), ("job", "m")]));
        a.came_to(10);
        assert!(!a.is_news(10) && a.is_news(11));
        assert!(b.is_news(10) && other.is_news(10));
        assert!(!bare.is_news(10) && bare.is_news(11));
        bare.came_to(20);
        assert!(!a.is_news(20) && !b.is_news(20) && other.is_news(20));
        assert!(Arc::ptr_eq(&a, &targets.get(&labels(&[("job", "n"), ("instance", "a")]))));
        drop(bare);
        targets.tidy(|_| true);
        assert!(a.is_news(11));
    }
}
