//! What is known to be damaged: place by place up to a bound, and beyond it by agent and window. Coarser then, never
//! silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use storage::Gap;

use super::error::SealedError;
use super::keys::BlockKey;
use super::store::SealedStore;
use crate::window::WINDOW_MS;

/// Places that are remembered one by one, at most.
const PLACES_MAX: usize = 1_000;
/// Windows that are remembered agent by agent, at most; beyond it windows alone are.
const WINDOWS_MAX: usize = 10_000;

/// Damage that was met.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// So that each is told once.
    places: BTreeSet<BlockKey>,
    /// Whose data of which window; without a name where that cannot be told.
    windows: BTreeMap<(Arc<str>, i64), Part>,
    /// Of which the log's frames are damaged too.
    not_healed: BTreeSet<i64>,
}

/// What is damaged of one agent in one window.
#[derive(Debug)]
struct Part {
    /// The place that was met first, and what is wrong there.
    first: String,
    /// Damaged places, as far as they were told apart.
    count: u64,
}

impl Damage {
    /// Remembers a place; whether it was not known.
    /// `windows` are those that the place is of: a day's are several.
    fn note(&mut self, key: BlockKey, windows: &[i64], agent: &str, why: &str) -> bool {
        if self.places.contains(&key) {
            return false;
        }
        let is_told = self.places.len() < PLACES_MAX;
        if is_told {
            self.places.insert(key);
        }
        let mut is_new = false;
        for window in windows {
            let mut owner: (Arc<str>, i64) = (agent.into(), *window);
            if self.windows.len() >= WINDOWS_MAX && !self.windows.contains_key(&owner) {
                owner.0 = "".into();
            }
            let is_known = self.windows.contains_key(&owner);
            let part = self.windows.entry(owner).or_insert_with(|| Part {
                first: format!("group {}, generation {}, is damaged: {why}", key.group, key.generation),
                count: 0,
            });
            part.count += u64::from(is_told || !is_known);
            is_new |= !is_known;
        }
        is_told || is_new
    }

    /// Gaps in windows that pass: windows side by side of one agent are one gap.
    fn gaps(&self, mut pass: impl FnMut(i64) -> bool) -> Vec<Gap> {
        let mut found: Vec<(Gap, &Arc<str>, u64)> = Vec::new();
        for ((agent, window), part) in self.windows.iter().filter(|((_, window), _)| pass(*window)) {
            let end = window.saturating_add(WINDOW_MS - 1);
            match found.last_mut() {
                Some((gap, before, count)) if *before == agent && gap.end.saturating_add(1) == *window => {
                    gap.end = end;
                    *count += part.count;
                }
                _ => {
                    let why = part.first.clone();
                    found.push((Gap { start: *window, end, why }, agent, part.count));
                }
            }
        }
        let say = |(gap, agent, count): (Gap, &Arc<str>, u64)| {
            let whose = if agent.is_empty() { String::new() } else { format!(" from {agent}") };
            let more = if count > 1 { format!(", and {} places more", count - 1) } else { String::new() };
            Gap { why: format!("sealed data{whose} of {}{more}", gap.why), ..gap }
        };
        found.into_iter().map(say).collect()
    }

    fn retain(&mut self, mut pass: impl FnMut(i64) -> bool) {
        self.places.retain(|key| pass(key.window));
        self.windows.retain(|(_, window), _| pass(*window));
        self.not_healed.retain(|window| pass(*window));
    }
}

impl SealedStore {
    /// Remembers that something cannot be read, tells it once, and lets answers say so.
    pub(crate) fn note_damage(&self, key: BlockKey, agent: &str, why: &str) {
        // A reader may have an old generation in its hands, of which nothing is left in the manifest.
        let named: Vec<i64> = match key.generation {
            0 => vec![key.window],
            number => {
                let all = self.windows();
                let names = all.iter().filter(|window| window.generation(number).is_some());
                names.map(|window| window.start).collect()
            }
        };
        if named.is_empty() || !self.damage.lock().note(key, &named, agent, why) {
            return;
        }
        self.metrics.sealed_damage.inc();
        let BlockKey { window, generation, group, sub, part } = key;
        tracing::error!(window, generation, group, sub, part, agent, why, "sealed data is damaged");
    }

