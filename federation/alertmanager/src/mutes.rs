//! What mutes alerts now: silences and inhibition, kept ready beside a state.

use std::collections::HashMap;
use std::sync::Arc;

use model::Labels;

use crate::alert::{Alert, Fingerprint};
use crate::inhibit::Inhibitor;
use crate::settings::InhibitRule;
use crate::shared::{Feed, SharedState};
use crate::silence::{CompiledSilence, SilenceState};
use crate::state::State;

/// Why an alert is muted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Muted {
    /// Ids of active silences, sorted.
    pub(crate) silenced_by: Vec<String>,
    /// A firing source of the first rule that inhibits it.
    pub(crate) inhibited_by: Option<Fingerprint>,
}

impl Muted {
    pub(crate) fn is_muted(&self) -> bool {
        self.inhibited_by.is_some() || !self.silenced_by.is_empty()
    }
}

/// Silences by a label that they require, inhibition sources by what they must be equal in.
pub(crate) struct Mutes {
    state: SharedState,
    feed: Feed,
    rules: Vec<InhibitRule>,
    inhibitor: Inhibitor,
    known: HashMap<Fingerprint, Labels>,
    silences: SilenceIndex,
}

impl Mutes {
    pub(crate) fn new(state: SharedState, rules: &[InhibitRule]) -> Self {
        let feed = state.feed();
        Self {
            state,
            feed,
            rules: rules.to_vec(),
            inhibitor: Inhibitor::new(rules),
            known: HashMap::new(),
            silences: SilenceIndex::default(),
        }
    }

    /// Takes in what changed in the state since the last call.
    pub(crate) fn sync(&mut self) {
        let changes = self.feed.take();
        let state = self.state.clone();
        state.read(|state| {
            if changes.all || !changes.silences.is_empty() {
                self.silences = SilenceIndex::new(state);
            }
            if changes.all {
                self.inhibitor = Inhibitor::new(&self.rules);
                self.known.clear();
                for (fingerprint, alert) in state.alerts() {
                    self.learn(fingerprint, alert);
                }
                return;
            }
            for fingerprint in changes.alerts {
                match state.alert(fingerprint) {
                    Some(alert) => self.learn(fingerprint, alert),
                    None => self.forget(fingerprint),
                }
            }
        });
    }

    /// Why an alert is muted at `now_ms`. `fires` says which alerts fire.
    pub(crate) fn of(
        &mut self,
        fingerprint: Fingerprint,
        labels: &Labels,
        now_ms: i64,
        state: &State,
        fires: impl Fn(&Alert) -> bool,
    ) -> Muted {
        let matched = self.silences.matching(fingerprint, labels);
        let active = |id: &&String| {
            state.silence(id).is_some_and(|silence| silence.state(now_ms) == SilenceState::Active)
        };
        let silenced_by = matched.iter().filter(active).cloned().collect();
        let inhibited_by =
            self.inhibitor.muted_by(labels, |source| state.alert(source).is_some_and(|alert| fires(alert)));
        Muted { silenced_by, inhibited_by }
    }

    fn learn(&mut self, fingerprint: Fingerprint, alert: &Alert) {
        if let std::collections::hash_map::Entry::Vacant(entry) = self.known.entry(fingerprint) {
            entry.insert(alert.labels.clone());
            self.inhibitor.add(fingerprint, &alert.labels);
        }
    }

    fn forget(&mut self, fingerprint: Fingerprint) {
        self.silences.cache.remove(&fingerprint);
        if let Some(labels) = self.known.remove(&fingerprint) {
            self.inhibitor.remove(fingerprint, &labels);
        }
    }
}

/// Silences that are not over, found by label.
#[derive(Default)]
struct SilenceIndex {
    by_label: HashMap<(String, String), Vec<Arc<CompiledSilence>>>,
    others: Vec<Arc<CompiledSilence>>,
    /// Ids of all silences that match an alert, whatever the time; at most one entry for each alert.
    cache: HashMap<Fingerprint, Arc<[String]>>,
}

impl SilenceIndex {
    fn new(state: &State) -> Self {
        let mut index = Self::default();
        for silence in state.silences() {
            let Some(compiled) = CompiledSilence::new(silence).map(Arc::new) else {
                tracing::warn!(silence = %silence.id, "a silence's matcher does not compile; it mutes nothing");
                continue;
            };
            match compiled.required_label() {
                Some((name, value)) => {
                    let key = (name.to_owned(), value.to_owned());
                    index.by_label.entry(key).or_default().push(compiled);
                }
                None => index.others.push(compiled),
            }
        }
        index
    }

    fn matching(&mut self, fingerprint: Fingerprint, labels: &Labels) -> Arc<[String]> {
        if let Some(ids) = self.cache.get(&fingerprint) {
            return Arc::clone(ids);
        }
        let by_label = labels
            .pairs()
            .filter_map(|(name, value)| self.by_label.get(&(name.to_owned(), value.to_owned())))
            .flatten();
        let mut ids: Vec<String> = by_label
            .chain(&self.others)
            .filter(|silence| silence.matches(labels))
            .map(|silence| silence.id.clone())
            .collect();
        ids.sort_unstable();
        let ids: Arc<[String]> = ids.into();
        self.cache.insert(fingerprint, Arc::clone(&ids));
        ids
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::command::{Applied, Command, LeaderId};
    use crate::silence::example;

    fn apply(state: &SharedState, index: u64, command: Command) {
        let at = Applied { index, leader: LeaderId { term: 1, node: 1 } };
        state.apply_command(at, command);
    }

    #[test]
    fn silences_come_and_go_with_the_state() {
        let state = SharedState::new();
        let mut mutes = Mutes::new(state.clone(), &[]);
        let labels = Labels::from_pairs([("job", "a"), ("x", "1")]);
        let fingerprint = Fingerprint::of(&labels);
        let alert = Alert {
            labels: labels.clone(),
            annotations: BTreeMap::new(),
            generator_url: String::new(),
            starts_at: 0,
            ends_at: 100,
            updated_at: 0,
            timeout: false,
        };
        apply(&state, 1, Command::AlertUpsert(vec![alert]));
        let mut by = |now| {
            mutes.sync();
            state.read(|it| mutes.of(fingerprint, &labels, now, it, |_| true)).silenced_by
        };
        assert!(by(5).is_empty());
        let silence = example("", &[("job", "a")], 10, 20);
        apply(&state, 2, Command::SilenceSet { silence, new_id: "one".to_owned(), now_ms: 5 });
        assert_eq!([by(9).len(), by(10).len(), by(20).len(), by(21).len()], [0, 1, 1, 0]);
        apply(&state, 3, Command::SilenceExpire { id: "one".to_owned(), now_ms: 15 });
        assert!(by(15).is_empty());
    }
}
