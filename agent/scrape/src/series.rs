//! A target's series from scrape to scrape: layouts that stay, markers for those that go.

use std::collections::HashSet;
use std::sync::Arc;

use model::{Exemplar, Labels, METRIC_NAME, Metadata, MetricType};
use storage::{AppendError, Cell, Layout, LayoutRef, Number, Slot};

use crate::config::ScrapeConfig;
use crate::fetch::{Page, PageFormat};
use crate::histograms::Histograms;
use crate::known::Known;
use crate::layout_cache::{LayoutCache, Reading};
use crate::page::{self, PageError, Place};
use crate::rows;
use crate::sink::{Losses, Sink};
use crate::status::Families;
use crate::texts::Texts;

/// Meanings of pages that are kept: a target's page may alternate between a few.
const KNOWN_MAX: usize = 4;

/// What is remembered of one target between its scrapes.
#[derive(Debug, Default)]
pub(crate) struct SeriesState {
    /// Pages whose meaning is known, the latest first.
    pub(crate) known: Vec<Known>,
    /// The text of the latest.
    pub(crate) cache: Option<LayoutCache>,
    /// The last good page's series.
    last: Option<Written>,
    /// Whether series of `last` are without stale markers.
    live: bool,
    /// Native histograms.
    pub(crate) histograms: Histograms,
    report: Option<LayoutRef>,
    /// Whether there are reports, which end with the target.
    reported: bool,
}

/// What a target's pages depend on besides their text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) config: &'a ScrapeConfig,
    /// The target's labels.
    pub(crate) target: &'a Labels,
    /// What the targets of a job have in common.
    pub(crate) texts: &'a Texts,
}

