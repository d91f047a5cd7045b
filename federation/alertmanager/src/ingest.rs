//! Alerts as they arrive: what is news is committed, what only says "still" is gathered.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::alert::{Alert, Fingerprint};
use crate::command::Command;
use crate::state::State;

/// How often gathered refreshes are committed.
pub(crate) const TOUCH_EVERY: Duration = Duration::from_secs(1);
/// Alerts of one command: about 256 KiB.
const UPSERT_BYTES: usize = 256 << 10;

/// About how many bytes an alert takes in a command.
pub(crate) fn alert_size(alert: &Alert) -> usize {
    let labels: usize = alert.labels.pairs().map(|(name, value)| name.len() + value.len() + 2).sum();
    let annotations: usize = alert.annotations.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    labels + annotations + alert.generator_url.len() + 32
}

/// What an alert that arrives means for what is stored.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// It must be committed.
    Change,
    /// Its end moves, and the stored one runs out soon.
    Refresh,
    /// The stored one says enough.
    None,
}

fn news(stored: Option<&Alert>, new: &Alert, now_ms: i64) -> News {
    let Some(stored) = stored else { return News::Change };
    if stored.overtakes(new) {
        return News::None;
    }
    let same = stored.annotations == new.annotations
        && stored.generator_url == new.generator_url
        && stored.timeout == new.timeout
        && stored.starts_at <= new.starts_at;
    if !same {
        return News::Change;
    }
    if stored.starts_at == new.starts_at && stored.ends_at == new.ends_at {
        return News::None;
    }
    let both_fire = !stored.resolved_at(now_ms) && !new.resolved_at(now_ms);
    // A start inside the stored interval is merged away; an end that comes earlier is a change.
    if !both_fire || new.starts_at >= stored.ends_at || new.ends_at < stored.ends_at {
        return News::Change;
    }
    let horizon = new.ends_at - now_ms;
    if stored.ends_at - now_ms < horizon / 2 { News::Refresh } else { News::None }
}

/// Refreshes that wait for the next batch: at most one for each alert.
#[derive(Debug, Default)]
pub(crate) struct Touches(Mutex<BTreeMap<Fingerprint, Alert>>);

impl Touches {
    /// Parts `alerts` into commands for what is news; refreshes are gathered.
    pub(crate) fn sort(&self, state: &State, alerts: Vec<Alert>, now_ms: i64) -> Vec<Command> {
        let mut upserts = Upserts::default();
        for alert in alerts {
            let fingerprint = alert.fingerprint();
            match news(state.alert(fingerprint).map(AsRef::as_ref), &alert, now_ms) {
                News::None => {}
                News::Refresh => {
                    self.0.lock().insert(fingerprint, alert);
                }
                News::Change => {
                    self.0.lock().remove(&fingerprint);
                    upserts.push(alert);
                }
            }
        }
        upserts.into_commands()
    }

    /// What was gathered, as commands. What the state has learnt since then decides anew: an alert that was
    /// ended meanwhile through another node does not come back.
    pub(crate) fn take(&self, state: &State, now_ms: i64) -> Vec<Command> {
        let touched = std::mem::take(&mut *self.0.lock());
        let (mut upserts, mut ends, mut at_ms) = (Upserts::default(), Vec::new(), now_ms);
        for (fingerprint, alert) in touched {
            let stored = state.alerts.get(&fingerprint);
            match (news(stored.map(|it| it.alert.as_ref()), &alert, now_ms), stored) {
                (News::Refresh, Some(stored)) => {
                    at_ms = at_ms.min(alert.updated_at);
                    ends.push((stored.dense, alert.ends_at));
                }
                (News::None, _) => {}
                _ => upserts.push(alert),
            }
        }
        ends.sort_unstable();
        let mut last = 0;
        for (dense, ends_at) in &mut ends {
            (*dense, last) = (*dense - last, *dense);
            *ends_at -= at_ms;
        }
        let mut commands = upserts.into_commands();
        if !ends.is_empty() {
            commands.push(Command::TouchBatch { at_ms, ends });
        }
        commands
    }
}

