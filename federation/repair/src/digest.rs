//! What a replica holds, in a form that two can compare.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use storage::{FrameHash, FrameSource, IntervalSet, StreamId, StreamInfo};

use crate::view::AgentHeard;

/// One stream as a replica has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamDigest {
    /// The stream.
    pub(crate) info: StreamInfo,
    /// Frames that were taken.
    pub(crate) received: IntervalSet,
    /// Frames that are kept.
    pub(crate) held: IntervalSet,
    /// The hash of the last kept frame: tells copies of one machine apart.
    pub(crate) last_hash: FrameHash,
}

/// All that one replica tells the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    /// Who speaks.
    pub(crate) replica: String,
    /// Its clock, milliseconds since the Unix epoch.
    pub(crate) clock_ms: i64,
    /// What it holds.
    pub(crate) streams: Vec<StreamDigest>,
    /// Whom it hears.
    pub(crate) agents: Vec<AgentHeard>,
    /// Over its rules and external labels.
    pub(crate) config_hash: u128,
    /// Samples before this time are gone there.
    pub(crate) floor_ms: i64,
    /// Changes with its sealed windows.
    pub(crate) windows_version: u64,
    /// Equal where deletions are.
    pub(crate) deletions_version: u64,
}

/// The hash of each stream's last kept frame, read once for each new last frame.
#[derive(Debug, Default)]
pub(crate) struct LastHashes(Mutex<BTreeMap<StreamId, (u64, FrameHash)>>);

impl LastHashes {
    /// The digest of a store's streams.
    pub(crate) fn streams<S: FrameSource + storage::FrameSink + ?Sized>(
        &self,
        store: &S,
    ) -> Vec<StreamDigest> {
        let mut known = self.0.lock();
        let mut out = Vec::new();
        for info in store.streams() {
            let (received, held) = (store.received(&info.id), store.held(&info.id));
            let last = held.last().unwrap_or(0);
            let cached = known.get(&info.id).filter(|(seq, _)| *seq == last).map(|(_, hash)| *hash);
            let last_hash = cached.unwrap_or_else(|| read_hash(store, &info.id, last));
            known.insert(info.id.clone(), (last, last_hash));
            out.push(StreamDigest { info, received, held, last_hash });
        }
        known.retain(|stream, _| out.iter().any(|digest| digest.info.id == *stream));
        out
    }
}

fn read_hash<S: FrameSource + ?Sized>(store: &S, stream: &StreamId, seq: u64) -> FrameHash {
    let frames = store.frames(stream, seq, 1).unwrap_or_default();
    frames.first().filter(|frame| frame.key().seq == seq).map_or(FrameHash::ROOT, storage::Frame::hash)
}

/// What `theirs` keeps and `ours` never received, newest stream first: alerts need the newest data.
pub(crate) fn missing(ours: &[StreamDigest], theirs: &[StreamDigest]) -> Vec<(StreamInfo, IntervalSet)> {
    let empty = IntervalSet::new();
    let mut out: Vec<_> = theirs
        .iter()
        .map(|twin| {
            let own = ours.iter().find(|own| own.info.id == twin.info.id);
            (twin.info.clone(), twin.held.difference(own.map_or(&empty, |own| &own.received)))
        })
        .filter(|(_, lacking)| !lacking.is_empty())
        .collect();
    out.sort_by_key(|(info, _)| std::cmp::Reverse(info.minted_ms));
    out
}

/// Streams whose last frame is the same on both sides by name and not by content.
pub(crate) fn diverged<'a>(ours: &'a [StreamDigest], theirs: &[StreamDigest]) -> Vec<&'a StreamId> {
    let differs = |own: &StreamDigest, twin: &StreamDigest| {
        own.info.id == twin.info.id && own.held.last() == twin.held.last() && own.last_hash != twin.last_hash
    };
    ours.iter().filter(|own| theirs.iter().any(|twin| differs(own, twin))).map(|own| &own.info.id).collect()
}

/// Silence that crossed the wire, in whole milliseconds.
pub(crate) fn silence_ms(silent_for: Option<Duration>) -> u64 {
    silent_for.map_or(u64::MAX, |silence| u64::try_from(silence.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use storage::Epoch;

    use super::*;

    fn digest(minted_ms: i64, received: &[(u64, u64)], held: &[(u64, u64)], hash: u128) -> StreamDigest {
        let set =
            |ranges: &[(u64, u64)]| ranges.iter().map(|&(first, last)| first..=last).collect::<IntervalSet>();
        let id = StreamId { agent: "a".into(), epoch: Epoch(minted_ms.unsigned_abs().into()) };
        let info = StreamInfo { id, minted_ms, external: Labels::empty() };
        StreamDigest { info, received: set(received), held: set(held), last_hash: FrameHash(hash) }
    }

    #[test]
    fn only_what_is_kept_there_and_never_came_here_is_missing() {
        let ours = [digest(1, &[(1, 4)], &[(3, 4)], 0)];
        let theirs = [digest(1, &[(1, 9)], &[(4, 9)], 0), digest(2, &[(1, 1)], &[(1, 1)], 0)];
        let missing = missing(&ours, &theirs);
        let named: Vec<_> = missing.iter().map(|(info, set)| (info.minted_ms, set.to_string())).collect();
        assert_eq!(named, [(2, "1..1".to_owned()), (1, "5..9".to_owned())]);
    }

    #[test]
    fn a_copied_machine_shows_in_the_last_hash() {
        let (ours, theirs) = ([digest(1, &[(1, 4)], &[(1, 4)], 7)], [digest(1, &[(1, 4)], &[(1, 4)], 8)]);
        assert_eq!(diverged(&ours, &theirs).len(), 1);
        assert!(diverged(&ours, &ours).is_empty());
        assert!(diverged(&ours, &[digest(1, &[(1, 5)], &[(1, 5)], 8)]).is_empty());
    }
}
