//! The log's part of verifying: every record is read, every frame's hash and rows, and that each names the frame
//! before it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use log::{Found, Location, Record};
use storage::{Frame, FrameHash, FrameKey, IntervalSet, LayoutId, StreamId};

use super::verify::{Place, Report};
use crate::bytes::Malformed;
use crate::notes::Note;
use crate::open::missing_segments;
use crate::record::Kept;
use crate::replayed::RecordReader;
use crate::window::window_of;
use crate::{record, row};

/// Frames that wait for what they name, at most: of more it is told as if it were missing.
const PENDING_MAX: usize = 1 << 20;

/// What the records have said so far.
#[derive(Default)]
struct LogCheck {
    streams: HashSet<StreamId>,
    layouts: RecordReader,
    chains: HashMap<StreamId, Chain>,
    /// Frames of a stream or layout that no record before them told of.
    pending: Vec<(Location, FrameKey, Vec<LayoutId>)>,
    kept: Option<(u64, Kept)>,
    /// Frames that count as received, and those of them that nobody has.
    received: HashMap<StreamId, IntervalSet>,
    adopted: HashMap<StreamId, IntervalSet>,
    /// The last frame of each stream in the segment that is read.
    lasts: HashMap<StreamId, u64>,
    /// Segments that end in a write that was cut off, others being begun since.
    cut_off: Vec<CutOff>,
}

/// A write that was cut off: most often a process was killed then, and nothing is missing that counted.
struct CutOff {
    segment: u64,
    offset: u64,
    bytes: u64,
    /// The last frame of each stream before it.
    lasts: HashMap<StreamId, u64>,
}

/// Reads the log in `dir`; gives the sealed windows that it says there are, each with its newest generation.
pub(crate) fn check(dir: &Path, report: &mut Report<'_>) -> Vec<(i64, u64)> {
    let segments = match log::segments(dir) {
        Ok(segments) => segments,
        Err(error) => {
            report.fault(Place::Log(String::new()), error.to_string());
            return Vec::new();
        }
    };
    let mut check = LogCheck::default();
    let mut there = IntervalSet::new();
    let last = segments.last().map(|stat| stat.index);
    for segment in segments.iter().map(|stat| stat.index) {
        there.insert(segment);
        report.checked.segments += 1;
        check.lasts.clear();
        let read = log::survey_segment(dir, segment, &mut |found| match found {
            Found::Record(record) => {
                report.checked.records += 1;
                check.take(record, report);
            }
            Found::Damaged { bytes, at_end: true, .. } if Some(segment) == last => {
                report.checked.torn_bytes = bytes;
            }
            Found::Damaged { offset, bytes, cut_off: true, .. } => {
                let lasts = std::mem::take(&mut check.lasts);
                check.cut_off.push(CutOff { segment, offset, bytes, lasts });
            }
            Found::Damaged { offset, bytes, .. } => {
                report.fault(Place::Bytes { segment, offset }, format!("{bytes} bytes are no intact record"));
            }
        });
        if let Err(error) = read {
            report.fault(Place::Log(format!("{segment:08}.seg")), error.to_string());
        }
    }
    check.finish(report);
    check.judge_ends(&there, report);
    for missing in missing_segments(check.kept.as_ref(), &there).ranges() {
        let (first, last) = (missing.start(), missing.end());
        let what = format!("{} segments are missing, to {last:08}.seg", last - first + 1);
        report.fault(Place::Log(format!("{first:08}.seg")), what);
    }
    check.kept.map(|(_, kept)| kept.windows).unwrap_or_default()
}

impl LogCheck {
    fn take(&mut self, found: Record, report: &mut Report<'_>) {
        let (at, kind) = (found.at, found.kind);
        if let Err(Malformed(what)) = self.try_take(found, report) {
            report.fault(place(at), format!("a record of kind {kind} cannot be read: {what}"));
        }
    }

    fn try_take(&mut self, found: Record, report: &mut Report<'_>) -> Result<(), Malformed> {
        let payload = &found.payload;
        match found.kind {
            record::STREAM => {
                self.streams.insert(record::stream(payload)?.id);
            }
            record::LAYOUT | record::LIKE => drop(self.layouts.try_read(found)?),
            record::FRAME => self.take_frame(found.at, &record::frame(found.payload)?, report)?,
            record::CHECKPOINT => {
                for mark in record::checkpoint(payload)? {
                    self.received.entry(mark.info.id.clone()).or_default().union(&mark.received);
                    self.streams.insert(mark.info.id);
                }
            }
            record::ADOPT => {
                let (stream, gone) = record::adopt(payload)?;
                self.adopted.entry(stream).or_default().union(&gone);
            }
            record::HELD => drop(record::held(payload)?),
            record::GAP => drop(record::gap(payload)?),
            record::EXEMPLARS => drop(record::exemplars(payload)?),
            record::KEPT => self.kept = Some((found.at.segment, record::kept(payload)?)),
            // A later version's record.
            _ => {}
        }
        Ok(())
    }