/// Alerts to be committed, in commands of bounded size.
#[derive(Default)]
struct Upserts {
    commands: Vec<Command>,
    batch: Vec<Alert>,
    bytes: usize,
}

impl Upserts {
    fn push(&mut self, alert: Alert) {
        self.bytes += alert_size(&alert);
        self.batch.push(alert);
        if self.bytes >= UPSERT_BYTES {
            self.commands.push(Command::AlertUpsert(std::mem::take(&mut self.batch)));
            self.bytes = 0;
        }
    }

    fn into_commands(mut self) -> Vec<Command> {
        if !self.batch.is_empty() {
            self.commands.push(Command::AlertUpsert(self.batch));
        }
        self.commands
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;
    use crate::command::{Applied, LeaderId};

    fn alert(name: &str, starts_at: i64, ends_at: i64, updated_at: i64) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", name)]),
            annotations: BTreeMap::new(),
            generator_url: String::new(),
            starts_at,
            ends_at,
            updated_at,
            timeout: false,
        }
    }

    #[test]
    fn only_changes_are_news() {
        let stored = alert("a", 0, 240, 0);
        let cases = [
            ("the same", alert("a", 0, 240, 10), 10, News::None),
            ("later, but the stored end is far", alert("a", 0, 300, 60), 60, News::None),
            ("later, and the stored end is near", alert("a", 0, 400, 160), 160, News::Refresh),
            ("over", alert("a", 0, 50, 60), 60, News::Change),
            ("an earlier end", alert("a", 0, 200, 60), 60, News::Change),
            ("an earlier start", alert("a", -5, 240, 60), 60, News::Change),
            ("again after it was over", alert("a", 250, 500, 260), 260, News::Change),
            ("an end from before it began", alert("a", -20, -10, -10), 60, News::None),
        ];
        for (name, new, now, want) in cases {
            assert_eq!(news(Some(&stored), &new, now), want, "{name}");
        }
        assert_eq!(news(None, &stored, 0), News::Change);
    }

    #[test]
    fn refreshes_reach_the_state_together() {
        let mut state = State::default();
        let at = Applied { index: 1, leader: LeaderId::default() };
        let names = ["a", "b", "c"];
        let touches = Touches::default();
        let first = names.map(|name| alert(name, 0, 240, 0)).to_vec();
        for command in touches.sort(&state, first, 0) {
            state.apply(at, command);
        }
        let again = ["a", "c"].map(|name| alert(name, 0, 400, 160)).to_vec();
        assert!(touches.sort(&state, again, 160).is_empty());
        let commands = touches.take(&state, 160);
        assert_eq!(commands.len(), 1, "two refreshes together");
        for command in commands {
            state.apply(at, command);
        }
        let ends = names.map(|name| state.alert(alert(name, 0, 0, 0).fingerprint()).map(|it| it.ends_at));
        assert_eq!(ends, [Some(400), Some(240), Some(400)]);
        assert!(touches.take(&state, 161).is_empty());
    }

    #[test]
    fn a_refresh_does_not_undo_an_end_that_came_in_between() {
        let mut state = State::default();
        let at = Applied { index: 1, leader: LeaderId::default() };
        let touches = Touches::default();
        state.apply(at, Command::AlertUpsert(vec![alert("a", 0, 240, 0), alert("b", 0, 240, 0)]));
        let again = vec![alert("a", 0, 400, 160), alert("b", 0, 400, 160)];
        assert!(touches.sort(&state, again, 160).is_empty());
        state.apply(at, Command::AlertUpsert(vec![alert("a", 0, 161, 161)]));
        let commands = touches.take(&state, 162);
        // The end of the other one is committed before the refreshes are.
        state.apply(at, Command::AlertUpsert(vec![alert("b", 0, 163, 163)]));
        for command in commands {
            state.apply(at, command);
        }
        let ends =
            ["a", "b"].map(|name| state.alert(alert(name, 0, 0, 0).fingerprint()).map(|it| it.ends_at));
        assert_eq!(ends, [Some(161), Some(163)]);
    }
}