#[derive(Clone, Debug)]
struct Written {
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
        self.cache = None;
        self.report = None;
    }

    /// Writes a page's samples, and markers for series that were on the last page and are not on this.
    pub(crate) fn write(
        &mut self,
        page: &Page<'_>,
        timestamp: i64,
        origin: Origin<'_>,
        sink: &Sink,
        losses: &mut Losses,
        counts: &mut Counts,
    ) -> Result<Arc<Families>, WriteError> {
        let format = match page.format {
            PageFormat::Text(format) => format,
            PageFormat::Protobuf => {
                return self.write_protobuf(page, timestamp, origin, sink, losses, counts);
            }
        };
        let reading = Reading { format, honor_timestamps: origin.config.honor_timestamps };
        // Where series were refused the store is asked again.
        let is_whole = self.known.first().is_none_or(|known| known.refused == 0);
        let cache = self.cache.as_mut().filter(|cache| is_whole && cache.reading == reading);
        if cache.and_then(|cache| cache.take(page.bytes, origin.texts)).is_none() {
            sink.metrics.pages_parsed.inc();
            self.parse(page.bytes, reading, origin, sink, counts)?;
        }
        let Some(known) = at_hand(&mut self.known, counts) else { return Ok(Arc::default()) };
        if let Some(cache) = &mut self.cache {
            append(cache, known, timestamp, sink, losses)?;
            let time = |line: usize| cache.lines.times.get(line).copied().flatten();
            append_exemplars(&cache.lines.exemplars, time, known, timestamp, sink);
        }
        let added = self.write_converted(timestamp, origin, sink, losses)?;
        self.finish(added, timestamp, sink, losses, counts)
    }

    /// Ends series that the page at hand has not, and counts those that are new; `histograms` of them have been
    /// written already. Gives what the page says of its families.
    pub(crate) fn finish(
        &mut self,
        histograms: usize,
        timestamp: i64,
        sink: &Sink,
        losses: &mut Losses,
        counts: &mut Counts,
    ) -> Result<Arc<Families>, WriteError> {
        self.settle(timestamp, sink, losses, counts)?;
        counts.added += histograms;
        Ok(self.known.first().map(|known| Arc::clone(&known.families)).unwrap_or_default())
    }

    /// Compares the series of the page at hand with those of the last one.
    fn settle(
        &mut self,
        timestamp: i64,
        sink: &Sink,
        losses: &mut Losses,
        counts: &mut Counts,
    ) -> Result<(), AppendError> {
        let Some(known) = self.known.first() else { return Ok(()) };
        let same = self.last.as_ref().is_some_and(|last| last.is(&known.layouts));
        if !same {
            let now = Written::new(&known.layouts);
            counts.added = now.added(self.last.as_ref());
            self.mark_gone(Some(&now), timestamp, sink, losses)?;
            self.last = Some(now);
        }
        self.live = true;
        Ok(())
    }

    /// Reads a page in full. The first of what is known is then what it means.
    fn parse(
        &mut self,
        page: &[u8],
        reading: Reading,
        origin: Origin<'_>,
        sink: &Sink,
        counts: &mut Counts,
    ) -> Result<(), WriteError> {
        let Origin { config, target, texts } = origin;
        let lines = page::read(page, reading.format, config.honor_timestamps).map_err(PageError::from)?;
        counts.scraped = lines.samples.len();
        self.know(&lines, || page::understand(page, reading.format, config, target), sink, counts)?;
        let places = self.known.first().map(|known| known.places.clone());
        self.cache = places.map(|places| LayoutCache::new(page, reading, lines, places, texts));
        if let Some(cache) = self.cache.as_mut().filter(|_| config.classic_to_nhcb) {
            cache.lines.track_origins();
        }
        if let Some(cache) = &mut self.cache {
            cache.count(&sink.metrics.cache_bytes);
        }
        Ok(())
    }

    /// Makes the meaning of a page the first of what is known.
    pub(crate) fn know(
        &mut self,
        lines: &page::Lines,
        understand: impl FnOnce() -> Result<page::Meaning, PageError>,
        sink: &Sink,
        counts: &mut Counts,
    ) -> Result<(), WriteError> {
        let is_it = |known: &Known| known.key == lines.key && known.refused == 0;
        if let Some(at) = self.known.iter().position(is_it) {
            self.known[..=at].rotate_right(1);
            return Ok(());
        }
        let meaning = understand();
        if let Err(PageError::SampleLimit { kept }) = &meaning {
            counts.kept = *kept;
        }
        let known = Known::register(lines, meaning?, self.known.first(), sink)?;
        if known.refused > 0 {
            sink.metrics.over_memory.inc();
            let (series, refused) =
                (known.layouts.first().map(|(layout, _)| layout.layout().target()), known.refused);
            tracing::debug!(target = ?series, refused, "new series refused: the memory limit is reached");
        }
        // What it meant while series were refused.
        self.known.retain(|other| other.key != known.key);
        self.known.insert(0, known);
        self.known.truncate(KNOWN_MAX);
        Ok(())
    }

    /// Writes markers for all series that have none yet: the target is down or gone.
    pub(crate) fn end(
        &mut self,
        timestamp: i64,
        sink: &Sink,
        losses: &mut Losses,
    ) -> Result<(), AppendError> {
        self.mark_gone(None, timestamp, sink, losses)?;
        self.histograms.end(timestamp, sink, losses)?;
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

    fn mark_gone(
        &self,
        staying: Option<&Written>,
        timestamp: i64,
        sink: &Sink,
        losses: &mut Losses,
    ) -> Result<(), AppendError> {
        let Some(last) = self.last.as_ref().filter(|_| self.live) else { return Ok(()) };
        let staying = staying.map(|now| Series::of(now, last, true)).unwrap_or_default();
        for (layout, _) in last.layouts.iter().filter(|(_, tracked)| *tracked) {
            let gone = |slot| if staying.has(layout, slot) { Cell::Absent } else { Cell::Stale };
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
    fn new(layouts: &[(LayoutRef, bool)]) -> Self {
        let known = |(layout, tracked): &(LayoutRef, bool)| (Arc::clone(layout.layout()), *tracked);
        Self { layouts: layouts.iter().map(known).collect() }
    }

    /// Whether the series are those of these layouts.
    fn is(&self, layouts: &[(LayoutRef, bool)]) -> bool {
        let own = self.layouts.iter().map(|(layout, tracked)| (layout.id(), *tracked));
        own.eq(layouts.iter().map(|(layout, tracked)| (layout.layout().id(), *tracked)))
    }

    /// How many of its series another one, if any, has not.
    fn added(&self, before: Option<&Self>) -> usize {
        let known = before.map(|before| Series::of(before, self, false)).unwrap_or_default();
        let new = |layout: &Arc<Layout>, slot| (!known.has(layout, slot)).then(|| layout.series(slot));
        let slots = |layout: &Arc<Layout>| 0..layout.slots().len();
        let all = self.layouts.iter().flat_map(|(layout, _)| slots(layout).map(move |slot| (layout, slot)));
        all.filter_map(|(layout, slot)| new(layout, slot)).collect::<HashSet<_>>().len()
    }
}

/// Series to be looked up.
enum Series<'a> {
    /// Of one target, which those that are looked for have too: by what their slots add to it.
    OfTarget(HashSet<&'a Labels>),
    /// By all of their labels.
    Whole(HashSet<Labels>),
}

impl Default for Series<'_> {
    fn default() -> Self {
        Self::OfTarget(HashSet::new())
    }
}

impl<'a> Series<'a> {
    /// Those of `written`, or only those of them that get stale markers; `sought`: what is looked for.
    fn of(written: &'a Written, sought: &Written, tracked_only: bool) -> Self {
        let mut targets = written.layouts.iter().chain(&sought.layouts).map(|(layout, _)| layout.target());
        let first = targets.next();
        let one = targets.all(|target| Some(target) == first);
        let layouts = || written.layouts.iter().filter(|(_, tracked)| *tracked || !tracked_only);
        if one {
            return Self::OfTarget(
                layouts().flat_map(|(layout, _)| layout.slots()).map(|slot| &slot.labels).collect(),
            );
        }
        let series = |layout: &'a Arc<Layout>| (0..layout.slots().len()).map(move |slot| layout.series(slot));
        Self::Whole(layouts().flat_map(|(layout, _)| series(layout)).collect())
    }

    fn has(&self, layout: &Layout, slot: usize) -> bool {
        match self {
            Self::OfTarget(slots) => slots.contains(&layout.slots()[slot].labels),
            Self::Whole(series) => series.contains(&layout.series(slot)),
        }
    }
}

/// The meaning of the page at hand, whose samples are counted.
pub(crate) fn at_hand<'a>(known: &'a mut [Known], counts: &mut Counts) -> Option<&'a mut Known> {
    let known = known.first_mut()?;
    (counts.scraped, counts.kept) = (known.scraped, known.kept);
    Some(known)
}

