//! What a replica holds, in a form that two can compare.

use std::collections::{BTreeMap, BTreeSet};
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
    /// The last frame of each kept range and its hash, newest first, at most [`ENDS_MAX`]: they tell copies of one
    /// machine apart. A frame that cannot be read has none.
    pub(crate) ends: Vec<(u64, FrameHash)>,
}

/// Ranges of a stream whose ends are compared, the newest ones.
pub(crate) const ENDS_MAX: usize = 32;

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

/// Hashes of frames that were compared, each read once.
#[derive(Debug, Default)]
pub(crate) struct EndHashes(Mutex<BTreeMap<StreamId, BTreeMap<u64, FrameHash>>>);

impl EndHashes {
    /// The digest of a store's streams.
    pub(crate) fn streams<S: FrameSource + storage::FrameSink + ?Sized>(
        &self,
        store: &S,
    ) -> Vec<StreamDigest> {
        let digest = |info: StreamInfo| {
            let (received, held) = (store.received(&info.id), store.held(&info.id));
            let lasts = held.ranges().rev().map(|range| *range.end()).take(ENDS_MAX);
            let ends = lasts.filter_map(|seq| Some((seq, self.of(store, &info.id, seq)?))).collect();
            StreamDigest { info, received, held, ends }
        };
        store.streams().into_iter().map(digest).collect()
    }

    /// A kept frame's hash, where it can be read.
    pub(crate) fn of<S: FrameSource + ?Sized>(
        &self,
        store: &S,
        stream: &StreamId,
        seq: u64,
    ) -> Option<FrameHash> {
        let known = self.0.lock().get(stream).and_then(|known| known.get(&seq).copied());
        known.or_else(|| {
            let frames = store.frames(stream, seq, 1).unwrap_or_default();
            let hash = frames.first().filter(|frame| frame.key().seq == seq).map(storage::Frame::hash)?;
            self.0.lock().entry(stream.clone()).or_default().insert(seq, hash);
            Some(hash)
        })
    }

    /// Forgets all but what was compared now.
    pub(crate) fn retain(&self, ours: &[StreamDigest], theirs: &[StreamDigest]) {
        let mut compared: BTreeMap<&StreamId, BTreeSet<u64>> = BTreeMap::new();
        for digest in ours.iter().chain(theirs) {
            compared.entry(&digest.info.id).or_default().extend(digest.ends.iter().map(|(seq, _)| *seq));
        }
        let mut known = self.0.lock();
        known.retain(|stream, _| compared.contains_key(stream));
        for (stream, hashes) in known.iter_mut() {
            hashes.retain(|seq, _| compared.get(stream).is_some_and(|seqs| seqs.contains(seq)));
        }
    }
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

/// Streams of which both keep a frame that is the same by name and not by content: the last one of a range of the
/// twin, which has the hash of all before it in its own. `hash` reads that of a frame kept here.
pub(crate) fn diverged<'a>(
    ours: &'a [StreamDigest],
    theirs: &[StreamDigest],
    hash: impl Fn(&StreamId, u64) -> Option<FrameHash>,
) -> Vec<&'a StreamId> {
    let differs = |own: &StreamDigest, twin: &StreamDigest| {
        let stream = &own.info.id;
        let mut both = twin.ends.iter().filter(|(seq, _)| own.held.contains(*seq));
        both.any(|(seq, theirs)| hash(stream, *seq).is_some_and(|own| own != *theirs))
    };
    let twin_of = |own: &StreamDigest| theirs.iter().find(|twin| twin.info.id == own.info.id);
    ours.iter()
        .filter(|own| twin_of(own).is_some_and(|twin| differs(own, twin)))
        .map(|own| &own.info.id)
        .collect()
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
        let held = set(held);
        let lasts = held.ranges().rev().map(|range| *range.end());
        let ends = lasts.map(|last| (last, FrameHash(hash + u128::from(last)))).collect();
        StreamDigest { info, received: set(received), held, ends }
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
    fn a_copied_machine_shows_wherever_both_have_the_end_of_a_range() {
        // Each frame's hash is its number and what the machine adds.
        let at = |machine: u128| move |_: &StreamId, seq: u64| Some(FrameHash(machine + u128::from(seq)));
        let ours = [digest(1, &[(1, 20)], &[(1, 4), (7, 20)], 7)];
        let theirs = |held: &[(u64, u64)], machine| [digest(1, &[(1, 30)], held, machine)];
        for held in [&[(1, 20)][..], &[(2, 3)], &[(1, 12), (15, 30)]] {
            assert_eq!(diverged(&ours, &theirs(held, 8), at(7)).len(), 1, "{held:?}");
            assert!(diverged(&ours, &theirs(held, 7), at(7)).is_empty(), "{held:?}");
            assert!(diverged(&ours, &theirs(held, 8), |_, _| None).is_empty(), "it cannot be read here");
        }
        assert!(
            diverged(&ours, &theirs(&[(1, 5), (15, 30)], 8), at(7)).is_empty(),
            "no frame that both keep"
        );
        let other = [digest(2, &[(1, 20)], &[(1, 20)], 8)];
        assert!(diverged(&ours, &other, at(7)).is_empty());
    }
}
