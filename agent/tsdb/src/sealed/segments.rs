//! Sealed parts as segments: what is needed of them is read and checked now, and decompressed when a column is
//! asked for. What is damaged is left out, told once, and named in the answer.

use std::sync::Arc;

use storage::{Summary, TimeRange};

use super::damage::twice;
use super::error::SealedError;
use super::identity::name_of;
use super::keys::{BlockKey, TAILS, TIMES};
use super::read::Place;
use super::store::SealedStore;
use crate::codec::{Block, CodecError};
use crate::columns::{BlockColumns, Damaged, Known};
use crate::run::At;
use crate::segment::{ColumnBlock, Segment};

/// Columns of a block.
const COLUMNS: u32 = Block::COLUMNS_MAX as u32;

/// A group of a sealed window, to be read when it is its turn: its files stay as long as this does.
pub(crate) struct SealedPlace {
    pub(crate) store: Arc<SealedStore>,
    /// Start of the window.
    pub(crate) start: i64,
    /// Those of its rows that are asked for: a day has more than one window's.
    pub(crate) range: TimeRange,
    pub(crate) place: Place,
}

impl SealedPlace {
    /// The rows that slots of the group, in order, have in a range.
    ///
    /// # Errors
    /// When they cannot be read now; what is damaged is left out.
    pub(crate) fn segments(&self, slots: &[u32], range: TimeRange) -> Result<Vec<Segment>, SealedError> {
        let mut segments = Vec::new();
        let range =
            TimeRange { start: range.start.max(self.range.start), end: range.end.min(self.range.end) };
        let Place { group, generation, entry } = &self.place;
        for part in 0..entry.parts {
            let rows = match twice(|| self.store.rows_of(self.start, generation, entry.group, part, group)) {
                Ok(rows) => rows,
                Err(error) => {
                    self.note(self.key(TIMES, part), error)?;
                    continue;
                }
            };
            let from = rows.partition_point(|at| at.timestamp < range.start);
            let to = rows.partition_point(|at| at.timestamp <= range.end);
            if from < to {
                segments.extend(self.segment(part, &rows, (from, to), slots)?);
            }
        }
        Ok(segments)
    }

    /// Some rows of a part.
    fn segment(
        &self,
        part: u16,
        rows: &[At],
        (from, to): (usize, usize),
        slots: &[u32],
    ) -> Result<Option<Segment>, SealedError> {
        let (mut blocks, mut is_damaged, mut at) = (Vec::new(), false, 0);
        let is_whole = self.place.group.layout.has_histograms();
        for wanted in slots.chunk_by(|a, b| a / COLUMNS == b / COLUMNS) {
            let positions = at..at + wanted.len();
            at = positions.end;
            let Some(first) = wanted.first() else { continue };
            let key = self.key(u16::try_from(first / COLUMNS).unwrap_or(TAILS), part);
            match twice(|| self.block(&key, wanted, rows.len(), (from, to), is_whole)) {
                Ok(None) => {}
                Ok(Some((source, summaries))) => {
                    let bytes = source.bytes(rows.len());
                    let source = Arc::new(source);
                    blocks.push(ColumnBlock { slots: positions, source, summaries, bytes });
                }
                Err(error) => {
                    is_damaged = true;
                    self.note(key, error)?;
                }
            }
        }
        // A histogram without one of its columns would be another histogram: all of a part, or nothing.
        let is_lost = is_damaged && is_whole;
        Ok((!is_lost && !blocks.is_empty()).then(|| Segment { rows: rows[from..to].to_vec(), blocks }))
    }

    /// Columns of a block, and their summaries where all of its rows are asked for; none where no column has a
    /// sample. `whole` has it decoded at once.
    fn block(
        &self,
        key: &BlockKey,
        wanted: &[u32],
        rows: usize,
        (from, to): (usize, usize),
        whole: bool,
    ) -> Result<Option<(BlockColumns, Vec<Summary>)>, SealedError> {
        let bytes = self.store.value(key, name_of(&self.place.group, key))?;
        let block = Block::parse(&bytes)?;
        if block.rows() != rows {
            return Err(SealedError::Malformed("a block of another size"));
        }
        let summary = |slot: &u32| block.summaries().get((slot % COLUMNS) as usize).copied();
        let summaries: Option<Vec<Summary>> = wanted.iter().map(summary).collect();
        let summaries = summaries.ok_or(SealedError::Malformed("a block of another size"))?;
        if summaries.iter().all(|summary| summary.count == 0 && summary.stale == 0) {
            return Ok(None);
        }
        let columns = wanted.iter().zip(&summaries);
        let columns = columns.map(|(slot, summary)| ((slot % COLUMNS) as u8, known(summary, rows))).collect();
        let columns = BlockColumns::new(bytes, columns, (from, to), self.damaged(*key));
        if whole {
            columns.decode_now()?;
        }
        let is_all = (from, to) == (0, rows);
        Ok(Some((columns, if is_all { summaries } else { Vec::new() })))
    }

    fn damaged(&self, key: BlockKey) -> Damaged {
        let (store, agent) = (Arc::clone(&self.store), Arc::clone(&self.place.group.info().id.agent));
        Box::new(move |error: &CodecError| store.note_damage(key, &agent, &error.to_string()))
    }

    fn key(&self, sub: u16, part: u16) -> BlockKey {
        let Place { generation, entry, .. } = &self.place;
        BlockKey { window: self.start, generation: generation.number, group: entry.group, sub, part }
    }

    fn note(&self, key: BlockKey, error: SealedError) -> Result<(), SealedError> {
        self.store.note(key, &self.place.group.info().id.agent, error)
    }
}

/// What a summary says of all of its column's samples.
fn known(summary: &Summary, rows: usize) -> Known {
    let Summary { count, stale, nan, first, min, max, .. } = *summary;
    if count == 0 && stale == 0 {
        return Known::Absent;
    }
    // Equal numbers have equal bits, but for zero.
    let is_constant = count as usize == rows && nan == 0 && min == max && min != 0.0;
    if is_constant { Known::Constant(first) } else { Known::Nothing }
}
