//! A target's series from scrape to scrape: layouts that stay, markers for those that go.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::{Labels, METRIC_NAME, Metadata, MetricType};
use storage::{AppendError, Cell, Layout, LayoutRef, Number, Slot};

use crate::config::ScrapeConfig;
use crate::fetch::Page;
use crate::page::{self, Meaning, PageError, Place, Reading};
use crate::sink::{Losses, Sink};
use crate::status::Families;

/// Meanings of pages that are kept: a target's page may alternate between a few.
const KNOWN_MAX: usize = 4;

/// What is remembered of one target between its scrapes.
#[derive(Debug, Default)]
pub(crate) struct SeriesState {
    /// Pages whose meaning is known, the latest first.
    known: Vec<Known>,
    /// The last good page's series.
    last: Option<Written>,
    /// Whether series of `last` are without stale markers.
    live: bool,
    report: Option<LayoutRef>,
    /// Whether there are reports, which end with the target.
    reported: bool,
    readings: Vec<Reading>,
}

#[derive(Debug)]
struct Known {
    key: u128,
    places: Vec<Place>,
    layouts: Vec<(LayoutRef, bool)>,
    kept: usize,
    families: Arc<Families>,
}

#[derive(Clone, Debug)]
struct Written {
    key: u128,
    /// Each layout, and whether its series get stale markers.
    layouts: Vec<(Arc<Layout>, bool)>,
}

/// How many samples a page had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) scraped: usize,
    pub(crate) kept: usize,
    pub(crate) added: usize,
}

/// A page's samples were not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl SeriesState {
    /// Whether anything was written that can end.
    pub(crate) fn has_written(&self) -> bool {
        self.reported
    }

    /// Forgets what depends on the job's configuration; markers stay due.
    pub(crate) fn reconfigured(&mut self) {
        self.known.clear();
        self.report = None;
    }

    /// Writes a page's samples, and markers for series that were on the last page and are not on this.
    pub(crate) fn write(
        &mut self,
        page: &Page,
        timestamp: i64,
        job: (&ScrapeConfig, &Labels),
        sink: &Sink,
        losses: &mut Losses,
        counts: &mut Counts,
    ) -> Result<Arc<Families>, WriteError> {
        let (config, target) = job;
        let key = page::read(&page.bytes, page.format, config.honor_timestamps, &mut self.readings)
            .map_err(PageError::from)?;
        counts.scraped = self.readings.len();
        match self.known.iter().position(|known| known.key == key) {
            Some(at) => self.known[..=at].rotate_right(1),
            None => {
                let meaning = page::understand(&page.bytes, page.format, config, target);
                if let Err(PageError::SampleLimit { kept }) = &meaning {
                    counts.kept = *kept;
                }
                let known = Known::register(key, meaning?, sink)?;
                self.known.insert(0, known);
                self.known.truncate(KNOWN_MAX);
            }
        }
        let Some(known) = self.known.first_mut() else { return Ok(Arc::default()) };
        counts.kept = known.kept;
        let same = self.last.as_ref().is_some_and(|last| last.key == key);
        let now = Written {
            key,
            layouts: known
                .layouts
                .iter()
                .map(|(layout, tracked)| (Arc::clone(layout.layout()), *tracked))
                .collect(),
        };
        known.append(&self.readings, timestamp, sink, losses)?;
        let families = Arc::clone(&known.families);
        if !same {
            counts.added = now.series(false).difference(&self.last_series()).count();
            self.mark_gone(&now.series(true), timestamp, sink, losses)?;
            self.last = Some(now);
        }
        self.live = true;
        Ok(families)
    }

    /// Writes markers for all series that have none yet: the target is down or gone.
    pub(crate) fn end(
        &mut self,
        timestamp: i64,
        sink: &Sink,
        losses: &mut Losses,
    ) -> Result<(), AppendError> {
        self.mark_gone(&HashSet::new(), timestamp, sink, losses)?;
        self.live = false;
        Ok(())
    }

    /// Writes the series that speak of the scrape itself; `None`: they end.
    pub(crate) fn report(
        &mut self,
        target: &Labels,
        values: &[(&'static str, &'static str, Option<f64>)],
        timestamp: i64,
        sink: &Sink,
        losses: &mut Losses,
    ) -> Result<(), AppendError> {
        let layout = match &mut self.report {
            Some(layout) if layout.layout().slots().len() == values.len() => layout,
            report => report.insert(sink.appender.layout(report_layout(target, values)?)?),
        };
        let cells: Vec<Cell> = values
            .iter()
            .map(|(_, _, value)| value.map_or(Cell::Stale, |value| Cell::Value(Number::from_f64(value))))
            .collect();
        self.reported = true;
        sink.append(layout, timestamp, &cells, losses)
    }

    fn last_series(&self) -> HashSet<Labels> {
        self.last.as_ref().map(|last| last.series(false)).unwrap_or_default()
    }

    fn mark_gone(
        &self,
        staying: &HashSet<Labels>,
        timestamp: i64,
        sink: &Sink,
        losses: &mut Losses,
    ) -> Result<(), AppendError> {
        let Some(last) = self.last.as_ref().filter(|_| self.live) else { return Ok(()) };
        for (layout, _) in last.layouts.iter().filter(|(_, tracked)| *tracked) {
            let gone = |slot| if staying.contains(&layout.series(slot)) { Cell::Absent } else { Cell::Stale };
            let cells: Vec<Cell> = (0..layout.slots().len()).map(gone).collect();
            if cells.contains(&Cell::Stale) {
                let mut layout = sink.appender.layout(Layout::clone(layout))?;
                sink.append(&mut layout, timestamp, &cells, losses)?;
            }
        }
        Ok(())
    }
}

