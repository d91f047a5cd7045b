//! Inhibition: alerts muted while others fire.
//!
//! Sources are kept by the values of the rule's `equal` labels, so a look costs no walk over all alerts.

use std::collections::{BTreeSet, HashMap};

use model::{Labels, Matcher};

use crate::alert::Fingerprint;
use crate::settings::InhibitRule;

#[derive(Debug, Default)]
pub(crate) struct Inhibitor(Vec<RuleIndex>);

#[derive(Debug)]
struct RuleIndex {
    rule: InhibitRule,
    sources: HashMap<Vec<String>, Sources>,
}

/// Sources with the same values of the `equal` labels.
#[derive(Debug, Default)]
struct Sources {
    plain: BTreeSet<Fingerprint>,
    /// Those that the rule's target side matches as well: they do not mute each other.
    two_sided: BTreeSet<Fingerprint>,
}

impl Inhibitor {
    pub(crate) fn new(rules: &[InhibitRule]) -> Self {
        Self(rules.iter().map(|rule| RuleIndex { rule: rule.clone(), sources: HashMap::new() }).collect())
    }

    /// Takes note of an alert. Whether it fires is asked later.
    pub(crate) fn add(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        for index in &mut self.0 {
            if !all_match(&index.rule.source, labels) {
                continue;
            }
            let two_sided = all_match(&index.rule.target, labels);
            let sources = index.sources.entry(equal_values(&index.rule, labels)).or_default();
            let set = if two_sided { &mut sources.two_sided } else { &mut sources.plain };
            set.insert(fingerprint);
        }
    }

    /// Forgets an alert.
    pub(crate) fn remove(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        for index in &mut self.0 {
            let key = equal_values(&index.rule, labels);
            let Some(sources) = index.sources.get_mut(&key) else { continue };
            sources.plain.remove(&fingerprint);
            sources.two_sided.remove(&fingerprint);
            if sources.plain.is_empty() && sources.two_sided.is_empty() {
                index.sources.remove(&key);
            }
        }
    }

    /// A firing source of the first rule that mutes an alert of these labels.
    pub(crate) fn muted_by(
        &self,
        labels: &Labels,
        fires: impl Fn(Fingerprint) -> bool,
    ) -> Option<Fingerprint> {
        self.0.iter().find_map(|index| {
            if !all_match(&index.rule.target, labels) {
                return None;
            }
            let sources = index.sources.get(&equal_values(&index.rule, labels))?;
            let plain = sources.plain.iter().find(|source| fires(**source));
            let two_sided = || {
                if all_match(&index.rule.source, labels) {
                    return None;
                }
                sources.two_sided.iter().find(|source| fires(**source))
            };
            plain.or_else(two_sided).copied()
        })
    }
}

fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(labels))
}

fn equal_values(rule: &InhibitRule, labels: &Labels) -> Vec<String> {
    rule.equal.iter().map(|name| labels.value(name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn check(
        rule: (Pairs<'_>, Pairs<'_>, &[&str]),
        sources: &[(&[(&str, &str)], bool)],
        target: &[(&str, &str)],
    ) -> bool {
        let matchers = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| Matcher::equal(*name, *value)).collect()
        };
        let rule = InhibitRule {
            source: matchers(rule.0),
            target: matchers(rule.1),
            equal: rule.2.iter().map(|name| (*name).to_owned()).collect(),
        };
        let mut inhibitor = Inhibitor::new(&[rule]);
        let mut firing = BTreeSet::new();
        for (pairs, fires) in sources {
            let labels = Labels::from_pairs(pairs.iter().copied());
            inhibitor.add(Fingerprint::of(&labels), &labels);
            if *fires {
                firing.insert(Fingerprint::of(&labels));
            }
        }
        inhibitor
            .muted_by(&Labels::from_pairs(target.iter().copied()), |source| firing.contains(&source))
            .is_some()
    }

    #[test]
    fn targets_are_muted_while_a_source_fires() {
        let by_severity: (&[_], &[_], &[_]) = (&[("s", "crit")], &[("s", "warn")], &["job"]);
        assert!(check(
            by_severity,
            &[(&[("s", "crit"), ("job", "a")], true)],
            &[("s", "warn"), ("job", "a")]
        ));
        assert!(!check(
            by_severity,
            &[(&[("s", "crit"), ("job", "a")], false)],
            &[("s", "warn"), ("job", "a")]
        ));
        assert!(!check(
            by_severity,
            &[(&[("s", "crit"), ("job", "b")], true)],
            &[("s", "warn"), ("job", "a")]
        ));
        assert!(check(by_severity, &[(&[("s", "crit")], true)], &[("s", "warn")]), "absent equals absent");
        let resolved_first: &[(&[_], bool)] =
            &[(&[("s", "crit"), ("x", "1")], false), (&[("s", "crit"), ("x", "2")], true)];
        assert!(check((&[("s", "crit")], &[("s", "warn")], &[]), resolved_first, &[("s", "warn")]));
    }

    #[test]
    fn what_matches_both_sides_is_not_muted_by_its_like() {
        let both: (&[_], &[_], &[_]) = (&[("s", "crit")], &[("t", "1")], &[]);
        assert!(!check(both, &[(&[("s", "crit"), ("t", "1")], true)], &[("s", "crit"), ("t", "1")]));
        assert!(check(both, &[(&[("s", "crit"), ("t", "1")], true)], &[("t", "1")]));
        assert!(check(both, &[(&[("s", "crit")], true)], &[("s", "crit"), ("t", "1")]));
        assert!(
            !check((&[], &[], &[]), &[(&[("a", "1")], true)], &[("a", "2")]),
            "an empty rule mutes nothing"
        );
    }

    #[test]
    fn forgotten_sources_mute_nothing() {
        let labels = Labels::from_pairs([("s", "crit")]);
        let rule = InhibitRule { source: vec![Matcher::equal("s", "crit")], ..InhibitRule::default() };
        let mut inhibitor = Inhibitor::new(&[rule]);
        inhibitor.add(Fingerprint::of(&labels), &labels);
        inhibitor.remove(Fingerprint::of(&labels), &labels);
        assert!(inhibitor.0[0].sources.is_empty());
    }
}
