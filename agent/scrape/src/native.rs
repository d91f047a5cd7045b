//! Pages with native histograms, and classic histograms that become such.

use std::sync::Arc;

use model::Exemplar;
use storage::Cell;

use crate::config::ScrapeConfig;
use crate::fetch::Page;
use crate::known::Known;
use crate::page::{self, PageError};
use crate::protobuf_page::{self, Named, Observed};
use crate::series::{Counts, Origin, SeriesState, WriteError, append_exemplars, append_rows, at_hand};
use crate::sink::{Losses, Sink};
use crate::status::Families;

impl SeriesState {
    /// Writes the samples of a page that may have native histograms.
    pub(crate) fn write_protobuf(
        &mut self,
        page: &Page<'_>,
        timestamp: i64,
        origin: Origin<'_>,
        sink: &Sink,
        losses: &mut Losses,
        counts: &mut Counts,
    ) -> Result<Arc<Families>, WriteError> {
        let Origin { config, target, .. } = origin;
        self.cache = None;
        sink.metrics.pages_parsed.inc();
        let read = protobuf_page::read(page.bytes, config)?;
        counts.scraped = read.lines.samples.len() + read.histograms.len();
        let understand = || protobuf_page::understand(page.bytes, config, target);
        self.know(&read.lines, understand, sink, counts)?;
        let Some(known) = at_hand(&mut self.known, counts) else { return Ok(Arc::default()) };
        let lines = &read.lines;
        let sample = |(at, line): (usize, &page::Line)| {
            (known.places.of(at), Cell::Value(line.number), line.timestamp)
        };
        let samples: Vec<_> = lines.samples.iter().enumerate().map(sample).collect();
        append_rows(samples.into_iter(), known, timestamp, sink, losses)?;
        let time = |line: usize| lines.samples.get(line).and_then(|line| line.timestamp);
        if sink.appender.keeps_starts() {
            self.starts.write(&read.starts, time, known, timestamp, sink, losses)?;
        }
        append_exemplars(&lines.exemplars, time, known, timestamp, sink);
        let value = |line: usize| {
            let line = &lines.samples[line];
            (line.number.to_f64(), line.timestamp)
        };
        let (more, more_named) = converted(known, value, &lines.exemplars, config)?;
        let (mut observed, mut named) = (read.histograms, known.histograms.clone());
        observed.extend(more);
        named.extend(more_named);
        let added = self.histograms.write(target, (&observed, &named), timestamp, sink, losses)?;
        self.finish(added, timestamp, sink, losses, counts)
    }

    /// Writes what the classic histograms of a text page become, if that is wanted; others end.
    pub(crate) fn write_converted(
        &mut self,
        timestamp: i64,
        origin: Origin<'_>,
        sink: &Sink,
        losses: &mut Losses,
    ) -> Result<usize, WriteError> {
        let (Some(known), Some(cache)) = (self.known.first(), &self.cache) else { return Ok(0) };
        if known.classics.is_empty() {
            self.histograms.end(timestamp, sink, losses)?;
            return Ok(0);
        }
        let lines = &cache.lines;
        let mut at = vec![0; lines.cells.len()];
        for (now, &first) in lines.origins.iter().enumerate() {
            at[first] = now;
        }
        let value = |line: usize| {
            let now = at[line];
            let value = match lines.cells[now] {
                Cell::Value(number) => number.to_f64(),
                Cell::Absent | Cell::Stale => f64::NAN,
            };
            (value, lines.times.get(now).copied().flatten())
        };
        let exemplars: Vec<_> = lines
            .exemplars
            .iter()
            .filter_map(|(now, one)| Some((*lines.origins.get(*now)?, one.clone())))
            .collect();
        let (observed, named) = converted(known, value, &exemplars, origin.config)?;
        Ok(self.histograms.write(origin.target, (&observed, &named), timestamp, sink, losses)?)
    }
}

/// What the classic histograms of a page become; those that make no histogram are left out.
fn converted(
    known: &Known,
    value: impl Fn(usize) -> (f64, Option<i64>),
    exemplars: &[(usize, Exemplar)],
    config: &ScrapeConfig,
) -> Result<(Vec<Observed>, Vec<Named>), PageError> {
    let (mut all, mut named) = (Vec::new(), Vec::new());
    for classic in &known.classics {
        if let Some(mut observed) = classic.observed(&value, exemplars) {
            protobuf_page::limit(&mut observed.histogram, config)?;
            all.push(observed);
            named.push(classic.named.clone());
        }
    }
    Ok((all, named))
}
