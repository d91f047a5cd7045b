//! From what a window has of a family to batches: series that no two rows have at one time go as the columns that
//! they are, the others are put together one by one.

use std::sync::Arc;

use storage::{Batch, Budget, ColumnSource, QueryError, Times};

use crate::columns::{Merged, PickedColumns};
use crate::family::{Family, Picked};
use crate::merge::{Merging, Samples};
use crate::sealed::Deletion;
use crate::segment::{ColumnBlock, Segment};

/// A segment, and which member of the family it belongs to.
pub(crate) struct Owned {
    pub(crate) member: usize,
    pub(crate) segment: Segment,
}

/// What batches of a family are made with.
pub(crate) struct Giving<'a> {
    pub(crate) all: &'a [Picked],
    pub(crate) family: &'a Family,
    pub(crate) budget: &'a Budget,
    pub(crate) deletions: &'a [Deletion],
}

impl Giving<'_> {
    /// A window's segments, which are in order of time, as batches; `slow` has the series that are put together
    /// one by one whatever the segments are.
    pub(crate) fn batches(&self, segments: Vec<Owned>, slow: &[bool]) -> Result<Vec<Batch>, QueryError> {
        let mut slow = slow.to_vec();
        self.mark_conflicts(&segments, &mut slow);
        let slow = slow.contains(&true).then_some(slow);
        let mut batches = Vec::new();
        if let Some(slow) = &slow {
            self.merge(&segments, slow, &mut batches)?;
        }
        for Owned { member, segment } in segments {
            let times = Times::new(segment.rows.iter().map(|at| at.timestamp).collect());
            for block in segment.blocks {
                batches.extend(self.batch(member, block, &times, slow.as_deref())?);
            }
        }
        Ok(batches)
    }

    /// Marks the series that have rows of several segments, or several of one, at a time.
    fn mark_conflicts(&self, segments: &[Owned], slow: &mut [bool]) {
        for (position, one) in segments.iter().enumerate() {
            let series = &self.family.members[one.member].series;
            if !one.segment.is_strict() {
                series.iter().for_each(|&at| slow[at as usize] = true);
            }
            let (_, last) = one.segment.ends();
            for other in segments[position + 1..].iter().take_while(|other| other.segment.ends().0 <= last) {
                let others = &self.family.members[other.member].series;
                if Arc::ptr_eq(series, others) {
                    series.iter().for_each(|&at| slow[at as usize] = true);
                    continue;
                }
                let mut own = vec![false; slow.len()];
                series.iter().for_each(|&at| own[at as usize] = true);
                others.iter().filter(|&&at| own[at as usize]).for_each(|&at| slow[at as usize] = true);
            }
        }
    }

    /// The columns of a block that are not slow, if there are any.
    fn batch(
        &self,
        member: usize,
        block: ColumnBlock,
        times: &Times,
        slow: Option<&[bool]>,
    ) -> Result<Option<Batch>, QueryError> {
        let all = &self.family.members[member].series;
        let of_block = &all[block.slots.clone()];
        let charge = self.budget.charge(block.bytes + times.len() * size_of::<i64>())?;
        let is_kept = |at: u32| slow.is_none_or(|slow| !slow[at as usize]);
        let kept: Vec<u32> =
            (0..).zip(of_block).filter(|(_, at)| is_kept(**at)).map(|(column, _)| column).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let is_whole = kept.len() == of_block.len();
        let (series, summaries, source): (Arc<[u32]>, Arc<[_]>, Arc<dyn ColumnSource>) = if is_whole {
            let series = if of_block.len() == all.len() { Arc::clone(all) } else { of_block.into() };
            (series, block.summaries.into(), block.source)
        } else {
            let summary = |column: &u32| block.summaries.get(*column as usize).copied();
            let series = kept.iter().map(|&column| of_block[column as usize]).collect();
            let summaries = kept.iter().filter_map(summary).collect();
            (series, summaries, Arc::new(PickedColumns { of: block.source, columns: kept }))
        };
        let (group, times) = (Arc::clone(&self.family.series), times.clone());
        Ok(Some(Batch { group, times, series, is_histograms: false, summaries, source, charge }))
    }

    /// Puts slow series together, one batch for each and for each kind of value.
    fn merge(&self, segments: &[Owned], slow: &[bool], batches: &mut Vec<Batch>) -> Result<(), QueryError> {
        let mut merging = Merging::default();
        for Owned { member, segment } in segments {
            let member = &self.family.members[*member];
            merging.add(&self.all[member.at], &member.series, segment, slow)?;
        }
        for (series, mut samples) in merging.finish() {
            self.hide(series, &mut samples);
            let Samples { numbers, histograms } = samples;
            if !numbers.is_empty() {
                let times = numbers.iter().map(|sample| sample.timestamp).collect();
                let values = numbers.iter().map(|sample| sample.value).collect();
                batches.push(self.merged(series, times, Merged::Numbers(values))?);
            }
            if !histograms.is_empty() {
                let times = histograms.iter().map(|sample| sample.timestamp).collect();
                let cells = histograms.into_iter().map(|sample| Some(sample.histogram)).collect();
                batches.push(self.merged(series, times, Merged::Histograms(cells))?);
            }
        }
        Ok(())
    }

    fn merged(&self, series: u32, times: Arc<[i64]>, source: Merged) -> Result<Batch, QueryError> {
        Ok(Batch {
            group: Arc::clone(&self.family.series),
            charge: self.budget.charge(times.len() * size_of::<i64>() + source.bytes())?,
            times: Times::new(times),
            series: Arc::from([series]),
            is_histograms: matches!(source, Merged::Histograms(_)),
            summaries: Arc::from([]),
            source: Arc::new(source),
        })
    }

    /// Leaves out what deletions hide.
    fn hide(&self, series: u32, samples: &mut Samples) {
        if self.deletions.is_empty() {
            return;
        }
        let labels = self.family.series.series(series as usize);
        for deletion in self.deletions.iter().filter(|deletion| deletion.touches(&labels)) {
            samples.numbers.retain(|sample| !deletion.range.contains(sample.timestamp));
            samples.histograms.retain(|sample| !deletion.range.contains(sample.timestamp));
        }
    }
}
