//! Dropping what is past its time or over its size: whole closed segments, oldest first.

use crate::store::Inner;
use crate::window::{WINDOW_MS, window_of};

impl Inner {
    /// Drops segments past retention, after what was received is recorded elsewhere.
    pub(crate) fn retain(&self) {
        let (expired, oversized) = self.past_retention();
        if expired.is_empty() && oversized.is_empty() {
            return;
        }
        let mut writer = self.writer.lock();
        let now = self.clock.monotonic();
        let mut recorded = writer.checkpoint(&self.shared(now));
        if recorded.is_err() && self.ballast.give_up() {
            recorded = writer.checkpoint(&self.shared(now));
        }
        if let Err(error) = recorded {
            tracing::warn!(%error, "nothing is dropped: what was received cannot be recorded");
            return;
        }
        for (segments, counter) in
            [(expired, &self.metrics.time_retentions), (oversized, &self.metrics.size_retentions)]
        {
            for segment in segments {
                if let Err(error) = writer.log.remove(segment) {
                    tracing::warn!(%error, segment, "a segment past retention stays");
                    continue;
                }
                counter.inc();
                self.files.forget(segment);
                let mut state = self.state.write();
                state.segments.remove(&segment);
                state.forget_places(segment);
            }
        }
        drop(writer);
        let floor = self.floor_ms();
        let mut state = self.state.write();
        state.gaps.retain(|gap| gap.end >= floor);
        state.drop_unused_layouts();
    }

    /// Closed segments that are too old, and those that are too much.
    fn past_retention(&self) -> (Vec<u64>, Vec<u64>) {
        let floor = self.floor_ms();
        let stats = self.writer.lock().log.segments();
        let state = self.state.read();
        let closed = || stats.iter().take(stats.len().saturating_sub(1));
        // All segments of a window go together, as later ones build on the keyframes of earlier ones.
        let old = |newest: i64| window_of(newest).saturating_add(WINDOW_MS) <= floor;
        let mut expired = Vec::new();
        for stat in closed() {
            match state.segments.get(&stat.index).and_then(|segment| segment.newest) {
                Some(newest) if old(newest) => expired.push(stat.index),
                // Without frames it matters only while older ones are there.
                None if stats.first().is_some_and(|first| first.index == stat.index) && floor > i64::MIN => {
                    expired.push(stat.index);
                }
                _ => {}
            }
        }
        let mut bytes: u64 =
            stats.iter().filter(|stat| !expired.contains(&stat.index)).map(|stat| stat.bytes).sum();
        let mut oversized = Vec::new();
        let max = self.options.retention_size;
        for stat in closed().filter(|stat| !expired.contains(&stat.index)) {
            if max == 0 || bytes <= max {
                break;
            }
            bytes -= stat.bytes;
            oversized.push(stat.index);
        }
        (expired, oversized)
    }

    /// Samples before this time are past retention.
    fn floor_ms(&self) -> i64 {
        let retention = i64::try_from(self.options.retention_time.as_millis()).unwrap_or(i64::MAX);
        if retention == 0 { i64::MIN } else { self.clock.now_ms().saturating_sub(retention) }
    }
}
