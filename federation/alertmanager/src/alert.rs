//! Alerts as the replicated state holds them: identity, merging, encoding of label sets.

use std::collections::BTreeMap;
use std::fmt;

use model::Labels;
use serde::{Deserialize, Serialize};

/// An alert's identity: FNV-1a-64 over its sorted labels, as Alertmanager computes and prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The fingerprint of a label set.
    #[must_use]
    pub fn of(labels: &Labels) -> Self {
        const OFFSET: u64 = 14_695_981_039_346_656_037;
        const PRIME: u64 = 1_099_511_628_211;
        if labels.is_empty() {
            return Self(OFFSET);
        }
        let mut hash = OFFSET;
        let mut add = |bytes: &[u8]| {
            for byte in bytes.iter().chain(&[0xff]) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
            }
        };
        for (name, value) in labels.pairs() {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One alert. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What identifies it; never empty in the state.
    #[serde(with = "label_pairs")]
    pub labels: Labels,
    /// What describes it.
    pub annotations: BTreeMap<String, String>,
    /// Where it came from; may be empty.
    pub generator_url: String,
    /// When it began to fire.
    pub starts_at: i64,
    /// When it is or will be over.
    pub ends_at: i64,
    /// When it was last said: received, or evaluated by a rule of this pair.
    pub updated_at: i64,
    /// `ends_at` was not given by the sender but follows from `resolve_timeout`.
    pub timeout: bool,
}

impl Alert {
    /// The alert's identity.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.labels)
    }

    /// Whether it is over at `now_ms`.
    #[must_use]
    pub fn resolved_at(&self, now_ms: i64) -> bool {
        self.ends_at <= now_ms
    }

    /// Whether its sender said that it is over, rather than ceasing to say that it fires.
    #[must_use]
    pub fn resolved_explicitly(&self) -> bool {
        self.ends_at <= self.updated_at
    }

    /// What is stored after `new` arrives where `self` is stored.
    ///
    /// Overlapping intervals are merged, as Alertmanager does; otherwise the new one replaces the old, unless
    /// it is overtaken.
    #[must_use]
    pub fn followed_by(&self, new: &Self) -> Self {
        if self.overtakes(new) {
            return self.clone();
        }
        let inside = |time: i64| self.starts_at < time && time < self.ends_at;
        if inside(new.ends_at) || inside(new.starts_at) { self.merge(new) } else { new.clone() }
    }

    /// Whether `new` was said before `self` and must not undo it: that it fires, before it ended; or that it
    /// ended, before it began anew. A post that waited for a leader arrives so, and would page again.
    #[must_use]
    pub fn overtakes(&self, new: &Self) -> bool {
        if new.resolved_explicitly() {
            new.updated_at < self.updated_at && new.ends_at < self.starts_at
        } else {
            self.resolved_explicitly() && new.updated_at <= self.ends_at && new.starts_at < self.ends_at
        }
    }

    /// Two accounts of one alert as one: the younger's content, the earliest start, the end that rules.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        if other.updated_at < self.updated_at {
            return other.merge(self);
        }
        let now = other.updated_at;
        let mut merged = other.clone();
        merged.starts_at = merged.starts_at.min(self.starts_at);
        let older_ends_later = self.ends_at > other.ends_at;
        if other.resolved_at(now) {
            if self.resolved_at(now) && older_ends_later {
                merged.ends_at = self.ends_at;
            }
        } else if older_ends_later && !self.timeout {
            merged.ends_at = self.ends_at;
        }
        merged
    }
}

/// Label sets in our own encodings: a list of pairs.
pub(crate) mod label_pairs {
    use model::Labels;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(labels.pairs())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
        Vec::<(String, String)>::deserialize(deserializer).map(Labels::from_pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(starts_at: i64, ends_at: i64, updated_at: i64, timeout: bool) -> Alert {
        Alert {
            labels: Labels::from_pairs([("a", "b")]),
            annotations: BTreeMap::new(),
            generator_url: String::new(),
            starts_at,
            ends_at,
            updated_at,
            timeout,
        }
    }

    #[test]
    fn fingerprints_are_those_of_prometheus() {
        // From the published FNV-1a parameters: the empty set is the offset basis.
        assert_eq!(Fingerprint::of(&Labels::empty()).to_string(), "cbf29ce484222325");
        let by_hand = b"a\xffb\xff".iter().fold(14_695_981_039_346_656_037_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211)
        });
        assert_eq!(Fingerprint::of(&Labels::from_pairs([("a", "b")])).0, by_hand);
    }

    #[test]
    fn arrivals_merge_as_in_alertmanager() {
        // (stored start, end, updated, timeout), (new ...), (expected start, end)
        let cases = [
            ("a refresh replaces", (0, 100, 10, false), (0, 110, 20, false), (0, 110)),
            ("a later start keeps the earlier", (0, 100, 10, false), (50, 110, 60, false), (0, 110)),
            (
                "an earlier explicit end waits for the later one",
                (0, 100, 10, false),
                (0, 90, 20, false),
                (0, 100),
            ),
            ("a timeout gives way", (0, 100, 10, true), (0, 90, 20, false), (0, 90)),
            ("a resolve ends it", (0, 100, 10, false), (0, 30, 40, false), (0, 30)),
            ("both over: the later end", (0, 35, 10, false), (0, 30, 40, false), (0, 35)),
            ("a new life replaces", (0, 30, 40, false), (60, 200, 61, false), (60, 200)),
            ("it still fires elsewhere", (0, 30, 40, false), (0, 200, 50, false), (0, 200)),
            ("that it fires, said before it ended", (0, 30, 40, false), (0, 200, 29, false), (0, 30)),
            ("that it fires, said when it ended", (0, 30, 30, false), (0, 200, 30, false), (0, 30)),
            ("an end from before it began anew", (60, 200, 61, false), (0, 30, 30, false), (60, 200)),
            ("an old end, said now", (60, 200, 61, false), (0, 30, 70, false), (0, 30)),
        ];
        for (name, old, new, want) in cases {
            let got = alert(old.0, old.1, old.2, old.3).followed_by(&alert(new.0, new.1, new.2, new.3));
            assert_eq!((got.starts_at, got.ends_at), want, "{name}");
        }
    }
}
