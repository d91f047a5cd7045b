//! The log's part of a repair: damaged segments are written anew from their intact records, and the times around what
//! is left out are told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use log::{Found, LogError, Record};
use storage::Gap;

use super::verify::{Fault, Place};
use crate::record;
use crate::window::{WINDOW_MS, window_of};

/// What is damaged in the log.
pub(super) struct Damaged {
    /// Where records cannot be used, by segment.
    places: BTreeMap<u64, BTreeSet<u64>>,
    /// Segments that cannot be read at all.
    unreadable: BTreeSet<u64>,
    /// Segments that are not there.
    missing: BTreeSet<u64>,
}

impl Damaged {
    /// What faults say. A write that was cut off at the last segment's end, `is_torn`, goes too: after a repair another
    /// segment is the last.
    pub(super) fn of(log: &Path, faults: &[Fault], is_torn: bool) -> Result<Self, LogError> {
        let mut found =
            Self { places: BTreeMap::new(), unreadable: BTreeSet::new(), missing: BTreeSet::new() };
        for fault in faults {
            match &fault.place {
                Place::Bytes { segment, offset } => {
                    found.places.entry(*segment).or_default().insert(*offset);
                }
                Place::Log(name) => {
                    let number = name.strip_suffix(".seg").and_then(|stem| stem.parse::<u64>().ok());
                    let is_there = log.join(name).exists();
                    let set = if is_there { &mut found.unreadable } else { &mut found.missing };
                    set.extend(number);
                }
                Place::Sealed(_) | Place::Window { .. } | Place::Block { .. } => {}
            }
        }
        if is_torn && let Some(last) = log::segments(log)?.last() {
            found.places.entry(last.index).or_default();
        }
        found.places.retain(|segment, _| !found.unreadable.contains(segment));
        Ok(found)
    }

    fn is_clean(&self) -> bool {
        self.places.is_empty() && self.unreadable.is_empty() && self.missing.is_empty()
    }

    /// The windows around each damage: what was lost there was between the frames before and after it. Of a whole
    /// segment nobody knows what late frames it had: then they begin with the oldest frame.
    pub(super) fn gaps(&self, log: &Path, now_ms: i64) -> Result<Vec<Gap>, LogError> {
        let mut gaps = Gaps::default();
        if self.is_clean() {
            return Ok(Vec::new());
        }
        let mut before = 0;
        for segment in log::segments(log)?.into_iter().map(|stat| stat.index) {
            if self.unreadable.contains(&segment) || self.missing.range(before..segment).next().is_some() {
                gaps.lost();
            }
            before = segment;
            let none = BTreeSet::new();
            let places = self.places.get(&segment).unwrap_or(&none);
            let read = log::survey_segment(log, segment, &mut |found| match found {
                Found::Record(found) if places.contains(&found.at.offset) => gaps.damaged(),
                Found::Record(found) => gaps.passed(&found),
                Found::Damaged { offset, .. } if places.contains(&offset) => gaps.damaged(),
                Found::Damaged { .. } => {}
            });
            if read.is_err() {
                gaps.lost();
            }
        }
        if self.missing.range(before..).next().is_some() {
            gaps.lost();
        }
        Ok(gaps.finish(now_ms))
    }

    /// Writes damaged segments anew; gives how many.
    pub(super) fn repair(
        &self,
        log: &Path,
        aside: &Path,
        tell: &mut dyn FnMut(String),
    ) -> Result<u64, LogError> {
        for &segment in &self.unreadable {
            log::set_segment_aside(log, segment, aside)?;
            tell(format!("log/{segment:08}.seg: cannot be read, set aside"));
        }
        for (&segment, offsets) in &self.places {
            let mut keep = |record: &Record| !offsets.contains(&record.at.offset);
            let done = log::rewrite_segment(log, segment, aside, &mut keep)?;
            tell(format!(
                "log/{segment:08}.seg: {} records written anew, {} records and {} bytes left out, set aside as it was",
                done.kept, done.left_out, done.damaged_bytes
            ));
        }
        Ok((self.places.len() + self.unreadable.len()) as u64)
    }
}

/// Windows with damage, as the log is gone through.
#[derive(Default)]
struct Gaps {
    /// Last time of the frame before.
    last: Option<i64>,
    /// First and last time of all frames so far.
    all: Option<(i64, i64)>,
    /// Damage since: the time before it.
    since: Option<Option<i64>>,
    windows: BTreeSet<(i64, i64)>,
}

impl Gaps {
    fn damaged(&mut self) {
        self.since = self.since.or(Some(self.last));
    }

    fn lost(&mut self) {
        self.since = Some(self.all.map(|(first, _)| first));
    }

    fn passed(&mut self, found: &Record) {
        if found.kind != record::FRAME {
            return;
        }
        let Ok(head) = record::frame_head(&found.payload) else { return };
        self.close(head.range.start);
        self.last = Some(head.range.end);
        let (first, last) = self.all.unwrap_or((head.range.start, head.range.end));
        self.all = Some((first.min(head.range.start), last.max(head.range.end)));
    }

    fn close(&mut self, next: i64) {
        let Some(before) = self.since.take() else { return };
        let before = before.unwrap_or(next);
        self.windows.insert((window_of(before.min(next)), window_of(before.max(next))));
    }

    fn finish(mut self, now_ms: i64) -> Vec<Gap> {
        let last = self.all.map_or(now_ms, |(_, last)| last);
        self.close(last);
        let why = "records of the log were damaged, and repaired as far as they could be";
        let gap = |(start, last): (i64, i64)| Gap {
            start,
            end: last.saturating_add(WINDOW_MS - 1),
            why: why.to_owned(),
        };
        self.windows.into_iter().map(gap).collect()
    }
}