impl Written {
    /// The label sets of its series, or only of those that get stale markers.
    fn series(&self, tracked_only: bool) -> HashSet<Labels> {
        let layouts = self.layouts.iter().filter(|(_, tracked)| *tracked || !tracked_only);
        layouts.flat_map(|(layout, _)| (0..layout.slots().len()).map(|slot| layout.series(slot))).collect()
    }
}

impl Known {
    fn register(key: u128, meaning: Meaning, sink: &Sink) -> Result<Self, AppendError> {
        let layouts: Result<Vec<_>, AppendError> = meaning
            .drafts
            .into_iter()
            .map(|draft| Ok((sink.appender.layout(Layout::new(draft.target, draft.slots)?)?, draft.tracked)))
            .collect();
        let Meaning { places, families, kept, .. } = meaning;
        Ok(Self { key, places, layouts: layouts?, kept, families })
    }

    /// One row per layout and time.
    fn append(
        &mut self,
        readings: &[Reading],
        timestamp: i64,
        sink: &Sink,
        losses: &mut Losses,
    ) -> Result<(), AppendError> {
        let mut rows: Vec<(usize, i64, Vec<Cell>)> = Vec::new();
        let mut row_of: HashMap<(usize, i64), usize> = HashMap::new();
        let mut latest: Option<((usize, i64), usize)> = None;
        for (place, reading) in self.places.iter().zip(readings) {
            let Place::At(layout, slot) = *place else { continue };
            let at = (layout, reading.timestamp.unwrap_or(timestamp));
            let row = match latest {
                Some((before, row)) if before == at => row,
                _ => *row_of.entry(at).or_insert_with(|| {
                    rows.push((
                        at.0,
                        at.1,
                        vec![Cell::Absent; self.layouts[layout].0.layout().slots().len()],
                    ));
                    rows.len() - 1
                }),
            };
            latest = Some((at, row));
            let new = Cell::Value(reading.number);
            match &mut rows[row].2[slot] {
                cell @ Cell::Absent => *cell = new,
                cell if *cell != new => losses.duplicate(|| self.layouts[layout].0.layout().series(slot)),
                _ => {}
            }
        }
        // A layout's rows must come in order of time.
        rows.sort_by_key(|(layout, time, _)| (*layout, *time));
        for (layout, time, cells) in &rows {
            sink.append(&mut self.layouts[*layout].0, *time, cells, losses)?;
        }
        Ok(())
    }
}

fn report_layout(
    target: &Labels,
    values: &[(&'static str, &'static str, Option<f64>)],
) -> Result<Layout, AppendError> {
    let slot = |(name, help, _): &(&'static str, &'static str, Option<f64>)| Slot {
        labels: Labels::from_pairs([(METRIC_NAME, *name)]),
        metadata: Metadata { metric_type: MetricType::Gauge, help: (*help).into(), ..Metadata::default() },
    };
    Layout::new(target.clone(), values.iter().map(slot).collect())
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