    /// Notes an error that is damage; any other is given back: it is the reader's alone.
    pub(super) fn note(&self, key: BlockKey, agent: &str, error: SealedError) -> Result<(), SealedError> {
        if !error.is_damage() {
            return Err(error);
        }
        self.note_damage(key, agent, &error.to_string());
        Ok(())
    }

    /// Gaps that damage has left in windows that pass, as far as it is known.
    pub(crate) fn damage(&self, pass: impl FnMut(i64) -> bool) -> Vec<Gap> {
        self.damage.lock().gaps(pass)
    }

    /// Windows with damage that is known.
    pub(crate) fn damaged_windows(&self) -> BTreeSet<i64> {
        self.damage.lock().windows.keys().map(|(_, window)| *window).collect()
    }

    /// Those of them that may be sealed anew, if the log has all of their frames.
    pub(crate) fn healable_windows(&self) -> BTreeSet<i64> {
        let damage = self.damage.lock();
        let windows = damage.windows.keys().map(|(_, window)| *window);
        windows.filter(|window| !damage.not_healed.contains(window)).collect()
    }

    /// A window cannot be sealed anew: it is not tried again.
    pub(crate) fn give_up_healing(&self, start: i64) {
        self.damage.lock().not_healed.insert(start);
    }

    /// Whether a window has damage that is known.
    pub(crate) fn is_damaged(&self, start: i64) -> bool {
        self.damage.lock().windows.keys().any(|(_, window)| *window == start)
    }

    /// Forgets the damage of a window that was written anew.
    pub(crate) fn forget_damage(&self, start: i64) {
        self.damage.lock().retain(|window| window != start);
    }

    /// Forgets the damage of windows that are gone.
    pub(super) fn forget_damage_before(&self, floor: i64) {
        self.damage.lock().retain(|window| window >= floor);
    }
}

/// What `read` gives; where that looks like damage it is read once more before it counts as such.
pub(super) fn twice<T>(mut read: impl FnMut() -> Result<T, SealedError>) -> Result<T, SealedError> {
    match read() {
        Err(error) if error.is_damage() => read(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> impl Strategy<Value = (i64, u32, usize)> {
        (0..40i64, 0..400u32, 0..3usize)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
        /// However much is damaged: exactly the damaged windows are named, for each agent, in few gaps.
        #[test]
        fn every_damaged_window_is_named(
            places in prop::collection::vec(place(), 1..3_000), healed in 0..40i64,
        ) {
            let agents = ["", "a", "b"];
            let mut damage = Damage::default();
            let mut expected = BTreeSet::new();
            for (window, group, agent) in places {
                let key = BlockKey { group, ..BlockKey::first(window * WINDOW_MS, 1) };
                damage.note(key, &[key.window], agents[agent], "why");
                prop_assert!(!damage.note(key, &[key.window], agents[agent], "why"), "told once");
                if window != healed {
                    expected.insert(window);
                }
            }
            damage.retain(|window| window != healed * WINDOW_MS);
            prop_assert!(damage.places.len() <= PLACES_MAX);
            let gaps = damage.gaps(|_| true);
            prop_assert!(gaps.len() <= 3 * 40);
            let named: BTreeSet<i64> = gaps
                .iter()
                .flat_map(|gap| gap.start / WINDOW_MS..=gap.end / WINDOW_MS)
                .collect();
            prop_assert_eq!(named, expected);
        }
    }

    #[test]
    fn beyond_both_bounds_windows_are_named_without_an_agent() {
        let mut damage = Damage::default();
        let more = WINDOWS_MAX as i64 + 500;
        for window in 0..more {
            let agent = (window % 7).to_string();
            let key = BlockKey::first(window * WINDOW_MS, 1);
            assert!(damage.note(key, &[key.window], &agent, "why"));
        }
        let key = BlockKey::first((more - 1) * WINDOW_MS, 2);
        assert!(!damage.note(key, &[key.window], "x", "why"), "that window is named");
        let mut named: Vec<i64> = Vec::new();
        for gap in damage.gaps(|_| true) {
            named.extend(gap.start / WINDOW_MS..=gap.end / WINDOW_MS);
        }
        named.sort_unstable();
        assert_eq!(named, (0..more).collect::<Vec<_>>());
        assert_eq!(damage.places.len(), PLACES_MAX);
    }
}
