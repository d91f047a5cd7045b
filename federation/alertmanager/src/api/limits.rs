//! Limits that the operator sets: on silences, and on alerts of one name.

use std::collections::HashMap;

use crate::alert::Alert;
use crate::matcher::MatcherMode;
use crate::node::Node;
use crate::silence::Silence;

const NAME: &str = "alertname";

/// Whether a silence may be set. Two that come at the same time are not counted together.
///
/// # Errors
/// The limit that it goes beyond, in Alertmanager's words; or a label name that the classic mode does not know.
pub(super) fn check(node: &Node, silence: &Silence, now_ms: i64) -> Result<(), String> {
    let options = &node.options;
    if options.matcher_mode == MatcherMode::Classic {
        let bad = |it: &&crate::SilenceMatcher| !model::is_valid_legacy_label_name(&it.name);
        if let Some((at, matcher)) = silence.matchers.iter().enumerate().find(|(_, it)| bad(it)) {
            return Err(format!(
                "invalid silence: invalid label matcher {at}: invalid label name {:?}",
                matcher.name
            ));
        }
    }
    let bytes = postcard::to_allocvec(silence).map_or(0, |bytes| bytes.len());
    if options.max_silence_bytes > 0 && bytes > options.max_silence_bytes {
        return Err(format!(
            "silence exceeded maximum size: {bytes} bytes (limit: {} bytes)",
            options.max_silence_bytes
        ));
    }
    if options.max_silences == 0 {
        return Ok(());
    }
    node.backend().state.read(|state| {
        let old = state.silence(&silence.id);
        // One that is not there is refused for that.
        let is_new = old.map_or(silence.id.is_empty(), |old| !old.can_become(silence, now_ms));
        let count = state.silences().count();
        if is_new && count >= options.max_silences {
            return Err(format!(
                "exceeded maximum number of silences: {count} (limit: {})",
                options.max_silences
            ));
        }
        Ok(())
    })
}

/// Those of `alerts` for which there is room: what is known or over always has it.
pub(super) fn within(node: &Node, alerts: Vec<Alert>, now_ms: i64) -> Vec<Alert> {
    let most = node.options.alerts_per_name;
    if most == 0 {
        return alerts;
    }
    node.backend().state.read(|state| {
        let mut counts: HashMap<String, usize> =
            alerts.iter().map(|alert| (alert.labels.value(NAME).to_owned(), 0)).collect();
        for (_, alert) in state.alerts().filter(|(_, alert)| !alert.resolved_at(now_ms)) {
            if let Some(count) = counts.get_mut(alert.labels.value(NAME)) {
                *count += 1;
            }
        }
        let mut has_room = |alert: &Alert| {
            if alert.resolved_at(now_ms) || state.alert(alert.fingerprint()).is_some() {
                return true;
            }
            let Some(count) = counts.get_mut(alert.labels.value(NAME)) else { return true };
            let room = *count < most;
            *count += usize::from(room);
            if !room {
                node.metrics.limited.inc();
            }
            room
        };
        alerts.into_iter().filter(|alert| has_room(alert)).collect()
    })
}
