//! Which frames every replica has on its disk: what this machine need not keep for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use storage::{IntervalSet, StreamId};

/// What one replica has acknowledged, as its connections learn it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acknowledged(Arc<Mutex<BTreeMap<StreamId, IntervalSet>>>);

impl Acknowledged {
    /// The replica has these on its disk, and no others.
    pub(crate) fn set(&self, stream: &StreamId, set: &IntervalSet) {
        self.0.lock().insert(stream.clone(), set.clone());
    }

    /// The replica has at most these: one that lost its disk, or was given an older one back, has fewer.
    pub(crate) fn cut(&self, stream: &StreamId, received: &IntervalSet) {
        if let Some(set) = self.0.lock().get_mut(stream) {
            *set = set.difference(&set.difference(received));
        }
    }

    fn of(&self, stream: &StreamId) -> IntervalSet {
        self.0.lock().get(stream).cloned().unwrap_or_default()
    }
}

/// What all replicas have acknowledged. It outlives the uplink that gave it.
#[derive(Clone, Debug)]
pub struct Durable(pub(crate) Vec<Acknowledged>);

impl Durable {
    /// The frames of a stream that every replica has on its disk, as far as it has said so.
    #[must_use]
    pub fn of(&self, stream: &StreamId) -> IntervalSet {
        let all = self.0.iter().map(|replica| replica.of(stream));
        all.reduce(|common, set| common.difference(&common.difference(&set))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use storage::Epoch;

    use super::*;

    #[test]
    fn only_what_all_have_is_durable() {
        let stream = StreamId { agent: "a".into(), epoch: Epoch(1) };
        let (one, two) = (Acknowledged::default(), Acknowledged::default());
        let durable = Durable(vec![one.clone(), two.clone()]);
        one.set(&stream, &IntervalSet::from_iter([1..=9]));
        assert!(durable.of(&stream).is_empty());
        two.set(&stream, &IntervalSet::from_iter([4..=5]));
        two.set(&stream, &IntervalSet::from_iter([4..=5, 8..=20]));
        assert_eq!(durable.of(&stream), IntervalSet::from_iter([4..=5, 8..=9]));
        // An older disk, and then an empty one.
        two.cut(&stream, &IntervalSet::from_iter([1..=8]));
        assert_eq!(durable.of(&stream), IntervalSet::from_iter([4..=5, 8..=8]));
        two.cut(&stream, &IntervalSet::new());
        assert!(durable.of(&stream).is_empty());
        assert!(Durable(Vec::new()).of(&stream).is_empty());
    }
}
