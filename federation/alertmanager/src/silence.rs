//! Silences: what they match, when they are in force, what makes one acceptable.

use std::collections::BTreeMap;

use model::{Labels, MatchOp, Matcher};
use serde::{Deserialize, Serialize};

/// One condition of a silence, as the API writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SilenceMatcher {
    /// The label's name.
    pub name: String,
    /// What it is compared with.
    pub value: String,
    /// `value` is a regular expression, anchored at both ends.
    pub is_regex: bool,
    /// The label must match; otherwise it must not.
    pub is_equal: bool,
}

impl SilenceMatcher {
    /// How it compares.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        match (self.is_regex, self.is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        }
    }

    fn compile(&self) -> Result<Matcher, String> {
        Matcher::new(self.name.as_str(), self.op(), self.value.as_str()).map_err(|error| error.to_string())
    }
}

/// Where a silence stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SilenceState {
    /// In force.
    Active,
    /// Not yet in force.
    Pending,
    /// Over.
    Expired,
}

impl SilenceState {
    /// As the API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Expired => "expired",
        }
    }
}

/// A silence. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// A UUID; empty for one that is to be created.
    pub id: String,
    /// All must hold.
    pub matchers: Vec<SilenceMatcher>,
    /// From when on it is in force.
    pub starts_at: i64,
    /// Until when, inclusive.
    pub ends_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// More about it.
    pub annotations: BTreeMap<String, String>,
    /// Index of the entry that last changed it: tells a merge whether two sides changed it.
    pub version: u64,
}

impl Silence {
    /// Where it stands at `now_ms`. It is still active at exactly its end.
    #[must_use]
    pub fn state(&self, now_ms: i64) -> SilenceState {
        if now_ms < self.starts_at {
            SilenceState::Pending
        } else if now_ms > self.ends_at {
            SilenceState::Expired
        } else {
            SilenceState::Active
        }
    }

    /// Checks what a client sent.
    ///
    /// # Errors
    /// Alertmanager's text for what is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        if self.matchers.is_empty() {
            return Err("invalid silence: at least one matcher required".to_owned());
        }
        let mut all_empty = true;
        for (at, matcher) in self.matchers.iter().enumerate() {
            let wrong = |why: String| format!("invalid silence: invalid label matcher {at}: {why}");
            if matcher.name.is_empty() {
                return Err(wrong(format!("invalid label name {:?}", matcher.name)));
            }
            let compiled = matcher
                .compile()
                .map_err(|why| wrong(format!("invalid regular expression {:?}: {why}", matcher.value)))?;
            // Only positive conditions count as matching nothing in particular.
            all_empty &= matcher.is_equal && compiled.matches("");
        }
        if all_empty {
            return Err("invalid silence: at least one matcher must not match the empty string".to_owned());
        }
        Ok(())
    }

    /// Whether `new` may change this silence in place rather than end it and begin another.
    #[must_use]
    pub(crate) fn can_become(&self, new: &Self, now_ms: i64) -> bool {
        if self.matchers != new.matchers {
            return false;
        }
        match self.state(now_ms) {
            SilenceState::Active => {
                self.starts_at.div_euclid(1_000) == new.starts_at.div_euclid(1_000) && new.ends_at >= now_ms
            }
            SilenceState::Pending => new.starts_at >= now_ms,
            SilenceState::Expired => false,
        }
    }

    /// Ends it at `now_ms`; one that is over already stays as it is.
    pub(crate) fn expire(&mut self, now_ms: i64) {
        if self.state(now_ms) == SilenceState::Expired {
            return;
        }
        // A silence is active at its very end: one millisecond back makes it over at once.
        self.ends_at = now_ms - 1;
        self.starts_at = self.starts_at.min(self.ends_at);
        self.updated_at = now_ms;
    }
}

/// A silence ready for matching.
#[derive(Clone, Debug)]
pub(crate) struct CompiledSilence {
    pub(crate) id: String,
    matchers: Vec<Matcher>,
}

impl CompiledSilence {
    /// `None` where a stored pattern does not compile here: it then mutes nothing.
    pub(crate) fn new(silence: &Silence) -> Option<Self> {
        let matchers =
            silence.matchers.iter().map(|matcher| matcher.compile().ok()).collect::<Option<Vec<_>>>()?;
        Some(Self { id: silence.id.clone(), matchers })
    }

    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }

    /// A label that an alert must carry to be matched, if there is one.
    pub(crate) fn required_label(&self) -> Option<(&str, &str)> {
        self.matchers
            .iter()
            .find(|matcher| matcher.op() == MatchOp::Equal && !matcher.value().is_empty())
            .map(|matcher| (matcher.name(), matcher.value()))
    }
}

#[cfg(test)]
pub(crate) fn example(id: &str, pairs: &[(&str, &str)], starts_at: i64, ends_at: i64) -> Silence {
    Silence {
        id: id.to_owned(),
        matchers: pairs
            .iter()
            .map(|(name, value)| SilenceMatcher {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
                is_regex: false,
                is_equal: true,
            })
            .collect(),
        starts_at,
        ends_at,
        updated_at: starts_at,
        created_by: "me".to_owned(),
        comment: "because".to_owned(),
        annotations: BTreeMap::new(),
        version: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_active_from_its_start_through_its_end() {
        let silence = example("s", &[("a", "b")], 10, 20);
        let states = [9, 10, 20, 21].map(|now| silence.state(now).as_str());
        assert_eq!(states, ["pending", "active", "active", "expired"]);
    }

    #[test]
    fn expiring_ends_it_at_once_and_once() {
        for starts_at in [5, 50] {
            let mut silence = example("s", &[("a", "b")], starts_at, 100);
            silence.expire(30);
            assert_eq!(silence.state(30), SilenceState::Expired, "started at {starts_at}");
            let again = silence.clone();
            silence.expire(40);
            assert_eq!(silence, again);
        }
    }

    #[test]
    fn what_matches_nothing_in_particular_is_refused() {
        let cases = [
            (vec![], false),
            (vec![("a", "", false, true)], false),
            (vec![("a", ".*", true, true)], false),
            (vec![("a", "", false, true), ("b", "x", false, true)], true),
            (vec![("a", "x", false, false)], true),
            (vec![("a", "(", true, true)], false),
            (vec![("", "x", false, true)], false),
        ];
        for (matchers, good) in cases {
            let mut silence = example("", &[], 0, 1);
            silence.matchers = matchers
                .iter()
                .map(|&(name, value, is_regex, is_equal)| SilenceMatcher {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    is_regex,
                    is_equal,
                })
                .collect();
            assert_eq!(silence.validate().is_ok(), good, "{matchers:?}");
        }
    }
}