/// One row per layout and time.
fn append(
    cache: &mut LayoutCache,
    known: &mut Known,
    timestamp: i64,
    sink: &Sink,
    losses: &mut Losses,
) -> Result<(), AppendError> {
    if let (Some((cells, changes)), [(layout, _)]) = (cache.row(), known.layouts.as_mut_slice()) {
        let mark = sink.append_changes(layout, timestamp, cells, changes, losses)?;
        cache.appended(mark);
        return Ok(());
    }
    append_rows(cache.samples(), known, timestamp, sink, losses)
}

pub(crate) fn append_rows(
    samples: impl Iterator<Item = (Place, Cell, Option<i64>)>,
    known: &mut Known,
    timestamp: i64,
    sink: &Sink,
    losses: &mut Losses,
) -> Result<(), AppendError> {
    let layouts = &mut known.layouts;
    let widths: Vec<usize> = layouts.iter().map(|(layout, _)| layout.layout().slots().len()).collect();
    let rows = rows::assemble(samples, &widths, timestamp, |layout, slot| {
        losses.duplicate(|| layouts[layout].0.layout().series(slot));
    });
    for row in rows {
        sink.append(&mut layouts[row.layout].0, row.timestamp, &row.cells, losses)?;
    }
    Ok(())
}

/// An exemplar without a time of its own has its sample's.
pub(crate) fn append_exemplars(
    exemplars: &[(usize, Exemplar)],
    time: impl Fn(usize) -> Option<i64>,
    known: &Known,
    timestamp: i64,
    sink: &Sink,
) {
    for (line, exemplar) in exemplars {
        let Place::At(layout, slot) = known.places.of(*line) else { continue };
        let Some((layout, _)) = known.layouts.get(layout as usize) else { continue };
        let own = exemplar.timestamp.or_else(|| time(*line)).unwrap_or(timestamp);
        let exemplar = Exemplar { timestamp: Some(own), ..exemplar.clone() };
        sink.append_exemplars(&layout.layout().series(slot as usize), &[exemplar]);
    }
}

fn report_layout(
    target: &Labels,
    values: &[(&'static str, &'static str, Option<f64>)],
) -> Result<Layout, AppendError> {
    let slot = |(name, help, _): &(&'static str, &'static str, Option<f64>)| Slot {
        labels: Labels::from_pairs([(METRIC_NAME, *name)]),
        metadata: Metadata { metric_type: MetricType::Gauge, help: (*help).into(), ..Metadata::default() },
        part: None,
    };
    Layout::new(target.clone(), values.iter().map(slot).collect())
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
