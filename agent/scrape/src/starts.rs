//! Starts that a page tells, beside the rows of its samples.

use std::collections::BTreeMap;

use storage::{AppendError, StartColumns};

use crate::known::Known;
use crate::page::Place;
use crate::sink::{Losses, Sink};

/// Columns of starts of a target's layouts.
#[derive(Debug, Default)]
pub(crate) struct Starts(Vec<StartColumns>);

impl Starts {
    /// Appends the starts of lines, by their positions; `time` gives a line's own time.
    pub(crate) fn write(
        &mut self,
        starts: &[(usize, i64)],
        time: impl Fn(usize) -> Option<i64>,
        known: &Known,
        timestamp: i64,
        sink: &Sink,
        losses: &mut Losses,
    ) -> Result<(), AppendError> {
        let mut rows: BTreeMap<(u32, i64), Vec<(u32, i64)>> = BTreeMap::new();
        for (line, start) in starts {
            let Place::At(layout, slot) = known.places.of(*line) else { continue };
            let at = (layout, time(*line).unwrap_or(timestamp));
            rows.entry(at).or_default().push((slot, *start));
        }
        let is_known = |columns: &StartColumns| {
            known.layouts.iter().any(|(layout, _)| columns.of() == Some(layout.layout().id()))
        };
        self.0.retain(is_known);
        for ((layout, timestamp), starts) in rows {
            let Some((layout, _)) = known.layouts.get(layout as usize) else { continue };
            let id = layout.layout().id();
            let at = self.0.iter().position(|columns| columns.of() == Some(id)).unwrap_or_else(|| {
                self.0.push(StartColumns::default());
                self.0.len() - 1
            });
            let appended = self.0[at].append(&*sink.appender, layout.layout(), timestamp, &starts);
            let outcome = match appended {
                // The samples have gone before: they are without starts.
                Err(AppendError::Memory { .. }) => {
                    sink.metrics.over_memory.inc();
                    continue;
                }
                outcome => outcome.transpose(),
            };
            if let Some(outcome) = outcome {
                sink.count(outcome, losses)?;
            }
        }
        Ok(())
    }
}
