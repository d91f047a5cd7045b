//! Forgetting what nothing refers to any more, so that neither restarts nor targets that come and go take up memory
//! and disk for ever: records of groups that no window has, and streams of which everything is past retention.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use storage::StreamId;

use crate::sealed::InUse;
use crate::state::State;
use crate::store::Inner;
use crate::streams::StreamNo;
use crate::window::WINDOW_MS;

/// A stream that nobody ships is known for so much longer than its last sample, besides twice the retention time: a
/// twin that still had its frames would give them back.
const STREAM_KEPT_MS: i64 = 12 * WINDOW_MS;

impl Inner {
    /// Forgets what was used only by windows that are gone. It does something after windows have gone, and once
    /// after a start.
    pub(crate) fn forget_unused(&self) {
        let _one = self.sealing.lock();
        let Some(store) = self.vault.get() else { return };
        if !store.collects.swap(false, Ordering::Relaxed) {
            return;
        }
        match store.collect() {
            Ok(Some((removed, in_use))) => {
                self.metrics.identity_removed.inc_by(removed);
                let forgotten = self.state.write().forget_streams(&in_use, self.streams_before());
                if removed > 0 || forgotten > 0 {
                    tracing::info!(records = removed, streams = forgotten, "what nothing uses is forgotten");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "records of sealed data that nothing uses stay"),
        }
    }

    /// Streams of which nothing is newer can be forgotten.
    fn streams_before(&self) -> i64 {
        let retention = i64::try_from(self.options.retention_time.as_millis()).unwrap_or(i64::MAX);
        if self.keepers.read().iter().any(|keeper| keeper.ships) {
            // Nobody gives them back.
            return self.vault.floor();
        }
        if retention == 0 {
            return i64::MIN;
        }
        self.clock.now_ms().saturating_sub(retention.saturating_mul(2)).saturating_sub(STREAM_KEPT_MS)
    }
}

impl State {
    /// Forgets streams of which nothing is left and whose last sample is before a time; how many.
    fn forget_streams(&mut self, in_use: &InUse, before: i64) -> usize {
        let mut used: HashSet<StreamNo> = HashSet::from([self.own.stream]);
        used.extend(self.segments.values().flat_map(|segment| segment.frames.keys()));
        used.extend(self.head.streams());
        let is_left = |no: StreamNo, id: &StreamId| used.contains(&no) || in_use.streams.contains(id);
        let old: Vec<StreamNo> = self
            .streams
            .iter()
            .filter(|(no, stream)| {
                let newest = if stream.newest == i64::MIN { stream.info.minted_ms } else { stream.newest };
                newest < before
                    && stream.recent.is_empty()
                    && stream.unwritten.is_empty()
                    && !is_left(*no, &stream.info.id)
            })
            .map(|(no, _)| no)
            .collect();
        old.iter().for_each(|no| self.streams.forget(*no));
        old.len()
    }
}
