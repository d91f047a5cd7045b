//! Taking in what a node did while it was cut off.

use crate::command::{Applied, Content, MergedEntry, MergedSilence, Overlay, Rejection};
use crate::state::State;

impl State {
    /// Parts of one overlay come in order; one that was merged before is ignored.
    pub(crate) fn merge_overlay(&mut self, at: Applied, overlay: Overlay) -> Result<(), Rejection> {
        let part = (overlay.epoch, overlay.part);
        if self.overlays.get(&overlay.node).is_some_and(|merged| *merged >= part) {
            return Err(Rejection::Merged);
        }
        self.overlays.insert(overlay.node, part);
        for alert in overlay.alerts {
            // The younger account replaces or is merged; an older one only adds to it.
            match self.alert(alert.fingerprint()) {
                Some(known) if alert.updated_at < known.updated_at => {
                    let both = known.merge(&alert);
                    self.replace(both);
                }
                _ => self.upsert(alert),
            }
        }
        overlay.silences.into_iter().for_each(|silence| self.merge_silence(at, silence));
        overlay.entries.into_iter().for_each(|entry| self.merge_entry(entry));
        for anchor in overlay.anchors {
            if !self.places.contains_key(&anchor.group_key) {
                self.place(anchor);
            }
        }
        Ok(())
    }

    fn replace(&mut self, alert: crate::alert::Alert) {
        let fingerprint = alert.fingerprint();
        if let Some(stored) = self.alerts.get_mut(&fingerprint) {
            stored.alert = std::sync::Arc::new(alert);
            self.changes.alerts.insert(fingerprint);
        }
    }

    /// Where both sides changed one silence, what the quorum committed stays.
    fn merge_silence(&mut self, at: Applied, merged: MergedSilence) {
        let here = self.silences.get(&merged.silence.id).map(|silence| silence.version);
        if here == merged.base {
            let mut silence = merged.silence;
            silence.version = at.index;
            self.put_silence(silence);
        }
    }

    /// Where only the overlay told something, its account is taken. Where both sides did, the later account
    /// rules, and the other may be what the receiver remembers. The sequence passes both.
    fn merge_entry(&mut self, merged: MergedEntry) {
        self.changes.entries.insert(merged.key.clone());
        let entry = self.entries.entry(merged.key).or_default();
        let seq = entry.seq.max(merged.entry.seq) + 1;
        let expires_at = entry.expires_at.max(merged.entry.expires_at);
        let both = entry.seq != merged.base;
        let mut other = merged.entry;
        if !both || other.told_at > entry.told_at {
            std::mem::swap(entry, &mut other);
        }
        if both {
            entry.perhaps_told(&other.content);
            entry.perhaps_told(&Content { firing: other.maybe_firing, resolved: other.maybe_resolved });
        }
        entry.seq = seq;
        entry.expires_at = expires_at;
    }
}
