//! Starts of samples at an appender: beside a layout of samples one with columns for those of its series whose
//! starts are known. It gets a row at the time of each row of samples that has some.

use std::sync::Arc;

use crate::append::{AppendOutcome, Appender, Cell, LayoutRef, Row};
use crate::error::AppendError;
use crate::layout::{Layout, LayoutId, Slot};
use crate::number::Number;

/// Appends the starts of one layout's samples.
#[derive(Debug, Default)]
pub struct StartColumns {
    /// The layout of the samples.
    of: Option<LayoutId>,
    /// Those of its slots that have a column here, in order.
    slots: Vec<u32>,
    layout: Option<LayoutRef>,
    cells: Vec<Cell>,
}

impl StartColumns {
    /// Appends what is known of a row of samples: slots of their layout, each with its start, milliseconds since the
    /// Unix epoch. Nothing is appended where there are none.
    ///
    /// # Errors
    /// As [`Appender::append`]; `Relayout` is dealt with here.
    pub fn append(
        &mut self,
        appender: &dyn Appender,
        samples: &Layout,
        timestamp: i64,
        starts: &[(u32, i64)],
    ) -> Result<Option<AppendOutcome>, AppendError> {
        if starts.is_empty() {
            return Ok(None);
        }
        if self.of != Some(samples.id()) {
            *self = Self { of: Some(samples.id()), ..Self::default() };
        }
        let has = |slots: &[u32], slot: u32| slots.binary_search(&slot).is_ok();
        if self.layout.is_none() || !starts.iter().all(|(slot, _)| has(&self.slots, *slot)) {
            self.slots.extend(starts.iter().map(|(slot, _)| *slot));
            self.slots.sort_unstable();
            self.slots.dedup();
            self.layout = None;
        }
        let layout = match &mut self.layout {
            Some(layout) => layout,
            none => none.insert(appender.layout(columns(samples, &self.slots)?)?),
        };
        self.cells.clear();
        self.cells.resize(self.slots.len(), Cell::Absent);
        for (slot, start) in starts {
            let place = self.slots.binary_search(slot).ok().and_then(|at| self.cells.get_mut(at));
            if let Some(cell) = place
                && let Some(number) = Number::decimal(*start, 0)
            {
                *cell = Cell::Value(number);
            }
        }
        let outcome = appender.append(Row { layout, timestamp, cells: &self.cells });
        if !matches!(outcome, Err(AppendError::Relayout)) {
            return outcome.map(Some);
        }
        *layout = appender.layout(Layout::clone(layout.layout()))?;
        appender.append(Row { layout, timestamp, cells: &self.cells }).map(Some)
    }

    /// The layout of the samples that it goes with.
    #[must_use]
    pub fn of(&self) -> Option<LayoutId> {
        self.of
    }
}

/// The layout of starts of some slots, which are in order.
fn columns(samples: &Layout, slots: &[u32]) -> Result<Layout, AppendError> {
    let all: &Arc<[Slot]> = samples.shared_slots();
    let labels = slots.iter().filter_map(|slot| all.get(*slot as usize)).map(|slot| slot.labels.clone());
    Layout::new(samples.target().clone(), labels.map(Slot::of_starts).collect())
}
