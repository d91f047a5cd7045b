//! Pushed histograms: each series has columns of its own, found by the hash of its labels.

use std::collections::HashMap;

use model::histogram::AnyHistogram;
use model::{Labels, Metadata};
use storage::{AppendError, Appender, HistogramColumns};

use crate::layouts::split;
use crate::rows::{Outcome, Refusal};

/// What a series costs beside its labels.
const OVERHEAD: usize = 1024;

/// All pushed series of histograms.
#[derive(Debug, Default)]
pub(crate) struct Histograms {
    known: HashMap<u128, Known>,
    bytes: usize,
}

#[derive(Debug)]
struct Known {
    columns: HistogramColumns,
    /// When it last had a sample, in seconds of the monotonic clock.
    seen: u32,
    bytes: usize,
}

impl Histograms {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// About how many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a series is known.
    pub(crate) fn has(&self, key: u128) -> bool {
        self.known.contains_key(&key)
    }

    /// Adds a series.
    pub(crate) fn admit(&mut self, key: u128, labels: &Labels, label_bytes: usize, metadata: Metadata) {
        let (target, own) = split(labels);
        let bytes = label_bytes.saturating_add(OVERHEAD);
        self.bytes += bytes;
        let columns = HistogramColumns::new(target, own, metadata);
        if let Some(old) = self.known.insert(key, Known { columns, seen: 0, bytes }) {
            self.bytes -= old.bytes;
        }
    }

    /// Appends a histogram of a known series, which must be valid.
    ///
    /// # Errors
    /// When the store cannot take data now.
    pub(crate) fn append(
        &mut self,
        key: u128,
        appender: &dyn Appender,
        (timestamp, histogram): (i64, &AnyHistogram),
        now: u32,
        outcome: &mut Outcome,
    ) -> Result<(), AppendError> {
        let Some(known) = self.known.get_mut(&key) else { return Ok(()) };
        known.seen = now;
        let taken = match known.columns.append(appender, timestamp, histogram) {
            Err(error @ AppendError::Memory { .. }) => {
                outcome.no_room += 1;
                outcome.explain(|| error.to_string());
                return Ok(());
            }
            taken => taken?,
        };
        let refused = taken.out_of_order + taken.duplicates + taken.out_of_bounds + taken.too_old;
        let series = || taken.first_rejected.clone().unwrap_or_default();
        outcome.refuse(Refusal::OutOfOrder, taken.out_of_order as u64, series);
        outcome.refuse(Refusal::Duplicate, taken.duplicates as u64, series);
        outcome.refuse(Refusal::OutOfBounds, taken.out_of_bounds as u64, series);
        outcome.refuse(Refusal::TooOld, taken.too_old as u64, series);
        // Said twice: it is there already.
        outcome.histograms += u64::from(refused == 0);
        if taken.appended > 0 {
            outcome.commit = Some(taken.commit);
        }
        Ok(())
    }

    /// Forgets series without a sample for so many seconds; how many.
    pub(crate) fn forget(&mut self, now: u32, idle: u32) -> usize {
        let (before, bytes) = (self.known.len(), &mut self.bytes);
        self.known.retain(|_, known| {
            let kept = now.saturating_sub(known.seen) < idle;
            if !kept {
                *bytes -= known.bytes;
            }
            kept
        });
        before - self.known.len()
    }
}