    fn take_frame(&mut self, at: Location, frame: &Frame, report: &mut Report<'_>) -> Result<(), Malformed> {
        report.checked.frames += 1;
        let (key, range) = (frame.key(), frame.range());
        if window_of(range.start) != window_of(range.end) {
            return Err(Malformed("a frame that straddles two windows"));
        }
        if let Some(note) = Note::of(frame) {
            note?;
        }
        for raw in row::rows(frame.body()).take_while(|_| !frame.layouts().is_empty()) {
            if raw?.layout >= frame.layouts().len() {
                return Err(Malformed("a row of a layout that the frame does not name"));
            }
        }
        self.lasts.insert(key.stream.clone(), key.seq);
        if !self.chains.entry(key.stream.clone()).or_default().take(key.seq, frame.prev(), frame.hash()) {
            let what = format!("frame {} of {} does not follow on its neighbour", key.seq, key.stream);
            report.fault(place(at), what);
        }
        let missing: Vec<LayoutId> =
            frame.layouts().iter().copied().filter(|id| !self.layouts.has(*id)).collect();
        if !missing.is_empty() || !self.streams.contains(&key.stream) {
            let pending = (at, key.clone(), missing);
            if self.pending.len() < PENDING_MAX {
                self.pending.push(pending)
            } else {
                self.judge(&pending, report)
            }
        }
        Ok(())
    }

    fn finish(&mut self, report: &mut Report<'_>) {
        // Who is told of those that are missing are the frames that need them.
        self.layouts.read_waiting();
        for pending in std::mem::take(&mut self.pending) {
            self.judge(&pending, report);
        }
    }

    /// Tells of writes that were cut off where a frame is missing right after that was there: the file was cut. What a
    /// kill cut off is never gone on with, and does not count as received, unless it came again. Where segments were
    /// dropped since, it may have been in those.
    fn judge_ends(&mut self, there: &IntervalSet, report: &mut Report<'_>) {
        for end in std::mem::take(&mut self.cut_off) {
            let later = IntervalSet::from_iter([end.segment..=there.last().unwrap_or(end.segment)]);
            let is_lost = |(stream, last): (&StreamId, &u64)| self.was_there(stream, last.saturating_add(1));
            if later.difference(there).is_empty() && end.lasts.iter().any(is_lost) {
                let place = Place::Bytes { segment: end.segment, offset: end.offset };
                report.fault(place, format!("{} bytes are no intact record", end.bytes));
            } else {
                report.checked.cut_off += 1;
            }
        }
    }

    /// Whether a frame is not there although it was: later ones are, or it counts as received.
    fn was_there(&self, stream: &StreamId, seq: u64) -> bool {
        let has =
            |sets: &HashMap<StreamId, IntervalSet>| sets.get(stream).is_some_and(|set| set.contains(seq));
        let Some(seen) = self.chains.get(stream).map(|chain| &chain.seen) else { return false };
        let is_received = has(&self.received) && !has(&self.adopted);
        !seen.contains(seq) && (is_received || seen.last() > Some(seq))
    }

    /// Tells of a frame that cannot be used.
    fn judge(&self, (at, key, layouts): &(Location, FrameKey, Vec<LayoutId>), report: &mut Report<'_>) {
        let what = if self.streams.contains(&key.stream) {
            let missing = layouts.iter().filter(|id| !self.layouts.has(**id)).count();
            if missing == 0 {
                return;
            }
            format!("{missing} of its layouts are")
        } else {
            "its stream is".to_owned()
        };
        report.fault(
            place(*at),
            format!("frame {} of {} cannot be used: {what} in no intact record", key.seq, key.stream),
        );
    }
}

fn place(at: Location) -> Place {
    Place::Bytes { segment: at.segment, offset: at.offset }
}

/// Frames of one stream in whatever order they come: of each stretch without holes its ends.
#[derive(Debug, Default)]
struct Chain {
    seen: IntervalSet,
    /// What the first frame of a stretch names as the one before it.
    starts: BTreeMap<u64, FrameHash>,
    /// The hash of its last frame.
    ends: BTreeMap<u64, FrameHash>,
}

impl Chain {
    /// Whether a frame fits to its neighbours, as far as they are there. One that comes twice counts once.
    fn take(&mut self, seq: u64, prev: FrameHash, hash: FrameHash) -> bool {
        if self.seen.contains(seq) {
            return true;
        }
        self.seen.insert(seq);
        let before = seq.checked_sub(1).and_then(|before| self.ends.remove(&before));
        let after = seq.checked_add(1).and_then(|after| self.starts.remove(&after));
        if before.is_none() {
            self.starts.insert(seq, prev);
        }
        if after.is_none() {
            self.ends.insert(seq, hash);
        }
        let expected = if seq == 1 { Some(FrameHash::ROOT) } else { before };
        expected.is_none_or(|expected| expected == prev) && after.is_none_or(|named| named == hash)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In any order: a chain holds exactly when each frame names the one before it.
        #[test]
        fn a_chain_is_checked_in_any_order(
            order in Just((1u64..12).collect::<Vec<_>>()).prop_shuffle(), broken in prop::option::of(1u64..12),
            left_out in prop::option::of(1u64..12),
        ) {
            let hash = |seq: u64| FrameHash(if seq == 0 { 0 } else { u128::from(seq) + 100 });
            let mut chain = Chain::default();
            let mut whole = true;
            for seq in order.iter().copied().filter(|seq| Some(*seq) != left_out) {
                let prev = if broken == Some(seq) { FrameHash(7) } else { hash(seq - 1) };
                whole &= chain.take(seq, prev, hash(seq));
                prop_assert!(chain.take(seq, prev, hash(seq)), "again");
            }
            let is_seen = broken.is_some_and(|seq| Some(seq) != left_out && (seq == 1 || Some(seq - 1) != left_out));
            prop_assert_eq!(whole, !is_seen);
        }
    }
}
